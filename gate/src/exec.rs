//! Starts the command, waits for its end, its time limit or a signal, and writes the summary.
//!
//! One thread waits for signals and time; two more copy the command's output through. Signals arrive
//! as bytes on a file descriptor, so that there is no signal handler.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use floe_gate::tail::{Stream, Tail};
use floe_gate::{Summary, rfc3339};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_dumpable;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use crate::args::Options;
use crate::report_file;

/// From TERM to KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long output may still come after the command ended: a grandchild may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(1);
/// Exit code of a command that ran too long, as `timeout(1)` has it.
const TIMED_OUT: u8 = 124;
/// Exit codes of the shell for a command that is not there, or cannot be started.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;
/// Signals that are passed on to the command.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

type SharedTail = Arc<Mutex<Tail>>;

/// How the command ended.
struct Ended {
    exit_code: u8,
    timed_out: bool,
    /// The signal from outside that asked it to end, when there was one.
    interrupted: Option<Signal>,
}

/// Runs the command and gives back the exit code for this process: that of the command.
pub(crate) fn run(options: &Options) -> u8 {
    // The command runs as the same user: it must not attach to this process and write the summary through
    // its memory or its open files. The command itself can be attached to again: starting a program resets
    // this. It can fail only for a wrong argument.
    let _ = set_dumpable(false);
    let mut summary = Summary::started(rfc3339::format(SystemTime::now()));
    let started = Instant::now();
    let tail = SharedTail::default();
    let mut has_ended = false;
    let exit_code = match start_and_wait(options, &tail) {
        Ok(ended) => {
            has_ended = !ended.timed_out && ended.interrupted.is_none();
            summary.timed_out = ended.timed_out;
            summary.error = ended.interrupted.map(|signal| {
                format!("the command was interrupted by {signal} before it had ended")
            });
            ended.exit_code
        }
        Err((exit_code, problem)) => {
            say(&problem);
            summary.error = Some(problem);
            exit_code
        }
    };
    end_everything_else();
    summary.exit_code = exit_code.into();
    summary.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(report) = options.report.as_ref().filter(|_| has_ended) {
        match report_file::read(report) {
            Ok(report) => summary.report = Some(report),
            Err(problem) => {
                let problem = format!("the command exited with {exit_code}{problem}");
                say(&problem);
                summary.error = Some(problem);
            }
        }
    }
    summary.output =
        std::mem::take(&mut *tail.lock().unwrap_or_else(PoisonError::into_inner)).finish();
    if let Err(error) = write_summary(&options.termination_log, &summary) {
        // The operator finds no summary then, and no summary is never a pass.
        say(&format!(
            "cannot write '{}': {error}",
            options.termination_log.display()
        ));
    }
    exit_code
}

fn start_and_wait(options: &Options, tail: &SharedTail) -> Result<Ended, (u8, String)> {
    let internal = |error: Errno| (NOT_RUNNABLE, format!("cannot watch signals: {error}"));
    let mut signals: SigSet = PASSED_ON.into_iter().collect();
    signals.add(Signal::SIGCHLD);
    // Before the first thread: threads inherit the mask.
    signals.thread_block().map_err(internal)?;
    let events = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(internal)?;
    // The command inherits the mask too and must not start deaf. A signal that comes in this moment is
    // lost for process 1 of a container; then Kubernetes sends KILL, and there is no summary.
    signals.thread_unblock().map_err(internal)?;
    let spawned = Command::new(&options.program)
        .args(&options.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    signals.thread_block().map_err(internal)?;
    let mut child = spawned.map_err(|error| not_started(options, &error))?;
    let started = Instant::now();
    let copied = copy_output(&mut child, tail);
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let ended = Wait {
        events,
        group,
        deadline: started + options.timeout,
        kill_at: None,
    }
    .until_end()
    .map_err(|error| {
        (
            NOT_RUNNABLE,
            format!("cannot wait for the command: {error}"),
        )
    });
    // What the command left behind in its group ends with it.
    let _ = killpg(group, Signal::SIGKILL);
    let drained_by = Instant::now() + DRAIN;
    while copied
        .recv_timeout(drained_by.saturating_duration_since(Instant::now()))
        .is_ok()
    {}
    ended
}

fn not_started(options: &Options, error: &std::io::Error) -> (u8, String) {
    let program = options.program.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => (
            NOT_FOUND,
            format!("the command '{program}' was not found in the image"),
        ),
        _ => (
            NOT_RUNNABLE,
            format!("the command '{program}' could not be started: {error}"),
        ),
    }
}

