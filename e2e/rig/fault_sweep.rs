//! Requests that fail, at each effect of the main scenario: the connection is cut before or after the server
//! has done its work, or the server says 409, 429, 500 or 503.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};

use crate::harness::Rig;
use crate::proxy::{Fault, Moment};
use crate::registries::Kind;
use crate::sweep::{Run, SIDE_BY_SIDE, Scene, Stop};

pub async fn a_request_that_fails_changes_nothing_in_the_end(rig: Rig) {
    let scene = Scene {
        rig: &rig,
        kind: Kind::Distribution,
        leader_election: false,
        replica: None,
    };
    let reference = scene.reference().await;
    let keys: BTreeSet<&String> = reference.effects.iter().collect();
    let cases = keys.into_iter().flat_map(|key| {
        faults(key).into_iter().map(|(word, fault)| {
            (
                word,
                Stop {
                    key: key.clone(),
                    fault,
                },
            )
        })
    });
    let cases: Vec<(&str, Stop)> = cases.collect();
    let runs: Vec<(&str, Run)> = stream::iter(cases)
        .map(|(word, stop)| async move { (word, scene.run(vec![stop]).await) })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    let mut slowest: BTreeMap<&str, f64> = BTreeMap::new();
    for (word, run) in &runs {
        run.must_end_like(&reference);
        let most = 2 * reference.effects.len() + 10;
        assert!(
            run.effects.len() <= most,
            "with {:?}, {} requests that change something",
            run.stops,
            run.effects.len()
        );
        let slow = slowest.entry(word).or_default();
        *slow = slow.max(run.took.as_secs_f64());
    }
    let slowest: Vec<String> = slowest
        .iter()
        .map(|(word, took)| format!("{word} {took:.1} s"))
        .collect();
    rig.report(format!(
        "fault sweep: {} runs, all end like the reference; slowest: {}",
        runs.len(),
        slowest.join(", ")
    ));
}

/// What can go wrong with a request of this kind.
fn faults(key: &str) -> Vec<(&'static str, Fault)> {
    let mut faults = vec![
        ("cut before", Fault::Cut(Moment::Before)),
        ("cut after", Fault::Cut(Moment::After)),
    ];
    if key.starts_with("registry") {
        faults.push(("500", Fault::registry_error(500, "UNKNOWN")));
        faults.push((
            "429",
            Fault::registry_error(429, "TOOMANYREQUESTS").with_header("retry-after", "1"),
        ));
        return faults;
    }
    faults.push(("500", Fault::api_status(500, "InternalError")));
    faults.push(("503", Fault::api_status(503, "ServiceUnavailable")));
    if key.starts_with("PUT") || key.starts_with("PATCH") {
        faults.push(("409", Fault::api_status(409, "Conflict")));
    }
    faults
}
