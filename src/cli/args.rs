//! What can be typed. Environment variables are read here and nowhere else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::effects::cloud::OwnIdentity;
use crate::effects::registry::Network;

/// Tags are not compared more often: a registry answers for each version of each environment.
const SHORTEST_DRIFT_PERIOD: Duration = Duration::from_secs(10);

/// A line takes about this much: a smaller file would hold none.
const SMALLEST_FILE: u64 = 1 << 10;

/// Promotes OCI artifacts through environments: the same digest, gates as Jobs, a record beside the artifact.
#[derive(Debug, Parser)]
#[command(
    name = "floe",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Publish, promote and look at versions.
    Platform(super::platform::PlatformArguments),
    /// Tag, copy and show artifacts in registries, with the operator's own code.
    Registry(super::registry::RegistryArguments),
    /// Run the operator.
    Operator(Box<OperatorArguments>),
    /// Fetch an artifact, or check its documents: what the operator's image does in gate Pods.
    #[command(subcommand)]
    Gate(super::gate::GateCommand),
    /// Print the custom resource definitions as YAML.
    Crds,
}

#[derive(Debug, Args)]
pub(super) struct OperatorArguments {
    /// Kubeconfig file; without it KUBECONFIG, ~/.kube/config or the Pod's ServiceAccount.
    #[arg(long)]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Name of this process in claims, Leases and Events; the Pod's name in a cluster.
    #[arg(long, env = "POD_NAME", hide_env_values = true, default_value = "floe")]
    pub(super) identity: String,
    /// Watch this namespace only.
    #[arg(long, env = "FLOE_NAMESPACE", hide_env_values = true)]
    pub(super) namespace: Option<String>,
    /// Lead only while holding the Lease.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) leader_election: bool,
    /// Namespace of the operator: its Lease and the keys that sign records lie there.
    #[arg(
        long,
        env = "POD_NAMESPACE",
        hide_env_values = true,
        default_value = "floe-system"
    )]
    pub(super) operator_namespace: String,
    /// Address of health, readiness and metrics.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub(super) listen: SocketAddr,
    /// The operator's own image: gates fetch artifacts and check documents in it.
    #[arg(long, env = "FLOE_IMAGE", hide_env_values = true)]
    pub(super) image: String,
    /// Pull policy of that image in gate Pods: Always, IfNotPresent or Never.
    #[arg(long, env = "FLOE_IMAGE_PULL_POLICY", hide_env_values = true)]
    pub(super) image_pull_policy: Option<String>,
    /// How often tags in the registry are compared with the ledger, at least 10s. While they differ, every minute.
    #[arg(long, env = "FLOE_DRIFT_PERIOD", hide_env_values = true, value_name = "DURATION",
        default_value = "30m", value_parser = drift_period)]
    pub(super) drift_period: Duration,
    /// Folder of the audit log, on a volume that outlives the Pod. Without it the lines go to standard output only.
    #[arg(
        long,
        env = "FLOE_AUDIT_LOG_DIR",
        hide_env_values = true,
        value_name = "FOLDER"
    )]
    pub(super) audit_log_dir: Option<PathBuf>,
    /// A file of the audit log is followed by the next one before it grows over this size, such as 512Ki or 16Mi.
    #[arg(long, env = "FLOE_AUDIT_LOG_FILE_SIZE", hide_env_values = true, value_name = "BYTES",
        default_value = "16Mi", value_parser = file_size)]
    pub(super) audit_log_file_size: u64,
    /// The only networks in which registries, their token services and their storage may lie, such as 10.0.0.0/8.
    /// Without any: all but link-local addresses and those where clouds hand out credentials, which are never spoken
    /// to.
    #[arg(
        long,
        env = "FLOE_REGISTRY_NETWORKS",
        hide_env_values = true,
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub(super) registry_networks: Vec<Network>,
    /// Let policies log in at registries as the operator itself: a workloadIdentity without serviceAccountName.
    /// Everyone who may write a policy can then push wherever the operator may.
    #[arg(long)]
    pub(super) allow_own_identity: bool,
    #[command(flatten)]
    pub(super) own_identity: OwnIdentityArguments,
    /// What is logged, as RUST_LOG writes it.
    #[arg(long, env = "RUST_LOG", hide_env_values = true, default_value = "info")]
    pub(super) log: String,
}

