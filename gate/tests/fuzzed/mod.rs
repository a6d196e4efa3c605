//! What must hold for any bytes: shared by the fuzzer (`gate/fuzz`) and the test of its corpus.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each target of the fuzzer uses one of them"
)]

use floe_gate::report::{Format, Report, Wanted, read};
use floe_gate::{MAX_BYTES, Summary};

/// The first byte picks the format. What is read fits into a summary, and all its numbers with it.
pub(crate) fn report(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let format = Format::ALL[usize::from(*first) % Format::ALL.len()];
    let wanted = Wanted {
        allow: ["CVE-2026-1001", "js/xss", "a"].map(str::to_owned).into(),
        metrics: ["p99", "rps", "tiny", "a"].map(str::to_owned).into(),
    };
    match read(format, bytes, &wanted) {
        Ok(report) => {
            let read = written_and_read(&Summary {
                report: Some(report.clone()),
                ..Summary::started("2026-08-01T12:00:00.000Z".into())
            });
            let read = read.report.expect("the report fits");
            assert_eq!(without_names(read), without_names(report));
        }
        Err(problem) => {
            // One sentence in our own words.
            let problem = problem.to_string();
            assert!(problem.len() < 200 && problem.is_ascii(), "{problem}");
        }
    }
}

/// What is read as a summary is written and read as the same one.
pub(crate) fn summary(bytes: &[u8]) {
    if let Ok(summary) = Summary::parse(bytes) {
        let read = written_and_read(&summary);
        assert_eq!(read.exit_code, summary.exit_code);
        assert_eq!(read.timed_out, summary.timed_out);
        assert!(read.error.is_some() || summary.error.is_none());
        match (read.report, summary.report) {
            (Some(read), Some(report)) => assert_eq!(without_names(read), without_names(report)),
            (None, Some(_)) => assert!(read.error.is_some()),
            (read, None) => assert_eq!(read, None),
        }
    }
}

fn written_and_read(summary: &Summary) -> Summary {
    let bytes = summary.to_bytes();
    assert!(bytes.len() <= MAX_BYTES);
    let read = Summary::parse(&bytes).expect("what is written is read");
    assert_eq!(read.to_bytes(), bytes);
    read
}

/// The report with its names only counted.
fn without_names(mut report: Report) -> Report {
    let (names, omitted) = match &mut report {
        Report::Scan(scan) => (std::mem::take(&mut scan.ids).len(), &mut scan.omitted),
        Report::Tests(tests) => (std::mem::take(&mut tests.failed).len(), &mut tests.omitted),
        Report::Cost(_) | Report::Metrics(_) => return report,
    };
    *omitted = omitted.saturating_add(names as u64);
    report
}
