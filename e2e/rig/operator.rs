//! The operator as a process of the host, whose only way to the servers is the proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Mutex;

use crate::process::{Process, free_address, tail};
use crate::proxy::Killable;
use crate::wait::{seconds, until};

/// How an operator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name: claims and leases are held under it.
    pub identity: String,
    /// Kubeconfig that leads to the proxy.
    pub kubeconfig: PathBuf,
    /// The only namespace it looks at; all of them when there is none.
    pub namespace: Option<String>,
    /// Leader election.
    pub leader_election: bool,
    /// Namespace of its Lease and of its keys.
    pub own_namespace: String,
    /// Further arguments.
    pub more: Vec<String>,
    /// Folder of its log.
    pub folder: PathBuf,
}

/// One operator process.
pub struct Operator {
    pub name: String,
    pub health: SocketAddr,
    pid: u32,
    log: PathBuf,
    http: reqwest::Client,
    process: Mutex<Process>,
}

impl Operator {
    /// Starts one. It is not ready yet.
    pub fn start(options: &Options) -> Arc<Self> {
        let program = std::env::var_os("FLOE_RIG_OPERATOR")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_floe")), PathBuf::from);
        let health = free_address();
        let mut args = vec![
            "operator".to_owned(),
            format!("--kubeconfig={}", options.kubeconfig.display()),
            format!("--identity={}", options.identity),
            format!("--leader-election={}", options.leader_election),
            format!("--operator-namespace={}", options.own_namespace),
            format!("--listen={health}"),
            "--image=rig.invalid/floe:test".to_owned(),
        ];
        args.extend(
            options
                .namespace
                .iter()
                .map(|namespace| format!("--namespace={namespace}")),
        );
        args.extend(options.more.iter().cloned());
        let log = options
            .folder
            .join(format!("operator-{}.log", options.identity));
        // Nothing of the rig's own environment may lead it elsewhere.
        let env = [
            ("KUBECONFIG", ""),
            ("NO_PROXY", "*"),
            ("no_proxy", "*"),
            ("RUST_LOG", "info,floe=debug"),
            ("RUST_BACKTRACE", "1"),
        ];
        let process = Process::start(Path::new(&program), &args, &env, &log);
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("make an HTTP client");
        let pid = process.pid().expect("it has just been started");
        Arc::new(Self {
            name: options.identity.clone(),
            health,
            pid,
            log,
            http,
            process: Mutex::new(process),
        })
    }

    /// Waits until it says that it is ready.
    pub async fn until_ready(&self, limit: Duration) {
        until(
            &format!("operator '{}' is ready", self.name),
            limit,
            async || {
                if let Some(status) = self.process.lock().await.ended() {
                    panic!(
                        "operator '{}' ended: {status}\n{}",
                        self.name,
                        self.tail(60)
                    );
                }
                self.is_ready().await.then_some(())
            },
        )
        .await;
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let ready = format!("http://{}/readyz", self.health);
        let answer = self.http.get(&ready).timeout(seconds(2)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// The value of one of its metrics.
    pub async fn metric(&self, name: &str) -> Option<String> {
        let address = format!("http://{}/metrics", self.health);
        let answer = self
            .http
            .get(&address)
            .timeout(seconds(2))
            .send()
            .await
            .ok()?;
        let text = answer.text().await.ok()?;
        let value = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix(' ')
                .map(str::to_owned)
        };
        text.lines().find_map(value)
    }

    /// Waits until it is gone, however it ends.
    pub async fn until_gone(&self, limit: Duration) {
        until("the operator is gone", limit, async || {
            self.process.lock().await.ended()
        })
        .await;
    }

    /// Whether it runs.
    pub async fn is_running(&self) -> bool {
        self.process.lock().await.ended().is_none()
    }

    /// Asks it to end, and says how it did.
    pub async fn terminate(&self, limit: Duration) -> std::process::ExitStatus {
        self.process.lock().await.terminate(limit).await
    }

    /// Its whole log.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).expect("there is a log")
    }

    /// The last lines of its log.
    pub fn tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }
}

impl Killable for Operator {
    fn name(&self) -> &str {
        &self.name
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn kill(&self) -> BoxFuture<'_, ()> {
        async {
            let mut process = self.process.lock().await;
            if process.ended().is_none() {
                process.kill().await;
            }
        }
        .boxed()
    }
}
