//! Gates in the world: results that are there already, and Jobs that are started.

use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::ListParams;

use super::error::{Error, api};
use super::observe::{gate_error, job_state};
use super::pass::{Pass, Stopped};
use super::perform::Done;
use crate::api::{LABEL_DIGEST, Promotion};
use crate::domain::gates::{GateState, JobRequest, RequestRef, job_name};
use crate::domain::observed::{ObservedGate, Receipt};
use crate::domain::plan::Plan;
use crate::domain::status::{digest_label, earlier_results};
use crate::domain::verdict::{PlannedGate, counting_again, planned_gates};
use crate::effects::gate_jobs::{Started, build_job, start};

/// Most earlier promotions of one digest that are looked through. What is not found runs again.
const EARLIER_MAX: u32 = 100;

/// Looks through the promotions of this digest that have ended for results that count again.
pub(super) async fn find_earlier_results(pass: &mut Pass<'_>) -> Done {
    let Some(plan) = pass.observed.plan.clone() else {
        return Err(Error::Restless(0).into());
    };
    let promotions: Api<Promotion> =
        Api::namespaced(pass.ctx.client.clone(), &pass.observed.request.space);
    let selector = format!("{LABEL_DIGEST}={}", digest_label(&plan.digest));
    let parameters = ListParams::default().labels(&selector).limit(EARLIER_MAX);
    let listed = api("look for earlier results", promotions.list(&parameters)).await?;
    let earlier = earlier_results(&listed.items, &plan);
    let found = counting_again(&of(pass, &plan), &earlier, pass.now);
    Ok(Receipt::EarlierResults(found))
}

pub(super) async fn start_gate(pass: &mut Pass<'_>, name: &str) -> Done {
    let Some(plan) = pass.observed.plan.clone() else {
        return Err(Error::Restless(0).into());
    };
    let Some(gate) = of(pass, &plan).into_iter().find(|gate| gate.name == name) else {
        return Err(Error::Restless(0).into());
    };
    let job = build_job(&job_request(pass, &plan, &gate).await?);
    let space = pass.observed.request.space.clone();
    let state = match api("create a gate's Job", start(&pass.ctx.client, &space, &job)).await? {
        Started::There(found) => {
            pass.ctx.expect_job(Job::clone(&found));
            seen(pass, &plan, &gate)
        }
        Started::Refused(why) => Some(gate_error(
            format!("the API server refused the Job: {why}"),
            "",
        )),
    };
    let state = state.unwrap_or_else(|| gate_error("the Job cannot be read back".to_owned(), ""));
    Ok(Receipt::Gate(
        gate.name,
        ObservedGate {
            spec_hash: gate.spec_hash,
            state,
        },
    ))
}

/// What the Job of a gate shows now.
fn seen(pass: &Pass<'_>, plan: &Plan, gate: &PlannedGate) -> Option<GateState> {
    let environment = pass.observed.environments.get(&plan.route.to)?;
    let request = &pass.observed.request;
    job_state(pass.ctx, request, (plan, environment), gate, pass.now)
}

async fn job_request(
    pass: &Pass<'_>,
    plan: &Plan,
    gate: &PlannedGate,
) -> Result<JobRequest, Stopped> {
    let request = &pass.observed.request;
    let route = &plan.route;
    let source = pass.source(route);
    let credentials = source
        .as_ref()
        .and_then(|source| source.credentials.as_ref());
    let cloud_account = match credentials.and_then(|one| one.workload_identity.as_ref()) {
        Some(wanted) => {
            let account = pass.ctx.credentials.account(
                &pass.ctx.client,
                &request.space,
                wanted,
                &route.repository,
            );
            Some(account.await?)
        }
        None => None,
    };
    Ok(JobRequest {
        job_name: job_name(&request.name, &request.uid, &gate.name, 0, &gate.spec_hash),
        request: RequestRef {
            kind: "Promotion".to_owned(),
            namespace: request.space.clone(),
            name: request.name.clone(),
            uid: request.uid.clone(),
        },
        gate: gate.name.clone(),
        spec: gate.spec.clone(),
        spec_hash: gate.spec_hash.clone(),
        start_timeout_seconds: gate.start_timeout_seconds,
        artifact: route.artifact.clone(),
        version: route.version.to_string(),
        repository: route.repository.clone(),
        digest: plan.digest.clone(),
        from: route.from.clone(),
        to: route.to.clone(),
        credentials_secret: credentials.and_then(|one| one.secret_name.clone()),
        cloud_account,
        ca_secret: source
            .as_ref()
            .and_then(|source| source.ca_secret_name.clone()),
        plain_http: source.is_some_and(|source| source.plain_http),
        operator_image: pass.ctx.settings.image.clone(),
        operator_image_pull_policy: pass.ctx.settings.image_pull_policy.clone(),
    })
}

/// The gates that this plan needs, by the policy of its environment.
pub(super) fn of(pass: &Pass<'_>, plan: &Plan) -> Vec<PlannedGate> {
    pass.observed
        .environments
        .get(&plan.route.to)
        .map(|environment| planned_gates(environment, &plan.digest))
        .unwrap_or_default()
}
