//! Tags that somebody else moves or deletes: seen, told, and put back by a person.

use std::collections::BTreeSet;
use std::process::Output;

use floe::api::{Drift, EnvironmentPolicyStatus};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::harness::Rig;
use crate::person::platform;
use crate::proxy::{Class, Entry, Fault, Moment, Seen, Server};
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{SOON, World, reason};

/// The shortest period that there is: then a look comes every ten seconds.
const OFTEN: [&str; 1] = ["--drift-period=10s"];

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub async fn a_tag_that_somebody_moves_is_reported_once_and_put_back_by_repair(rig: Rig) {
    let world = two_versions(&rig, Kind::Referrers).await;
    let new = world.repository.digest("v1.1.0").await.unwrap();
    let old = world.repository.digest("v1.0.0").await.unwrap();
    let mark = world.proxy.trace.mark();
    world.repository.retag("v1.0.0", "latest-dev").await;
    let seen = tags_in_sync(&world, "False").await;
    assert_eq!(seen.reason, "TagMoved");
    let wanted = format!(
        "latest-dev in {} names {} instead of {} (v1.1.0); run: floe platform repair dev -n {}",
        world.reference,
        &old[..19],
        &new[..19],
        world.namespace
    );
    assert_eq!(seen.message, wanted);
    let found = drift(&world).await;
    assert_eq!((found.len(), &found[0].expected), (1, &new));
    assert_eq!(found[0].found.as_ref(), Some(&old));
    assert_eq!(status(&world).await.conditions[0].status, "True", "Ready");

    // Looked at again, and nothing said twice.
    until("three more looks", seconds(60), async || {
        (looks_at(&world, mark, "latest-dev") >= 4).then_some(())
    })
    .await;
    assert_eq!(status_writes(&world, mark), 1);
    assert_eq!(
        events(&world, &["TagMoved"]).await,
        [("TagMoved".to_owned(), wanted)]
    );

    // One more: a version's own tag.
    world.repository.retag("v1.1.0", "v1.0.0-dev").await;
    until("both are seen", SOON, async || {
        (drift(&world).await.len() == 2).then_some(())
    })
    .await;
    let plan = repair(&world, &["dev"]).await;
    assert_eq!(plan.status.code(), Some(2), "{plan:?}");
    assert_eq!(
        world.repository.digest("latest-dev").await.as_ref(),
        Some(&old)
    );
    let repaired = repair(&world, &["dev", "--yes", "-o", "json"]).await;
    assert_eq!(repaired.status.code(), Some(0), "{repaired:?}");
    let answer: Value = serde_json::from_slice(&repaired.stdout).unwrap();
    assert_eq!(answer["repairs"].as_array().unwrap().len(), 2, "{answer}");
    let tags = world.repository.tag_map().await;
    assert_eq!((&tags["latest-dev"], &tags["v1.0.0-dev"]), (&new, &old));
    assert_eq!(tags_in_sync(&world, "True").await.reason, "TagsInSync");
    assert!(drift(&world).await.is_empty());
    let told = events(&world, &["TagMoved", "TagsInSync"]).await;
    let told: Vec<&str> = told.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(told, ["TagMoved", "TagMoved", "TagsInSync"]);
    let metrics = metrics(&world).await;
    let line = format!(
        "floe_tags_in_sync{{namespace=\"{}\",environment=\"dev\",status=\"True\"}} 1",
        world.namespace
    );
    assert!(metrics.contains(&line), "{metrics}");
    assert!(!metrics.contains("status=\"False\""), "{metrics}");
}

pub async fn a_registry_that_is_down_makes_the_tags_unknown_and_keeps_what_was_known(rig: Rig) {
    let world = two_versions(&rig, Kind::Referrers).await;
    world.repository.retag("v1.0.0", "latest-dev").await;
    tags_in_sync(&world, "False").await;
    let known = drift(&world).await;
    let to_registry = |seen: &Seen, _: &str| seen.server == Server::Registry;
    world
        .proxy
        .faults
        .always(Fault::Cut(Moment::Before), to_registry);
    let unknown = tags_in_sync(&world, "Unknown").await;
    assert_eq!(unknown.reason, "RegistryUnavailable");
    assert!(
        unknown
            .message
            .contains("when it was last seen: latest-dev"),
        "{unknown:?}"
    );
    assert_eq!(drift(&world).await, known);
    world.repository.retag("v1.1.0", "latest-dev").await;
    world.proxy.faults.clear();
    tags_in_sync(&world, "True").await;
    assert!(drift(&world).await.is_empty());
}

