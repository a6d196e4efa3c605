//! Identities that clouds know: which registry is whose, which identity a ServiceAccount stands for, and where
//! the services are that give logins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::api::CloudProvider;
use crate::api::Credentials;
use crate::domain::artifact::Repository;

/// Role that a ServiceAccount stands for (the webhook of EKS reads the same annotation).
pub const AWS_ROLE: &str = "eks.amazonaws.com/role-arn";
/// Google service account that a ServiceAccount may become (GKE reads the same annotation).
pub const GCP_ACCOUNT: &str = "iam.gke.io/gcp-service-account";
/// Provider in a workload identity pool, for clusters outside of GKE.
pub const GCP_PROVIDER: &str = "promotion.floe.dev/gcp-workload-identity-provider";
/// Application (the webhook of Azure reads the same annotation).
pub const AZURE_CLIENT: &str = "azure.workload.identity/client-id";
/// Tenant of the application (the webhook of Azure reads the same annotation).
pub const AZURE_TENANT: &str = "azure.workload.identity/tenant-id";

/// For whom tokens for AWS are made.
pub const AWS_AUDIENCE: &str = "sts.amazonaws.com";
/// For whom tokens for Azure are made.
pub const AZURE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// A registry of a cloud, by its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudRegistry {
    /// Amazon Elastic Container Registry.
    Ecr(AwsRegion),
    /// Google Artifact Registry.
    Gar,
    /// Azure Container Registry.
    Acr {
        /// Its host.
        host: String,
        /// The cloud that it lies in.
        cloud: AzureCloud,
    },
}

/// A region of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsRegion {
    /// Its name, such as `eu-west-1`.
    pub name: String,
    /// End of its host names, such as `amazonaws.com`.
    pub suffix: &'static str,
    /// Whether the services with cryptography after FIPS 140 are asked.
    pub fips: bool,
}

/// One of the clouds of Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AzureCloud {
    /// The public one.
    Public,
    /// The one in China.
    China,
    /// The one of the government of the United States.
    Government,
}

/// A GKE cluster, as its nodes know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GkeCluster {
    /// Project.
    pub project: String,
    /// Region or zone.
    pub location: String,
    /// Name.
    pub name: String,
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Identity {
    /// Whoever the process is for the cloud: its Pod, or the node that it runs on.
    Own,
    /// A role of AWS.
    Role {
        /// Its name in full.
        arn: String,
    },
    /// A principal of Google Cloud, or a service account that it becomes.
    Principal {
        /// For whom the ServiceAccount's token is made.
        token_audience: String,
        /// Which pool of identities exchanges it.
        pool: String,
        /// The service account that the principal becomes.
        account: Option<String>,
    },
    /// An application of Azure.
    Application {
        /// Its tenant.
        tenant: String,
        /// Its client id.
        client: String,
    },
}

/// An account of a cloud, as a policy names it: all that a gate's Pod needs to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudAccount {
    /// Kind of the registry.
    pub provider: CloudProvider,
    /// Who logs in.
    pub identity: Identity,
    /// ServiceAccount that stands for the identity; none = the process's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
}

/// A service of a cloud that takes part in a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Gives credentials of a role for a token (AWS).
    Sts(AwsRegion),
    /// Gives the login of a registry (AWS).
    Ecr(AwsRegion),
    /// What an EC2 instance knows of itself (AWS).
    InstanceMetadata,
    /// What an EKS node knows of a Pod's role (AWS).
    PodIdentity,
    /// Exchanges tokens (Google Cloud).
    GoogleSts,
    /// Gives tokens of service accounts (Google Cloud).
    GoogleIam,
    /// What a node knows of itself and of its Pods (Google Cloud).
    GoogleMetadata,
    /// Gives tokens of applications (Azure).
    Entra(AzureCloud),
    /// Gives the login of a registry (Azure): the registry itself.
    AcrExchange(String),
}

/// Whether the credentials can be those of this repository: an identity of a cloud logs in at its registries only.
///
/// # Errors
/// Says which hosts the provider has.
pub fn fits(credentials: Option<&Credentials>, repository: &Repository) -> Result<(), String> {
    match credentials.and_then(|one| one.workload_identity.as_ref()) {
        Some(identity) => registry_of(identity.provider, repository.registry()).map(|_| ()),
        None => Ok(()),
    }
}

