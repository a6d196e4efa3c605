//! Several things at once, and things that change on the way.

use std::time::Instant;

use floe::api::LABEL_GATE;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::harness::Rig;
use crate::jobs::{When, Wish};
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{SOON, World, gates, is_over, message, reason};

pub async fn many_promotions_at_once_into_one_environment_follow_each_other(rig: Rig) {
    const COUNT: usize = 8;
    let world = in_dev(&rig, 1).await;
    let mut digests = Vec::new();
    for number in 0..COUNT {
        digests.push(
            world
                .repository
                .publish(&format!("v1.0.{number}"), "one of many")
                .await,
        );
    }
    let began = Instant::now();
    let names: Vec<String> = (0..COUNT)
        .map(|number| format!("one-of-many-{number}"))
        .collect();
    join_all(names.iter().enumerate().map(|(number, name)| {
        let version = format!("v1.0.{number}");
        let world = &world;
        async move { world.promote(name, &version, "dev").await }
    }))
    .await;
    let mut promoted = 0;
    for (name, digest) in names.iter().zip(&digests) {
        let ended = world.until(name, "ended", seconds(90), is_over).await;
        let records = world.repository.records(digest).await.len();
        match reason(&ended).as_str() {
            "Promoted" => {
                promoted += 1;
                assert_eq!(records, 1, "{name}");
            }
            // A higher one came first.
            "Downgrade" => assert_eq!(records, 0, "{name}"),
            other => panic!("{name} ended as {other}: {}", message(&ended)),
        }
    }
    let took = began.elapsed();
    assert_eq!(
        world.repository.digest("latest-dev").await.as_ref(),
        digests.last()
    );
    let ledger = world
        .policies()
        .get("dev")
        .await
        .unwrap()
        .status
        .unwrap()
        .artifacts;
    assert_eq!(ledger[0].history.len(), promoted);
    assert!(ledger[0].in_flight.is_none());
    rig.report(format!(
        "{COUNT} promotions at once into one environment: {promoted} promoted, the others too low; {:.1} s",
        took.as_secs_f64()
    ));
}

pub async fn a_policy_that_changes_while_gates_run_runs_only_what_has_changed(rig: Rig) {
    let world = in_dev(&rig, 2).await;
    world.repository.publish("v1.0.0", "first").await;
    world.jobs.wish("gate-2", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world.jobs.until_waiting("gate-2").await;
    let before = jobs_by_gate(&world).await;
    // `gate-1` is another one now, `gate-3` is new.
    let mut changed = gates(3);
    changed[0]["args"] = json!(["--thorough"]);
    world.policy("dev", json!({ "gates": changed })).await;
    until("the new gate has a Job", SOON, async || {
        let jobs = jobs_by_gate(&world).await;
        (jobs.len() == before.len() + 2).then_some(())
    })
    .await;
    world.jobs.end("gate-2", &Wish::Pass).await;
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
    let after = jobs_by_gate(&world).await;
    let count = |gate: &str| after.iter().filter(|name| *name == gate).count();
    assert_eq!(
        ["policy_compliance", "gate-1", "gate-2", "gate-3"].map(count),
        [1, 2, 1, 1],
        "{after:?}"
    );
}

pub async fn a_job_that_is_deleted_before_its_result_was_seen_runs_again(rig: Rig) {
    let world = in_dev(&rig, 1).await;
    world.repository.publish("v1.0.0", "first").await;
    world.jobs.wish("gate-1", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world.jobs.until_waiting("gate-1").await;
    world.jobs.wish("gate-1", Wish::Pass);
    let jobs: Api<Job> = Api::namespaced(world.hand.clone(), &world.namespace);
    let of_gate = ListParams::default().labels(&format!("{LABEL_GATE}=gate-1"));
    let job = jobs.list(&of_gate).await.unwrap().items.remove(0);
    jobs.delete(&job.name_any(), &DeleteParams::background())
        .await
        .unwrap();
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
}

pub async fn events_tell_the_story_and_no_secret(rig: Rig) {
    let world = in_dev(&rig, 2).await;
    world.repository.publish("v1.0.0", "first").await;
    world.jobs.when(When::Together(3));
    for gate in ["gate-1", "gate-2"] {
        let said = format!("{gate} says no: password=hunter2 did not work");
        world.jobs.wish(gate, Wish::Fail(said));
    }
    world.promote("bad", "v1.0.0", "dev").await;
    let failed = world.ended("bad").await;
    assert_eq!(reason(&failed), "GateFailed");
    for gate in ["gate-1", "gate-2"] {
        world.jobs.wish(gate, Wish::Pass);
    }
    world.promote("good", "v1.0.0", "dev").await;
    world.ended("good").await;
    let events: Api<Event> = Api::namespaced(world.admin.clone(), &world.namespace);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let of = |name: &str| -> Vec<String> {
        let about = |event: &&Event| {
            event
                .regarding
                .as_ref()
                .and_then(|about| about.name.as_deref())
                == Some(name)
        };
        let mut told: Vec<&Event> = events.iter().filter(about).collect();
        told.sort_by_key(|event| event.event_time.clone());
        told.iter()
            .filter_map(|event| event.reason.clone())
            .collect()
    };
    assert_eq!(of("bad"), ["GatesStarted", "GateFailed", "GateFailed"]);
    assert_eq!(of("good"), ["GatesStarted", "Promoted"]);
    for gate in ["gate-1", "gate-2"] {
        let says = |event: &Event| {
            event
                .note
                .as_deref()
                .is_some_and(|note| note.contains(&format!("{gate} says no")))
        };
        assert!(events.iter().any(says), "no Event tells why {gate} failed");
    }
    let shown = format!(
        "{} {}",
        serde_json::to_string(&events).unwrap(),
        serde_json::to_string(&failed).unwrap()
    );
    assert!(!shown.contains("hunter2"), "a secret can be read");
}

async fn jobs_by_gate(world: &World) -> Vec<String> {
    let jobs: Api<Job> = Api::namespaced(world.admin.clone(), &world.namespace);
    let jobs = jobs.list(&ListParams::default()).await.unwrap();
    jobs.items
        .iter()
        .map(|job| job.labels()[LABEL_GATE].clone())
        .collect()
}

/// `dev` with this many gates of users, the operator at work.
async fn in_dev(rig: &Rig, count: usize) -> World {
    let world = World::new(rig, Kind::Referrers).await;
    world.policy("dev", json!({ "gates": gates(count) })).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    world
}
