//! Reports of each format, as their tools write them, and what is no such report.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::path::Path;

use floe_gate::report::{
    BadReport, Count, Counts, Format, Level, Report, Scan, Tests, Wanted, read,
};

const SAMPLES: [(Format, &str); 10] = [
    (Format::Trivy, "trivy/image.json"),
    (Format::Grype, "grype/image.json"),
    (Format::Grype, "grype/older.json"),
    (Format::Sarif, "sarif/rules-first.json"),
    (Format::Sarif, "sarif/rules-last.json"),
    (Format::JUnit, "junit/surefire.xml"),
    (Format::JUnit, "junit/nested.xml"),
    (Format::Infracost, "infracost/diff.json"),
    (Format::Infracost, "infracost/breakdown.json"),
    (Format::Baseline, "baseline/good.json"),
];

fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::read_to_string(fixtures.join(name)).unwrap()
}

fn read_text(format: Format, text: &str) -> Result<Report, BadReport> {
    read(format, text.as_bytes(), &Wanted::default())
}

fn problem(format: Format, text: &str) -> String {
    let problem = read_text(format, text).unwrap_err().to_string();
    assert!(!problem.contains("hunter2"), "{problem}");
    problem
}

fn scan_with(format: Format, text: &str, allow: &[&str]) -> Scan {
    let wanted = Wanted {
        allow: allow.iter().map(|&id| id.to_owned()).collect(),
        metrics: Vec::new(),
    };
    match read(format, text.as_bytes(), &wanted).unwrap() {
        Report::Scan(scan) => scan,
        other => panic!("{other:?}"),
    }
}

fn tests_of(text: &str) -> Tests {
    match read_text(Format::JUnit, text).unwrap() {
        Report::Tests(tests) => tests,
        other => panic!("{other:?}"),
    }
}

/// Findings from critical to unknown, all and unfixed.
fn counts(pairs: [(u64, u64); 5]) -> Counts {
    let [critical, high, medium, low, unknown] =
        pairs.map(|(total, unfixed)| Count { total, unfixed });
    Counts {
        critical,
        high,
        medium,
        low,
        unknown,
    }
}

fn ids(scan: &Scan) -> Vec<(Level, &str)> {
    scan.ids
        .iter()
        .map(|found| (found.level, found.id.as_str()))
        .collect()
}

#[test]
fn trivy_counts_vulnerabilities_misconfigurations_and_secrets() {
    let scan = scan_with(Format::Trivy, &fixture("trivy/image.json"), &[]);
    assert_eq!(
        scan.counts,
        counts([(3, 1), (3, 2), (0, 0), (1, 0), (1, 1)])
    );
    assert_eq!(
        ids(&scan),
        [
            (Level::Critical, "CVE-2026-1001"),
            (Level::Critical, "CVE-2026-1002"),
            (Level::Critical, "aws-access-key-id"),
            (Level::High, "CVE-2026-1003"),
            (Level::High, "DS002"),
            (Level::Low, "AVD-DS-0026"),
            (Level::Unknown, "CVE-2026-1004"),
        ]
    );
}

#[test]
fn exceptions_are_counted_apart() {
    let allow = ["CVE-2026-1003", "CVE-2026-1001", "CVE-2020-1"];
    let scan = scan_with(Format::Trivy, &fixture("trivy/image.json"), &allow);
    assert_eq!(
        scan.counts,
        counts([(2, 1), (1, 0), (0, 0), (1, 0), (1, 1)])
    );
    let allowed: Vec<_> = scan
        .allowed
        .iter()
        .map(|allowed| (allowed.id.as_str(), allowed.level, allowed.count.total))
        .collect();
    assert_eq!(
        allowed,
        [
            ("CVE-2026-1001", Level::Critical, 1),
            ("CVE-2026-1003", Level::High, 2)
        ]
    );
    assert!(ids(&scan).iter().all(|(_, id)| !allow.contains(id)));
}

#[test]
fn grype_counts_matches_of_old_and_new_versions() {
    let scan = scan_with(Format::Grype, &fixture("grype/image.json"), &[]);
    assert_eq!(
        scan.counts,
        counts([(1, 0), (1, 1), (1, 1), (1, 1), (1, 0)])
    );
    let scan = scan_with(Format::Grype, &fixture("grype/older.json"), &[]);
    assert_eq!(
        scan.counts,
        counts([(0, 0), (1, 0), (0, 0), (0, 0), (0, 0)])
    );
}

