//! What may change in an object that is there, and what may not.

use floe::api::Promotion;
use kube::CustomResourceExt as _;
use kube::core::cel::validate_cel_update;
use serde_json::{Value, json};

use super::{parsed, promotion};

#[test]
fn a_promotion_is_not_changed() {
    let before = promotion("reason", json!("monday"));
    let after = |field: &str, value: Value| {
        let mut object = before.clone();
        object["spec"][field] = value;
        validate_cel_update::<Promotion>(&parsed(&object), &parsed(&before))
    };
    assert!(after("reason", json!("monday")).is_ok());
    for (field, value) in [
        ("reason", json!("tuesday")),
        ("version", json!("v1.2.4")),
        ("to", json!("dev")),
        ("from", json!("dev")),
        ("artifact", json!("app")),
        ("dryRun", json!(true)),
        ("digest", json!(format!("sha256:{}", "a".repeat(64)))),
        ("requestedBy", json!("mallory")),
        ("onBehalfOf", json!("github:mallory")),
    ] {
        let refused = after(field, value).expect_err(field).to_string();
        assert!(
            refused.contains("make a new one under another name"),
            "{field}: {refused}"
        );
    }
}

/// The rule names each field: one that is added later must be in it.
#[test]
fn every_field_of_a_promotion_but_abort_is_in_the_rule_that_keeps_it() {
    let crd = serde_json::to_value(Promotion::crd()).expect("a CRD is JSON");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let rules = schema["x-kubernetes-validations"].to_string();
    let fields = schema["properties"]["spec"]["properties"]
        .as_object()
        .expect("fields");
    assert!(fields.len() > 8);
    for field in fields.keys().filter(|field| *field != "abort") {
        let kept = format!("self.spec.{field} == oldSelf.spec.{field}");
        assert!(rules.contains(&kept), "{field} may be changed");
    }
}

#[test]
fn an_abort_is_added_once_and_before_the_end() {
    let with = |abort: Value, status: Value| {
        let mut object = promotion("reason", json!("monday"));
        if !abort.is_null() {
            object["spec"]["abort"] = abort;
        }
        object["status"] = status;
        parsed::<Promotion>(&object)
    };
    let running = json!({ "observedGeneration": 1 });
    let over = json!({ "observedGeneration": 1, "finishedAt": "2026-03-02T10:00:00Z" });
    let (alice, bob) = (
        json!({ "by": "alice", "reason": "too early" }),
        json!({ "by": "bob" }),
    );
    for (new, old) in [
        (
            with(alice.clone(), running.clone()),
            with(json!(null), running.clone()),
        ),
        (
            with(alice.clone(), over.clone()),
            with(alice.clone(), running.clone()),
        ),
    ] {
        assert!(validate_cel_update(&new, &old).is_ok());
    }
    for (new, old, says) in [
        (
            with(json!(null), running.clone()),
            with(alice.clone(), running.clone()),
            "taken back",
        ),
        (
            with(bob.clone(), running.clone()),
            with(alice.clone(), running.clone()),
            "taken back",
        ),
        (
            with(bob, over.clone()),
            with(json!(null), over),
            "nothing to abort",
        ),
    ] {
        let refused = validate_cel_update(&new, &old).expect_err(says).to_string();
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn a_plan_is_written_once() {
    let with_status = |status: Value| {
        let mut object = promotion("reason", json!("monday"));
        object["status"] = status;
        parsed::<Promotion>(&object)
    };
    let plan = |digest: &str| {
        json!({ "observedGeneration": 1, "plan": {
            "artifact": "app", "repository": "r/app", "sourceTag": "v1.2.3", "digest": digest, "mediaType": "m",
            "tag": "v1.2.3-prod", "latestTag": "latest-prod", "resolvedAt": "2026-03-02T10:00:00Z" } })
    };
    let mut without_status = with_status(json!({}));
    without_status.status = None;
    let without_plan = with_status(json!({ "observedGeneration": 1 }));
    let (one, other) = (with_status(plan("sha256:a")), with_status(plan("sha256:b")));
    let mut further = one.clone();
    further.status.as_mut().expect("a status").stage = Some("Gating".to_owned());
    for (new, old) in [
        (&without_plan, &without_status),
        (&one, &without_status),
        (&one, &without_plan),
        (&one, &one),
        (&further, &one),
    ] {
        assert!(validate_cel_update(new, old).is_ok());
    }
    for (new, old, says) in [
        (&other, &one, "cannot be changed"),
        (&without_plan, &one, "cannot be removed"),
        (&without_status, &one, "cannot be removed"),
    ] {
        let refused = validate_cel_update(new, old).expect_err(says).to_string();
        assert!(refused.contains(says), "{refused}");
    }
}
