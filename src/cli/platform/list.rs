//! `floe platform list`: the versions that the ledger of each environment knows.

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::args::ListArguments;
use super::cluster::Space;
use super::failure::Result;
use super::overview::in_flow_order;
use super::present::{Present, present, promotion_name, table};
use super::request::environment;
use super::view::RecordView;
use super::words::{age, or_dash, short_digest};
use crate::api::{EnvironmentPolicy, LedgerArtifact, LedgerEntry};
use crate::cli::ExitCode;
use crate::effects::clock;

/// The answer of `floe platform list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Versions {
    pub(super) namespace: String,
    pub(super) versions: Vec<Listed>,
}

/// One version in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) environment: String,
    pub(super) artifact: String,
    pub(super) version: String,
    pub(super) digest: String,
    /// `latest-<environment>` names it.
    pub(super) current: bool,
    pub(super) promoted_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) promotion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<RecordView>,
}

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &ListArguments) -> Result<ExitCode> {
    let policies = space.list_policies().await?;
    let chosen: Vec<&EnvironmentPolicy> = match &arguments.env {
        Some(word) => vec![environment(&policies, &space.namespace, word)?],
        None => in_flow_order(&policies),
    };
    let versions = Versions::of(&space.namespace, &chosen, arguments.artifact.as_deref());
    Ok(present(&versions, arguments.output.format))
}

impl Versions {
    pub(super) fn of(
        namespace: &str,
        policies: &[&EnvironmentPolicy],
        artifact: Option<&str>,
    ) -> Self {
        let mut versions = Vec::new();
        for policy in policies {
            let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
            for ledger in ledgers.filter(|ledger| artifact.is_none_or(|name| ledger.name == name)) {
                versions.extend(entries(ledger).map(|entry| Listed::of(policy, ledger, entry)));
            }
        }
        Self {
            namespace: namespace.to_owned(),
            versions,
        }
    }

    fn render(&self, wide: bool, now: Timestamp) -> String {
        if self.versions.is_empty() {
            return "No versions have been promoted there.\n".to_owned();
        }
        let header = [
            "ENVIRONMENT",
            "ARTIFACT",
            "VERSION",
            "CURRENT",
            "DIGEST",
            "PROMOTED",
            "BY",
            "PROMOTION",
            "RECORD",
        ];
        let digest = |text: Option<&str>| {
            if wide {
                or_dash(text)
            } else {
                short_digest(text)
            }
        };
        let rows = self.versions.iter().map(|listed| {
            vec![
                listed.environment.clone(),
                listed.artifact.clone(),
                listed.version.clone(),
                if listed.current { "*" } else { "" }.to_owned(),
                digest(Some(&listed.digest)),
                age(Some(listed.promoted_at), now),
                or_dash(listed.by.as_deref()),
                or_dash(listed.promotion.as_deref()),
                listed.record.as_ref().map_or_else(
                    || or_dash(None),
                    |record| format!("#{} {}", record.sequence, digest(Some(&record.record))),
                ),
            ]
        });
        table(&header, rows.collect())
    }
}

impl Present for Versions {
    fn text(&self, wide: bool) -> String {
        self.render(wide, clock::now())
    }

    fn names(&self) -> Vec<String> {
        let names = self
            .versions
            .iter()
            .filter_map(|listed| listed.promotion.as_deref());
        names.map(promotion_name).collect()
    }
}

impl Listed {
    fn of(policy: &EnvironmentPolicy, ledger: &LedgerArtifact, entry: &LedgerEntry) -> Self {
        let repository = policy
            .spec
            .artifacts
            .iter()
            .find(|source| source.name == ledger.name)
            .map_or("", |source| source.repository.as_str());
        Self {
            environment: policy.name_any(),
            artifact: ledger.name.clone(),
            version: entry.version.clone(),
            digest: entry.digest.clone(),
            current: ledger.current.as_ref() == Some(entry),
            promoted_at: entry.promoted_at.0,
            by: entry.by.clone(),
            promotion: entry.promotion.clone(),
            record: entry
                .audit
                .as_ref()
                .map(|audit| RecordView::of(audit, repository)),
        }
    }
}

/// The history, the newest first; the current version comes first when the history no longer has it.
fn entries(ledger: &LedgerArtifact) -> impl Iterator<Item = &LedgerEntry> {
    let current = ledger.current.iter();
    let missing = current.filter(|entry| !ledger.history.contains(entry));
    missing.chain(&ledger.history)
}
