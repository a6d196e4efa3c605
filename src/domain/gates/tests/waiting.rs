//! What has not ended, and what is ended from outside.

use super::*;

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
        container(ended(143, "Error", Some(text(&interrupted)))),
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
            job_end: Some(job_ended(false)),
            ..facts(Some(evicted(true)))
        };
        is_error(&given_up, 20, &["Evicted"]);
        is_error(&facts(Some(evicted(true))), 500, &["did not start"]);
    }
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
            job_end: Some(job_ended(complete)),
            ..facts(pod)
        };
        let (doing, look_again_at) = running(&facts, 19);
        assert!(doing.contains("last state"), "{doing}");
        assert_eq!(look_again_at, Some(at(20)));
        is_error(&facts, 20, &words);
    }
}
