//! From a decision to the status that people and tools read. Nothing is decided here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::decision::{Decision, Outcome, Stage};
use super::gates::{GateOutcome, GateState, job_name};
use super::observed::Observed;
use super::verdict::{PlannedGate, planned_gates, state_of};
use crate::api::{
    ConditionType, GateStatus, Intent, OnFailure, PromotionStatus, RecordRef, WaitingStatus,
    find_condition,
};

/// Longest message of a condition or gate, in characters.
const MESSAGE_MAX: usize = 1000;

/// The status after a decision. What has not changed keeps its time.
pub fn status_of(
    before: &PromotionStatus,
    generation: i64,
    observed: &Observed,
    decision: &Decision,
    now: Timestamp,
) -> PromotionStatus {
    let gates = gates_of(before, observed);
    let record = observed.record.as_ref().or_else(|| ledger_record(observed));
    let mut status = PromotionStatus {
        observed_generation: generation,
        conditions: Vec::new(),
        stage: Some(decision.stage.as_str().to_owned()),
        plan: observed
            .plan
            .as_ref()
            .map(super::plan::Plan::to_status)
            .or_else(|| before.plan.clone()),
        gate_summary: (!gates.is_empty())
            .then(|| gates.iter().map(|gate| sign(&gate.outcome)).collect()),
        gates,
        waiting_on: decision.waiting_on.as_ref().map(|waiting| WaitingStatus {
            reason: waiting.reason().to_owned(),
            message: shortened(&waiting.to_string()),
            since: Time(since(before, waiting.reason(), now)),
        }),
        intent: before.intent.clone(),
        audit: record
            .map(|digest| RecordRef {
                record: digest.to_string(),
            })
            .or_else(|| before.audit.clone()),
        finished_at: before
            .finished_at
            .clone()
            .or_else(|| decision.stage.is_final().then_some(Time(now))),
    };
    status.conditions = conditions(before, generation, observed, decision, &status, now);
    status
}

/// The status with which the intent is stated: verdicts, and what the record will say.
pub fn with_intent(
    before: &PromotionStatus,
    generation: i64,
    observed: &Observed,
    intent: Intent,
    now: Timestamp,
) -> PromotionStatus {
    let decision = Decision::act(Stage::Writing, Vec::new());
    PromotionStatus {
        intent: Some(intent),
        ..status_of(before, generation, observed, &decision, now)
    }
}

/// Whether two statuses differ in more than the wording of what is waited for.
pub fn differs_materially(before: &PromotionStatus, after: &PromotionStatus) -> bool {
    unworded(before) != unworded(after)
}

/// The verdicts that a status holds, as observations.
///
/// A running gate is not taken from there: its Job says more.
pub fn stored_results(status: &PromotionStatus) -> BTreeMap<String, super::observed::ObservedGate> {
    status
        .gates
        .iter()
        .filter_map(|gate| Some((gate.name.clone(), stored_result(gate)?)))
        .collect()
}

