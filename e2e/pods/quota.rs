//! Namespaces that may not do everything.

use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::{Value, json};

use crate::space::{Space, gate, in_space, of_gate, with};

impl Space {
    /// Sets a quota, and waits until it is enforced.
    async fn quota(&self, hard: Value) {
        let quota = json!({ "metadata": { "name": "quota" }, "spec": { "hard": hard } });
        self.apply::<ResourceQuota>(quota).await;
        let enforced = |quota: Option<&ResourceQuota>| {
            quota
                .and_then(|quota| quota.status.as_ref()?.used.as_ref())
                .is_some()
        };
        self.until("quota", enforced).await;
    }
}

#[tokio::test]
async fn gates_that_may_not_run_side_by_side_run_one_after_the_other() {
    in_space("onepod", async |space| {
        let digest = space.publish("v1.2.3").await;
        space.quota(json!({ "pods": "1" })).await;
        space
            .environment("dev", &[], json!([gate("unit", "Tests", "sleep 2")]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space.promoted("to-dev").await;
        assert_eq!(space.digest("latest-dev"), digest);
    })
    .await;
}

#[tokio::test]
async fn a_gate_for_which_the_quota_has_no_room_is_an_error_after_its_time_to_start() {
    in_space("noroom", async |space| {
        space.publish("v1.2.3").await;
        space.quota(json!({ "requests.cpu": "1" })).await;
        let fields = json!({ "resources": { "cpu": "2" }, "startTimeout": "30s" });
        space
            .environment(
                "dev",
                &[],
                json!([with(gate("unit", "Tests", "true"), &fields)]),
            )
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("to-dev", "GateError").await;
        assert!(
            message.contains("unit") && message.contains("quota"),
            "{message}"
        );
        assert_eq!(of_gate(&ended, "policy_compliance").outcome, "Passed");
    })
    .await;
}

#[tokio::test]
async fn a_job_that_the_quota_refuses_is_an_error_with_the_words_of_the_quota() {
    in_space("nojobs", async |space| {
        space.publish("v1.2.3").await;
        space.quota(json!({ "count/jobs.batch": "1" })).await;
        space
            .environment("dev", &[], json!([gate("unit", "Tests", "true")]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("to-dev", "GateError").await;
        assert!(message.contains("exceeded quota"), "{message}");
        assert_eq!(of_gate(&ended, "policy_compliance").outcome, "Passed");
    })
    .await;
}
