//! A Promotion as the command line shows it: the same values for tables, JSON and YAML.
//!
//! The shape is API: fields may be added, and are left out when there is nothing to say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::words::{age, span};
use crate::api::{
    ConditionType, GateStatus, LABEL_RETRY_OF, Promotion, RecordRef, ReplicaStatus, SignatureMode,
    SignatureStatus, find_condition,
};
use crate::cli::ExitCode;
use crate::domain::reasons;

/// One Promotion.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromotionView {
    pub(super) name: String,
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) artifact: Option<String>,
    pub(super) version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    pub(super) to: String,
    pub(super) dry_run: bool,
    /// Where it stands; `Pending` before the operator has seen it.
    pub(super) stage: String,
    /// Why it ended, or what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// What to do next, when there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waiting_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repository: Option<String>,
    /// Repository from which the artifact is copied, when it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latest_tag: Option<String>,
    /// What was found out about the artifact's signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<SignatureView>,
    /// The gates in one word, a sign each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gate_summary: Option<String>,
    pub(super) gates: Vec<GateView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<RecordView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) replicas: Vec<ReplicaView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) requested_by: Option<String>,
    /// For whom automation asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) on_behalf_of: Option<String>,
    /// Who stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aborted_by: Option<String>,
    /// Why it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finished_at: Option<Timestamp>,
}

/// What was found out about the artifact's signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignatureView {
    pub(super) mode: SignatureMode,
    pub(super) verified: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// One gate of a Promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GateView {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) gate_type: String,
    pub(super) outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
    pub(super) job: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finished_at: Option<Timestamp>,
    /// How often it was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<i32>,
    /// The Promotion whose result counts again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reused_from: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) counts: BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<String>,
    /// How many more ids or findings there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) omitted: Option<i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) values: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<String>,
}

/// One replica of a Promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplicaView {
    pub(super) name: String,
    pub(super) repository: String,
    pub(super) required: bool,
    pub(super) state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    /// What it lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_error: Option<String>,
    pub(super) since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_try: Option<Timestamp>,
}

/// How a Promotion ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// It succeeded.
    pub(super) well: bool,
    /// Exit code of a command that waited for it.
    pub(super) code: ExitCode,
}

/// How this promotion ended; `None` while it runs.
pub(super) fn ended(promotion: &Promotion) -> Option<Ended> {
    let conditions = &promotion.status.as_ref()?.conditions;
    let succeeded = find_condition(conditions, ConditionType::Succeeded)?;
    match succeeded.status.as_str() {
        "True" => Some(Ended {
            well: true,
            code: ExitCode::Done,
        }),
        "False" => Some(Ended {
            well: false,
            code: ExitCode::of_reason(&succeeded.reason),
        }),
        _ => None,
    }
}

/// It has ended well, and a replica that the policy lists is not up to date.
pub(super) fn replicas_behind(promotion: &Promotion) -> bool {
    let conditions = promotion
        .status
        .iter()
        .flat_map(|status| &status.conditions);
    let behind = conditions
        .filter(|condition| condition.type_ == ConditionType::Replicated.as_str())
        .any(|condition| condition.status != "True");
    behind && ended(promotion).is_some_and(|end| end.well)
}

impl ReplicaView {
    fn of(replica: ReplicaStatus) -> Self {
        let ReplicaStatus {
            name,
            repository,
            required,
            state,
            digest,
            missing,
            reason,
            last_error,
            since,
            next_try,
        } = replica;
        Self {
            name,
            repository,
            required,
            state,
            digest,
            missing,
            reason,
            last_error,
            since: since.0,
            next_try: next_try.map(|time| time.0),
        }
    }

    /// `west: Failed, since 3m: RegistryUnavailable: ..., lacks ...; next try in 10s`.
    pub(super) fn line(&self, now: Timestamp) -> String {
        let required = if self.required { ", required" } else { "" };
        let mut parts = vec![format!("{}: {}{required}", self.name, self.state)];
        if self.state != "Replicated" {
            parts.push(format!(", for {}", age(Some(self.since), now)));
        }
        if let (Some(reason), Some(problem)) = (&self.reason, &self.last_error) {
            parts.push(format!(": {reason}: {problem}"));
        }
        if !self.missing.is_empty() {
            parts.push(format!(", lacks {}", self.missing.join(", ")));
        }
        if let Some(at) = self.next_try {
            parts.push(format!("; next try in {}", span(at.duration_since(now))));
        }
        parts.concat()
    }
}

/// A record, as people and scripts see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordView {
    /// SHA-256 of what was signed.
    pub(super) record: String,
    /// Manifest that holds it: `repository@digest`.
    pub(super) referrer: String,
    /// Number in its chain.
    pub(super) sequence: i64,
}

