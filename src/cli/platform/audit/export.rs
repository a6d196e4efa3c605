//! `floe platform audit export`: records for other tools.

use serde_json::{Map, Value};

use super::args::{ExportArguments, ExportFormat};
use super::rows::{Row, rows};
use super::targets::Targets;
use crate::cli::platform::args::ClusterArguments;
use crate::cli::platform::failure::Result;
use crate::cli::{ExitCode, output};
use crate::domain::audit::{COLUMNS, csv_line, row};

/// Runs the command.
pub(super) async fn run(
    cluster: &ClusterArguments,
    arguments: &ExportArguments,
) -> Result<ExitCode> {
    let targets = Targets::of(cluster, &arguments.chains).await?;
    let (mut found, code) = rows(&targets, &arguments.chains, &arguments.filter).await?;
    found.sort_by(|one, other| {
        let key = |row: &Row| (row.content.decided_at, row.content.sequence);
        key(one).cmp(&key(other)).then_with(|| {
            one.content
                .target_environment
                .cmp(&other.content.target_environment)
        })
    });
    let mut text = String::new();
    if arguments.format == ExportFormat::Csv {
        text.push_str(&csv_line(COLUMNS));
    }
    for one in &found {
        let cells = row(&one.content, &one.recorded, &one.signed);
        match arguments.format {
            ExportFormat::Csv => text.push_str(&csv_line(cells.iter().map(String::as_str))),
            ExportFormat::Jsonl => text.push_str(&json_line(cells, one)),
        }
    }
    let written = output::document(&text);
    Ok(if written == ExitCode::Done {
        code
    } else {
        written
    })
}

fn json_line(cells: [String; COLUMNS.len()], row: &Row) -> String {
    let mut object = Map::new();
    for (name, cell) in COLUMNS.into_iter().zip(cells) {
        let value = match name {
            "sequence" => row.content.sequence.into(),
            "policyGeneration" => row.content.policy.generation.into(),
            "signatureVerified" => row
                .content
                .signature
                .as_ref()
                .map(|signature| signature.verified)
                .into(),
            _ if cell.is_empty() => Value::Null,
            _ => cell.into(),
        };
        object.insert(name.to_owned(), value);
    }
    let statement = serde_json::from_slice(&row.signed.payload).unwrap_or(Value::Null);
    object.insert("statement".to_owned(), statement);
    Value::Object(object).to_string() + "\n"
}
