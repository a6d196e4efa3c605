//! Stands in for the Job controller and the node: gate Jobs get a Pod and end as the test wishes.

mod cluster;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use floe::api::{LABEL_GATE, LABEL_REQUEST_UID};
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio::task::JoinHandle;

use cluster::Cluster;

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
    /// Never: its image cannot be pulled.
    CannotPull,
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

impl JobStub {
    /// Starts it. It passes every gate at once until told otherwise.
    pub fn start(job_controller: &Client, node: &Client, namespace: &str) -> Self {
        let cluster = Cluster::new(job_controller, node, namespace);
        let wishes = Arc::new(Mutex::new(Wishes {
            by_gate: BTreeMap::new(),
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

    /// When gates shall end.
    pub fn when(&self, when: When) {
        self.wishes.lock().expect("no holder panics").when = when;
    }

    /// Ends the waiting Jobs of this gate, which had the wish `Never`, in this way.
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

    /// Waits until a Job of this gate runs and does not end.
    pub async fn until_waiting(&self, gate: &str) {
        until(
            &format!("a Job of gate '{gate}' runs"),
            seconds(30),
            async || {
                let wishes = self.wishes.lock().expect("no holder panics");
                wishes
                    .open
                    .values()
                    .flatten()
                    .any(|job| gate_of(job) == gate)
                    .then_some(())
            },
        )
        .await;
    }

    /// Ends a Job that the stub has left alone as if it had passed.
    pub async fn pass_now(&self, job: &Job) {
        self.cluster.start_pod(job).await;
        self.cluster.end(&[(job.clone(), Wish::Pass)]).await;
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
        let wish = wishes.lock().expect("no holder panics").of(&job);
        match wish {
            Wish::CannotPull => cluster.cannot_pull(&job).await,
            _ => cluster.run_pod(&job).await,
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
            .cloned()
            .unwrap_or(Wish::Pass)
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
            .partition(|job| !matches!(self.of(job), Wish::Never | Wish::CannotPull));
        self.open.insert(request.to_owned(), waiting);
        ready
            .into_iter()
            .map(|job| (self.of(&job), job))
            .map(|(wish, job)| (job, wish))
            .collect()
    }
}

fn gate_of(job: &Job) -> String {
    job.labels().get(LABEL_GATE).cloned().unwrap_or_default()
}