fn stored_result(gate: &GateStatus) -> Option<super::observed::ObservedGate> {
    let outcome = match (gate.outcome.as_str(), gate.message.as_deref()) {
        ("Passed", _) => GateOutcome::Passed,
        ("Failed", _) => GateOutcome::Failed,
        ("Error", _) => GateOutcome::Error,
        ("TimedOut", _) => GateOutcome::TimedOut,
        ("Warned", Some(message)) => warned_outcome(message),
        (_, _) => return None,
    };
    let result = super::gates::GateResult {
        outcome,
        message: gate.message.clone().unwrap_or_default(),
        started_at: gate.started_at.as_ref().map(|time| time.0),
        finished_at: gate.finished_at.as_ref().map(|time| time.0),
        image_digest: gate.image_digest.clone(),
        output: gate.output.clone(),
        findings: Vec::new(),
        job_uid: gate.job_uid.clone().unwrap_or_default(),
    };
    Some(super::observed::ObservedGate {
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

fn gates_of(before: &PromotionStatus, observed: &Observed) -> Vec<GateStatus> {
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

/// A condition's status, reason and message.
struct Said<'a> {
    status: &'static str,
    reason: &'a str,
    message: String,
}

fn conditions(
    before: &PromotionStatus,
    generation: i64,
    observed: &Observed,
    decision: &Decision,
    status: &PromotionStatus,
    now: Timestamp,
) -> Vec<Condition> {
    let said = |status, reason, message: &str| Said {
        status,
        reason,
        message: message.to_owned(),
    };
    let (ready, reconciling, stalled, succeeded) = match &decision.outcome {
        Some(Outcome::Failed(why)) => {
            let message = why.to_string();
            (
                said("False", why.reason(), &message),
                said("False", why.reason(), "it has ended"),
                said("True", why.reason(), &message),
                said("False", why.reason(), &message),
            )
        }
        Some(done @ (Outcome::Promoted | Outcome::AlreadyPromoted | Outcome::DryRunPassed)) => {
            let message = success_message(observed, done);
            (
                said("True", done.reason(), &message),
                said("False", done.reason(), "it has ended"),
                said("False", done.reason(), "it has ended well"),
                said("True", done.reason(), &message),
            )
        }
        None => {
            let progress = decision.stage.as_str();
            let (reason, message) = decision
                .waiting_on
                .as_ref()
                .map_or((progress, doing(decision.stage).to_owned()), |waiting| {
                    (waiting.reason(), waiting.to_string())
                });
            (
                said("False", reason, &message),
                said("True", reason, &message),
                said("False", "Progressing", "it goes on by itself"),
                said("Unknown", reason, &message),
            )
        }
    };
    let facts = facts(before, decision, status);
    let heads = [
        (ConditionType::Ready, ready),
        (ConditionType::Reconciling, reconciling),
        (ConditionType::Stalled, stalled),
        (ConditionType::Succeeded, succeeded),
    ];
    heads
        .into_iter()
        .chain(facts)
        .map(|(kind, said)| condition(&before.conditions, generation, kind, said, now))
        .collect()
}

fn facts(
    before: &PromotionStatus,
    decision: &Decision,
    status: &PromotionStatus,
) -> Vec<(ConditionType, Said<'static>)> {
    let fact = |kind, holds: bool, done: String, open: &'static str| {
        let said = if holds {
            Said {
                status: "True",
                reason: "Done",
                message: done,
            }
        } else if decision.stage.is_final() {
            Said {
                status: "False",
                reason: "NotReached",
                message: open.to_owned(),
            }
        } else {
            Said {
                status: "Unknown",
                reason: "NotYet",
                message: open.to_owned(),
            }
        };
        (kind, said)
    };
    let plan = status.plan.as_ref();
    let named = |what: &str| {
        plan.map(|plan| format!("{what} {}", plan.digest))
            .unwrap_or_default()
    };
    let gates_passed = !status.gates.is_empty()
        && status
            .gates
            .iter()
            .all(|gate| matches!(gate.outcome.as_str(), "Passed" | "Warned"));
    let promoted = matches!(decision.outcome, Some(Outcome::Promoted));
    let was_recorded = before.audit.is_some();
    vec![
        fact(
            ConditionType::SourceVerified,
            plan.is_some(),
            named("the source tag names"),
            "the source has not been resolved",
        ),
        fact(
            ConditionType::GatesPassed,
            gates_passed,
            named("every gate that can block passed on"),
            "not every gate that can block has passed",
        ),
        fact(
            ConditionType::Promoted,
            promoted,
            named("the tags name"),
            "the tags have not been written",
        ),
        fact(
            ConditionType::Recorded,
            was_recorded || status.audit.is_some(),
            status
                .audit
                .as_ref()
                .map(|audit| format!("the record is {}", audit.record))
                .unwrap_or_default(),
            "no record has been written",
        ),
    ]
}

fn success_message(observed: &Observed, outcome: &Outcome) -> String {
    let Some(plan) = &observed.plan else {
        return format!(
            "version {} had been promoted to '{}' before by an object of this name; nothing was moved",
            observed.request.version, observed.request.to
        );
    };
    let route = &plan.route;
    match outcome {
        Outcome::DryRunPassed => format!(
            "version {} would be promoted to '{}'; nothing was written",
            route.version, route.to
        ),
        Outcome::AlreadyPromoted => format!(
            "version {} is in '{}' already; nothing was moved",
            route.version, route.to
        ),
        Outcome::Promoted | Outcome::Failed(_) => {
            format!(
                "'{}' and '{}' name {}",
                route.tag, route.latest_tag, plan.digest
            )
        }
    }
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolving => "resolving the source tag",
        Stage::Gating => "starting gates",
        Stage::Writing => "writing the environment's tag",
        Stage::Recording => "writing the record",
        Stage::Publishing => "moving latest",
        Stage::Succeeded | Stage::Failed => "it has ended",
    }
}

fn condition(
    before: &[Condition],
    generation: i64,
    kind: ConditionType,
    said: Said<'_>,
    now: Timestamp,
) -> Condition {
    let Said {
        status,
        reason,
        message,
    } = said;
    let unchanged = find_condition(before, kind).filter(|condition| condition.status == status);
    Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: shortened(&message),
        observed_generation: Some(generation),
        last_transition_time: unchanged.map_or(Time(now), |condition| {
            condition.last_transition_time.clone()
        }),
    }
}

/// Since when the status waits for this reason.
fn since(before: &PromotionStatus, reason: &str, now: Timestamp) -> Timestamp {
    before
        .waiting_on
        .as_ref()
        .filter(|waiting| waiting.reason == reason)
        .map_or(now, |waiting| waiting.since.0)
}

fn ledger_record(observed: &Observed) -> Option<&super::artifact::Digest> {
    let plan = observed.plan.as_ref()?;
    let ledger = observed
        .environments
        .get(&plan.route.to)?
        .ledger
        .get(&plan.route.artifact)?;
    let entry = ledger
        .history
        .iter()
        .find(|entry| entry.uid.as_deref() == Some(&observed.request.uid))?;
    entry.record.as_ref()
}

fn unworded(status: &PromotionStatus) -> PromotionStatus {
    let mut masked = status.clone();
    if let Some(waiting) = &mut masked.waiting_on {
        waiting.message.clear();
    }
    for condition in &mut masked.conditions {
        condition.message.clear();
    }
    masked
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MESSAGE_MAX {
        return text.to_owned();
    }
    text.chars()
        .take(MESSAGE_MAX - 3)
        .chain("...".chars())
        .collect()
}
