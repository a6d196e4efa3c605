//! Replicas, and environments with a repository of their own.

use floe::api::{Promotion, ReplicaStatus};
use floe::domain::record::VSA_TYPE;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::jobs::When;
use crate::oci::Referrer;
use crate::proxy::{Fault, Moment, Seen, Server};
use crate::refusals::signature::{asks, publish_key, sign};
use crate::registries::Kind;
use crate::wait::seconds;
use crate::world::{SOON, World, condition, is_over, message, reason, stage};

const NAME: &str = "west";

fn at_second(seen: &Seen, _: &str) -> bool {
    seen.server == Server::Second
}

pub async fn a_replica_gets_the_artifact_its_record_and_its_tags(rig: Rig) {
    for (required, second) in [(false, Kind::Distribution), (true, Kind::Referrers)] {
        let world = in_dev(&rig, second, required).await;
        let digest = world.repository.publish("v1.0.0", "first").await;
        world.promote("one", "v1.0.0", "dev").await;
        let ended = over(&world, "one").await;
        assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
        assert_eq!(replicated(&ended), "True");
        let replica = replica(&ended);
        assert_eq!(
            (replica.state.as_str(), replica.digest.as_deref()),
            ("Replicated", Some(digest.as_str()))
        );
        let tags = world.second().repository.tag_map().await;
        let both = [("latest-dev", &digest), ("v1.0.0-dev", &digest)];
        assert_eq!(
            tags,
            both.map(|(tag, digest)| (tag.to_owned(), digest.clone()))
                .into()
        );
        let records = world.repository.records(&digest).await;
        assert_eq!(records.len(), 1);
        assert_eq!(world.second().repository.records(&digest).await, records);
        let planned = &records[0].json()["predicate"]["replicas"];
        let expected = json!([{
            "name": NAME, "repository": world.second().reference, "required": required,
        }]);
        assert_eq!(*planned, expected);
        world.assert_counted_everything().await;
    }
}

pub async fn a_replica_that_is_down_does_not_hold_up_the_promotion_and_heals_by_itself(rig: Rig) {
    let world = in_dev(&rig, Kind::Distribution, false).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    down(&world);
    world.promote("one", "v1.0.0", "dev").await;
    let behind = behind(&world, "one").await;
    assert_eq!(reason(&behind), "Promoted");
    let failing = replica(&behind);
    assert_eq!(failing.reason.as_deref(), Some("RegistryUnavailable"));
    assert!(
        failing.last_error.is_some() && failing.next_try.is_some(),
        "{failing:?}"
    );
    assert!(!is_over(&behind), "it is still looked at");
    assert_eq!(world.repository.tag_map().await["latest-dev"], digest);
    // Others are not held up, and an operator that is started again goes on.
    world.repository.publish("v1.1.0", "second").await;
    world.promote("two", "v1.1.0", "dev").await;
    self::behind(&world, "two").await;
    world.kill_operators().await;
    world.operator("another").await;
    world.proxy.faults.clear();
    for name in ["one", "two"] {
        let healed = over(&world, name).await;
        assert_eq!(
            (reason(&healed).as_str(), replicated(&healed).as_str()),
            ("Promoted", "True")
        );
        assert_eq!(replica(&healed).last_error, None);
    }
    let tags = world.second().repository.tag_map().await;
    assert_eq!(
        tags["latest-dev"],
        world.repository.tag_map().await["latest-dev"]
    );
    assert_eq!(tags["v1.0.0-dev"], digest);
}

