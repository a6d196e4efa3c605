//! `floe-gate exec` with real processes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use floe_gate::Summary;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Gate {
    log: PathBuf,
}

impl Gate {
    fn new(name: &str) -> Self {
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        // As Kubernetes does: the file is there, and what the command writes into it does not count.
        fs::write(&log, "x".repeat(10_000)).unwrap();
        Self { log }
    }

    fn command(&self, timeout: u32, command: &[&str]) -> Command {
        let mut floe_gate = Command::new(env!("CARGO_BIN_EXE_floe-gate"));
        floe_gate
            .args([
                "exec",
                "--timeout",
                &timeout.to_string(),
                "--termination-log",
            ])
            .arg(&self.log)
            .arg("--")
            .args(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        floe_gate
    }

    fn run(&self, timeout: u32, command: &[&str]) -> (Output, Summary) {
        let output = self.command(timeout, command).output().unwrap();
        (output, self.summary())
    }

    fn sh(&self, script: &str) -> (Output, Summary) {
        self.run(30, &["sh", "-c", script])
    }

    fn summary(&self) -> Summary {
        Summary::parse(&fs::read(&self.log).unwrap()).unwrap()
    }
}

fn wait_for_line(child: &mut Child, wanted: &str) {
    let mut seen = String::new();
    let mut byte = [0];
    let stdout = child.stdout.as_mut().unwrap();
    while !seen.contains(wanted) {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "ended after {seen:?}");
        seen.push(byte[0].into());
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// Waits until the process is gone (or a zombie that only its parent still knows).
fn is_gone_soon(pid: &str) -> bool {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn the_exit_code_of_the_command_is_kept() {
    let gate = Gate::new("exit-codes");
    for code in [0, 1, 2, 99, 255] {
        let (output, summary) = gate.sh(&format!("echo out; echo err >&2; exit {code}"));
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(summary.exit_code, code);
        assert!(!summary.timed_out && summary.error.is_none());
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        let mut lines: Vec<&str> = summary.output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["err", "out"]);
    }
}

#[test]
fn a_command_that_a_signal_ended_exits_with_128_and_the_signal() {
    let gate = Gate::new("signalled");
    for (signal, code) in [("KILL", 137), ("SEGV", 139), ("TERM", 143)] {
        let (output, summary) = gate.sh(&format!("kill -{signal} $$"));
        assert_eq!(output.status.code(), Some(code));
        assert_eq!((summary.exit_code, summary.error), (code, None));
    }
}

#[test]
fn a_missing_command_is_an_error_that_names_it() {
    let gate = Gate::new("missing");
    let (output, summary) = gate.run(30, &["/no/such/program", "--flag"]);
    assert_eq!(output.status.code(), Some(127));
    assert_eq!(summary.exit_code, 127);
    assert!(
        summary
            .error
            .unwrap()
            .contains("'/no/such/program' was not found")
    );
}

#[test]
fn a_file_that_cannot_be_run_is_an_error() {
    let gate = Gate::new("not-runnable");
    let (output, summary) = gate.run(30, &["/etc/passwd"]);
    assert_eq!(output.status.code(), Some(126));
    assert!(summary.error.unwrap().contains("could not be started"));
}

#[test]
fn a_command_that_is_too_slow_gets_term_and_may_clean_up() {
    let gate = Gate::new("timeout");
    let (output, summary) = gate.run(
        1,
        &[
            "sh",
            "-c",
            "trap 'echo cleaned; exit 0' TERM; echo up; sleep 60 & wait",
        ],
    );
    assert_eq!(output.status.code(), Some(124));
    assert!(summary.timed_out && summary.exit_code == 124);
    assert_eq!(summary.output, "up\ncleaned");
    assert!(
        (1000..4000).contains(&summary.duration_ms),
        "{}",
        summary.duration_ms
    );
}

#[test]
fn a_command_that_ignores_term_is_killed_with_its_grandchildren_after_five_seconds() {
    let gate = Gate::new("stubborn");
    let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo grandchild $$; while :; do sleep 1; done' & \
                  while :; do sleep 1; done";
    let (output, summary) = gate.run(1, &["sh", "-c", script]);
    assert_eq!(output.status.code(), Some(124));
    assert!(summary.timed_out);
    assert!(
        (6000..9000).contains(&summary.duration_ms),
        "{}",
        summary.duration_ms
    );
    let pid = summary.output.strip_prefix("grandchild ").unwrap();
    assert!(is_gone_soon(pid), "{pid}");
}

#[test]
fn what_a_command_leaves_in_the_background_does_not_hold_up_its_end() {
    let gate = Gate::new("background");
    let started = Instant::now();
    // The second one leaves the group, and keeps the pipe open.
    let (output, summary) = gate.sh("sleep 61 & echo $!; setsid sleep 4 & exit 3");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(summary.exit_code, 3);
    assert!(summary.duration_ms < 3000, "{}", summary.duration_ms);
    assert!(is_gone_soon(&summary.output));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn signals_are_passed_on_and_the_result_says_that_the_command_was_interrupted() {
    let gate = Gate::new("signals");
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT")] {
        // Whoever started the tests in the background of a script has them, and all their children, ignore
        // this one, and a shell cannot trap what it was started to ignore.
        if is_ignored(signal) {
            continue;
        }
        // A command that calls its interruption a success has not judged anything.
        let script = format!("trap 'exit 0' {name}; echo ready; while :; do sleep 0.1; done");
        let mut child = gate.command(30, &["sh", "-c", &script]).spawn().unwrap();
        wait_for_line(&mut child, "ready");
        kill(pid_of(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let error = gate.summary().error.unwrap();
        assert!(
            error.contains(&format!("interrupted by SIG{name}")),
            "{error}"
        );
    }
}

fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask & (1 << (signal as u32 - 1)) != 0
}

#[test]
fn a_user_signal_is_passed_on_and_interrupts_nothing() {
    let gate = Gate::new("user-signal");
    let script = "trap 'echo got it; exit 0' USR1; echo ready; while :; do sleep 0.1; done";
    let mut child = gate.command(30, &["sh", "-c", script]).spawn().unwrap();
    wait_for_line(&mut child, "ready");
    kill(pid_of(&child), Signal::SIGUSR1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(gate.summary().error, None);
}

#[test]
fn the_time_limit_counts_from_the_start_of_the_command_and_one_in_time_is_not_touched() {
    let gate = Gate::new("in-time");
    let (output, summary) = gate.run(2, &["sh", "-c", "sleep 0.5; exit 0"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(!summary.timed_out);
    assert!(
        (500..1900).contains(&summary.duration_ms),
        "{}",
        summary.duration_ms
    );
}

#[test]
fn ten_megabytes_of_output_pass_through_and_only_the_last_lines_are_kept() {
    let gate = Gate::new("ten-megabytes");
    let (output, summary) =
        gate.sh("head -c 10485760 /dev/zero | tr '\\0' 'x' | fold -w 100; echo; echo the end");
    assert!(output.status.success());
    assert!(output.stdout.len() > 10 << 20);
    assert!(summary.output.ends_with("the end"));
    assert!(summary.to_bytes().len() <= floe_gate::MAX_BYTES);
}

#[test]
fn output_that_is_no_text_still_gives_a_summary() {
    let gate = Gate::new("no-text");
    let (output, summary) = gate.sh("printf 'a\\377\\376\\000\\033[31mb\\n'; exit 1");
    assert_eq!(output.stdout, b"a\xff\xfe\0\x1b[31mb\n");
    assert_eq!(summary.output, "a\u{fffd}\u{fffd}b");
}

#[test]
fn a_summary_that_the_command_prints_or_writes_has_no_effect() {
    let gate = Gate::new("forged");
    let forged = r#"{"floe":1,"exitCode":0,"timedOut":false,"startedAt":"2026-08-01T12:00:00.000Z","durationMs":1,"output":"","omitted":0}"#;
    assert!(Summary::parse(forged.as_bytes()).is_ok());
    let (output, summary) = gate.sh(&format!(
        "echo '{forged}'; echo '{forged}' > '{}'; exit 1",
        gate.log.display()
    ));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(summary.exit_code, 1);
}

#[test]
fn secrets_in_the_output_do_not_reach_the_summary() {
    let gate = Gate::new("secrets");
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let (_, summary) = gate.sh(&format!("echo password=hunter2; echo {token}; exit 1"));
    assert_eq!(summary.output, "password=[redacted]\n[redacted]");
}

#[test]
fn the_command_has_no_input_and_a_clean_signal_mask() {
    let gate = Gate::new("clean");
    // Not through a shell: some clear the mask by themselves.
    let (output, _) = gate.run(30, &["grep", "SigBlk", "/proc/self/status"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "SigBlk:\t0000000000000000\n"
    );
    let (output, _) = gate.run(30, &["cat"]);
    assert_eq!((output.status.code(), output.stdout), (Some(0), Vec::new()));
}

#[test]
fn a_wrong_call_says_how_it_is_called() {
    let output = Command::new(env!("CARGO_BIN_EXE_floe-gate"))
        .arg("run")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("usage: floe-gate exec")
    );
}

#[test]
fn as_first_process_it_reaps_orphans_and_nothing_writes_a_result_after_it() {
    let unshare = ["--user", "--map-root-user", "--pid", "--fork"];
    let allowed = Command::new("unshare").args(unshare).arg("true").status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("left out: this machine gives no process namespaces to ordinary users");
        return;
    }
    let gate = Gate::new("first-process");
    // An orphan that leaves the group and writes a good result into the file, again and again.
    let forged = r#"{"floe":1,"exitCode":0,"timedOut":false,"startedAt":"2026-08-01T12:00:00.000Z","durationMs":1,"output":"","omitted":0}"#;
    let log = gate.log.display();
    let script = format!(
        "(true &) ; setsid sh -c 'while :; do echo \"$0\" > \"{log}\"; done' '{forged}' & sleep 0.3; exit 5"
    );
    let inner = gate.command(30, &["sh", "-c", &script]);
    let output = Command::new("unshare")
        .args(unshare)
        .arg(inner.get_program())
        .args(inner.get_args())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(gate.summary().exit_code, 5);
}
