//! Real registries as processes of the host.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;

use crate::process::{Process, free_address, tool};
use crate::wait::seconds;

/// Which registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CNCF distribution: no referrers API, so that records are found by the fallback tag.
    Distribution,
    /// go-containerregistry's registry with the referrers API.
    Referrers,
}

/// How a registry is entered, as each kind is told; by default over plain HTTP, by everybody.
#[derive(Clone, Default)]
pub struct Door {
    /// The authority of its certificate, when it speaks TLS.
    pub authority: Option<String>,
    /// Further lines of distribution's configuration.
    pub distribution: String,
    /// Further arguments of the other registry.
    pub arguments: Vec<String>,
}

/// A registry of its own for one world.
pub struct Registry {
    pub kind: Kind,
    pub address: SocketAddr,
    door: Door,
    folder: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

/// In the query of each request that the rig makes by itself, so that the access log tells them apart.
pub const OWN_REQUEST: &str = "rig=1";

impl Registry {
    /// Starts one and waits until it answers.
    pub async fn start(kind: Kind, folder: &Path, name: &str) -> Self {
        Self::start_behind(kind, folder.join(name), Door::default()).await
    }

    /// Starts one behind a door, with a folder of its own.
    pub async fn start_behind(kind: Kind, folder: PathBuf, door: Door) -> Self {
        std::fs::create_dir_all(&folder).expect("make a folder");
        let log = folder.join("registry.log");
        let mut registry = Self {
            kind,
            address: free_address(),
            door,
            folder,
            log,
            process: None,
        };
        registry.up().await;
        registry
    }

    /// Starts it again at the same address.
    pub async fn up(&mut self) {
        let address = self.address;
        let mut process = match self.kind {
            Kind::Distribution => {
                let config = self.folder.join("config.yml");
                let data = self.folder.join("data");
                let lines = distribution_config(address, &data, &self.door);
                std::fs::write(&config, lines).expect("write a file");
                let args = ["serve".to_owned(), config.display().to_string()];
                // It would look for a collector of traces on this machine, and complain.
                Process::start(
                    &tool("registry"),
                    &args,
                    &[("OTEL_TRACES_EXPORTER", "none")],
                    &self.log,
                )
            }
            Kind::Referrers => {
                let mut args = self.door.arguments.clone();
                args.push(format!("-address={address}"));
                Process::start(&tool("registry-referrers"), &args, &[], &self.log)
            }
        };
        let mut http = reqwest::Client::builder().no_proxy();
        let mut scheme = "http";
        if let Some(pem) = &self.door.authority {
            let authority = reqwest::Certificate::from_pem(pem.as_bytes());
            http = http.tls_certs_only([authority.expect("a certificate")]);
            scheme = "https";
        }
        let http = http.build().expect("make an HTTP client");
        let ping = format!("{scheme}://{address}/v2/?{OWN_REQUEST}");
        let up = |status: StatusCode| status.is_success() || status == StatusCode::UNAUTHORIZED;
        process
            .until_ready(seconds(20), async || {
                http.get(&ping)
                    .send()
                    .await
                    .is_ok_and(|answer| up(answer.status()))
            })
            .await;
        self.process = Some(process);
    }

    /// How many requests its own log has, without those of the rig.
    pub fn logged(&self) -> usize {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines()
            .filter(|line| self.is_request(line) && !line.contains(OWN_REQUEST))
            .count()
    }

    fn is_request(&self, line: &str) -> bool {
        match self.kind {
            // The access log in Apache's combined form.
            Kind::Distribution => line.contains("\" ") && line.contains(" HTTP/1.1\" "),
            Kind::Referrers => line.contains(" /v2/"),
        }
    }
}

fn distribution_config(address: SocketAddr, data: &Path, door: &Door) -> String {
    format!(
        "version: 0.1\n\
         log: {{level: warn, accesslog: {{disabled: false}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http:\n  addr: \"{address}\"\n{}",
        data.display(),
        door.distribution
    )
}
