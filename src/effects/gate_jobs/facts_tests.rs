use serde_json::{Value, json};

use super::*;

const JOB_UID: &str = "11111111-0000-4000-8000-000000000000";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn job(status: &Value) -> Job {
    serde_json::from_value(json!({
        "metadata": {
            "name": "j", "uid": JOB_UID, "creationTimestamp": "2026-08-01T12:00:00Z",
            "annotations": {"promotion.floe.dev/gate-spec-hash": "sha256:00"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "other"},
                {"apiVersion": "v1", "kind": "Promotion", "name": "p", "uid": "request", "controller": true},
            ],
        },
        "status": status,
    }))
    .unwrap()
}

fn pod(name: &str, created: &str, status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "creationTimestamp": created,
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": JOB_UID, "controller": true},
            ],
        },
        "status": status,
    }))
    .unwrap()
}

fn only_pod(status: &Value) -> PodFacts {
    let pods = [pod("a", "2026-08-01T12:00:01Z", status)];
    facts_of(&job(&json!({})), &pods).unwrap().pod.unwrap()
}

fn status_of(name: &str, state: &Value) -> Value {
    json!([{
        "name": name, "image": "registry.example/tests:1", "imageID": "registry.example/tests@sha256:1",
        "ready": false, "restartCount": 0, "state": state,
    }])
}

#[test]
fn a_job_says_whose_it_is_and_how_it_ended() {
    let running = facts_of(&job(&json!({"active": 1})), &[]).unwrap();
    assert!(running.is_ours("request", "sha256:00"));
    assert_eq!((running.job_end, running.pod), (None, None));
    assert_eq!(running.created, at("2026-08-01T12:00:00Z"));
    for (kind, complete) in [("Complete", true), ("Failed", false)] {
        let ended = job(&json!({"conditions": [
            {"type": "Suspended", "status": "True"},
            {"type": kind, "status": "True", "reason": "R", "message": "m",
             "lastTransitionTime": "2026-08-01T12:01:00Z"},
        ]}));
        let end = facts_of(&ended, &[]).unwrap().job_end.unwrap();
        assert_eq!(end.complete, complete);
        assert_eq!(end.at, at("2026-08-01T12:01:00Z"));
        assert_eq!(
            (end.reason.as_deref(), end.message.as_deref()),
            (Some("R"), Some("m"))
        );
    }
    let not_yet = job(&json!({"conditions": [{"type": "Failed", "status": "False"}]}));
    assert_eq!(facts_of(&not_yet, &[]).unwrap().job_end, None);
}

#[test]
fn a_job_that_the_api_server_has_not_stored_says_nothing() {
    assert_eq!(facts_of(&Job::default(), &[]), None);
}

#[test]
fn strangers_pods_do_not_count_whatever_they_say() {
    let passed = json!({"phase": "Succeeded", "containerStatuses": status_of("gate",
        &json!({"terminated": {"exitCode": 0, "message": "{}"}}))});
    let mut not_controlled = pod("b", "2026-08-01T12:00:09Z", &passed);
    not_controlled.metadata.owner_references.as_mut().unwrap()[0].controller = None;
    let mut of_another_job = pod("c", "2026-08-01T12:00:09Z", &passed);
    of_another_job.metadata.owner_references.as_mut().unwrap()[0].uid = "other".into();
    let mut orphan = pod("d", "2026-08-01T12:00:09Z", &passed);
    orphan.metadata.owner_references = None;
    let strangers = [not_controlled, of_another_job, orphan];
    assert_eq!(facts_of(&job(&json!({})), &strangers).unwrap().pod, None);
}

#[test]
fn the_newest_pod_counts() {
    let pods = [
        pod("b", "2026-08-01T12:00:05Z", &json!({})),
        pod("c", "2026-08-01T12:00:09Z", &json!({})),
        pod("a", "2026-08-01T12:00:07Z", &json!({})),
    ];
    assert_eq!(
        facts_of(&job(&json!({})), &pods).unwrap().pod.unwrap().name,
        "c"
    );
}

#[test]
fn a_pod_without_node_says_why() {
    let facts = only_pod(&json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
    ]}));
    assert_eq!(facts.unschedulable.as_deref(), Some("0/1 nodes"));
    assert_eq!((facts.started, facts.fetch, facts.gate), (None, None, None));
}

