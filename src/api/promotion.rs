use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::conditions::condition_list;
use super::signature::SignatureMode;

/// Every field of the specification but `abort` is as it was.
const UNCHANGED: &str = "\
    self.spec.version == oldSelf.spec.version && self.spec.to == oldSelf.spec.to && \
    has(self.spec.artifact) == has(oldSelf.spec.artifact) && \
    (!has(self.spec.artifact) || self.spec.artifact == oldSelf.spec.artifact) && \
    has(self.spec.from) == has(oldSelf.spec.from) && (!has(self.spec.from) || self.spec.from == oldSelf.spec.from) && \
    has(self.spec.digest) == has(oldSelf.spec.digest) && \
    (!has(self.spec.digest) || self.spec.digest == oldSelf.spec.digest) && \
    has(self.spec.dryRun) == has(oldSelf.spec.dryRun) && \
    (!has(self.spec.dryRun) || self.spec.dryRun == oldSelf.spec.dryRun) && \
    has(self.spec.reason) == has(oldSelf.spec.reason) && \
    (!has(self.spec.reason) || self.spec.reason == oldSelf.spec.reason) && \
    has(self.spec.requestedBy) == has(oldSelf.spec.requestedBy) && \
    (!has(self.spec.requestedBy) || self.spec.requestedBy == oldSelf.spec.requestedBy) && \
    has(self.spec.onBehalfOf) == has(oldSelf.spec.onBehalfOf) && \
    (!has(self.spec.onBehalfOf) || self.spec.onBehalfOf == oldSelf.spec.onBehalfOf)";

/// Moves one version of an artifact from one environment to the next.
///
/// The artifact is not rebuilt or changed: the digest that passed the gates is the digest that gets
/// the new tag. Applying the same object again does nothing; a retry is a new object.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "promotion.floe.dev",
    version = "v1alpha1",
    kind = "Promotion",
    namespaced,
    doc = "Moves one version of an artifact from one environment to the next. The digest that passed the gates is the digest that gets the new tag.",
    status = "PromotionStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "fpromo",
    category = "floe",
    printcolumn(name = "Artifact", type_ = "string", json_path = ".status.plan.artifact"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.plan.from"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.to"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage"),
    printcolumn(name = "Gates", type_ = "string", json_path = ".status.gateSummary"),
    printcolumn(name = "Waiting-On", type_ = "string", json_path = ".status.waitingOn.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.plan.digest", priority = "1"),
    printcolumn(name = "Replicated", type_ = "string", json_path = ".status.conditions[?(@.type==\"Replicated\")].status", priority = "1"),
    printcolumn(name = "Requested-By", type_ = "string", json_path = ".spec.requestedBy", priority = "1"),
    printcolumn(name = "On-Behalf-Of", type_ = "string", json_path = ".spec.onBehalfOf", priority = "1"),
    validation = Rule::new(UNCHANGED)
        .message("a Promotion cannot be changed: make a new one under another name (floe platform promote does that for you)"),
    validation = Rule::new("!has(oldSelf.spec.abort) || (has(self.spec.abort) && self.spec.abort == oldSelf.spec.abort)")
        .message("an abort cannot be taken back or changed: make a new Promotion under another name"),
    validation = Rule::new("has(oldSelf.spec.abort) || !has(self.spec.abort) || !has(oldSelf.status) || !has(oldSelf.status.finishedAt)")
        .message("the Promotion has ended: there is nothing to abort"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.plan) || (has(self.status) && has(self.status.plan))")
        .message("status.plan is written once and cannot be removed"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.plan) || !has(self.status) || !has(self.status.plan) || self.status.plan == oldSelf.status.plan")
        .message("status.plan is written once and cannot be changed"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PromotionSpec {
    /// Name of the artifact, as in the policy of the environment. May be left out when that policy has one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub artifact: Option<String>,
    /// Version to promote, as it was published: SemVer 2, with or without a leading `v`.
    #[schemars(
        length(min = 1, max = 80),
        regex(
            pattern = r"^v?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
        )
    )]
    pub version: String,
    /// Environment from which the version comes. May be left out when the policy of `to` promotes from
    /// one only, and must be left out for the first environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub from: Option<String>,
    /// Environment that the version enters: the name of an EnvironmentPolicy in this namespace.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub to: String,
    /// Digest that you expect. When the source has another one, nothing is promoted (`DigestMismatch`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// Go through everything, gates included, and write nothing to the registry. Ends as `DryRunPassed`, or fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Why; it is kept in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// Who asks: the user name that the API server authenticated. It is filled in at creation; what you
    /// write here is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub requested_by: Option<String>,
    /// For whom automation asks: a Kubernetes user name, or `<system>:<user>` such as `github:alice`. Only who
    /// has the verb `act-for` on the environment may fill it in, and answers for it; it is kept in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[^\s\p{C}]+( [^\s\p{C}]+)*$")
    )]
    pub on_behalf_of: Option<String>,
    /// Stops the promotion, unless its first tag is written: then it is finished. The one field that may be
    /// added later, once, by the requester or by who has the verb `abort` on the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
}