#[test]
fn sarif_finds_the_severity_at_the_result_its_rule_or_the_level() {
    let scan = scan_with(Format::Sarif, &fixture("sarif/rules-first.json"), &[]);
    assert_eq!(
        scan.counts,
        counts([(1, 0), (2, 0), (2, 0), (2, 0), (1, 0)])
    );
    assert_eq!(
        ids(&scan),
        [
            (Level::Critical, "js/injection"),
            (Level::High, "js/xss"),
            (Level::Medium, "js/plain"),
            (Level::Medium, "js/unused"),
        ]
    );
}

#[test]
fn sarif_rules_may_stand_behind_the_results() {
    let scan = scan_with(
        Format::Sarif,
        &fixture("sarif/rules-last.json"),
        &["CVE-2026-1002"],
    );
    assert_eq!(
        scan.counts,
        counts([(2, 0), (0, 0), (0, 0), (0, 0), (0, 0)])
    );
    assert_eq!(scan.allowed[0].level, Level::Unknown);
}

#[test]
fn a_result_of_sarif_that_names_several_rules_is_as_severe_as_the_worst() {
    let run = |result: &str| {
        format!(
            r#"{{"version": "2.1.0", "runs": [{{"results": [{result}], "tool": {{
                "driver": {{"name": "t", "rules": [
                    {{"id": "a", "properties": {{"security-severity": "1"}}}},
                    {{"id": "b", "properties": {{"security-severity": "9"}}}},
                    {{"id": "a", "properties": {{"security-severity": 5}}}},
                    {{"id": "c", "defaultConfiguration": {{"level": "error"}}}}]}},
                "extensions": [{{"name": "e", "rules": [{{"id": "x", "defaultConfiguration": {{"level": "note"}}}}]}}]
            }}}}]}}"#
        )
    };
    for (result, level) in [
        (r#"{"ruleId": "a"}"#, Level::Medium),
        (r#"{"ruleId": "a", "ruleIndex": 1}"#, Level::Critical),
        (r#"{"ruleId": "a/1/2"}"#, Level::Medium),
        (r#"{"ruleIndex": 0}"#, Level::Low),
        (r#"{"ruleId": "c"}"#, Level::High),
        (r#"{"ruleId": "c", "level": "none"}"#, Level::Unknown),
        (r#"{"ruleId": "nowhere", "ruleIndex": 99}"#, Level::Medium),
        (r#"{"ruleId": "nowhere", "ruleIndex": -1}"#, Level::Medium),
        (
            r#"{"rule": {"index": 0, "toolComponent": {"index": 0}}}"#,
            Level::Low,
        ),
        (
            r#"{"rule": {"index": 0, "toolComponent": {"name": "?"}}}"#,
            Level::Medium,
        ),
        (
            r#"{"ruleId": "b", "properties": {"security-severity": "0"}}"#,
            Level::Unknown,
        ),
    ] {
        let scan = scan_with(Format::Sarif, &run(result), &[]);
        assert_eq!(scan.counts.of(level).total, 1, "{result}: {scan:?}");
    }
    for score in ["11", "-1", "\"nan\"", "\"hunter2\"", "\"inf\"", "[]"] {
        let result = format!(r#"{{"properties": {{"security-severity": {score}}}}}"#);
        assert!(problem(Format::Sarif, &run(&result)).contains("no SARIF"));
    }
}

#[test]
fn junit_counts_test_cases_and_names_those_that_failed() {
    let tests = tests_of(&fixture("junit/surefire.xml"));
    assert_eq!(
        (tests.tests, tests.failures, tests.errors, tests.skipped),
        (6, 1, 1, 1)
    );
    assert_eq!(
        tests.failed,
        [
            "com.example.ShopTest.refunds <all> ä",
            "com.example.ShopTest.opens"
        ]
    );
    let tests = tests_of(&fixture("junit/nested.xml"));
    assert_eq!((tests.tests, tests.failures, tests.errors), (4, 2, 0));
    assert_eq!(tests.failed, ["inner.two", "tests.test_four"]);
    let none = tests_of("<testsuites/>");
    assert_eq!(none, Tests::default());
}

#[test]
fn junit_that_is_cut_off_ill_formed_or_tricky_is_refused() {
    for (text, reason) in [
        (
            r#"<testsuite tests="5"><testcase/><testcase/><testcase/></testsuite>"#,
            "says 5 tests and holds 3",
        ),
        (
            r#"<testsuites failures="1"><testsuite><testcase/></testsuite></testsuites>"#,
            "says 1 failures and holds 0",
        ),
        (r#"<testsuite errors="2"/>"#, "says 2 errors"),
        (r#"<testsuite tests="hunter2"/>"#, "no number"),
        (r#"<testsuite tests="-1"/>"#, "no number"),
        (r#"<testsuite tests="0" tests="0"/>"#, "well-formed"),
        (r#"<testsuite name="&hunter2;"/>"#, "well-formed"),
        ("<testsuite>&hunter2;</testsuite>", "well-formed"),
        ("<testsuite>", "too early"),
        ("<testsuite><testcase></testsuite>", "well-formed"),
        ("<testsuite/><testsuite/>", "well-formed"),
        ("<testsuite/>hunter2", "well-formed"),
        ("<testsuite/><![CDATA[x]]>", "well-formed"),
        ("<testsuite", "well-formed"),
        ("hunter2<testsuite/>", "well-formed"),
        ("<html/>", "root is no test suite"),
        ("<testcase/>", "root is no test suite"),
        ("  \n", "no root"),
        (
            "<testsuite><properties><testcase/></properties></testsuite>",
            "stands where none belongs",
        ),
        ("<testsuite><failure/></testsuite>", "where none belongs"),
        (
            r#"<!DOCTYPE t [<!ENTITY a "b">]><testsuite/>"#,
            "has a DOCTYPE",
        ),
        (
            r#"<?xml version="1.0" encoding="ISO-8859-1"?><testsuite/>"#,
            "not UTF-8",
        ),
    ] {
        let problem = problem(Format::JUnit, text);
        assert!(problem.contains(reason), "{text}: {problem}");
    }
    let long = format!(r#"<testsuite name="{}"/>"#, "x".repeat(64 << 10));
    assert!(problem(Format::JUnit, &long).contains("65536 bytes"));
    let deep = "<testsuite>".repeat(100);
    assert!(problem(Format::JUnit, &deep).contains("64 levels"));
}

#[test]
fn infracost_gives_the_cost_and_what_it_is_compared_with() {
    let cost = |name: &str| match read_text(Format::Infracost, &fixture(name)).unwrap() {
        Report::Cost(cost) => (
            cost.currency,
            cost.monthly.to_string(),
            cost.past_monthly.map(|past| past.to_string()),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        cost("infracost/diff.json"),
        ("USD".into(), "742.641235".into(), Some("657".into()))
    );
    assert_eq!(
        cost("infracost/breakdown.json"),
        ("EUR".into(), "12.5".into(), None)
    );
}

#[test]
fn a_cost_that_is_not_whole_is_refused() {
    let good = fixture("infracost/breakdown.json");
    for (from, to, reason) in [
        (
            r#""totalMonthlyCost": "12.50""#,
            r#""totalMonthlyCost": null"#,
            "no totalMonthlyCost",
        ),
        (
            r#""totalMonthlyCost": "12.50""#,
            r#""x": 1"#,
            "no totalMonthlyCost",
        ),
        (
            r#""totalMonthlyCost": "12.50""#,
            r#""totalMonthlyCost": 12.50"#,
            "no Infracost JSON",
        ),
        (
            r#""totalMonthlyCost": "12.50""#,
            r#""totalMonthlyCost": "-1""#,
            "no amount",
        ),
        (
            r#""totalMonthlyCost": "12.50""#,
            r#""totalMonthlyCost": "NaN""#,
            "no amount",
        ),
        (
            r#""totalMonthlyCost": "12.50""#,
            r#""totalMonthlyCost": "1_0""#,
            "no amount",
        ),
        (
            r#""totalMonthlyCost": "12.50""#,
            r#""totalMonthlyCost": """#,
            "no amount",
        ),
        (r#""EUR""#, r#""hunter2""#, "three capital letters"),
        (r#""version": "0.2","#, "", "no version"),
        (
            r#""errors": null"#,
            r#""errors": [{"message": "hunter2"}]"#,
            "errors for a project",
        ),
        (
            r#""projects": ["#,
            r#""projects": [], "x": ["#,
            "no projects",
        ),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let problem = problem(Format::Infracost, &text);
        assert!(problem.contains(reason), "{to}: {problem}");
    }
}

#[test]
fn resources_without_a_known_price_are_counted() {
    let text = fixture("infracost/breakdown.json").replacen(
        r#""unsupportedResourceCounts": {}"#,
        r#""unsupportedResourceCounts": {"aws_x": 2, "aws_y": 1}"#,
        1,
    );
    let Report::Cost(cost) = read(Format::Infracost, text.as_bytes(), &Wanted::default()).unwrap()
    else {
        panic!("no costs");
    };
    assert_eq!(cost.unpriced, 3);
}

#[test]
fn a_baseline_gives_the_metrics_that_are_wanted() {
    let wanted = Wanted {
        metrics: ["p99", "http_req_duration:p(95)", "tiny", "delta", "missing"]
            .map(str::to_owned)
            .into(),
        allow: Vec::new(),
    };
    let text = fixture("baseline/good.json");
    let Report::Metrics(metrics) = read(Format::Baseline, text.as_bytes(), &wanted).unwrap() else {
        panic!("no metrics");
    };
    let values: Vec<_> = metrics
        .values
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        values,
        [
            "delta=-3",
            "http_req_duration:p(95)=0.1",
            "p99=181.25",
            "tiny=0"
        ]
    );
}

#[test]
fn a_baseline_with_anything_else_in_it_is_refused() {
    let many: Vec<String> = (0..257).map(|n| format!("\"m{n}\": 1")).collect();
    for (text, reason) in [
        ("{}".to_owned(), "no metrics"),
        (r#"{"metrics": {}, "hunter2": 1}"#.into(), "no baseline"),
        (r#"{"metrics": {"a": 1, "a": 2}}"#.into(), "twice"),
        (r#"{"metrics": {}, "metrics": {}}"#.into(), "no baseline"),
        (
            r#"{"metrics": {"hunter2 x": 1}}"#.into(),
            "name of a metric",
        ),
        (r#"{"metrics": {"": 1}}"#.into(), "name of a metric"),
        (r#"{"metrics": {"-a": 1}}"#.into(), "name of a metric"),
        (
            format!(r#"{{"metrics": {{"{}": 1}}}}"#, "a".repeat(64)),
            "name of a metric",
        ),
        (
            format!(r#"{{"metrics": {{{}}}}}"#, many.join(",")),
            "more than 256",
        ),
        (r#"{"metrics": {"a": "1"}}"#.into(), "no baseline"),
        (r#"{"metrics": {"a": null}}"#.into(), "no baseline"),
        (r#"{"metrics": {"a": 1e30}}"#.into(), "no baseline"),
        (r#"{"metrics": {"a": 1e999}}"#.into(), "well-formed"),
        (r#"{"metrics": {"a": NaN}}"#.into(), "well-formed"),
        (r#"{"metrics": {"a": Infinity}}"#.into(), "well-formed"),
        (r#"{"metrics": []}"#.into(), "no baseline"),
        (r#"[{"a": 1}]"#.into(), "no baseline"),
    ] {
        let problem = problem(Format::Baseline, &text);
        assert!(problem.contains(reason), "{text}: {problem}");
    }
}

#[test]
fn what_lacks_the_marks_of_its_format_is_refused() {
    for (format, text, reason) in [
        (Format::Trivy, r#"{"SchemaVersion": 2}"#, "scanned nothing"),
        (
            Format::Trivy,
            r#"{"SchemaVersion": 2, "Results": null}"#,
            "scanned nothing",
        ),
        (
            Format::Trivy,
            r#"{"SchemaVersion": 2, "Results": []}"#,
            "scanned nothing",
        ),
        (
            Format::Trivy,
            r#"{"SchemaVersion": 2, "Results": [{}]}"#,
            "no Trivy JSON",
        ),
        (
            Format::Trivy,
            r#"{"SchemaVersion": 1, "Results": []}"#,
            "version 1 is not known, only 2",
        ),
        (Format::Trivy, r#"{"Results": []}"#, "no SchemaVersion"),
        (
            Format::Trivy,
            r#"{"SchemaVersion": "2", "Results": []}"#,
            "no Trivy JSON",
        ),
        (Format::Trivy, "[]", "no Trivy JSON"),
        (Format::Trivy, "null", "no Trivy JSON"),
        (Format::Grype, r#"{"matches": []}"#, "does not name grype"),
        (
            Format::Grype,
            r#"{"matches": [], "descriptor": {"name": "hunter2"}}"#,
            "does not name grype",
        ),
        (
            Format::Grype,
            r#"{"descriptor": {"name": "grype"}}"#,
            "no matches",
        ),
        (
            Format::Grype,
            r#"{"matches": null, "descriptor": {"name": "grype"}}"#,
            "no matches",
        ),
        (
            Format::Grype,
            r#"{"matches": [{}], "descriptor": {"name": "grype"}}"#,
            "no Grype JSON",
        ),
        (
            Format::Grype,
            r#"{"matches": [], "descriptor": ["grype"]}"#,
            "no Grype JSON",
        ),
        (Format::Sarif, r#"{"version": "2.1.0"}"#, "no runs"),
        (
            Format::Sarif,
            r#"{"version": "2.1.0", "runs": []}"#,
            "no runs",
        ),
        (
            Format::Sarif,
            r#"{"version": "hunter2", "runs": []}"#,
            "only 2.1.0",
        ),
        (Format::Sarif, r#"{"runs": []}"#, "no version"),
        (
            Format::Sarif,
            r#"{"version": "2.1.0", "runs": [{"results": []}]}"#,
            "no SARIF",
        ),
        (
            Format::Sarif,
            r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}}]}"#,
            "judged nothing",
        ),
        (
            Format::Sarif,
            r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": [], "invocations": [{"executionSuccessful": true}, {"executionSuccessful": false}]}]}"#,
            "did not succeed",
        ),
        (
            Format::Sarif,
            r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": [], "externalPropertyFileReferences": {}}]}"#,
            "other files",
        ),
    ] {
        let problem = problem(format, text);
        assert!(problem.contains(reason), "{text}: {problem}");
    }
}

#[test]
fn no_report_is_one_of_another_format() {
    for (own, name) in SAMPLES {
        assert!(read_text(own, &fixture(name)).is_ok(), "{name}");
        for other in Format::ALL {
            if other != own {
                assert!(read_text(other, &fixture(name)).is_err(), "{name}: {other}");
            }
        }
    }
}

#[test]
fn a_report_that_is_empty_cut_or_followed_by_something_is_refused() {
    for (format, name) in SAMPLES {
        let text = fixture(name);
        let text = text.trim_end();
        assert!(problem(format, "").contains("empty"));
        for cut in (1..text.len()).filter(|&at| text.is_char_boundary(at)) {
            assert!(read_text(format, &text[..cut]).is_err(), "{name}: {cut}");
        }
        for behind in ["x", "{}", "<a/>", "\0"] {
            assert!(read_text(format, &format!("{text}{behind}")).is_err());
        }
        let mut bytes = text.as_bytes().to_vec();
        bytes[text.len() / 2] = 0xff;
        assert!(read(format, &*bytes, &Wanted::default()).is_err(), "{name}");
    }
}

#[test]
fn doubled_fields_and_wrong_types_are_refused() {
    for (format, name, field) in [
        (Format::Trivy, "trivy/image.json", "SchemaVersion"),
        (Format::Trivy, "trivy/image.json", "Results"),
        (Format::Trivy, "trivy/image.json", "Vulnerabilities"),
        (Format::Trivy, "trivy/image.json", "VulnerabilityID"),
        (Format::Trivy, "trivy/image.json", "FixedVersion"),
        (Format::Grype, "grype/image.json", "matches"),
        (Format::Grype, "grype/image.json", "severity"),
        (Format::Grype, "grype/image.json", "state"),
        (Format::Sarif, "sarif/rules-first.json", "runs"),
        (Format::Sarif, "sarif/rules-first.json", "results"),
        (Format::Sarif, "sarif/rules-first.json", "ruleId"),
        (Format::Sarif, "sarif/rules-first.json", "level"),
        (Format::Infracost, "infracost/diff.json", "currency"),
        (Format::Infracost, "infracost/diff.json", "infracostCommand"),
    ] {
        let text = fixture(name);
        let key = format!("\"{field}\":");
        for before in [
            format!("{key} null, {key}"),
            format!("{key} 7.5, {key}"),
            format!("{key} 7.5, \"x\":"),
        ] {
            let bad = text.replacen(&key, &before, 1);
            assert_ne!(bad, text, "{field}");
            assert!(problem(format, &bad).contains(" is no "), "{before}");
        }
    }
}
