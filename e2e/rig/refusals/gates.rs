//! Refusals of gates.

use floe::domain::gates::job_name;
use floe::domain::policy::Environment;
use floe::domain::verdict::planned_gates;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::Refusal;
use crate::harness::Rig;
use crate::jobs::Wish;
use crate::registries::Kind;
use crate::world::{World, gates};

pub async fn a_gate_that_was_too_slow_fails_the_promotion(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({ "gates": gates(1) })).await;
    refusal.world.jobs.wish("gate-1", Wish::TimeOut);
    refusal.world.promote("one", "v1.0.0", "dev").await;
    refusal
        .fails("one", "GateTimedOut", &["gate-1", "300"])
        .await;
}

pub async fn a_gate_that_could_not_be_run_fails_the_promotion(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({ "gates": gates(1) })).await;
    refusal
        .world
        .jobs
        .wish("gate-1", Wish::Error("/bin/test: no such file".to_owned()));
    refusal.world.promote("one", "v1.0.0", "dev").await;
    refusal
        .fails("one", "GateError", &["gate-1", "/bin/test: no such file"])
        .await;
}

pub async fn a_gate_without_a_readable_result_has_not_passed(rig: Rig) {
    for (name, said) in [
        ("nothing", ""),
        ("prose", "all fine"),
        ("half", "{\"floe\":1,\"exitCode\":0"),
    ] {
        let refusal = Refusal::in_dev(&rig, json!({ "gates": gates(1) })).await;
        refusal
            .world
            .jobs
            .wish("gate-1", Wish::Says(said.to_owned()));
        refusal.world.promote(name, "v1.0.0", "dev").await;
        refusal
            .fails(name, "GateError", &["gate-1", "result"])
            .await;
    }
}

pub async fn an_image_that_cannot_be_pulled_is_named_within_a_minute(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({ "gates": gates(1) })).await;
    refusal.world.jobs.wish("gate-1", Wish::CannotPull);
    let began = std::time::Instant::now();
    refusal.world.promote("one", "v1.0.0", "dev").await;
    let over = crate::world::is_over;
    refusal
        .world
        .until("one", "ended", crate::wait::seconds(75), over)
        .await;
    assert!(
        began.elapsed() >= crate::wait::seconds(50),
        "a registry may come back"
    );
    refusal
        .fails("one", "GateError", &["gate-1", "rig.invalid/tests:1"])
        .await;
}

pub async fn a_job_of_the_right_name_made_by_someone_else_counts_for_nothing(rig: Rig) {
    for (name, owned) in [("unowned", false), ("owned", true)] {
        let world = World::new(&rig, Kind::Referrers).await;
        world.policy("dev", json!({ "gates": gates(1) })).await;
        let digest = world.repository.publish("v1.0.0", "first").await;
        let refusal = Refusal::from(world).await;
        let world = &refusal.world;
        // The stranger is there first: no operator runs yet.
        world.jobs.wish("gate-1", Wish::Nothing);
        let promotion = world.promote(name, "v1.0.0", "dev").await;
        let environment = Environment::of(&world.policies().get("dev").await.unwrap());
        let planned = planned_gates(&environment, &digest.parse().unwrap());
        let gate = planned.iter().find(|gate| gate.name == "gate-1").unwrap();
        let job = job_name(
            name,
            &promotion.uid().unwrap(),
            "gate-1",
            0,
            &gate.spec_hash,
        );
        let owner = owned.then(|| json!(promotion.controller_owner_ref(&()).unwrap()));
        forge(world, &job, owner, &promotion.uid().unwrap()).await;
        world.operator("one").await;
        refusal
            .fails(name, "GateError", &["gate-1", &job, "delete it"])
            .await;
    }
}

/// A Job that looks as if the gate had passed.
async fn forge(world: &World, name: &str, owner: Option<Value>, uid: &str) {
    let labels = json!({ floe::api::LABEL_GATE: "gate-1", floe::api::LABEL_REQUEST_UID: uid });
    let mut job = json!({
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": { floe::api::ANNOTATION_SPEC_HASH: "sha256:of-something-else" },
        },
        "spec": { "template": { "metadata": { "labels": labels }, "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "gate", "image": "rig.invalid/mine" }],
        } } },
    });
    if let Some(owner) = owner {
        job["metadata"]["ownerReferences"] = json!([owner]);
    }
    let job: Job = serde_json::from_value(job).expect("a Job");
    let jobs: Api<Job> = Api::namespaced(world.hand.clone(), &world.namespace);
    let made = jobs
        .create(&PostParams::default(), &job)
        .await
        .expect("make a Job");
    world.jobs.pass_now(&made).await;
}