/// Who stops a promotion, and why.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Abort {
    /// Your own user name, as the API server knows it (`kubectl auth whoami`); another one is refused.
    #[schemars(length(min = 1, max = 512))]
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// How far the promotion is, what it waits for, and what came out.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct PromotionStatus {
    /// Generation that the conditions speak of; -1 before the operator has seen the object.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling` and `Stalled` as kstatus reads them, `Succeeded` for the end, and the facts
    /// `SourceVerified`, `GatesPassed`, `Promoted`, `Recorded`, and, where the policy lists replicas, `Replicated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,
    /// Where it stands: Resolving, Gating, Copying, Writing, Recording, Publishing, Succeeded or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub stage: Option<String>,
    /// What was decided once, when the source was resolved. It never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// What was found out about the artifact's signatures, when the policy asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureStatus>,
    /// Gates, with what came out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<GateStatus>,
    /// The gates in one word, a sign each: `✓` passed, `!` warned, `✗` failed, `…` not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub gate_summary: Option<String>,
    /// What it waits for at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingStatus>,
    /// What is about to be written: fixed before the first tag, so that every retry writes the same record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Where the record lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<RecordRef>,
    /// The replicas that the policy lists, and how far each of them is. Those that are not required may
    /// still be on their way when the promotion has succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub replicas: Vec<ReplicaStatus>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// What was decided when the source was resolved.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Name of the artifact.
    #[schemars(length(max = 63))]
    pub artifact: String,
    /// Environment from which it comes; absent for the first environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub from: Option<String>,
    /// Repository in which the tags are written.
    #[schemars(length(max = 255))]
    pub repository: String,
    /// Repository from which the artifact is copied first; absent when it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub source_repository: Option<String>,
    /// Tag that was resolved.
    #[schemars(length(max = 128))]
    pub source_tag: String,
    /// Digest of the manifest that the tag named: gates judge it, and the new tags name it.
    #[schemars(length(max = 140))]
    pub digest: String,
    /// Media type of the manifest.
    #[schemars(length(max = 255))]
    pub media_type: String,
    /// Tag that is written once.
    #[schemars(length(max = 128))]
    pub tag: String,
    /// Tag that moves.
    #[schemars(length(max = 128))]
    pub latest_tag: String,
    /// When the source was resolved.
    pub resolved_at: Time,
}

/// What was found out about the signatures of the promoted digest.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignatureStatus {
    /// What the policy does about an artifact without a signature that counts: `Warn` or `Enforce`.
    pub mode: SignatureMode,
    /// At least one signature counts.
    pub verified: bool,
    /// Keys and identities whose signatures count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1600)))]
    pub by: Vec<String>,
    /// How many signatures count.
    #[serde(default)]
    pub count: i64,
    /// Why no signature counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// SHA-256 of the keys and identities in the policy: when they change, the signatures are looked at again.
    #[schemars(length(max = 140))]
    pub rule: String,
}

/// The policy that was in force.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// Its generation.
    pub generation: i64,
    /// SHA-256 of its specification as canonical JSON.
    #[schemars(length(max = 140))]
    pub digest: String,
}

