//! Gates that are tried again, and those that are not.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::registry::manifest_yaml;
use crate::scanner::{scan, vulnerable};
use crate::space::{Space, gate, in_space, of_gate, with};

/// A command has no memory but the registry: it lets another repository have a blob, and sees that the next time.
const FAILS_AT_FIRST: &str = "
    blob=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
    if wget -q -O /dev/null $BASE/tried/blobs/$blob; then echo the second time; exit 0; fi
    wget -q -O /dev/null --post-data '' \"$BASE/tried/blobs/uploads/?mount=$blob&from=$SPACE/platform\"
    echo the first time
    exit 1";

/// A gate that fails the first time that it runs, and passes from then on.
fn fails_at_first(space: &Space, name: &str) -> Value {
    let base = format!("http://{}/v2/{}", space.registry, space.name);
    let env = json!([{ "name": "BASE", "value": base }, { "name": "SPACE", "value": space.name }]);
    with(gate(name, "Tests", FAILS_AT_FIRST), &json!({ "env": env }))
}

#[tokio::test]
async fn a_command_that_fails_at_first_is_tried_again_and_passes() {
    in_space("again", async |space| {
        let digest = space.publish("v1.2.3").await;
        let flaky = with(fails_at_first(&space, "unit"), &json!({ "retries": 2 }));
        space.environment("dev", &[], json!([flaky])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let unit = of_gate(&space.promoted("to-dev").await, "unit");
        assert_eq!((unit.outcome.as_str(), unit.attempts), ("Passed", Some(2)));
        assert_eq!(space.digest("latest-dev"), digest);
    })
    .await;
}

#[tokio::test]
async fn a_command_that_always_fails_is_failed_after_its_last_try() {
    in_space("always", async |space| {
        space.publish("v1.2.3").await;
        let failing = with(
            gate("unit", "Tests", "echo no luck; exit 7"),
            &json!({ "retries": 1 }),
        );
        space.environment("dev", &[], json!([failing])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("to-dev", "GateFailed").await;
        assert!(
            message.contains('7') && message.contains("no luck"),
            "{message}"
        );
        assert_eq!(of_gate(&ended, "unit").attempts, Some(2));
        assert_eq!(space.made_for::<Pod>("unit").await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_command_that_ran_too_long_is_not_tried_again() {
    in_space("long", async |space| {
        space.publish("v1.2.3").await;
        let fields = json!({ "retries": 3, "timeout": "30s" });
        let slow = with(gate("unit", "Tests", "sleep 300"), &fields);
        space.environment("dev", &[], json!([slow])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, _) = space.refused("to-dev", "GateTimedOut").await;
        assert_eq!(of_gate(&ended, "unit").attempts, Some(1));
        assert_eq!(space.made_for::<Pod>("unit").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_report_that_says_no_is_not_tried_again() {
    in_space("no", async |space| {
        let (manifest, bill) = (manifest_yaml("1.2.3"), vulnerable());
        let files = [("manifest.yaml", &*manifest), ("sbom.cdx.json", &bill)];
        space.publish_files("v1.2.3", &files).await;
        let scan = with(scan(), &json!({ "retries": 3 }));
        space.environment("dev", &[], json!([scan])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, _) = space.refused("to-dev", "GateFailed").await;
        assert_eq!(of_gate(&ended, "scan").attempts, Some(1));
        assert_eq!(space.made_for::<Pod>("scan").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_eviction_takes_no_try_away() {
    in_space("evict", async |space| {
        space.publish("v1.2.3").await;
        space
            .environment("dev", &[], json!([gate("unit", "Tests", "sleep 10")]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let evicted = space.running("unit").await.name_any();
        space
            .api::<Pod>()
            .evict(&evicted, &kube::api::EvictParams::default())
            .await
            .unwrap();
        // No retries are allowed, and none is needed.
        let unit = of_gate(&space.promoted("to-dev").await, "unit");
        assert_eq!((unit.outcome.as_str(), unit.attempts), ("Passed", Some(1)));
        assert_eq!(space.made_for::<Job>("unit").await.len(), 1);
        let succeeded = |pod: &Pod| {
            pod.status
                .as_ref()
                .and_then(|status| status.phase.as_deref())
                == Some("Succeeded")
        };
        let last = space.pod_of("unit", succeeded).await.name_any();
        assert_ne!(last, evicted);
    })
    .await;
}
