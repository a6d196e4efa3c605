//! The rules of promotion. Same inputs, same answer: no clock, no I/O, no order of a map.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::artifact::Digest;
use super::decision::{Action, Decision, FailureReason, Outcome, Stage, TroubleKind, WaitingOn};
use super::names::Version;
use super::observed::{Claim, Observed, OwnRecord, Source, TagState, TagWrite, Trouble};
use super::plan::{NoRoute, Plan, Route};
use super::policy::{Environment, Ledger};
use super::verdict::{Verdict, planned_gates, verdict};
use crate::api::VersionOrder;

/// How long floe waits for what may still arrive: a policy, an artifact, an upstream promotion.
///
/// In a Git repository objects arrive in any order (design, section 4).
pub const ARRIVAL_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// How long floe waits for a registry that does not answer, before anything is written.
pub const OUTAGE_LIMIT: SignedDuration = SignedDuration::from_hours(1);
/// How long floe waits for credentials or certificates to be mended, before anything is written.
pub const REFUSAL_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// Shortest and longest time between two tries.
const RETRY: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(5), SignedDuration::from_mins(5));
/// How often a waiting request is looked at although nothing that is watched has changed.
const SLOW_LOOK: SignedDuration = SignedDuration::from_mins(1);

/// What floe does next.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision {
    if observed.settled {
        return Decision::end(Outcome::Promoted);
    }
    if let Some(trouble) = &observed.trouble {
        return in_trouble(observed, trouble, now);
    }
    match &observed.plan {
        None => resolving(observed, now),
        Some(_) if observed.request.deleted_at.is_some() => deleted(observed, now),
        Some(plan) => planned(plan, observed, now),
    }
}

/// Finds the digest, and refuses what can be refused before any gate runs.
fn resolving(observed: &Observed, now: Timestamp) -> Decision {
    let request = &observed.request;
    if request.deleted_at.is_some() {
        return fail(observed, FailureReason::Aborted);
    }
    let route = match Route::resolve(request, &observed.environments) {
        Ok(route) => route,
        Err(problem) => return no_route(observed, problem, now),
    };
    let Some(ledger) = ledger_of(observed, &route.to, &route.artifact) else {
        return ledger_missing(&route.to, now);
    };
    if !request.dry_run && ledger.namesake(&request.name, &request.version).is_some() {
        return Decision::end(Outcome::AlreadyPromoted);
    }
    let (digest, media_type) = match &observed.source {
        None => return Decision::act(Stage::Resolving, vec![Action::ReadSource]),
        Some(Source::Absent) => return source_absent(observed, &route, now),
        Some(Source::Unsupported(why)) => {
            return fail(observed, FailureReason::ArtifactUnsupported(why.clone()));
        }
        Some(Source::Manifest { digest, media_type }) => (digest, media_type),
    };
    if let Some(expected) = request
        .expected_digest
        .as_ref()
        .filter(|expected| *expected != digest.as_str())
    {
        let (expected, found) = (expected.clone(), digest.clone());
        return fail(observed, FailureReason::DigestMismatch { expected, found });
    }
    let plan = Plan {
        route,
        digest: digest.clone(),
        media_type: media_type.clone(),
        resolved_at: now,
    };
    upstream(&plan, observed, now)
        .or_else(|| target_before_gates(&plan, ledger, observed))
        .unwrap_or_else(|| Decision::act(Stage::Resolving, vec![Action::PinPlan]))
}

/// The version must have been promoted to the source environment, with this digest.
fn upstream(plan: &Plan, observed: &Observed, now: Timestamp) -> Option<Decision> {
    let from = plan.route.from.as_deref()?;
    let Some(ledger) = ledger_of(observed, from, &plan.route.artifact) else {
        return Some(ledger_missing(from, now));
    };
    match ledger.of_version(&plan.route.version) {
        Some(entry) if entry.digest == plan.digest => None,
        Some(entry) => Some(fail(
            observed,
            FailureReason::SourceMoved {
                tag: plan.route.source_tag.to_string(),
                was: entry.digest.clone(),
                found: Some(plan.digest.clone()),
            },
        )),
        None => match observed.upstream_record {
            None => Some(Decision::act(
                Stage::Resolving,
                vec![Action::FindUpstreamRecord],
            )),
            Some(true) => None,
            Some(false) => Some(source_absent(observed, &plan.route, now)),
        },
    }
}

