//! `floe-gate exec --report`: what the command's report becomes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use floe_gate::Summary;
use floe_gate::report::{Format, Report};

const TRIVY: &str = r#"{"SchemaVersion": 2, "Results": [{"Target": "t", "Vulnerabilities": [
    {"VulnerabilityID": "CVE-1", "Severity": "CRITICAL"},
    {"VulnerabilityID": "CVE-2", "Severity": "HIGH", "FixedVersion": "2"}]}]}"#;

struct Gate {
    folder: PathBuf,
}

impl Gate {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// Runs a shell script in the gate's folder; `more` are options.
    fn run(&self, format: Format, more: &[&str], script: &str) -> (Output, Summary) {
        let log = self.folder.join("log");
        let output = Command::new(env!("CARGO_BIN_EXE_floe-gate"))
            .current_dir(&self.folder)
            .args(["exec", "--timeout", "2", "--termination-log"])
            .arg(&log)
            .args(["--report", format.as_str(), "--report-file", "report"])
            .args(more)
            .args(["--", "sh", "-c", script])
            .output()
            .unwrap();
        (output, Summary::parse(&fs::read(&log).unwrap()).unwrap())
    }

    fn error(&self, script: &str) -> String {
        let (_, summary) = self.run(Format::Trivy, &[], script);
        assert_eq!(summary.report, None);
        summary.error.unwrap()
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.join("report"), text).unwrap();
    }
}

#[test]
fn a_failing_command_still_shows_its_report_and_keeps_its_exit_code() {
    let gate = Gate::new("readable");
    let script = format!("echo scanned; echo '{TRIVY}' > report; exit 1");
    let (output, summary) = gate.run(Format::Trivy, &["--allow", "CVE-1"], &script);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((summary.exit_code, summary.error), (1, None));
    assert_eq!(summary.output, "scanned");
    let Some(Report::Scan(scan)) = summary.report else {
        panic!("no scan");
    };
    assert_eq!((scan.counts.critical.total, scan.counts.high.total), (0, 1));
    assert_eq!(scan.allowed[0].id, "CVE-1");
}

#[test]
fn only_the_metrics_that_are_named_are_handed_on() {
    let gate = Gate::new("metrics");
    let script = r#"echo '{"metrics": {"p99": 1.5, "p50": 1}}' > report"#;
    let (_, summary) = gate.run(Format::Baseline, &["--metric", "p99"], script);
    let Some(Report::Metrics(metrics)) = summary.report else {
        panic!("no metrics");
    };
    assert_eq!(metrics.values.len(), 1);
}

#[test]
fn a_missing_report_is_an_error_whatever_the_exit_code() {
    let gate = Gate::new("no-report");
    for code in [0, 1] {
        let (output, summary) = gate.run(Format::Trivy, &[], &format!("exit {code}"));
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(summary.exit_code, code);
        assert_eq!(
            summary.error.unwrap(),
            format!("the command exited with {code} and wrote no report to 'report'")
        );
        assert_eq!(summary.report, None);
    }
}

#[test]
fn a_report_that_cannot_be_read_is_an_error_with_the_reason() {
    let gate = Gate::new("bad-report");
    for (script, reason) in [
        (
            "echo garbage > report",
            "the report is not well-formed JSON",
        ),
        (": > report", "the report is empty"),
        ("rm report; ln -s /proc/self/environ report", "is a link"),
        ("rm report; ln -s nowhere report", "is a link"),
        ("rm report; mkdir report", "is no regular file"),
        ("rmdir report; mkfifo report", "is no regular file"),
    ] {
        let started = Instant::now();
        let error = gate.error(script);
        assert!(
            error.starts_with("the command exited with 0, but its report cannot be used: "),
            "{error}"
        );
        assert!(error.contains(reason), "{script}: {error}");
        assert!(started.elapsed() < Duration::from_secs(2), "{script}");
    }
    let error = gate.error("rm report; echo x > report; chmod 0 report; exec 2>&1; cat report");
    assert!(error.contains("its report cannot be used"), "{error}");
}

#[test]
fn a_report_of_50_mb_is_refused_without_being_read() {
    let gate = Gate::new("long-report");
    let started = Instant::now();
    let error = gate.error("truncate -s 50000000 report");
    assert!(error.contains("more than 33554432 bytes"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn after_a_time_out_or_a_failed_start_no_report_is_read() {
    let gate = Gate::new("not-ended");
    let (_, summary) = gate.run(
        Format::Trivy,
        &[],
        &format!("echo '{TRIVY}' > report; sleep 9"),
    );
    assert!(summary.timed_out);
    assert_eq!((summary.report, summary.error), (None, None));
    gate.write(TRIVY);
    let (_, summary) = gate.run(Format::Trivy, &[], "sleep 0.3; kill -TERM $PPID; sleep 1");
    assert_eq!(summary.report, None);
    assert!(summary.error.unwrap().contains("interrupted"));
}

#[test]
fn the_command_cannot_look_into_floe_gate() {
    // In a place that an ordinary user can reach, since root may look into everything.
    let folder = std::env::temp_dir().join(format!("floe-gate-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.join("floe-gate");
    fs::copy(env!("CARGO_BIN_EXE_floe-gate"), &program).unwrap();
    let mut command = Command::new(&program);
    command
        .current_dir(&folder)
        .args(["exec", "--timeout", "5", "--termination-log", "log", "--"])
        .args(["sh", "-c"])
        .arg("ls /proc/$PPID/fd && echo open; ls /proc/self/fd >/dev/null && echo own");
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"own\n", "{output:?}");
    fs::remove_dir_all(&folder).unwrap();
}
