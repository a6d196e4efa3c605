//! From clear gates to the end: claim, intent, tag, record, `latest`, ledger.

use jiff::Timestamp;

use super::standing::{refused_at_target, taken};
use super::waiting::{SHORTEST_RETRY, ledger_missing};
use super::{SLOW_LOOK, copying, end, fail, replicating};
use crate::domain::decision::{Action, Decision, FailureReason, Outcome, Stage, WaitingOn};
use crate::domain::observed::{Claim, Observed, OwnRecord, TagState, TagWrite};
use crate::domain::plan::Plan;
use crate::domain::policy::{Environment, Ledger};

/// All gates are clear: claim, intent, tag.
///
/// What ends the request is looked at before the claim, and so also after the claim was given back.
pub(super) fn writing(
    plan: &Plan,
    environment: &Environment,
    observed: &Observed,
    now: Timestamp,
) -> Decision {
    if let Some(write) = &observed.tag {
        return written(plan, write, observed, now);
    }
    let Some(ledger) = environment.ledger.get(&plan.route.artifact) else {
        return ledger_missing(&environment.name, Stage::Writing, now);
    };
    if !observed.ledger_compared {
        return ledger_missing(&environment.name, Stage::Writing, now);
    }
    if let Some(problem) = &ledger.unproven {
        let waiting_on = WaitingOn::LedgerUnproven {
            environment: environment.name.clone(),
            problem: problem.clone(),
        };
        return Decision::wait(Stage::Writing, waiting_on, now + SLOW_LOOK);
    }
    if !put_by_us(plan, ledger, observed)
        && let Some(refused) = refused_at_target(plan, ledger, observed, Stage::Writing)
    {
        return refused;
    }
    if let Some(copy) = copying::copying(plan, environment, observed, now) {
        return copy;
    }
    match &observed.claim {
        Claim::Unasked { .. } | Claim::Released => {
            Decision::act(Stage::Writing, vec![Action::Claim])
        }
        Claim::Busy { holder } => {
            let waiting_on = WaitingOn::EnvironmentBusy {
                holder: holder.clone(),
            };
            Decision::wait(Stage::Writing, waiting_on, now + SHORTEST_RETRY)
        }
        Claim::Inherited { until } => {
            let waiting_on = WaitingOn::EarlierOperator { until: *until };
            Decision::wait(Stage::Writing, waiting_on, *until)
        }
        Claim::Held if intent_stands(plan, environment, ledger, observed) => {
            Decision::act(Stage::Writing, vec![Action::WriteTag])
        }
        Claim::Held => Decision::act(Stage::Writing, vec![Action::StateIntent]),
    }
}

/// `<version>-<suffix>` names the digest: the record, then the tags of replicas that are required, then
/// `latest-<suffix>`, then the ledger.
pub(super) fn recording(observed: &Observed, now: Timestamp) -> Decision {
    if observed.record.is_none() {
        Decision::act(Stage::Recording, vec![Action::WriteRecord])
    } else if observed.latest {
        Decision::act(Stage::Publishing, vec![Action::Settle])
    } else {
        replicating::tags_of_required(observed, now)
            .unwrap_or_else(|| Decision::act(Stage::Publishing, vec![Action::MoveLatest]))
    }
}

/// What came of writing the tag.
fn written(plan: &Plan, write: &TagWrite, observed: &Observed, now: Timestamp) -> Decision {
    match (write, &observed.own_record) {
        (TagWrite::Taken(found), _) => fail(observed, taken(plan, found)),
        (TagWrite::SourceMoved(found), _) => fail(
            observed,
            FailureReason::SourceMoved {
                tag: plan.route.source_tag.to_string(),
                was: plan.digest.clone(),
                found: found.clone(),
            },
        ),
        (TagWrite::AlreadyThere, None) => {
            Decision::act(Stage::Writing, vec![Action::FindOwnRecord])
        }
        (TagWrite::AlreadyThere, Some(OwnRecord::Namesake(_))) => {
            end(observed, Outcome::AlreadyPromoted)
        }
        (TagWrite::AlreadyThere, Some(OwnRecord::Ours(_) | OwnRecord::Absent))
        | (TagWrite::Written, _) => recording(observed, now),
    }
}

/// The tag is there, and nobody else has been promoted since the intent was stated: so it is there because of it,
/// also when the version is the current one, whose tag somebody had deleted.
fn put_by_us(plan: &Plan, ledger: &Ledger, observed: &Observed) -> bool {
    let is_there = observed.target == Some(TagState::Names(plan.digest.clone()));
    let stated = observed.intent.as_ref();
    is_there && stated.is_some_and(|stated| stated.follows(ledger, &observed.request.uid))
}

/// The intent in the status is of the policy whose gates have passed, or the tag is written under it, and its
/// place in the chain is still the next one. The record says what the intent says, so an older one is stated anew.
fn intent_stands(
    plan: &Plan,
    environment: &Environment,
    ledger: &Ledger,
    observed: &Observed,
) -> bool {
    observed.intent.as_ref().is_some_and(|stated| {
        let decided = stated.policy == environment.policy_digest.as_str()
            || observed.target == Some(TagState::Names(plan.digest.clone()));
        decided && stated.follows(ledger, &observed.request.uid)
    })
}
