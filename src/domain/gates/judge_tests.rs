use floe_gate::{Severity, Summary};

use super::super::facts::JobEnd;
use super::*;

const LIMITS: Limits = Limits {
    start_timeout_seconds: 300,
    timeout_seconds: 60,
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

fn text(summary: &Summary) -> Option<String> {
    Some(String::from_utf8(summary.to_bytes()).unwrap())
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

fn job_ended(complete: bool) -> Option<JobEnd> {
    Some(JobEnd {
        complete,
        reason: Some("BackoffLimitExceeded".into()),
        message: None,
        at: at(10),
    })
}

#[track_caller]
fn result(facts: &GateFacts, now: i64) -> GateResult {
    match judge(facts, &LIMITS, at(now)) {
        GateState::Ended(result) => result,
        running @ GateState::Running { .. } => panic!("{running:?}"),
    }
}

#[track_caller]
fn running(facts: &GateFacts, now: i64) -> (String, Option<Timestamp>) {
    match judge(facts, &LIMITS, at(now)) {
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

#[test]
fn exit_0_with_a_sound_summary_is_passed() {
    let result = result(
        &facts(Some(gate_ended(0, "Completed", text(&summary(0))))),
        11,
    );
    assert_eq!(
        result,
        GateResult {
            outcome: GateOutcome::Passed,
            message: "passed".into(),
            started_at: Some("2026-08-01T12:00:04.5Z".parse().unwrap()),
            finished_at: Some(at(10)),
            image_digest: Some("image@sha256:1".into()),
            output: None,
            findings: Vec::new(),
            job_uid: "job".into(),
        }
    );
}

#[test]
fn another_exit_code_with_a_sound_summary_is_failed_with_the_last_lines() {
    let result = result(&facts(Some(gate_ended(3, "Error", text(&summary(3))))), 11);
    assert_eq!(result.outcome, GateOutcome::Failed);
    assert_eq!(result.message, "the command exited with 3: last line");
    assert_eq!(result.output.as_deref(), Some("first\nlast line"));
}

#[test]
fn a_failed_check_names_its_first_findings() {
    let finding = |n: i32| Finding {
        severity: Severity::Error,
        rule: "literal-secret".into(),
        path: "manifest.yaml".into(),
        pointer: format!("/{n}"),
        message: "a literal value".into(),
    };
    let summary = Summary {
        findings: Some((0..5).map(finding).collect()),
        omitted: 2,
        ..summary(8)
    };
    let result = result(&facts(Some(gate_ended(8, "Error", text(&summary)))), 11);
    assert_eq!(result.outcome, GateOutcome::Failed);
    assert!(
        result
            .message
            .starts_with("7 findings: manifest.yaml#/0: a literal value (literal-secret); "),
        "{}",
        result.message
    );
    assert!(
        result.message.ends_with("; and 4 more"),
        "{}",
        result.message
    );
    assert_eq!(result.findings.len(), 5);
}

#[test]
fn a_check_that_passed_says_what_it_looked_at() {
    let summary = Summary {
        findings: Some(Vec::new()),
        output: "no documents".into(),
        ..summary(0)
    };
    let result = result(&facts(Some(gate_ended(0, "Completed", text(&summary)))), 11);
    assert_eq!(
        (result.outcome, result.message.as_str()),
        (GateOutcome::Passed, "no documents")
    );
}

#[test]
fn a_command_that_was_stopped_at_its_limit_is_timed_out() {
    let summary = Summary {
        timed_out: true,
        ..summary(124)
    };
    let result = result(&facts(Some(gate_ended(124, "Error", text(&summary)))), 70);
    assert_eq!(result.outcome, GateOutcome::TimedOut);
    assert_eq!(
        result.message,
        "the command ran longer than its limit of 60 s and was stopped"
    );
}

#[test]
fn exit_code_124_alone_is_no_time_out() {
    let result = result(
        &facts(Some(gate_ended(124, "Error", text(&summary(124))))),
        11,
    );
    assert_eq!(result.outcome, GateOutcome::Failed);
}

#[test]
fn no_summary_is_an_error_whatever_the_exit_code() {
    for (exit_code, reason) in [(0, "Completed"), (1, "Error"), (137, "Error"), (0, "")] {
        for message in [None, Some(String::new())] {
            let facts = facts(Some(gate_ended(exit_code, reason, message)));
            is_error(
                &facts,
                11,
                &["no result", &format!("exit code {exit_code}")],
            );
        }
    }
}

#[test]
fn a_garbage_summary_is_an_error_and_is_not_shown() {
    let good = text(&summary(0)).unwrap();
    for garbage in [
        "hunter2".to_owned(),
        good.replace("\"omitted\"", "\"omitted\":0,\"omitted\""),
        good.replace("\"floe\":1", "\"floe\":1,\"hunter2\":1"),
        format!("{good}\n"),
        "x".repeat(10 << 20),
    ] {
        let facts = facts(Some(gate_ended(0, "Completed", Some(garbage))));
        is_error(&facts, 11, &["its result cannot be read"]);
        assert!(!format!("{:?}", judge(&facts, &LIMITS, at(11))).contains("hunter2"));
    }
}

#[test]
fn a_summary_that_contradicts_the_container_is_an_error() {
    for (exit_code, said) in [(1, 0), (0, 1), (2, 1), (124, 0)] {
        let facts = facts(Some(gate_ended(exit_code, "Error", text(&summary(said)))));
        is_error(&facts, 11, &["contradicts itself"]);
    }
    let error = Finding {
        severity: Severity::Error,
        rule: "r".into(),
        path: "p".into(),
        pointer: String::new(),
        message: "m".into(),
    };
    let with_errors = Summary {
        findings: Some(vec![error]),
        ..summary(0)
    };
    let facts = facts(Some(gate_ended(0, "Completed", text(&with_errors))));
    is_error(&facts, 11, &["contradicts itself"]);
}

#[test]
fn a_summary_with_an_error_is_an_error_even_with_exit_code_0() {
    for exit_code in [0, 127] {
        let summary = Summary {
            error: Some("the command 'x' was not found".into()),
            ..summary(exit_code)
        };
        let facts = facts(Some(gate_ended(exit_code, "Error", text(&summary))));
        is_error(&facts, 11, &["the command 'x' was not found"]);
    }
}

#[test]
fn a_command_that_ran_out_of_memory_is_an_error() {
    for (exit_code, message) in [
        (137, None),
        (137, text(&summary(137))),
        (0, text(&summary(0))),
    ] {
        let facts = facts(Some(gate_ended(exit_code, "OOMKilled", message)));
        is_error(&facts, 11, &["out of memory", "resources.memory"]);
    }
}

#[test]
fn a_container_that_the_node_could_not_run_is_an_error_with_the_nodes_words() {
    let message = Some("exec: \"/floe/bin/floe-gate\": permission denied".to_owned());
    let facts = facts(Some(gate_ended(128, "StartError", message)));
    is_error(
        &facts,
        11,
        &["could not be run", "StartError", "permission denied"],
    );
}

#[test]
fn an_image_that_cannot_be_pulled_is_an_error_after_60_seconds() {
    for reason in ["ErrImagePull", "ImagePullBackOff"] {
        let pod = PodFacts {
            gate: Some(container(waiting(reason, 3))),
            ..pod()
        };
        let facts = facts(Some(pod));
        let (doing, look_again_at) = running(&facts, 62);
        assert!(doing.contains(IMAGE), "{doing}");
        assert_eq!(look_again_at, Some(at(63)));
        is_error(
            &facts,
            63,
            &[IMAGE, "cannot be pulled", reason, "the node says why"],
        );
        assert_eq!(result(&facts, 63), result(&facts, 500));
    }
}

#[test]
fn our_own_image_that_cannot_be_pulled_is_an_error_too() {
    let fetch = Some(container(waiting("ErrImagePull", 1)));
    let pod = PodFacts {
        fetch,
        gate: Some(container(waiting("PodInitializing", 1))),
        ..pod()
    };
    is_error(&facts(Some(pod)), 61, &[IMAGE, "cannot be pulled"]);
}

#[test]
fn an_image_name_that_makes_no_sense_is_an_error_at_once() {
    for reason in ["InvalidImageName", "ErrImageNeverPull"] {
        let pod = PodFacts {
            gate: Some(container(waiting(reason, 3))),
            ..pod()
        };
        is_error(&facts(Some(pod)), 3, &[IMAGE, reason]);
    }
}

#[test]
fn a_pod_that_no_node_takes_is_an_error_at_the_start_limit() {
    let pod = PodFacts {
        started: None,
        unschedulable: Some("0/1 nodes are available: insufficient memory".into()),
        fetch: None,
        gate: None,
        ..pod()
    };
    let facts = facts(Some(pod));
    let (doing, look_again_at) = running(&facts, 299);
    assert!(doing.contains("insufficient memory"), "{doing}");
    assert_eq!(look_again_at, Some(at(300)));
    is_error(
        &facts,
        300,
        &["did not start within 300 s", "insufficient memory"],
    );
}

#[test]
fn whatever_keeps_the_command_from_starting_is_an_error_at_the_start_limit() {
    let slow_fetch = Some(container(ContainerState::Running { since: at(2) }));
    for (pod, word) in [
        (None, "create its Pod"),
        (
            Some(PodFacts {
                fetch: None,
                gate: None,
                ..pod()
            }),
            "waits for its Pod",
        ),
        (
            Some(PodFacts {
                fetch: slow_fetch,
                ..pod()
            }),
            "fetches the artifact",
        ),
        (Some(pod()), "PodInitializing"),
        (
            Some(PodFacts {
                gate: Some(container(waiting("ContainerCreating", 3))),
                ..pod()
            }),
            "ContainerCreating",
        ),
        (
            Some(PodFacts {
                gate: Some(container(waiting("CreateContainerConfigError", 3))),
                ..pod()
            }),
            "the node says why",
        ),
        (
            Some(PodFacts {
                deleting: true,
                ..pod()
            }),
            "being deleted",
        ),
    ] {
        let facts = facts(pod);
        let (doing, look_again_at) = running(&facts, 299);
        assert!(doing.contains(word), "{word}: {doing}");
        assert_eq!(look_again_at, Some(at(300)));
        is_error(&facts, 300, &["did not start within 300 s", word]);
    }
}

#[test]
fn a_fetch_that_failed_is_an_error_with_its_message() {
    let failed = |state| PodFacts {
        fetch: Some(container(state)),
        ended: true,
        ..pod()
    };
    let said = Some("the registry says 401".to_owned());
    is_error(
        &facts(Some(failed(ended(1, "Error", said)))),
        11,
        &["could not be fetched", "401"],
    );
    is_error(
        &facts(Some(failed(ended(137, "OOMKilled", None)))),
        11,
        &["out of memory"],
    );
    is_error(
        &facts(Some(failed(ended(2, "Error", None)))),
        11,
        &["exit code 2"],
    );
}

#[test]
fn a_running_command_is_looked_at_again_when_it_should_long_have_ended() {
    let pod = PodFacts {
        gate: Some(container(ContainerState::Running { since: at(4) })),
        ..pod()
    };
    let facts = facts(Some(pod));
    assert_eq!(running(&facts, 5), ("runs".into(), Some(at(124))));
    // Its own helper stops it at 64 and needs 5 more: until 124 the report may be late.
    assert_eq!(running(&facts, 123).0, "runs");
    let result = result(&facts, 124);
    assert_eq!(result.outcome, GateOutcome::TimedOut);
    assert!(
        result.message.contains("limit of 60 s"),
        "{}",
        result.message
    );
}

#[test]
fn an_evicted_pod_is_waited_for_while_kubernetes_starts_another_and_an_error_when_not() {
    let interrupted = Summary {
        error: Some("interrupted by SIGTERM".into()),
        ..summary(143)
    };
    for gate in [
        container(ContainerState::Running { since: at(4) }),
        container(ended(137, "Error", None)),
        container(ended(143, "Error", text(&interrupted))),
    ] {
        let evicted = |retried| {
            disrupted(
                "Evicted",
                retried,
                PodFacts {
                    gate: Some(gate.clone()),
                    ..pod()
                },
            )
        };
        let (doing, _) = running(&facts(Some(evicted(true))), 20);
        assert!(
            doing.contains("another Pod") && doing.contains("Evicted"),
            "{doing}"
        );
        is_error(
            &facts(Some(evicted(false))),
            20,
            &["Evicted", "low on memory"],
        );
        let given_up = GateFacts {
            job_end: job_ended(false),
            ..facts(Some(evicted(true)))
        };
        is_error(&given_up, 20, &["Evicted"]);
        is_error(&facts(Some(evicted(true))), 500, &["did not start"]);
    }
}

#[test]
fn a_result_that_was_complete_before_the_pod_was_disturbed_counts() {
    let passed = gate_ended(0, "Completed", text(&summary(0)));
    let failed = gate_ended(1, "Error", text(&summary(1)));
    for (pod, outcome) in [(passed, GateOutcome::Passed), (failed, GateOutcome::Failed)] {
        let deleting = PodFacts {
            deleting: true,
            ..pod.clone()
        };
        assert_eq!(result(&facts(Some(deleting)), 20).outcome, outcome);
        let evicted = disrupted("Evicted", true, pod);
        assert_eq!(result(&facts(Some(evicted)), 20).outcome, outcome);
    }
}

#[test]
fn a_pod_that_was_deleted_before_its_end_is_an_error() {
    let killed = PodFacts {
        deleting: true,
        ..gate_ended(137, "Error", None)
    };
    is_error(&facts(Some(killed)), 20, &["deleted"]);
    let interrupted = Summary {
        error: Some("interrupted by SIGTERM".into()),
        ..summary(0)
    };
    let interrupted = PodFacts {
        deleting: true,
        ..gate_ended(0, "Completed", text(&interrupted))
    };
    is_error(&facts(Some(interrupted)), 20, &["deleted"]);
    let gone = GateFacts {
        job_end: job_ended(false),
        ..facts(None)
    };
    is_error(&gone, 20, &["deleted", "BackoffLimitExceeded"]);
}

#[test]
fn the_pods_own_deadline_is_a_time_out_only_for_a_command_that_ran() {
    let running_gate = container(ContainerState::Running { since: at(4) });
    let ran = disrupted(
        "DeadlineExceeded",
        false,
        PodFacts {
            gate: Some(running_gate),
            ..pod()
        },
    );
    let result = result(&facts(Some(ran)), 500);
    assert_eq!(result.outcome, GateOutcome::TimedOut);
    assert!(
        result.message.contains("limit of 60 s"),
        "{}",
        result.message
    );
    let waited = disrupted("DeadlineExceeded", false, pod());
    is_error(&facts(Some(waited)), 500, &["did not start in time"]);
}

#[test]
fn a_job_that_ended_without_a_result_is_an_error_when_the_pod_is_not_only_late() {
    for (complete, pod, words) in [
        (true, None, ["lost", "Pod is gone"]),
        (true, Some(pod()), ["lost", "does not say how"]),
        (
            false,
            Some(pod()),
            ["without a result", "BackoffLimitExceeded"],
        ),
    ] {
        let facts = GateFacts {
            job_end: job_ended(complete),
            ..facts(pod)
        };
        let (doing, look_again_at) = running(&facts, 19);
        assert!(doing.contains("last state"), "{doing}");
        assert_eq!(look_again_at, Some(at(20)));
        is_error(&facts, 20, &words);
    }
}

#[test]
fn a_pod_that_ended_without_saying_how_is_an_error() {
    is_error(
        &facts(Some(PodFacts {
            ended: true,
            ..pod()
        })),
        11,
        &["ended without a result"],
    );
}

#[test]
fn texts_from_outside_are_bounded_and_without_secrets() {
    let long = format!("password=hunter2\n{}", "x".repeat(9000));
    let failed = PodFacts {
        fetch: Some(container(ended(1, "Error", Some(long.clone())))),
        ended: true,
        ..pod()
    };
    let result_of_fetch = result(&facts(Some(failed)), 11);
    assert!(result_of_fetch.message.len() <= 1000);
    assert!(!result_of_fetch.message.contains("hunter2"));
    let summary = Summary {
        output: long.chars().take(2000).collect(),
        ..summary(1)
    };
    let result = result(&facts(Some(gate_ended(1, "Error", text(&summary)))), 11);
    assert!(!format!("{result:?}").contains("hunter2"));
    assert!(result.output.unwrap().len() <= 2000);
}

#[test]
fn only_the_job_that_the_request_made_for_this_specification_is_ours() {
    let facts = facts(None);
    assert!(facts.is_ours("request", "hash"));
    assert!(!facts.is_ours("another", "hash"));
    assert!(!facts.is_ours("request", "another"));
    assert!(
        !GateFacts {
            owner_uid: None,
            ..facts.clone()
        }
        .is_ours("request", "hash")
    );
    assert!(
        !GateFacts {
            spec_hash: None,
            ..facts
        }
        .is_ours("request", "hash")
    );
}

#[test]
fn nothing_but_a_sound_summary_with_exit_0_ever_passes() {
    let states = [
        None,
        Some(waiting("", 1)),
        Some(waiting("ErrImagePull", 1)),
        Some(ContainerState::Running { since: at(2) }),
        Some(ended(0, "Completed", None)),
        Some(ended(0, "Completed", Some("{}".into()))),
        Some(ended(0, "Completed", text(&summary(1)))),
        Some(ended(1, "Error", text(&summary(0)))),
        Some(ended(0, "OOMKilled", text(&summary(0)))),
        Some(ended(1, "Error", text(&summary(1)))),
    ];
    for state in states {
        for (deleting, ended, disruption) in [
            (false, false, None),
            (true, false, None),
            (false, true, None),
            (true, true, Some(true)),
            (false, true, Some(false)),
        ] {
            for job_end in [None, job_ended(true), job_ended(false)] {
                for now in [0, 15, 100, 10_000] {
                    let pod = PodFacts {
                        deleting,
                        ended,
                        gate: state.clone().map(container),
                        disruption: disruption.map(|retried| Disruption {
                            reason: "Evicted".into(),
                            message: None,
                            retried,
                        }),
                        ..pod()
                    };
                    let facts = GateFacts {
                        job_end: job_end.clone(),
                        ..facts(Some(pod))
                    };
                    if let GateState::Ended(result) = judge(&facts, &LIMITS, at(now)) {
                        assert_ne!(result.outcome, GateOutcome::Passed, "{facts:?}");
                    }
                }
            }
        }
    }
}
