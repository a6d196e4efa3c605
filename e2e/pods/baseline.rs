//! Measurements against those of the last promotion.

use serde_json::json;

use crate::registry::manifest_yaml;
use crate::space::{Space, gate, in_space, of_gate, with};

impl Space {
    /// Publishes a version that will be measured at this speed.
    async fn publish_speed(&self, version: &str, p95_ms: u32) {
        let manifest = manifest_yaml(version.trim_start_matches('v'));
        let measured = json!({ "metrics": { "p95_ms": p95_ms } }).to_string();
        let files = [("manifest.yaml", &*manifest), ("measured.json", &measured)];
        self.publish_files(version, &files).await;
    }
}

#[tokio::test]
async fn a_measurement_is_compared_with_that_of_the_last_promotion() {
    in_space("baseline", async |space| {
        space.publish_speed("v1.0.0", 100).await;
        space.publish_speed("v1.1.0", 150).await;
        space.publish_speed("v1.2.0", 115).await;
        let limit = json!({ "name": "p95_ms", "max": "1000", "maxIncreasePercent": 20 });
        let load = with(
            gate("load", "PerformanceBaseline", "cp $FLOE_ARTIFACT_DIR/measured.json $FLOE_REPORT"),
            &json!({
                "onFailure": "Block", "report": { "format": "Baseline" }, "thresholds": { "metrics": [limit] },
            }),
        );
        space.environment("dev", &[], json!([load])).await;
        space.promote("first", "v1.0.0", "dev").await;
        let first = of_gate(&space.promoted("first").await, "load");
        assert_eq!(first.values["p95_ms"], "100");
        assert!(first.message.unwrap().contains("nothing to compare with yet"));

        space.promote("slower", "v1.1.0", "dev").await;
        let (_, message) = space.refused("slower", "GateFailed").await;
        assert!(message.contains("150") && message.contains("20 % above 100"), "{message}");

        // What was refused is no measure for others.
        space.promote("third", "v1.2.0", "dev").await;
        let third = of_gate(&space.promoted("third").await, "load");
        assert!(third.message.unwrap().contains("was 100"));
    })
    .await;
}
