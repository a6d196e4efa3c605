//! Logins at the registries of clouds, for an identity instead of a password.
//!
//! A token of a Kubernetes ServiceAccount is exchanged for a login that lasts some hours. Nothing of it is stored;
//! it is asked for anew before it ends, and once when the registry refuses it earlier, so that no clock has to be
//! right. No vendor's SDK: each login is two or three HTTP requests.

mod aws;
mod azure;
mod google;
mod http;
mod login;
mod tokens;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

pub use http::CloudEndpoints;
pub use login::CloudLogin;
pub use tokens::TokenSource;

use self::http::Http;
use crate::domain::policy::cloud::{CloudRegistry, GkeCluster, Identity};
use crate::effects::lock::lock;
use crate::effects::registry::{Login, Problem};

const FORM: &str = "application/x-www-form-urlencoded";
/// Life of a login when its end is not known.
const UNKNOWN_LIFE: Duration = Duration::from_mins(30);

/// The identity that the cloud has given this process, as its webhooks say it in the environment.
#[derive(Clone, Debug, Default)]
pub struct OwnIdentity {
    /// Role and file of the token (IAM roles for ServiceAccounts).
    pub aws_role: Option<(String, PathBuf)>,
    /// File of the token for the agent on the node (EKS Pod Identity).
    pub aws_pod_token: Option<PathBuf>,
    /// Tenant, application and file of the token (Azure workload identity).
    pub azure: Option<(String, String, PathBuf)>,
}

/// The services of all clouds.
pub struct Cloud {
    http: Http,
    own: OwnIdentity,
    cluster: Mutex<Option<GkeCluster>>,
}

/// A login that was just given, and how long it lives.
struct Fresh {
    login: Login,
    life: Duration,
}

impl Cloud {
    /// Sends nothing.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(endpoints: CloudEndpoints, own: OwnIdentity) -> Result<Self, String> {
        Ok(Self {
            http: Http::new(endpoints)?,
            own,
            cluster: Mutex::default(),
        })
    }

    /// The GKE cluster that this process runs in; asked for once.
    ///
    /// # Errors
    /// `NoCredentials` when it is none.
    pub async fn gke_cluster(&self) -> Result<GkeCluster, Problem> {
        let known = || lock(&self.cluster);
        let cluster = known().clone();
        if let Some(cluster) = cluster {
            return Ok(cluster);
        }
        let cluster = google::cluster(&self.http).await?;
        *known() = Some(cluster.clone());
        Ok(cluster)
    }

    async fn log_in(
        &self,
        registry: &CloudRegistry,
        identity: &Identity,
        tokens: Option<&TokenSource>,
        session: &str,
    ) -> Result<Fresh, Problem> {
        let http = &self.http;
        let nobody = || Problem::NoCredentials {
            why: "there is no token for this identity".to_owned(),
        };
        match (registry, identity) {
            (CloudRegistry::Ecr(region), identity) => {
                let keys = match identity {
                    Identity::Own => aws::own(http, region, &self.own).await?,
                    Identity::Role { arn } => {
                        let tokens = tokens.ok_or_else(nobody)?;
                        aws::assume(http, region, arn, session, tokens).await?
                    }
                    _ => return Err(nobody()),
                };
                aws::registry_login(http, region, &keys).await
            }
            (CloudRegistry::Gar, Identity::Own) => google::own(http).await,
            (
                CloudRegistry::Gar,
                Identity::Principal {
                    token_audience,
                    pool,
                    account,
                },
            ) => {
                let tokens = tokens.ok_or_else(nobody)?;
                google::exchange(http, pool, token_audience, account.as_deref(), tokens).await
            }
            (CloudRegistry::Acr { host, cloud }, Identity::Own) => {
                let (tenant, client, path) =
                    self.own.azure.as_ref().ok_or_else(|| Problem::NoCredentials {
                        why: "Azure has given this process no identity (workload identity with a federated token); \
                              name a ServiceAccount"
                            .to_owned(),
                    })?;
                let tokens = TokenSource::File(path.clone());
                azure::login(http, *cloud, host, (tenant, client), &tokens).await
            }
            (CloudRegistry::Acr { host, cloud }, Identity::Application { tenant, client }) => {
                let tokens = tokens.ok_or_else(nobody)?;
                azure::login(http, *cloud, host, (tenant, client), tokens).await
            }
            _ => Err(nobody()),
        }
    }
}

/// From when the vendor gave it to when it ends, both by the vendor's clock.
fn life_between(given: Option<Timestamp>, ends: Option<Timestamp>, longest: Duration) -> Duration {
    let life = match (given, ends) {
        (Some(given), Some(ends)) => Duration::try_from(ends.duration_since(given)).ok(),
        _ => None,
    };
    life.unwrap_or(UNKNOWN_LIFE).min(longest)
}
