//! What the end of a container comes to.

use floe_gate::{Finding, Severity};

use super::*;

#[test]
fn exit_0_with_a_sound_summary_is_passed() {
    let result = result(
        &facts(Some(gate_ended(0, "Completed", Some(text(&summary(0)))))),
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
            found: Found::default(),
            job_uid: "job".into(),
            attempts: 1,
            reused: None,
        }
    );
}

#[test]
fn another_exit_code_with_a_sound_summary_is_failed_with_the_last_lines() {
    let result = result(
        &facts(Some(gate_ended(3, "Error", Some(text(&summary(3)))))),
        11,
    );
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
    let result = result(
        &facts(Some(gate_ended(8, "Error", Some(text(&summary))))),
        11,
    );
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
    assert_eq!((result.found.findings.len(), result.found.omitted), (5, 2));
}

#[test]
fn a_check_that_passed_says_what_it_looked_at() {
    let summary = Summary {
        findings: Some(Vec::new()),
        output: "no documents".into(),
        ..summary(0)
    };
    let result = result(
        &facts(Some(gate_ended(0, "Completed", Some(text(&summary))))),
        11,
    );
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
    let result = result(
        &facts(Some(gate_ended(124, "Error", Some(text(&summary))))),
        70,
    );
    assert_eq!(result.outcome, GateOutcome::TimedOut);
    assert_eq!(
        result.message,
        "the command ran longer than its limit of 60 s and was stopped"
    );
}

#[test]
fn exit_code_124_alone_is_no_time_out() {
    let result = result(
        &facts(Some(gate_ended(124, "Error", Some(text(&summary(124)))))),
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
    let good = text(&summary(0));
    for garbage in [
        "hunter2".to_owned(),
        good.replace("\"omitted\"", "\"omitted\":0,\"omitted\""),
        good.replace("\"floe\":1", "\"floe\":1,\"hunter2\":1"),
        format!("{good}\n"),
        "x".repeat(10 << 20),
    ] {
        let facts = facts(Some(gate_ended(0, "Completed", Some(garbage))));
        is_error(&facts, 11, &["its result cannot be read"]);
        assert!(!format!("{:?}", judge(&facts, &TERMS, at(11))).contains("hunter2"));
    }
}

#[test]
fn a_summary_that_contradicts_the_container_is_an_error() {
    for (exit_code, said) in [(1, 0), (0, 1), (2, 1), (124, 0)] {
        let facts = facts(Some(gate_ended(
            exit_code,
            "Error",
            Some(text(&summary(said))),
        )));
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
    let facts = facts(Some(gate_ended(0, "Completed", Some(text(&with_errors)))));
    is_error(&facts, 11, &["contradicts itself"]);
}

#[test]
fn a_summary_with_an_error_is_an_error_even_with_exit_code_0() {
    for exit_code in [0, 127] {
        let summary = Summary {
            error: Some("the command 'x' was not found".into()),
            ..summary(exit_code)
        };
        let facts = facts(Some(gate_ended(exit_code, "Error", Some(text(&summary)))));
        is_error(&facts, 11, &["the command 'x' was not found"]);
    }
}

#[test]
fn a_command_that_ran_out_of_memory_is_an_error() {
    for (exit_code, message) in [
        (137, None),
        (137, Some(text(&summary(137)))),
        (0, Some(text(&summary(0)))),
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
fn a_result_that_was_complete_before_the_pod_was_disturbed_counts() {
    let passed = gate_ended(0, "Completed", Some(text(&summary(0))));
    let failed = gate_ended(1, "Error", Some(text(&summary(1))));
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
        ..gate_ended(0, "Completed", Some(text(&interrupted)))
    };
    is_error(&facts(Some(interrupted)), 20, &["deleted"]);
    let gone = GateFacts {
        job_end: Some(job_ended(false)),
        ..facts(None)
    };
    is_error(&gone, 20, &["deleted", "BackoffLimitExceeded"]);
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
    let result = result(
        &facts(Some(gate_ended(1, "Error", Some(text(&summary))))),
        11,
    );
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
        Some(ended(0, "Completed", Some(text(&summary(1))))),
        Some(ended(1, "Error", Some(text(&summary(0))))),
        Some(ended(0, "OOMKilled", Some(text(&summary(0))))),
        Some(ended(1, "Error", Some(text(&summary(1))))),
    ];
    for state in states {
        for (deleting, ended, disruption) in [
            (false, false, None),
            (true, false, None),
            (false, true, None),
            (true, true, Some(true)),
            (false, true, Some(false)),
        ] {
            for job_end in [None, Some(job_ended(true)), Some(job_ended(false))] {
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
                    if let GateState::Ended(result) = judge(&facts, &TERMS, at(now)) {
                        assert_ne!(result.outcome, GateOutcome::Passed, "{facts:?}");
                    }
                }
            }
        }
    }
}
