//! What can be typed after `floe registry`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::reference::Named;
use crate::cli::platform::args::OutputArguments;
use crate::domain::artifact::Tag;

/// Stands for every registry after `--plain-http`.
const EVERY_REGISTRY: &str = "*";

const REGISTRY_HELP: &str = "\
An artifact is written REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST, with the registry's host in full. The login
is the one of `docker login`: it is read from the config.json in $DOCKER_CONFIG or ~/.docker.

Exit codes:
   0  done
   1  unexpected: a registry that does not answer or cannot be believed; something was left out
   2  usage: the command was refused as it is
  10  the tag exists with another digest; it is never overwritten
  11  the artifact is not there
  12  the registry does not let you";

/// What is to be done in registries.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = REGISTRY_HELP
)]
pub(in crate::cli) struct RegistryArguments {
    #[command(flatten)]
    pub(super) reach: ReachArguments,
    #[command(subcommand)]
    pub(super) verb: RegistryVerb,
}

#[derive(Debug, Args)]
pub(super) struct ReachArguments {
    /// Speak HTTP without TLS: with this registry (host and port), or, without a value, with every one
    /// that the command names. Can be repeated.
    #[arg(
        long,
        global = true,
        value_name = "REGISTRY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = EVERY_REGISTRY,
        help_heading = "Registry"
    )]
    plain_http: Vec<String>,
    /// Certificate authority of the registries (PEM), besides those of the system.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Registry")]
    pub(super) ca: Option<PathBuf>,
    /// Folder of the docker configuration with the login; default: ~/.docker.
    #[arg(
        long,
        global = true,
        env = "DOCKER_CONFIG",
        hide_env_values = true,
        value_name = "FOLDER",
        help_heading = "Registry"
    )]
    pub(super) docker_config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RegistryVerb {
    Tag(TagArguments),
    Copy(CopyArguments),
    Tree(TreeArguments),
}

/// Give an artifact another tag in its repository.
///
/// The manifest keeps its bytes, so it keeps its digest. The tag is looked at before and after it is
/// written; one that exists with another digest is never overwritten (exit code 10).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe registry tag registry.example/team/app:1.2.3 1.2.3-prod
  floe registry tag registry.example/team/app@sha256:... 1.2.3-prod -o json")]
pub(super) struct TagArguments {
    /// Artifact: REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST.
    pub(super) artifact: Named,
    /// Tag to write.
    #[arg(value_name = "NEW TAG")]
    pub(super) tag: Tag,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Copy a whole artifact to another repository or registry, and then tag it there.
///
/// Index, manifests, configs and layers; referrers (signatures, SBOMs, records) at any depth; and cosign's
/// older tags sha256-<hex>.sig, .att and .sbom. Nothing is changed on the way, every digest is checked, and
/// what the target has already is not sent again, so the same command goes on where it was cut off. The tag
/// comes last; one that exists with another digest is never overwritten (exit code 10).
///
/// Everything is named in the result. What is attached and could not be carried, because the target takes
/// no referrers or something is broken in the source, does not stop the artifact itself; then the exit code
/// is 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe registry copy registry.example/team/app:1.2.3 mirror.example/team/app
  floe registry copy registry.example/team/app@sha256:... mirror.example/team/app:1.2.3-prod -o json
  floe registry copy --plain-http=127.0.0.1:5000 127.0.0.1:5000/app:1 registry.example/team/app:1")]
pub(super) struct CopyArguments {
    /// Artifact: REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST.
    #[arg(value_name = "SOURCE")]
    pub(super) from: Named,
    /// Where to: REGISTRY/NAME[:TAG]. Without a tag, that of the source; when there is none either, no tag
    /// is written.
    #[arg(value_name = "TARGET")]
    pub(super) to: Named,
    /// Copy the artifact alone, without what is attached to it.
    #[arg(long)]
    pub(super) no_referrers: bool,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Show everything that belongs to an artifact: manifests, blobs, referrers, cosign's older tags.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe registry tree registry.example/team/app:1.2.3
  floe registry tree registry.example/team/app@sha256:... -o json")]
pub(super) struct TreeArguments {
    /// Artifact: REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST.
    pub(super) artifact: Named,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

impl RegistryArguments {
    /// Blobs are copied side by side; everything else is a few requests, one after the other.
    pub(in crate::cli) fn works_side_by_side(&self) -> bool {
        matches!(self.verb, RegistryVerb::Copy(_))
    }
}

impl ReachArguments {
    /// Whether this registry is spoken to without TLS.
    pub(super) fn is_plain(&self, registry: &str) -> bool {
        let mut named = self.plain_http.iter();
        named.any(|name| name == EVERY_REGISTRY || name == registry)
    }
}
