//! Each program's way to say the same.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use crate::process::tool;

/// What is measured. regctl carries what is attached only when it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Floor,
    Floe,
    Crane,
    Regctl,
    RegctlAll,
    Skopeo,
}

/// A tag in a repository of a registry.
#[derive(Clone)]
pub struct Tagged {
    pub host: SocketAddr,
    pub name: String,
    pub tag: String,
}

struct Paths {
    own: PathBuf,
    crane: PathBuf,
    regctl: PathBuf,
}

static PATHS: LazyLock<Paths> = LazyLock::new(|| Paths {
    own: std::env::current_exe().expect("this program has a path"),
    crane: tool("crane"),
    regctl: tool("regctl"),
});

impl Program {
    pub const ALL: [Self; 6] = [
        Self::Floor,
        Self::Floe,
        Self::Crane,
        Self::Regctl,
        Self::RegctlAll,
        Self::Skopeo,
    ];

    /// As the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Floe => "floe",
            Self::Crane => "crane",
            Self::Regctl => "regctl",
            Self::RegctlAll => "regctl, all",
            Self::Skopeo => "skopeo",
        }
    }

    /// Gives an artifact another tag in its repository.
    pub fn retag(self, from: &Tagged, to: &str) -> Command {
        let target = Tagged {
            tag: to.to_owned(),
            ..from.clone()
        };
        let (from, reference) = (from, from.reference());
        match self {
            Self::Floor => command(
                &PATHS.own,
                &["floor", "retag", &from.repository(), &from.tag, to],
            ),
            Self::Floe => command(
                env!("CARGO_BIN_EXE_floe"),
                &["registry", "tag", "--plain-http", &reference, to],
            ),
            Self::Crane => command(&PATHS.crane, &["tag", "--insecure", &reference, to]),
            // They have no other way to give a tag than a copy within the repository.
            Self::Regctl | Self::RegctlAll | Self::Skopeo => self.copy(from, &target),
        }
    }

    /// Copies an artifact.
    pub fn copy(self, from: &Tagged, to: &Tagged) -> Command {
        let (source, target) = (from.reference(), to.reference());
        match self {
            Self::Floor => command(
                &PATHS.own,
                &[
                    "floor",
                    "copy",
                    &from.repository(),
                    &from.tag,
                    &to.repository(),
                    &to.tag,
                ],
            ),
            Self::Floe => command(
                env!("CARGO_BIN_EXE_floe"),
                &["registry", "copy", "--plain-http", &source, &target],
            ),
            Self::Crane => command(&PATHS.crane, &["copy", "--insecure", &source, &target]),
            Self::Regctl | Self::RegctlAll => {
                let hosts =
                    [from.host, to.host].map(|host| format!("--host=reg={host},tls=disabled"));
                let mut arguments = vec![&*hosts[0], &hosts[1], "image", "copy"];
                if self == Self::RegctlAll {
                    arguments.extend(["--referrers", "--digest-tags"]);
                }
                arguments.extend([&*source, &target]);
                command(&PATHS.regctl, &arguments)
            }
            Self::Skopeo => {
                let mut command = command(
                    "/usr/bin/skopeo",
                    &[
                        "copy",
                        "--all",
                        "--preserve-digests",
                        "--insecure-policy",
                        "--src-tls-verify=false",
                        "--dest-tls-verify=false",
                        &format!("docker://{source}"),
                        &format!("docker://{target}"),
                    ],
                );
                // It keeps a file about blobs that it has seen, and would mount instead of copy from the second round
                // on: as nobody in particular, and with no place for that file, it does not.
                command
                    .env("_CONTAINERS_ROOTLESS_UID", "65534")
                    .env("XDG_DATA_HOME", "/dev/null");
                command
            }
        }
    }
}

impl Tagged {
    pub fn new(host: SocketAddr, name: &str, tag: &str) -> Self {
        Self {
            host,
            name: name.to_owned(),
            tag: tag.to_owned(),
        }
    }

    fn reference(&self) -> String {
        format!("{}/{}:{}", self.host, self.name, self.tag)
    }

    fn repository(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }
}

fn command(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    // Nobody's logins and configuration.
    command
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent");
    command
}
