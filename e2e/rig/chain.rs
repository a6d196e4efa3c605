//! Records form a chain, whatever becomes of the ledger that knows its head.

use floe::domain::record::VSA_TYPE;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::Rig;
use crate::oci::Referrer;
use crate::person::platform;
use crate::proxy::{Fault, Moment};
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{SOON, World, message, reason};

pub async fn each_record_names_the_one_before_it_and_the_summary_beside_it(rig: Rig) {
    for kind in [Kind::Referrers, Kind::Distribution] {
        let world = in_dev(&rig, kind).await;
        let digests = [
            promoted(&world, "v1.0.0").await,
            promoted(&world, "v1.1.0").await,
        ];
        let mut before: Option<Referrer> = None;
        for (number, digest) in (1..).zip(&digests) {
            let [record] = world.repository.records(digest).await.try_into().unwrap();
            let predicate = record.json()["predicate"].clone();
            assert_eq!(predicate["sequence"], number);
            match &before {
                None => assert_eq!(predicate["previous"], Value::Null),
                Some(before) => {
                    let identity = before.envelope().identity().to_string();
                    assert_eq!(predicate["previous"]["record"], identity);
                    assert_eq!(predicate["previous"]["referrer"], before.digest);
                    assert_eq!(predicate["previous"]["digest"], digests[0]);
                }
            }
            let summaries = world.repository.referrers(digest).await.into_iter();
            let [summary] = summaries
                .filter(|one| one.json()["predicateType"] == VSA_TYPE)
                .collect::<Vec<_>>()
                .try_into()
                .unwrap();
            assert_eq!(
                predicate["summary"],
                summary.envelope().identity().to_string()
            );
            let tag = format!("{}:v1.{}.0-dev", world.reference, number - 1);
            assert_eq!(summary.json()["predicate"]["resourceUri"], tag);
            let status = world
                .promotions()
                .get(&format!("to-v1-{}-0", number - 1))
                .await
                .unwrap();
            let audit = status.status.unwrap().audit.unwrap();
            assert_eq!(audit.record, record.envelope().identity().to_string());
            assert_eq!(
                (audit.referrer.as_str(), audit.sequence),
                (record.digest.as_str(), number)
            );
            assert_eq!(audit.summary, Some(summary.digest));
            before = Some(record);
        }
        let head = world.ledger("dev").await.audit.unwrap();
        assert_eq!((head.referrer, head.sequence), (before.unwrap().digest, 2));
    }
}

pub async fn a_ledger_from_an_older_copy_takes_what_is_missing_from_the_registry(rig: Rig) {
    let world = in_dev(&rig, Kind::Distribution).await;
    promoted(&world, "v1.0.0").await;
    let older = world.ledger("dev").await;
    promoted(&world, "v1.1.0").await;
    promoted(&world, "v1.2.0").await;
    let newest = world.ledger("dev").await;
    world.kill_operators().await;
    world.put_ledger("dev", &older).await;
    world.operator("later").await;
    until("the ledger has caught up", SOON, async || {
        (world.ledger("dev").await.audit == newest.audit).then_some(())
    })
    .await;
    assert_eq!(world.ledger("dev").await, newest);
    let digest = promoted(&world, "v1.3.0").await;
    let [record] = world.repository.records(&digest).await.try_into().unwrap();
    assert_eq!(record.json()["predicate"]["sequence"], 4);
}