/// A time span such as `90s`, `10m` or `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: kube::core::Duration = text
        .parse()
        .map_err(|_| "write it as in 90s, 10m or 1h30m".to_owned())?;
    if parsed.is_negative() {
        return Err("it must not be negative".to_owned());
    }
    Ok(parsed.into())
}

/// A number of bytes such as `512Ki` or `16Mi`.
fn file_size(text: &str) -> Result<u64, String> {
    let units = [("Ki", 10_u32), ("Mi", 20), ("Gi", 30)];
    let (digits, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    let size = digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(1 << shift));
    match size {
        None => Err("write it as in 512Ki, 16Mi or 1Gi".to_owned()),
        Some(size) if size < SMALLEST_FILE => Err("it must be 1Ki at least".to_owned()),
        Some(size) => Ok(size),
    }
}

fn drift_period(text: &str) -> Result<Duration, String> {
    let period = duration(text)?;
    if period < SHORTEST_DRIFT_PERIOD {
        let shortest = SHORTEST_DRIFT_PERIOD.as_secs();
        return Err(format!("it must be {shortest}s at least"));
    }
    Ok(period)
}

/// What a cloud's webhook says in the environment about the operator's own identity.
#[derive(Debug, Args)]
pub(super) struct OwnIdentityArguments {
    /// AWS: role of the operator; EKS sets it.
    #[arg(long, env = "AWS_ROLE_ARN", hide_env_values = true)]
    aws_role_arn: Option<String>,
    /// AWS: file with the token for that role; EKS sets it.
    #[arg(long, env = "AWS_WEB_IDENTITY_TOKEN_FILE", hide_env_values = true)]
    aws_web_identity_token_file: Option<PathBuf>,
    /// AWS: file with the token for the EKS Pod Identity agent; EKS sets it.
    #[arg(
        long,
        env = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        hide_env_values = true
    )]
    aws_container_authorization_token_file: Option<PathBuf>,
    /// Azure: tenant of the operator's application; AKS sets it.
    #[arg(long, env = "AZURE_TENANT_ID", hide_env_values = true)]
    azure_tenant_id: Option<String>,
    /// Azure: the operator's application; AKS sets it.
    #[arg(long, env = "AZURE_CLIENT_ID", hide_env_values = true)]
    azure_client_id: Option<String>,
    /// Azure: file with the token for that application; AKS sets it.
    #[arg(long, env = "AZURE_FEDERATED_TOKEN_FILE", hide_env_values = true)]
    azure_federated_token_file: Option<PathBuf>,
}

impl From<OwnIdentityArguments> for OwnIdentity {
    fn from(given: OwnIdentityArguments) -> Self {
        let OwnIdentityArguments {
            aws_role_arn,
            aws_web_identity_token_file,
            aws_container_authorization_token_file,
            azure_tenant_id,
            azure_client_id,
            azure_federated_token_file,
        } = given;
        let application = azure_tenant_id.zip(azure_client_id);
        Self {
            aws_role: aws_role_arn.zip(aws_web_identity_token_file),
            aws_pod_token: aws_container_authorization_token_file,
            azure: application
                .zip(azure_federated_token_file)
                .map(|((tenant, client), file)| (tenant, client, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_files_is_read_with_its_unit() {
        assert_eq!(file_size("16Mi"), Ok(16 << 20));
        assert_eq!(file_size("1Ki"), Ok(1024));
        assert_eq!(file_size("2Gi"), Ok(2 << 30));
        assert_eq!(file_size("4096"), Ok(4096));
        for wrong in ["", "Mi", "16M", "-1Ki", "1023", "99999999999Gi", "1.5Mi"] {
            assert!(file_size(wrong).is_err(), "{wrong}");
        }
    }

    /// clap checks this in development builds only, and only for the verb that is called.
    #[test]
    fn no_two_options_of_any_verb_have_one_name() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