pub async fn a_promotion_moves_latest_to_where_it_belongs_again(rig: Rig) {
    let world = two_versions(&rig, Kind::Referrers).await;
    world.repository.retag("v1.0.0", "latest-dev").await;
    tags_in_sync(&world, "False").await;
    let newest = world.repository.publish("v1.2.0", "third").await;
    world.promote("third", "v1.2.0", "dev").await;
    assert_eq!(reason(&world.ended("third").await), "Promoted");
    assert_eq!(world.repository.digest("latest-dev").await, Some(newest));
    tags_in_sync(&world, "True").await;
}

pub async fn a_record_that_another_client_dropped_is_listed_again(rig: Rig) {
    let world = two_versions(&rig, Kind::Distribution).await;
    let digest = world.repository.digest("v1.1.0").await.unwrap();
    let listed = async || {
        let referrers = world.repository.referrers(&digest).await.into_iter();
        let listed: BTreeSet<String> = referrers.map(|one| one.digest).collect();
        listed
    };
    let before = listed().await;
    assert_eq!(before.len(), 2, "the record and its summary");
    let empty = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
    let fallback = digest.replace(':', "-");
    world
        .repository
        .put_manifest(&fallback, INDEX, empty.to_string().into_bytes())
        .await;
    assert!(listed().await.is_empty());
    until("the record is listed again", SOON, async || {
        (listed().await == before).then_some(())
    })
    .await;
    assert_eq!(tags_in_sync(&world, "True").await.reason, "TagsInSync");
}

pub async fn comparing_again_and_again_writes_nothing(rig: Rig) {
    let world = two_versions(&rig, Kind::Referrers).await;
    tags_in_sync(&world, "True").await;
    world.proxy.trace.until_quiet(seconds(3), seconds(30)).await;
    let mark = world.proxy.trace.mark();
    until("three looks", seconds(60), async || {
        (looks_at(&world, mark, "latest-dev") >= 3).then_some(())
    })
    .await;
    let entries = world.proxy.trace.since(mark);
    let busy: Vec<&Entry> = entries
        .iter()
        .filter(|entry| {
            let read = entry.seen.server == Server::Registry && entry.seen.class == Class::Read;
            !read && !matches!(entry.seen.class, Class::Watch | Class::Lease)
        })
        .collect();
    assert!(
        busy.is_empty(),
        "a comparison without news asked for {busy:#?}"
    );
    // Three tags, two records: each listed, and looked at.
    let registry = entries.len() - busy.len();
    rig.report(format!(
        "three comparisons of two versions: {registry} requests"
    ));
}

pub async fn a_promotion_in_the_middle_of_a_comparison_is_never_taken_for_drift(rig: Rig) {
    let world = two_versions(&rig, Kind::Referrers).await;
    // The look reads `latest-dev` between two promotions, and ends after both of them.
    let (latest, old) = ("registry HEAD manifests/latest-dev", "v1.0.0-dev");
    let held_long = format!("registry HEAD manifests/{old}");
    let faults = &world.proxy.faults;
    faults.once(Fault::Delay(seconds(6)), move |seen, _| seen.key == latest);
    faults.always(Fault::Delay(seconds(16)), move |seen, _| {
        seen.key == held_long
    });
    let mark = world.proxy.trace.mark();
    until("a look has begun", seconds(40), async || {
        (looks_at(&world, mark, old) > 0).then_some(())
    })
    .await;
    let answered = async || {
        let entries = world.proxy.trace.since(mark);
        let first = entries.iter().find(|entry| entry.seen.key == latest);
        first.and_then(|entry| entry.status)
    };
    publish_and_promote(&world, "third", "v1.2.0").await;
    assert_eq!(answered().await, None, "the look has not read it yet");
    until("the look has read it", seconds(20), answered).await;
    publish_and_promote(&world, "fourth", "v1.3.0").await;
    assert_eq!(looks_at(&world, mark, old), 1, "the look is still held up");
    until("the next look has begun", seconds(60), async || {
        (looks_at(&world, mark, old) > 1).then_some(())
    })
    .await;
    assert!(drift(&world).await.is_empty());
    faults.clear();
    tags_in_sync(&world, "True").await;
    assert!(events(&world, &["TagMoved", "TagMissing"]).await.is_empty());
}

