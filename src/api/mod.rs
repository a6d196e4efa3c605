//! What users write and read: the kinds of `promotion.floe.dev/v1alpha1`.
//!
//! Data only. The text on each field is what `kubectl explain` prints.

#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive repeats each type inside a function"
)]

mod conditions;
mod environment_policy;
mod gate;
mod policy_rule;
mod promotion;
mod retention;
mod signature;

pub use conditions::{ConditionType, condition_list, find as find_condition};
pub use environment_policy::{
    ArtifactSource, Baseline, CloudProvider, Credentials, Drift, EnvironmentPolicy,
    EnvironmentPolicySpec, EnvironmentPolicyStatus, InFlight, LedgerArtifact, LedgerEntry,
    RecordRefusals, ReplicaSource, Verification, VersionOrder, WorkloadIdentity,
};
pub use gate::{
    AllowedFinding, EnvVar, Gate, GateCredentials, GateType, MetricLimit, OnFailure, ReportFormat,
    ReportSpec, Resources, Thresholds,
};
pub use policy_rule::{PolicyException, PolicyRule, RuleSeverity};
pub use promotion::{
    Abort, GateStatus, Intent, PlanStatus, PlannedReplica, PolicyRef, Previous, Promotion,
    PromotionSpec, PromotionStatus, RecordRef, ReplicaStatus, SignatureStatus, WaitingStatus,
};
pub use retention::Retention;
pub use signature::{Keyless, Signature, SignatureMode, TrustSource};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// API group of every kind, and prefix of every label and annotation.
pub const GROUP: &str = "promotion.floe.dev";
/// Name under which the operator writes fields.
pub const FIELD_MANAGER: &str = "floe";
/// Finalizer that keeps a request until what it began is finished or given up.
pub const FINALIZER: &str = "promotion.floe.dev/finish";
/// Label on a request that has ended: `Succeeded` or `Failed`.
pub const LABEL_RESULT: &str = "promotion.floe.dev/result";
/// Label on a new try: the name of the request that it repeats.
pub const LABEL_RETRY_OF: &str = "promotion.floe.dev/retry-of";
/// Label on a request that has ended: the first 63 digits of the digest that its gates judged.
pub const LABEL_DIGEST: &str = "promotion.floe.dev/digest";
/// Label on a ConfigMap that holds the `floe.yaml` of a consumer: which versions it uses. Any value.
pub const LABEL_CONSUMER: &str = "promotion.floe.dev/consumer";
/// Label on gate Jobs and their Pods: the UID of the request.
pub const LABEL_REQUEST_UID: &str = "promotion.floe.dev/request-uid";
/// Label on gate Jobs and their Pods: the name of the gate (`policy_compliance` included).
pub const LABEL_GATE: &str = "promotion.floe.dev/gate";
/// Annotation on gate Jobs and their Pods: the name of the request.
pub const ANNOTATION_REQUEST: &str = "promotion.floe.dev/request";
/// Annotation on gate Jobs: hash of the gate's specification and of the digest it judges.
pub const ANNOTATION_SPEC_HASH: &str = "promotion.floe.dev/gate-spec-hash";

/// Name of the admission policy that writes down who asks, and of its binding.
pub const REQUESTER_POLICY: &str = "requested-by.promotion.floe.dev";

/// Every custom resource definition, in the order in which they are installed.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![EnvironmentPolicy::crd(), Promotion::crd()]
}

/// Every custom resource definition as the text of a file: file name and YAML.
pub fn render_crds() -> Vec<(String, String)> {
    all_crds()
        .iter()
        .filter_map(|crd| {
            let yaml = serde_saphyr::to_string(crd).ok()?;
            Some((format!("{}.yaml", crd.spec.names.plural), yaml))
        })
        .collect()
}

/// Every custom resource definition as one YAML stream.
pub fn crds_yaml() -> String {
    let documents: Vec<String> = render_crds().into_iter().map(|(_, yaml)| yaml).collect();
    format!("---\n{}", documents.join("---\n"))
}
