//! What a promotion costs, counted at the proxy.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::harness::Rig;
use crate::jobs::When;
use crate::proxy::{Class, Entry, Server, count, counts};
use crate::registries::Kind;
use crate::wait::seconds;
use crate::world::{World, gates, reason};

/// The first promotion after a start looks once whether the registry has the empty config of records.
const COLD: usize = 1;
/// Before its first promotion a process reads the key that signs records, and the public keys.
const KEYS_READ: usize = 2;
/// The first promotion of a namespace makes both.
const KEYS_MADE: usize = 2;

/// Requests of one promotion.
struct Cost {
    writes: usize,
    /// Status writes that show a verdict while other gates still run.
    shown_early: usize,
    reads: usize,
    registry: usize,
    took: Duration,
    entries: Vec<Entry>,
}

pub async fn a_promotion_with_four_jobs_keeps_its_budget(rig: Rig) {
    for (kind, registry) in [(Kind::Referrers, 14), (Kind::Distribution, 17)] {
        let world = world_with(&rig, kind, 3).await;
        let cost = cost(&world, "one", "v1.2.3").await;
        report(&rig, &format!("4 Jobs, {kind:?}"), &cost);
        within(&cost, 13 + KEYS_MADE, 1 + KEYS_READ, registry + COLD);
        let warm = self::cost(&world, "two", "v1.2.4").await;
        report(
            &rig,
            &format!("4 Jobs, {kind:?}, the second promotion"),
            &warm,
        );
        within(&warm, 13, 1, registry);
        world.assert_counted_everything().await;
    }
}

pub async fn a_promotion_with_policy_compliance_alone_keeps_its_budget(rig: Rig) {
    let world = world_with(&rig, Kind::Referrers, 0).await;
    let cost = cost(&world, "one", "v1.2.3").await;
    report(&rig, "policy_compliance alone", &cost);
    within(&cost, 10 + KEYS_MADE, 1 + KEYS_READ, 14 + COLD);
    let warm = self::cost(&world, "two", "v1.2.4").await;
    report(&rig, "policy_compliance alone, the second promotion", &warm);
    within(&warm, 10, 1, 14);
}

pub async fn a_secret_is_read_once(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    let host = world.reference.split('/').next().unwrap();
    let config = json!({ "auths": { host: { "username": "floe", "password": "hunter2" } } });
    let secret = json!({
        "metadata": { "name": "login" }, "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": config.to_string() },
    });
    let secret: Secret = serde_json::from_value(secret).unwrap();
    let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), &world.namespace);
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let artifact = json!({
        "name": "platform", "repository": world.reference, "plainHTTP": true, "credentials": { "secretName": "login" },
    });
    ready(&world, json!({ "artifacts": [artifact] }), 1).await;
    let first = cost(&world, "one", "v1.2.3").await;
    let second = cost(&world, "two", "v1.2.4").await;
    report(&rig, "policy_compliance alone, one Secret", &first);
    within(&first, 10 + KEYS_MADE, 2 + KEYS_READ, 14 + COLD);
    within(&second, 10, 1, 14);
}

pub async fn a_replica_costs_its_copy_and_two_looks_at_the_ledger(rig: Rig) {
    for (required, second) in [(false, Kind::Referrers), (true, Kind::Distribution)] {
        let world = World::with_second(&rig, Kind::Referrers, second).await;
        ready(
            &world,
            json!({ "artifacts": world.replicated(required) }),
            1,
        )
        .await;
        let mark = world.proxy.trace.mark();
        let cost = cost(&world, "one", "v1.2.3").await;
        let entries = world.proxy.trace.since(mark);
        let at_second = count(&entries, Server::Second, &[Class::Read, Class::Write]);
        report(&rig, &format!("a replica, required: {required}"), &cost);
        rig.report(format!(
            "  at the replica ({second:?}): {at_second} requests"
        ));
        // One more Event, and a status more when the copy takes longer than a pass waits.
        let waited = cost.entries.iter();
        let waited = waited
            .filter(|entry| entry.seen.key.contains("Copying"))
            .count();
        let writes = 11 + KEYS_MADE + waited;
        // Who waits in the middle of the writes asks for the claim again.
        let reads = 3 + KEYS_READ + 2 * waited;
        within(&cost, writes, reads, usize::MAX);
        world.assert_counted_everything().await;
    }
}