/// What a gate is and what came out.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Name of the gate.
    #[schemars(length(max = 40))]
    pub name: String,
    /// `PolicyCompliance`, `Tests`, `SecurityScan`, `CostAnalysis`, `PerformanceBaseline` or `Custom`.
    #[serde(rename = "type")]
    #[schemars(length(max = 32))]
    pub gate_type: String,
    /// `Running`, `Passed`, `Failed`, `Warned`, `Error` or `TimedOut`.
    #[schemars(length(max = 16))]
    pub outcome: String,
    /// What came out, in words a person can act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Hash of the gate's specification and the digest that it judged: the result counts for these only.
    #[schemars(length(max = 80))]
    pub spec_hash: String,
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// UID of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// Image in which it ran, as the policy names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Digest of that image, as the node reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 700))]
    pub image_digest: Option<String>,
    /// When the command started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How long it ran, in whole seconds, such as `72s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub duration: Option<String>,
    /// How often it was run; evicted Pods do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// The Promotion whose result counts again here: the gate was not run anew (`cacheFor`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub reused_from: Option<String>,
    /// What its report counts: findings by severity (`critical`, `high`, `medium`, `low`, `unknown`, and
    /// `unfixed` and `allowed` among all of them), or `tests`, `failures`, `errors`, `skipped`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub counts: BTreeMap<String, i64>,
    /// Ids of what it found, the worst first, such as `CVE-2024-3094`; those that are allowed are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 64)))]
    pub ids: Vec<String>,
    /// What is wrong, one sentence each: violated rules with document and place, or tests that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 2048)))]
    pub findings: Vec<String>,
    /// How many more `ids` or `findings` there are; the Job's log has all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted: Option<i64>,
    /// Values that its report measured, as decimal numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), inner(length(max = 40)))]
    pub values: BTreeMap<String, String>,
    /// The last lines of its output, when it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub output: Option<String>,
}

/// What a promotion waits for.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingStatus {
    /// Stable word, the same as the reason of the `Ready` condition.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What it waits for, and what to do.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// Since when it waits for this.
    pub since: Time,
}

/// What is about to be written.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// When the last gate had passed and the decision to promote was taken.
    pub decided_at: Time,
    /// The policy whose gates passed.
    pub policy: PolicyRef,
    /// Number that the record gets in the chain of environment and artifact.
    pub sequence: i64,
    /// The promotion into the environment before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Version of the operator that took the decision.
    #[schemars(length(max = 64))]
    pub operator_version: String,
    /// Operator process that took the decision.
    #[schemars(length(max = 253))]
    pub operator_instance: String,
    /// Replicas that get the artifact as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub replicas: Vec<PlannedReplica>,
}

/// A replica that the policy lists when the intent is stated.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedReplica {
    /// Its name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// Its repository.
    #[schemars(length(max = 255))]
    pub repository: String,
    /// Nothing is tagged before it holds the artifact.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// How far a replica is.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// Its repository.
    #[schemars(length(max = 255))]
    pub repository: String,
    /// The promotion waits for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// `Pending`, `Copying`, `Copied` (it holds the artifact, without tags), `Tagged` (`<version>-<suffix>` is
    /// there and everything was found by digest; `latest-<suffix>` comes next), `Replicated`, or `Failed`
    /// (floe tries again).
    #[schemars(length(max = 16))]
    pub state: String,
    /// Digest that its tag `<version>-<suffix>` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    pub digest: Option<String>,
    /// What it lacks, each by kind and digest; at most 16 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 512)))]
    pub missing: Vec<String>,
    /// Stable word for what went wrong last, such as `RegistryUnavailable` or `TagTaken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub last_error: Option<String>,
    /// Since when it is in this state; when it fails, since it began to.
    pub since: Time,
    /// When floe tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Time>,
}

/// The promotion into the environment before this one.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// Its version.
    #[schemars(length(max = 128))]
    pub version: String,
    /// Its digest.
    #[schemars(length(max = 140))]
    pub digest: String,
    /// Its record, the one before this promotion's in the chain: SHA-256 of what was signed.
    #[schemars(length(max = 140))]
    pub record: String,
    /// Digest of the referrer manifest that holds that record.
    #[schemars(length(max = 140))]
    pub referrer: String,
}

/// A record, where it lies, and its place in the chain of its environment and artifact.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordRef {
    /// What the record is known by: SHA-256 of what was signed.
    #[schemars(length(max = 140))]
    pub record: String,
    /// Digest of the referrer manifest that holds it, in the repository of the artifact.
    #[schemars(length(max = 140))]
    pub referrer: String,
    /// Its number in the chain of environment and artifact, from 1, without gaps.
    pub sequence: i64,
    /// Digest of the referrer manifest that holds the SLSA verification summary beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    pub summary: Option<String>,
}
