//! Single crashes and races that have a name: each shows one rule, quickly.

use futures::stream::{self, StreamExt as _};
use serde_json::json;

use crate::harness::Rig;
use crate::proxy::{Entry, Fault, Moment, Seen, Server};
use crate::registries::Kind;
use crate::sweep::{SIDE_BY_SIDE, Scene, Stop};
use crate::wait::seconds;
use crate::world::{SOON, World, reason};

pub async fn a_crash_right_after_a_job_was_made_makes_no_second_one(rig: Rig) {
    crash_after(&rig, "POST jobs of gate gate-1").await;
}

pub async fn a_crash_right_after_the_tag_was_written_does_not_write_it_again(rig: Rig) {
    let effects = crash_after(&rig, "registry PUT manifests/v1.2.3-dev").await;
    let puts = effects
        .iter()
        .filter(|key| key.contains("PUT manifests/v1.2.3-dev"))
        .count();
    assert_eq!(puts, 1, "{effects:#?}");
}

pub async fn a_crash_right_after_the_record_was_written_writes_no_second_one(rig: Rig) {
    crash_after(&rig, "registry PUT manifests/sha256:…").await;
}

/// The main scenario with one crash ends as without; gives back what was tried.
async fn crash_after(rig: &Rig, key: &str) -> Vec<String> {
    let scene = Scene {
        rig,
        kind: Kind::Distribution,
        leader_election: false,
        replica: None,
    };
    let reference = scene.run(Vec::new()).await;
    let stop = Stop {
        key: key.to_owned(),
        fault: Fault::Kill(Moment::After),
    };
    let run = scene.run(vec![stop]).await;
    run.must_end_like(&reference);
    run.effects
}

pub async fn whoever_follows_latest_finds_the_record_at_every_moment(rig: Rig) {
    let writes = [
        "PUT manifests/v1.0.0-dev",
        "POST blobs/upload",
        "PUT blobs/upload",
        "PUT manifests/sha256:",
        "PUT manifests/sha256-",
        "PUT manifests/latest-dev",
    ];
    let moments = writes
        .iter()
        .flat_map(|key| [(*key, Moment::Before), (*key, Moment::After)]);
    let looks = moments.map(|(key, moment)| {
        let rig = &rig;
        async move {
            let world = in_dev(rig, Kind::Distribution).await;
            let digest = world.repository.publish("v1.0.0", "first").await;
            world
                .proxy
                .faults
                .once(Fault::Kill(moment), move |seen, _| seen.key.contains(key));
            let operator = world.operator("one").await;
            world.policy_ready("dev").await;
            world.promote("one", "v1.0.0", "dev").await;
            operator.until_gone(SOON).await;
            let tags = world.repository.tag_map().await;
            let recorded = !world.repository.records(&digest).await.is_empty();
            let (tagged, latest) = (
                tags.contains_key("v1.0.0-dev"),
                tags.contains_key("latest-dev"),
            );
            assert!(
                !recorded || tagged,
                "killed {moment:?} {key}: a record of a tag that is not there"
            );
            assert!(
                !latest || recorded,
                "killed {moment:?} {key}: latest without a record"
            );
        }
    });
    stream::iter(looks)
        .buffer_unordered(SIDE_BY_SIDE)
        .collect::<Vec<()>>()
        .await;
}

