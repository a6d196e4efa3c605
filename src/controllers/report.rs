//! Status, Events, and the end: what people and tools see of a pass.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::error::{Result, api};
use super::pass::Pass;
use super::{audit_log, refusals};
use crate::api::{
    ConditionType, FIELD_MANAGER, FINALIZER, GateStatus, LABEL_DIGEST, LABEL_RESULT, Promotion,
    PromotionStatus, find_condition,
};
use crate::domain::decision::{Decision, Outcome, Stage, WaitingOn};
use crate::domain::status::{differs_materially, digest_label, status_of};
use crate::effects::events;

/// How long the wording of what is waited for may lag behind: a healthy gate starts sooner, and a status
/// write for each of its steps would tell nobody anything.
const WORDING_LAG: SignedDuration = SignedDuration::from_secs(20);

/// What floe does to a promotion, in Events.
pub(super) const PROMOTE: &str = "Promote";

/// What floe does to the replicas of a promotion, in Events.
const REPLICATE: &str = "Replicate";

/// Stores what the decision says, when it says something new; says when to look again.
pub(super) async fn report(pass: &mut Pass<'_>, decision: &Decision) -> Result<Option<Timestamp>> {
    let before = pass.status();
    let generation = pass.promotion.metadata.generation.unwrap_or_default();
    let after = status_of(&before, generation, &pass.observed, decision, pass.now);
    if worth_storing(&before, &after, pass) {
        note_changes(pass, &before, &after, decision);
        pass.store_status("store the status", after).await?;
    }
    let about = pass.reference();
    for note in std::mem::take(&mut pass.notes) {
        events::publish(&pass.ctx.recorder, &about, &note).await;
    }
    if decision.is_over() {
        return finish(pass, decision.stage).await;
    }
    if decision.outcome.is_some() {
        audit_log::result(pass).await?;
    }
    Ok(decision.next_look)
}

/// Marks a request that has ended, so that the cache lets go of it, and lets Kubernetes delete it: not before the
/// audit log says how it ended, and not before its refusal lies where the policy wants it: then it says when to try
/// again.
pub(super) async fn finish(pass: &mut Pass<'_>, stage: Stage) -> Result<Option<Timestamp>> {
    audit_log::result(pass).await?;
    if stage == Stage::Failed
        && let Some(again) = refusals::record(pass).await?
    {
        return Ok(Some(again));
    }
    let meta = &pass.promotion.metadata;
    let finalizers: Vec<&String> = meta
        .finalizers
        .iter()
        .flatten()
        .filter(|name| *name != FINALIZER)
        .collect();
    // Null is no label: it has ended before its source was resolved.
    let digest = pass
        .observed
        .plan
        .as_ref()
        .map(|plan| digest_label(&plan.digest));
    let patch = json!({ "metadata": {
        "resourceVersion": meta.resource_version,
        "labels": { LABEL_RESULT: stage.as_str(), LABEL_DIGEST: digest },
        "finalizers": finalizers,
    }});
    patch_metadata(pass, "mark the promotion as ended", &patch).await?;
    stop_gates(pass).await;
    pass.ctx.forget(&pass.observed.request.uid);
    Ok(None)
}

/// Deletes the Jobs of gates that were given up, such as one whose image cannot be pulled: its Pod would wait
/// for ever. Best effort: the deadlines of the Pods and the owner of the Jobs bound what is left.
async fn stop_gates(pass: &Pass<'_>) {
    let request = &pass.observed.request;
    let jobs: Api<Job> = Api::namespaced(pass.ctx.client.clone(), &request.space);
    let unfinished = pass.ctx.unfinished_jobs(&request.space, &request.uid);
    let status = pass.status();
    let at_once = DeleteParams::background();
    let given_up = status.gates.iter().filter(|gate| is_given_up(gate));
    for gate in given_up.filter(|gate| unfinished.contains(&gate.job)) {
        let deleted = jobs.delete(&gate.job, &at_once);
        if let Err(error) = api("stop a gate's Job", deleted).await {
            tracing::warn!(job = gate.job, %error, "cannot stop the gate");
        }
    }
}

/// Its command has not run to an end: the verdict was taken without it, or none was needed any more.
fn is_given_up(gate: &GateStatus) -> bool {
    let warned_of = gate.message.as_deref().unwrap_or_default();
    match gate.outcome.as_str() {
        "Error" | "Running" => true,
        "Warned" => warned_of.starts_with("Error: "),
        _ => false,
    }
}

