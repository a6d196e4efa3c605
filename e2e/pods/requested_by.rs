//! Who asks is who the API server authenticated, and nobody gets at more than they may.

use std::time::{Duration, Instant};

use floe::api::{EnvironmentPolicy, Promotion};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::space::{gate, in_space};

async fn alice() -> kube::Client {
    let mut config = kube::Config::infer().await.unwrap();
    config.auth_info.impersonate = Some("alice@acme.example".to_owned());
    kube::Client::try_from(config).unwrap()
}

#[tokio::test]
async fn who_may_not_read_a_secret_cannot_have_a_gate_read_it() {
    in_space("handover", async |space| {
        let allow = |name: &str, verbs: &str, resource: &str, one: &[&str]| {
            space.kubectl(&[&["create", "role", name, verbs, resource], one].concat());
            let role = format!("--role={name}");
            space.kubectl(&["create", "rolebinding", name, &role, "--user=alice@acme.example"]);
        };
        let policies = "--resource=environmentpolicies.promotion.floe.dev";
        allow("author", "--verb=create,get,patch,update", policies, &[]);
        allow("runner", "--verb=create", "--resource=jobs.batch", &[]);
        let as_alice: Api<EnvironmentPolicy> = Api::namespaced(alice().await, &space.name);
        let apply = async |command: &str| {
            let mut with = gate("scan", "Custom", command);
            with["credentials"] = json!({ "secretName": "registry" });
            let artifact = json!({ "name": "platform", "repository": space.repository() });
            let object = json!({
                "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy", "metadata": { "name": "dev" },
                "spec": { "artifacts": [artifact], "gates": [with] },
            });
            let parameters = PatchParams::apply("alice").force();
            as_alice.patch("dev", &parameters, &Patch::Apply(&object)).await
        };
        let refused = apply("true").await.unwrap_err().to_string();
        assert!(
            refused.contains("alice@acme.example may not get the Secret registry"),
            "{refused}"
        );
        allow("reader", "--verb=get", "--resource=secrets", &["--resource-name=registry"]);
        until(async || apply("true").await.is_ok()).await;
        // Somebody else's reference is no help: a new command would read it.
        space.kubectl(&["delete", "rolebinding", "reader"]);
        until(async || apply("cat /floe/registry/config.json").await.is_err()).await;
    })
    .await;
}

/// Rights take a moment to act.
async fn until(holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "not as expected after 20 s");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_forged_requester_is_replaced_by_the_authenticated_one() {
    in_space("forged", async |space| {
        space.kubectl(&[
            "create",
            "rolebinding",
            "alice",
            "--clusterrole=floe-promoter",
            "--user=alice@acme.example",
        ]);
        let forged = json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
            "metadata": { "name": "forged", "namespace": space.name },
            "spec": { "version": "v1.2.3", "to": "nowhere", "requestedBy": "bob@acme.example" },
        });
        let as_alice: Api<Promotion> = Api::namespaced(alice().await, &space.name);
        let parameters = kube::api::PostParams::default();
        let made = as_alice
            .create(&parameters, &serde_json::from_value(forged).unwrap())
            .await
            .unwrap();
        assert_eq!(
            made.spec.requested_by.as_deref(),
            Some("alice@acme.example")
        );
        assert_eq!(
            made.metadata.finalizers.unwrap(),
            ["promotion.floe.dev/finish"]
        );
        // A promoter may ask for promotions, but not decide what a version must pass.
        let (may, _) = space.try_kubectl(&[
            "auth",
            "can-i",
            "create",
            "environmentpolicies.promotion.floe.dev",
            "--as=alice@acme.example",
        ]);
        assert!(!may);
    })
    .await;
}
