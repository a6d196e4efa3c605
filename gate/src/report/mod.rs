//! Reports of scanners, test runners and meters, reduced to what the operator compares with thresholds.
//!
//! [`Report`] is small and strict: it travels in a [`Summary`](crate::Summary). Which numbers are too high is
//! not decided here: the operator knows the thresholds, and the day on which an exception ends.

mod baseline;
mod each_once;
mod grype;
mod infracost;
mod input;
mod json;
mod junit;
mod read;
mod sarif;
mod tally;
mod travel;
mod trivy;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use self::read::{BadReport, MAX_REPORT_BYTES, Wanted, read, too_long};

/// How a report is written. The words are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Format {
    /// JUnit XML.
    JUnit,
    /// Trivy's JSON, schema version 2.
    Trivy,
    /// Grype's JSON.
    Grype,
    /// SARIF 2.1.0.
    Sarif,
    /// Infracost's JSON.
    Infracost,
    /// floe's own: `{"metrics": {"NAME": NUMBER}}`.
    Baseline,
}

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Report {
    /// Findings by severity: Trivy, Grype, SARIF.
    Scan(Scan),
    /// Tests that ran: JUnit.
    Tests(Tests),
    /// What it costs: Infracost.
    Cost(Cost),
    /// Measured values: Baseline.
    Metrics(Metrics),
}

/// Findings by severity. Those with an id on the list of exceptions are in `allowed` only: whether an
/// exception still holds is the operator's to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scan {
    /// How many there are of each severity, without the allowed ones.
    pub counts: Counts,
    /// Their ids, the worst first, each once, without the allowed ones; as many as fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<FoundId>,
    /// How many ids did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// Findings on the list of exceptions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Allowed>,
}

/// How bad a vulnerability or result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Critical.
    Critical,
    /// High.
    High,
    /// Medium.
    Medium,
    /// Low, or negligible.
    Low,
    /// The tool does not know, or uses a word that is not known here.
    Unknown,
}

/// Findings of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Counts {
    /// Critical.
    pub critical: Count,
    /// High.
    pub high: Count,
    /// Medium.
    pub medium: Count,
    /// Low, or negligible.
    pub low: Count,
    /// Of no known severity.
    pub unknown: Count,
}

/// How many findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Count {
    /// All of them.
    pub total: u64,
    /// Those for which the report says that nobody has fixed them yet. A report that does not speak of fixes
    /// has none of these.
    pub unfixed: u64,
}

/// The id of a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FoundId {
    /// Its severity; the worst, when the id occurs with several.
    pub level: Level,
    /// Such as `CVE-2024-3094`.
    pub id: String,
}

/// Findings with one id and one severity that are on the list of exceptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allowed {
    /// The id, as the list has it.
    pub id: String,
    /// Their severity.
    pub level: Level,
    /// How many.
    pub count: Count,
}

/// Tests that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tests {
    /// All test cases, skipped ones included.
    pub tests: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that could not be run to their end.
    pub errors: u64,
    /// Those that were not run.
    pub skipped: u64,
    /// Names of those that failed or could not be run; as many as fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// How many names did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
}

/// What it costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cost {
    /// Three letters, such as `USD`.
    pub currency: String,
    /// A month.
    pub monthly: Decimal,
    /// Resources whose price Infracost does not know: they are in neither sum.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpriced: u64,
    /// A month of what the report compares with; absent when it compares with nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past_monthly: Option<Decimal>,
}

/// Measured values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metrics {
    /// Value by name: only those that were asked for.
    #[serde(deserialize_with = "each_once::read")]
    pub values: BTreeMap<String, Decimal>,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [
        Self::JUnit,
        Self::Trivy,
        Self::Grype,
        Self::Sarif,
        Self::Infracost,
        Self::Baseline,
    ];

    /// The word in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JUnit => "JUnit",
            Self::Trivy => "Trivy",
            Self::Grype => "Grype",
            Self::Sarif => "Sarif",
            Self::Infracost => "Infracost",
            Self::Baseline => "Baseline",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == word)
            .ok_or_else(|| format!("'{word}' is no known format of a report"))
    }
}

impl Level {
    /// Every level, the worst first.
    pub const ALL: [Self; 5] = [
        Self::Critical,
        Self::High,
        Self::Medium,
        Self::Low,
        Self::Unknown,
    ];

    /// The word in status and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Unknown => "unknown",
        }
    }
}

impl Counts {
    /// Those of this severity.
    pub fn of(&self, level: Level) -> Count {
        match level {
            Level::Critical => self.critical,
            Level::High => self.high,
            Level::Medium => self.medium,
            Level::Low => self.low,
            Level::Unknown => self.unknown,
        }
    }

    /// The same, to be added to.
    pub fn of_mut(&mut self, level: Level) -> &mut Count {
        match level {
            Level::Critical => &mut self.critical,
            Level::High => &mut self.high,
            Level::Medium => &mut self.medium,
            Level::Low => &mut self.low,
            Level::Unknown => &mut self.unknown,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
