//! Nothing is promoted for somebody who may be somebody else.

use jiff::{SignedDuration, Timestamp};

use super::fail;
use crate::domain::decision::{Decision, FailureReason, WaitingOn};
use crate::domain::observed::{Observed, Stamp};

/// How often a request looks whether the API server writes down who asks.
const LOOK: SignedDuration = SignedDuration::from_secs(5);

/// What stops a request without a plan: nobody can tell, now or when it was made, who asks.
///
/// Once the plan is pinned this was settled. A policy that is installed anew later is in force since then only,
/// and says nothing against it.
pub(super) fn unproven(observed: &Observed, now: Timestamp) -> Option<Decision> {
    let Stamp::InForce { since } = &observed.stamp else {
        return policy_missing(observed, now);
    };
    let request = &observed.request;
    let proven = request.requested_by.is_some() && request.created_at >= *since;
    (!proven).then(|| fail(observed, FailureReason::RequesterUnproven { since: *since }))
}

/// What stops every request while the API server does not write down who asks.
pub(super) fn policy_missing(observed: &Observed, now: Timestamp) -> Option<Decision> {
    let Stamp::NotInForce { problem } = &observed.stamp else {
        return None;
    };
    let waiting_on = WaitingOn::RequesterPolicy {
        problem: problem.clone(),
    };
    Some(Decision::wait(
        observed.stage_reached(),
        waiting_on,
        now + LOOK,
    ))
}
