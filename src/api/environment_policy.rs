use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::condition_list;
use super::gate::Gate;
use super::policy_rule::{PolicyException, PolicyRule};
use super::promotion::RecordRef;
use super::retention::Retention;
use super::signature::Signature;

/// What a version must pass to enter one environment, and what is in that environment now.
///
/// The object's name is the environment's name. The namespace is a promotion space: its policies are
/// the environments between which its artifacts move.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "promotion.floe.dev",
    version = "v1alpha1",
    kind = "EnvironmentPolicy",
    plural = "environmentpolicies",
    namespaced,
    doc = "What a version must pass to enter one environment, and what is in that environment now. The object's name is the environment's name.",
    status = "EnvironmentPolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "fenv",
    category = "floe",
    printcolumn(name = "From", type_ = "string", json_path = ".spec.promotesFrom"),
    printcolumn(name = "Current", type_ = "string", json_path = ".status.artifacts[*].current.version"),
    printcolumn(name = "Promoting", type_ = "string", json_path = ".status.artifacts[*].inFlight.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Tags in sync", type_ = "string", json_path = ".status.conditions[?(@.type==\"TagsInSync\")].status", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 40")
        .message("the name of an environment has lower-case letters, digits and '-', and at most 40 characters"),
    validation = Rule::new("!has(self.spec.promotesFrom) || !(self.metadata.name in self.spec.promotesFrom)")
        .message("an environment cannot promote from itself"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentPolicySpec {
    /// Environments from which versions come, by name. Empty for the first environment: it takes what
    /// was published under the bare tag `<version>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 40)), extend("x-kubernetes-list-type" = "set"))]
    pub promotes_from: Vec<String>,
    /// Suffix of the tags `<version>-<suffix>` and `latest-<suffix>`. Default: the environment's name.
    /// No suffix in a namespace may end in `-` and another suffix, and (repository, suffix) belongs to
    /// the oldest policy in the cluster that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub tag_suffix: Option<String>,
    /// Other names of the environment that the command line understands, such as `production` for `prod`.
    /// Kubernetes objects name environments by the policy's own name only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 40)), extend("x-kubernetes-list-type" = "set"))]
    pub aliases: Vec<String>,
    /// The artifacts that this environment takes, and where they lie.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub artifacts: Vec<ArtifactSource>,
    /// Whose signature an artifact must carry. It is looked at before any gate is started. Default: nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Checks that a version must pass, besides `policy_compliance`, which runs always. All run side by side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<Gate>,
    /// Rules that the documents of an artifact must keep: `policy_compliance` checks them, beside its own and
    /// those that the artifact brings along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub policy_rules: Vec<PolicyRule>,
    /// Findings of `policy_compliance` that are accepted for a time. They are shown as warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub policy_exceptions: Vec<PolicyException>,
    /// `policy_compliance` fails when the artifact has no `manifest.yaml`. Default false: an image or a chart
    /// has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_manifest: bool,
    /// How a replica is proven to be complete. `DigestMatch` (default): everything is found there by digest.
    /// `SignatureMatch`: and where a signature counted at the source (`signature`), one counts there as well,
    /// checked with the same keys. It needs `signature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// `Monotonic` (default): a promotion never lowers the version of the environment. `Any`: it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_order: Option<VersionOrder>,
    /// Where it stays that a Promotion failed or was refused, stopped or deleted. `Log` (default): in its status and
    /// in the operator's audit log. `Registry`: beside the artifact too, as a signed referrer with the predicate type
    /// `https://floe.dev/refusal/v1/<environment>`, for requests that came so far that a digest was resolved and is
    /// in this environment's repository; dry runs are left out. Whoever may create a Promotion then adds to the
    /// artifact's list of referrers. A registry that does not take it is tried for 10 minutes after the end; the
    /// object can be deleted only after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_refusals: Option<RecordRefusals>,
    /// Which old versions are kept when somebody cleans up with `floe platform gc`. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// An artifact and where it lies.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.replicas) || self.replicas.all(r, r.repository != self.repository)")
        .message("a replica lies in another repository than the artifact itself"),
    validation = Rule::new("!has(self.replicas) || self.replicas.all(r, self.replicas.exists_one(o, o.repository == r.repository))")
        .message("no two replicas of an artifact lie in the same repository"),
)]
pub struct ArtifactSource {
    /// Name by which promotions speak of the artifact: lower-case letters, digits and `-`.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Repository with its registry, without tag or digest: `registry.example:5000/team/platform`. When the
    /// environment that a version comes from has another one, the artifact is copied from there, with
    /// everything that refers to it, before its tags are written here.
    #[schemars(
        length(min = 3, max = 255),
        regex(pattern = r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$")
    )]
    pub repository: String,
    /// The record that counts as the newest one although what the registry holds does not fit together: by SHA-256
    /// of what was signed. Only looked at while `status.artifacts[].unproven` is set; it may be taken out after the
    /// next promotion. `floe platform audit repair` fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub accepted_record: Option<String>,
    /// How to log in at the registry. Without it, floe asks anonymously.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Secret in the policy's namespace with the certificate authority of the registry under the key
    /// `ca.crt` (PEM). Default: the authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub ca_secret_name: Option<String>,
    /// Speak HTTP without TLS to this registry. Default false. For registries inside the cluster only:
    /// credentials are sent readable for anyone on the way.
    #[serde(
        default,
        rename = "plainHTTP",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub plain_http: bool,
    /// Other repositories that get every version promoted into this environment: the artifact with everything
    /// that refers to it, the record, `<version>-<suffix>`, and `latest-<suffix>` last. `status.replicas` of the
    /// Promotion says how far each of them is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub replicas: Vec<ReplicaSource>,
}

