use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::{fit, rfc3339};

/// Most bytes of a summary: Kubernetes cuts longer termination messages.
pub const MAX_BYTES: usize = 4096;
/// The version of the format that this code writes and the only one that it reads.
const VERSION: u32 = 1;

/// What came out of a gate's command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Summary {
    /// Version of this format: 1.
    pub floe: u32,
    /// Exit code of the command; 128 + n when signal n ended it, 124 after a time-out. The container
    /// exits with the same code.
    pub exit_code: i32,
    /// The command ran longer than it may.
    pub timed_out: bool,
    /// Why the command could not be run, or not to its end. A gate with an error has not been
    /// judged, whatever its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the command started, RFC 3339 in UTC with milliseconds.
    pub started_at: String,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
    /// The last lines of its output, without known secrets.
    pub output: String,
    /// What it found, where the check can say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Finding>>,
    /// How many findings did not fit.
    pub omitted: u64,
    /// What the command's report says, when the gate asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// One thing that a check found. It never carries the value that it found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finding {
    /// Whether it alone fails the gate.
    pub severity: Severity,
    /// Stable name of the rule, such as `literal-secret`.
    pub rule: String,
    /// The document, by its path in the artifact.
    pub path: String,
    /// Place in the document as JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// The gate fails.
    Error,
    /// The gate passes, and the finding is shown.
    Warning,
}

/// Why bytes are not a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotASummary(String);

impl fmt::Display for NotASummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotASummary {}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            pointer,
            message,
            rule,
            ..
        } = self;
        write!(f, "{path}")?;
        if !pointer.is_empty() {
            write!(f, "#{pointer}")?;
        }
        write!(f, ": {message} ({rule})")
    }
}

impl Summary {
    /// Summary of a command that started at this time, with nothing else known yet.
    pub fn started(started_at: String) -> Self {
        Self {
            floe: VERSION,
            exit_code: 0,
            timed_out: false,
            error: None,
            started_at,
            duration_ms: 0,
            output: String::new(),
            findings: None,
            omitted: 0,
            report: None,
        }
    }

    /// The summary as JSON of at most [`MAX_BYTES`]. What does not fit is cut: findings, the names in the
    /// report (the numbers of what was cut are in `omitted`) and the oldest output. Where a report's
    /// numbers do not fit, the summary has an error in its place.
    pub fn to_bytes(&self) -> Vec<u8> {
        fit::to_bytes(self)
    }

    /// Reads a summary. Everything that [`to_bytes`](Self::to_bytes) would not write is refused:
    /// unknown or doubled fields, another version, more than [`MAX_BYTES`], bytes before or behind it.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotASummary> {
        if bytes.is_empty() {
            return Err(NotASummary("it is empty".into()));
        }
        if bytes.len() > MAX_BYTES {
            return Err(NotASummary(format!(
                "it has {} bytes, at most {MAX_BYTES} are allowed",
                bytes.len()
            )));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| NotASummary("it is not UTF-8 text".into()))?;
        if !text.starts_with('{') || !text.ends_with('}') {
            return Err(NotASummary("it is not one JSON object".into()));
        }
        // serde_json's message quotes unknown field names and values: foreign text, so only its place is kept.
        let malformed = |error: serde_json::Error| {
            NotASummary(format!(
                "it does not have the form of a summary (column {}, {:?} error)",
                error.column(),
                error.classify()
            ))
        };
        let summary: Self = serde_json::from_str(text).map_err(malformed)?;
        // serde would also take a list for an object, and null for what is absent: what is not written so
        // is not read.
        let loose: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
        if serde_json::to_value(&summary).map_err(malformed)? != loose {
            return Err(NotASummary(
                "a part of it does not have the form of a summary's".into(),
            ));
        }
        if summary.floe != VERSION {
            return Err(NotASummary(format!(
                "it has version {}, only {VERSION} is known",
                summary.floe
            )));
        }
        if !rfc3339::is_valid(&summary.started_at) {
            return Err(NotASummary(
                "startedAt is not an RFC 3339 time in UTC".into(),
            ));
        }
        if !summary.report.as_ref().is_none_or(Report::is_sound) {
            return Err(NotASummary("its report contradicts itself".into()));
        }
        Ok(summary)
    }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
