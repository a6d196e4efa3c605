use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::compliance::{Exception, Rule, RuleSet};
use crate::domain::policy::cloud::CloudAccount;

/// What the operator's image does in the Pods of gates.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum GateCommand {
    /// Write the files of an artifact into a folder: layers with a title, and what known archives hold.
    Fetch(FetchArguments),
    /// Fetch an artifact and check its documents: form, version, literal secrets, rules.
    // Its own --version takes the place of the one that prints the program's version.
    #[command(disable_version_flag = true)]
    Validate(ValidateArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FetchArguments {
    #[command(flatten)]
    pub(super) source: Source,
    /// Folder for the whole artifact as an OCI image layout; it must exist.
    #[arg(long)]
    pub(super) layout: Option<PathBuf>,
    /// Name of the artifact in that layout, such as its version. Tools need none for a single artifact.
    #[arg(long, requires = "layout")]
    pub(super) layout_name: Option<Tag>,
    /// Program to copy for the gate's container.
    #[arg(long, requires = "bin_to")]
    pub(super) bin_from: Option<PathBuf>,
    /// Where that program goes.
    #[arg(long, requires = "bin_from")]
    pub(super) bin_to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ValidateArguments {
    #[command(flatten)]
    pub(super) source: Source,
    /// Version that is promoted: metadata.version of manifest.yaml must be the same, a leading v aside.
    #[arg(long)]
    pub(super) version: String,
    /// Literal secrets are errors, not warnings.
    #[arg(long)]
    pub(super) strict: bool,
    /// Name of the artifact, for rules.
    #[arg(long, value_name = "NAME")]
    pub(super) artifact: String,
    /// Name of the environment that it enters, for rules.
    #[arg(long, value_name = "NAME")]
    pub(super) environment: String,
    /// Name of the environment that it comes from, for rules.
    #[arg(long, value_name = "NAME")]
    pub(super) from: Option<String>,
    /// A rule of the environment, as one of policyRules; once for each.
    #[arg(long = "rule", value_name = "JSON", value_parser = json::<Rule>)]
    rules: Vec<Rule>,
    /// A finding that is accepted for a time, as one of policyExceptions; once for each.
    #[arg(long = "exception", value_name = "JSON", value_parser = json::<Exception>)]
    exceptions: Vec<Exception>,
    /// An artifact without manifest.yaml is refused.
    #[arg(long)]
    require_manifest: bool,
}

impl ValidateArguments {
    /// What the environment asks for.
    pub(super) fn rule_set(&self) -> RuleSet {
        RuleSet {
            rules: self.rules.clone(),
            exceptions: self.exceptions.clone(),
            require_manifest: self.require_manifest,
        }
    }
}

/// Which artifact, how to reach it, and where its files go.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// Artifact as REPOSITORY@sha256:DIGEST.
    #[arg(long, value_parser = reference)]
    pub(super) reference: (Repository, Digest),
    /// Folder for the files; it must exist.
    #[arg(long)]
    pub(super) out: PathBuf,
    /// Docker configuration with the registry's credentials; without it floe asks anonymously.
    #[arg(long)]
    pub(super) docker_config: Option<PathBuf>,
    /// Account of a cloud as which to log in, as JSON.
    #[arg(long, value_name = "JSON", value_parser = json::<CloudAccount>, conflicts_with = "docker_config")]
    pub(super) cloud_account: Option<CloudAccount>,
    /// File with a token of the ServiceAccount that stands for it; without it the account is that of the node.
    #[arg(long, requires = "cloud_account")]
    pub(super) cloud_token: Option<PathBuf>,
    /// Certificate authority of the registry (PEM).
    #[arg(long)]
    pub(super) ca: Option<PathBuf>,
    /// Speak HTTP without TLS.
    #[arg(long)]
    pub(super) plain_http: bool,
    /// File for the last word: why it could not be fetched, or the result of the check.
    #[arg(long)]
    pub(super) termination_log: Option<PathBuf>,
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn reference(text: &str) -> Result<(Repository, Digest), String> {
    let (repository, digest) = text
        .split_once('@')
        .ok_or("it must be REPOSITORY@sha256:DIGEST; tags can move")?;
    Ok((
        repository.parse().map_err(|error| format!("{error}"))?,
        digest.parse().map_err(|error| format!("{error}"))?,
    ))
}
