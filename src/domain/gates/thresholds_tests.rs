use floe_gate::report::{Allowed, FoundId};
use serde_json::{Value, json};

use super::*;

fn rules(value: Value) -> ReportRules {
    serde_json::from_value(value).unwrap()
}

fn day() -> Date {
    "2026-11-25".parse().unwrap()
}

fn compared(
    report: &Report,
    rules: &ReportRules,
    baseline: &[(&str, &str)],
) -> Result<Compared, String> {
    let baseline = baseline
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.parse().unwrap()))
        .collect();
    compare(report, rules, &baseline, day())
}

fn scan() -> Scan {
    let count = |total, unfixed| Count { total, unfixed };
    let found = |level, id: &str| FoundId {
        level,
        id: id.into(),
    };
    Scan {
        counts: Counts {
            critical: count(1, 1),
            high: count(5, 2),
            low: count(9, 0),
            ..Counts::default()
        },
        ids: vec![
            found(Level::Critical, "CVE-2024-1"),
            found(Level::High, "CVE-2024-2"),
        ],
        omitted: 4,
        allowed: Vec::new(),
    }
}

#[track_caller]
fn of_scan(scan: Scan, value: Value) -> Compared {
    compared(&Report::Scan(scan), &rules(value), &[]).unwrap()
}

#[test]
fn a_severity_over_its_limit_fails_and_at_its_limit_passes() {
    for (limits, passed) in [
        (json!({"critical": 1, "high": 5}), true),
        (json!({"critical": 0}), false),
        (json!({"high": 4}), false),
        (json!({"medium": 0, "unknown": 0}), true),
        (json!({}), true),
    ] {
        let compared = of_scan(scan(), json!({"format": "Trivy", "limits": limits}));
        assert_eq!(compared.passed, passed, "{limits}: {}", compared.message);
    }
}

#[test]
fn a_failure_names_numbers_limits_and_ids() {
    let compared = of_scan(
        scan(),
        json!({"format": "Trivy", "limits": {"critical": 0, "high": 2}}),
    );
    assert_eq!(
        compared.message,
        "too many findings: 1 critical (at most 0), 5 high (at most 2): CVE-2024-1, CVE-2024-2 and 4 more"
    );
    assert_eq!(compared.found.ids, ["CVE-2024-1", "CVE-2024-2"]);
    assert_eq!(
        (
            compared.found.counts["high"],
            compared.found.counts["unfixed"]
        ),
        (5, 3)
    );
    assert_eq!(compared.found.omitted, 4);
}

#[test]
fn only_ids_of_the_severities_that_are_too_many_are_named() {
    let compared = of_scan(
        scan(),
        json!({"format": "Trivy", "limits": {"critical": 0}}),
    );
    assert_eq!(
        compared.message,
        "too many findings: 1 critical (at most 0): CVE-2024-1"
    );
    assert_eq!(
        compared.found.ids,
        ["CVE-2024-1", "CVE-2024-2"],
        "all are shown"
    );
}

#[test]
fn findings_without_a_fix_are_left_out_only_when_the_policy_says_so() {
    let limits = json!({"critical": 0, "high": 3});
    let strict = json!({"format": "Grype", "limits": limits});
    assert!(!of_scan(scan(), strict).passed);
    let lenient = json!({"format": "Grype", "limits": limits, "ignoreUnfixed": true});
    let compared = of_scan(scan(), lenient);
    assert!(compared.passed, "{}", compared.message);
    assert!(
        compared
            .message
            .ends_with("; 3 without a fix are not counted"),
        "{}",
        compared.message
    );
}

fn with_exception(last_day: &str) -> Compared {
    let allowed = Allowed {
        id: "CVE-2024-9".into(),
        level: Level::Critical,
        count: Count {
            total: 2,
            unfixed: 0,
        },
    };
    let scan = Scan {
        allowed: vec![allowed],
        ..Scan::default()
    };
    let rules =
        json!({"format": "Trivy", "limits": {"critical": 0}, "allow": {"CVE-2024-9": last_day}});
    of_scan(scan, rules)
}

#[test]
fn an_exception_holds_through_its_last_day_and_is_shown() {
    let compared = with_exception("2026-11-25");
    assert!(compared.passed);
    assert_eq!(compared.message, "no findings; 2 allowed");
    assert_eq!(compared.found.counts["allowed"], 2);
}

#[test]
fn an_exception_that_has_ended_counts_no_more_and_is_named() {
    let compared = with_exception("2026-11-24");
    assert!(!compared.passed);
    assert_eq!(
        compared.message,
        "too many findings: 2 critical (at most 0): CVE-2024-9; the exception for CVE-2024-9 has ended"
    );
}

#[test]
fn what_the_summary_allows_and_the_policy_does_not_is_counted() {
    let allowed = Allowed {
        id: "CVE-2024-9".into(),
        level: Level::High,
        count: Count {
            total: 1,
            unfixed: 0,
        },
    };
    let scan = Scan {
        allowed: vec![allowed],
        ..Scan::default()
    };
    assert!(!of_scan(scan, json!({"format": "Trivy", "limits": {"high": 0}})).passed);
}

