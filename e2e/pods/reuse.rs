//! Results that count again.

use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use crate::space::{gate, in_space, of_gate, with};

#[tokio::test]
async fn a_passed_gate_counts_again_for_the_next_try_and_policy_compliance_never_does() {
    in_space("reuse", async |space| {
        space.publish("v1.2.3").await;
        let long = with(
            gate("long", "Tests", "sleep 3"),
            &json!({ "cacheFor": "1h" }),
        );
        let other = gate("other", "Tests", "true");
        let failing = gate("unit", "Tests", "exit 1");
        space
            .environment("dev", &[], json!([long, other, failing]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (first, _) = space.refused("to-dev", "GateFailed").await;
        let first = of_gate(&first, "long");

        let mended = gate("unit", "Tests", "true");
        space
            .environment("dev", &[], json!([long, other, mended]))
            .await;
        space.promote("to-dev-r2", "v1.2.3", "dev").await;
        let second = space.promoted("to-dev-r2").await;
        let again = of_gate(&second, "long");
        assert_eq!(again.reused_from.as_deref(), Some("to-dev"));
        assert_eq!((again.outcome.as_str(), again.job), ("Passed", first.job));
        assert_eq!(again.finished_at, first.finished_at);
        for ran in ["policy_compliance", "other", "unit"] {
            assert_eq!(of_gate(&second, ran).reused_from, None, "{ran}");
            assert_eq!(space.made_for::<Job>(ran).await.len(), 2, "{ran}");
        }
        assert_eq!(space.made_for::<Job>("long").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_gate_whose_command_has_changed_runs_again_in_spite_of_its_cache() {
    in_space("changed", async |space| {
        space.publish("v1.2.3").await;
        let long = |script: &str| with(gate("long", "Tests", script), &json!({ "cacheFor": "1h" }));
        let failing = gate("unit", "Tests", "exit 1");
        space
            .environment("dev", &[], json!([long("true"), failing]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space.refused("to-dev", "GateFailed").await;
        space.environment("dev", &[], json!([long("exit 4")])).await;
        space.promote("to-dev-r2", "v1.2.3", "dev").await;
        let (second, message) = space.refused("to-dev-r2", "GateFailed").await;
        assert!(message.contains("long"), "{message}");
        assert_eq!(of_gate(&second, "long").reused_from, None);
    })
    .await;
}
