use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState as ApiState, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::alike::difference;
use crate::api;
use crate::domain::gates::{
    ContainerFacts, ContainerState, Disruption, FETCH_CONTAINER, GATE_CONTAINER, GateFacts, JobEnd,
    PodFacts,
};

/// What these objects say about a gate. Pods that the Job does not control are not looked at: a
/// stranger's Pod with the Job's labels says nothing. None for a Job that the API server has not
/// stored yet (without UID or time of creation).
pub fn facts_of(job: &Job, pods: &[Pod]) -> Option<GateFacts> {
    let job_uid = job.metadata.uid.clone()?;
    let own: Vec<&Pod> = pods
        .iter()
        .filter(|pod| controller_of(&pod.metadata) == Some(job_uid.as_str()))
        .collect();
    let attempts = own.iter().filter(|pod| !is_disrupted(pod)).count();
    let newest = own
        .into_iter()
        .filter_map(|pod| {
            let created = pod.metadata.creation_timestamp.as_ref()?.0;
            Some((created, pod.metadata.name.clone().unwrap_or_default(), pod))
        })
        .max_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    Some(GateFacts {
        owner_uid: controller_of(&job.metadata).map(str::to_owned),
        spec_hash: annotation(&job.metadata, api::ANNOTATION_SPEC_HASH),
        created: job.metadata.creation_timestamp.as_ref()?.0,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        job_end: job_end(job),
        pod: newest.map(|(created, name, pod)| PodFacts {
            altered: difference(job, pod),
            ..pod_facts(created, name, pod)
        }),
        job_uid,
    })
}

fn controller_of(metadata: &ObjectMeta) -> Option<&str> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.as_str())
}

fn annotation(metadata: &ObjectMeta, key: &str) -> Option<String> {
    metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(key))
        .cloned()
}

fn job_end(job: &Job) -> Option<JobEnd> {
    let conditions = job
        .status
        .as_ref()?
        .conditions
        .as_deref()
        .unwrap_or_default();
    let condition = conditions.iter().find(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    })?;
    Some(JobEnd {
        complete: condition.type_ == "Complete",
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        at: time(condition.last_transition_time.as_ref())
            .or_else(|| time(job.metadata.creation_timestamp.as_ref()))?,
    })
}

fn pod_facts(created: Timestamp, name: String, pod: &Pod) -> PodFacts {
    let status = pod.status.clone().unwrap_or_default();
    let started = time(status.start_time.as_ref());
    let fetch = container(&status, true, FETCH_CONTAINER, started);
    let fetched = fetch
        .as_ref()
        .map_or(started, |fetch| fetch.state.finished_at());
    PodFacts {
        name,
        created,
        started,
        unschedulable: unschedulable(&status),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        disruption: disruption(&status),
        altered: None,
        ended: matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")),
        fetch,
        gate: container(&status, false, GATE_CONTAINER, fetched),
    }
}

/// The Job does not count it as a try.
fn is_disrupted(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    status
        .and_then(disruption)
        .is_some_and(|disruption| disruption.retried)
}

fn unschedulable(status: &PodStatus) -> Option<String> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .and_then(|condition| {
            condition
                .message
                .clone()
                .or_else(|| condition.reason.clone())
        })
}

/// Why the Pod was ended from outside. The reason of the whole Pod says more than the condition, but
/// only the condition says whether the Job starts another one.
fn disruption(status: &PodStatus) -> Option<Disruption> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let target = conditions
        .iter()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    let reason = status
        .reason
        .clone()
        .or_else(|| target.map(|condition| condition.reason.clone().unwrap_or_default()))?;
    let message = status
        .message
        .clone()
        .or_else(|| target.and_then(|target| target.message.clone()));
    Some(Disruption {
        reason,
        message,
        retried: target.is_some(),
    })
}

fn container(
    status: &PodStatus,
    init: bool,
    name: &str,
    could_run: Option<Timestamp>,
) -> Option<ContainerFacts> {
    let statuses = if init {
        &status.init_container_statuses
    } else {
        &status.container_statuses
    };
    let found = statuses
        .as_deref()
        .unwrap_or_default()
        .iter()
        .find(|one| one.name == name)?;
    Some(ContainerFacts {
        image: found.image.clone(),
        image_id: Some(found.image_id.clone()).filter(|id| !id.is_empty()),
        state: state(found, could_run),
    })
}

fn state(status: &ContainerStatus, could_run: Option<Timestamp>) -> ContainerState {
    let ApiState {
        running,
        terminated,
        waiting,
    } = status.state.clone().unwrap_or_default();
    if let Some(ended) = terminated {
        return ContainerState::Terminated {
            exit_code: ended.exit_code,
            reason: ended.reason.unwrap_or_default(),
            message: ended.message,
            started_at: real_time(ended.started_at.as_ref()),
            finished_at: real_time(ended.finished_at.as_ref()),
        };
    }
    if let Some(since) = running.and_then(|running| time(running.started_at.as_ref())) {
        return ContainerState::Running { since };
    }
    let waiting = waiting.unwrap_or_default();
    ContainerState::Waiting {
        reason: waiting.reason.unwrap_or_default(),
        message: waiting.message,
        since: could_run,
    }
}

fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

/// A node that does not know when a container started writes 1970.
fn real_time(of: Option<&Time>) -> Option<Timestamp> {
    time(of).filter(|time| time.as_second() > 0)
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
