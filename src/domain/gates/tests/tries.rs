//! Gates that are run again.

use super::*;

const TWICE: Terms<'static> = Terms {
    limits: Limits {
        retries: 1,
        ..LIMITS
    },
    ..TERMS
};

fn failed(exit_code: i32, attempts: u32) -> GateFacts {
    GateFacts {
        attempts,
        ..facts(Some(gate_ended(
            exit_code,
            "Error",
            Some(text(&summary(exit_code))),
        )))
    }
}

#[track_caller]
fn outcome(facts: &GateFacts, now: i64) -> Option<GateOutcome> {
    match judge(facts, &TWICE, at(now)) {
        GateState::Ended(result) => Some(result.outcome),
        GateState::Running { .. } => None,
    }
}

#[test]
fn a_failed_try_that_is_not_the_last_one_is_waited_out() {
    match judge(&failed(1, 1), &TWICE, at(11)) {
        GateState::Running { doing, .. } => {
            assert!(doing.contains("try 1 of 2 failed"), "{doing}");
        }
        ended @ GateState::Ended(_) => panic!("{ended:?}"),
    }
}

#[test]
fn the_last_try_is_final() {
    assert_eq!(outcome(&failed(1, 2), 11), Some(GateOutcome::Failed));
    let result = match judge(&failed(1, 2), &TWICE, at(11)) {
        GateState::Ended(result) => *result,
        running @ GateState::Running { .. } => panic!("{running:?}"),
    };
    assert_eq!(result.attempts, 2);
}

#[test]
fn a_command_that_ran_too_long_or_cannot_be_run_is_not_run_again() {
    for exit_code in NOT_AGAIN {
        assert!(outcome(&failed(exit_code, 1), 11).is_some(), "{exit_code}");
    }
}

#[test]
fn a_report_that_decides_is_not_asked_for_again() {
    let rules = super::reports::rules(&[1]);
    let terms = Terms {
        report: Some(&rules),
        ..TWICE
    };
    for (exit_code, ended) in [(1, true), (2, false)] {
        let state = judge(&failed(exit_code, 1), &terms, at(11));
        assert_eq!(
            matches!(state, GateState::Ended(_)),
            ended,
            "{exit_code}: {state:?}"
        );
    }
}

#[test]
fn a_job_that_has_failed_ends_the_waiting() {
    let facts = GateFacts {
        job_end: Some(job_ended(false)),
        ..failed(1, 1)
    };
    assert_eq!(outcome(&facts, 11), Some(GateOutcome::Failed));
}

#[test]
fn a_job_that_has_completed_with_a_try_that_is_not_seen_yet_is_never_judged_by_the_one_before() {
    let facts = GateFacts {
        job_end: Some(job_ended(true)),
        ..failed(1, 1)
    };
    assert_eq!(outcome(&facts, 11), None);
    assert_eq!(
        outcome(&facts, 21),
        Some(GateOutcome::Error),
        "its Pod never came"
    );
}

#[test]
fn a_try_that_never_comes_makes_the_last_one_final() {
    assert_eq!(outcome(&failed(1, 1), 10 + 10 + 300 - 1), None);
    assert_eq!(
        outcome(&failed(1, 1), 10 + 10 + 300),
        Some(GateOutcome::Failed)
    );
}

#[test]
fn an_artifact_that_could_not_be_fetched_is_tried_again_too() {
    let unfetched = PodFacts {
        fetch: Some(container(ended(1, "Error", Some("no such host".into())))),
        ended: true,
        ..pod()
    };
    assert_eq!(outcome(&facts(Some(unfetched.clone())), 11), None);
    is_error(&facts(Some(unfetched)), 11, &["could not be fetched"]);
}

#[test]
fn a_pod_that_its_job_has_not_asked_for_says_nothing() {
    let forged = PodFacts {
        altered: Some("its container 'gate' runs something else".into()),
        ..gate_ended(0, "Completed", Some(text(&summary(0))))
    };
    is_error(
        &facts(Some(forged)),
        11,
        &["counts for nothing", "'gate' runs something else"],
    );
}
