//! The API as kubectl shows it.

use floe::api::Promotion;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::space::in_space;

#[tokio::test]
async fn kubectl_explain_has_a_text_for_every_field() {
    in_space("explain", async |space| {
        let definitions: Api<CustomResourceDefinition> = Api::all(space.client.clone());
        for name in [
            "promotions.promotion.floe.dev",
            "environmentpolicies.promotion.floe.dev",
        ] {
            let definition = definitions.get(name).await.unwrap();
            let schema = definition.spec.versions[0]
                .schema
                .clone()
                .unwrap()
                .open_api_v3_schema
                .unwrap();
            let mut bare = Vec::new();
            undescribed(&serde_json::to_value(schema).unwrap(), "", &mut bare);
            assert!(bare.is_empty(), "{name}: no description: {bare:?}");
        }
        let told = space.kubectl(&["explain", "promotion.spec"]);
        assert!(
            told.contains("version\t<string> -required-") && !told.contains("no description"),
            "{told}"
        );
    })
    .await;
}

fn undescribed(schema: &Value, path: &str, bare: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let by_kubernetes = [".apiVersion", ".kind", ".metadata"].contains(&path.as_str());
        if !by_kubernetes && field["description"].as_str().is_none_or(str::is_empty) {
            bare.push(path.clone());
        }
        undescribed(field, &path, bare);
        undescribed(&field["items"], &path, bare);
    }
}

#[tokio::test]
async fn every_gate_of_the_library_is_accepted_by_the_api_server() {
    in_space("library", async |space| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gates");
        let applied = space.kubectl(&[
            "apply",
            "--server-side",
            "--dry-run=server",
            "--filename",
            folder,
        ]);
        assert_eq!(
            applied.matches("serverside-applied").count(),
            8,
            "{applied}"
        );
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_at_once() {
    in_space("refuse", async |space| {
        space.promote("fixed", "v1.2.3", "nowhere").await;
        let promotions = space.api::<Promotion>();
        let change = Patch::Merge(json!({ "spec": { "version": "v1.2.4" } }));
        let refused = promotions.patch("fixed", &PatchParams::default(), &change).await.unwrap_err();
        assert!(refused.to_string().contains("make a new one under another name"), "{refused}");

        for (version, to) in [("latest", "dev"), ("1.2", "dev"), ("v1.2.3", "De v")] {
            let object = json!({ "metadata": { "name": "wrong" }, "spec": { "version": version, "to": to },
                "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion" });
            let parameters = PatchParams::apply("e2e");
            let refused = promotions.patch("wrong", &parameters, &Patch::Apply(&object)).await.unwrap_err();
            assert!(refused.to_string().contains("invalid") || refused.to_string().contains("Invalid"), "{refused}");
        }
    })
    .await;
}
