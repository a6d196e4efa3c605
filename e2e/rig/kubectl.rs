//! kubectl, as people and CI use it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::control_plane::{ControlPlane, Identity};
use crate::process::tool;

/// kubectl as one identity, straight to the API server.
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// Writes the kubeconfig that it uses.
    pub fn new(control_plane: &ControlPlane, folder: &Path, identity: Identity) -> Self {
        let kubeconfig = folder.join(format!("kubeconfig-{identity:?}"));
        let content = control_plane
            .kubeconfig(&control_plane.url, identity)
            .to_string();
        std::fs::write(&kubeconfig, content).expect("write a file");
        Self {
            program: tool("kubectl"),
            kubeconfig,
        }
    }

    /// Runs it; standard output when it succeeds, else all that it said.
    pub async fn run(&self, args: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(&self.program)
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .arg(format!("--cache-dir={}.cache", self.kubeconfig.display()))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("start kubectl");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin
            .write_all(input.as_bytes())
            .await
            .expect("write to kubectl");
        drop(stdin);
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().await.expect("wait for kubectl");
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        if status.success() {
            Ok(stdout)
        } else {
            Err(format!("{stdout}{}", String::from_utf8_lossy(&stderr)))
        }
    }
}
