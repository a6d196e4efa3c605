//! SIGKILL before and after each effect of the main scenario; the end state must be that of a run without.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::endstate::{differences, end_state};
use crate::harness::Rig;
use crate::jobs::When;
use crate::proxy::{Fault, Moment};
use crate::registries::Kind;
use crate::supervisor::Supervisor;
use crate::wait::seconds;
use crate::world::{World, gates, is_over};

/// Runs at the same time.
const SIDE_BY_SIDE: usize = 3;
/// A run must be over by then: a claim is inherited after 10 s, a Lease after 15 s.
const LIMIT: Duration = seconds(90);
/// Without a request for this long, the operator is at rest.
const QUIET: Duration = Duration::from_millis(700);

/// Where the operator is killed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stop {
    key: String,
    moment: Moment,
}

/// What came of one run.
struct Run {
    stops: Vec<Stop>,
    /// Every effect that was tried, in order.
    effects: Vec<String>,
    /// Every stop came about.
    all_reached: bool,
    end: Value,
    took: Duration,
}

/// What is swept.
#[derive(Clone, Copy)]
struct Sweep<'a> {
    rig: &'a Rig,
    kind: Kind,
    leader_election: bool,
}

pub async fn a_crash_before_or_after_any_effect_changes_nothing_in_the_end(rig: Rig) {
    Sweep {
        rig: &rig,
        kind: Kind::Distribution,
        leader_election: false,
    }
    .whole()
    .await;
}

pub async fn a_crash_changes_nothing_where_the_registry_has_the_referrers_api(rig: Rig) {
    Sweep {
        rig: &rig,
        kind: Kind::Referrers,
        leader_election: false,
    }
    .whole()
    .await;
}

pub async fn a_crash_changes_nothing_under_leader_election(rig: Rig) {
    let sweep = Sweep {
        rig: &rig,
        kind: Kind::Referrers,
        leader_election: true,
    };
    let reference = sweep.run(Vec::new()).await;
    let key = reference
        .effects
        .iter()
        .find(|key| key.contains("PUT manifests/v1.2.3-dev"))
        .expect("the tag is written");
    let run = sweep
        .run(vec![Stop {
            key: key.clone(),
            moment: Moment::After,
        }])
        .await;
    judge(&reference, &run);
    rig.report(format!(
        "crash under leader election: {:.1} s to the end",
        run.took.as_secs_f64()
    ));
}

impl Sweep<'_> {
    /// Kills at every effect, and at every effect that only a recovery has.
    async fn whole(&self) {
        let reference = self.run(Vec::new()).await;
        let again = self.run(Vec::new()).await;
        let noise = differences(&reference.end, &again.end);
        assert!(
            noise.is_empty(),
            "two undisturbed runs differ, so the mask is too thin:\n{}",
            noise.join("\n")
        );
        self.rig.passed_so_far();

        let mut swept: BTreeSet<String> = BTreeSet::new();
        let mut table: BTreeMap<(usize, String), [String; 2]> = BTreeMap::new();
        let mut cases = both_moments(&[], &reference.effects);
        let mut count = 0;
        // First the effects of the reference, then those that only a recovery has, reached by a first crash.
        for depth in 0.. {
            swept.extend(
                cases
                    .iter()
                    .map(|stops| stops.last().expect("a case stops").key.clone()),
            );
            let runs: Vec<Run> = stream::iter(cases)
                .map(|stops| self.run(stops))
                .buffer_unordered(SIDE_BY_SIDE)
                .collect()
                .await;
            count += runs.len();
            let mut new: BTreeMap<String, Vec<Stop>> = BTreeMap::new();
            for run in &runs {
                judge(&reference, run);
                let stop = run.stops.last().expect("a case stops");
                let cell = format!("{:.1} s", run.took.as_secs_f64());
                let row = order(&reference, &stop.key);
                table.entry((row, stop.key.clone())).or_default()[stop.moment as usize] = cell;
                for key in run.effects.iter().filter(|key| !swept.contains(*key)) {
                    new.entry(key.clone()).or_insert_with(|| run.stops.clone());
                }
            }
            if new.is_empty() {
                break;
            }
            assert!(depth < 2, "effects that were not swept: {new:#?}");
            cases = new
                .iter()
                .flat_map(|(key, stops)| both_moments(stops, std::slice::from_ref(key)))
                .collect();
        }
        self.rig.report(format!(
            "crash sweep ({:?}): {} effects, {count} runs, all end like the reference",
            self.kind,
            swept.len()
        ));
        self.rig.report(format!(
            "  {:<86} {:>8} {:>8}",
            "killed at", "before", "after"
        ));
        for ((row, key), [before, after]) in &table {
            let mark = if *row == usize::MAX { "recovery: " } else { "" };
            self.rig.report(format!(
                "  {:<86} {before:>8} {after:>8}",
                format!("{mark}{key}")
            ));
        }
    }

    /// One run of the main scenario: two gates and policy_compliance, one environment.
    async fn run(&self, stops: Vec<Stop>) -> Run {
        let began = Instant::now();
        let world = Rc::new(World::new(self.rig, self.kind).await);
        world.jobs.when(When::OneByOne(3));
        world.repository.publish("v1.2.3", "first").await;
        for stop in &stops {
            let key = stop.key.clone();
            world
                .proxy
                .faults
                .once(Fault::Kill(stop.moment), move |seen, _| {
                    seen.class.is_effect() && seen.key == key
                });
        }
        let policy = json!({ "gates": gates(2) });
        world.policy("dev", policy).await;
        let supervisor = Supervisor::start(&world, "op", self.leader_election);
        supervisor.until_ready().await;
        world.policy_ready("dev").await;
        world.promote("one", "v1.2.3", "dev").await;
        world
            .until(
                "one",
                &format!("ended (killed at {stops:?})"),
                LIMIT,
                is_over,
            )
            .await;
        supervisor.until_settled(&world, QUIET).await;
        let end = end_state(&world).await;
        world.assert_counted_everything().await;
        let effects = world
            .proxy
            .trace
            .since(0)
            .into_iter()
            .filter(|entry| entry.seen.class.is_effect());
        let effects = effects.map(|entry| entry.seen.key).collect();
        let all_reached = world.proxy.faults.waiting() == 0;
        world.kill_operators().await;
        Run {
            stops,
            effects,
            all_reached,
            end,
            took: began.elapsed(),
        }
    }
}

fn both_moments(before: &[Stop], keys: &[String]) -> Vec<Vec<Stop>> {
    let unique: BTreeSet<&String> = keys.iter().collect();
    let stop = |key: &String, moment| {
        [
            before,
            &[Stop {
                key: key.clone(),
                moment,
            }],
        ]
        .concat()
    };
    unique
        .into_iter()
        .flat_map(|key| [stop(key, Moment::Before), stop(key, Moment::After)])
        .collect()
}

fn order(reference: &Run, key: &str) -> usize {
    reference
        .effects
        .iter()
        .position(|one| one == key)
        .unwrap_or(usize::MAX)
}

fn judge(reference: &Run, run: &Run) {
    assert!(
        run.all_reached,
        "no request came for {:?}; the run had:\n{}",
        run.stops,
        run.effects.join("\n")
    );
    let differences = differences(&reference.end, &run.end);
    assert!(
        differences.is_empty(),
        "killed at {:?}, it ends otherwise:\n{}\nthe run had:\n{}",
        run.stops,
        differences.join("\n"),
        run.effects.join("\n")
    );
}
