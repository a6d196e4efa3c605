//! What can be typed after `floe platform`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::audit::args::AuditVerb;
use crate::cli::args::duration;

const PLATFORM_HELP: &str = "\
Environments are the EnvironmentPolicies of a namespace; a version moves between them by Promotions. These
commands do nothing that kubectl could not do with the same kubeconfig and the same rights.

Exit codes:
   0  done
   1  unexpected: no cluster, a registry that does not answer, a defect
   2  usage: the command or the object was refused as it is
   8  a gate failed, could not be run or was too slow; a check found something (validate, audit verify)
   9  the transition is not allowed
  10  the tag exists with another digest
  11  the version is not in the environment it should come from, or was not published
  12  you, or the operator at the registry, may not do this
  13  the environment is locked
  14  it still waits at the time limit
  15  denied, expired, aborted or deleted";

/// How the cluster is reached, and what is to be done there.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = PLATFORM_HELP
)]
pub(in crate::cli) struct PlatformArguments {
    #[command(flatten)]
    pub(in crate::cli) cluster: ClusterArguments,
    #[command(subcommand)]
    pub(in crate::cli) verb: Verb,
}

#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct ClusterArguments {
    /// Kubeconfig file; without it KUBECONFIG, ~/.kube/config or the Pod's ServiceAccount.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cluster")]
    pub(in crate::cli) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; default: the current one.
    #[arg(long, global = true, help_heading = "Cluster")]
    pub(in crate::cli) context: Option<String>,
    /// Namespace; default: the namespace of the context.
    #[arg(short, long, global = true, help_heading = "Cluster")]
    pub(in crate::cli) namespace: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Verb {
    Publish(PublishArguments),
    Validate(ValidateArguments),
    Promote(PromoteArguments),
    Abort(AbortArguments),
    /// Show what each environment holds, or how far one promotion is.
    Status(StatusArguments),
    /// List the versions that were promoted into the environments.
    List(ListArguments),
    /// Read the records of promotions, and check that they are genuine, complete and unchanged.
    #[command(subcommand)]
    Audit(AuditVerb),
    Repair(RepairArguments),
    Gc(GcArguments),
}

/// Show the keys that sign the records of a namespace, the active one first; replace or revoke one.
///
/// Active: it signs now. Retired: another one has replaced it, and what it has signed counts. Revoked: nothing counts
/// that it has signed. Public keys are public: everybody who has a login at the cluster may read them. With the PEM
/// anybody can check a record, without floe and without the cluster.
///
/// Changes take the right to read, create and change Secrets, and to change the ConfigMap floe-record-keys, in the
/// operator's namespace. The operator takes a new key within a minute. A change that was interrupted goes on when the
/// same command is given again; promotions go on meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform audit key
  floe platform audit key --pem > floe.pub
  cosign verify-attestation --key floe.pub --insecure-ignore-tlog \\
    --type https://floe.dev/promotion/v1/prod registry.example/team/app@sha256:...
  floe platform audit key --rotate
  floe platform audit key --revoke sha256:1b2c... --reason 'the backup was stolen'")]
