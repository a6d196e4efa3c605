//! What a pass tells the audit log, and what it means when the log cannot be written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::context::{Context, Settings};
use super::error::Result;
use super::pass::{Pass, Stopped};
use super::report::PROMOTE;
use crate::api::{ConditionType, EnvironmentPolicy, InFlight, find_condition};
use crate::domain::audit_log::{About, Chain, Entry, Event};
use crate::domain::decision::TroubleKind;
use crate::domain::observed::Trouble;
use crate::effects::audit_log::{AuditLog, Place, Unwritable, Written};
use crate::effects::clock;
use crate::effects::events::{self, Note};
use crate::telemetry::Metrics;

/// Starts the audit log of this process, and says where it is or why nothing will be promoted.
pub(super) async fn start(settings: &Settings, metrics: &Metrics) -> std::io::Result<AuditLog> {
    let log = AuditLog::start(settings.audit_log.clone(), settings.identity.clone())?;
    if settings.audit_log == Place::Stdout {
        tracing::warn!(
            "THERE IS NO FOLDER FOR THE AUDIT LOG (--audit-log-dir, chart: auditLog.volume): its lines go to standard output only, and are lost with it"
        );
    }
    let opened = log.open(clock::now()).await;
    show(metrics, &opened);
    if let Err(why) = opened {
        tracing::error!(error = %why, "nothing is promoted until the audit log can be written");
    }
    Ok(log)
}

/// Opens the log where it is not open; its name.
pub(super) async fn ready(pass: &Pass<'_>) -> Result<String, Stopped> {
    let opened = pass.ctx.audit_log.open(clock::now()).await;
    show(&pass.ctx.metrics, &opened);
    Ok(opened?.log_id)
}

/// The decision is stored, and the first tag comes next.
pub(super) async fn intent(pass: &Pass<'_>) -> Result<(), Stopped> {
    let mut entry = about(pass, Event::Intent);
    if let Some(intent) = pass.status().intent {
        entry.decided_at = Some(intent.decided_at.0);
        entry.chain = Some(Chain {
            sequence: u64::try_from(intent.sequence).ok(),
            ..Chain::default()
        });
    }
    Ok(write(pass.ctx, entry, clock::now()).await?)
}

/// The write slot of a request that is over or gone is taken over, to be cleared.
pub(super) async fn abandoned(
    ctx: &Context,
    (space, environment, artifact): (&str, &str, &str),
    slot: &InFlight,
) -> Result<(), Stopped> {
    let mut entry = Entry::of(Event::TakeOver);
    entry.request = Some(About {
        kind: slot.kind.clone(),
        name: slot.name.clone(),
        uid: slot.uid.clone(),
        space: space.to_owned(),
        environment: environment.to_owned(),
        artifact: Some(artifact.to_owned()),
        version: String::new(),
        digest: Some(slot.digest.clone()),
        tag: Some(slot.tag.clone()),
        ..About::default()
    });
    entry.message = Some(taken_from(slot));
    Ok(write(ctx, entry, slot.since.0).await?)
}

fn taken_from(slot: &InFlight) -> String {
    format!(
        "the write slot of the operator process '{}', since {} for the {} '{}' ({})",
        slot.holder, slot.since.0, slot.kind, slot.name, slot.uid
    )
}

/// The write slot, as the policy has it, was taken over by this process.
///
/// Asked after each claim, so that a line that could not be written comes before the first tag all the same. By
/// then nobody knows any more from whom it was taken.
pub(super) async fn taken_over(
    pass: &Pass<'_>,
    policy: &EnvironmentPolicy,
    from: Option<&InFlight>,
) -> Result<(), Stopped> {
    let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    let slot = ledgers
        .filter_map(|ledger| ledger.in_flight.as_ref())
        .find(|slot| {
            slot.uid == pass.observed.request.uid && slot.holder == pass.ctx.settings.identity
        });
    match slot {
        Some(slot) if slot.taken_over => take_over(pass, &slot.since, from).await,
        Some(_) | None => Ok(()),
    }
}

/// The write slot of another process was taken over only to be given back.
pub(super) async fn taken_over_to_give_back(
    pass: &Pass<'_>,
    from: &InFlight,
) -> Result<(), Stopped> {
    take_over(pass, &Time(pass.now), Some(from)).await
}

async fn take_over(pass: &Pass<'_>, since: &Time, from: Option<&InFlight>) -> Result<(), Stopped> {
    let mut entry = about(pass, Event::TakeOver);
    entry.message = from.map(taken_from);
    Ok(write(pass.ctx, entry, since.0).await?)
}

/// How the request ended, as its status says.
pub(super) async fn result(pass: &Pass<'_>) -> Result<()> {
    let status = pass.status();
    let mut entry = about(pass, Event::Result);
    if let Some(ended) = find_condition(&status.conditions, ConditionType::Succeeded) {
        entry.reason = Some(ended.reason.clone());
        entry.message = Some(ended.message.clone());
    }
    entry.decided_at = status.intent.map(|intent| intent.decided_at.0);
    entry.chain = status.audit.map(|audit| Chain {
        sequence: u64::try_from(audit.sequence).ok(),
        record: Some(audit.record),
        referrer: Some(audit.referrer),
    });
    let written = write(pass.ctx, entry, clock::now()).await;
    if let Err(why) = &written {
        // Its status has ended, and cannot say any more what it waits for.
        let note = Note {
            warning: true,
            action: PROMOTE.to_owned(),
            reason: TroubleKind::AuditLogUnavailable.as_str().to_owned(),
            text: format!("{why}; it is not let go of before its end is in the log"),
        };
        events::publish(&pass.ctx.recorder, &pass.reference(), &note).await;
    }
    Ok(written?)
}

async fn write(ctx: &Context, entry: Entry, at: jiff::Timestamp) -> Result<(), Unwritable> {
    let written = ctx.audit_log.write(entry, at).await;
    show(&ctx.metrics, &written);
    written.map(|_| ())
}

fn show(metrics: &Metrics, written: &Result<Written, Unwritable>) {
    let broken = written
        .as_ref()
        .ok()
        .map(|written| written.broken_logs.len());
    metrics.audit_log(broken);
}

impl From<Unwritable> for Stopped {
    fn from(why: Unwritable) -> Self {
        Self::Trouble(Trouble {
            kind: TroubleKind::AuditLogUnavailable,
            problem: why.to_string(),
            not_before: None,
        })
    }
}

/// An entry about the request of this pass.
fn about(pass: &Pass<'_>, event: Event) -> Entry {
    let request = &pass.observed.request;
    let plan = pass.observed.plan.as_ref();
    let mut entry = Entry::of(event);
    entry.request = Some(About {
        kind: "Promotion".to_owned(),
        name: pass.promotion.name_any(),
        uid: request.uid.clone(),
        space: request.space.clone(),
        environment: request.to.clone(),
        artifact: plan
            .map(|plan| plan.route.artifact.clone())
            .or_else(|| request.artifact.clone()),
        version: request.version.clone(),
        digest: plan.map(|plan| plan.digest.to_string()),
        repository: plan.map(|plan| plan.route.repository.to_string()),
        tag: plan.map(|plan| plan.route.tag.to_string()),
        requested_by: request.requested_by.clone(),
        on_behalf_of: request.on_behalf_of.clone(),
        dry_run: request.dry_run,
    });
    entry
}
