//! The programs of others that floe's work is measured by: each sees the registries of one test, and nothing of
//! this machine's configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::oci::digest_of;
use crate::process::tool;
use crate::stand::{Asks, PASSWORD, Stand, USER};
use crate::wait::seconds;

/// Programs with the logins and authorities of some registries.
pub struct Programs {
    home: TempDir,
    hosts: Vec<Host>,
}

struct Host {
    name: String,
    tls: bool,
    login: bool,
}

/// How a program ended.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Programs {
    /// For the registries of a test.
    pub fn for_stands(stands: &[&Stand]) -> Self {
        let home = tempfile::Builder::new()
            .prefix("programs-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("make a folder");
        let hosts: Vec<Host> = stands
            .iter()
            .map(|stand| Host {
                name: stand.host.clone(),
                tls: stand.way.tls,
                login: stand.way.asks != Asks::Nothing,
            })
            .collect();
        let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let auths: HashMap<_, _> = hosts
            .iter()
            .filter(|host| host.login)
            .map(|host| (host.name.clone(), json!({ "auth": auth })))
            .collect();
        let authorities: String = stands
            .iter()
            .filter_map(|stand| stand.authority.clone())
            .collect();
        write(&home, "config.json", &json!({ "auths": auths }).to_string());
        write(&home, "authorities.pem", &authorities);
        // With nothing in it, cosign asks nobody outside.
        let nobody = json!({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"});
        write(&home, "signing-config.json", &nobody.to_string());
        Self { home, hosts }
    }

    /// A file in the folder that the programs work in.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes such a file.
    pub fn write(&self, name: &str, text: &str) {
        write(&self.home, name, text);
    }

    /// Runs a program of `e2e/tools`, or one of this machine where that has none of the name.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        let home = self.home.path();
        let running = Command::new(path_of(program))
            .args(arguments)
            .current_dir(home)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home)
            .env("DOCKER_CONFIG", home)
            .env("REGISTRY_AUTH_FILE", home.join("config.json"))
            .env("SSL_CERT_FILE", home.join("authorities.pem"))
            .env("SSL_CERT_DIR", home.join("none"))
            .env("COSIGN_PASSWORD", "")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(seconds(120), running)
            .await
            .unwrap_or_else(|_| panic!("{program} {arguments:?} still runs after two minutes"))
            .unwrap_or_else(|why| panic!("cannot start {program}: {why}"));
        Ended {
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs one that has to succeed, and gives back what it printed.
    pub async fn ok(&self, program: &str, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.bytes(program, arguments).await).into_owned()
    }

    async fn bytes(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let ended = self.run(program, arguments).await;
        assert!(
            ended.status.success(),
            "{program} {arguments:?}: {}\n{}",
            ended.status,
            ended.stderr
        );
        ended.stdout
    }

    /// The digest that `reference` (`host/name:tag` or `@digest`) has in the eyes of crane, regctl and skopeo, who
    /// must agree; skopeo hashes the bytes that it gets, the other two ask.
    pub async fn digest(&self, reference: &str) -> String {
        let host = self.host(reference);
        let insecure = if host.tls {
            "--insecure=false"
        } else {
            "--insecure"
        };
        let crane = self.ok("crane", &["digest", insecure, reference]).await;
        let verify = format!("--tls-verify={}", host.tls);
        let place = format!("docker://{reference}");
        let skopeo = self
            .bytes("skopeo", &["inspect", "--raw", &verify, &place])
            .await;
        let regctl = self.regctl(reference, &["manifest", "head"]).await;
        let seen = [crane.trim(), &digest_of(&skopeo), regctl.trim()];
        assert!(
            seen.iter().all(|digest| *digest == seen[0]),
            "crane, skopeo and regctl see {seen:?} at {reference}"
        );
        seen[0].to_owned()
    }

    /// Runs regctl, with the reference as its last argument.
    pub async fn regctl(&self, reference: &str, arguments: &[&str]) -> String {
        let host = self.host(reference);
        let tls = if host.tls { "enabled" } else { "disabled" };
        let mut way = format!("--host=reg={},tls={tls}", host.name);
        if host.login {
            way = format!("{way},user={USER},pass={PASSWORD}");
        }
        let mut all = vec![way.as_str()];
        all.extend(arguments);
        all.push(reference);
        self.ok("regctl", &all).await
    }

    /// Runs cosign on a reference. Nothing is asked of the public Sigstore services.
    pub async fn cosign(&self, arguments: &[&str], reference: &str) -> Ended {
        let mut all = arguments.to_vec();
        if !self.host(reference).tls {
            all.push("--allow-http-registry");
        }
        all.push(reference);
        self.run("cosign", &all).await
    }

    fn host(&self, reference: &str) -> &Host {
        let name = reference
            .split_once('/')
            .map_or(reference, |(name, _)| name);
        let found = self.hosts.iter().find(|host| host.name == name);
        found.unwrap_or_else(|| panic!("{reference} is in none of this test's registries"))
    }
}

impl Ended {
    /// Its output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&self.stdout)))
    }
}

/// Where a program is; built on first use.
fn path_of(program: &str) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    if program == "skopeo" {
        // Not a Go module: e2e/registries/run installs Debian's.
        return PathBuf::from("/usr/bin/skopeo");
    }
    let mut built = BUILT.lock().expect("no holder panics");
    built
        .entry(program.to_owned())
        .or_insert_with(|| tool(program))
        .clone()
}

fn write(home: &TempDir, name: &str, text: &str) {
    let path: &Path = &home.path().join(name);
    std::fs::write(path, text).expect("write a file");
}