/// Another repository that gets what is promoted, and how it is reached.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaSource {
    /// Name by which conditions speak of it, such as `us-west`: lower-case letters, digits and `-`.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Repository with its registry, without tag or digest. Its tags `*-<suffix>` are written by this
    /// policy only: (repository, suffix) belongs to the oldest policy in the cluster that names it.
    #[schemars(
        length(min = 3, max = 255),
        regex(pattern = r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$")
    )]
    pub repository: String,
    /// How to log in at its registry. Without it, floe asks anonymously.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Secret in the policy's namespace with the certificate authority of its registry under the key
    /// `ca.crt` (PEM). Default: the authorities that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub ca_secret_name: Option<String>,
    /// Speak HTTP without TLS to its registry. Default false. For registries inside the cluster only.
    #[serde(
        default,
        rename = "plainHTTP",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub plain_http: bool,
    /// True: nothing is tagged anywhere before this replica holds the whole artifact, and `latest-<suffix>`
    /// does not move before it has its `<version>-<suffix>`; a promotion waits for it. False (default): a
    /// promotion succeeds without it (`Replicated=False`), and floe goes on trying until it has everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

impl ReplicaSource {
    /// The replica as the place of an artifact: how it is reached, under the artifact's name.
    pub fn as_source(&self, artifact: &str) -> ArtifactSource {
        ArtifactSource {
            accepted_record: None,
            name: artifact.to_owned(),
            repository: self.repository.clone(),
            credentials: self.credentials.clone(),
            ca_secret_name: self.ca_secret_name.clone(),
            plain_http: self.plain_http,
            replicas: Vec::new(),
        }
    }
}

/// How to log in at a registry: with a Secret, or with an identity that a cloud knows. One of the two.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.secretName) != has(self.workloadIdentity)")
        .message("credentials name either a secretName or a workloadIdentity"),
)]
pub struct Credentials {
    /// Secret of type `kubernetes.io/dockerconfigjson` in the policy's namespace. The entry with the longest
    /// `host/path` that fits the repository is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub secret_name: Option<String>,
    /// Log in as an identity of the cloud to which the registry belongs, without a stored password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
}

/// An identity of the cloud to which a registry belongs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadIdentity {
    /// Kind of the registry: `ECR` (Amazon Elastic Container Registry), `GAR` (Google Artifact Registry),
    /// `ACR` (Azure Container Registry).
    pub provider: CloudProvider,
    /// ServiceAccount in the policy's namespace whose cloud identity is used. Its annotations say which one:
    /// ECR `eks.amazonaws.com/role-arn`; GAR `iam.gke.io/gcp-service-account` (optional) and, outside of GKE,
    /// `promotion.floe.dev/gcp-workload-identity-provider`; ACR `azure.workload.identity/client-id` and
    /// `azure.workload.identity/tenant-id`. Gates' Pods run under it too, with its token in the container that
    /// fetches the artifact only. Default: the operator's own identity, where the operator was started with
    /// `--allow-own-identity`; gates' Pods then log in as the node on which they run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub service_account_name: Option<String>,
}