impl RecordView {
    pub(super) fn of(audit: &RecordRef, repository: &str) -> Self {
        Self {
            record: audit.record.clone(),
            referrer: format!("{repository}@{}", audit.referrer),
            sequence: audit.sequence,
        }
    }
}

impl PromotionView {
    pub(super) fn of(promotion: &Promotion) -> Self {
        let spec = &promotion.spec;
        let status = promotion.status.clone().unwrap_or_default();
        let plan = status.plan.as_ref();
        let succeeded = find_condition(&status.conditions, ConditionType::Succeeded);
        let waiting = status.waiting_on.as_ref();
        let reason = waiting
            .map(|waiting| waiting.reason.clone())
            .or_else(|| succeeded.map(|condition| condition.reason.clone()));
        let message = waiting
            .map(|waiting| waiting.message.clone())
            .or_else(|| succeeded.map(|condition| condition.message.clone()));
        let advice = reason
            .as_deref()
            .and_then(reasons::find)
            .map(|reason| reason.advice.replace("VERSION", &spec.version));
        Self {
            name: promotion.name_any(),
            namespace: promotion.namespace().unwrap_or_default(),
            artifact: plan
                .map(|plan| plan.artifact.clone())
                .or_else(|| spec.artifact.clone()),
            version: spec.version.clone(),
            from: plan
                .and_then(|plan| plan.from.clone())
                .or_else(|| spec.from.clone()),
            to: spec.to.clone(),
            dry_run: spec.dry_run,
            stage: status.stage.unwrap_or_else(|| "Pending".to_owned()),
            reason,
            message,
            next: advice.filter(|advice| !advice.is_empty()),
            waiting_since: waiting.map(|waiting| waiting.since.0),
            digest: plan
                .map(|plan| plan.digest.clone())
                .or_else(|| spec.digest.clone()),
            repository: plan.map(|plan| plan.repository.clone()),
            source_repository: plan.and_then(|plan| plan.source_repository.clone()),
            source_tag: plan.map(|plan| plan.source_tag.clone()),
            tag: plan.map(|plan| plan.tag.clone()),
            latest_tag: plan.map(|plan| plan.latest_tag.clone()),
            signature: status.signature.map(SignatureView::of),
            gate_summary: status.gate_summary,
            gates: status.gates.into_iter().map(GateView::of).collect(),
            record: plan
                .zip(status.audit.as_ref())
                .map(|(plan, audit)| RecordView::of(audit, &plan.repository)),
            replicas: status.replicas.into_iter().map(ReplicaView::of).collect(),
            requested_by: spec.requested_by.clone(),
            on_behalf_of: spec.on_behalf_of.clone(),
            aborted_by: spec.abort.as_ref().map(|abort| abort.by.clone()),
            request_reason: spec.reason.clone(),
            retry_of: promotion.labels().get(LABEL_RETRY_OF).cloned(),
            created_at: promotion.creation_timestamp().map(|time| time.0),
            finished_at: status.finished_at.map(|time| time.0),
        }
    }

    /// `platform 1.2.3`.
    pub(super) fn what(&self) -> String {
        match &self.artifact {
            Some(artifact) => format!("{artifact} {}", self.version),
            None => self.version.clone(),
        }
    }

    /// `Promotion 'x' in namespace 'y'`.
    pub(super) fn object(&self) -> String {
        format!(
            "Promotion '{}' in namespace '{}'",
            self.name, self.namespace
        )
    }
}

impl SignatureView {
    fn of(found: SignatureStatus) -> Self {
        let SignatureStatus {
            mode,
            verified,
            by,
            count: _,
            message,
            rule: _,
        } = found;
        Self {
            mode,
            verified,
            by,
            message,
        }
    }
}

impl GateView {
    fn of(gate: GateStatus) -> Self {
        let GateStatus {
            name,
            gate_type,
            outcome,
            message,
            spec_hash: _,
            job,
            job_uid: _,
            image,
            image_digest: _,
            started_at,
            finished_at,
            duration: _,
            attempts,
            reused_from,
            counts,
            ids,
            findings,
            omitted,
            values,
            output,
        } = gate;
        Self {
            name,
            gate_type,
            outcome,
            message,
            image,
            job,
            started_at: started_at.map(|time| time.0),
            finished_at: finished_at.map(|time| time.0),
            attempts,
            reused_from,
            counts,
            ids,
            findings,
            omitted,
            values,
            output,
        }
    }

    /// How long it ran, once it has ended.
    pub(super) fn duration(&self) -> Option<jiff::SignedDuration> {
        Some(self.finished_at?.duration_since(self.started_at?))
    }
}