/// A version that is not above the current one, and a dry run, look at the target before gates run.
fn target_before_gates(plan: &Plan, ledger: &Ledger, observed: &Observed) -> Option<Decision> {
    let standing = standing(observed, plan, ledger);
    if standing == Standing::Free && !observed.request.dry_run {
        return None;
    }
    match (&observed.target, standing) {
        (None, _) => Some(Decision::act(Stage::Resolving, vec![Action::ReadTarget])),
        (Some(TagState::Names(found)), _) if *found != plan.digest => {
            Some(fail(observed, taken(plan, found)))
        }
        (Some(TagState::Names(_)), Standing::Same | Standing::NotAbove(_)) => {
            Some(Decision::end(Outcome::AlreadyPromoted))
        }
        (Some(TagState::Absent), Standing::NotAbove(current)) => {
            Some(fail(observed, downgrade(plan, current)))
        }
        (Some(TagState::Names(_) | TagState::Absent), Standing::Free | Standing::Same) => None,
    }
}

/// A request with a plan that nobody has deleted.
fn planned(plan: &Plan, observed: &Observed, now: Timestamp) -> Decision {
    if observed.tag_is_ours() {
        return recording(observed);
    }
    if ledger_of(observed, &plan.route.to, &plan.route.artifact)
        .is_some_and(|ledger| ledger.has(&observed.request.uid))
    {
        return end(observed, Outcome::Promoted);
    }
    let environment = match usable(plan, observed) {
        Ok(environment) => environment,
        Err(waiting_on) => return Decision::wait(Stage::Gating, waiting_on, now + SLOW_LOOK),
    };
    let gates = planned_gates(environment, &plan.digest);
    match verdict(&gates, &observed.gates) {
        Verdict::Clear if observed.request.dry_run => Decision::end(Outcome::DryRunPassed),
        Verdict::Clear => writing(plan, environment, observed, now),
        Verdict::Blocked(reason) => fail(observed, reason),
        _ if observed.may_hold_claim() => Decision::act(Stage::Gating, vec![Action::ReleaseClaim]),
        Verdict::Missing(names) => Decision::act(
            Stage::Gating,
            names.into_iter().map(Action::StartGate).collect(),
        ),
        Verdict::Running {
            running,
            not_passed,
            look_again_at,
        } => {
            let waiting_on = WaitingOn::Gates {
                running,
                not_passed,
            };
            let floor = now + SLOW_LOOK;
            Decision::wait(
                Stage::Gating,
                waiting_on,
                look_again_at.map_or(floor, |at| at.min(floor)),
            )
        }
    }
}

/// All gates are clear: claim, intent, tag.
fn writing(
    plan: &Plan,
    environment: &Environment,
    observed: &Observed,
    now: Timestamp,
) -> Decision {
    match &observed.claim {
        Claim::Unasked { .. } | Claim::Released => {
            return Decision::act(Stage::Writing, vec![Action::Claim]);
        }
        Claim::Busy { holder } => {
            let waiting_on = WaitingOn::EnvironmentBusy {
                holder: holder.clone(),
            };
            return Decision::wait(Stage::Writing, waiting_on, now + RETRY.0);
        }
        Claim::Inherited { until } => {
            return Decision::wait(
                Stage::Writing,
                WaitingOn::EarlierOperator { until: *until },
                *until,
            );
        }
        Claim::Held => {}
    }
    let Some(ledger) = environment.ledger.get(&plan.route.artifact) else {
        return ledger_missing(&environment.name, now);
    };
    match &observed.tag {
        None => match standing(observed, plan, ledger) {
            Standing::Same => end(observed, Outcome::AlreadyPromoted),
            Standing::NotAbove(current) => fail(observed, downgrade(plan, current)),
            Standing::Free => {
                let next = if observed.intent {
                    Action::WriteTag
                } else {
                    Action::StateIntent
                };
                Decision::act(Stage::Writing, vec![next])
            }
        },
        Some(TagWrite::Taken(found)) => fail(observed, taken(plan, found)),
        Some(TagWrite::SourceMoved(found)) => fail(
            observed,
            FailureReason::SourceMoved {
                tag: plan.route.source_tag.to_string(),
                was: plan.digest.clone(),
                found: found.clone(),
            },
        ),
        Some(TagWrite::AlreadyThere) => match &observed.own_record {
            None => Decision::act(Stage::Writing, vec![Action::FindOwnRecord]),
            Some(OwnRecord::Namesake(_)) => end(observed, Outcome::AlreadyPromoted),
            Some(OwnRecord::Ours(_) | OwnRecord::Absent) => recording(observed),
        },
        Some(TagWrite::Written) => recording(observed),
    }
}

