//! Conditions, as kstatus, `kubectl wait` and people read them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::replicas::replicated;
use super::shortened;
use crate::api::{ConditionType, PromotionStatus, find_condition};
use crate::domain::decision::{Decision, Outcome, Stage};
use crate::domain::observed::Observed;

/// A condition's status, reason and message.
struct Said<'a> {
    status: &'static str,
    reason: &'a str,
    message: String,
}

/// Every condition of a promotion after a decision.
pub(super) fn conditions(
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
            let (reason, message) = match &decision.waiting_on {
                Some(waiting) => (waiting.reason(), waiting.to_string()),
                None => (decision.stage.as_str(), doing(decision.stage).to_owned()),
            };
            (
                said("False", reason, &message),
                said("True", reason, &message),
                said("False", "Progressing", "it goes on by itself"),
                said("Unknown", reason, &message),
            )
        }
    };
    let facts = facts(before, observed, decision, status);
    let failed = matches!(decision.outcome, Some(Outcome::Failed(_)));
    let replicas = replicated(&status.replicas, failed).map(|(status, reason, message)| {
        let said = Said {
            status,
            reason,
            message,
        };
        (ConditionType::Replicated, said)
    });
    let heads = [
        (ConditionType::Ready, ready),
        (ConditionType::Reconciling, reconciling),
        (ConditionType::Stalled, stalled),
        (ConditionType::Succeeded, succeeded),
    ];
    heads
        .into_iter()
        .chain(facts)
        .chain(replicas)
        .map(|(kind, said)| condition(&before.conditions, generation, kind, said, now))
        .collect()
}

fn facts(
    before: &PromotionStatus,
    observed: &Observed,
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
        source_verified(status, decision, observed).unwrap_or_else(|| {
            fact(
                ConditionType::SourceVerified,
                plan.is_some(),
                named("the source tag names"),
                "the source has not been resolved",
            )
        }),
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
                .map(|audit| {
                    format!(
                        "the record is {}, number {} in its chain",
                        audit.record, audit.sequence
                    )
                })
                .unwrap_or_default(),
            "no record has been written",
        ),
    ]
}

/// What the signatures say of the source, when the policy asks for one.
fn source_verified(
    status: &PromotionStatus,
    decision: &Decision,
    observed: &Observed,
) -> Option<(ConditionType, Said<'static>)> {
    let plan = status.plan.as_ref()?;
    let said = |status, reason, message| {
        let said = Said {
            status,
            reason,
            message,
        };
        Some((ConditionType::SourceVerified, said))
    };
    match &status.signature {
        Some(signature) if signature.verified => {
            let by = signature.by.join(", ");
            let names = format!("the source tag names {}, signed by {by}", plan.digest);
            said("True", "Done", names)
        }
        Some(signature) => {
            let why = signature.message.clone().unwrap_or_default();
            said(
                "False",
                "SignatureInvalid",
                format!("{}: {why}", plan.digest),
            )
        }
        None if decision.stage.is_final() => None,
        None => {
            let route = observed.plan.as_ref().map(|plan| &plan.route);
            let environment = route.and_then(|route| observed.environments.get(&route.to));
            let rule = environment.and_then(|environment| environment.signature.as_ref());
            rule.filter(|rule| rule.asks())?;
            let open = "its signatures have not been looked at";
            said("Unknown", "NotYet", open.to_owned())
        }
    }
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
        Stage::Copying => "copying the artifact to where it must be before it is tagged",
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
