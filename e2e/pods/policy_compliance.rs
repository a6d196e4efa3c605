//! The gate that runs always.

use serde_json::json;

use crate::registry::manifest_yaml;
use crate::space::in_space;

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