/// `<version>-<suffix>` names the digest: the record, then `latest-<suffix>`, then the ledger.
fn recording(observed: &Observed) -> Decision {
    if observed.record.is_none() {
        Decision::act(Stage::Recording, vec![Action::WriteRecord])
    } else if observed.latest {
        Decision::act(Stage::Publishing, vec![Action::Settle])
    } else {
        Decision::act(Stage::Publishing, vec![Action::MoveLatest])
    }
}

/// A deleted request is given up, unless its first tag is written: then it is finished first.
fn deleted(observed: &Observed, now: Timestamp) -> Decision {
    let Some(plan) = observed.plan.as_ref().filter(|_| observed.intent) else {
        return fail(observed, FailureReason::Aborted);
    };
    match &observed.target {
        _ if observed.tag_is_ours() => recording(observed),
        None => Decision::act(Stage::Writing, vec![Action::ReadTarget]),
        Some(TagState::Names(digest)) if *digest == plan.digest => match usable(plan, observed) {
            Ok(environment) => writing(plan, environment, observed, now),
            Err(_) => fail(observed, FailureReason::Aborted),
        },
        Some(TagState::Names(_) | TagState::Absent) => fail(observed, FailureReason::Aborted),
    }
}

/// The registry stopped us: try again, and give up only while nothing can have been written.
fn in_trouble(observed: &Observed, trouble: &Trouble, now: Timestamp) -> Decision {
    let since = observed.since(trouble.kind.as_str(), now);
    let waited = now.duration_since(since);
    let problem = trouble.problem.clone();
    let given_up = match trouble.kind {
        TroubleKind::RegistryUnavailable => {
            (waited >= OUTAGE_LIMIT).then_some(FailureReason::RegistryUnavailable(problem))
        }
        TroubleKind::RegistryDenied => {
            (waited >= REFUSAL_LIMIT).then_some(FailureReason::RegistryDenied(problem))
        }
        TroubleKind::RegistryUntrusted => {
            (waited >= REFUSAL_LIMIT).then_some(FailureReason::RegistryUntrusted(problem))
        }
        TroubleKind::CredentialsMissing => None,
    };
    let may_be_written = observed.intent;
    if let Some(reason) = given_up.filter(|_| !may_be_written) {
        return fail(observed, reason);
    }
    if let Some(deleted_at) = observed.request.deleted_at
        && (!may_be_written || now.duration_since(deleted_at) >= REFUSAL_LIMIT)
    {
        return Decision::end(Outcome::Failed(FailureReason::Aborted));
    }
    let backed_off = now + waited.clamp(RETRY.0, RETRY.1);
    let next_try = trouble
        .not_before
        .map_or(backed_off, |at| at.max(backed_off));
    let waiting_on = WaitingOn::Registry {
        kind: trouble.kind,
        problem: trouble.problem.clone(),
        next_try,
    };
    Decision::wait(observed.stage_reached(), waiting_on, next_try)
}

fn no_route(observed: &Observed, problem: NoRoute, now: Timestamp) -> Decision {
    match problem {
        NoRoute::Environment(name) => {
            let known = observed.environments.names();
            let wait = |gives_up_at| WaitingOn::Environment {
                name: name.clone(),
                known: known.clone(),
                gives_up_at,
            };
            let failure = FailureReason::EnvironmentNotFound {
                name: name.clone(),
                known: known.clone(),
            };
            may_arrive(observed, "EnvironmentNotFound", wait, failure, now)
        }
        NoRoute::Artifact { name, environment } => {
            let wait = |gives_up_at| WaitingOn::Artifact {
                name: name.clone(),
                environment: environment.clone(),
                gives_up_at,
            };
            let failure = FailureReason::ArtifactNotFound {
                name: name.clone(),
                environment: environment.clone(),
            };
            may_arrive(observed, "ArtifactNotFound", wait, failure, now)
        }
        NoRoute::Policy { name, problem } => Decision::wait(
            Stage::Resolving,
            WaitingOn::Policy { name, problem },
            now + SLOW_LOOK,
        ),
        NoRoute::Transition(why) => fail(observed, FailureReason::InvalidTransition(why)),
        NoRoute::Version(why) => fail(observed, FailureReason::InvalidVersion(why.to_string())),
    }
}

