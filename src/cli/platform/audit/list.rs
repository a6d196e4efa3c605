//! `floe platform audit list`: the records of environments.

use jiff::Timestamp;
use serde::Serialize;

use super::args::AuditListArguments;
use super::rows::{Row, rows};
use super::targets::Targets;
use crate::cli::ExitCode;
use crate::cli::platform::args::ClusterArguments;
use crate::cli::platform::failure::Result;
use crate::cli::platform::present::{Present, present, promotion_name, table};
use crate::cli::platform::words::{or_dash, short_digest};

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Records {
    namespace: String,
    records: Vec<Listed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    environment: String,
    artifact: String,
    sequence: i64,
    version: String,
    digest: String,
    result: String,
    decided_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<String>,
    promotion: String,
    record: String,
    referrer: String,
}

/// Runs the command.
pub(super) async fn run(
    cluster: &ClusterArguments,
    arguments: &AuditListArguments,
) -> Result<ExitCode> {
    let targets = Targets::of(cluster, &arguments.chains).await?;
    let (mut found, code) = rows(&targets, &arguments.chains, &arguments.filter).await?;
    found.sort_by_key(|row| std::cmp::Reverse((row.content.decided_at, row.content.sequence)));
    let records = Records {
        namespace: targets.space.clone(),
        records: found.iter().map(Listed::of).collect(),
    };
    let written = present(&records, arguments.output.format);
    Ok(if written == ExitCode::Done {
        code
    } else {
        written
    })
}

impl Listed {
    fn of(row: &Row) -> Self {
        let content = &row.content;
        Self {
            environment: content.target_environment.clone(),
            artifact: content.artifact.name.clone(),
            sequence: content.sequence,
            version: content.artifact.version.clone(),
            digest: content.artifact.digest.to_string(),
            result: content.result.clone(),
            decided_at: content.decided_at,
            requested_by: content.requested_by.clone(),
            on_behalf_of: content.on_behalf_of.clone(),
            promotion: content.name.clone(),
            record: row.recorded.record.to_string(),
            referrer: row.recorded.referrer.to_string(),
        }
    }
}

impl Present for Records {
    fn text(&self, wide: bool) -> String {
        if self.records.is_empty() {
            return "There are no such records.\n".to_owned();
        }
        let mut header = vec![
            "DECIDED",
            "ENVIRONMENT",
            "ARTIFACT",
            "NUMBER",
            "VERSION",
            "RESULT",
            "BY",
            "FOR",
            "RECORD",
        ];
        if wide {
            header.extend(["DIGEST", "PROMOTION"]);
        }
        let rows = self.records.iter().map(|listed| {
            let record = if wide {
                listed.record.clone()
            } else {
                short_digest(Some(&listed.record))
            };
            let mut row = vec![
                listed.decided_at.to_string(),
                listed.environment.clone(),
                listed.artifact.clone(),
                listed.sequence.to_string(),
                listed.version.clone(),
                listed.result.clone(),
                or_dash(listed.requested_by.as_deref()),
                or_dash(listed.on_behalf_of.as_deref()),
                record,
            ];
            if wide {
                row.extend([listed.digest.clone(), listed.promotion.clone()]);
            }
            row
        });
        table(&header, rows.collect())
    }

    fn names(&self) -> Vec<String> {
        self.records
            .iter()
            .map(|listed| promotion_name(&listed.promotion))
            .collect()
    }
}
