use floe_gate::Finding;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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

/// How long a gate may take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// From the creation of the Job (or of a later Pod) to the start of the command.
    pub start_timeout_seconds: u32,
    /// From the start of the command.
    pub timeout_seconds: u32,
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
    Ended(GateResult),
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// UID of the Job.
    pub job_uid: String,
}