pub async fn a_replica_that_goes_down_in_the_middle_is_brought_up_to_date(rig: Rig) {
    for key in [
        "second POST blobs",
        "second PUT manifests/sha256:",
        "second PUT manifests/v1.0.0-dev",
        "second PUT manifests/latest-dev",
    ] {
        for required in [false, true] {
            let world = in_dev(&rig, Kind::Distribution, required).await;
            let digest = world.repository.publish("v1.0.0", "first").await;
            // More than the client tries by itself.
            let fault = Fault::Cut(Moment::Before);
            world
                .proxy
                .faults
                .nth(0, 6, fault, move |seen, _| seen.key.starts_with(key));
            world.promote("one", "v1.0.0", "dev").await;
            let ended = over(&world, "one").await;
            assert_eq!(reason(&ended), "Promoted", "{key}: {}", message(&ended));
            assert_eq!(replicated(&ended), "True", "{key}");
            let tags = world.second().repository.tag_map().await;
            assert_eq!(tags["v1.0.0-dev"], digest, "{key}");
            assert_eq!(tags["latest-dev"], digest, "{key}");
            assert_eq!(
                world.second().repository.records(&digest).await.len(),
                1,
                "{key}"
            );
            rig.passed_so_far();
        }
    }
}

pub async fn a_promotion_that_heals_late_does_not_move_latest_of_a_replica_back(rig: Rig) {
    let world = in_dev(&rig, Kind::Distribution, false).await;
    let first = world.repository.publish("v1.0.0", "first").await;
    let second = world.repository.publish("v1.1.0", "second").await;
    let tag_of_first = |seen: &Seen, _: &str| seen.key == "second PUT manifests/v1.0.0-dev";
    world
        .proxy
        .faults
        .always(Fault::Cut(Moment::Before), tag_of_first);
    world.promote("one", "v1.0.0", "dev").await;
    behind(&world, "one").await;
    world.promote("two", "v1.1.0", "dev").await;
    over(&world, "two").await;
    assert_eq!(
        world.second().repository.tag_map().await["latest-dev"],
        second
    );
    let mark = world.proxy.trace.mark();
    world.proxy.faults.clear();
    over(&world, "one").await;
    let tags = world.second().repository.tag_map().await;
    assert_eq!(
        (&tags["v1.0.0-dev"], &tags["latest-dev"]),
        (&first, &second)
    );
    let moved = world.proxy.trace.since(mark);
    let moved = moved
        .iter()
        .filter(|entry| entry.seen.key.contains("PUT manifests/latest-dev"));
    assert_eq!(moved.count(), 0, "latest was moved back and forth");
}

pub async fn a_required_replica_that_is_down_stops_the_promotion_before_anything_is_written(
    rig: Rig,
) {
    let world = in_dev(&rig, Kind::Referrers, true).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    down(&world);
    world.promote("one", "v1.0.0", "dev").await;
    let waits = world.waits("one", "ReplicaUnavailable").await;
    assert_eq!(stage(&waits), "Copying");
    assert!(message(&waits).contains(NAME), "{}", message(&waits));
    assert_eq!(replica(&waits).state, "Failed");
    let tags = world.repository.tag_map().await;
    assert_eq!(
        tags.keys().collect::<Vec<_>>(),
        ["v1.0.0"],
        "nothing is tagged"
    );
    let policy = world.policies().get("dev").await.unwrap();
    let held = policy.status.unwrap().artifacts.remove(0).in_flight;
    assert_eq!(held, None, "others may write meanwhile");
    world.proxy.faults.clear();
    let ended = over(&world, "one").await;
    assert_eq!(
        (reason(&ended).as_str(), replicated(&ended).as_str()),
        ("Promoted", "True")
    );
    assert_eq!(
        world.second().repository.tag_map().await["latest-dev"],
        digest
    );
}

pub async fn a_required_replica_that_is_down_for_an_hour_fails_the_promotion(rig: Rig) {
    let world = in_dev(&rig, Kind::Referrers, true).await;
    world.repository.publish("v1.0.0", "first").await;
    down(&world);
    world.promote("one", "v1.0.0", "dev").await;
    world.waits("one", "ReplicaUnavailable").await;
    let failing = world.promotions().get("one").await.unwrap();
    let mut failing = failing.status.unwrap().replicas;
    failing[0].since.0 -= k8s_openapi::jiff::SignedDuration::from_mins(61);
    let patch = Patch::Merge(json!({ "status": { "replicas": failing } }));
    let parameters = PatchParams::default();
    let by_hand: Api<Promotion> = Api::namespaced(world.hand.clone(), &world.namespace);
    by_hand
        .patch_status("one", &parameters, &patch)
        .await
        .unwrap();
    let ended = over(&world, "one").await;
    assert_eq!(
        (stage(&ended).as_str(), reason(&ended).as_str()),
        ("Failed", "ReplicaUnavailable")
    );
    assert!(message(&ended).contains(NAME), "{}", message(&ended));
    let tags = world.repository.tag_map().await;
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["v1.0.0"]);
}

