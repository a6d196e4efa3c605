//! The rules of promotion. Same inputs, same answer: no clock, no I/O, no order of a map.

mod copying;
mod replicating;
mod requester;
mod resolving;
mod signed;
mod standing;
mod waiting;
mod writing;

use jiff::{SignedDuration, Timestamp};

use super::decision::{Action, Decision, FailureReason, Outcome, Stage, WaitingOn};
use super::names::latest_tag;
use super::observed::{Claim, Observed, TagState};
use super::plan::Plan;
use super::policy::{Environment, Ledger};
use super::verdict::{PlannedGate, Verdict, planned_gates, verdict};
pub use waiting::{ARRIVAL_LIMIT, OUTAGE_LIMIT, REFUSAL_LIMIT};

/// How often a waiting request is looked at although nothing that is watched has changed.
const SLOW_LOOK: SignedDuration = SignedDuration::from_mins(1);

/// What floe does next.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision {
    if observed.settled {
        return replicating::promoted(observed, now);
    }
    if let Some(trouble) = &observed.trouble {
        return waiting::in_trouble(observed, trouble, now);
    }
    let Some(plan) = &observed.plan else {
        return resolving::resolving(observed, now);
    };
    if observed.tag_is_ours() {
        return writing::recording(observed, now);
    }
    if ledger_of(observed, &plan.route.to, &plan.route.artifact)
        .is_some_and(|ledger| ledger.has(&observed.request.uid))
    {
        return give_back(observed).unwrap_or_else(|| replicating::promoted(observed, now));
    }
    match observed.request.withdrawn() {
        Some(reason) => withdrawn(plan, reason, observed, now),
        None => planned(plan, observed, now),
    }
}

/// A request with a plan that nobody has stopped or deleted.
fn planned(plan: &Plan, observed: &Observed, now: Timestamp) -> Decision {
    let environment = match usable(plan, observed) {
        Ok(environment) => environment,
        Err(unusable) => {
            return Decision::wait(observed.stage_reached(), unusable, now + SLOW_LOOK);
        }
    };
    let begun = || begun(plan, environment, observed, now);
    if let Some(held_up) = requester::policy_missing(observed, now) {
        return begun().or_else(|| give_back(observed)).unwrap_or(held_up);
    }
    if let Some(unsigned) = signed::unsigned(plan, environment, observed) {
        return begun().or_else(|| give_back(observed)).unwrap_or(unsigned);
    }
    let gates = planned_gates(environment, &plan.digest);
    match verdict(&gates, &observed.gates) {
        Verdict::Clear if observed.request.dry_run => end(observed, Outcome::DryRunPassed),
        Verdict::Clear => writing::writing(plan, environment, observed, now),
        Verdict::Blocked(reason) => begun().unwrap_or_else(|| fail(observed, reason)),
        Verdict::Missing(names) => {
            let start = || {
                let may_count_again = |gate: &PlannedGate| {
                    gate.cache_for_seconds.is_some() && names.contains(&gate.name)
                };
                let actions = if !observed.earlier_results && gates.iter().any(may_count_again) {
                    vec![Action::FindEarlierResults]
                } else {
                    names.iter().cloned().map(Action::StartGate).collect()
                };
                Decision::act(Stage::Gating, actions)
            };
            begun()
                .or_else(|| give_back(observed))
                .unwrap_or_else(start)
        }
        Verdict::Running {
            running,
            not_passed,
            look_again_at,
        } => {
            let floor = now + SLOW_LOOK;
            let next_look = look_again_at.map_or(floor, |at| at.min(floor));
            let wait = || {
                Decision::wait(
                    Stage::Gating,
                    WaitingOn::Gates {
                        running,
                        not_passed,
                    },
                    next_look,
                )
            };
            begun().or_else(|| give_back(observed)).unwrap_or_else(wait)
        }
    }
}