#[command(group(ArgGroup::new("change").args(["new", "rotate", "revoke"])))]
pub(in crate::cli) struct AuditKeyArguments {
    #[command(flatten)]
    pub(in crate::cli) keys: KeysArguments,
    /// Print keys in PEM: all whose signatures count, the active one first. cosign takes the first of a file.
    #[arg(long, conflicts_with = "change")]
    pub(in crate::cli) pem: bool,
    /// Show this key only. The first digits are enough.
    #[arg(long, value_name = "KEY-ID", conflicts_with = "change")]
    pub(in crate::cli) id: Option<String>,
    /// Make a new key, when the Secret with the active one is lost. What the lost one has signed still counts.
    #[arg(long)]
    pub(in crate::cli) new: bool,
    /// Replace the active key. It signs a statement that names the new one, and its private half is deleted.
    #[arg(long)]
    pub(in crate::cli) rotate: bool,
    /// Revoke a key: what it has signed counts for nothing any more. The active one is replaced at the same time. The
    /// operator signs the records that its ledgers name anew. The first digits are enough.
    #[arg(long, value_name = "KEY-ID", requires = "reason")]
    pub(in crate::cli) revoke: Option<String>,
    /// Why it is revoked; everybody can read it.
    #[arg(long, requires = "revoke")]
    pub(in crate::cli) reason: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// Pack files as an OCI artifact, push it, and promote it into the first environment.
///
/// The same files give the same digest on every machine. With one folder as PATH, the files in it lie at
/// the root of the artifact; with several PATHs, each lies under its own last name. Folders named .git are
/// left out; links are refused.
///
/// The artifact gets the tag <VERSION>. A tag that exists with another digest is never overwritten
/// (exit code 10); one with the same digest is left as it is. The login is the one of `docker login`:
/// it is read from the config.json in $DOCKER_CONFIG or ~/.docker.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform publish ./platform --version 1.2.3
  floe platform publish manifest.yaml policies --version 1.2.3 --revision \"$(git rev-parse HEAD)\"
  floe platform publish ./platform --version 1.2.3 --no-promote -o json")]
pub(in crate::cli) struct PublishArguments {
    /// Files and folders to publish.
    #[arg(required = true, value_name = "PATH")]
    pub(in crate::cli) paths: Vec<PathBuf>,
    /// Version to publish: SemVer 2, with or without a leading v.
    #[arg(long)]
    pub(in crate::cli) version: String,
    /// Artifact, as the EnvironmentPolicy names it; may be left out when it has one only.
    #[arg(long)]
    pub(in crate::cli) artifact: Option<String>,
    /// First environment; may be left out when there is one only.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(in crate::cli) to: Option<String>,
    /// Address of the source, for the annotation org.opencontainers.image.source.
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) source: Option<String>,
    /// Revision of the source, such as a commit, for the annotation org.opencontainers.image.revision.
    #[arg(long)]
    pub(in crate::cli) revision: Option<String>,
    /// Time for the annotation org.opencontainers.image.created, such as 2026-03-01T12:00:00Z. It is part
    /// of the digest; without it there is none.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) created: Option<jiff::Timestamp>,
    /// The same in seconds since 1970, as reproducible builds pass it on; --created comes first.
    #[arg(
        long,
        env = "SOURCE_DATE_EPOCH",
        hide_env_values = true,
        value_name = "SECONDS"
    )]
    pub(in crate::cli) source_date_epoch: Option<i64>,
    /// Push only; make no Promotion.
    #[arg(long)]
    pub(in crate::cli) no_promote: bool,
    #[command(flatten)]
    pub(in crate::cli) registry: RegistryArguments,
    #[command(flatten)]
    pub(in crate::cli) request: RequestArguments,
    #[command(flatten)]
    pub(in crate::cli) wait: WaitArguments,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// Check files as the gate policy_compliance will check them: before they are published, and without a cluster.
///
/// Documents must parse, manifest.yaml must be well formed, no key may hold a literal secret, and all rules
/// must hold: those in the files' own policies folder, and, with --env or --policy, those of the environment.
/// The exit code is 8 when an error was found. A cluster is asked only for --env without --policy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform validate ./platform
  floe platform validate ./platform --strict --version 1.2.3 --env prod
  floe platform validate ./platform --strict --env prod --policy environments.yaml -o json")]
