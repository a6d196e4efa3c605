//! What gates do to a promotion when they do not pass.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::space::{gate, in_space};

#[tokio::test]
async fn a_failing_gate_refuses_and_shows_its_last_lines() {
    in_space("fails", async |space| {
        space.publish("v1.2.3").await;
        let failing = gate(
            "unit",
            "Tests",
            "echo 41 tests passed; echo 'FAILED: orders_are_unique' >&2; exit 3",
        );
        space.environment("dev", &[], json!([failing])).await;
        let tags = space.tags();
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("to-dev", "GateFailed").await;
        assert!(
            message.contains("unit") && message.contains('3'),
            "{message}"
        );
        let status = ended.status.unwrap();
        let unit = status
            .gates
            .iter()
            .find(|gate| gate.name == "unit")
            .unwrap();
        let output = unit.output.as_deref().unwrap_or_default();
        assert!(
            output.contains("41 tests passed") && output.contains("FAILED: orders_are_unique"),
            "{output}"
        );
        assert_eq!(space.tags(), tags, "nothing is written");
        let events = space.kubectl(&["get", "events"]);
        assert!(events.contains("GateFailed"), "{events}");
    })
    .await;
}

#[tokio::test]
async fn a_gate_that_only_warns_lets_the_promotion_go_on() {
    in_space("warns", async |space| {
        let digest = space.publish("v1.2.3").await;
        let mut warning = gate("style", "Custom", "exit 1");
        warning["onFailure"] = "Warn".into();
        space.environment("dev", &[], json!([warning])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let ended = space.promoted("to-dev").await;
        assert_eq!(ended.status.unwrap().gate_summary.unwrap(), "✓!");
        assert_eq!(space.digest("v1.2.3-dev"), digest);
    })
    .await;
}

#[tokio::test]
async fn a_gate_that_ignores_term_is_killed_and_timed_out() {
    in_space("slow", async |space| {
        space.publish("v1.2.3").await;
        let mut slow = gate(
            "soak",
            "Tests",
            "trap '' TERM; echo started; while true; do sleep 1; done",
        );
        slow["timeout"] = "30s".into();
        space.environment("dev", &[], json!([slow])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("to-dev", "GateTimedOut").await;
        assert!(
            message.contains("soak") && message.contains("30"),
            "{message}"
        );
        let status = ended.status.unwrap();
        let soak = status
            .gates
            .iter()
            .find(|gate| gate.name == "soak")
            .unwrap();
        assert_eq!(soak.outcome, "TimedOut");
        let took = soak
            .finished_at
            .clone()
            .unwrap()
            .0
            .duration_since(soak.started_at.clone().unwrap().0);
        assert!(
            (34..=42).contains(&took.as_secs()),
            "TERM after 30 s, KILL 5 s later: {took:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_an_error_within_75_seconds() {
    in_space("pull", async |space| {
        space.publish("v1.2.3").await;
        let image = format!("{}/nobody/nothing:1", space.registry);
        let mut missing = gate("unit", "Tests", "true");
        missing["image"] = image.as_str().into();
        space.environment("dev", &[], json!([missing])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space.pod_of("unit", |_| true).await;
        let begun = Instant::now();
        let (_, message) = space.refused("to-dev", "GateError").await;
        let took = begun.elapsed();
        println!("an image that cannot be pulled: refused after {took:.1?}");
        assert!(took < Duration::from_secs(75), "{took:?}");
        assert!(message.contains(&image), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_command_that_is_not_in_the_image_is_said_so() {
    in_space("nocmd", async |space| {
        space.publish("v1.2.3").await;
        let mut missing = gate("unit", "Tests", "");
        missing["command"] = json!(["/tests/run", "--all"]);
        space.environment("dev", &[], json!([missing])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (_, message) = space.refused("to-dev", "GateError").await;
        assert!(message.contains("/tests/run"), "{message}");
    })
    .await;
}
