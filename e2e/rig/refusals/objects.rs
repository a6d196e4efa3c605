//! Malformed objects of our own kinds: the operator reads what a looser CRD has let in, and others go on.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, Identity};
use crate::harness::Rig;
use crate::install;
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{World, reason};

pub async fn a_malformed_object_of_any_kind_is_left_alone_and_others_go_on(rig: Rig) {
    // Its own control plane: the CRDs let everything in.
    let mut rig = rig;
    rig.control_plane = Arc::new(ControlPlane::start(&rig.folder).await);
    install::install(&rig.control_plane, &rig.folder).await;
    let world = World::new(&rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    loosen(&world).await;
    for (kind, plural, spec) in [
        (
            "Promotion",
            "promotions",
            json!({ "version": 7, "to": "dev", "artifact": ["platform"] }),
        ),
        ("Promotion", "promotions", json!({ "to": "dev" })),
        (
            "EnvironmentPolicy",
            "environmentpolicies",
            // Admission policies refuse what they cannot read, so it is malformed where they do not look.
            json!({ "artifacts": [], "versionOrder": 3 }),
        ),
    ] {
        store(&world, kind, plural, &spec).await;
    }
    world.operator("one").await;
    world.policy_ready("dev").await;
    world.repository.publish("v1.0.0", "first").await;
    world.promote("good", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("good").await), "Promoted");
    // One that comes while the operator runs, and one that spoils the policy itself.
    store(
        &world,
        "Promotion",
        "promotions",
        &json!({ "version": {}, "to": "dev" }),
    )
    .await;
    world.repository.publish("v1.1.0", "second").await;
    world.promote("better", "v1.1.0", "dev").await;
    assert_eq!(reason(&world.ended("better").await), "Promoted");
}

/// Lets every specification in.
async fn loosen(world: &World) {
    let crds: Api<CustomResourceDefinition> = Api::all(world.admin.clone());
    let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    for name in [
        "promotions.promotion.floe.dev",
        "environmentpolicies.promotion.floe.dev",
    ] {
        let patch = json!([{
            "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
            "value": { "type": "object", "properties": { "spec": anything, "status": anything } },
        }]);
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).expect("a patch"));
        crds.patch(name, &PatchParams::default(), &patch)
            .await
            .expect("loosen a CRD");
    }
}

async fn store(world: &World, kind: &str, plural: &str, spec: &Value) {
    let resource = ApiResource {
        group: floe::api::GROUP.to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: format!("{}/v1alpha1", floe::api::GROUP),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    let client = world.rig.control_plane.client(Identity::Admin).await;
    let api: Api<DynamicObject> = Api::namespaced_with(client, &world.namespace, &resource);
    let object = json!({
        "apiVersion": resource.api_version, "kind": kind, "metadata": { "generateName": "malformed-" }, "spec": spec,
    });
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    // The loosened CRD takes a moment to act.
    until("the malformed object is stored", seconds(20), async || {
        api.create(&PostParams::default(), &object).await.ok()
    })
    .await;
}
