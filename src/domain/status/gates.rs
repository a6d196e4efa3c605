//! Gates in the status: results as people read them, and read back as results.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::shortened;
use crate::api::{GateStatus, OnFailure, PromotionStatus};
use crate::domain::gates::{GateOutcome, GateResult, GateState, job_name};
use crate::domain::observed::{Observed, ObservedGate};
use crate::domain::verdict::{PlannedGate, planned_gates, state_of};

/// The verdicts that a status holds, as observations.
///
/// A running gate is not taken from there: its Job says more.
pub fn stored_results(status: &PromotionStatus) -> BTreeMap<String, ObservedGate> {
    status
        .gates
        .iter()
        .filter_map(|gate| Some((gate.name.clone(), stored_result(gate)?)))
        .collect()
}

fn stored_result(gate: &GateStatus) -> Option<ObservedGate> {
    let outcome = match (gate.outcome.as_str(), gate.message.as_deref()) {
        ("Passed", _) => GateOutcome::Passed,
        ("Failed", _) => GateOutcome::Failed,
        ("Error", _) => GateOutcome::Error,
        ("TimedOut", _) => GateOutcome::TimedOut,
        ("Warned", Some(message)) => warned_outcome(message),
        (_, _) => return None,
    };
    let result = GateResult {
        outcome,
        message: gate.message.clone().unwrap_or_default(),
        started_at: gate.started_at.as_ref().map(|time| time.0),
        finished_at: gate.finished_at.as_ref().map(|time| time.0),
        image_digest: gate.image_digest.clone(),
        output: gate.output.clone(),
        findings: Vec::new(),
        job_uid: gate.job_uid.clone().unwrap_or_default(),
    };
    Some(ObservedGate {
        spec_hash: gate.spec_hash.clone(),
        state: GateState::Ended(result),
    })
}

/// A warned gate keeps what it was in the first word of its message.
fn warned_outcome(message: &str) -> GateOutcome {
    match message.split(':').next() {
        Some("Error") => GateOutcome::Error,
        Some("TimedOut") => GateOutcome::TimedOut,
        Some(_) | None => GateOutcome::Failed,
    }
}

pub(super) fn gates_of(before: &PromotionStatus, observed: &Observed) -> Vec<GateStatus> {
    let environment = observed
        .plan
        .as_ref()
        .and_then(|plan| Some((plan, observed.environments.get(&plan.route.to)?)));
    let Some((plan, environment)) = environment else {
        return before.gates.clone();
    };
    planned_gates(environment, &plan.digest)
        .iter()
        .map(|planned| gate_of(planned, observed))
        .collect()
}

fn gate_of(planned: &PlannedGate, observed: &Observed) -> GateStatus {
    let request = &observed.request;
    let blank = GateStatus {
        name: planned.name.clone(),
        gate_type: planned.spec.kind.as_str().to_owned(),
        outcome: "Running".to_owned(),
        message: None,
        spec_hash: planned.spec_hash.clone(),
        job: job_name(
            &request.name,
            &request.uid,
            &planned.name,
            0,
            &planned.spec_hash,
        ),
        job_uid: None,
        image: (!planned.spec.image.is_empty()).then(|| planned.spec.image.clone()),
        image_digest: None,
        started_at: None,
        finished_at: None,
        output: None,
    };
    match state_of(planned, &observed.gates) {
        None | Some(GateState::Running { .. }) => blank,
        Some(GateState::Ended(result)) => {
            let warned =
                result.outcome != GateOutcome::Passed && planned.on_failure == OnFailure::Warn;
            let was = word(result.outcome);
            let message = shortened(
                result
                    .message
                    .strip_prefix(&format!("{was}: "))
                    .unwrap_or(&result.message),
            );
            GateStatus {
                outcome: if warned { "Warned" } else { was }.to_owned(),
                message: Some(if warned {
                    format!("{was}: {message}")
                } else {
                    message
                }),
                job_uid: Some(result.job_uid.clone()),
                image_digest: result.image_digest.clone(),
                started_at: result.started_at.map(Time),
                finished_at: result.finished_at.map(Time),
                output: result.output.clone(),
                ..blank
            }
        }
    }
}

fn word(outcome: GateOutcome) -> &'static str {
    match outcome {
        GateOutcome::Passed => "Passed",
        GateOutcome::Failed => "Failed",
        GateOutcome::Error => "Error",
        GateOutcome::TimedOut => "TimedOut",
    }
}

/// The sign of an outcome in the print column `GATES`.
pub fn sign(outcome: &str) -> char {
    match outcome {
        "Passed" => '✓',
        "Warned" => '!',
        "Running" => '…',
        _ => '✗',
    }
}
