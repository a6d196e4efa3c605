//! Records as rows of a table, for auditors' own tools. Columns are only ever added at the end.

use super::content::{Content, Signed};
use crate::domain::record::Recorded;

/// Names of the columns.
pub const COLUMNS: [&str; 27] = [
    "space",
    "environment",
    "artifact",
    "sequence",
    "version",
    "digest",
    "repository",
    "tag",
    "sourceEnvironment",
    "result",
    "requestedAt",
    "decidedAt",
    "requestedBy",
    "onBehalfOf",
    "reason",
    "gates",
    "signatureVerified",
    "policyGeneration",
    "policyDigest",
    "promotion",
    "promotionUID",
    "record",
    "referrer",
    "previousRecord",
    "summary",
    "signedBy",
    "operatorVersion",
];

/// One record; a value for each column, empty when it is not known.
pub fn row(content: &Content, recorded: &Recorded, signed: &Signed) -> [String; COLUMNS.len()] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let gates = content.gates.iter();
    let gates: Vec<String> = gates
        .map(|gate| format!("{}={}", gate.name, gate.outcome))
        .collect();
    [
        content.space.clone(),
        content.target_environment.clone(),
        content.artifact.name.clone(),
        content.sequence.to_string(),
        content.artifact.version.clone(),
        content.artifact.digest.to_string(),
        content.repository.to_string(),
        content.tag.clone(),
        text(&content.source_environment),
        content.result.clone(),
        content.requested_at.to_string(),
        content.decided_at.to_string(),
        text(&content.requested_by),
        text(&content.on_behalf_of),
        text(&content.reason),
        gates.join(" "),
        content
            .signature
            .as_ref()
            .map(|signature| signature.verified.to_string())
            .unwrap_or_default(),
        content.policy.generation.to_string(),
        content.policy.digest.clone(),
        content.name.clone(),
        content.id.clone(),
        recorded.record.to_string(),
        recorded.referrer.to_string(),
        content
            .previous
            .as_ref()
            .map(|before| before.record.to_string())
            .unwrap_or_default(),
        content.summary.to_string(),
        signed
            .signer
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        content.operator.version.clone(),
    ]
}

/// A line of CSV (RFC 4180). A cell that a spreadsheet would take for a formula gets an apostrophe before it: reasons
/// and names come from strangers. Control characters, which could steer a terminal, are replaced.
pub fn csv_line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.into_iter().map(cell).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let text = text.replace(
        |c: char| c.is_control() && !matches!(c, '\n' | '\t'),
        "\u{fffd}",
    );
    let formula = text.trim_start().starts_with([
        '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]) || text.starts_with(['\t', '\r', '\n']);
    let guarded = if formula {
        format!("'{text}")
    } else {
        text.clone()
    };
    if guarded.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", guarded.replace('"', "\"\""));
    }
    guarded
}
