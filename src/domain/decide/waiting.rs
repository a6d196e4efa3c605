//! Waiting, and how long: for what may still arrive, and for a registry that stops us.

use jiff::{SignedDuration, Timestamp};

use super::{SLOW_LOOK, fail};
use crate::domain::decision::{Decision, FailureReason, Stage, TroubleKind, WaitingOn};
use crate::domain::observed::{Observed, Trouble};
use crate::domain::plan::NoRoute;
use crate::domain::replicas::ReplicaFailure;

/// How long floe waits for what may still arrive: a policy, an artifact, an upstream promotion.
///
/// In a Git repository objects arrive in any order (design, section 4).
pub const ARRIVAL_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// How long floe waits for a registry that does not answer, before anything is written.
pub const OUTAGE_LIMIT: SignedDuration = SignedDuration::from_hours(1);
/// How long floe waits for credentials or certificates to be mended, before anything is written.
pub const REFUSAL_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// Shortest time between two tries.
pub(super) const SHORTEST_RETRY: SignedDuration = SignedDuration::from_secs(5);
/// Longest time between two tries.
const LONGEST_RETRY: SignedDuration = SignedDuration::from_mins(5);
/// How often floe asks for what may still arrive.
const ARRIVAL_LOOK: SignedDuration = SignedDuration::from_secs(10);

/// The registry stopped us: try again, and give up only while nothing can have been written.
pub(super) fn in_trouble(observed: &Observed, trouble: &Trouble, now: Timestamp) -> Decision {
    let since = observed.since(trouble.kind.as_str(), now);
    let given_up = if is_held_by_the_log(observed, trouble.kind) {
        None
    } else {
        gives_up(observed, since, limit_of(trouble), now)
    };
    if let Some((at, reason)) = &given_up
        && now >= *at
    {
        return fail(observed, reason.clone());
    }
    let pause = now
        .duration_since(since)
        .clamp(SHORTEST_RETRY, LONGEST_RETRY);
    let backed_off = given_up.map_or(now + pause, |(at, _)| at.min(now + pause));
    let next_try = trouble
        .not_before
        .map_or(backed_off, |at| at.max(backed_off));
    let problem = trouble.problem.clone();
    let waiting_on = WaitingOn::Registry {
        kind: trouble.kind,
        problem,
        next_try,
    };
    Decision::wait(observed.stage_reached(), waiting_on, next_try)
}

/// Its first tag may be written, and it cannot be let go of before the audit log says how it ended: nothing is won by
/// giving it up.
fn is_held_by_the_log(observed: &Observed, trouble: TroubleKind) -> bool {
    trouble == TroubleKind::AuditLogUnavailable && observed.intent.is_some()
}

/// When a request in trouble is given up, and why. Once the first tag may be written it is finished,
/// however long that takes; only a deletion ends that, because a namespace must be deletable.
fn gives_up(
    observed: &Observed,
    since: Timestamp,
    limit: Option<(SignedDuration, FailureReason)>,
    now: Timestamp,
) -> Option<(Timestamp, FailureReason)> {
    let may_be_written = observed.intent.is_some();
    if let Some(reason) = observed.request.withdrawn() {
        return match (may_be_written, observed.request.deleted_at) {
            (false, _) => Some((now, reason)),
            (true, Some(deleted_at)) => Some((since.max(deleted_at) + REFUSAL_LIMIT, reason)),
            (true, None) => None,
        };
    }
    if may_be_written {
        return None;
    }
    limit.map(|(longest, reason)| (since + longest, reason))
}

/// How long this kind of trouble is borne before anything is written, and what it ends as.
fn limit_of(trouble: &Trouble) -> Option<(SignedDuration, FailureReason)> {
    let problem = trouble.problem.clone();
    match trouble.kind {
        TroubleKind::RegistryUnavailable => {
            Some((OUTAGE_LIMIT, FailureReason::RegistryUnavailable(problem)))
        }
        TroubleKind::RegistryDenied => {
            Some((REFUSAL_LIMIT, FailureReason::RegistryDenied(problem)))
        }
        TroubleKind::RegistryUntrusted => {
            Some((REFUSAL_LIMIT, FailureReason::RegistryUntrusted(problem)))
        }
        TroubleKind::CredentialsMissing
        | TroubleKind::SigningKeyMissing
        | TroubleKind::AuditLogUnavailable => None,
    }
}

/// A required replica stops us: it is given up like a registry that does not answer.
pub(super) fn replica_in_trouble(
    observed: &Observed,
    (name, failure): (&str, &ReplicaFailure),
    stage: Stage,
    now: Timestamp,
) -> Decision {
    let (name, problem) = (name.to_owned(), failure.problem.clone());
    let reason = FailureReason::ReplicaUnavailable {
        name: name.clone(),
        problem: problem.clone(),
    };
    let given_up = gives_up(observed, failure.since, Some((OUTAGE_LIMIT, reason)), now);
    if let Some((at, reason)) = &given_up
        && now >= *at
    {
        return fail(observed, reason.clone());
    }
    let next_try = failure.next_try.max(now + SHORTEST_RETRY);
    let next_look = given_up.map_or(next_try, |(at, _)| at.min(next_try));
    let waiting_on = WaitingOn::Replica {
        name,
        problem,
        next_try: failure.next_try,
    };
    Decision::wait(stage, waiting_on, next_look)
}

/// There is no way from the request to its tags: it may still come, must be mended, or never will.
pub(super) fn route_missing(observed: &Observed, problem: NoRoute, now: Timestamp) -> Decision {
    match problem {
        NoRoute::Environment(name) => {
            let known = observed.environments.names();
            let failure = FailureReason::EnvironmentNotFound {
                name: name.clone(),
                known: known.clone(),
            };
            may_arrive(observed, failure, now, |gives_up_at| {
                WaitingOn::Environment {
                    name,
                    known,
                    gives_up_at,
                }
            })
        }
        NoRoute::Artifact { name, environment } => {
            let failure = FailureReason::ArtifactNotFound {
                name: name.clone(),
                environment: environment.clone(),
            };
            may_arrive(observed, failure, now, |gives_up_at| WaitingOn::Artifact {
                name,
                environment,
                gives_up_at,
            })
        }
        NoRoute::Policy { name, problem } => {
            let waiting_on = WaitingOn::Policy { name, problem };
            Decision::wait(Stage::Resolving, waiting_on, now + SLOW_LOOK)
        }
        NoRoute::Transition(why) => fail(observed, FailureReason::InvalidTransition(why)),
        NoRoute::Version(why) => fail(observed, FailureReason::InvalidVersion(why.to_string())),
    }
}

/// Waits for something that may still arrive, and gives up after [`ARRIVAL_LIMIT`]. It waits under the
/// word under which it fails.
pub(super) fn may_arrive(
    observed: &Observed,
    failure: FailureReason,
    now: Timestamp,
    waiting_on: impl FnOnce(Timestamp) -> WaitingOn,
) -> Decision {
    let gives_up_at = observed.since(failure.reason(), now) + ARRIVAL_LIMIT;
    if now >= gives_up_at {
        return fail(observed, failure);
    }
    let next_look = (now + ARRIVAL_LOOK).min(gives_up_at);
    Decision::wait(Stage::Resolving, waiting_on(gives_up_at), next_look)
}

/// Nobody knows what the environment holds: its controller reads it from the registry first.
pub(super) fn ledger_missing(environment: &str, stage: Stage, now: Timestamp) -> Decision {
    let waiting_on = WaitingOn::Ledger {
        environment: environment.to_owned(),
    };
    Decision::wait(stage, waiting_on, now + SLOW_LOOK)
}
