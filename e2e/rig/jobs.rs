//! Stands in for the Job controller and the node: gate Jobs get a Pod and end as the test wishes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use floe::api::{ANNOTATION_REQUEST, LABEL_GATE, LABEL_REQUEST_UID, Promotion};
use floe_gate::Summary;
use futures::StreamExt as _;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::wait::{seconds, until};

/// How a gate shall end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// With exit code 0.
    Pass,
    /// With exit code 1 and this last line.
    Fail(String),
    /// It could not be run, for this reason.
    Error(String),
    /// The command was too slow.
    TimeOut,
    /// With exit code 0 and this termination message in place of a summary.
    Says(String),
    /// Never: its Pod runs on.
    Never,
    /// Never: nobody takes its Pod.
    Pending,
    /// Not by the stub: the test plays the cluster.
    Nothing,
}

/// When gates end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Each as soon as its Job is there.
    AtOnce,
    /// All of a request together, as soon as this many Jobs of it are there.
    Together(usize),
    /// As soon as this many Jobs of a request are there: by name, the next one once the status shows the
    /// verdict of the one before.
    OneByOne(usize),
}

#[derive(Debug)]
struct Wishes {
    by_gate: BTreeMap<String, Wish>,
    otherwise: Wish,
    when: When,
    /// Jobs with a Pod, by request: those that wait for their end.
    open: BTreeMap<String, Vec<Job>>,
    seen: Vec<String>,
}

/// The stub for one namespace; it ends when it is dropped.
pub struct JobStub {
    wishes: Arc<Mutex<Wishes>>,
    cluster: Cluster,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Cluster {
    jobs: Api<Job>,
    pods: Api<Pod>,
    promotions: Api<Promotion>,
}

impl JobStub {
    /// Starts it. It passes every gate at once until told otherwise.
    pub fn start(client: &Client, namespace: &str) -> Self {
        let cluster = Cluster {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            promotions: Api::namespaced(client.clone(), namespace),
        };
        let wishes = Arc::new(Mutex::new(Wishes {
            by_gate: BTreeMap::new(),
            otherwise: Wish::Pass,
            when: When::AtOnce,
            open: BTreeMap::new(),
            seen: Vec::new(),
        }));
        let task = tokio::task::spawn_local(run(cluster.clone(), wishes.clone()));
        Self {
            wishes,
            cluster,
            task,
        }
    }

    /// How this gate shall end from now on.
    pub fn wish(&self, gate: &str, wish: Wish) {
        self.wishes
            .lock()
            .expect("no holder panics")
            .by_gate
            .insert(gate.to_owned(), wish);
    }

    /// How every other gate shall end.
    pub fn wish_otherwise(&self, wish: Wish) {
        self.wishes.lock().expect("no holder panics").otherwise = wish;
    }

    /// When gates shall end.
    pub fn when(&self, when: When) {
        self.wishes.lock().expect("no holder panics").when = when;
    }

    /// Ends the waiting Jobs of this gate, which had the wish `Never` or `Pending`, in this way.
    pub async fn end(&self, gate: &str, wish: &Wish) {
        let waiting: Vec<Job> = {
            let mut wishes = self.wishes.lock().expect("no holder panics");
            let mut taken = Vec::new();
            for jobs in wishes.open.values_mut() {
                taken.extend(jobs.extract_if(.., |job| gate_of(job) == gate));
            }
            taken
        };
        assert!(!waiting.is_empty(), "no Job of gate '{gate}' waits");
        let ends: Vec<(Job, Wish)> = waiting.into_iter().map(|job| (job, wish.clone())).collect();
        self.cluster.end(&ends).await;
    }
}

impl Drop for JobStub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(cluster: Cluster, wishes: Arc<Mutex<Wishes>>) {
    let config = watcher::Config::default().labels(LABEL_REQUEST_UID);
    let mut jobs = watcher(cluster.jobs.clone(), config)
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(event) = jobs.next().await {
        let Ok(job) = event else { continue };
        let request = job.labels()[LABEL_REQUEST_UID].clone();
        let uid = job.uid().expect("a stored object has a UID");
        {
            let mut wishes = wishes.lock().expect("no holder panics");
            if wishes.seen.contains(&uid) || wishes.of(&job) == Wish::Nothing {
                continue;
            }
            wishes.seen.push(uid);
        }
        cluster.start_pod(&job).await;
        if wishes.lock().expect("no holder panics").of(&job) != Wish::Pending {
            cluster.run_pod(&job).await;
        }
        let (ends, when) = {
            let mut wishes = wishes.lock().expect("no holder panics");
            wishes.open.entry(request.clone()).or_default().push(job);
            (wishes.take_ready(&request), wishes.when)
        };
        match when {
            When::AtOnce | When::Together(_) => cluster.end(&ends).await,
            When::OneByOne(_) => {
                let cluster = cluster.clone();
                tokio::task::spawn_local(async move { cluster.end_one_by_one(ends).await });
            }
        }
    }
}

impl Wishes {
    fn of(&self, job: &Job) -> Wish {
        self.by_gate
            .get(&gate_of(job))
            .unwrap_or(&self.otherwise)
            .clone()
    }

    /// The Jobs of a request that may end now.
    fn take_ready(&mut self, request: &str) -> Vec<(Job, Wish)> {
        let open = self.open.get(request).cloned().unwrap_or_default();
        let enough = match self.when {
            When::AtOnce => true,
            When::Together(count) | When::OneByOne(count) => open.len() >= count,
        };
        if !enough {
            return Vec::new();
        }
        let (ready, waiting): (Vec<Job>, Vec<Job>) = open
            .into_iter()
            .partition(|job| !matches!(self.of(job), Wish::Never | Wish::Pending));
        self.open.insert(request.to_owned(), waiting);
        ready
            .into_iter()
            .map(|job| (self.of(&job), job))
            .map(|(wish, job)| (job, wish))
            .collect()
    }
}

impl Cluster {
    async fn start_pod(&self, job: &Job) {
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

    async fn run_pod(&self, job: &Job) {
        let now = Timestamp::now();
        let running = json!({ "running": { "startedAt": now } });
        self.patch_pod(job, "Running", &running).await;
    }

    /// First all Pods, then all Jobs: the operator sees the ends together.
    async fn end(&self, ends: &[(Job, Wish)]) {
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
            patched.expect("end a Job");
        }))
        .await;
    }

    /// Each once the verdict of the one before can be seen.
    async fn end_one_by_one(&self, mut ends: Vec<(Job, Wish)>) {
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
        self.pods
            .patch_status(&pod_name(job), &PatchParams::default(), &patch)
            .await
            .expect("patch a Pod's status");
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
        Wish::Never | Wish::Pending | Wish::Nothing => {
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

fn gate_of(job: &Job) -> String {
    job.labels().get(LABEL_GATE).cloned().unwrap_or_default()
}

fn pod_name(job: &Job) -> String {
    let name = job.name_any();
    format!("{}-rig", &name[..name.len().min(59)])
}
