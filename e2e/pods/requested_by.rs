//! Who asks is who the API server authenticated.

use floe::api::Promotion;
use kube::Api;
use serde_json::json;

use crate::space::in_space;

#[tokio::test]
async fn a_forged_requester_is_replaced_by_the_authenticated_one() {
    in_space("forged", async |space| {
        space.kubectl(&[
            "create",
            "rolebinding",
            "alice",
            "--clusterrole=edit",
            "--user=alice@acme.example",
        ]);
        let forged = json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
            "metadata": { "name": "forged", "namespace": space.name },
            "spec": { "version": "v1.2.3", "to": "nowhere", "requestedBy": "bob@acme.example" },
        });
        let mut config = kube::Config::infer().await.unwrap();
        config.auth_info.impersonate = Some("alice@acme.example".to_owned());
        let as_alice: Api<Promotion> =
            Api::namespaced(kube::Client::try_from(config).unwrap(), &space.name);
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
        // edit may ask for promotions, but not decide what a version must pass.
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
