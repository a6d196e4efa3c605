//! Reports of thousands of findings: bounded in memory, and in what a summary says of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Read;

use floe_gate::report::{
    Allowed, Count, Format, Level, MAX_REPORT_BYTES, Metrics, Report, Scan, Wanted, read,
};
use floe_gate::{MAX_BYTES, Summary};

const TIME: &str = "2026-08-01T12:00:00.000Z";

fn with(report: Report) -> Summary {
    Summary {
        output: "\"line\"\n".repeat(300),
        report: Some(report),
        ..Summary::started(TIME.into())
    }
}

fn written_and_read(summary: &Summary) -> Summary {
    let bytes = summary.to_bytes();
    assert!(bytes.len() <= MAX_BYTES);
    Summary::parse(&bytes).unwrap()
}

/// A report of Trivy of about so many bytes, made while it is read.
struct Endless {
    pieces: Box<dyn Iterator<Item = String>>,
    rest: Vec<u8>,
}

impl Endless {
    /// The report, and how many findings it has.
    fn trivy(bytes: usize) -> (Self, usize) {
        let start = r#"{"SchemaVersion": 2, "Results": [{"Target": "t", "Vulnerabilities": ["#;
        let text = "Text of an advisory. ".repeat(12);
        let element = move |n: usize| {
            let comma = if n == 0 { "" } else { "," };
            format!(
                r#"{comma}{{"VulnerabilityID": "CVE-2026-{n:06}", "Severity": "HIGH", "Description": "{text}"}}"#
            )
        };
        let count = bytes / element(1).len();
        let pieces = std::iter::once(start.to_owned())
            .chain((0..count).map(element))
            .chain(std::iter::once("]}]}".to_owned()));
        let pieces = Box::new(pieces);
        let rest = Vec::new();
        (Self { pieces, rest }, count)
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.len() < buffer.len() {
            match self.pieces.next() {
                Some(piece) => self.rest.extend(piece.into_bytes()),
                None => break,
            }
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

#[test]
fn a_report_of_31_mib_is_read_and_one_of_33_is_refused() {
    let (report, count) = Endless::trivy(31 << 20);
    let Report::Scan(scan) = read(Format::Trivy, report, &Wanted::default()).unwrap() else {
        panic!("no scan");
    };
    assert!(count > 90_000);
    assert_eq!(scan.counts.high.total, count as u64);
    assert_eq!(scan.omitted + scan.ids.len() as u64, count as u64);
    let (report, _) = Endless::trivy(33 << 20);
    let problem = read(Format::Trivy, report, &Wanted::default()).unwrap_err();
    assert!(
        problem
            .to_string()
            .contains(&format!("more than {MAX_REPORT_BYTES} bytes"))
    );
}

#[test]
fn a_summary_of_5000_vulnerabilities_fits_and_keeps_every_number() {
    let vulnerabilities: Vec<String> = (0..5000)
        .map(|n| {
            let severity = ["LOW", "MEDIUM", "HIGH", "CRITICAL"][n % 4];
            format!(r#"{{"VulnerabilityID": "CVE-2026-{n:05}", "Severity": "{severity}"}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"SchemaVersion": 2, "Results": [{{"Target": "t", "Vulnerabilities": [{}]}}]}}"#,
        vulnerabilities.join(",")
    );
    let report = read(Format::Trivy, text.as_bytes(), &Wanted::default()).unwrap();
    let summary = written_and_read(&with(report));
    let Some(Report::Scan(scan)) = summary.report else {
        panic!("no scan");
    };
    assert_eq!(scan.counts.critical.total, 1250);
    assert!((40..=50).contains(&scan.ids.len()), "{}", scan.ids.len());
    assert!(scan.ids.iter().all(|found| found.level == Level::Critical));
    assert_eq!(scan.omitted + scan.ids.len() as u64, 5000);
    assert!(summary.output.len() >= 600, "{}", summary.output.len());
    assert_eq!(summary.error, None);
}

#[test]
fn output_gives_way_to_findings_on_the_list_and_all_of_these_stay() {
    let mut scan = Scan::default();
    for n in 0..32 {
        scan.allowed.push(Allowed {
            id: format!("CVE-2026-{n:04}"),
            level: Level::Critical,
            count: Count {
                total: 10,
                unfixed: 10,
            },
        });
    }
    let summary = written_and_read(&with(Report::Scan(scan.clone())));
    assert_eq!(summary.report, Some(Report::Scan(scan)));
    assert_eq!(summary.error, None);
    assert!(!summary.output.is_empty());
}

#[test]
fn numbers_that_do_not_fit_become_an_error_and_never_other_numbers() {
    let mut scan = Scan::default();
    for n in 0..32 {
        for level in Level::ALL {
            scan.allowed.push(Allowed {
                id: format!("{n:064}"),
                level,
                count: Count::default(),
            });
        }
    }
    let mut metrics = Metrics::default();
    for n in 0..256 {
        metrics.values.insert(format!("{n:063}"), n.into());
    }
    for report in [Report::Scan(scan), Report::Metrics(metrics)] {
        let summary = written_and_read(&with(report));
        assert_eq!(summary.report, None);
        assert!(summary.error.unwrap().contains("does not fit"));
        assert!(summary.output.len() > 1000);
    }
}

#[test]
fn names_of_failed_tests_are_cut_and_counted() {
    let cases = r#"<testcase name="a test with a name of some length"><error/></testcase>"#;
    let text = format!("<testsuite>{}</testsuite>", cases.repeat(5000));
    let report = read(Format::JUnit, text.as_bytes(), &Wanted::default()).unwrap();
    let Some(Report::Tests(tests)) = written_and_read(&with(report)).report else {
        panic!("no tests");
    };
    assert_eq!((tests.tests, tests.errors), (5000, 5000));
    assert!(tests.failed.len() >= 40);
    assert_eq!(tests.omitted + tests.failed.len() as u64, 5000);
}

#[test]
fn a_summary_whose_report_is_not_written_so_is_refused() {
    let counts = r#""counts":{"critical":{"total":1,"unfixed":0},"high":{"total":0,"unfixed":0},"medium":{"total":0,"unfixed":0},"low":{"total":0,"unfixed":0},"unknown":{"total":0,"unfixed":0}}"#;
    let summary = |report: &str| {
        format!(
            r#"{{"floe":1,"exitCode":0,"timedOut":false,"startedAt":"{TIME}","durationMs":1,"output":"","omitted":0,"report":{report}}}"#
        )
    };
    let tests = r#"{"tests":{"tests":2,"failures":1,"errors":0,"skipped":0,"failed":["a b"]}}"#;
    let metrics = r#"{"metrics":{"values":{"a":"1.5"}}}"#;
    let cost = r#"{"cost":{"currency":"USD","monthly":"1.5"}}"#;
    let scan = format!(r#"{{"scan":{{{counts},"ids":[{{"level":"high","id":"CVE-1"}}]}}}}"#);
    for (good, bad) in [
        (
            scan.as_str(),
            vec![
                ("\"total\":1", "\"total\":1,\"total\":0"),
                ("{\"total\":1,\"unfixed\":0}", "[1,0]"),
                ("\"total\":1,\"unfixed\":0", "\"total\":1,\"unfixed\":2"),
                ("\"total\":1,", ""),
                ("\"total\":1", "\"total\":1,\"x\":1"),
                (
                    "{\"level\":\"high\",\"id\":\"CVE-1\"}",
                    "[\"high\",\"CVE-1\"]",
                ),
                ("\"high\",\"id\"", "{\"high\":null},\"id\""),
                ("CVE-1", "CVE 1"),
                ("CVE-1", "\\u202e"),
                ("\"scan\"", "\"hunter2\""),
            ],
        ),
        (
            tests,
            vec![
                ("\"failures\":1", "\"failures\":3"),
                (
                    "\"failures\":1",
                    "\"failures\":18446744073709551615,\"errors\":2",
                ),
                ("a b", "a\\tb"),
                ("[\"a b\"]", "null"),
            ],
        ),
        (
            metrics,
            vec![
                ("\"1.5\"", "1.5"),
                ("\"1.5\"", "\"1.5\",\"a\":\"1\""),
                ("\"1.5\"", "\"NaN\""),
            ],
        ),
        (
            cost,
            vec![
                ("USD", "dollar"),
                ("\"1.5\"", "1"),
                ("\"1.5\"", "\"1.5\",\"pastMonthly\":null"),
            ],
        ),
    ] {
        let text = summary(good);
        assert_eq!(
            Summary::parse(text.as_bytes())
                .map_err(|problem| problem.to_string())
                .map(|_| ()),
            Ok(()),
            "{good}"
        );
        for (from, to) in bad {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text, "{from}");
            let problem = Summary::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
