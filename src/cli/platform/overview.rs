//! What every environment holds, what is under way, and what went wrong last. Pure: objects in, values out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde::Serialize;

use super::view::{PromotionView, ended, replicas_behind};
use crate::api::{
    ArtifactSource, ConditionType, Drift, EnvironmentPolicy, LedgerEntry, Promotion, find_condition,
};
use crate::domain::drift::{NOT_COMPARED, advice, sentence};

/// The answer of `floe platform status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    pub(super) namespace: String,
    pub(super) environments: Vec<Row>,
    /// Promotions that have not ended.
    pub(super) pending: Vec<PromotionView>,
    /// Promotions that failed and that nothing has followed yet, the newest first.
    pub(super) failed: Vec<PromotionView>,
    /// Promotions that succeeded and whose replicas are not up to date, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) replicating: Vec<PromotionView>,
}

/// One artifact in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) environment: String,
    pub(super) promotes_from: Vec<String>,
    pub(super) artifact: String,
    pub(super) repository: String,
    /// What is wrong with the policy, when something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// Whether its tags name what the ledger says: `True`, `False` or `Unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags_in_sync: Option<String>,
    /// What does not, or why nobody knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) drift: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) promoted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) promotion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gate_summary: Option<String>,
    /// Promotions under way: what they bring and what they wait for.
    pub(super) in_flight: Vec<String>,
}

impl Overview {
    pub(super) fn of(
        namespace: &str,
        policies: &[EnvironmentPolicy],
        promotions: &[Promotion],
    ) -> Self {
        let views: Vec<PromotionView> = promotions.iter().map(PromotionView::of).collect();
        let unended = promotions.iter().zip(&views);
        let mut pending: Vec<PromotionView> = unended
            .filter(|(promotion, _)| ended(promotion).is_none())
            .map(|(_, view)| view.clone())
            .collect();
        pending.sort_by_key(|view| view.created_at);
        let mut environments = Vec::new();
        for policy in in_flow_order(policies) {
            for source in &policy.spec.artifacts {
                environments.push(Row::of(policy, source, &views, &pending));
            }
        }
        let mut failed: Vec<PromotionView> = promotions
            .iter()
            .zip(&views)
            .filter(|(promotion, _)| ended(promotion).is_some_and(|end| !end.well))
            .map(|(_, view)| view)
            .filter(|view| !followed(view, &views, policies))
            .cloned()
            .collect();
        failed.sort_by_key(|view| std::cmp::Reverse(view.finished_at));
        let mut replicating: Vec<PromotionView> = promotions
            .iter()
            .zip(&views)
            .filter(|(promotion, _)| replicas_behind(promotion))
            .map(|(_, view)| view.clone())
            .collect();
        replicating.sort_by_key(|view| std::cmp::Reverse(view.finished_at));
        Self {
            namespace: namespace.to_owned(),
            environments,
            pending,
            failed,
            replicating,
        }
    }
}

impl Row {
    fn of(
        policy: &EnvironmentPolicy,
        source: &ArtifactSource,
        views: &[PromotionView],
        pending: &[PromotionView],
    ) -> Self {
        let environment = policy.name_any();
        let current = current(policy, &source.name);
        let last = current
            .and_then(|entry| entry.promotion.as_ref())
            .and_then(|name| views.iter().find(|view| view.name == *name));
        let in_flight = pending
            .iter()
            .filter(|view| view.to == environment && is_about(view, policy, &source.name))
            .map(|view| {
                let dry_run = if view.dry_run { " (dry run)" } else { "" };
                let doing = view.reason.as_deref().unwrap_or(&view.stage);
                format!("{}{dry_run}: {doing}", view.version)
            })
            .collect();
        Self {
            environment,
            promotes_from: policy.spec.promotes_from.clone(),
            artifact: source.name.clone(),
            repository: source.repository.clone(),
            problem: problem(policy),
            tags_in_sync: tags_in_sync(policy).map(|condition| condition.status.clone()),
            drift: drift(policy, &source.name),
            version: current.map(|entry| entry.version.clone()),
            digest: current.map(|entry| entry.digest.clone()),
            promoted_at: current.map(|entry| entry.promoted_at.0),
            by: current.and_then(|entry| entry.by.clone()),
            promotion: current.and_then(|entry| entry.promotion.clone()),
            gate_summary: last.and_then(|view| view.gate_summary.clone()),
            in_flight,
        }
    }
}

