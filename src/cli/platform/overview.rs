//! What every environment holds, what is under way, and what went wrong last. Pure: objects in, values out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::present::{Present, policy_name, promotion_name, table};
use super::view::{PromotionView, ended};
use super::words::{age, dash, or_dash, short_digest};
use crate::api::{
    ArtifactSource, ConditionType, EnvironmentPolicy, LedgerEntry, Promotion, find_condition,
};
use crate::effects::clock;

/// Failed promotions in the table; JSON and `-o wide` have all of them.
const SHOWN_FAILURES: usize = 5;

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
        Self {
            namespace: namespace.to_owned(),
            environments,
            pending,
            failed,
        }
    }

    fn render(&self, wide: bool, now: Timestamp) -> String {
        if self.environments.is_empty() {
            return format!(
                "Namespace '{}' has no EnvironmentPolicies: create one for each environment, or name another namespace with -n.\n",
                self.namespace
            );
        }
        let mut sections = vec![environments_table(&self.environments, wide, now)];
        let problems = self.environments.iter().filter_map(|row| {
            let problem = row.problem.as_ref()?;
            Some(format!("environment '{}': {problem}\n", row.environment))
        });
        sections.extend(problems);
        if !self.pending.is_empty() {
            let since = |view: &PromotionView| view.waiting_since.or(view.created_at);
            let rows = promotions_table(&self.pending, "FOR", now, since);
            sections.push(format!("Pending\n{rows}"));
        }
        if !self.failed.is_empty() {
            sections.push(self.failures(wide, now));
        }
        sections.join("\n")
    }

    fn failures(&self, wide: bool, now: Timestamp) -> String {
        let most = if wide { usize::MAX } else { SHOWN_FAILURES };
        let shown = &self.failed[..self.failed.len().min(most)];
        let rows = promotions_table(shown, "AGO", now, |view| view.finished_at);
        let hidden = match self.failed.len() - shown.len() {
            0 => String::new(),
            hidden => format!("... and {hidden} more (-o wide)\n"),
        };
        format!(
            "Failed\n{rows}{hidden}\nMore about one of them: floe platform status NAME -n {}\n",
            self.namespace
        )
    }
}

impl Present for Overview {
    fn text(&self, wide: bool) -> String {
        self.render(wide, clock::now())
    }

    fn names(&self) -> Vec<String> {
        let environments: BTreeSet<&str> = self
            .environments
            .iter()
            .map(|row| row.environment.as_str())
            .collect();
        let promotions = self.pending.iter().chain(&self.failed);
        environments
            .into_iter()
            .map(policy_name)
            .chain(promotions.map(|view| promotion_name(&view.name)))
            .collect()
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

fn environments_table(rows: &[Row], wide: bool, now: Timestamp) -> String {
    let mut header = vec![
        "ENVIRONMENT",
        "ARTIFACT",
        "VERSION",
        "DIGEST",
        "PROMOTED",
        "BY",
        "GATES",
        "IN FLIGHT",
    ];
    if wide {
        header.extend(["FROM", "PROMOTION", "REPOSITORY"]);
    }
    let cells = |row: &Row| {
        let mut cells = vec![
            row.environment.clone(),
            row.artifact.clone(),
            or_dash(row.version.as_deref()),
            if wide {
                or_dash(row.digest.as_deref())
            } else {
                short_digest(row.digest.as_deref())
            },
            age(row.promoted_at, now),
            or_dash(row.by.as_deref()),
            or_dash(row.gate_summary.as_deref()),
            or_dash(Some(row.in_flight.join(", ").as_str()).filter(|text| !text.is_empty())),
        ];
        if wide {
            let from = row.promotes_from.join(", ");
            cells.push(if from.is_empty() { dash() } else { from });
            cells.push(or_dash(row.promotion.as_deref()));
            cells.push(row.repository.clone());
        }
        cells
    };
    table(&header, rows.iter().map(cells).collect())
}

fn promotions_table(
    views: &[PromotionView],
    when: &str,
    now: Timestamp,
    time: impl Fn(&PromotionView) -> Option<Timestamp>,
) -> String {
    let header = ["PROMOTION", "VERSION", "TO", "GATES", when, "WHY"];
    let rows = views.iter().map(|view| {
        let reason = view.reason.as_deref().unwrap_or(&view.stage);
        let why = match &view.message {
            Some(message) => format!("{reason}: {message}"),
            None => reason.to_owned(),
        };
        vec![
            view.name.clone(),
            view.version.clone(),
            view.to.clone(),
            or_dash(view.gate_summary.as_deref()),
            age(time(view), now),
            why,
        ]
    });
    table(&header, rows.collect())
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
