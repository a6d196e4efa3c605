mod ended;
mod reports;
mod tries;
mod waiting;

use std::collections::BTreeMap;

use floe_gate::Summary;

use jiff::Timestamp;

use super::*;

const LIMITS: Limits = Limits {
    start_timeout_seconds: 300,
    timeout_seconds: 60,
    retries: 0,
};
const TERMS: Terms<'static> = Terms {
    limits: LIMITS,
    report: None,
    baseline: &BTreeMap::new(),
};
const IMAGE: &str = "registry.example/tests:1";

/// Seconds after the Job was created.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_785_585_600 + seconds).unwrap()
}

fn facts(pod: Option<PodFacts>) -> GateFacts {
    GateFacts {
        job_uid: "job".into(),
        owner_uid: Some("request".into()),
        spec_hash: Some("hash".into()),
        created: at(0),
        attempts: 1,
        job_end: None,
        pod,
    }
}

fn pod() -> PodFacts {
    PodFacts {
        name: "pod".into(),
        created: at(0),
        started: Some(at(1)),
        unschedulable: None,
        deleting: false,
        disruption: None,
        altered: None,
        ended: false,
        fetch: Some(container(ended(0, "Completed", None))),
        gate: Some(container(waiting("PodInitializing", 3))),
    }
}

fn container(state: ContainerState) -> ContainerFacts {
    ContainerFacts {
        image: IMAGE.into(),
        image_id: Some("image@sha256:1".into()),
        state,
    }
}

fn waiting(reason: &str, since: i64) -> ContainerState {
    ContainerState::Waiting {
        reason: reason.into(),
        message: Some("the node says why".into()),
        since: Some(at(since)),
    }
}

fn ended(exit_code: i32, reason: &str, message: Option<String>) -> ContainerState {
    ContainerState::Terminated {
        exit_code,
        reason: reason.into(),
        message,
        started_at: Some(at(3)),
        finished_at: Some(at(10)),
    }
}

fn summary(exit_code: i32) -> Summary {
    Summary {
        exit_code,
        output: "first\nlast line".into(),
        ..Summary::started("2026-08-01T12:00:04.500Z".into())
    }
}

fn text(summary: &Summary) -> String {
    String::from_utf8(summary.to_bytes()).unwrap()
}

fn gate_ended(exit_code: i32, reason: &str, message: Option<String>) -> PodFacts {
    PodFacts {
        gate: Some(container(ended(exit_code, reason, message))),
        ended: true,
        ..pod()
    }
}

fn disrupted(reason: &str, retried: bool, pod: PodFacts) -> PodFacts {
    let disruption = Disruption {
        reason: reason.into(),
        message: Some("the node was low on memory".into()),
        retried,
    };
    PodFacts {
        disruption: Some(disruption),
        ..pod
    }
}

fn job_ended(complete: bool) -> JobEnd {
    JobEnd {
        complete,
        reason: Some("BackoffLimitExceeded".into()),
        message: None,
        at: at(10),
    }
}

#[track_caller]
fn result(facts: &GateFacts, now: i64) -> GateResult {
    match judge(facts, &TERMS, at(now)) {
        GateState::Ended(result) => *result,
        running @ GateState::Running { .. } => panic!("{running:?}"),
    }
}

#[track_caller]
fn running(facts: &GateFacts, now: i64) -> (String, Option<Timestamp>) {
    match judge(facts, &TERMS, at(now)) {
        GateState::Running {
            doing,
            look_again_at,
            ..
        } => (doing, look_again_at),
        ended @ GateState::Ended(_) => panic!("{ended:?}"),
    }
}

#[track_caller]
fn is_error(facts: &GateFacts, now: i64, words: &[&str]) {
    let result = result(facts, now);
    assert_eq!(result.outcome, GateOutcome::Error, "{result:?}");
    for word in words {
        assert!(result.message.contains(word), "{word}: {}", result.message);
    }
    assert_eq!(result.job_uid, "job");
}
