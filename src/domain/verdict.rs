//! Which gates an environment asks for, and what their results say together.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::artifact::Digest;
use super::decision::{FailureReason, GateVerdict, RunningGate};
use super::gates::{GateOutcome, GateResult, GateSpec, GateState, spec_hash};
use super::observed::ObservedGate;
use super::policy::{Environment, OnFailure};

/// A gate that must be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedGate {
    /// Its name.
    pub name: String,
    /// What runs.
    pub spec: GateSpec,
    /// What it does when it does not pass.
    pub on_failure: OnFailure,
    /// How long its Pod may take to start, in seconds.
    pub start_timeout_seconds: u32,
    /// How long a result Passed counts again, in seconds; none: never.
    pub cache_for_seconds: Option<u32>,
    /// A result counts only with this hash: the gate's specification and the digest.
    pub spec_hash: String,
}

/// What the gates say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These have no result and no Job.
    Missing(Vec<String>),
    /// These have not ended.
    Running {
        /// Gates and what they are doing.
        running: Vec<RunningGate>,
        /// Gates that have ended without passing.
        not_passed: Vec<String>,
        /// When the clock alone changes something.
        look_again_at: Option<Timestamp>,
    },
    /// All have ended, and some block.
    Blocked(FailureReason),
    /// All have ended, and none blocks.
    Clear,
}

/// The gates of an environment for this digest: `policy_compliance` first, then in the policy's order.
pub fn planned_gates(environment: &Environment, digest: &Digest) -> Vec<PlannedGate> {
    environment
        .gates
        .iter()
        .map(|gate| PlannedGate {
            name: gate.name.clone(),
            spec_hash: spec_hash(&gate.spec, digest),
            spec: gate.spec.clone(),
            on_failure: gate.on_failure,
            start_timeout_seconds: gate.start_timeout_seconds,
            cache_for_seconds: gate.cache_for_seconds,
        })
        .collect()
}

/// The state of a planned gate: only what was seen under the same hash counts.
pub fn state_of<'a>(
    planned: &PlannedGate,
    observed: &'a BTreeMap<String, ObservedGate>,
) -> Option<&'a GateState> {
    observed
        .get(&planned.name)
        .filter(|gate| gate.spec_hash == planned.spec_hash)
        .map(|gate| &gate.state)
}

/// The results of an earlier request that count again: Passed under the same specification, on the same
/// digest, not longer ago than the gate says, and with no exception that has ended since.
pub fn counting_again(
    planned: &[PlannedGate],
    earlier: &BTreeMap<String, ObservedGate>,
    now: Timestamp,
) -> BTreeMap<String, ObservedGate> {
    let counts = |gate: &PlannedGate| {
        let cache = SignedDuration::from_secs(gate.cache_for_seconds?.into());
        let found = earlier.get(&gate.name)?;
        let GateState::Ended(result) = &found.state else {
            return None;
        };
        let ended = result.finished_at?;
        let fits = result.outcome == GateOutcome::Passed
            && found.spec_hash == gate.spec_hash
            && ended <= now
            && gate
                .spec
                .report
                .as_ref()
                .is_none_or(|rules| rules.same_exceptions(ended, now))
            && now < ended.saturating_add(cache).unwrap_or(ended);
        fits.then(|| (gate.name.clone(), found.clone()))
    };
    planned.iter().filter_map(counts).collect()
}

/// What the results say together.
pub fn verdict(planned: &[PlannedGate], observed: &BTreeMap<String, ObservedGate>) -> Verdict {
    let mut missing = Vec::new();
    let mut running = Vec::new();
    let mut look_again_at: Option<Timestamp> = None;
    let mut blocked: Vec<(GateOutcome, GateVerdict)> = Vec::new();
    for gate in planned {
        match state_of(gate, observed) {
            None => missing.push(gate.name.clone()),
            Some(GateState::Running {
                doing,
                look_again_at: at,
                ..
            }) => {
                running.push(RunningGate {
                    name: gate.name.clone(),
                    doing: doing.clone(),
                });
                look_again_at = [look_again_at, *at].into_iter().flatten().min();
            }
            Some(GateState::Ended(result)) if blocks(gate, result) => {
                let said = GateVerdict {
                    name: gate.name.clone(),
                    message: result.message.clone(),
                };
                blocked.push((result.outcome, said));
            }
            Some(GateState::Ended(_)) => {}
        }
    }
    if !missing.is_empty() {
        return Verdict::Missing(missing);
    }
    if !running.is_empty() {
        let not_passed = blocked.into_iter().map(|(_, said)| said.name).collect();
        return Verdict::Running {
            running,
            not_passed,
            look_again_at,
        };
    }
    failure(blocked).map_or(Verdict::Clear, Verdict::Blocked)
}

/// Whether this result stops the promotion.
fn blocks(gate: &PlannedGate, result: &GateResult) -> bool {
    match (result.outcome, gate.on_failure) {
        (GateOutcome::Passed, _) | (_, OnFailure::Warn) => false,
        (GateOutcome::Failed | GateOutcome::Error | GateOutcome::TimedOut, OnFailure::Block) => {
            true
        }
    }
}

/// One reason for all: a gate that said no counts more than one that was slow, and that more than one
/// that could not be run.
fn failure(blocked: Vec<(GateOutcome, GateVerdict)>) -> Option<FailureReason> {
    let any = |outcome| blocked.iter().any(|(found, _)| *found == outcome);
    let (failed, timed_out) = (any(GateOutcome::Failed), any(GateOutcome::TimedOut));
    let gates: Vec<GateVerdict> = blocked.into_iter().map(|(_, said)| said).collect();
    if gates.is_empty() {
        None
    } else if failed {
        Some(FailureReason::GateFailed(gates))
    } else if timed_out {
        Some(FailureReason::GateTimedOut(gates))
    } else {
        Some(FailureReason::GateError(gates))
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