pub(in crate::cli) struct ValidateArguments {
    /// Files and folders to check, as publish takes them.
    #[arg(required = true, value_name = "PATH")]
    pub(in crate::cli) paths: Vec<PathBuf>,
    /// Literal secrets are errors, as in the gate, not warnings.
    #[arg(long)]
    pub(in crate::cli) strict: bool,
    /// Version that will be published; without it, the version in manifest.yaml is taken as given.
    #[arg(long)]
    pub(in crate::cli) version: Option<String>,
    /// Environment whose rules and exceptions count, by name or alias.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(in crate::cli) env: Option<String>,
    /// YAML file with EnvironmentPolicies, instead of those in the cluster; can be repeated.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) policy: Vec<PathBuf>,
    /// Artifact that the files become; may be left out when the EnvironmentPolicy has one only.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) artifact: Option<String>,
    /// Environment from which the version will come; may be left out when there is one only.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(in crate::cli) from: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// Promote a version into an environment, and wait for the result.
///
/// Creates a Promotion and shows what it waits for, gate by gate, until it has ended; the exit code says
/// how. Called again while that Promotion runs, it waits for the same one; after it has succeeded,
/// nothing happens; after it has failed, a new Promotion repeats it (its name ends in -r2, -r3, ...).
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  floe platform promote 1.2.3 --to staging
  floe platform promote platform 1.2.3 --to prod --reason 'release 12'
  floe platform promote 1.2.3 --to prod --dry-run"
)]
pub(in crate::cli) struct PromoteArguments {
    #[command(subcommand)]
    pub(in crate::cli) verb: Option<PromoteVerb>,
    /// Artifact, as the EnvironmentPolicy names it; may be left out when it has one only.
    pub(in crate::cli) artifact: Option<String>,
    /// Version to promote, as it was published.
    #[arg(required = true)]
    pub(in crate::cli) version: Option<String>,
    /// Environment that the version enters, by name or alias.
    #[arg(long, required = true, value_name = "ENVIRONMENT")]
    pub(in crate::cli) to: Option<String>,
    /// Environment that it comes from; may be left out when there is one only.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(in crate::cli) from: Option<String>,
    /// Digest that you expect: with another one, nothing is promoted.
    #[arg(long)]
    pub(in crate::cli) digest: Option<String>,
    /// Go through everything, gates included, and write nothing to the registry.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Wait also until every replica that the EnvironmentPolicy lists has the artifact and its tags. Without it
    /// only required replicas are waited for, as part of the promotion.
    #[arg(long, conflicts_with_all = ["no_wait", "dry_run"])]
    pub(in crate::cli) sync_registries: bool,
    #[command(flatten)]
    pub(in crate::cli) request: RequestArguments,
    #[command(flatten)]
    pub(in crate::cli) wait: WaitArguments,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PromoteVerb {
    /// Show what each environment holds, or how far one promotion is: the same as `floe platform status`.
    Status(StatusArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RequestArguments {
    /// Why; it is kept in the record.
    #[arg(long)]
    pub(in crate::cli) reason: Option<String>,
    /// For whom automation asks: a Kubernetes user name or <system>:<user>, such as github:alice. It is kept in
    /// the record, and needs the verb act-for on the environment.
    #[arg(long, value_name = "PERSON")]
    pub(in crate::cli) on_behalf_of: Option<String>,
    /// Name of the Promotion; default: <artifact>-<version>-to-<environment>.
    #[arg(long)]
    pub(in crate::cli) name: Option<String>,
}

/// How a registry is reached from here.
#[derive(Debug, Args)]
pub(in crate::cli) struct RegistryArguments {
    /// Certificate authority of the registry (PEM), besides those of the system.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ca: Option<PathBuf>,
    /// Folder of the docker configuration with the login; default: ~/.docker.
    #[arg(
        long,
        env = "DOCKER_CONFIG",
        hide_env_values = true,
        value_name = "FOLDER"
    )]
    pub(in crate::cli) docker_config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WaitArguments {
    /// Wait until the Promotion has ended; this is the default.
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Do not wait: exit as soon as the Promotion exists.
    #[arg(long, overrides_with = "wait")]
    pub(in crate::cli) no_wait: bool,
    /// How long to wait. Then the exit code is 14 (13 when the environment is locked), and the Promotion goes on.
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    pub(in crate::cli) timeout: Duration,
}

/// Stop a Promotion that has not ended, and wait for its end.
///
/// What has begun to write is finished and not stopped: then the exit code is 9. The requester may do it, and
/// who has the verb abort on the environment; your name is kept in the Promotion.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform abort platform-1.2.3-to-prod --reason 'wrong release'")]
pub(in crate::cli) struct AbortArguments {
    /// Promotion to stop.
    pub(in crate::cli) promotion: String,
    /// Why.
    #[arg(long)]
    pub(in crate::cli) reason: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) wait: WaitArguments,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArguments {
    /// Promotion to show; without it, all environments.
    pub(in crate::cli) promotion: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    /// Only this environment, by name or alias.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(in crate::cli) env: Option<String>,
    /// Only this artifact.
    #[arg(long)]
    pub(in crate::cli) artifact: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// Put tags in the registry back where the ledger says that they belong.
///
/// floe watches over its tags and never moves one back by itself: a policy whose tags were moved or deleted by
/// somebody else is TagsInSync=False. This command compares the tags with the ledger, shows what each of them names
/// and what it would be set to, asks, and writes them with your own login, the one of `docker login`. Ledger and
/// registry are read again right before each write, and nothing is written while a promotion writes.
///
/// The exit code is 0 when there is nothing to repair, 11 when a digest is gone from the registry, 14 when a promotion
/// came in between, 15 when you say no.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform repair prod
  floe platform repair prod --yes -o json
  floe platform repair -n team")]
pub(in crate::cli) struct RepairArguments {
    /// Environment to repair, by name or alias; without it, all of the namespace.
    pub(in crate::cli) environment: Option<String>,
    /// Only this artifact.
    #[arg(long)]
    pub(in crate::cli) artifact: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
    #[command(flatten)]
    pub(in crate::cli) registry: RegistryArguments,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// Show which old versions may be deleted from the registry, and delete them with --confirm.
///
/// The plan follows `retention` in the EnvironmentPolicies; an environment without it keeps everything. What any
/// environment holds now, what a promotion works on, what a consumer pins, what latest-* names and every record
/// stay in any case, and so does whatever is not known for certain. Tags are deleted first, then the manifests
/// that nothing names any more; the bytes are an estimate, and the registry frees them when it collects its
/// garbage.
///
/// Reads the EnvironmentPolicies, Promotions and consumers (ConfigMaps labelled promotion.floe.dev/consumer) of
/// all namespaces. Who may not list the first two keeps bare tags and manifests; who may not list the consumers
/// keeps everything. The login is the one of `docker login`, with the right to delete.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform gc
  floe platform gc dev staging --artifact platform
  floe platform gc --confirm -o json")]
pub(in crate::cli) struct GcArguments {
    /// Environments to clean up, by name or alias; default: all of the namespace.
    #[arg(value_name = "ENVIRONMENT")]
    pub(in crate::cli) environments: Vec<String>,
    /// Only this artifact.
    #[arg(long)]
    pub(in crate::cli) artifact: Option<String>,
    /// Delete what the plan says; it is made anew for this run.
    #[arg(long)]
    pub(in crate::cli) confirm: bool,
    #[command(flatten)]
    pub(in crate::cli) registry: RegistryArguments,
    #[command(flatten)]
    pub(in crate::cli) keys: KeysArguments,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KeysArguments {
    /// Namespace of the operator, where the keys of records lie.
    #[arg(long, value_name = "NAMESPACE", default_value = "floe-system")]
    pub(in crate::cli) operator_namespace: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OutputArguments {
    /// How the result is written to standard output; progress and errors go to standard error.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table)]
    pub(in crate::cli) format: Format,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people.
    Table,
    /// For people, with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Names of objects only, as kubectl takes them.
    Name,
}