#[test]
fn a_waiting_container_waits_since_it_could_have_run() {
    let facts = only_pod(&json!({
        "phase": "Pending", "startTime": "2026-08-01T12:00:02Z",
        "initContainerStatuses": status_of("fetch", &json!({"terminated": {
            "exitCode": 0, "reason": "Completed",
            "startedAt": "2026-08-01T12:00:03Z", "finishedAt": "2026-08-01T12:00:04Z"}})),
        "containerStatuses": status_of("gate", &json!({"waiting": {
            "reason": "ErrImagePull", "message": "not found"}})),
    }));
    assert_eq!(facts.started, Some(at("2026-08-01T12:00:02Z")));
    assert_eq!(
        facts.gate.unwrap().state,
        ContainerState::Waiting {
            reason: "ErrImagePull".into(),
            message: Some("not found".into()),
            since: Some(at("2026-08-01T12:00:04Z")),
        }
    );
    let alone = only_pod(&json!({
        "startTime": "2026-08-01T12:00:02Z",
        "containerStatuses": status_of("gate", &json!({"waiting": {"reason": "ErrImagePull"}})),
    }));
    let ContainerState::Waiting { since, .. } = alone.gate.unwrap().state else {
        panic!("it waits");
    };
    assert_eq!(since, Some(at("2026-08-01T12:00:02Z")));
}

#[test]
fn a_running_and_an_ended_container_are_read_whole() {
    let running = only_pod(&json!({"containerStatuses": status_of("gate",
        &json!({"running": {"startedAt": "2026-08-01T12:00:04Z"}}))}));
    let gate = running.gate.unwrap();
    assert_eq!(
        gate.state,
        ContainerState::Running {
            since: at("2026-08-01T12:00:04Z")
        }
    );
    assert_eq!(
        gate.image_id.as_deref(),
        Some("registry.example/tests@sha256:1")
    );
    let ended = only_pod(
        &json!({"phase": "Failed", "containerStatuses": status_of("gate",
        &json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "x",
            "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-08-01T12:00:09Z"}}))}),
    );
    assert!(ended.ended);
    assert_eq!(
        ended.gate.unwrap().state,
        ContainerState::Terminated {
            exit_code: 137,
            reason: "OOMKilled".into(),
            message: Some("x".into()),
            started_at: None,
            finished_at: Some(at("2026-08-01T12:00:09Z")),
        }
    );
}

#[test]
fn a_pod_that_was_ended_from_outside_says_why_and_whether_another_comes() {
    let target = json!([{"type": "DisruptionTarget", "status": "True",
        "reason": "TerminationByKubelet", "message": "low on memory"}]);
    let evicted = only_pod(&json!({"phase": "Failed", "reason": "Evicted", "conditions": target}));
    let expected = |reason: &str, message: &str, retried| Disruption {
        reason: reason.into(),
        message: Some(message.into()),
        retried,
    };
    assert_eq!(
        evicted.disruption,
        Some(expected("Evicted", "low on memory", true))
    );
    let drained = only_pod(&json!({"conditions": target}));
    assert_eq!(
        drained.disruption,
        Some(expected("TerminationByKubelet", "low on memory", true))
    );
    let late =
        only_pod(&json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "late"}));
    assert_eq!(
        late.disruption,
        Some(expected("DeadlineExceeded", "late", false))
    );
    assert_eq!(only_pod(&json!({"phase": "Running"})).disruption, None);
}

#[test]
fn a_pod_that_is_being_deleted_says_so() {
    let mut deleting = pod("a", "2026-08-01T12:00:01Z", &json!({}));
    deleting.metadata.deletion_timestamp = Some(Time(at("2026-08-01T12:00:05Z")));
    assert!(
        facts_of(&job(&json!({})), &[deleting])
            .unwrap()
            .pod
            .unwrap()
            .deleting
    );
}

#[test]
fn a_container_of_another_name_is_not_the_gate() {
    let facts = only_pod(&json!({"containerStatuses": status_of("sidecar",
        &json!({"terminated": {"exitCode": 0}}))}));
    assert_eq!(facts.gate, None);
}
