//! SIGKILL before and after each effect of the main scenario.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};

use crate::harness::Rig;
use crate::proxy::{Fault, Moment};
use crate::registries::Kind;
use crate::sweep::{Run, SIDE_BY_SIDE, Scene, Stop};

/// The table: effect, and how long the run took that was killed before and after it.
type Table = BTreeMap<(usize, String), [String; 2]>;

pub async fn a_crash_before_or_after_any_effect_changes_nothing_in_the_end(rig: Rig) {
    let scene = Scene {
        rig: &rig,
        kind: Kind::Distribution,
        leader_election: false,
        replica: None,
    };
    sweep(scene, |_| true).await;
}

pub async fn a_crash_changes_nothing_where_the_registry_has_the_referrers_api(rig: Rig) {
    let scene = Scene {
        rig: &rig,
        kind: Kind::Referrers,
        leader_election: false,
        replica: None,
    };
    // What is said to the API server is the same with every registry.
    sweep(scene, |key| key.starts_with("registry")).await;
}

pub async fn a_crash_changes_nothing_while_a_replica_is_brought_up_to_date(rig: Rig) {
    let scene = Scene {
        rig: &rig,
        kind: Kind::Referrers,
        leader_election: false,
        replica: Some(Kind::Distribution),
    };
    // What is written to the first registry is the same without a replica.
    // What a status says in between that it waits for depends on the machine, and the other sweeps have it.
    let meant = |key: &str| {
        let of_replica = !key.starts_with("registry") && !key.contains("jobs of gate");
        of_replica && !key.contains("waits:") && !key.contains(":Copying")
    };
    sweep(scene, meant).await;
}

pub async fn a_crash_changes_nothing_under_leader_election(rig: Rig) {
    let scene = Scene {
        rig: &rig,
        kind: Kind::Referrers,
        leader_election: true,
        replica: None,
    };
    let reference = scene.run(Vec::new()).await;
    let tag = reference
        .effects
        .iter()
        .find(|key| key.contains("PUT manifests/v1.2.3-dev"));
    let stop = Stop {
        key: tag.expect("the tag is written").clone(),
        fault: Fault::Kill(Moment::After),
    };
    let run = scene.run(vec![stop]).await;
    run.must_end_like(&reference);
    rig.report(format!(
        "crash under leader election: {:.1} s to the end",
        run.took.as_secs_f64()
    ));
}

/// Kills at every effect, and at every effect that only a recovery has.
async fn sweep(scene: Scene<'_>, meant: impl Fn(&str) -> bool) {
    let Scene { rig, kind, .. } = scene;
    let reference = scene.reference().await;
    let mut swept: BTreeSet<String> = BTreeSet::new();
    let mut table = Table::new();
    let keys: BTreeSet<&String> = reference.effects.iter().filter(|key| meant(key)).collect();
    let mut cases: Vec<Vec<Stop>> = keys
        .into_iter()
        .flat_map(|key| before_and_after(&[], key))
        .collect();
    let mut count = 0;
    // First the effects of the reference, then those that only a recovery has, reached by a first crash.
    for depth in 0.. {
        swept.extend(
            cases
                .iter()
                .map(|stops| stops.last().expect("a case stops").key.clone()),
        );
        let runs: Vec<Run> = stream::iter(cases)
            .map(|stops| scene.run(stops))
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        count += runs.len();
        let mut new: BTreeMap<String, Vec<Stop>> = BTreeMap::new();
        for run in &runs {
            run.must_end_like(&reference);
            enter(&mut table, &reference, run);
            for key in run
                .effects
                .iter()
                .filter(|key| meant(key) && !swept.contains(*key))
            {
                new.entry(key.clone()).or_insert_with(|| run.stops.clone());
            }
        }
        if new.is_empty() {
            break;
        }
        assert!(depth < 2, "effects that were not swept: {new:#?}");
        cases = new
            .iter()
            .flat_map(|(key, stops)| before_and_after(stops, key))
            .collect();
    }
    rig.report(format!(
        "crash sweep ({kind:?}): {} effects, {count} runs, all end like the reference",
        swept.len()
    ));
    print(rig, &table);
}

fn before_and_after(first: &[Stop], key: &str) -> [Vec<Stop>; 2] {
    [Moment::Before, Moment::After].map(|moment| {
        let stop = Stop {
            key: key.to_owned(),
            fault: Fault::Kill(moment),
        };
        [first, &[stop]].concat()
    })
}

fn enter(table: &mut Table, reference: &Run, run: &Run) {
    let Some(Stop {
        key,
        fault: Fault::Kill(moment),
    }) = run.stops.last()
    else {
        return;
    };
    let row = reference
        .effects
        .iter()
        .position(|one| one == key)
        .unwrap_or(usize::MAX);
    table.entry((row, key.clone())).or_default()[*moment as usize] =
        format!("{:.1} s", run.took.as_secs_f64());
}

fn print(rig: &Rig, table: &Table) {
    rig.report(format!(
        "  {:<92} {:>8} {:>8}",
        "killed at", "before", "after"
    ));
    for ((row, key), [before, after]) in table {
        let mark = if *row == usize::MAX { "recovery: " } else { "" };
        rig.report(format!(
            "  {:<92} {before:>8} {after:>8}",
            format!("{mark}{key}")
        ));
    }
}