pub async fn who_inherits_a_claim_waits_until_the_dead_can_write_no_more(rig: Rig) {
    let world = in_dev(&rig, Kind::Referrers).await;
    world.repository.publish("v1.0.0", "first").await;
    world
        .proxy
        .faults
        .once(Fault::Kill(Moment::Before), |seen, _| {
            seen.key.contains("PUT manifests/v1.0.0-dev")
        });
    let dead = world.operator("one").await;
    world.policy_ready("dev").await;
    world.promote("one", "v1.0.0", "dev").await;
    dead.until_gone(SOON).await;
    let died = std::time::Instant::now();
    world.operator("two").await;
    let ended = world
        .until("one", "ended", seconds(60), crate::world::is_over)
        .await;
    assert_eq!(reason(&ended), "Promoted");
    let write = |entry: &&Entry| is_write(&entry.seen) && entry.operator == "two";
    let entries = world.proxy.trace.since(0);
    let first = entries.iter().find(write).expect("the heir writes").at;
    let waited = first.duration_since(died);
    // The dead one read its claim at most 10 s before it could have written last.
    assert!(waited >= seconds(9), "the heir wrote after {waited:?}");
    rig.report(format!(
        "who inherits a claim writes after {:.1} s",
        waited.as_secs_f64()
    ));
}

pub async fn a_record_says_what_was_decided_and_not_when_it_was_written(rig: Rig) {
    let world = in_dev(&rig, Kind::Referrers).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    world
        .proxy
        .faults
        .once(Fault::Kill(Moment::After), |seen, _| {
            seen.key.contains("PUT manifests/v1.0.0-dev")
        });
    let dead = world.operator("one").await;
    world.policy_ready("dev").await;
    world.promote("one", "v1.0.0", "dev").await;
    dead.until_gone(SOON).await;
    // The heir writes the record long after the decision.
    world.operator("two").await;
    let ended = world
        .until("one", "ended", seconds(60), crate::world::is_over)
        .await;
    let decided = ended.status.unwrap().intent.unwrap().decided_at;
    let records = world.repository.records(&digest).await;
    let said: Vec<serde_json::Value> = records
        .iter()
        .map(|record| record.json()["predicate"]["decidedAt"].clone())
        .collect();
    assert_eq!(said, [json!(decided)]);
}

pub async fn of_two_promotions_that_claim_at_once_one_writes_after_the_other(rig: Rig) {
    let world = in_dev(&rig, Kind::Referrers).await;
    for version in ["v1.2.3", "v1.2.4"] {
        world.repository.publish(version, version).await;
    }
    // The claim that comes first arrives late: by then the other one has claimed, and is writing slowly.
    world.proxy.faults.once(Fault::Behind("claim:"), |seen, _| {
        seen.key.contains("claim:")
    });
    world
        .proxy
        .faults
        .once(Fault::Delay(seconds(3)), |seen, _| {
            seen.key.contains("PUT manifests/v1.2")
        });
    world.operator("one").await;
    world.policy_ready("dev").await;
    futures::future::join(
        world.promote("lower", "v1.2.3", "dev"),
        world.promote("higher", "v1.2.4", "dev"),
    )
    .await;
    world.ended("lower").await;
    assert_eq!(reason(&world.ended("higher").await), "Promoted");
    let entries = world.proxy.trace.since(0);
    let refused = entries
        .iter()
        .filter(|entry| entry.seen.key.contains("claim:") && entry.status == Some(409));
    assert_eq!(refused.count(), 1, "the late claim must be refused");
    let tag_or_latest = |entry: &&Entry| {
        is_write(&entry.seen)
            && ["v1.2", "latest"]
                .iter()
                .any(|word| entry.seen.key.contains(word))
    };
    let order: Vec<&str> = entries
        .iter()
        .filter(tag_or_latest)
        .map(|entry| entry.seen.key.as_str())
        .collect();
    let pairs = order
        .chunks(2)
        .all(|pair| pair.len() == 2 && pair[0].contains("v1.2") && pair[1].contains("latest"));
    assert!(pairs, "two promotions wrote at the same time: {order:?}");
}

fn is_write(seen: &Seen) -> bool {
    seen.server == Server::Registry && seen.class.is_effect()
}

/// A world with a policy for `dev`, no operator yet.
async fn in_dev(rig: &Rig, kind: Kind) -> World {
    let world = World::new(rig, kind).await;
    world.policy("dev", json!({})).await;
    world
}
