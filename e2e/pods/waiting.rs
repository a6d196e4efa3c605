//! What is waited for, and what gets a clear refusal before anything runs.

use floe::api::{ConditionType, EnvironmentPolicy, Promotion, find_condition};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::space::{in_space, succeeded};

fn waits_for(reason: &'static str) -> impl Fn(Option<&Promotion>) -> bool {
    move |promotion| {
        promotion
            .and_then(|promotion| promotion.status.as_ref()?.waiting_on.as_ref())
            .is_some_and(|waiting| waiting.reason == reason)
    }
}

#[tokio::test]
async fn a_missing_secret_is_waited_for_and_named() {
    in_space("creds", async |space| {
        let digest = space.publish("v1.2.3").await;
        let artifact = json!({
            "name": "platform", "repository": space.repository(), "plainHTTP": true,
            "credentials": { "secretName": "registry" },
        });
        space
            .apply::<EnvironmentPolicy>(
                json!({ "metadata": { "name": "dev" }, "spec": { "artifacts": [artifact] } }),
            )
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let waiting = space
            .until("to-dev", waits_for("CredentialsMissing"))
            .await
            .unwrap();
        let message = waiting.status.unwrap().waiting_on.unwrap().message;
        assert!(message.contains("'registry'"), "{message}");

        let login =
            json!({ "auths": { (space.registry.clone()): { "username": "u", "password": "p" } } });
        space
            .apply::<Secret>(json!({
                "metadata": { "name": "registry" }, "type": "kubernetes.io/dockerconfigjson",
                "stringData": { ".dockerconfigjson": login.to_string() },
            }))
            .await;
        space.promoted("to-dev").await;
        assert_eq!(space.digest("latest-dev"), digest);
    })
    .await;
}

#[tokio::test]
async fn a_promotion_waits_until_the_version_is_in_the_environment_before() {
    in_space("order", async |space| {
        space.publish("v1.2.3").await;
        space.environment("dev", &[], json!([])).await;
        space.environment("prod", &["dev"], json!([])).await;
        space.promote("to-prod", "v1.2.3", "prod").await;
        space
            .until("to-prod", waits_for("NotPromotedUpstream"))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space.promoted("to-dev").await;
        space.promoted("to-prod").await;
    })
    .await;
}

#[tokio::test]
async fn a_skipped_environment_and_a_lower_version_are_refused() {
    in_space("skip", async |space| {
        space.publish("v1.2.3").await;
        space.publish("v1.2.4").await;
        space.environment("dev", &[], json!([])).await;
        space.environment("staging", &["dev"], json!([])).await;
        space.environment("prod", &["staging"], json!([])).await;
        let skipping = json!({ "metadata": { "name": "skip" }, "spec": { "version": "v1.2.3", "from": "dev", "to": "prod" } });
        space.apply::<Promotion>(skipping).await;
        space.refused("skip", "InvalidTransition").await;
        space.promote("up", "v1.2.4", "dev").await;
        space.promoted("up").await;
        space.promote("down", "v1.2.3", "dev").await;
        space.refused("down", "Downgrade").await;
        assert!(!space.tags().contains_key("v1.2.3-dev"));
    })
    .await;
}

#[tokio::test]
async fn an_unknown_environment_is_waited_for_and_the_namespace_can_go_meanwhile() {
    in_space("unknown", async |space| {
        space.promote("to-nowhere", "v1.2.3", "nowhere").await;
        let waiting = space
            .until("to-nowhere", waits_for("EnvironmentNotFound"))
            .await
            .unwrap();
        assert_eq!(succeeded(&waiting).0, "Unknown");
        space.kubectl(&["delete", "promotion", "to-nowhere", "--timeout=30s"]);
    })
    .await;
}

#[tokio::test]
async fn a_younger_policy_that_claims_the_same_tags_is_invalid_and_the_older_goes_on() {
    in_space("claims", async |space| {
        space.publish("v1.2.3").await;
        space.environment("dev", &[], json!([])).await;
        let valid = |wanted: &'static str| {
            move |policy: Option<&EnvironmentPolicy>| {
                let conditions =
                    policy.and_then(|policy| Some(&policy.status.as_ref()?.conditions));
                conditions
                    .and_then(|all| find_condition(all, ConditionType::Valid))
                    .is_some_and(|found| found.status == wanted)
            }
        };
        space.until("dev", valid("True")).await;
        let artifact =
            json!({ "name": "platform", "repository": space.repository(), "plainHTTP": true });
        space
            .apply::<EnvironmentPolicy>(json!({
                "metadata": { "name": "test" },
                "spec": { "tagSuffix": "dev", "artifacts": [artifact] },
            }))
            .await;
        space.until("test", valid("False")).await;
        space.promote("to-test", "v1.2.3", "test").await;
        space.until("to-test", waits_for("PolicyInvalid")).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space.promoted("to-dev").await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_can_be_deleted_while_a_promotion_runs() {
    in_space("gone", async |space| {
        space.publish("v1.2.3").await;
        let slow = crate::space::gate("unit", "Tests", "sleep 300");
        space.environment("dev", &[], json!([slow])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space
            .until("to-dev", |promotion: Option<&Promotion>| {
                promotion.is_some_and(|promotion| {
                    promotion
                        .status
                        .as_ref()
                        .is_some_and(|status| status.plan.is_some())
                })
            })
            .await;
        space.kubectl(&["delete", "namespace", &space.name, "--timeout=90s"]);
        assert!(!space.tags().contains_key("v1.2.3-dev"));
    })
    .await;
}
