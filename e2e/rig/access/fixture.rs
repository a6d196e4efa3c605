//! What is there before the table is asked.

use floe::api::{ANNOTATION_REQUEST, FINALIZER, LABEL_GATE, LABEL_REQUEST_UID, LABEL_RESULT};
use reqwest::Method;
use serde_json::{Value, json};

use super::caller::{Caller, GATE, POD};
use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::kubectl::Kubectl;
use crate::wait::{seconds, until};

pub(super) async fn make(rig: &Rig, caller: &Caller) {
    let admin = Kubectl::new(&rig.control_plane, &rig.folder, Identity::Admin);
    let rights = include_str!("rights.yaml");
    until("namespace and rights are there", seconds(20), async || {
        admin.run(&["apply", "-f", "-"], rights).await.ok()
    })
    .await;
    let artifact = json!([{ "name": "a", "repository": "r.example/a" }]);
    let gate = json!([{ "name": "g", "type": "Tests", "image": "i:1", "command": ["t"] }]);
    let dev = json!({ "spec": { "artifacts": artifact, "gates": gate } });
    let prod = json!({ "spec": { "promotesFrom": ["dev"], "artifacts": artifact } });
    caller
        .store("root", Method::POST, "environmentpolicies/dev", &dev)
        .await;
    caller
        .store("root", Method::POST, "environmentpolicies/prod", &prod)
        .await;
    let secret = json!({ "stringData": { "password": "of nobody here" } });
    caller
        .store("root", Method::POST, "secrets/secret", &secret)
        .await;
    let promotion = promotions(rig, caller).await;
    gate_of(caller, &promotion).await;
    caller
        .store("root", Method::POST, "jobs/other", &json!({}))
        .await;
    caller
        .store("root", Method::POST, "pods/other", &json!({}))
        .await;
}

/// The Promotion `of-ann`, and others beside it.
async fn promotions(rig: &Rig, caller: &Caller) -> Value {
    let of_ann = json!({ "spec": { "version": "v1.0.0", "to": "dev" } });
    let of_ben = json!({ "spec": { "version": "v1.0.0", "to": "prod", "from": "dev" } });
    let made = until("ann may promote into dev", seconds(20), async || {
        // The first of them waits until the rights act.
        let ann = Kubectl::new(&rig.control_plane, &rig.folder, Identity::Admin);
        let asked = [
            "auth",
            "can-i",
            "promote",
            "environmentpolicies.promotion.floe.dev/dev",
        ];
        let args = [&asked[..], &["--as=ann", "--namespace=access"]].concat();
        ann.run(&args, "").await.ok()
    });
    made.await;
    for name in ["ended", "aborted"] {
        let on = format!("promotions/{name}");
        caller.store("ann", Method::POST, &on, &of_ann).await;
    }
    let made = caller
        .store("ann", Method::POST, "promotions/of-ann", &of_ann)
        .await;
    caller
        .store("ben", Method::POST, "promotions/of-ben", &of_ben)
        .await;
    let abort = json!({ "spec": { "abort": { "by": "ann" } } });
    caller
        .store("ann", Method::PATCH, "promotions/aborted", &abort)
        .await;
    let status = json!({ "status": { "stage": "Failed", "finishedAt": "2026-01-01T00:00:00Z" } });
    caller
        .store("hand", Method::PATCH, "promotions/ended/status", &status)
        .await;
    let label = json!({ "metadata": { "labels": { LABEL_RESULT: "Failed" }, "finalizers": null } });
    caller
        .store("hand", Method::PATCH, "promotions/ended", &label)
        .await;
    assert_eq!(made["metadata"]["finalizers"], json!([FINALIZER]));
    made
}

/// A gate of the Promotion: its Job and its Pod, as operator and Job controller make them.
async fn gate_of(caller: &Caller, promotion: &Value) {
    let request = &promotion["metadata"]["uid"];
    let labels = json!({ LABEL_GATE: "g", LABEL_REQUEST_UID: request });
    let annotations = json!({ ANNOTATION_REQUEST: "of-ann" });
    let owner = json!([{
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion", "name": "of-ann", "uid": request, "controller": true,
    }]);
    let job = json!({
        "metadata": { "labels": labels, "annotations": annotations, "ownerReferences": owner },
        "spec": { "template": { "metadata": { "labels": labels } } },
    });
    let job = caller
        .store("operator", Method::POST, &format!("jobs/{GATE}"), &job)
        .await;
    let owner = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": GATE, "uid": job["metadata"]["uid"], "controller": true,
    }]);
    let mut labels = labels;
    labels["batch.kubernetes.io/controller-uid"] = job["metadata"]["uid"].clone();
    let pod = json!({
        "metadata": {
            "labels": labels, "annotations": annotations, "ownerReferences": owner,
            "finalizers": ["batch.kubernetes.io/job-tracking"],
        },
        "spec": { "containers": [{
            "name": "gate", "image": "i:1", "resources": { "requests": { "cpu": "1" }, "limits": { "cpu": "2" } },
        }] },
    });
    caller
        .store("job-controller", Method::POST, &format!("pods/{POD}"), &pod)
        .await;
}