fn of_tests(tests: u64, failures: u64, errors: u64, skipped: u64) -> Result<Compared, String> {
    let report = Report::Tests(Tests {
        tests,
        failures,
        errors,
        skipped,
        ..Tests::default()
    });
    compared(&report, &rules(json!({"format": "JUnit"})), &[])
}

#[test]
fn a_test_that_failed_or_could_not_be_run_fails() {
    assert!(of_tests(5, 0, 0, 1).unwrap().passed);
    assert!(!of_tests(5, 1, 0, 0).unwrap().passed);
    assert!(!of_tests(5, 0, 1, 0).unwrap().passed);
}

#[test]
fn without_a_test_that_ran_nothing_was_tested() {
    for (tests, skipped) in [(0, 0), (3, 3)] {
        let why = of_tests(tests, 0, 0, skipped).unwrap_err();
        assert!(why.contains("nothing was tested"), "{why}");
    }
}

fn of_cost(monthly: &str, past: Option<&str>, value: Value, baseline: &[(&str, &str)]) -> Compared {
    let report = Report::Cost(Cost {
        currency: "USD".into(),
        unpriced: 0,
        monthly: monthly.parse().unwrap(),
        past_monthly: past.map(|past| past.parse().unwrap()),
    });
    compared(&report, &rules(value), baseline).unwrap()
}

#[test]
fn costs_grow_against_the_report_else_the_last_promotion_else_nothing() {
    let rules = || json!({"format": "Infracost", "monthlyIncrease": "500"});
    let last = [("monthlyCost", "100")];
    assert!(
        of_cost("900", Some("400"), rules(), &last).passed,
        "500 more than the report's past"
    );
    assert!(
        !of_cost("900", None, rules(), &last).passed,
        "800 more than the last promotion"
    );
    assert!(!of_cost("500.01", None, rules(), &[]).passed);
    let first = of_cost("500", None, rules(), &[]);
    assert!(first.passed);
    assert_eq!(first.message, "500 USD a month, 500 more than before");
    assert_eq!(first.found.values["monthlyCost"], Decimal::from(500));
}

#[test]
fn costs_in_all_have_a_limit_of_their_own() {
    let compared = of_cost(
        "742.649",
        Some("742"),
        json!({"format": "Infracost", "monthlyCost": "700"}),
        &[],
    );
    assert!(!compared.passed);
    assert_eq!(
        compared.message,
        "too expensive: 742.65 USD a month (at most 700)"
    );
}

fn of_metric(value: &str, rule: &Value, baseline: &[(&str, &str)]) -> Result<Compared, String> {
    let value = value.parse().map_err(|why| format!("{why}"))?;
    let values = [("p95_ms".to_owned(), value)].into();
    let report = Report::Metrics(Metrics { values });
    compared(
        &report,
        &rules(json!({"format": "Baseline", "metrics": {"p95_ms": rule}})),
        baseline,
    )
}

#[test]
fn a_value_is_held_against_fixed_limits() {
    for (value, passed) in [
        ("250", true),
        ("250.000001", false),
        ("10", true),
        ("9.9", false),
    ] {
        let compared = of_metric(value, &json!({"max": "250", "min": "10"}), &[]).unwrap();
        assert_eq!(compared.passed, passed, "{value}: {}", compared.message);
    }
}

#[test]
fn a_value_is_held_against_that_of_the_last_promotion() {
    let rule = json!({"maxIncreasePercent": 10, "maxDecreasePercent": 50});
    for (value, passed) in [
        ("110", true),
        ("110.1", false),
        ("50", true),
        ("49.9", false),
    ] {
        let compared = of_metric(value, &rule, &[("p95_ms", "100")]).unwrap();
        assert_eq!(compared.passed, passed, "{value}: {}", compared.message);
    }
    let first = of_metric("9999", &rule, &[]).unwrap();
    assert!(first.passed, "there is nothing to compare with yet");
    assert_eq!(first.message, "p95_ms 9999 (nothing to compare with yet)");
    let negative = of_metric("-85", &rule, &[("p95_ms", "-100")]).unwrap();
    assert!(!negative.passed, "15 % above a negative value");
}

#[test]
fn a_value_that_the_report_does_not_have_is_no_pass() {
    let report = Report::Metrics(Metrics::default());
    let rules = rules(json!({"format": "Baseline", "metrics": {"p95_ms": {"max": "1"}}}));
    assert_eq!(
        compared(&report, &rules, &[]).unwrap_err(),
        "its report has no value 'p95_ms'"
    );
}

#[test]
fn numbers_too_large_to_compare_are_no_pass() {
    let huge = Decimal::MAX.to_string();
    let rule = json!({"maxIncreasePercent": 10});
    assert!(of_metric(&huge, &rule, &[("p95_ms", &huge)]).is_err());
}
