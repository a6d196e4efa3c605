//! Gates in the status: results as people read them, and read back as results.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::shortened;
use crate::api::{GateStatus, OnFailure, Promotion, PromotionStatus};
use crate::domain::artifact::Digest;
use crate::domain::gates::{Found, GateOutcome, GateResult, GateState, Reused, job_name};
use crate::domain::observed::{Observed, ObservedGate};
use crate::domain::plan::Plan;
use crate::domain::policy::values_of;
use crate::domain::verdict::{PlannedGate, planned_gates, state_of};

/// Most ids and findings that the API accepts.
const IDS_MAX: usize = 128;
const FINDINGS_MAX: usize = 64;

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

/// The results of earlier promotions of the plan's digest into its environment; of several for one gate, the
/// one that ended last. Whether they count again is another question.
pub fn earlier_results(promotions: &[Promotion], plan: &Plan) -> BTreeMap<String, ObservedGate> {
    let mut latest: BTreeMap<String, ObservedGate> = BTreeMap::new();
    let fits = |promotion: &&Promotion| {
        let known = promotion
            .status
            .as_ref()
            .and_then(|status| status.plan.as_ref());
        promotion.spec.to == plan.route.to
            && known.is_some_and(|known| {
                known.digest == plan.digest.as_str()
                    && known.artifact == plan.route.artifact
                    && known.repository == plan.route.repository.to_string()
                    && known.source_repository
                        == plan
                            .route
                            .source_repository
                            .as_ref()
                            .map(ToString::to_string)
            })
    };
    for promotion in promotions.iter().filter(fits) {
        let status = promotion.status.clone().unwrap_or_default();
        for (name, mut gate) in stored_results(&status) {
            let GateState::Ended(result) = &mut gate.state else {
                continue;
            };
            let job = status.gates.iter().find(|one| one.name == name);
            result.reused.get_or_insert_with(|| Reused {
                from: promotion.metadata.name.clone().unwrap_or_default(),
                job: job.map(|one| one.job.clone()).unwrap_or_default(),
            });
            if latest
                .get(&name)
                .is_none_or(|known| ended_at(known) < ended_at(&gate))
            {
                latest.insert(name, gate);
            }
        }
    }
    latest
}

fn ended_at(gate: &ObservedGate) -> Option<Timestamp> {
    match &gate.state {
        GateState::Ended(result) => result.finished_at,
        GateState::Running { .. } => None,
    }
}

/// A digest as the value of a label, which has 63 characters at most.
pub fn digest_label(digest: &Digest) -> String {
    digest.hex().chars().take(63).collect()
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
        found: found_in(gate),
        job_uid: gate.job_uid.clone().unwrap_or_default(),
        attempts: gate
            .attempts
            .and_then(|attempts| u32::try_from(attempts).ok())
            .unwrap_or(1),
        reused: gate.reused_from.clone().map(|from| Reused {
            from,
            job: gate.job.clone(),
        }),
    };
    Some(ObservedGate {
        spec_hash: gate.spec_hash.clone(),
        state: GateState::Ended(Box::new(result)),
    })
}

fn found_in(gate: &GateStatus) -> Found {
    Found {
        counts: gate
            .counts
            .iter()
            .map(|(name, count)| (name.clone(), u64::try_from(*count).unwrap_or_default()))
            .collect(),
        ids: gate.ids.clone(),
        findings: gate.findings.clone(),
        omitted: gate
            .omitted
            .and_then(|omitted| u64::try_from(omitted).ok())
            .unwrap_or_default(),
        values: values_of(&gate.values),
    }
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
        duration: None,
        attempts: None,
        reused_from: None,
        counts: BTreeMap::new(),
        ids: Vec::new(),
        findings: Vec::new(),
        omitted: None,
        values: BTreeMap::new(),
    };
    match state_of(planned, &observed.gates) {
        None | Some(GateState::Running { .. }) => blank,
        Some(GateState::Ended(result)) => {
            ended(with_found(blank, &result.found), result, planned.on_failure)
        }
    }
}

/// A gate with its result. A warned one keeps what it was in the first word of its message.
fn ended(gate: GateStatus, result: &GateResult, on_failure: OnFailure) -> GateStatus {
    let warned = result.outcome != GateOutcome::Passed && on_failure == OnFailure::Warn;
    let was = word(result.outcome);
    let message = shortened(
        result
            .message
            .strip_prefix(&format!("{was}: "))
            .unwrap_or(&result.message),
    );
    let reused = result.reused.as_ref();
    GateStatus {
        outcome: if warned { "Warned" } else { was }.to_owned(),
        message: Some(if warned {
            format!("{was}: {message}")
        } else {
            message
        }),
        job: reused.map_or(gate.job, |reused| reused.job.clone()),
        job_uid: Some(result.job_uid.clone()),
        image_digest: result.image_digest.clone(),
        started_at: result.started_at.map(Time),
        finished_at: result.finished_at.map(Time),
        duration: result.started_at.zip(result.finished_at).map(duration),
        attempts: i32::try_from(result.attempts).ok(),
        reused_from: reused.map(|reused| reused.from.clone()),
        output: result.output.clone(),
        ..gate
    }
}

/// In whole seconds, as the node gives the end.
fn duration((started, finished): (Timestamp, Timestamp)) -> String {
    format!("{}s", finished.duration_since(started).as_secs().max(0))
}

/// The numbers and names of a result, within what the API accepts.
fn with_found(gate: GateStatus, found: &Found) -> GateStatus {
    let Found {
        counts,
        ids,
        findings,
        omitted,
        values,
    } = found;
    let number = |count: &u64| i64::try_from(*count).unwrap_or(i64::MAX);
    let cut = ids.len().saturating_sub(IDS_MAX) + findings.len().saturating_sub(FINDINGS_MAX);
    let omitted = omitted.saturating_add(cut as u64);
    GateStatus {
        counts: counts
            .iter()
            .map(|(name, count)| (name.clone(), number(count)))
            .collect(),
        ids: ids.iter().take(IDS_MAX).cloned().collect(),
        findings: findings
            .iter()
            .take(FINDINGS_MAX)
            .map(|finding| shortened(finding))
            .collect(),
        omitted: (omitted > 0).then(|| number(&omitted)),
        values: values
            .iter()
            .map(|(name, value)| (name.clone(), value.normalize().to_string()))
            .collect(),
        ..gate
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

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
