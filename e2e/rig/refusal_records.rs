//! Requests that were not promoted, beside the artifact: only where the policy asks for it.

use floe::api::Promotion;
use floe::domain::record::RefusalStatement;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::harness::Rig;
use crate::jobs::Wish;
use crate::oci::Referrer;
use crate::proxy::Fault;
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{SOON, World, gates, message, reason};

pub async fn a_refusal_lies_beside_the_artifact_where_the_policy_asks_for_it(rig: Rig) {
    for kind in [Kind::Referrers, Kind::Distribution] {
        let (world, digest) = in_dev(&rig, kind, "Registry").await;
        world
            .jobs
            .wish("gate-1", Wish::Fail("3 of 12 tests failed".to_owned()));
        world.promote("one", "v1.0.0", "dev").await;
        let ended = world.ended("one").await;
        assert_eq!(reason(&ended), "GateFailed");
        until_marked(&world, "one").await;
        let statement = only(&world, &digest).await;
        let predicate = &statement.predicate;
        assert_eq!(statement.predicate_type, "https://floe.dev/refusal/v1/dev");
        assert_eq!(predicate.requested_by.as_deref(), Some("alice"));
        assert_eq!(Some(&predicate.id), ended.metadata.uid.as_ref());
        assert_eq!(predicate.result, "GateFailed");
        assert_eq!(predicate.message.as_deref(), Some(message(&ended).as_str()));
        let gates: Vec<&str> = predicate
            .gates
            .iter()
            .map(|gate| gate.outcome.as_str())
            .collect();
        assert_eq!(gates, ["Passed", "Failed"]);
        assert_eq!(predicate.artifact.digest.to_string(), digest);
        let finished = ended.status.unwrap().finished_at.unwrap();
        assert_eq!(predicate.decided_at, finished.0);
        assert_eq!(world.repository.digest("v1.0.0-dev").await, None);
        let ledger = world.ledger("dev").await;
        assert_eq!((ledger.in_flight, ledger.audit), (None, None));

        // It has no place in the chain, and does not stand in the way of the next try.
        world.jobs.wish("gate-1", Wish::Pass);
        world.promote("two", "v1.0.0", "dev").await;
        assert_eq!(reason(&world.ended("two").await), "Promoted");
        let [record] = world.repository.records(&digest).await.try_into().unwrap();
        assert_eq!(record.json()["predicate"]["sequence"], 1);
        world.kill_operators().await;
    }
}

pub async fn a_request_that_is_deleted_is_a_refusal_too_but_not_where_the_log_is_enough(rig: Rig) {
    for (word, count) in [("Registry", 1), ("Log", 0)] {
        let (world, digest) = in_dev(&rig, Kind::Referrers, word).await;
        world.jobs.wish("policy_compliance", Wish::Never);
        world.promote("one", "v1.0.0", "dev").await;
        world.jobs.until_waiting("policy_compliance").await;
        delete(&world, "one").await;
        world.until_gone("one").await;
        let referrers = world.repository.referrers(&digest).await;
        assert_eq!(referrers.len(), count);
        for refusal in referrers {
            assert_eq!(read(&refusal).predicate.result, "Aborted");
        }
        world.kill_operators().await;
    }
}

pub async fn a_refusal_waits_for_the_registry_and_the_object_for_the_refusal(rig: Rig) {
    let (world, digest) = in_dev(&rig, Kind::Referrers, "Registry").await;
    world
        .jobs
        .wish("gate-1", Wish::Fail("3 of 12 tests failed".to_owned()));
    let denied = Fault::registry_error(403, "DENIED");
    let writes = "PUT manifests/sha256";
    world
        .proxy
        .faults
        .always(denied, move |seen, _| seen.key.contains(writes));
    world.promote("one", "v1.0.0", "dev").await;
    let failed = |promotion: &Promotion| reason(promotion) == "GateFailed";
    world.until("one", "failed", SOON, failed).await;
    delete(&world, "one").await;
    until_told(&world, "RefusalNotRecorded").await;
    assert!(world.promotions().get_opt("one").await.unwrap().is_some());
    assert_eq!(world.ledger("dev").await.in_flight, None);
    // Deleting it, or the claim that was given back, is no reason to try again at once.
    world.proxy.trace.until_quiet(seconds(3), seconds(10)).await;
    let tries = world.proxy.trace.since(0).into_iter();
    let tries = tries.filter(|entry| entry.seen.key.contains(writes));
    assert_eq!(tries.count(), 1);
    world.proxy.faults.clear();
    world.until_gone("one").await;
    let refusal = only(&world, &digest).await;
    assert_eq!(refusal.predicate.result, "GateFailed");
    until_told(&world, "RefusalRecorded").await;
}

/// A policy with this word for refusals, an operator, and a version that was published: its digest.
async fn in_dev(rig: &Rig, kind: Kind, refusals: &str) -> (World, String) {
    let world = World::new(rig, kind).await;
    world
        .policy(
            "dev",
            json!({ "recordRefusals": refusals, "gates": gates(1) }),
        )
        .await;
    let digest = world.repository.publish("v1.0.0", "v1.0.0").await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    (world, digest)
}

/// The refusal that is all that refers to this digest.
async fn only(world: &World, digest: &str) -> RefusalStatement {
    let referrers = world.repository.referrers(digest).await;
    let [refusal] = referrers.try_into().unwrap();
    read(&refusal)
}

fn read(refusal: &Referrer) -> RefusalStatement {
    serde_json::from_value(refusal.json()).unwrap()
}

async fn delete(world: &World, name: &str) {
    let (promotions, parameters) = (world.promotions(), DeleteParams::default());
    promotions.delete(name, &parameters).await.unwrap();
}

async fn until_told(world: &World, reason: &str) {
    let events: Api<Event> = Api::namespaced(world.hand.clone(), &world.namespace);
    until(&format!("an Event says {reason}"), SOON, async || {
        let events = events.list(&ListParams::default()).await.ok()?;
        let mut reasons = events
            .items
            .iter()
            .filter_map(|event| event.reason.as_deref());
        reasons.any(|told| told == reason).then_some(())
    })
    .await;
}

async fn until_marked(world: &World, name: &str) {
    until("the promotion is let go of", SOON, async || {
        let promotion = world.promotions().get(name).await.ok()?;
        let finalizers = promotion.metadata.finalizers.unwrap_or_default();
        finalizers.is_empty().then_some(())
    })
    .await;
}