/// Adds the finalizer where the admission policy has not.
pub(super) async fn add_finalizer(pass: &mut Pass<'_>) -> Result<()> {
    let meta = &pass.promotion.metadata;
    let finalizers: Vec<&str> = meta
        .finalizers
        .iter()
        .flatten()
        .map(String::as_str)
        .chain([FINALIZER])
        .collect();
    let patch = json!({ "metadata": { "resourceVersion": meta.resource_version, "finalizers": finalizers } });
    patch_metadata(pass, "add the finalizer", &patch).await
}

async fn patch_metadata(
    pass: &mut Pass<'_>,
    action: &'static str,
    patch: &serde_json::Value,
) -> Result<()> {
    let promotions: Api<Promotion> =
        Api::namespaced(pass.ctx.client.clone(), &pass.observed.request.space);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let name = pass.promotion.name_any();
    match api(
        action,
        promotions.patch(&name, &parameters, &Patch::Merge(patch)),
    )
    .await
    {
        Ok(written) => {
            pass.ctx.remember(&written);
            pass.promotion = written;
            Ok(())
        }
        Err(super::error::Error::Api { source, .. }) if is_gone(&source) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

fn worth_storing(before: &PromotionStatus, after: &PromotionStatus, pass: &Pass<'_>) -> bool {
    if before == after {
        return false;
    }
    let waited = after
        .waiting_on
        .as_ref()
        .map(|waiting| pass.now.duration_since(waiting.since.0));
    differs_materially(before, after) || waited.is_none_or(|waited| waited >= WORDING_LAG)
}

/// An Event for each step that a person would want to read about.
fn note_changes(
    pass: &mut Pass<'_>,
    before: &PromotionStatus,
    after: &PromotionStatus,
    decision: &Decision,
) {
    let news: Vec<&GateStatus> = after
        .gates
        .iter()
        .filter(|gate| is_news(gate, before))
        .collect();
    for gate in &news {
        let message = gate.message.as_deref().unwrap_or_default();
        let text = format!("{}: {message}", gate.name);
        pass.note(true, &gate.name, &format!("Gate{}", gate.outcome), text);
    }
    note_replicas(pass, before, after);
    if let Some(outcome) = &decision.outcome {
        if before.finished_at.is_some() {
            return;
        }
        pass.ctx.metrics.ended(outcome.reason());
        let told_by_gates = news
            .iter()
            .any(|gate| outcome.reason() == format!("Gate{}", gate.outcome));
        if !told_by_gates {
            let failed = matches!(outcome, Outcome::Failed(_));
            let ready = find_condition(&after.conditions, ConditionType::Ready);
            let text = ready.map(|ready| ready.message.clone()).unwrap_or_default();
            pass.note(failed, PROMOTE, outcome.reason(), text);
        }
    } else if let Some(waiting) = &decision.waiting_on {
        let known = before
            .waiting_on
            .as_ref()
            .is_some_and(|known| known.reason == waiting.reason());
        let passing = matches!(
            waiting,
            WaitingOn::Gates { .. } | WaitingOn::Ledger { .. } | WaitingOn::Copying { .. }
        );
        if !known && !passing {
            pass.note(true, PROMOTE, waiting.reason(), waiting.to_string());
        }
    }
}

/// An Event when a replica stops being up to date or is so at last. What a promotion waits for is told of
/// already.
fn note_replicas(pass: &mut Pass<'_>, before: &PromotionStatus, after: &PromotionStatus) {
    let of = |status: &PromotionStatus| {
        find_condition(&status.conditions, ConditionType::Replicated).map(|known| {
            (
                known.status.clone(),
                known.reason.clone(),
                known.message.clone(),
            )
        })
    };
    let Some((status, reason, message)) = of(after) else {
        return;
    };
    let known = of(before).is_some_and(|known| known.0 == status && known.1 == reason);
    let waits_for_it = after.waiting_on.is_some() || reason == "NotReached";
    match status.as_str() {
        "True" if !known => pass.note(false, REPLICATE, "Replicated", message),
        "False" if !known && !waits_for_it => {
            pass.note(true, REPLICATE, "ReplicaFailed", message);
        }
        _ => {}
    }
}

/// The gate has ended since, and has not passed.
fn is_news(gate: &GateStatus, before: &PromotionStatus) -> bool {
    let ended_badly = matches!(
        gate.outcome.as_str(),
        "Failed" | "Warned" | "Error" | "TimedOut"
    );
    ended_badly
        && before
            .gates
            .iter()
            .all(|known| known.name != gate.name || known.outcome != gate.outcome)
}
