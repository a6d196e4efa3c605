//! Tests that disturb others, or that others would disturb: `e2e/run` runs them one at a time, at the end.

mod five_gates;

use std::time::{Duration, Instant};

use floe::api::Promotion;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;

use crate::space::{Space, gate, in_space, of_gate, run};

/// Pairs that are measured.
const PAIRS: usize = 9;

#[tokio::test]
async fn an_operator_that_is_deleted_in_the_middle_is_replaced_and_the_promotion_ends_right() {
    in_space("restart", async |space| {
        let digest = space.publish("v1.2.3").await;
        space
            .environment("dev", &[], json!([gate("unit", "Tests", "sleep 5")]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space
            .until("to-dev", |promotion: Option<&Promotion>| {
                promotion
                    .and_then(|promotion| promotion.status.as_ref())
                    .is_some_and(|status| !status.gates.is_empty())
            })
            .await;
        space.kubectl(&[
            "delete",
            "pod",
            "--namespace=floe-system",
            "--selector=app.kubernetes.io/name=floe",
            "--wait=false",
        ]);
        let ended = space.promoted("to-dev").await;
        assert_eq!(space.digest("v1.2.3-dev"), digest);
        assert_eq!(space.records(&digest).len(), 1);
        let jobs = space
            .api::<Job>()
            .list(&ListParams::default())
            .await
            .unwrap();
        assert_eq!(
            jobs.items.len(),
            ended.status.unwrap().gates.len(),
            "one Job for each gate"
        );
    })
    .await;
}

#[tokio::test]
async fn a_gate_runs_on_and_counts_once_when_the_kubelet_is_restarted() {
    in_space("kubelet", async |space| {
        if std::env::var("FLOE_CLUSTER").as_deref() == Ok("current") {
            println!("not tested: the nodes of this cluster are no containers of ours");
            return;
        }
        let digest = space.publish("v1.2.3").await;
        space
            .environment("dev", &[], json!([gate("unit", "Tests", "sleep 20")]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let pod = space.running("unit").await;
        let node = pod.spec.unwrap().node_name.unwrap();
        let (good, text) = run(
            "docker",
            &["exec", &node, "systemctl", "restart", "kubelet"],
        );
        assert!(good, "{text}");
        let unit = of_gate(&space.promoted("to-dev").await, "unit");
        assert_eq!((unit.outcome.as_str(), unit.attempts), ("Passed", Some(1)));
        let took = unit
            .finished_at
            .unwrap()
            .0
            .duration_since(unit.started_at.unwrap().0);
        assert!(took.as_secs() >= 19, "it has run to its end: {took:?}");
        assert_eq!(space.digest("latest-dev"), digest);
    })
    .await;
}

#[tokio::test]
async fn how_long_a_promotion_takes_beside_the_same_pods_made_by_hand() {
    in_space("ratio", async |space| {
        space.environment("dev", &[], json!([gate("unit", "Tests", "true")])).await;
        let (mut with_floe, mut by_hand) = (Vec::new(), Vec::new());
        for round in 0..=PAIRS {
            let version = format!("v1.0.{round}");
            space.publish(&version).await;
            let name = format!("round-{round}");
            let begun = Instant::now();
            space.promote(&name, &version, "dev").await;
            space.promoted(&name).await;
            let floe = begun.elapsed();
            let hand = pods_of(&space, &name).await;
            if round > 0 {
                // The first pair warms up.
                with_floe.push(floe);
                by_hand.push(hand);
            }
        }
        let (floe, hand) = (median(with_floe), median(by_hand));
        println!(
            "create to Succeeded with one gate and policy_compliance: {:.2} s; the same Pods by hand: {:.2} s; ratio {:.2} (median of {PAIRS})",
            floe.as_secs_f64(), hand.as_secs_f64(), floe.as_secs_f64() / hand.as_secs_f64(),
        );
    })
    .await;
}

/// Makes the Pods of a promotion's gates, all at once, and waits until they have succeeded.
async fn pods_of(space: &Space, promotion: &str) -> Duration {
    let status = space
        .api::<Promotion>()
        .get(promotion)
        .await
        .unwrap()
        .status
        .unwrap();
    let mut copies = Vec::new();
    for gate in &status.gates {
        let job = space.api::<Job>().get(&gate.job).await.unwrap();
        let spec = job.spec.unwrap().template.spec.unwrap();
        let name = format!("hand-{}", gate.job);
        copies.push(json!({ "metadata": { "name": name }, "spec": spec }));
    }
    let begun = Instant::now();
    for copy in &copies {
        space.apply::<Pod>(copy.clone()).await;
    }
    for copy in &copies {
        let name = copy["metadata"]["name"].as_str().unwrap();
        space
            .until(name, |pod: Option<&Pod>| {
                pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref()) == Some("Succeeded")
            })
            .await;
    }
    assert_eq!(copies.len(), 2);
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
