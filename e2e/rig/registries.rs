//! Real registries as processes of the host.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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

/// A registry of its own for one world.
pub struct Registry {
    pub kind: Kind,
    pub address: SocketAddr,
    folder: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

/// In the query of each request that the rig makes by itself, so that the access log tells them apart.
pub const OWN_REQUEST: &str = "rig=1";

impl Registry {
    /// Starts one and waits until it answers.
    pub async fn start(kind: Kind, folder: &Path, name: &str) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).expect("make a folder");
        let log = folder.join("registry.log");
        let mut registry = Self {
            kind,
            address: free_address(),
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
                std::fs::write(&config, distribution_config(address, &data)).expect("write a file");
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
                let args = [format!("-address={address}")];
                Process::start(&tool("registry-referrers"), &args, &[], &self.log)
            }
        };
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("make an HTTP client");
        let ping = format!("http://{address}/v2/?{OWN_REQUEST}");
        process
            .until_ready(seconds(20), async || {
                http.get(&ping)
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
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

fn distribution_config(address: SocketAddr, data: &Path) -> String {
    format!(
        "version: 0.1\n\
         log: {{level: warn, accesslog: {{disabled: false}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: \"{address}\"}}\n",
        data.display()
    )
}
