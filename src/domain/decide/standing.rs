//! How a version stands to what the environment holds: by its ledger, and by its write-once tag.

use std::cmp::Ordering;

use super::{end, fail};

use crate::domain::artifact::Digest;
use crate::domain::decision::{Action, Decision, FailureReason, Outcome, Stage};
use crate::domain::names::Version;
use crate::domain::observed::{Observed, TagState};
use crate::domain::plan::Plan;
use crate::domain::policy::{Entry, Ledger, VersionOrder};

/// How a version stands to the current one of its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It may enter.
    Free,
    /// It is the current one, digest and all.
    Same,
    /// It is not above this one, and must be.
    NotAbove(String),
}

/// What ends a request at its target: asked before gates run, and again before anything is written.
///
/// A version that may enter is not asked for, since writing the tag asks. A dry run writes nothing, so
/// it asks always.
pub(super) fn refused_at_target(
    plan: &Plan,
    ledger: &Ledger,
    observed: &Observed,
    stage: Stage,
) -> Option<Decision> {
    let standing = standing(observed, plan, ledger);
    if standing == Standing::Free && !observed.request.dry_run {
        return None;
    }
    match (&observed.target, standing) {
        (None, _) => Some(Decision::act(stage, vec![Action::ReadTarget])),
        (Some(TagState::Names(found)), _) if *found != plan.digest => {
            Some(fail(observed, taken(plan, found)))
        }
        (Some(TagState::Names(_)), Standing::Same | Standing::NotAbove(_)) => {
            Some(end(observed, Outcome::AlreadyPromoted))
        }
        (Some(TagState::Absent), Standing::NotAbove(current)) => {
            let version = plan.route.version.to_string();
            Some(fail(
                observed,
                FailureReason::Downgrade { version, current },
            ))
        }
        (Some(TagState::Names(_) | TagState::Absent), Standing::Free)
        | (Some(TagState::Absent), Standing::Same) => None,
    }
}

/// The tag names another digest.
pub(super) fn taken(plan: &Plan, found: &Digest) -> FailureReason {
    FailureReason::TagTaken {
        tag: plan.route.tag.to_string(),
        found: found.clone(),
    }
}

fn standing(observed: &Observed, plan: &Plan, ledger: &Ledger) -> Standing {
    let version = &plan.route.version;
    let held = |current: &Entry| current.version.parse::<Version>().ok();
    let Some((current, held)) = ledger
        .current
        .as_ref()
        .and_then(|now| Some((now, held(now)?)))
    else {
        return Standing::Free;
    };
    let order = observed
        .environments
        .get(&plan.route.to)
        .map_or(VersionOrder::Monotonic, |to| to.version_order);
    match (version.precedence(&held), order) {
        (Ordering::Greater, _) | (Ordering::Less, VersionOrder::Any) => Standing::Free,
        (Ordering::Equal, _) if current.digest == plan.digest && held == *version => Standing::Same,
        (Ordering::Equal, _) | (Ordering::Less, VersionOrder::Monotonic) => {
            Standing::NotAbove(current.version.clone())
        }
    }
}