/// A cloud with a registry of its own.
#[derive(
    JsonSchema,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum CloudProvider {
    /// Amazon Elastic Container Registry.
    #[default]
    Ecr,
    /// Google Artifact Registry.
    Gar,
    /// Azure Container Registry.
    Acr,
}

/// How a replica is proven to be complete.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verification {
    /// Everything is found there by digest.
    #[default]
    DigestMatch,
    /// A signature counts there as well.
    SignatureMatch,
}

/// Whether versions may go down.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionOrder {
    /// A promotion never lowers the version.
    #[default]
    Monotonic,
    /// A promotion may bring any version.
    Any,
}

/// Where it stays that a request was not promoted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordRefusals {
    /// In its status and in the operator's audit log.
    #[default]
    Log,
    /// Beside the artifact, too.
    Registry,
}

/// What is in the environment now, and whether the policy can be used.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct EnvironmentPolicyStatus {
    /// Generation of the policy that the conditions speak of; -1 before the operator has seen it.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready` (promotions into the environment can run), `Reconciling`, `Stalled`, `Valid`
    /// (the policy makes sense by itself and beside the others), and `TagsInSync` (the tags in the registry
    /// name what the ledger says; looked at every 30 minutes, and every minute while they do not). `Ready`
    /// does not depend on `TagsInSync`: a promotion moves `latest-<suffix>` to where it belongs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,
    /// The ledger: one entry for each artifact. It can be rebuilt from the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub artifacts: Vec<LedgerArtifact>,
}

/// What the environment holds of one artifact.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerArtifact {
    /// Name of the artifact.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The version that `latest-<suffix>` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<LedgerEntry>,
    /// Completed promotions, the newest first, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub history: Vec<LedgerEntry>,
    /// The newest record: the head of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<RecordRef>,
    /// Why it is not certain what the newest record is, after a ledger was lost or restored: what the registry
    /// holds does not fit together. Nothing is promoted until that is settled, or the artifact's
    /// `acceptedRecord` says which record is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub unproven: Option<String>,
    /// Values that gates measured at the last promotion: what later ones are compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["gate"]))]
    pub baselines: Vec<Baseline>,
    /// The promotion that writes tags at this moment. Only one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<InFlight>,
    /// Where the registry differs from this ledger, at most 20 differences; `latest-<suffix>` first, then the
    /// newest versions. `floe platform repair` puts tags back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub drift: Vec<Drift>,
}

/// One difference between the ledger and a registry.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// `TagMoved`, `TagMissing` or `RecordMissing`.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// Tag that was moved or deleted; of a record, the tag of its version.
    #[schemars(length(max = 128))]
    pub tag: String,
    /// Version that the tag stands for.
    #[schemars(length(max = 128))]
    pub version: String,
    /// Repository in which it differs.
    #[schemars(length(max = 255))]
    pub repository: String,
    /// Digest that the tag should name, or of the record that should be there.
    #[schemars(length(max = 140))]
    pub expected: String,
    /// Digest that the tag names instead; nothing when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    pub found: Option<String>,
    /// When this difference was first seen.
    pub since: Time,
}

/// What one gate measured at the last promotion for which it measured something.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// Name of the gate.
    #[schemars(length(max = 40))]
    pub gate: String,
    /// Value by name, as decimal numbers.
    #[schemars(extend("maxProperties" = 16), inner(length(max = 40)))]
    pub values: BTreeMap<String, String>,
}

/// One completed promotion.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// Version as it was published.
    #[schemars(length(max = 128))]
    pub version: String,
    /// Digest of the manifest.
    #[schemars(length(max = 140))]
    pub digest: String,
    /// When the decision to promote was taken.
    pub promoted_at: Time,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub by: Option<String>,
    /// Name of the Promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub promotion: Option<String>,
    /// UID of the Promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// Its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<RecordRef>,
}

/// The claim of a promotion that writes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// Kind of the request.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Name of the request.
    #[schemars(length(max = 253))]
    pub name: String,
    /// UID of the request.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Tag that it writes.
    #[schemars(length(max = 128))]
    pub tag: String,
    /// Digest that the tag gets.
    #[schemars(length(max = 140))]
    pub digest: String,
    /// Operator process that writes.
    #[schemars(length(max = 253))]
    pub holder: String,
    /// When this holder took the claim.
    pub since: Time,
    /// True when another holder was in the middle of it: the new one waits 10 s before it writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_over: bool,
}