pub async fn a_stranger_in_a_replica_is_seen_and_put_back_too(rig: Rig) {
    let world = World::with_second(&rig, Kind::Referrers, Kind::Distribution).await;
    promote_two(&world).await;
    let second = &world.second().repository;
    let newest = second.publish("v1.1.0", "second").await;
    second.publish("latest-dev", "strange").await;
    // What was promoted before a replica was listed may be missing there.
    let replicated = json!({ "artifacts": world.replicated(false) });
    world.policy("dev", replicated).await;
    let seen = tags_in_sync(&world, "False").await;
    let begin = format!("latest-dev in {} names", world.second().reference);
    assert!(seen.message.starts_with(&begin), "{seen:?}");
    assert_eq!(drift(&world).await.len(), 1, "the primary has it right");
    let repaired = repair(&world, &["dev", "--yes"]).await;
    assert_eq!(repaired.status.code(), Some(0), "{repaired:?}");
    assert_eq!(second.digest("latest-dev").await, Some(newest));
    tags_in_sync(&world, "True").await;
}

/// `dev` with two promoted versions, and an operator that compares often.
async fn two_versions(rig: &Rig, kind: Kind) -> World {
    let world = World::new(rig, kind).await;
    promote_two(&world).await;
    world
}

async fn promote_two(world: &World) {
    world.policy("dev", json!({})).await;
    let operator = world.start_operator_with("one", false, &OFTEN);
    operator.until_ready(SOON).await;
    world.policy_ready("dev").await;
    for (name, version) in [("first", "v1.0.0"), ("second", "v1.1.0")] {
        publish_and_promote(world, name, version).await;
    }
    tags_in_sync(world, "True").await;
}

async fn publish_and_promote(world: &World, name: &str, version: &str) {
    world.repository.publish(version, name).await;
    world.promote(name, version, "dev").await;
    assert_eq!(reason(&world.ended(name).await), "Promoted");
}

async fn status(world: &World) -> EnvironmentPolicyStatus {
    let policy = world.policies().get("dev").await.unwrap();
    policy.status.unwrap_or_default()
}

async fn drift(world: &World) -> Vec<Drift> {
    let artifacts = status(world).await.artifacts;
    artifacts.into_iter().flat_map(|one| one.drift).collect()
}

/// Waits until the condition stands like this.
async fn tags_in_sync(world: &World, wanted: &str) -> Condition {
    until(&format!("TagsInSync is {wanted}"), SOON, async || {
        let conditions = status(world).await.conditions;
        conditions
            .into_iter()
            .find(|one| one.type_ == "TagsInSync" && one.status == wanted)
    })
    .await
}

/// HEADs of a tag since then.
fn looks_at(world: &World, mark: usize, tag: &str) -> usize {
    let key = format!("registry HEAD manifests/{tag}");
    let entries = world.proxy.trace.since(mark);
    entries.iter().filter(|entry| entry.seen.key == key).count()
}

fn status_writes(world: &World, mark: usize) -> usize {
    let entries = world.proxy.trace.since(mark);
    let writes = entries
        .iter()
        .filter(|entry| entry.seen.key.starts_with("PUT environmentpolicies/status"));
    writes.count()
}

/// Events of these reasons about `dev`, in order.
async fn events(world: &World, reasons: &[&str]) -> Vec<(String, String)> {
    let events: Api<Event> = Api::namespaced(world.admin.clone(), &world.namespace);
    let mut events = events.list(&ListParams::default()).await.unwrap().items;
    events.sort_by_key(|event| event.event_time.clone());
    let told = events.into_iter().map(|event| {
        (
            event.reason.unwrap_or_default(),
            event.note.unwrap_or_default(),
        )
    });
    told.filter(|(reason, _)| reasons.contains(&reason.as_str()))
        .collect()
}

/// `floe platform repair`, as alice.
async fn repair(world: &World, arguments: &[&str]) -> Output {
    let all: Vec<&str> = ["repair"].iter().chain(arguments).copied().collect();
    platform(world, &all).await
}

async fn metrics(world: &World) -> String {
    let address = world.health();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("http://{address}/metrics")).send().await;
    answer.unwrap().text().await.unwrap()
}