/// The registry on this host (with its port, if any), which has to be one of the provider's.
///
/// # Errors
/// Says which hosts the provider has.
pub fn registry_of(provider: CloudProvider, host: &str) -> Result<CloudRegistry, String> {
    let (found, form) = match provider {
        CloudProvider::Ecr => (
            ecr(host).map(CloudRegistry::Ecr),
            "ECR registries are called 123456789012.dkr.ecr.REGION.amazonaws.com",
        ),
        CloudProvider::Gar => (
            (host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with("-docker.pkg.dev"))
                .then_some(CloudRegistry::Gar),
            "GAR registries are called LOCATION-docker.pkg.dev or gcr.io",
        ),
        CloudProvider::Acr => (acr(host), "ACR registries are called NAME.azurecr.io"),
    };
    found.ok_or_else(|| format!("'{host}' is no registry of this provider: {form}"))
}

fn ecr(host: &str) -> Option<AwsRegion> {
    let (account, rest) = host.split_once('.')?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let (dual_stack, rest) = match rest.strip_prefix("dkr-ecr") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("dkr.ecr")?),
    };
    let (fips, rest) = match rest.strip_prefix("-fips.") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix('.')?),
    };
    let (name, end) = rest.split_once('.')?;
    let suffix = match (dual_stack, end) {
        (false, "amazonaws.com") | (true, "on.aws") => "amazonaws.com",
        (false, "amazonaws.com.cn") | (true, "on.amazonwebservices.com.cn") => "amazonaws.com.cn",
        (false, "amazonaws.eu") | (true, "on.amazonwebservices.eu") => "amazonaws.eu",
        _ => return None,
    };
    let is_region = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (is_account && is_region).then(|| AwsRegion {
        name: name.to_owned(),
        suffix,
        fips,
    })
}

fn acr(host: &str) -> Option<CloudRegistry> {
    let clouds = [
        (".azurecr.io", AzureCloud::Public),
        (".azurecr.cn", AzureCloud::China),
        (".azurecr.us", AzureCloud::Government),
    ];
    let (name, cloud) = clouds
        .into_iter()
        .find_map(|(end, cloud)| Some((host.strip_suffix(end)?, cloud)))?;
    let fits = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    fits.then(|| CloudRegistry::Acr {
        host: host.to_owned(),
        cloud,
    })
}

impl Identity {
    /// Whether a Google identity is that of a GKE cluster, so that the cluster has to be known.
    pub fn needs_cluster(provider: CloudProvider, annotations: &BTreeMap<String, String>) -> bool {
        provider == CloudProvider::Gar && !annotations.contains_key(GCP_PROVIDER)
    }

    /// The identity that a ServiceAccount stands for.
    ///
    /// # Errors
    /// Names the annotation that is missing or malformed.
    pub fn of(
        provider: CloudProvider,
        annotations: &BTreeMap<String, String>,
        cluster: Option<&GkeCluster>,
    ) -> Result<Self, String> {
        let read = |name: &str, is: fn(&str) -> bool, like: &str| match annotations.get(name) {
            Some(value) if is(value) => Ok(Some(value.clone())),
            Some(_) => Err(format!("its annotation '{name}' is not like {like}")),
            None => Ok(None),
        };
        let needed = |name: &str, is: fn(&str) -> bool, like: &str| {
            read(name, is, like)?
                .ok_or_else(|| format!("it has no annotation '{name}' (such as {like})"))
        };
        match provider {
            CloudProvider::Ecr => {
                let arn = needed(AWS_ROLE, is_role, "arn:aws:iam::123456789012:role/NAME")?;
                Ok(Self::Role { arn })
            }
            CloudProvider::Acr => Ok(Self::Application {
                client: needed(AZURE_CLIENT, is_id, "the client id of an application")?,
                tenant: needed(AZURE_TENANT, is_id, "the id of a tenant")?,
            }),
            CloudProvider::Gar => {
                let account = read(
                    GCP_ACCOUNT,
                    is_account,
                    "NAME@PROJECT.iam.gserviceaccount.com",
                )?;
                let like = "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER";
                match (read(GCP_PROVIDER, is_provider, like)?, cluster) {
                    (Some(name), _) => Ok(Self::Principal {
                        token_audience: format!("https://iam.googleapis.com/{name}"),
                        pool: format!("//iam.googleapis.com/{name}"),
                        account,
                    }),
                    (None, Some(cluster)) => Ok(Self::in_cluster(cluster, account)),
                    (None, None) => Err(format!(
                        "it has no annotation '{GCP_PROVIDER}', and this is no GKE cluster"
                    )),
                }
            }
        }
    }

