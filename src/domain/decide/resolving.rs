//! From a request to a pinned plan: finds the digest, and refuses what can be refused before any gate runs.

use jiff::Timestamp;

use super::standing::refused_at_target;
use super::waiting::{ledger_missing, may_arrive, route_missing};
use super::{fail, ledger_of, requester};
use crate::domain::decision::{Action, Decision, FailureReason, Outcome, Stage, WaitingOn};
use crate::domain::observed::{Observed, Source};
use crate::domain::plan::{Plan, Route};

/// A request without a plan.
pub(super) fn resolving(observed: &Observed, now: Timestamp) -> Decision {
    let request = &observed.request;
    if let Some(reason) = request.withdrawn() {
        return fail(observed, reason);
    }
    if let Some(unproven) = requester::unproven(observed, now) {
        return unproven;
    }
    let route = match Route::resolve(request, &observed.environments) {
        Ok(route) => route,
        Err(problem) => return route_missing(observed, problem, now),
    };
    let Some(ledger) = ledger_of(observed, &route.to, &route.artifact) else {
        // What keeps the ledger from being read (a missing Secret, a registry that is down) keeps the source
        // from being read as well, and is then what this request waits for by name.
        if observed.source.is_none() {
            return Decision::act(Stage::Resolving, vec![Action::ReadSource]);
        }
        return ledger_missing(&route.to, Stage::Resolving, now);
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
        Some(Source::Manifest { digest, media_type }) => (digest.clone(), media_type.clone()),
    };
    if let Some(expected) = &request.expected_digest
        && expected != digest.as_str()
    {
        let (expected, found) = (expected.clone(), digest);
        return fail(observed, FailureReason::DigestMismatch { expected, found });
    }
    let plan = Plan {
        route,
        digest,
        media_type,
        resolved_at: now,
    };
    upstream(&plan, observed, now)
        .or_else(|| refused_at_target(&plan, ledger, observed, Stage::Resolving))
        .unwrap_or_else(|| Decision::act(Stage::Resolving, vec![Action::PinPlan]))
}

/// The version must have been promoted to the source environment, with this digest.
fn upstream(plan: &Plan, observed: &Observed, now: Timestamp) -> Option<Decision> {
    let from = plan.route.from.as_deref()?;
    let Some(ledger) = ledger_of(observed, from, &plan.route.artifact) else {
        return Some(ledger_missing(from, Stage::Resolving, now));
    };
    match (
        ledger.of_version(&plan.route.version),
        observed.upstream_record,
    ) {
        (Some(entry), _) if entry.digest == plan.digest => None,
        (Some(entry), _) => Some(fail(
            observed,
            FailureReason::SourceMoved {
                tag: plan.route.source_tag.to_string(),
                was: entry.digest.clone(),
                found: Some(plan.digest.clone()),
            },
        )),
        (None, None) => Some(Decision::act(
            Stage::Resolving,
            vec![Action::FindUpstreamRecord],
        )),
        (None, Some(true)) => None,
        (None, Some(false)) => Some(source_absent(observed, &plan.route, now)),
    }
}

/// Nothing to promote yet: neither published nor promoted upstream.
fn source_absent(observed: &Observed, route: &Route, now: Timestamp) -> Decision {
    match &route.from {
        None => {
            let reference = format!("{}:{}", route.repository, route.source_tag);
            let failure = FailureReason::SourceNotFound(reference.clone());
            may_arrive(observed, failure, now, |gives_up_at| WaitingOn::Source {
                reference,
                gives_up_at,
            })
        }
        Some(environment) => {
            let (environment, version) = (environment.clone(), route.version.to_string());
            let failure = FailureReason::NotPromotedUpstream {
                environment: environment.clone(),
                version: version.clone(),
            };
            may_arrive(observed, failure, now, |gives_up_at| WaitingOn::Upstream {
                environment,
                version,
                gives_up_at,
            })
        }
    }
}
