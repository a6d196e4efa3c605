//! Two operators at once without leader election, as in a rolling update; one of them is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join;
use futures::stream::{self, StreamExt as _};
use serde_json::json;

use crate::harness::Rig;
use crate::jobs::When;
use crate::proxy::{Fault, Moment, Server};
use crate::registries::Kind;
use crate::supervisor::Supervisor;
use crate::wait::{seconds, until};
use crate::world::{World, gates, is_over, reason, stage};

/// Runs at the same time.
const SIDE_BY_SIDE: usize = 3;
/// Two claims may be inherited one after the other, each after 10 s.
const LIMIT: Duration = seconds(120);

/// From the end of the promotions to the end of the last claim.
const CLAIMS_END: Duration = seconds(40);

struct Run {
    effects: Vec<String>,
    reached: bool,
    took: Duration,
}

pub async fn two_operators_promote_each_version_once_though_one_of_them_is_killed(rig: Rig) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    // Who comes first is chance, so several undisturbed runs show what there is.
    for _ in 0..3 {
        known.extend(run(&rig, None).await.effects);
    }
    let all: Vec<(String, Moment)> = known
        .iter()
        .flat_map(|key| [(key.clone(), Moment::Before), (key.clone(), Moment::After)])
        .collect();
    let (mut runs, mut slowest, mut open) = (0, Duration::ZERO, all.clone());
    // A race decides what each of the two does: what has not come about is tried again.
    for _ in 0..3 {
        let done: Vec<((String, Moment), Run)> = stream::iter(open)
            .map(|case| async {
                let run = run(&rig, Some(case.clone())).await;
                (case, run)
            })
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        runs += done.len();
        slowest = done
            .iter()
            .map(|(_, run)| run.took)
            .fold(slowest, Duration::max);
        let missed = done.into_iter().filter(|(_, run)| !run.reached);
        open = missed.map(|(case, _)| case).collect();
    }
    let reached = all.len() - open.len();
    rig.report(format!(
        "two operators: {} effects, one of them killed before and after {reached} of {} ({runs} runs, slowest {:.1} s)",
        known.len(),
        all.len(),
        slowest.as_secs_f64()
    ));
    for (key, moment) in &open {
        rig.report(format!("  never came about again: {moment:?} {key}"));
    }
    assert!(
        reached * 10 >= all.len() * 8,
        "never came about again: {open:#?}"
    );
}

/// What an effect is, without counts that chance decides.
fn kind_of(key: &str) -> String {
    let by_chance = |word: &&str| !word.starts_with("gates:") && !word.starts_with("history:");
    key.split(' ')
        .filter(by_chance)
        .collect::<Vec<_>>()
        .join(" ")
}

/// v1.2.3 and v1.2.4 into one environment at the same time.
async fn run(rig: &Rig, kill: Option<(String, Moment)>) -> Run {
    let began = Instant::now();
    let world = Rc::new(World::new(rig, Kind::Distribution).await);
    world.jobs.when(When::Together(2));
    let lower = world.repository.publish("v1.2.3", "lower").await;
    let higher = world.repository.publish("v1.2.4", "higher").await;
    if let Some((key, moment)) = kill.clone() {
        world
            .proxy
            .faults
            .once(Fault::Kill(moment), move |seen, _| {
                seen.class.is_effect() && kind_of(&seen.key) == key
            });
    }
    world.policy("dev", json!({ "gates": gates(1) })).await;
    let (one, two) = (
        Supervisor::start(&world, "a", false),
        Supervisor::start(&world, "b", false),
    );
    join(one.until_ready(), two.until_ready()).await;
    world.policy_ready("dev").await;
    join(
        world.promote("lower", "v1.2.3", "dev"),
        world.promote("higher", "v1.2.4", "dev"),
    )
    .await;
    let what = format!("ended (killed at {kill:?})");
    world.until("lower", &what, LIMIT, is_over).await;
    world.until("higher", &what, LIMIT, is_over).await;
    one.until_settled(&world, seconds(1)).await;
    two.until_settled(&world, seconds(1)).await;
    // Who takes a claim over from a dead process gives it back 10 s later.
    until("no claim is left", CLAIMS_END, async || {
        let policy = world.policies().get("dev").await.ok()?;
        let ledger = policy.status?.artifacts;
        ledger
            .iter()
            .all(|entry| entry.in_flight.is_none())
            .then_some(())
    })
    .await;
    check(&world, kill.as_ref(), &lower, &higher).await;
    let entries = world.proxy.trace.since(0);
    let effects = entries
        .into_iter()
        .filter(|entry| entry.seen.class.is_effect())
        .map(|entry| kind_of(&entry.seen.key))
        .collect();
    let reached = world.proxy.faults.waiting() == 0;
    world.kill_operators().await;
    Run {
        effects,
        reached,
        took: began.elapsed(),
    }
}

/// One record for each success, each tag written once, `latest` right.
async fn check(world: &World, kill: Option<&(String, Moment)>, lower: &str, higher: &str) {
    let promotion = async |name: &str| world.promotions().get(name).await.expect("it exists");
    let outcome = async |name: &str| reason(&promotion(name).await);
    assert_eq!(outcome("higher").await, "Promoted", "killed at {kill:?}");
    let lower_outcome = outcome("lower").await;
    assert!(
        matches!(lower_outcome.as_str(), "Promoted" | "Downgrade"),
        "killed at {kill:?}: {lower_outcome}"
    );

    let tags = world.repository.tag_map().await;
    assert_eq!(
        tags.get("latest-dev").map(String::as_str),
        Some(higher),
        "killed at {kill:?}: {tags:?}"
    );
    assert_eq!(
        tags.get("v1.2.4-dev").map(String::as_str),
        Some(higher),
        "killed at {kill:?}: {tags:?}"
    );
    let written = (lower_outcome == "Promoted").then_some(lower);
    assert_eq!(
        tags.get("v1.2.3-dev").map(String::as_str),
        written,
        "killed at {kill:?}: {tags:?}"
    );

    for (name, digest) in [("lower", lower), ("higher", higher)] {
        let records = world.repository.records(digest).await.len();
        let promoted = stage(&promotion(name).await) == "Succeeded";
        assert_eq!(
            records,
            usize::from(promoted),
            "records of '{name}', killed at {kill:?}"
        );
    }
    let mut puts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in world.proxy.trace.since(0) {
        let applied = entry.forwarded && entry.status.is_some_and(|status| status < 300);
        if entry.seen.server == Server::Registry
            && applied
            && entry.seen.key.contains("PUT manifests/v1")
        {
            *puts.entry(entry.seen.key).or_default() += 1;
        }
    }
    assert!(
        puts.values().all(|&count| count == 1),
        "killed at {kill:?}: {puts:?}"
    );

    let ledger = world
        .policies()
        .get("dev")
        .await
        .unwrap()
        .status
        .unwrap()
        .artifacts;
    let ledger = &ledger[0];
    assert_eq!(
        ledger.current.as_ref().map(|entry| entry.digest.as_str()),
        Some(higher),
        "killed at {kill:?}"
    );
    assert_eq!(
        ledger.history.len(),
        1 + usize::from(lower_outcome == "Promoted"),
        "killed at {kill:?}"
    );
    assert!(
        ledger.in_flight.is_none(),
        "killed at {kill:?}: {:?}",
        ledger.in_flight
    );
}
