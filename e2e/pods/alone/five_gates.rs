//! A promotion to prod with a gate of each type, two of them real tools.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use floe::api::{ANNOTATION_REQUEST, LABEL_GATE, Promotion};
use futures::TryStreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};

use crate::registry::manifest_yaml;
use crate::scanner::{PLANTED, fixed, of_library, scan, vulnerable};
use crate::space::{Space, gate, in_space, of_gate, with};

/// What `infracost diff --format json` wrote.
const COSTS: &str = include_str!("../../../gate/tests/fixtures/infracost/diff.json");
/// Long enough for the others to start beside it.
const TESTS: &str = "
    sleep 8
    printf '%s' '<testsuites><testsuite name=\"orders\" tests=\"3\" failures=\"0\" skipped=\"1\">
      <testcase classname=\"orders\" name=\"are_unique\"/><testcase classname=\"orders\" name=\"have_customers\"/>
      <testcase classname=\"orders\" name=\"on_leap_days\"><skipped/></testcase></testsuite></testsuites>' > $FLOE_REPORT";

fn five_gates() -> Value {
    let tests = with(
        gate("unit", "Tests", TESTS),
        &json!({ "report": { "format": "JUnit" } }),
    );
    let cost = with(
        gate(
            "cost",
            "CostAnalysis",
            "cp $FLOE_ARTIFACT_DIR/infracost.json $FLOE_REPORT",
        ),
        &json!({ "report": { "format": "Infracost" }, "thresholds": { "monthlyIncrease": "50" } }),
    );
    let load = with(
        gate(
            "load",
            "PerformanceBaseline",
            "echo '{\"metrics\": {\"p95_ms\": 310.5}}' > $FLOE_REPORT",
        ),
        &json!({ "report": { "format": "Baseline" }, "thresholds": { "metrics": [{ "name": "p95_ms", "max": "250" }] } }),
    );
    let conftest = of_library(
        include_str!("../../../examples/gates/conftest.yaml"),
        "conftest",
    );
    json!([tests, scan(), cost, load, conftest])
}

impl Space {
    /// Publishes a version with something to judge for each of the five gates, and takes it to dev.
    async fn in_dev(&self, version: &str, bill: &str, retention_days: u32) -> String {
        let manifest = manifest_yaml(version.trim_start_matches('v'))
            + &format!("governance: {{data_retention_days: {retention_days}}}\n");
        let files = [
            ("manifest.yaml", &*manifest),
            ("sbom.cdx.json", bill),
            ("infracost.json", COSTS),
        ];
        let digest = self.publish_files(version, &files).await;
        let name = format!("{version}-to-dev");
        self.promote(&name, version, "dev").await;
        self.promoted(&name).await;
        digest
    }
}

#[tokio::test]
async fn five_gates_run_side_by_side_and_two_warn_and_one_refuses_until_the_artifact_is_mended() {
    in_space("five", async |space| {
        space.environment("dev", &[], json!([])).await;
        space.environment("prod", &["dev"], five_gates()).await;
        space.in_dev("v1.2.3", &vulnerable(), 400).await;
        let tags = space.tags();
        let (ended, took) = timed(&space, "bad", "v1.2.3").await;
        let (_, message) = space.refused("bad", "GateFailed").await;
        println!("five gates, refused: {took}");
        // The third one is of medium severity, of which any number is accepted.
        let (too_bad, accepted) = PLANTED.split_at(2);
        assert!(too_bad.iter().all(|id| message.contains(id)), "{message}");
        assert!(!message.contains(accepted[0]), "{message}");
        let outcomes = [
            "policy_compliance",
            "unit",
            "scan",
            "cost",
            "load",
            "conftest",
        ]
        .map(|name| of_gate(&ended, name).outcome);
        assert_eq!(
            outcomes,
            ["Passed", "Passed", "Failed", "Warned", "Warned", "Passed"]
        );
        assert_eq!(of_gate(&ended, "scan").ids, PLANTED);
        assert_eq!(of_gate(&ended, "unit").counts["tests"], 3);
        assert!(
            of_gate(&ended, "cost")
                .message
                .unwrap()
                .contains("85.64 USD more a month (at most 50)")
        );
        assert!(of_gate(&ended, "load").message.unwrap().contains("310.5"));
        let told = space.kubectl(&["describe", "promotion", "bad"]);
        let (status, events) = told.split_once("Events:").expect("it has Events");
        assert!(PLANTED.iter().all(|id| status.contains(id)), "{told}");
        assert!(too_bad.iter().all(|id| events.contains(id)), "{told}");
        assert_eq!(space.tags(), tags, "nothing is written");
        side_by_side(&space, &ended).await;

        let digest = space.in_dev("v1.2.4", &fixed(), 400).await;
        let (ended, took) = timed(&space, "good", "v1.2.4").await;
        println!("five gates, promoted: {took}");
        space.promoted("good").await;
        assert_eq!(ended.status.unwrap().gate_summary.unwrap(), "✓✓✓!!✓");
        assert_eq!(space.digest("latest-prod"), digest);
        let record = space.records(&digest).pop().unwrap();
        let gates = record["predicate"]["gates"].as_array().unwrap();
        assert_eq!(
            gates
                .iter()
                .filter(|gate| gate["outcome"] == "Warned")
                .count(),
            2
        );
    })
    .await;
}

