use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::pod::pod_spec;
use crate::api;
use crate::domain::gates::{FETCH_CONTAINER, GATE_CONTAINER, JobRequest, ReportRules, not_again};

/// How long a finished Job stays, in seconds: a day, for people who want to read its logs.
const TTL_SECONDS: i32 = 86_400;

/// The Job of a gate. Every field is set here; nothing that a user writes is merged into it.
pub fn build_job(request: &JobRequest) -> Job {
    let labels = labels(request);
    let annotations = annotations(request);
    Job {
        metadata: ObjectMeta {
            name: Some(request.job_name.clone()),
            namespace: Some(request.request.namespace.clone()),
            labels: Some(labels.clone()),
            annotations: Some(annotations.clone()),
            owner_references: Some(vec![owner(request)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(i32::try_from(request.spec.retries).unwrap_or_default()),
            completions: Some(1),
            parallelism: Some(1),
            pod_failure_policy: Some(failure_policy(request.spec.report.as_ref())),
            // Required beside a pod failure policy: a Pod that is being deleted may still write its result.
            pod_replacement_policy: Some("Failed".to_owned()),
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            // No activeDeadlineSeconds here: on the Job it would delete the Pod together with its output.
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(request)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn labels(request: &JobRequest) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/managed-by".to_owned(), "floe".to_owned()),
        (
            api::LABEL_REQUEST_UID.to_owned(),
            request.request.uid.clone(),
        ),
        (api::LABEL_GATE.to_owned(), request.gate.clone()),
    ])
}

fn annotations(request: &JobRequest) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (
            api::ANNOTATION_REQUEST.to_owned(),
            request.request.name.clone(),
        ),
        (
            api::ANNOTATION_SPEC_HASH.to_owned(),
            request.spec_hash.clone(),
        ),
    ]);
    if request.cloud_account.is_some() {
        // The webhook of EKS would give the role to each container, also to the one with the gate's command.
        annotations.insert(
            "eks.amazonaws.com/skip-containers".to_owned(),
            format!("{FETCH_CONTAINER},{GATE_CONTAINER}"),
        );
    }
    annotations
}

/// The request controls the Job, so that the garbage collector removes the Job with it.
fn owner(request: &JobRequest) -> OwnerReference {
    OwnerReference {
        api_version: format!("{}/v1alpha1", api::GROUP),
        kind: request.request.kind.clone(),
        name: request.request.name.clone(),
        uid: request.request.uid.clone(),
        controller: Some(true),
        // Our finalizer already keeps the request as long as it must; a Job shall not.
        block_owner_deletion: Some(false),
    }
}

/// An eviction or a drained node says nothing about the artifact: Kubernetes starts another Pod, and does not
/// count it. A command that ran too long or cannot be run would only do so again, and a report has decided.
fn failure_policy(report: Option<&ReportRules>) -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".to_owned(),
                    status: "True".to_owned(),
                }]),
                on_exit_codes: None,
            },
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_pod_conditions: None,
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(GATE_CONTAINER.to_owned()),
                    operator: "In".to_owned(),
                    values: not_again(report).into_iter().collect(),
                }),
            },
        ],
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