    fn in_cluster(cluster: &GkeCluster, account: Option<String>) -> Self {
        let GkeCluster {
            project,
            location,
            name,
        } = cluster;
        let namespace = format!("{project}.svc.id.goog");
        let address = format!(
            "https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{name}"
        );
        Self::Principal {
            pool: format!("identitynamespace:{namespace}:{address}"),
            token_audience: namespace,
            account,
        }
    }

    /// For whom a token of the ServiceAccount has to be made; none when no token is needed.
    pub fn token_audience(&self) -> Option<&str> {
        match self {
            Self::Own => None,
            Self::Role { .. } => Some(AWS_AUDIENCE),
            Self::Principal { token_audience, .. } => Some(token_audience),
            Self::Application { .. } => Some(AZURE_AUDIENCE),
        }
    }
}

fn only(text: &str, others: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", partition, "iam", "", account, role]
        if partition.starts_with("aws")
            && only(partition, "-")
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && role.strip_prefix("role/").is_some_and(|name| only(name, "+=,.@-_/")))
}

fn is_account(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, domain)| {
        only(name, "-") && only(domain, ".-") && domain.ends_with("gserviceaccount.com")
    })
}

fn is_provider(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    matches!(parts.as_slice(),
        ["projects", number, "locations", "global", "workloadIdentityPools", pool, "providers", provider]
        if only(number, "-") && only(pool, "-") && only(provider, "-"))
}

fn is_id(text: &str) -> bool {
    only(text, "-.") && text.len() <= 64
}

impl Service {
    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sts(_) => "AWS STS",
            Self::Ecr(_) => "the ECR API",
            Self::InstanceMetadata => "the EC2 instance metadata",
            Self::PodIdentity => "the EKS Pod Identity agent",
            Self::GoogleSts => "Google STS",
            Self::GoogleIam => "Google IAM",
            Self::GoogleMetadata => "the Google metadata server",
            Self::Entra(_) => "Microsoft Entra ID",
            Self::AcrExchange(_) => "the registry's token exchange",
        }
    }

    /// Scheme and host.
    pub fn address(&self) -> String {
        match self {
            Self::Sts(region) => {
                // In the regions of the government every STS is after FIPS 140, under its plain name.
                let plain = !region.fips || region.name.starts_with("us-gov-");
                let service = if plain { "sts" } else { "sts-fips" };
                format!("https://{service}.{}.{}", region.name, region.suffix)
            }
            Self::Ecr(region) => {
                let service = if region.fips { "ecr-fips" } else { "api.ecr" };
                format!("https://{service}.{}.{}", region.name, region.suffix)
            }
            Self::InstanceMetadata | Self::GoogleMetadata => "http://169.254.169.254".to_owned(),
            Self::PodIdentity => "http://169.254.170.23".to_owned(),
            Self::GoogleSts => "https://sts.googleapis.com".to_owned(),
            Self::GoogleIam => "https://iamcredentials.googleapis.com".to_owned(),
            Self::Entra(AzureCloud::Public) => "https://login.microsoftonline.com".to_owned(),
            Self::Entra(AzureCloud::China) => "https://login.chinacloudapi.cn".to_owned(),
            Self::Entra(AzureCloud::Government) => "https://login.microsoftonline.us".to_owned(),
            Self::AcrExchange(host) => format!("https://{host}"),
        }
    }

    /// Whether it answers on the node only: link-local, without TLS, and never through a proxy.
    pub fn is_on_the_node(&self) -> bool {
        matches!(
            self,
            Self::InstanceMetadata | Self::GoogleMetadata | Self::PodIdentity
        )
    }
}

#[cfg(test)]
#[path = "cloud_tests.rs"]
mod tests;
