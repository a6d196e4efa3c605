//! The gate that runs always.

use floe::api::EnvironmentPolicy;
use serde_json::{Value, json};

use crate::registry::manifest_yaml;
use crate::space::{Space, in_space, of_gate};

#[tokio::test]
async fn a_literal_secret_is_refused_and_its_value_is_shown_nowhere() {
    in_space("secret", async |space| {
        let value = "hunter2-hunter2";
        let manifest =
            manifest_yaml("1.2.3") + &format!("observability: {{alerts: {{password: {value}}}}}\n");
        space
            .publish_files("v1.2.3", &[("manifest.yaml", &manifest)])
            .await;
        space.environment("dev", &[], json!([])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (_, message) = space.refused("to-dev", "GateFailed").await;
        assert!(
            message.contains("manifest.yaml") && message.contains("password"),
            "{message}"
        );
        let everything = space.kubectl(&["get", "promotions,jobs,pods,events", "--output=yaml"]);
        assert!(!everything.contains(value));
    })
    .await;
}

#[tokio::test]
async fn a_manifest_of_another_version_is_refused() {
    in_space("version", async |space| {
        let manifest = manifest_yaml("1.2.4");
        space
            .publish_files("v1.2.3", &[("manifest.yaml", &manifest)])
            .await;
        space.environment("dev", &[], json!([])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (_, message) = space.refused("to-dev", "GateFailed").await;
        assert!(
            message.contains("metadata.version") && message.contains("v1.2.3"),
            "{message}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_document_that_does_not_parse_is_refused() {
    in_space("parse", async |space| {
        let files = [
            ("manifest.yaml", &*manifest_yaml("1.2.3")),
            ("policies/a.yaml", "- name: [unclosed"),
        ];
        space.publish_files("v1.2.3", &files).await;
        space.environment("dev", &[], json!([])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (_, message) = space.refused("to-dev", "GateFailed").await;
        assert!(message.contains("policies/a.yaml"), "{message}");
    })
    .await;
}

/// Rules that an artifact brings along.
const OWN_RULES: &str = "
- name: models-are-tested
  match: document.path.startsWith('models/')
  expression: has(document.content.tests)
  message: a model needs tests
";

impl Space {
    /// Applies the policy of dev with these rules and exceptions.
    async fn dev_with(&self, rules: Value, exceptions: Value) {
        let artifact =
            json!({ "name": "platform", "repository": self.repository(), "plainHTTP": true });
        let spec = json!({ "artifacts": [artifact], "policyRules": rules, "policyExceptions": exceptions });
        self.apply::<EnvironmentPolicy>(json!({ "metadata": { "name": "dev" }, "spec": spec }))
            .await;
    }

    /// Publishes a version with two models, and rules of its own.
    async fn publish_models(&self, version: &str, orders: &str) {
        let manifest = manifest_yaml(version.trim_start_matches('v'));
        let files = [
            ("manifest.yaml", &*manifest),
            ("models/customers.yaml", "{owner: team-a, tests: [unique]}"),
            ("models/orders.yaml", orders),
            ("policies/own.yaml", OWN_RULES),
        ];
        self.publish_files(version, &files).await;
    }
}

#[tokio::test]
async fn rules_of_the_policy_and_of_the_artifact_name_document_and_message_and_warnings_only_warn()
{
    in_space("rules", async |space| {
        let rules = json!([
            { "name": "models-are-owned", "match": "document.path.startsWith('models/')",
              "expression": "has(document.content.owner)", "message": "a model needs an owner" },
            { "name": "retention-is-said", "severity": "warning",
              "expression": "has(manifest.governance)", "message": "say how long data is kept" },
            { "name": "only-in-prod", "match": "environment.name == 'prod'", "expression": "false", "message": "never seen" },
        ]);
        space.dev_with(rules.clone(), json!([])).await;
        space.publish_models("v1.2.3", "{columns: [id]}").await;
        space.promote("bad", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("bad", "GateFailed").await;
        let found = of_gate(&ended, "policy_compliance").findings;
        let has = |words: &[&str]| found.iter().any(|one| words.iter().all(|word| one.contains(word)));
        assert!(has(&["models/orders.yaml", "a model needs an owner", "models-are-owned"]), "{found:?}");
        assert!(has(&["models/orders.yaml", "a model needs tests", "models-are-tested"]), "{found:?}");
        assert!(has(&["say how long data is kept", "retention-is-said"]), "{found:?}");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(message.contains("models/orders.yaml"), "{message}");

        space.publish_models("v1.2.4", "{owner: team-b, columns: [id]}").await;
        let accepted = json!([{ "rule": "models-are-tested", "path": "models/o*", "reason": "SEC-1", "expires": "2099-12-31" }]);
        space.dev_with(rules, accepted).await;
        space.promote("good", "v1.2.4", "dev").await;
        let passed = of_gate(&space.promoted("good").await, "policy_compliance");
        assert_eq!(passed.outcome, "Passed");
        assert!(passed.findings.iter().any(|one| one.contains("say how long data is kept")), "{passed:?}");
    })
    .await;
}

#[tokio::test]
async fn a_rule_that_cannot_be_evaluated_refuses_also_when_it_would_only_warn() {
    in_space("broken", async |space| {
        space.publish("v1.2.3").await;
        let broken = json!([{ "name": "broken", "severity": "warning", "expression": "manifest.no.such.field == 1", "message": "m" }]);
        space.dev_with(broken, json!([])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (_, message) = space.refused("to-dev", "GateFailed").await;
        assert!(message.contains("broken"), "{message}");
    })
    .await;
}
