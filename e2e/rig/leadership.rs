//! Leader election: one operator writes, and another takes over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::Rig;
use crate::operator::Operator;
use crate::proxy::{Class, Fault, Killable as _, Moment};
use crate::registries::Kind;
use crate::wait::seconds;
use crate::world::{World, is_over, reason};

/// The Lease runs 15 s; a moment more until the other one looks.
const TAKEN_OVER: Duration = seconds(40);

pub async fn only_the_leader_writes_and_the_other_takes_over_when_it_dies(rig: Rig) {
    let (world, leader, _follower) = led_by_one(&rig).await;
    world.promote("first", "v1.0.0", "dev").await;
    world.ended("first").await;
    let strangers = world
        .proxy
        .trace
        .since(0)
        .into_iter()
        .filter(|entry| entry.operator == "two");
    let written: Vec<_> = strangers
        .filter(|entry| entry.seen.class != Class::Lease)
        .collect();
    assert!(
        written.is_empty(),
        "who does not lead asked for {written:#?}"
    );
    leader.kill().await;
    let took = until_taken_over(&world).await;
    rig.report(format!(
        "the leader is killed: the other one has promoted after {:.1} s",
        took.as_secs_f64()
    ));
}

pub async fn a_leader_that_is_asked_to_stop_hands_over_at_once(rig: Rig) {
    let (world, leader, _follower) = led_by_one(&rig).await;
    let status = leader.terminate(seconds(20)).await;
    assert!(
        status.success(),
        "a stop that was asked for is no failure: {status}"
    );
    let took = until_taken_over(&world).await;
    assert!(took < seconds(10), "the Lease was not given back: {took:?}");
    rig.report(format!(
        "the leader is asked to stop: the other one has promoted after {:.1} s",
        took.as_secs_f64()
    ));
}

pub async fn a_leader_that_cannot_renew_its_lease_ends(rig: Rig) {
    let (world, leader, _follower) = led_by_one(&rig).await;
    world
        .proxy
        .faults
        .always(Fault::Cut(Moment::Before), |seen, operator| {
            seen.class == Class::Lease && operator == "one"
        });
    leader.until_gone(seconds(30)).await;
    until_taken_over(&world).await;
}

/// Two operators, of which `one` leads.
async fn led_by_one(rig: &Rig) -> (World, Arc<Operator>, Arc<Operator>) {
    let world = World::new(rig, Kind::Referrers).await;
    for version in ["v1.0.0", "v1.1.0"] {
        world.repository.publish(version, version).await;
    }
    world.policy("dev", json!({})).await;
    let leader = world.start_operator("one", true);
    world.policy_ready("dev").await;
    let follower = world.start_operator("two", true);
    follower.until_ready(seconds(20)).await;
    (world, leader, follower)
}

async fn until_taken_over(world: &World) -> Duration {
    let began = Instant::now();
    world.promote("second", "v1.1.0", "dev").await;
    let ended = world.until("second", "ended", TAKEN_OVER, is_over).await;
    assert_eq!(reason(&ended), "Promoted");
    began.elapsed()
}