struct Wait {
    events: SignalFd,
    group: Pid,
    deadline: Instant,
    kill_at: Option<Instant>,
}

impl Wait {
    fn until_end(mut self) -> Result<Ended, Errno> {
        let (mut timed_out, mut interrupted) = (false, None);
        loop {
            if let Some(exit_code) = self.reap()? {
                let exit_code = if timed_out { TIMED_OUT } else { exit_code };
                return Ok(Ended {
                    exit_code,
                    timed_out,
                    interrupted,
                });
            }
            let now = Instant::now();
            let next = match self.kill_at {
                None if now < self.deadline => self.deadline,
                Some(kill_at) if now < kill_at => kill_at,
                None => {
                    timed_out = true;
                    say("the time limit is over: the command gets TERM, and KILL in 5 s");
                    self.send(Signal::SIGTERM);
                    now + GRACE
                }
                Some(_) => {
                    self.send(Signal::SIGKILL);
                    // Again in a second, should a new member of the group have been born meanwhile.
                    now + Duration::from_secs(1)
                }
            };
            if timed_out {
                self.kill_at = Some(next);
            }
            let until_next = next.saturating_duration_since(now);
            // poll counts milliseconds: one more, so that it does not wake just too early, again and again.
            let wait = u16::try_from(until_next.as_millis())
                .unwrap_or(u16::MAX)
                .saturating_add(1);
            let mut ready = [PollFd::new(self.events.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::from(wait)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
            while let Some(event) = self.events.read_signal()? {
                let signal = i32::try_from(event.ssi_signo)
                    .ok()
                    .and_then(|n| Signal::try_from(n).ok());
                if let Some(signal) = signal.filter(|signal| PASSED_ON.contains(signal)) {
                    self.send(signal);
                    if !matches!(signal, Signal::SIGUSR1 | Signal::SIGUSR2) {
                        interrupted = interrupted.or(Some(signal));
                    }
                }
            }
        }
    }

    /// Takes every process that has ended: as process 1 we inherit orphans. Gives back the exit code
    /// of the command, when it is among them.
    fn reap(&self) -> Result<Option<u8>, Errno> {
        loop {
            let (pid, code) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code & 0xff),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Ok(WaitStatus::StillAlive) => return Ok(None),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(error) => return Err(error),
            };
            if pid == self.group {
                return Ok(Some(u8::try_from(code).unwrap_or(u8::MAX)));
            }
        }
    }

    /// To the whole group; it may be gone already.
    fn send(&self, signal: Signal) {
        let _ = killpg(self.group, signal);
    }
}

/// Copies both outputs through and into the tail. The receiver ends when both are at their end.
fn copy_output(child: &mut Child, tail: &SharedTail) -> Receiver<()> {
    let (sender, receiver) = channel();
    if let Some(stdout) = child.stdout.take() {
        let (sender, tail) = (sender.clone(), Arc::clone(tail));
        thread::spawn(move || copy(stdout, std::io::stdout(), Stream::Out, &tail, sender));
    }
    if let Some(stderr) = child.stderr.take() {
        let tail = Arc::clone(tail);
        thread::spawn(move || copy(stderr, std::io::stderr(), Stream::Err, &tail, sender));
    }
    receiver
}

fn copy(
    mut from: impl Read,
    mut to: impl Write,
    stream: Stream,
    tail: &SharedTail,
    at_end: Sender<()>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        // A log that cannot be written must not stop the command.
        let _ = to.write_all(&buffer[..count]).and_then(|()| to.flush());
        tail.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(stream, &buffer[..count]);
    }
    drop(at_end);
}

/// As the first process of a container: ends all others, so that none of them can write into the
/// summary's file after us.
fn end_everything_else() {
    if getpid().as_raw() == 1 {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        while !matches!(waitpid(Pid::from_raw(-1), None), Err(Errno::ECHILD)) {}
    }
}

fn write_summary(path: &Path, summary: &Summary) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all(&summary.to_bytes())
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "floe-gate: {text}");
}
