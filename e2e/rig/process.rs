//! Programs that the rig runs: each with its own log, and none of them outlives the rig.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::wait::until;

/// A program that runs until it is killed or dropped.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program; its output is appended to the log.
    ///
    /// `setpriv --pdeathsig` makes the kernel kill it when the rig dies in any way: a rig that was killed
    /// itself cannot clean up.
    pub fn start(program: &Path, args: &[String], env: &[(&str, &str)], log: &Path) -> Self {
        let name = program
            .file_name()
            .expect("a program has a name")
            .to_string_lossy()
            .into_owned();
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("open a log");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("share a log"))
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|why| {
                panic!("cannot start {name}: {why} (setpriv is in Debian's util-linux)")
            });
        Self {
            name,
            log: log.to_owned(),
            child,
        }
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("look at a child")
    }

    /// Kills it the hard way and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("kill a child");
    }

    /// Asks it to end (SIGTERM), and says how it ended.
    pub async fn terminate(&mut self, limit: Duration) -> std::process::ExitStatus {
        let pid = self.pid().expect("the process runs").to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .expect("run kill");
        assert!(sent.success(), "kill -TERM {pid}: {sent}");
        tokio::time::timeout(limit, self.child.wait())
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "{} did not end within {limit:?} after TERM\n{}",
                    self.name,
                    self.tail()
                )
            })
            .expect("wait for a child")
    }

    /// Waits until `check` says yes; fails at once when the program ends before that.
    pub async fn until_ready(&mut self, limit: Duration, mut check: impl AsyncFnMut() -> bool) {
        let name = self.name.clone();
        until(&format!("{name} is ready"), limit, async || {
            if let Some(status) = self.ended() {
                panic!("{name} ended: {status}\n{}", self.tail());
            }
            check().await.then_some(())
        })
        .await;
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail(&self.log, 60)
    }
}

/// The last lines of a log.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let shown = &all[all.len().saturating_sub(lines)..];
    format!("--- {}\n{}", log.display(), shown.join("\n"))
}

/// An address on loopback that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind to loopback");
    listener
        .local_addr()
        .expect("a bound socket has an address")
}

/// The path of a tool, built by `e2e/tools/get` when it is not there yet.
pub fn tool(name: &str) -> PathBuf {
    let get = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/tools/get");
    let output = std::process::Command::new(&get)
        .arg(name)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|why| panic!("cannot run {}: {why}", get.display()));
    assert!(
        output.status.success(),
        "{} {name}: {}",
        get.display(),
        output.status
    );
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}
