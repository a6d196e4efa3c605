//! The ledger is a cache: when it is lost, the registry tells what was in it.

use std::rc::Rc;

use floe::api::{EnvironmentPolicy, LedgerArtifact};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::harness::Rig;
use crate::jobs::Wish;
use crate::main_scenario::three_environments;
use crate::proxy::{Fault, Moment};
use crate::registries::Kind;
use crate::supervisor::Supervisor;
use crate::wait::{seconds, until};
use crate::world::{SOON, World, is_over, reason, stage};

pub async fn a_lost_ledger_is_read_from_the_registry_again(rig: Rig) {
    for kind in [Kind::Referrers, Kind::Distribution] {
        let world = three_environments(&rig, kind).await;
        for (number, version) in ["v1.0.0", "v1.1.0-rc.1+build.7", "v1.1.0"]
            .iter()
            .enumerate()
        {
            world
                .repository
                .publish(&version.replace('+', "_"), version)
                .await;
            for to in ["dev", "staging"] {
                let name = format!("{to}-{number}");
                world.promote(&name, version, to).await;
                let ended = world.ended(&name).await;
                assert_eq!(
                    reason(&ended),
                    "Promoted",
                    "{name}: {}",
                    crate::world::message(&ended)
                );
            }
        }
        for environment in ["dev", "staging", "prod"] {
            let before = ledger(&world, environment).await;
            wipe(&world, environment).await;
            let after = rebuilt(&world, environment).await;
            assert_eq!(after, before, "{kind:?}, {environment}");
        }
        // What it knows still counts: the next version goes on, a lower one does not.
        world.promote("prod-2", "v1.1.0", "prod").await;
        assert_eq!(reason(&world.ended("prod-2").await), "Promoted");
        world.promote("lower", "v1.0.0", "prod").await;
        assert_eq!(reason(&world.ended("lower").await), "Downgrade");
    }
}

pub async fn a_ledger_that_is_lost_while_gates_run_does_not_disturb(rig: Rig) {
    let world = three_environments(&rig, Kind::Referrers).await;
    world.repository.publish("v1.0.0", "first").await;
    world.jobs.wish("gate-1", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world.jobs.until_waiting("gate-1").await;
    wipe(&world, "dev").await;
    world.jobs.end("gate-1", &Wish::Pass).await;
    assert_eq!(reason(&world.ended("one").await), "Promoted");
    let ledger = ledger(&world, "dev").await;
    assert_eq!(ledger[0].history.len(), 1);
    assert!(ledger[0].in_flight.is_none());
}

pub async fn a_claim_that_nobody_gives_back_any_more_is_given_back(rig: Rig) {
    let world = three_environments(&rig, Kind::Referrers).await;
    let mut policy = world.policies().get("dev").await.unwrap();
    let slot = json!({
        "kind": "Promotion", "name": "gone", "uid": "gone", "tag": "v1.0.0-dev", "digest": "sha256:00",
        "holder": "gone", "since": "2026-01-01T00:00:00Z",
    });
    let of_artifact = &mut policy.status.as_mut().unwrap().artifacts[0];
    of_artifact.in_flight = Some(serde_json::from_value(slot).unwrap());
    let parameters = PostParams::default();
    let by_hand: Api<EnvironmentPolicy> = Api::namespaced(world.hand.clone(), &world.namespace);
    by_hand
        .replace_status("dev", &parameters, &policy)
        .await
        .unwrap();
    until("the claim is given back", SOON, async || {
        ledger(&world, "dev").await[0]
            .in_flight
            .is_none()
            .then_some(())
    })
    .await;
}

pub async fn a_ledger_that_is_lost_in_the_middle_of_the_writes_does_not_end_the_promotion_too_early(
    rig: Rig,
) {
    // Tag and record are there, `latest` is not: from the registry it looks as if it had been promoted.
    for key in [
        "registry PUT manifests/v1.0.0-dev",
        "registry PUT manifests/latest-dev",
    ] {
        let world = Rc::new(World::new(&rig, Kind::Referrers).await);
        let digest = world.repository.publish("v1.0.0", "first").await;
        world.policy("dev", json!({})).await;
        let killed_at = key.to_owned();
        let moment = if key.contains("latest") {
            Moment::Before
        } else {
            Moment::After
        };
        world
            .proxy
            .faults
            .once(Fault::Kill(moment), move |seen, _| seen.key == killed_at);
        let first = world.operator("one").await;
        world.policy_ready("dev").await;
        world.promote("one", "v1.0.0", "dev").await;
        first.until_gone(SOON).await;
        wipe(&world, "dev").await;
        let _supervisor = Supervisor::start(&world, "two", false);
        let ended = world.until("one", "ended", seconds(60), is_over).await;
        assert_eq!(
            (stage(&ended).as_str(), reason(&ended).as_str()),
            ("Succeeded", "Promoted"),
            "lost after {key}"
        );
        assert_eq!(
            world.repository.digest("latest-dev").await.as_ref(),
            Some(&digest),
            "lost after {key}"
        );
        assert_eq!(
            world.repository.records(&digest).await.len(),
            1,
            "lost after {key}"
        );
        let ledger = ledger(&world, "dev").await;
        assert_eq!(ledger[0].history.len(), 1, "lost after {key}");
        assert!(ledger[0].current.is_some(), "lost after {key}");
        assert!(ledger[0].in_flight.is_none(), "lost after {key}");
        world.kill_operators().await;
    }
}

async fn ledger(world: &World, environment: &str) -> Vec<LedgerArtifact> {
    let policy = world
        .policies()
        .get(environment)
        .await
        .expect("the policy exists");
    policy
        .status
        .map(|status| status.artifacts)
        .unwrap_or_default()
}

/// Removes the whole status.
async fn wipe(world: &World, environment: &str) {
    until("the status is wiped", SOON, async || {
        let mut policy = world
            .policies()
            .get(environment)
            .await
            .expect("the policy exists");
        policy.status = None;
        let by_hand: Api<EnvironmentPolicy> = Api::namespaced(world.hand.clone(), &world.namespace);
        by_hand
            .replace_status(environment, &PostParams::default(), &policy)
            .await
            .ok()
    })
    .await;
}

async fn rebuilt(world: &World, environment: &str) -> Vec<LedgerArtifact> {
    until(
        &format!("the ledger of '{environment}' is back"),
        SOON,
        async || {
            let ledger = ledger(world, environment).await;
            (!ledger.is_empty()).then_some(ledger)
        },
    )
    .await
}