pub async fn an_operator_with_nothing_to_do_does_nothing(rig: Rig) {
    const QUIET: Duration = seconds(120);
    let world = World::new(&rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    world
        .policy("staging", json!({ "promotesFrom": ["dev"] }))
        .await;
    world
        .policy("prod", json!({ "promotesFrom": ["staging"] }))
        .await;
    let operator = world.start_operator("one", true);
    operator.until_ready(seconds(30)).await;
    for number in 1..=7 {
        let version = format!("v1.0.{number}");
        world.repository.publish(&version, &version).await;
        for environment in ["dev", "staging", "prod"] {
            let name = format!("{environment}-{number}");
            world.promote(&name, &version, environment).await;
            world.ended(&name).await;
        }
    }
    world.proxy.trace.until_quiet(seconds(3), seconds(30)).await;
    let mark = world.proxy.trace.mark();
    // The one wait without a condition: nothing is what is waited for.
    tokio::time::sleep(QUIET).await;
    let entries = world.proxy.trace.since(mark);
    let counts = counts(&entries);
    rig.report(format!(
        "idle for {} s, 3 policies, 21 finished promotions: {counts:?}",
        QUIET.as_secs()
    ));
    let busy: Vec<&Entry> = entries
        .iter()
        .filter(|entry| !matches!(entry.seen.class, Class::Watch | Class::Lease))
        .collect();
    assert!(busy.is_empty(), "an idle operator asked for {busy:#?}");
    let renewals = counts
        .get(&(Server::Api, Class::Lease))
        .copied()
        .unwrap_or_default();
    assert!(
        (1..=120).contains(&renewals),
        "{renewals} renewals of the Lease in {QUIET:?}"
    );
    world.assert_counted_everything().await;
}

async fn world_with(rig: &Rig, kind: Kind, count: usize) -> World {
    let world = World::new(rig, kind).await;
    ready(&world, json!({ "gates": gates(count) }), count + 1).await;
    world
}

async fn ready(world: &World, policy: serde_json::Value, jobs: usize) {
    world.policy("dev", policy).await;
    world.jobs.when(When::Together(jobs));
    world.operator("one").await;
    world.policy_ready("dev").await;
    for version in ["v1.2.3", "v1.2.4"] {
        world.repository.publish(version, version).await;
    }
    world.proxy.trace.until_quiet(seconds(1), seconds(20)).await;
}

async fn cost(world: &World, name: &str, version: &str) -> Cost {
    let mark = world.proxy.trace.mark();
    let began = std::time::Instant::now();
    world.promote(name, version, "dev").await;
    let promotion = world.ended(name).await;
    let took = began.elapsed();
    assert_eq!(reason(&promotion), "Promoted");
    world.proxy.trace.until_quiet(seconds(1), seconds(20)).await;
    let entries = world.proxy.trace.since(mark);
    let ours = |entry: &&Entry| {
        entry.seen.class == Class::Write && entry.seen.key.starts_with("PUT promotions/status")
    };
    let shows = |entry: &&Entry| {
        entry.seen.key.contains("waits:Gates") && !entry.seen.key.contains("gates:0")
    };
    Cost {
        writes: count(
            &entries,
            Server::Api,
            &[Class::Write, Class::Event, Class::DryRun, Class::Review],
        ),
        shown_early: entries.iter().filter(ours).filter(shows).count(),
        reads: count(&entries, Server::Api, &[Class::Read]),
        registry: count(&entries, Server::Registry, &[Class::Read, Class::Write]),
        took,
        entries,
    }
}

fn report(rig: &Rig, what: &str, cost: &Cost) {
    let Cost {
        writes,
        shown_early,
        reads,
        registry,
        took,
        ..
    } = cost;
    rig.report(format!(
        "budget, {what}: {writes} API writes ({shown_early} of them a verdict shown early), {reads} reads, {registry} registry requests, {} ms",
        took.as_millis()
    ));
}

fn within(cost: &Cost, writes: usize, reads: usize, registry: usize) {
    let refused: Vec<String> = cost
        .entries
        .iter()
        .filter(|entry| {
            entry.seen.class.is_effect() && entry.status.is_none_or(|status| status >= 400)
        })
        .map(|entry| format!("{:?} {}", entry.status, entry.seen.key))
        .collect();
    assert!(refused.is_empty(), "writes that were refused: {refused:#?}");
    let list = || {
        cost.entries
            .iter()
            .map(|entry| entry.seen.key.clone())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert!(
        cost.writes <= writes + cost.shown_early,
        "{} API writes, {writes} allowed:\n{}",
        cost.writes,
        list()
    );
    assert!(
        cost.reads <= reads,
        "{} API reads, {reads} allowed:\n{}",
        cost.reads,
        list()
    );
    assert!(
        cost.registry <= registry,
        "{} registry requests, {registry} allowed:\n{}",
        cost.registry,
        list()
    );
}
