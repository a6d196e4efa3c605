use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::report::ReportRules;
use crate::domain::artifact::{Digest, Repository};
use crate::domain::compliance::RuleSet;
use crate::domain::policy::cloud::CloudAccount;

/// Name of the gate that runs in every environment.
pub const POLICY_COMPLIANCE: &str = "policy_compliance";
/// Name of the init container that fetches the artifact.
pub const FETCH_CONTAINER: &str = "fetch";
/// Name of the container whose end is the gate's result.
pub const GATE_CONTAINER: &str = "gate";
/// Exit codes after which a command is not run again, whatever the gate's retries: it ran too long (124, as
/// `timeout(1)` and floe-gate have it), cannot be run (126), or is not in the image (127).
pub const NOT_AGAIN: [i32; 3] = [124, 126, 127];

/// Exit codes after which a command is not run again: those that say that it cannot be better the next time, and
/// those with which it says that its report decides.
pub fn not_again(report: Option<&ReportRules>) -> BTreeSet<i32> {
    let decided = report.map(|report| report.exit_codes.as_slice());
    let decided = decided.unwrap_or_default();
    NOT_AGAIN.iter().chain(decided).copied().collect()
}

/// Longest name of a Job: it becomes a label on its Pods.
const MAX_NAME: usize = 63;
/// Start of the names of gate Jobs, and so of their Pods: `kubectl exec` and the like name a Pod and nothing else, and
/// the chart's admission policies know it by that.
const JOB_PREFIX: &str = "floe-gate-";

/// What kind of check a gate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GateKind {
    /// floe's own check of the artifact's documents. It runs in every environment.
    PolicyCompliance,
    /// A test suite.
    Tests,
    /// A scanner, judged by its report.
    SecurityScan,
    /// An estimate of costs, judged by its report.
    CostAnalysis,
    /// A measurement, judged by its report.
    PerformanceBaseline,
    /// Any other command.
    Custom,
}

impl GateKind {
    /// The word in objects and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PolicyCompliance => "PolicyCompliance",
            Self::Tests => "Tests",
            Self::SecurityScan => "SecurityScan",
            Self::CostAnalysis => "CostAnalysis",
            Self::PerformanceBaseline => "PerformanceBaseline",
            Self::Custom => "Custom",
        }
    }
}

/// Everything about a gate that can change its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateSpec {
    /// Kind of check.
    pub kind: GateKind,
    /// Image of the command. Empty for PolicyCompliance, which runs in the operator's image: a new
    /// operator shall find the Jobs of the old one, so that image is no part of what is asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Program and first arguments; empty for PolicyCompliance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Further arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Further environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// How long the command may run, in seconds from its start.
    pub timeout_seconds: u32,
    /// How often the command may be run again when it fails.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: u32,
    /// The report that it writes, and what that may say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportRules>,
    /// The artifact is also written as an OCI image layout.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layout: bool,
    /// Secret with registry credentials for the command (`kubernetes.io/dockerconfigjson`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<String>,
    /// What PolicyCompliance checks besides its own rules.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rules: RuleSet,
    /// User id of the command; 65532 when the policy names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<i64>,
    /// Processor time requested, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory requested and allowed, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

impl GateSpec {
    /// The gate that runs in every environment.
    pub fn policy_compliance(timeout_seconds: u32, rules: RuleSet) -> Self {
        Self {
            kind: GateKind::PolicyCompliance,
            image: String::new(),
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            timeout_seconds,
            retries: 0,
            report: None,
            layout: false,
            credentials_secret: None,
            rules,
            run_as_user: None,
            cpu: None,
            memory: None,
        }
    }
}

/// For serde: what is not said is not written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One environment variable with a literal value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// Name of the variable.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The request (Promotion) that a Job belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestRef {
    /// Kind of the request.
    pub kind: String,
    /// Namespace of the request and of the Job.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// Everything that the Job of a gate is built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobRequest {
    /// Name of the Job, see [`job_name`].
    pub job_name: String,
    /// The owner.
    pub request: RequestRef,
    /// Name of the gate.
    pub gate: String,
    /// What runs.
    pub spec: GateSpec,
    /// See [`spec_hash`].
    pub spec_hash: String,
    /// How long the Pod may take to start, in seconds.
    pub start_timeout_seconds: u32,
    /// Name of the artifact.
    pub artifact: String,
    /// Version that is promoted.
    pub version: String,
    /// Where the artifact lies.
    pub repository: Repository,
    /// Digest that the gate judges.
    pub digest: Digest,
    /// Environment from which it comes; none for the first environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Environment that it shall enter.
    pub to: String,
    /// Secret with the registry's credentials (`kubernetes.io/dockerconfigjson`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<String>,
    /// Account of the cloud as which the artifact is fetched, when there is no such Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_account: Option<CloudAccount>,
    /// Secret with the registry's certificate authority (`ca.crt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<String>,
    /// Speak HTTP without TLS to the registry.
    #[serde(default)]
    pub plain_http: bool,
    /// Image of the operator, which also fetches artifacts and checks documents.
    pub operator_image: String,
    /// Pull policy of that image; Kubernetes' own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_image_pull_policy: Option<String>,
}

/// Hash of what decides a gate's verdict: its specification and the digest that it judges, as
/// `sha256:` and 64 hexadecimal digits over canonical JSON (sorted keys, no spaces).
pub fn spec_hash(spec: &GateSpec, digest: &Digest) -> String {
    // serde_json's map is sorted by key, so that the order of fields in the source does not matter.
    let canonical = serde_json::json!({ "spec": spec, "digest": digest }).to_string();
    Digest::of(canonical.as_bytes()).to_string()
}

/// Name of the Job of a gate: the prefix of all of them, a readable part, and ten hexadecimal digits that
/// depend on the request, the gate, the attempt and the specification. The same arguments always give the same
/// name, so that a second operator, or the same one after a crash, cannot start a second Job.
pub fn job_name(
    request_name: &str,
    request_uid: &str,
    gate: &str,
    attempt: u32,
    spec_hash: &str,
) -> String {
    let mut hasher = Sha256::new();
    for part in [request_uid, gate, &attempt.to_string(), spec_hash] {
        // The length in front of each part: no two lists of parts have the same bytes.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let hash = hex::encode(hasher.finalize());
    let hash = &hash[..10];
    let readable: String = format!("{request_name}-{gate}")
        .chars()
        .map(|character| match character.to_ascii_lowercase() {
            kept @ ('a'..='z' | '0'..='9') => kept,
            _ => '-',
        })
        .take(MAX_NAME - JOB_PREFIX.len() - hash.len() - 1)
        .collect();
    format!("{JOB_PREFIX}{}-{hash}", readable.trim_matches('-'))
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
