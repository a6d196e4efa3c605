//! World to plain values. What the watches show costs no request.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::context::Context;
use super::environments;
use crate::api::{ConditionType, LABEL_REQUEST_UID, Promotion, PromotionStatus, find_condition};
use crate::domain::decision::Outcome;
use crate::domain::gates::{GateOutcome, GateResult, GateState, Limits, Terms, job_name, judge};
use crate::domain::observed::{Claim, Observed, ObservedGate, WaitingSince};
use crate::domain::plan::Plan;
use crate::domain::policy::{Environment, Environments};
use crate::domain::request::Request;
use crate::domain::status::{stated, stored_replicas, stored_results, stored_signature};
use crate::domain::verdict::{PlannedGate, planned_gates, state_of};
use crate::effects::gate_jobs::facts_of;

/// What is true of a promotion, as far as the watches show it.
pub(super) fn observe(promotion: &Promotion, ctx: &Context, now: Timestamp) -> Observed {
    let request = Request::of(promotion);
    let environments = environments::cached(&ctx.stores.policies, &request.space);
    let status = promotion.status.clone().unwrap_or_default();
    let plan = status
        .plan
        .as_ref()
        .and_then(|plan| Plan::of(&request, plan));
    let stored = stored_results(&status);
    let gates = plan
        .as_ref()
        .map(|plan| gates(ctx, &request, plan, &environments, &stored, now))
        .unwrap_or_default();
    let plan_is_compared = plan.as_ref().is_some_and(|plan| {
        let route = &plan.route;
        ctx.compared.has(&request.space, &route.to, &route.artifact)
    });
    Observed {
        signature: stored_signature(&status),
        claim: Claim::Unasked {
            left_over: claim_left_over(ctx, &request, plan.as_ref()),
        },
        intent: stated(&status),
        replicas: stored_replicas(&status),
        settled: has_ended_promoted(&status),
        waiting: status.waiting_on.map(|waiting| WaitingSince {
            reason: waiting.reason,
            since: waiting.since.0,
        }),
        gates,
        plan,
        request,
        environments,
        stamp: ctx.stamp.borrow().clone(),
        source: None,
        target: None,
        ledger_compared: plan_is_compared,
        upstream_record: None,
        earlier_results: false,
        tag: None,
        own_record: None,
        record: None,
        latest: false,
        target_copy: None,
        trouble: None,
    }
}

/// The status says that it ended with the tags written: the ledger has had it.
fn has_ended_promoted(status: &PromotionStatus) -> bool {
    let succeeded = find_condition(&status.conditions, ConditionType::Succeeded);
    status.finished_at.is_some()
        && succeeded.is_some_and(|succeeded| {
            succeeded.status == "True" && succeeded.reason == Outcome::Promoted.reason()
        })
}

/// Every gate of the policy: a stored verdict counts, else what its Job shows; without either it is missing.
fn gates(
    ctx: &Context,
    request: &Request,
    plan: &Plan,
    environments: &Environments,
    stored: &BTreeMap<String, ObservedGate>,
    now: Timestamp,
) -> BTreeMap<String, ObservedGate> {
    let Some(environment) = environments.get(&plan.route.to) else {
        return stored.clone();
    };
    planned_gates(environment, &plan.digest)
        .into_iter()
        .filter_map(|gate| {
            let known = state_of(&gate, stored)
                .cloned()
                .or_else(|| job_state(ctx, request, (plan, environment), &gate, now));
            Some((
                gate.name,
                ObservedGate {
                    spec_hash: gate.spec_hash,
                    state: known?,
                },
            ))
        })
        .collect()
}

/// What the Job of a gate shows, when there is one.
pub(super) fn job_state(
    ctx: &Context,
    request: &Request,
    (plan, environment): (&Plan, &Environment),
    gate: &PlannedGate,
    now: Timestamp,
) -> Option<GateState> {
    let name = job_name(&request.name, &request.uid, &gate.name, 0, &gate.spec_hash);
    let job = ctx.job(&request.space, &name)?;
    let pods: Vec<Pod> = ctx
        .stores
        .pods
        .state_filter(|pod| {
            pod.labels().get(LABEL_REQUEST_UID) == Some(&request.uid)
                && pod.namespace().as_deref() == Some(&request.space)
        })
        .iter()
        .map(|pod| Pod::clone(pod))
        .collect();
    let facts = facts_of(&job, &pods)?;
    if !facts.is_ours(&request.uid, &gate.spec_hash) {
        return Some(foreign_job(&name, &facts.job_uid));
    }
    let terms = Terms {
        limits: Limits {
            start_timeout_seconds: gate.start_timeout_seconds,
            timeout_seconds: gate.spec.timeout_seconds,
            retries: gate.spec.retries,
        },
        report: gate.spec.report.as_ref(),
        baseline: &environment.baseline(&plan.route.artifact, &gate.name),
    };
    Some(judge(&facts, &terms, now))
}

/// The verdict of a gate that could not be run.
pub(super) fn gate_error(message: String, job_uid: &str) -> GateState {
    GateState::Ended(Box::new(GateResult::of(
        GateOutcome::Error,
        message,
        job_uid.to_owned(),
    )))
}

fn foreign_job(name: &str, uid: &str) -> GateState {
    let message = format!(
        "there is a Job '{name}' that this promotion has not made, so its result counts for nothing: delete it and make a new Promotion"
    );
    gate_error(message, uid)
}

/// The cached ledger says that this request holds the write slot.
fn claim_left_over(ctx: &Context, request: &Request, plan: Option<&Plan>) -> bool {
    let Some(plan) = plan else { return false };
    ctx.stores
        .policies
        .state()
        .iter()
        .filter_map(|guard| guard.0.as_ref().ok())
        .any(|policy| {
            policy.namespace().as_deref() == Some(&request.space)
                && policy.name_any() == plan.route.to
                && policy
                    .status
                    .iter()
                    .flat_map(|status| &status.artifacts)
                    .any(|entry| {
                        entry
                            .in_flight
                            .as_ref()
                            .is_some_and(|slot| slot.uid == request.uid)
                    })
        })
}
