//! When floe works on an EnvironmentPolicy: checks it, and rebuilds a ledger that is missing.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt as _;
use kube::runtime::controller::Action as Next;

use super::context::{Context, Guarded};
use super::error::{Error, Result, api};
use super::ledgers::{Examination, Examined, examine};
use super::{abandoned, environments};
use crate::api::{
    ConditionType, EnvironmentPolicy, EnvironmentPolicyStatus, LedgerArtifact, find_condition,
};
use crate::domain::drift;
use crate::domain::policy::Environment;
use crate::domain::reasons::LEDGER_UNPROVEN;
use crate::effects::{clock, ledger};

/// How often a policy in trouble is looked at again.
const RETRY: Duration = Duration::from_secs(15);
/// How soon at the earliest it is looked at again.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);
/// How often a healthy policy is looked at without a change.
const SLOW_LOOK: Duration = Duration::from_hours(1);

/// Brings the status of one policy up to date.
pub(super) async fn reconcile(
    object: Arc<Guarded<EnvironmentPolicy>>,
    ctx: Arc<Context>,
) -> Result<Next> {
    let policy = match &object.0 {
        Ok(policy) => policy,
        Err(malformed) => {
            let name = malformed.metadata.name.as_deref().unwrap_or_default();
            tracing::error!(
                policy = name,
                error = malformed.error,
                "the object is malformed and is left alone"
            );
            return Ok(Next::await_change());
        }
    };
    if policy.metadata.deletion_timestamp.is_some() {
        return Ok(Next::await_change());
    }
    let environment = Environment::of(policy);
    let space = policy.namespace().unwrap_or_default();
    let problem = environment
        .problem
        .clone()
        .or_else(|| environments::conflict_of(&ctx.stores.policies, &space, &environment.name));
    let problem = match problem {
        Some(problem) => Some(problem),
        None => ctx.rule_checks.problem(policy).await,
    };
    let health = match &problem {
        Some(problem) => Health::invalid(problem.clone()),
        None => Health::of(examine(&ctx, policy, &environment, &space).await?),
    };
    let name = policy.name_any();
    let stored = ledger::change(&ctx.client, &space, &name, Some(policy.clone()), |policy| {
        let generation = policy.metadata.generation.unwrap_or_default();
        let before = policy.status.clone().unwrap_or_default();
        let after = status_after(&before, generation, &health);
        let changed = policy.status.as_ref() != Some(&after);
        policy.status = Some(after);
        changed
    });
    api("store the policy's status", stored).await?;
    let mut news = false;
    for Examined { ledger, .. } in &health.ledgers {
        news |= ctx.compared.add(&space, &name, &ledger.name);
    }
    if news {
        ctx.wake_promotions(&object);
    }
    let next_claim = abandoned::clear_abandoned(&ctx, policy, &environment, &space).await?;
    ctx.metrics.pass("EnvironmentPolicy");
    ctx.went_well(&policy.uid().unwrap_or_default());
    let look = if health.problem.is_some() {
        RETRY
    } else {
        SLOW_LOOK
    };
    Ok(Next::requeue(next_claim.map_or(look, |at| {
        look.min(clock::until(at).max(SHORTEST_LOOK))
    })))
}

/// What to do after a pass that failed.
#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub(super) fn after_error(
    object: Arc<Guarded<EnvironmentPolicy>>,
    error: &Error,
    ctx: Arc<Context>,
) -> Next {
    ctx.metrics
        .failed_pass("EnvironmentPolicy", error.category());
    let wait = ctx.back_off(&object.uid().unwrap_or_default());
    tracing::warn!(policy = object.name_any(), %error, ?wait, "the pass failed and is tried again");
    Next::requeue(wait)
}

struct Health {
    problem: Option<(&'static str, String)>,
    /// Nothing but a person changes it.
    stalled: bool,
    valid: bool,
    ledgers: Vec<Examined>,
}

impl Health {
    fn invalid(problem: String) -> Self {
        Self {
            problem: Some(("PolicyInvalid", problem)),
            stalled: true,
            valid: false,
            ledgers: Vec::new(),
        }
    }

    fn of(examination: Examination) -> Self {
        let unproven = examination.examined.iter().find_map(|examined| {
            let problem = examined.ledger.unproven.as_ref()?;
            Some((
                LEDGER_UNPROVEN,
                format!("artifact '{}': {problem}", examined.ledger.name),
            ))
        });
        let trouble = examination
            .trouble
            .map(|trouble| (trouble.kind.as_str(), trouble.problem));
        Self {
            stalled: unproven.is_some(),
            problem: unproven.or(trouble),
            valid: true,
            ledgers: examination.examined,
        }
    }
}

fn status_after(
    before: &EnvironmentPolicyStatus,
    generation: i64,
    health: &Health,
) -> EnvironmentPolicyStatus {
    let now = Time(clock::now());
    let mut status = before.clone();
    for Examined { before, ledger } in &health.ledgers {
        let mut known = status.artifacts.iter_mut();
        match known.find(|known| known.name == ledger.name) {
            // A promotion may have claimed it meanwhile, or been entered.
            Some(known) if known.audit == *before => {
                *known = LedgerArtifact {
                    in_flight: known.in_flight.clone(),
                    drift: known.drift.clone(),
                    ..ledger.clone()
                };
            }
            Some(_) => {}
            None => status.artifacts.push(ledger.clone()),
        }
    }
    let problem = health
        .problem
        .as_ref()
        .map(|(reason, message)| (*reason, message.as_str()));
    let (reason, message) =
        problem.unwrap_or(("PolicyAccepted", "promotions into this environment can run"));
    let bad = problem.is_some();
    let waits = bad && !health.stalled;
    let said = |kind: ConditionType, holds: bool, reason: &str, message: &str| {
        let word = if holds { "True" } else { "False" };
        let unchanged =
            find_condition(&before.conditions, kind).filter(|known| known.status == word);
        Condition {
            type_: kind.as_str().to_owned(),
            status: word.to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(1000).collect(),
            observed_generation: Some(generation),
            last_transition_time: unchanged
                .map_or_else(|| now.clone(), |known| known.last_transition_time.clone()),
        }
    };
    let valid_message = if health.valid {
        "the policy makes sense by itself and beside the others"
    } else {
        message
    };
    status.conditions = vec![
        said(ConditionType::Ready, !bad, reason, message),
        said(ConditionType::Reconciling, waits, reason, message),
        said(ConditionType::Stalled, health.stalled, reason, message),
        said(
            ConditionType::Valid,
            health.valid,
            if health.valid {
                "PolicyAccepted"
            } else {
                reason
            },
            valid_message,
        ),
        drift::kept(before, generation, now.0),
    ];
    status.observed_generation = generation;
    status
}
