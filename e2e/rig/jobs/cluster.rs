//! Job controller and node in one: Pods of Jobs, and how they end.

use floe::api::{ANNOTATION_REQUEST, Promotion};
use floe_gate::Summary;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::{Wish, gate_of};
use crate::wait::{seconds, until};

/// The part of the cluster that is played.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) jobs: Api<Job>,
    pods: Api<Pod>,
    /// The same, as their node sees them.
    on_node: Api<Pod>,
    promotions: Api<Promotion>,
}

impl Cluster {
    pub(super) fn new(client: &Client, node: &Client, namespace: &str) -> Self {
        Self {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            on_node: Api::namespaced(node.clone(), namespace),
            promotions: Api::namespaced(client.clone(), namespace),
        }
    }

    /// The node says that it cannot pull the image.
    pub(super) async fn cannot_pull(&self, job: &Job) {
        let image = job
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref())
            .and_then(|pod| pod.containers[0].image.clone());
        let message = format!(
            "failed to pull \"{}\": not found",
            image.unwrap_or_default()
        );
        let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": message } });
        self.patch_pod(job, "Pending", &waiting).await;
    }

    pub(super) async fn start_pod(&self, job: &Job) {
        let template = &job.spec.as_ref().expect("a Job has a spec").template;
        let mut pod = Pod {
            spec: template.spec.clone(),
            ..Pod::default()
        };
        pod.metadata.name = Some(pod_name(job));
        let meta = template.metadata.clone().unwrap_or_default();
        pod.metadata.labels = meta.labels;
        pod.metadata.annotations = meta.annotations;
        pod.metadata.owner_references = Some(vec![
            job.controller_owner_ref(&())
                .expect("a stored object has a UID"),
        ]);
        self.pods
            .create(&PostParams::default(), &pod)
            .await
            .expect("make the Pod of a Job");
    }

    pub(super) async fn run_pod(&self, job: &Job) {
        let now = Timestamp::now();
        let running = json!({ "running": { "startedAt": now } });
        self.patch_pod(job, "Running", &running).await;
    }

    /// First all Pods, then all Jobs: the operator sees the ends together.
    pub(super) async fn end(&self, ends: &[(Job, Wish)]) {
        join_all(ends.iter().map(|(job, wish)| async {
            let (exit_code, message) = termination(wish);
            let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
            let now = Timestamp::now();
            let reason = if exit_code == 0 { "Completed" } else { "Error" };
            let terminated = json!({
                "exitCode": exit_code, "reason": reason, "message": message, "startedAt": now, "finishedAt": now,
            });
            self.patch_pod(job, phase, &json!({ "terminated": terminated })).await;
        }))
        .await;
        join_all(ends.iter().map(|(job, wish)| async {
            let status = job_status(termination(wish).0 == 0);
            let patch = Patch::Merge(json!({ "status": status }));
            let patched = self
                .jobs
                .patch_status(&job.name_any(), &PatchParams::default(), &patch)
                .await;
            still_there(patched, "end a Job");
        }))
        .await;
    }

    /// Each once the verdict of the one before can be seen.
    pub(super) async fn end_one_by_one(&self, mut ends: Vec<(Job, Wish)>) {
        ends.sort_by_key(|(job, _)| gate_of(job));
        for (number, end) in ends.iter().enumerate() {
            let request = &end.0.annotations()[ANNOTATION_REQUEST];
            until(
                "the verdict of the gate before is shown",
                seconds(120),
                async || {
                    let status = self.promotions.get(request).await.ok()?.status?;
                    let shown = status
                        .gates
                        .iter()
                        .filter(|gate| gate.outcome != "Running")
                        .count();
                    (shown >= number).then_some(())
                },
            )
            .await;
            self.end(std::slice::from_ref(end)).await;
        }
    }

    async fn patch_pod(&self, job: &Job, phase: &str, state: &Value) {
        let spec = job
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref())
            .expect("a Job has a Pod");
        let status_of = |name: &str, image: Option<&String>, state: &Value| {
            json!({
                "name": name, "image": image, "imageID": "rig.invalid/image@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                "ready": false, "restartCount": 0, "state": state,
            })
        };
        let fetched = json!({ "terminated": { "exitCode": 0, "reason": "Completed", "startedAt": Timestamp::now(), "finishedAt": Timestamp::now() } });
        let init = spec
            .init_containers
            .iter()
            .flatten()
            .map(|one| status_of(&one.name, one.image.as_ref(), &fetched));
        let main = spec
            .containers
            .iter()
            .map(|one| status_of(&one.name, one.image.as_ref(), state));
        let status = json!({
            "phase": phase, "startTime": Timestamp::now(),
            "initContainerStatuses": init.collect::<Vec<_>>(), "containerStatuses": main.collect::<Vec<_>>(),
        });
        let patch = Patch::Merge(json!({ "status": status }));
        let patched = self
            .on_node
            .patch_status(&pod_name(job), &PatchParams::default(), &patch)
            .await;
        still_there(patched, "patch a Pod's status");
    }
}

/// The operator may have deleted a Job that it has given up.
fn still_there<K>(patched: kube::Result<K>, what: &str) {
    match patched {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(why) => panic!("{what}: {why}"),
    }
}

/// Exit code and termination message of a gate that ends in this way.
fn termination(wish: &Wish) -> (i32, String) {
    let mut summary = Summary::started(floe_gate::rfc3339::format(std::time::SystemTime::now()));
    summary.duration_ms = 5;
    match wish {
        Wish::Pass => "all is well".clone_into(&mut summary.output),
        Wish::Fail(line) => {
            summary.exit_code = 1;
            summary.output.clone_from(line);
        }
        Wish::Error(why) => {
            summary.exit_code = 127;
            summary.error = Some(why.clone());
        }
        Wish::TimeOut => {
            summary.exit_code = 124;
            summary.timed_out = true;
        }
        Wish::Says(message) => return (0, message.clone()),
        Wish::Never | Wish::CannotPull | Wish::Nothing => {
            unreachable!("a gate with this wish does not end")
        }
    }
    (
        summary.exit_code,
        serde_json::to_string(&summary).expect("a summary is JSON"),
    )
}

fn job_status(complete: bool) -> Value {
    let now = Timestamp::now();
    let condition = |kind: &str, reason: &str| json!({ "type": kind, "status": "True", "reason": reason, "message": "by the rig", "lastProbeTime": now, "lastTransitionTime": now });
    if complete {
        json!({
            "startTime": now, "completionTime": now, "succeeded": 1, "active": 0, "uncountedTerminatedPods": {},
            "conditions": [condition("SuccessCriteriaMet", "CompletionsReached"), condition("Complete", "CompletionsReached")],
        })
    } else {
        json!({
            "startTime": now, "failed": 1, "active": 0, "uncountedTerminatedPods": {},
            "conditions": [condition("FailureTarget", "BackoffLimitExceeded"), condition("Failed", "BackoffLimitExceeded")],
        })
    }
}

/// Another one for each Job, also of the same name: nobody collects the Pods of a Job that was deleted.
fn pod_name(job: &Job) -> String {
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    format!(
        "{}-{}",
        &name[..name.len().min(54)],
        &uid[..uid.len().min(8)]
    )
}
