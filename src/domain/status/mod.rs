//! From a decision to the status that people and tools read. Nothing is decided here.

mod conditions;
mod gates;
mod intent;
mod replicas;
mod signature;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use gates::{digest_label, earlier_results, sign, stored_results};
pub use intent::{Decider, intent, stated};
pub use replicas::stored_replicas;
pub use signature::stored_signature;

use super::decision::{Decision, Stage};
use super::observed::Observed;
use super::record::Recorded;
use crate::api::{Intent, PromotionStatus, WaitingStatus};
use conditions::conditions;
use gates::gates_of;
use replicas::replicas_of;

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
    let gates = match (decision.stage, &before.intent) {
        // What the record says of the gates is fixed: a policy that changes now changes nothing any more.
        (Stage::Recording | Stage::Publishing | Stage::Succeeded, Some(_)) => before.gates.clone(),
        _ => gates_of(before, observed),
    };
    let signature = match (decision.stage, &before.intent) {
        (Stage::Recording | Stage::Publishing | Stage::Succeeded, Some(_)) => {
            before.signature.clone()
        }
        _ => signature::signature_of(before, observed),
    };
    let record = observed.record.as_ref().or_else(|| ledger_record(observed));
    let mut status = PromotionStatus {
        observed_generation: generation,
        conditions: Vec::new(),
        stage: Some(decision.stage.as_str().to_owned()),
        plan: observed
            .plan
            .as_ref()
            .map(crate::domain::plan::Plan::to_status)
            .or_else(|| before.plan.clone()),
        signature,
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
            .map(Recorded::to_api)
            .or_else(|| before.audit.clone()),
        replicas: replicas_of(before, observed, decision, now),
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

/// Since when the status waits for this reason.
fn since(before: &PromotionStatus, reason: &str, now: Timestamp) -> Timestamp {
    before
        .waiting_on
        .as_ref()
        .filter(|waiting| waiting.reason == reason)
        .map_or(now, |waiting| waiting.since.0)
}

fn ledger_record(observed: &Observed) -> Option<&Recorded> {
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
    entry.audit.as_ref()
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