/// A request that was stopped or deleted is given up, unless its first tag is written: then it is finished first.
fn withdrawn(plan: &Plan, reason: FailureReason, observed: &Observed, now: Timestamp) -> Decision {
    usable(plan, observed)
        .ok()
        .and_then(|environment| begun(plan, environment, observed, now))
        .unwrap_or_else(|| fail(observed, reason))
}

/// What is begun is finished, whatever has become of request and policy: the decision to promote was
/// stored when all gates had passed, and the first tag names the digest.
fn begun(
    plan: &Plan,
    environment: &Environment,
    observed: &Observed,
    now: Timestamp,
) -> Option<Decision> {
    observed.intent.as_ref()?;
    match &observed.target {
        None => Some(Decision::act(Stage::Writing, vec![Action::ReadTarget])),
        Some(TagState::Names(digest)) if *digest == plan.digest => {
            Some(writing::writing(plan, environment, observed, now))
        }
        Some(TagState::Names(_) | TagState::Absent) => None,
    }
}

/// The policy of the plan, when it still leads the same way.
fn usable<'a>(plan: &Plan, observed: &'a Observed) -> Result<&'a Environment, WaitingOn> {
    let route = &plan.route;
    let unusable = |problem: String| WaitingOn::Policy {
        name: route.to.clone(),
        problem,
    };
    let changed = |what: String| {
        unusable(format!(
            "{what}: it was changed while this Promotion ran; make a new Promotion"
        ))
    };
    let environment = observed
        .environments
        .get(&route.to)
        .ok_or_else(|| unusable("it was deleted while this Promotion ran".to_owned()))?;
    if let Some(problem) = &environment.problem {
        return Err(unusable(problem.clone()));
    }
    if environment.artifacts.get(&route.artifact) != Some(&route.repository) {
        let (artifact, repository) = (&route.artifact, &route.repository);
        return Err(changed(format!(
            "it no longer has artifact '{artifact}' in {repository}"
        )));
    }
    if let (Some(from), Some(source)) = (&route.from, &route.source_repository)
        && observed
            .environments
            .get(from)
            .is_some_and(|from| from.artifacts.get(&route.artifact) != Some(source))
    {
        let problem = format!(
            "it no longer has artifact '{}' in {source}: it was changed while this Promotion ran; make a new Promotion",
            route.artifact
        );
        let name = from.clone();
        return Err(WaitingOn::Policy { name, problem });
    }
    if latest_tag(&environment.suffix).as_ref() != Some(&route.latest_tag) {
        return Err(changed(format!(
            "its tags no longer end like '{}'",
            route.latest_tag
        )));
    }
    if !environment.takes_from(route.from.as_deref()) {
        return Err(changed(match &route.from {
            Some(from) => format!("it no longer takes from '{from}'"),
            None => "it no longer takes what was published".to_owned(),
        }));
    }
    Ok(environment)
}

fn ledger_of<'a>(observed: &'a Observed, environment: &str, artifact: &str) -> Option<&'a Ledger> {
    observed.environments.get(environment)?.ledger.get(artifact)
}

fn fail(observed: &Observed, reason: FailureReason) -> Decision {
    end(observed, Outcome::Failed(reason))
}

/// Ends the request; a write slot that may be ours is given back first.
fn end(observed: &Observed, outcome: Outcome) -> Decision {
    give_back(observed).unwrap_or_else(|| Decision::end(outcome))
}

/// Gives a write slot back that may be ours. Not before an earlier process has stopped writing under
/// it: the next holder would write at the same time.
fn give_back(observed: &Observed) -> Option<Decision> {
    let stage = observed.stage_reached();
    match &observed.claim {
        Claim::Held | Claim::Unasked { left_over: true } => {
            Some(Decision::act(stage, vec![Action::ReleaseClaim]))
        }
        Claim::Inherited { until } => Some(Decision::wait(
            stage,
            WaitingOn::EarlierOperator { until: *until },
            *until,
        )),
        Claim::Unasked { left_over: false } | Claim::Busy { .. } | Claim::Released => None,
    }
}