pub async fn a_required_replica_that_fails_behind_the_tag_is_waited_for(rig: Rig) {
    let world = in_dev(&rig, Kind::Distribution, true).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    let its_tag = |seen: &Seen, _: &str| seen.key == "second PUT manifests/v1.0.0-dev";
    world
        .proxy
        .faults
        .always(Fault::Cut(Moment::Before), its_tag);
    world.promote("one", "v1.0.0", "dev").await;
    let waits = world.waits("one", "ReplicaUnavailable").await;
    assert_eq!(stage(&waits), "Publishing");
    let tags = world.repository.tag_map().await;
    assert_eq!(tags.get("v1.0.0-dev"), Some(&digest));
    assert_eq!(tags.get("latest-dev"), None, "latest waits for the replica");
    world.kill_operators().await;
    world.operator("another").await;
    world.proxy.faults.clear();
    let ended = over(&world, "one").await;
    assert_eq!(
        (reason(&ended).as_str(), replicated(&ended).as_str()),
        ("Promoted", "True")
    );
    assert_eq!(world.repository.tag_map().await["latest-dev"], digest);
    assert_eq!(
        world.repository.records(&digest).await.len(),
        1,
        "one record"
    );
}

pub async fn a_tag_that_is_taken_at_a_replica_is_never_moved(rig: Rig) {
    let optional = in_dev(&rig, Kind::Distribution, false).await;
    let taken = optional
        .second()
        .repository
        .publish("v1.0.0-dev", "a stranger's")
        .await;
    optional.repository.publish("v1.0.0", "first").await;
    optional.promote("one", "v1.0.0", "dev").await;
    let behind = behind(&optional, "one").await;
    let failing = replica(&behind);
    assert_eq!(failing.reason.as_deref(), Some("TagTaken"));
    assert_eq!(failing.digest.as_deref(), Some(taken.as_str()));
    let tags = optional.second().repository.tag_map().await;
    assert_eq!(
        tags.keys().collect::<Vec<_>>(),
        ["v1.0.0-dev"],
        "latest does not move"
    );
    assert_eq!(tags["v1.0.0-dev"], taken);
    // Nothing is left to be done when the policy no longer lists it.
    optional.policy("dev", json!({})).await;
    let ended = over(&optional, "one").await;
    assert_eq!(reason(&ended), "Promoted");

    let required = in_dev(&rig, Kind::Referrers, true).await;
    required
        .second()
        .repository
        .publish("v1.0.0-dev", "a stranger's")
        .await;
    required.repository.publish("v1.0.0", "first").await;
    required.promote("one", "v1.0.0", "dev").await;
    let failed = over(&required, "one").await;
    assert_eq!(reason(&failed), "TagTaken", "{}", message(&failed));
    let tags = required.repository.tag_map().await;
    assert_eq!(
        tags.keys().collect::<Vec<_>>(),
        ["v1.0.0"],
        "nothing is tagged"
    );
}