#[tokio::test]
async fn a_policy_tool_that_says_no_refuses_with_its_own_words() {
    in_space("conftest", async |space| {
        space.environment("dev", &[], json!([])).await;
        space.environment("prod", &["dev"], five_gates()).await;
        space.in_dev("v1.2.3", &fixed(), 30).await;
        space.promote("to-prod", "v1.2.3", "prod").await;
        let (ended, message) = space.refused("to-prod", "GateFailed").await;
        assert!(message.contains("conftest"), "{message}");
        let output = of_gate(&ended, "conftest").output.unwrap_or_default();
        assert!(
            output.contains("data is kept for 30 days, 365 are required"),
            "{output}"
        );
    })
    .await;
}

/// All of them were asked for before the first had ended, and ran beside the one that took longest.
async fn side_by_side(space: &Space, promotion: &Promotion) {
    let gates = &promotion.status.as_ref().unwrap().gates;
    let ends = gates.iter().map(|gate| gate.finished_at.clone().unwrap().0);
    let first_end = ends.min().unwrap();
    let longest = of_gate(promotion, "unit").finished_at.unwrap().0;
    for gate in gates {
        let job = space.api::<Job>().get(&gate.job).await.unwrap();
        let created = job.metadata.creation_timestamp.unwrap().0;
        let started = gate.started_at.clone().unwrap().0;
        assert!(
            created <= first_end && started < longest,
            "'{}': asked for at {created}, started at {started}",
            gate.name
        );
    }
}

/// When each Pod of a promotion was first seen, and when its command was first seen to have ended.
type Seen = Arc<Mutex<BTreeMap<String, (Instant, Option<Instant>)>>>;

/// Promotes to prod, and says how long that took beside the time of its Pods: from the first that was there to the end
/// of the last command, as the API server told it.
async fn timed(space: &Arc<Space>, name: &str, version: &str) -> (Promotion, String) {
    let seen = Seen::default();
    let watching = tokio::spawn(note_pods(
        Arc::clone(space),
        name.to_owned(),
        Arc::clone(&seen),
    ));
    let begun = Instant::now();
    space.promote(name, version, "prod").await;
    let ended = space.ended(name).await;
    let whole = begun.elapsed();
    watching.abort();
    let seen = seen.lock().unwrap();
    let first = seen.values().map(|(first, _)| *first).min().unwrap();
    let last = seen.values().filter_map(|(_, last)| *last).max().unwrap();
    let pods = last - first;
    let text = format!(
        "{:.2} s from create to verdict, {:.2} s of them by Pods, {:.2} s by floe",
        whole.as_secs_f64(),
        pods.as_secs_f64(),
        whole.saturating_sub(pods).as_secs_f64(),
    );
    (ended, text)
}

async fn note_pods(space: Arc<Space>, promotion: String, seen: Seen) {
    let config = watcher::Config::default().labels(LABEL_GATE);
    let mut pods = std::pin::pin!(watcher(space.api::<Pod>(), config).applied_objects());
    while let Ok(Some(pod)) = pods.try_next().await {
        if pod.annotations().get(ANNOTATION_REQUEST) != Some(&promotion) {
            continue;
        }
        let now = Instant::now();
        let containers = pod
            .status
            .iter()
            .flat_map(|status| &status.container_statuses)
            .flatten();
        let mut states = containers.filter_map(|container| container.state.as_ref());
        let has_ended = states.any(|state| state.terminated.is_some());
        let mut seen = seen.lock().unwrap();
        let (_, ended) = seen.entry(pod.name_any()).or_insert((now, None));
        if has_ended {
            ended.get_or_insert(now);
        }
    }
}
