//! How much memory `floe-gate` takes. A test of its own: what its process has ever held counts as its
//! child's too.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use floe_gate::Summary;
use floe_gate::report::Format;
use nix::sys::resource::{UsageWho, getrusage};

fn read_report(folder: &Path, format: Format) {
    let status = Command::new(env!("CARGO_BIN_EXE_floe-gate"))
        .current_dir(folder)
        .args(["exec", "--timeout", "30", "--termination-log", "log"])
        .args(["--report", format.as_str(), "--report-file", "report"])
        .args(["--", "true"])
        .status();
    assert!(status.unwrap().success());
    let summary = Summary::parse(&fs::read(folder.join("log")).unwrap()).unwrap();
    assert!(summary.report.is_some(), "{:?}", summary.error);
}

/// What a container of 64 MiB must have room for, with the program itself.
#[test]
fn the_largest_reports_are_read_in_little_memory() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("memory");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("report");
    let long = "x".repeat(180);
    let write = |start: &str, element: &dyn Fn(usize) -> String, end: &str| {
        let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
        let mut bytes = 0;
        file.write_all(start.as_bytes()).unwrap();
        for n in 0..100_000 {
            let text = element(n);
            bytes += text.len();
            file.write_all(text.as_bytes()).unwrap();
        }
        file.write_all(end.as_bytes()).unwrap();
        file.flush().unwrap();
        assert!((15 << 20..32 << 20).contains(&bytes), "{bytes}");
    };
    let comma = |n| if n == 0 { "" } else { "," };

    write(
        r#"{"SchemaVersion": 2, "Results": [{"Target": "t", "Vulnerabilities": ["#,
        &|n| {
            format!(
                r#"{}{{"VulnerabilityID": "CVE-2026-{n:06}-{long}", "Severity": "HIGH", "Title": "{long:.60}"}}"#,
                comma(n)
            )
        },
        "]}]}",
    );
    read_report(&folder, Format::Trivy);
    write(
        r#"{"version": "2.1.0", "runs": [{"results": ["#,
        &|n| {
            format!(
                r#"{}{{"ruleId": "CVE-2026-{n:06}", "message": {{"text": "{long}"}}}}"#,
                comma(n)
            )
        },
        r#"], "tool": {"driver": {"name": "t"}}}]}"#,
    );
    read_report(&folder, Format::Sarif);
    write(
        "<testsuite>",
        &|n| format!(r#"<testcase name="{n} {long}"><failure/></testcase>"#),
        "</testsuite>",
    );
    read_report(&folder, Format::JUnit);
    write(
        "<testsuite><system-out>",
        &|_| long.clone() + &long[60..],
        "</system-out></testsuite>",
    );
    read_report(&folder, Format::JUnit);

    // Of the largest child so far, in KiB.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!("peak: {peak} KiB");
    assert!(peak < 48 << 10, "{peak} KiB");
}