/// First environments first, each behind those that it takes from; then by name.
pub(super) fn in_flow_order(policies: &[EnvironmentPolicy]) -> Vec<&EnvironmentPolicy> {
    let by_name: BTreeMap<String, &EnvironmentPolicy> = policies
        .iter()
        .map(|policy| (policy.name_any(), policy))
        .collect();
    let mut depth: BTreeMap<&str, usize> = by_name.keys().map(|name| (name.as_str(), 0)).collect();
    // As many rounds as there are environments reach the end of every chain; a circle ends there too.
    for _ in 0..by_name.len() {
        for (name, policy) in &by_name {
            let above = policy.spec.promotes_from.iter();
            let deepest = above.filter_map(|from| depth.get(from.as_str())).max();
            if let Some(deepest) = deepest.map(|deepest| deepest + 1) {
                depth.insert(name, deepest.min(by_name.len()));
            }
        }
    }
    let mut ordered: Vec<&EnvironmentPolicy> = by_name.values().copied().collect();
    ordered.sort_by_key(|policy| depth.get(policy.name_any().as_str()).copied());
    ordered
}

fn current<'a>(policy: &'a EnvironmentPolicy, artifact: &str) -> Option<&'a LedgerEntry> {
    let ledger = policy.status.as_ref()?.artifacts.iter();
    ledger
        .into_iter()
        .find(|entry| entry.name == artifact)?
        .current
        .as_ref()
}

/// Whether a promotion into this environment is about this artifact; without a name it is the only one.
fn is_about(view: &PromotionView, policy: &EnvironmentPolicy, artifact: &str) -> bool {
    match &view.artifact {
        Some(named) => named == artifact,
        None => policy.spec.artifacts.len() == 1,
    }
}

fn problem(policy: &EnvironmentPolicy) -> Option<String> {
    let Some(status) = &policy.status else {
        return Some("no operator has seen this policy yet; is floe running?".to_owned());
    };
    let ready = find_condition(&status.conditions, ConditionType::Ready);
    match ready {
        None => Some("no operator has seen this policy yet; is floe running?".to_owned()),
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some(format!("{}: {}", ready.reason, ready.message)),
    }
}

fn tags_in_sync(policy: &EnvironmentPolicy) -> Option<&Condition> {
    let conditions = &policy.status.as_ref()?.conditions;
    find_condition(conditions, ConditionType::TagsInSync)
}

/// What is out of sync of this artifact, and what to do; for what nobody knows, why not.
fn drift(policy: &EnvironmentPolicy, artifact: &str) -> Vec<String> {
    let standing = tags_in_sync(policy);
    let unknown =
        standing.filter(|standing| standing.status == "Unknown" && standing.reason != NOT_COMPARED);
    let unknown = unknown.map(|unknown| format!("{}: {}", unknown.reason, unknown.message));
    let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    let drift: Vec<Drift> = ledgers
        .filter(|ledger| ledger.name == artifact)
        .flat_map(|ledger| ledger.drift.clone())
        .collect();
    let differ = drift
        .iter()
        .map(|one| format!("{}: {}", one.reason, sentence(one)));
    let space = policy.namespace().unwrap_or_default();
    let advice = (!drift.is_empty()).then(|| advice(&drift, &policy.name_any(), &space));
    unknown.into_iter().chain(differ).chain(advice).collect()
}

/// Something newer says more than this failure: another try, or a later promotion into the environment.
fn followed(
    failed: &PromotionView,
    views: &[PromotionView],
    policies: &[EnvironmentPolicy],
) -> bool {
    let tried_again = views.iter().any(|view| {
        view.to == failed.to
            && view.version == failed.version
            && view.artifact == failed.artifact
            && view.dry_run == failed.dry_run
            && view.created_at > failed.created_at
    });
    let promoted_later = policies
        .iter()
        .filter(|policy| policy.name_any() == failed.to)
        .filter_map(|policy| current(policy, failed.artifact.as_deref()?))
        .any(|entry| Some(entry.promoted_at.0) > failed.finished_at);
    tried_again || promoted_later
}
