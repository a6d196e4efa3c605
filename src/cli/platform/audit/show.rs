//! `floe platform audit show`: one record.

use serde::Serialize;
use serde_json::Value;

use super::args::{FilterArguments, ShowArguments};
use super::rows::{Row, rows};
use super::targets::Targets;
use crate::cli::ExitCode;
use crate::cli::platform::args::ClusterArguments;
use crate::cli::platform::failure::{Failure, Result};
use crate::cli::platform::present::{Present, present};
use crate::domain::audit::Content;

/// Digits of a digest that are enough.
const DIGITS: usize = 12;

/// The answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    /// What it is known by.
    record: String,
    /// Manifest that holds it: `repository@digest`.
    referrer: String,
    /// Id of the key that has signed it.
    signed_by: String,
    /// What was signed.
    statement: Value,
    #[serde(skip)]
    content: Content,
}

/// Runs the command.
pub(super) async fn run(cluster: &ClusterArguments, arguments: &ShowArguments) -> Result<ExitCode> {
    let wanted = wanted(&arguments.record)?;
    let targets = Targets::of(cluster, &arguments.chains).await?;
    let (mut found, code) = rows(&targets, &arguments.chains, &FilterArguments::default()).await?;
    found.retain(|row| wanted.is(row));
    let row = match found.as_slice() {
        [row] => row,
        [] => {
            return Err(Failure::new(
                if code == ExitCode::Done {
                    ExitCode::NotPromoted
                } else {
                    code
                },
                format!(
                    "there is no genuine record '{}' there; `floe platform audit list` shows all",
                    arguments.record
                ),
            ));
        }
        several => {
            let places: Vec<String> = several
                .iter()
                .map(|row| {
                    format!(
                        "{}/{}",
                        row.content.target_environment, row.content.artifact.name
                    )
                })
                .collect();
            return Err(Failure::usage(format!(
                "'{}' is a record in each of {}: name the environment too, and the artifact with --artifact",
                arguments.record,
                places.join(", ")
            )));
        }
    };
    let statement: Value = serde_json::from_slice(&row.signed.payload).map_err(|error| {
        Failure::new(
            ExitCode::Unexpected,
            format!("the record is no JSON: {error}"),
        )
    })?;
    let shown = Shown {
        record: row.recorded.record.to_string(),
        referrer: format!("{}@{}", row.content.repository, row.recorded.referrer),
        signed_by: row
            .signed
            .signer
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        statement,
        content: row.content.clone(),
    };
    let written = present(&shown, arguments.output.format);
    Ok(if written == ExitCode::Done {
        code
    } else {
        written
    })
}

enum Wanted<'a> {
    Number(i64),
    Digits(&'a str),
}

fn wanted(text: &str) -> Result<Wanted<'_>> {
    if let Ok(number) = text.parse() {
        return Ok(Wanted::Number(number));
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && digits.len() >= DIGITS {
        return Ok(Wanted::Digits(digits));
    }
    Err(Failure::usage(format!(
        "'{text}' is neither the number of a record nor {DIGITS} digits of its digest"
    )))
}

impl Wanted<'_> {
    fn is(&self, row: &Row) -> bool {
        let Row {
            content, recorded, ..
        } = row;
        match self {
            Self::Number(number) => content.sequence == *number,
            Self::Digits(digits) => {
                recorded.record.hex().starts_with(digits)
                    || recorded.referrer.hex().starts_with(digits)
            }
        }
    }
}

impl Present for Shown {
    fn text(&self, _wide: bool) -> String {
        let content = &self.content;
        let mut lines = vec![
            ("Record", self.record.clone()),
            (
                "Number",
                format!(
                    "{} of {}/{}",
                    content.sequence, content.target_environment, content.artifact.name
                ),
            ),
            ("Namespace", content.space.clone()),
            ("Version", content.artifact.version.clone()),
            ("Digest", content.artifact.digest.to_string()),
            ("Tag", format!("{}:{}", content.repository, content.tag)),
            ("Result", content.result.clone()),
            ("Requested", content.requested_at.to_string()),
            ("Decided", content.decided_at.to_string()),
        ];
        let optional = [
            ("From", &content.source_environment),
            ("By", &content.requested_by),
            ("For", &content.on_behalf_of),
            ("Reason", &content.reason),
        ];
        for (name, value) in optional {
            lines.extend(value.clone().map(|value| (name, value)));
        }
        if let Some(signature) = &content.signature {
            let word = if signature.verified {
                "verified"
            } else {
                "none that counts"
            };
            lines.push(("Signature", word.to_owned()));
        }
        for gate in &content.gates {
            let mut text = format!("{} ({}): {}", gate.name, gate.gate_type, gate.outcome);
            if let Some(summary) = &gate.summary {
                text.extend([", ", summary]);
            }
            lines.push(("Gate", text));
        }
        lines.push((
            "Policy",
            format!(
                "generation {}, {}",
                content.policy.generation, content.policy.digest
            ),
        ));
        lines.push(("Promotion", format!("{} ({})", content.name, content.id)));
        lines.push((
            "Operator",
            format!(
                "{} ({})",
                content.operator.instance, content.operator.version
            ),
        ));
        let before = content.previous.as_ref();
        lines.push((
            "Before it",
            before.map_or_else(
                || "nothing: it is the first".to_owned(),
                |before| format!("{} ({})", before.record, before.version),
            ),
        ));
        lines.push(("Manifest", self.referrer.clone()));
        lines.push(("Signed by", format!("key {}", self.signed_by)));
        let lines: Vec<String> = lines
            .iter()
            .map(|(name, value)| format!("{name:<11}{value}\n"))
            .collect();
        lines.concat()
    }

    fn names(&self) -> Vec<String> {
        vec![self.record.clone()]
    }
}
