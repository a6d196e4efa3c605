//! What can be typed after `floe platform audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::artifact::Digest;

use crate::cli::platform::args::{
    AuditKeyArguments, KeysArguments, OutputArguments, RegistryArguments,
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditVerb {
    Verify(VerifyArguments),
    List(AuditListArguments),
    Show(ShowArguments),
    Export(ExportArguments),
    Repair(AuditRepairArguments),
    Key(AuditKeyArguments),
}

/// Check that the records of environments are genuine, complete and unchanged.
///
/// Records of an environment and artifact are a chain: each is signed and names the one before it. This command
/// reads the chain from the newest record to the first, compares it with the ledger and with the environment's tags, and
/// names the first record that is not as it should be, and what is wrong with it. Copies that others make of a record,
/// and whatever else they put beside it, change nothing.
///
/// The newest record is the one in the ledger (EnvironmentPolicy), or, with --repository, the newest beside the
/// environment's tags in the registry alone: then no cluster is asked, and who cuts off the newest records together
/// with their tags is not seen. The login is the one of `docker login`, with the right to read.
///
/// The exit code is 0 when everything was read and is as it should be, 8 when something is not, and 1 or 12 when not
/// everything could be read: then it is unknown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform audit verify
  floe platform audit verify prod --artifact platform -o json
  floe platform audit verify prod --artifact platform -n team --key floe.pub \\
    --repository registry.example/team/platform
  floe platform audit verify prod --log ./audit-logs
  floe platform audit verify --log ./audit-logs --log-only")]
pub(in crate::cli) struct VerifyArguments {
    #[command(flatten)]
    pub(in crate::cli) chains: ChainArguments,
    /// Read only the records, two requests for each, and neither tags nor what else lies beside the artifacts: then
    /// moved tags, summaries and second records with the same number are not looked for.
    #[arg(long)]
    pub(in crate::cli) chain_only: bool,
    /// File of an operator's audit log, or a folder with such files; can be repeated. The log is checked by itself,
    /// then records and log against each other: what the log tells is in the registry, and what is there it tells.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) log: Vec<PathBuf>,
    /// Check the log alone: ask neither a cluster nor a registry.
    #[arg(long, requires = "log", conflicts_with_all = ["environments", "repository", "artifact", "chain_only"])]
    pub(in crate::cli) log_only: bool,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// List the records of environments, the newest first.
///
/// Only records that are genuine are listed. When the chain cannot be read to its end it is said on standard error, and
/// the exit code is that of `audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform audit list prod
  floe platform audit list --person alice --since 2026-03-01
  floe platform audit list prod staging --artifact platform -o json")]
pub(in crate::cli) struct AuditListArguments {
    #[command(flatten)]
    pub(in crate::cli) chains: ChainArguments,
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArguments,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// Show one record: who asked, what was promoted, what was checked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform audit show 12 prod
  floe platform audit show sha256:0123456789ab -o json")]
pub(in crate::cli) struct ShowArguments {
    /// Number of the record in its chain, or the digest by which it is known (the first 12 digits are enough).
    #[arg(value_name = "RECORD")]
    pub(in crate::cli) record: String,
    #[command(flatten)]
    pub(in crate::cli) chains: ChainArguments,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// Write records to standard output for other tools, the oldest first.
///
/// CSV has a line with the names of the columns first; later versions of floe only add columns at the end. A cell that a
/// spreadsheet would take for a formula begins with an apostrophe. A line of JSON has the same names, and the whole
/// record under `statement`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform audit export > records.jsonl
  floe platform audit export prod --format csv --since 2026-01-01 --until 2026-04-01 > records.csv")]
pub(in crate::cli) struct ExportArguments {
    #[command(flatten)]
    pub(in crate::cli) chains: ChainArguments,
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArguments,
    /// How records are written.
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub(in crate::cli) format: ExportFormat,
}

/// How records are written for other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ExportFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values (RFC 4180).
    Csv,
}

/// Say which record is the newest, where the operator cannot tell.
///
/// When a cluster was restored from a backup, or a ledger was lost, the operator compares the ledger with the records in
/// the registry and with its audit log. Where they do not fit together it promotes nothing (`LedgerUnproven`). Without
/// --accept this command shows what does not fit. With it, the record goes into the policy (`acceptedRecord`), and the next
/// promotion comes behind it. It has to be the newest one that the registry holds, so that nothing is cut off this way, or
/// the newest one of the operator's audit log, when the registry has lost it.
///
/// Accepting takes the right to change the EnvironmentPolicy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe platform audit repair prod
  floe platform audit repair prod --artifact platform --accept sha256:42bcdd3e...")]
pub(in crate::cli) struct AuditRepairArguments {
    /// Environment, by name or alias.
    #[arg(value_name = "ENVIRONMENT")]
    pub(in crate::cli) environment: String,
    /// Only this artifact.
    #[arg(long)]
    pub(in crate::cli) artifact: Option<String>,
    /// The newest record, as `floe platform audit list` shows it: sha256 and 64 digits.
    #[arg(long, value_name = "RECORD", value_parser = record)]
    pub(in crate::cli) accept: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArguments,
}

/// A record in full.
fn record(text: &str) -> Result<String, String> {
    text.parse::<Digest>()
        .map(|digest| digest.to_string())
        .map_err(|error| error.to_string())
}

/// Which chains, and where they are read.
#[derive(Debug, Args)]
pub(in crate::cli) struct ChainArguments {
    /// Environments, by name or alias; default: all of the namespace.
    #[arg(value_name = "ENVIRONMENT")]
    pub(in crate::cli) environments: Vec<String>,
    /// Only this artifact.
    #[arg(long)]
    pub(in crate::cli) artifact: Option<String>,
    /// Ask no cluster: read this repository alone. Takes one ENVIRONMENT, --artifact, --namespace and --key.
    #[arg(long, value_name = "REPOSITORY", requires_all = ["environments", "artifact", "key"])]
    pub(in crate::cli) repository: Option<String>,
    /// Suffix of the environment's tags; default: its name.
    #[arg(long, requires = "repository")]
    pub(in crate::cli) suffix: Option<String>,
    /// Speak HTTP without TLS.
    #[arg(long, requires = "repository")]
    pub(in crate::cli) plain_http: bool,
    /// Public keys of the namespace (PEM), as `floe platform audit key --pem` prints them, instead of those in the
    /// cluster. Give it several times when keys have changed.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) registry: RegistryArguments,
    #[command(flatten)]
    pub(in crate::cli) keys: KeysArguments,
}

/// Which records.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct FilterArguments {
    /// Only what this person asked for, or had asked for: as in requestedBy or onBehalfOf.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) person: Option<String>,
    /// Only what was decided at this time or later, such as 2026-03-01 or 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) since: Option<Timestamp>,
    /// Only what was decided before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) until: Option<Timestamp>,
    /// Only records with this result, such as Promoted.
    #[arg(long, value_name = "RESULT")]
    pub(in crate::cli) result: Option<String>,
}

/// A moment, or the beginning of a day in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let day = |date: Date| date.to_zoned(TimeZone::UTC).map(|day| day.timestamp());
    text.parse::<Timestamp>()
        .or_else(|_| text.parse::<Date>().and_then(day))
        .map_err(|_| "write it as 2026-03-01 or 2026-03-01T12:00:00Z".to_owned())
}