fn source_absent(observed: &Observed, route: &Route, now: Timestamp) -> Decision {
    let version = route.version.to_string();
    match &route.from {
        None => {
            let reference = format!("{}:{}", route.repository, route.source_tag);
            let wait = |gives_up_at| WaitingOn::Source {
                reference: reference.clone(),
                gives_up_at,
            };
            may_arrive(
                observed,
                "SourceNotFound",
                wait,
                FailureReason::SourceNotFound(reference.clone()),
                now,
            )
        }
        Some(environment) => {
            let wait = |gives_up_at| WaitingOn::Upstream {
                environment: environment.clone(),
                version: version.clone(),
                gives_up_at,
            };
            let failure = FailureReason::NotPromotedUpstream {
                environment: environment.clone(),
                version: version.clone(),
            };
            may_arrive(observed, "NotPromotedUpstream", wait, failure, now)
        }
    }
}

/// Waits for something that may still arrive, and gives up after [`ARRIVAL_LIMIT`].
fn may_arrive(
    observed: &Observed,
    reason: &str,
    wait: impl Fn(Timestamp) -> WaitingOn,
    failure: FailureReason,
    now: Timestamp,
) -> Decision {
    let gives_up_at = observed.since(reason, now) + ARRIVAL_LIMIT;
    if now >= gives_up_at {
        return fail(observed, failure);
    }
    let next_look = (now + SLOW_LOOK / 6).min(gives_up_at);
    Decision::wait(Stage::Resolving, wait(gives_up_at), next_look)
}

fn ledger_missing(environment: &str, now: Timestamp) -> Decision {
    let problem =
        "its ledger has not been read from the registry yet (see its conditions)".to_owned();
    Decision::wait(
        Stage::Resolving,
        WaitingOn::Policy {
            name: environment.to_owned(),
            problem,
        },
        now + SLOW_LOOK,
    )
}

/// The policy of the plan, when it can still be used.
fn usable<'a>(plan: &Plan, observed: &'a Observed) -> Result<&'a Environment, WaitingOn> {
    let name = plan.route.to.clone();
    let unusable = |problem: String| WaitingOn::Policy {
        name: name.clone(),
        problem,
    };
    let environment = observed
        .environments
        .get(&plan.route.to)
        .ok_or_else(|| unusable("it was deleted while this Promotion ran".to_owned()))?;
    if environment.artifacts.get(&plan.route.artifact) != Some(&plan.route.repository) {
        return Err(unusable(format!(
            "it no longer has artifact '{}' in {}; make a new Promotion",
            plan.route.artifact, plan.route.repository
        )));
    }
    match &environment.problem {
        Some(problem) => Err(unusable(problem.clone())),
        None => Ok(environment),
    }
}

fn ledger_of<'a>(observed: &'a Observed, environment: &str, artifact: &str) -> Option<&'a Ledger> {
    observed.environments.get(environment)?.ledger.get(artifact)
}

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

fn standing(observed: &Observed, plan: &Plan, ledger: &Ledger) -> Standing {
    let order = observed
        .environments
        .get(&plan.route.to)
        .map(|to| to.version_order)
        .unwrap_or_default();
    let held = ledger
        .current
        .as_ref()
        .and_then(|entry| Some((entry, entry.version.parse::<Version>().ok()?)));
    let Some((current, held)) = held else {
        return Standing::Free;
    };
    match (plan.route.version.precedence(&held), order) {
        (Ordering::Greater, _) | (Ordering::Less, VersionOrder::Any) => Standing::Free,
        (Ordering::Equal, _) if current.digest == plan.digest && held == plan.route.version => {
            Standing::Same
        }
        (Ordering::Equal, _) | (Ordering::Less, VersionOrder::Monotonic) => {
            Standing::NotAbove(current.version.clone())
        }
    }
}

fn downgrade(plan: &Plan, current: String) -> FailureReason {
    FailureReason::Downgrade {
        version: plan.route.version.to_string(),
        current,
    }
}

fn taken(plan: &Plan, found: &Digest) -> FailureReason {
    FailureReason::TagTaken {
        tag: plan.route.tag.to_string(),
        found: found.clone(),
    }
}

fn fail(observed: &Observed, reason: FailureReason) -> Decision {
    end(observed, Outcome::Failed(reason))
}

/// Ends the request; a write slot that may be ours is given back first.
fn end(observed: &Observed, outcome: Outcome) -> Decision {
    if observed.may_hold_claim() {
        return Decision::act(observed.stage_reached(), vec![Action::ReleaseClaim]);
    }
    Decision::end(outcome)
}