pub async fn a_blob_that_was_altered_gets_no_tag_at_a_replica(rig: Rig) {
    let world = in_dev(&rig, Kind::Distribution, false).await;
    world.repository.publish("v1.0.0", "first").await;
    let altered = Fault::Answer {
        status: 200,
        headers: vec![("content-type", "application/octet-stream".to_owned())],
        body: "something else".to_owned(),
    };
    let blobs = |seen: &Seen, _: &str| {
        seen.server == Server::Registry && seen.key.starts_with("registry GET blobs/")
    };
    world.proxy.faults.always(altered, blobs);
    world.promote("one", "v1.0.0", "dev").await;
    let behind = behind(&world, "one").await;
    assert_eq!(reason(&behind), "Promoted");
    assert!(world.second().repository.tag_map().await.is_empty());
    world.proxy.faults.clear();
    assert_eq!(replicated(&over(&world, "one").await), "True");
}

pub async fn a_signature_has_to_count_at_a_replica_too_where_the_policy_says_so(rig: Rig) {
    let world = World::with_second(&rig, Kind::Referrers, Kind::Referrers).await;
    let key = KeyPair::generate().unwrap();
    publish_key(&world, "keys", &key).await;
    let mut policy = asks("Enforce", "keys");
    policy["artifacts"] = world.replicated(false);
    policy["verification"] = json!("SignatureMatch");
    world.policy("dev", policy).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    sign(&world, &digest, &key).await;
    // The replica says that nothing refers to the digest, whatever was written there.
    let empty = json!({ "schemaVersion": 2, "manifests": [] }).to_string();
    let index = "application/vnd.oci.image.index.v1+json".to_owned();
    let forgetful = Fault::Answer {
        status: 200,
        headers: vec![("content-type", index)],
        body: empty,
    };
    let lists =
        |seen: &Seen, _: &str| seen.server == Server::Second && seen.key.contains("GET referrers");
    world.proxy.faults.always(forgetful, lists);
    world.promote("one", "v1.0.0", "dev").await;
    let failing = replica(&behind(&world, "one").await);
    let why = failing.reason.as_deref();
    assert!(
        matches!(why, Some("SignatureInvalid" | "Incomplete")),
        "{failing:?}"
    );
    assert_eq!(world.second().repository.digest("v1.0.0-dev").await, None);
    world.proxy.faults.clear();
    let healed = over(&world, "one").await;
    assert_eq!(replicated(&healed), "True");
    // The signature and the record, besides what sums it up.
    let mut referrers = world.second().repository.referrers(&digest).await;
    let kind =
        |one: &Referrer| one.manifest["annotations"]["dev.sigstore.bundle.predicateType"].clone();
    referrers.retain(|one| kind(one) != VSA_TYPE);
    assert_eq!(referrers.len(), 2);
    assert_eq!(world.second().repository.records(&digest).await.len(), 1);
}

pub async fn two_promotions_that_copy_the_same_blobs_at_once_both_arrive(rig: Rig) {
    for second in [Kind::Distribution, Kind::Referrers] {
        let world = in_dev(&rig, second, true).await;
        let qa = json!({ "artifacts": world.replicated(false) });
        world.policy("qa", qa).await;
        world.policy_ready("qa").await;
        let digest = world.repository.publish("v1.0.0", "first").await;
        world.promote("to-dev", "v1.0.0", "dev").await;
        world.promote("to-qa", "v1.0.0", "qa").await;
        for name in ["to-dev", "to-qa"] {
            let ended = over(&world, name).await;
            assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
            assert_eq!(replicated(&ended), "True");
        }
        let tags = world.second().repository.tag_map().await;
        let names: Vec<&str> = tags.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["latest-dev", "latest-qa", "v1.0.0-dev", "v1.0.0-qa"]
        );
        assert!(tags.values().all(|named| *named == digest));
        let records = world.second().repository.records(&digest).await;
        assert_eq!(records.len(), 2, "{second:?}");
    }
}

pub async fn a_promotion_that_is_deleted_while_a_replica_is_down_is_let_go(rig: Rig) {
    let world = in_dev(&rig, Kind::Referrers, false).await;
    world.repository.publish("v1.0.0", "first").await;
    down(&world);
    world.promote("one", "v1.0.0", "dev").await;
    behind(&world, "one").await;
    world
        .promotions()
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    crate::wait::until("the Promotion is gone", SOON, async || {
        let found = world.promotions().get_opt("one").await.unwrap();
        found.is_none().then_some(())
    })
    .await;
}