pub async fn a_ledger_that_nothing_can_prove_stops_its_chain_until_a_record_is_accepted(rig: Rig) {
    let world = in_dev(&rig, Kind::Referrers).await;
    promoted(&world, "v1.0.0").await;
    let older = world.ledger("dev").await;
    promoted(&world, "v1.1.0").await;
    promoted(&world, "v1.2.0").await;
    let newest = world.ledger("dev").await.audit.unwrap();
    world.kill_operators().await;
    // The ledger is from an older copy, and the record between the two cannot be found any more.
    world.put_ledger("dev", &older).await;
    world.repository.retag("v1.0.0", "v1.1.0-dev").await;
    world.operator("later").await;

    let problem = until("the ledger is in doubt", SOON, async || {
        world.ledger("dev").await.unproven
    })
    .await;
    assert!(
        problem.contains("not all records between them"),
        "{problem}"
    );
    let policy = world.policies().get("dev").await.unwrap();
    let conditions = policy.status.unwrap().conditions;
    let stalled = conditions
        .iter()
        .find(|one| one.type_ == "Stalled")
        .unwrap();
    let stalled = (stalled.status.as_str(), stalled.reason.as_str());
    assert_eq!(stalled, ("True", "LedgerUnproven"));
    world.repository.publish("v1.3.0", "v1.3.0").await;
    world.promote("to-v1-3-0", "v1.3.0", "dev").await;
    let waiting = world.waits("to-v1-3-0", "LedgerUnproven").await;
    assert!(
        message(&waiting).contains("audit repair dev"),
        "{}",
        message(&waiting)
    );
    assert_eq!(world.repository.digest("v1.3.0-dev").await, None);

    let doubt = platform(&world, &["audit", "repair", "dev"]).await;
    let doubt = String::from_utf8(doubt.stdout).unwrap();
    assert!(doubt.contains(&problem), "{doubt}");
    assert!(doubt.contains("record 1, sha256:"), "{doubt}");
    let accept = ["audit", "repair", "dev", "--accept", &newest.record];
    let accepted = platform(&world, &accept).await;
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    assert_eq!(reason(&world.ended("to-v1-3-0").await), "Promoted");
    let after = world.ledger("dev").await;
    assert_eq!((after.unproven, after.audit.unwrap().sequence), (None, 4));
}

pub async fn a_promotion_that_is_removed_by_force_behind_its_record_keeps_its_place_in_the_chain(
    rig: Rig,
) {
    let world = World::new(&rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    let first = world.repository.publish("v1.0.0", "v1.0.0").await;
    world
        .proxy
        .faults
        .once(Fault::Kill(Moment::Before), |seen, _| {
            seen.key.contains("PUT manifests/latest-dev")
        });
    let operator = world.operator("one").await;
    world.policy_ready("dev").await;
    world.promote("to-v1-0-0", "v1.0.0", "dev").await;
    operator.until_gone(SOON).await;
    let by_hand: Api<floe::api::Promotion> = Api::namespaced(world.hand.clone(), &world.namespace);
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let (name, parameters) = ("to-v1-0-0", PatchParams::default());
    by_hand.patch(name, &parameters, &patch).await.unwrap();
    by_hand
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();

    world.operator("two").await;
    until("the claim is cleared", seconds(60), async || {
        world.ledger("dev").await.in_flight.is_none().then_some(())
    })
    .await;
    let left = world.ledger("dev").await;
    assert_eq!((left.current, left.history.len()), (None, 1));
    let [before] = world.repository.records(&first).await.try_into().unwrap();
    let digest = promoted(&world, "v1.1.0").await;
    let [record] = world.repository.records(&digest).await.try_into().unwrap();
    let predicate = &record.json()["predicate"];
    assert_eq!(predicate["sequence"], 2);
    let identity = before.envelope().identity().to_string();
    assert_eq!(predicate["previous"]["record"], identity);
}

async fn in_dev(rig: &Rig, kind: Kind) -> World {
    let world = World::new(rig, kind).await;
    world.policy("dev", json!({})).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    world
}

/// Publishes a version and promotes it into dev; gives back its digest.
async fn promoted(world: &World, version: &str) -> String {
    let digest = world.repository.publish(version, version).await;
    let name = format!("to-{}", version.replace('.', "-"));
    world.promote(&name, version, "dev").await;
    let ended = world.ended(&name).await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
    digest
}
