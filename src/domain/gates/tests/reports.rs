//! What a report does to the outcome of a gate.

use floe_gate::report::{Format, Report, Tests};

use super::*;

pub(super) fn rules(exit_codes: &[i32]) -> ReportRules {
    let mut rules: ReportRules = serde_json::from_str("{\"format\": \"JUnit\"}").unwrap();
    rules.exit_codes = exit_codes.to_vec();
    rules
}

fn tests(failures: u64) -> Report {
    Report::Tests(Tests {
        tests: 5,
        failures,
        failed: (0..failures).map(|n| format!("orders.test_{n}")).collect(),
        ..Tests::default()
    })
}

fn judged(rules: &ReportRules, summary: &Summary) -> GateResult {
    let terms = Terms {
        report: Some(rules),
        ..TERMS
    };
    let pod = gate_ended(summary.exit_code, "Error", Some(text(summary)));
    match judge(&facts(Some(pod)), &terms, at(11)) {
        GateState::Ended(result) => *result,
        running @ GateState::Running { .. } => panic!("{running:?}"),
    }
}

#[test]
fn with_exit_code_0_the_report_decides() {
    for (failures, outcome) in [(0, GateOutcome::Passed), (2, GateOutcome::Failed)] {
        let result = judged(
            &rules(&[]),
            &Summary {
                report: Some(tests(failures)),
                ..summary(0)
            },
        );
        assert_eq!(result.outcome, outcome, "{}", result.message);
        assert_eq!(result.found.counts["failures"], failures);
    }
}

#[test]
fn another_exit_code_is_failed_whatever_the_report_says_and_shows_its_findings() {
    let clean = judged(
        &rules(&[]),
        &Summary {
            report: Some(tests(0)),
            ..summary(1)
        },
    );
    assert_eq!(clean.outcome, GateOutcome::Failed);
    assert_eq!(
        clean.message,
        "the command exited with 1; its report: 5 tests, 0 skipped"
    );
    let bad = judged(
        &rules(&[]),
        &Summary {
            report: Some(tests(2)),
            ..summary(1)
        },
    );
    assert_eq!(
        bad.found.findings,
        ["orders.test_0 failed", "orders.test_1 failed"]
    );
}

#[test]
fn an_exit_code_that_the_gate_names_leaves_the_decision_to_the_report() {
    let result = judged(
        &rules(&[1]),
        &Summary {
            report: Some(tests(0)),
            ..summary(1)
        },
    );
    assert_eq!(result.outcome, GateOutcome::Passed);
    let result = judged(
        &rules(&[1]),
        &Summary {
            report: Some(tests(0)),
            ..summary(2)
        },
    );
    assert_eq!(result.outcome, GateOutcome::Failed);
}

#[test]
fn a_command_that_did_not_come_to_its_end_is_an_error_with_whatever_report() {
    for exit_code in [126, 127, 137] {
        let result = judged(
            &rules(&[1]),
            &Summary {
                report: Some(tests(0)),
                ..summary(exit_code)
            },
        );
        assert_eq!(result.outcome, GateOutcome::Error, "{exit_code}");
        assert!(
            result.message.contains("did not come to its end"),
            "{}",
            result.message
        );
    }
}

#[test]
fn a_report_that_is_owed_and_missing_or_there_and_not_asked_for_is_an_error() {
    let missing = judged(&rules(&[]), &summary(0));
    assert_eq!(missing.outcome, GateOutcome::Error);
    let pod = gate_ended(
        0,
        "Completed",
        Some(text(&Summary {
            report: Some(tests(0)),
            ..summary(0)
        })),
    );
    is_error(&facts(Some(pod)), 11, &["nobody asked for"]);
}

#[test]
fn a_report_of_another_kind_is_an_error() {
    let mut rules = rules(&[]);
    rules.format = Format::Trivy;
    let result = judged(
        &rules,
        &Summary {
            report: Some(tests(0)),
            ..summary(0)
        },
    );
    assert_eq!(result.outcome, GateOutcome::Error);
    assert!(result.message.contains("Trivy"), "{}", result.message);
}
