use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::report::ReportRules;
use super::spec::is_default;

/// What a gate came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GateOutcome {
    /// The command exited with 0 and handed over a sound summary.
    Passed,
    /// The command ran to its end and said no.
    Failed,
    /// It could not be run, or its result cannot be trusted.
    Error,
    /// It ran longer than it may.
    TimedOut,
}

/// What a gate is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// How long it may take, and how often it is tried.
    pub limits: Limits,
    /// The report that it owes, and what that may say.
    pub report: Option<&'a ReportRules>,
    /// What it measured at the last promotion into the environment.
    pub baseline: &'a BTreeMap<String, Decimal>,
}

/// How long a gate may take, in seconds, and how often it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the creation of the Job (or of a later Pod) to the start of the command.
    pub start_timeout_seconds: u32,
    /// From the start of the command.
    pub timeout_seconds: u32,
    /// How often it is run again when it fails.
    pub retries: u32,
}

/// Where a gate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum GateState {
    /// It has not ended.
    Running {
        /// Since when it does what it does.
        since: Timestamp,
        /// What it does or waits for, in words.
        doing: String,
        /// When its state changes by time alone; none when only the cluster can change it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        look_again_at: Option<Timestamp>,
    },
    /// It has ended, for good.
    Ended(Box<GateResult>),
}

/// The verdict of a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateResult {
    /// The verdict.
    pub outcome: GateOutcome,
    /// What came out, in words a person can act on; at most 1,000 bytes.
    pub message: String,
    /// When the command started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Image that ran, as the node reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// The last lines of its output, when it did not pass; at most 2,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What it found, where the check can say so.
    #[serde(default, skip_serializing_if = "is_default")]
    pub found: Found,
    /// UID of the Job.
    pub job_uid: String,
    /// How often it was run.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub attempts: u32,
    /// Where it was reached, when it counts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
}

/// Where a result that counts again was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reused {
    /// Name of the Promotion.
    pub from: String,
    /// Name of the Job.
    pub job: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Found {
    /// How many of each kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Ids, the worst first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// What is wrong, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// How many more ids or findings there are.
    #[serde(skip_serializing_if = "is_default")]
    pub omitted: u64,
    /// Measured values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Decimal>,
}

impl GateResult {
    /// A result that says no more than this.
    pub fn of(outcome: GateOutcome, message: String, job_uid: String) -> Self {
        Self {
            outcome,
            message,
            started_at: None,
            finished_at: None,
            image_digest: None,
            output: None,
            found: Found::default(),
            job_uid,
            attempts: once(),
            reused: None,
        }
    }
}

fn once() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_once(attempts: &u32) -> bool {
    *attempts == once()
}