pub async fn an_environment_with_a_repository_of_its_own_gets_the_artifact_first(rig: Rig) {
    for second in [Kind::Distribution, Kind::Referrers] {
        let world = World::with_second(&rig, Kind::Distribution, second).await;
        world.policy("dev", json!({})).await;
        let own = json!([{
            "name": crate::world::ARTIFACT, "repository": world.second().reference, "plainHTTP": true,
        }]);
        world
            .policy("prod", json!({ "promotesFrom": ["dev"], "artifacts": own }))
            .await;
        world.jobs.when(When::Together(1));
        world.operator("one").await;
        world.policy_ready("dev").await;
        world.policy_ready("prod").await;
        let digest = world.repository.publish("v1.0.0", "first").await;
        world.promote("one", "v1.0.0", "dev").await;
        assert_eq!(reason(&over(&world, "one").await), "Promoted");
        down(&world);
        let spec = json!({ "version": "v1.0.0", "from": "dev", "to": "prod" });
        world.promote_as(Identity::Alice, "two", spec).await;
        let waits = world.waits("two", "RegistryUnavailable").await;
        let plan = waits.status.unwrap().plan.unwrap();
        assert_eq!(plan.repository, world.second().reference);
        assert_eq!(
            plan.source_repository.as_deref(),
            Some(world.reference.as_str())
        );
        world.proxy.faults.clear();
        let ended = over(&world, "two").await;
        assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
        let tags = world.second().repository.tag_map().await;
        let names: Vec<&str> = tags.keys().map(String::as_str).collect();
        assert_eq!(names, ["latest-prod", "v1.0.0-prod"]);
        assert!(tags.values().all(|named| *named == digest));
        let types: Vec<Value> = world
            .second()
            .repository
            .records(&digest)
            .await
            .iter()
            .map(|record| record.json()["predicate"]["targetEnvironment"].clone())
            .collect();
        assert!(
            types.contains(&json!("dev")) && types.contains(&json!("prod")),
            "{types:?}"
        );
        let source = world.repository.tag_map().await;
        let names: Vec<&str> = source.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["latest-dev", "v1.0.0", "v1.0.0-dev"],
            "the source stays as it is"
        );
        world.assert_counted_everything().await;
    }
}

/// One environment with a replica in a registry of this kind, the operator at work.
async fn in_dev(rig: &Rig, second: Kind, required: bool) -> World {
    let world = World::with_second(rig, Kind::Referrers, second).await;
    let policy = json!({ "artifacts": world.replicated(required) });
    world.policy("dev", policy).await;
    world.jobs.when(When::Together(1));
    world.operator("one").await;
    world.policy_ready("dev").await;
    world
}

/// The second registry cannot be reached from now on.
fn down(world: &World) {
    world
        .proxy
        .faults
        .always(Fault::Cut(Moment::Before), at_second);
}

/// Waits until a promotion has ended and its replicas are done with.
async fn over(world: &World, name: &str) -> Promotion {
    world.until(name, "over", seconds(90), is_over).await
}

/// Waits until a promotion has succeeded and its replica has not.
async fn behind(world: &World, name: &str) -> Promotion {
    let what = "promoted, with a replica behind";
    world
        .until(name, what, SOON, |promotion| {
            stage(promotion) == "Succeeded" && replicated(promotion) == "False"
        })
        .await
}

/// The status of the condition `Replicated`.
fn replicated(promotion: &Promotion) -> String {
    let status = promotion.status.clone().unwrap_or_default();
    condition(&status.conditions, "Replicated")
}

fn replica(promotion: &Promotion) -> ReplicaStatus {
    let status = promotion.status.clone().unwrap_or_default();
    let name = promotion.name_any();
    let mut replicas = status.replicas.into_iter();
    replicas
        .next()
        .unwrap_or_else(|| panic!("Promotion '{name}' tells of no replica"))
}
