//! What a policy names in Secrets, ConfigMaps and ServiceAccounts: access to a registry, also by an identity that a
//! cloud knows, and what signatures are checked with. They are read by name, never watched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::{Api, Client};
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::time::Instant;

use crate::api::{self, ArtifactSource, WorkloadIdentity};
use crate::domain::artifact::Repository;
use crate::domain::policy::cloud::{CloudAccount, Identity, registry_of};
use crate::domain::policy::{SignatureRule, TrustKind, TrustRef};
use crate::effects::clock;
use crate::effects::cloud::{Cloud, CloudLogin, TokenSource};
use crate::effects::lock::lock;
use crate::effects::registry::{Access, Addresses, Login, RegistryError, login_for};
use crate::effects::signatures::Trust;

/// How long a Secret is believed before it is read again.
const FRESH: Duration = Duration::from_mins(1);
/// Most Secrets, ServiceAccounts and logins kept.
const MOST: usize = 256;
/// Key of the Secret that holds registry credentials (Kubernetes, `kubernetes.io/dockerconfigjson`).
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// Key of the Secret that holds a certificate authority.
const CA: &str = "ca.crt";

/// Why there is no access.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// A Secret or ServiceAccount is missing or malformed: somebody has to mend it.
    #[error("{0}")]
    Missing(String),
    /// A cloud could not say who somebody is.
    #[error(transparent)]
    Cloud(RegistryError),
    /// The API server could not be asked.
    #[error("cannot read {what}: {source}")]
    Api {
        /// Kind and name.
        what: String,
        /// What the client said.
        source: Box<kube::Error>,
    },
}

/// A place in a registry, and how its policy says that it is reached.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// How to log in; none = anonymously.
    pub credentials: Option<&'a api::Credentials>,
    /// Secret with the certificate authority.
    pub ca_secret_name: Option<&'a str>,
    /// Speak HTTP without TLS.
    pub plain_http: bool,
}

impl<'a> Place<'a> {
    /// Where an artifact lies.
    pub fn of(source: &'a ArtifactSource, repository: &'a Repository) -> Self {
        Self {
            repository,
            credentials: source.credentials.as_ref(),
            ca_secret_name: source.ca_secret_name.as_deref(),
            plain_http: source.plain_http,
        }
    }
}

type SecretData = BTreeMap<String, SecretSlice<u8>>;
type Annotations = BTreeMap<String, String>;
/// What was read a moment ago, by namespace and name.
type Read<T> = Mutex<BTreeMap<(String, String), (Instant, T)>>;

/// Secrets and ServiceAccounts that were read a moment ago, and logins that last.
pub struct Credentials {
    cloud: Arc<Cloud>,
    lends_own_identity: bool,
    addresses: Addresses,
    secrets: Read<SecretData>,
    accounts: Read<Annotations>,
    logins: Mutex<BTreeMap<String, (Instant, Arc<CloudLogin>)>>,
}

impl Credentials {
    /// Nothing known yet. With `lends_own_identity` a policy may log in as the operator.
    pub fn new(cloud: Cloud, lends_own_identity: bool) -> Self {
        Self {
            cloud: Arc::new(cloud),
            lends_own_identity,
            addresses: Addresses::default(),
            secrets: Mutex::default(),
            accounts: Mutex::default(),
            logins: Mutex::default(),
        }
    }

    /// The same, for registries whose addresses are such.
    #[must_use]
    pub fn reaching(self, addresses: Addresses) -> Self {
        Self { addresses, ..self }
    }

    /// Access to the registry of a place, with the Secrets and identities that the policy of this namespace
    /// names.
    ///
    /// # Errors
    /// `Missing` names the object and what is wrong with it; `Api` when it could not be read.
    pub async fn access(
        &self,
        client: &Client,
        namespace: &str,
        place: Place<'_>,
    ) -> Result<Access, NoAccess> {
        let mut access = Access::to(place.repository);
        access.plain_http = place.plain_http;
        access.addresses = self.addresses.clone();
        if let Some(name) = place.credentials.and_then(|one| one.secret_name.as_ref()) {
            let payload = self.value(client, namespace, name, DOCKER_CONFIG).await?;
            let login = login_for(payload.expose_secret(), place.repository).map_err(|why| {
                NoAccess::Missing(format!("Secret '{name}' in namespace '{namespace}': {why}"))
            })?;
            access.credentials = Some(login);
        }
        if let Some(wanted) = place
            .credentials
            .and_then(|one| one.workload_identity.as_ref())
        {
            let account = self
                .account(client, namespace, wanted, place.repository)
                .await?;
            let login = self.login(client, namespace, &account, place.repository)?;
            access.credentials = Some(Login::renewed(login));
        }
        if let Some(name) = place.ca_secret_name {
            let authority = self.value(client, namespace, name, CA).await?;
            access.ca_pem = Some(authority.expose_secret().to_vec());
        }
        Ok(access)
    }

    /// Keys, identities and trusted root by which signatures count. What lies in ConfigMaps is read each time.
    ///
    /// # Errors
    /// `Missing` names the object and what is wrong with it; `Api` when it could not be read.
    pub async fn trust(
        &self,
        client: &Client,
        namespace: &str,
        rule: &SignatureRule,
    ) -> Result<Trust, NoAccess> {
        let mut read = BTreeMap::new();
        for source in Trust::sources(rule) {
            let TrustRef { kind, name, key } = source;
            let bytes = match kind {
                TrustKind::Secret => {
                    let value = self.value(client, namespace, name, key).await?;
                    value.expose_secret().to_vec()
                }
                TrustKind::ConfigMap => of_config_map(client, namespace, name, key).await?,
            };
            read.insert(source.clone(), bytes);
        }
        Trust::of(rule, &read)
            .map_err(|why| NoAccess::Missing(format!("{why} (namespace '{namespace}')")))
    }

    /// The account of a cloud that a policy names.
    ///
    /// # Errors
    /// As [`Credentials::access`].
    pub async fn account(
        &self,
        client: &Client,
        namespace: &str,
        wanted: &WorkloadIdentity,
        repository: &Repository,
    ) -> Result<CloudAccount, NoAccess> {
        let provider = wanted.provider;
        let Some(name) = &wanted.service_account_name else {
            if !self.lends_own_identity {
                return Err(NoAccess::Missing(
                    "the policy asks for the operator's own identity (a workloadIdentity without \
                     serviceAccountName), which this operator does not lend; name a ServiceAccount, or start the \
                     operator with --allow-own-identity (chart: workloadIdentity.allowOwnIdentity)"
                        .to_owned(),
                ));
            }
            return Ok(CloudAccount {
                provider,
                identity: Identity::Own,
                service_account: None,
            });
        };
        let annotations = self.annotations(client, namespace, name).await?;
        let cluster = if Identity::needs_cluster(provider, &annotations) {
            let found = self.cloud.gke_cluster().await.map_err(|problem| {
                let who = format!("{} as {}", repository.registry(), who(namespace, name));
                NoAccess::Cloud(RegistryError::new("log in at", who, problem))
            })?;
            Some(found)
        } else {
            None
        };
        let identity = Identity::of(provider, &annotations, cluster.as_ref())
            .map_err(|why| NoAccess::Missing(format!("{}: {why}", who(namespace, name))))?;
        Ok(CloudAccount {
            provider,
            identity,
            service_account: Some(name.clone()),
        })
    }

    /// The logins of an account at the registry of a repository: those that are in use, or new ones.
    fn login(
        &self,
        client: &Client,
        namespace: &str,
        account: &CloudAccount,
        repository: &Repository,
    ) -> Result<Arc<CloudLogin>, NoAccess> {
        let host = repository.registry();
        let registry = registry_of(account.provider, host).map_err(NoAccess::Missing)?;
        let key = format!("{namespace}/{host}/{account:?}");
        let mut logins = lock(&self.logins);
        if let Some((used, login)) = logins.get_mut(&key) {
            *used = clock::instant();
            return Ok(Arc::clone(login));
        }
        let tokens = account
            .service_account
            .as_ref()
            .map(|name| TokenSource::Account {
                client: client.clone(),
                namespace: namespace.to_owned(),
                name: name.clone(),
            });
        let who = match &account.service_account {
            Some(name) => who(namespace, name),
            None => "the operator".to_owned(),
        };
        let login = Arc::new(CloudLogin::new(
            Arc::clone(&self.cloud),
            registry,
            account.identity.clone(),
            tokens,
            who,
        ));
        if logins.len() >= MOST {
            let oldest = logins.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                logins.remove(&oldest);
            }
        }
        logins.insert(key, (clock::instant(), Arc::clone(&login)));
        Ok(login)
    }

    /// Reads the Secrets and ServiceAccounts of a namespace anew the next time: a registry has refused what they
    /// say.
    pub fn forget(&self, namespace: &str) {
        lock(&self.secrets).retain(|(kept, _), _| kept != namespace);
        lock(&self.accounts).retain(|(kept, _), _| kept != namespace);
    }

    async fn annotations(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> Result<Annotations, NoAccess> {
        if let Some(known) = fresh(&self.accounts, namespace, name) {
            return Ok(known);
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let found = accounts.get_opt(name).await;
        let account = found.map_err(|source| match source {
            kube::Error::Api(status) if status.code == 403 => NoAccess::Missing(format!(
                "the operator may not read {}; give it the verb 'get' on 'serviceaccounts' and 'create' on \
                 'serviceaccounts/token' there (chart: workloadIdentity.serviceAccounts)",
                who(namespace, name)
            )),
            source => NoAccess::Api {
                what: who(namespace, name),
                source: Box::new(source),
            },
        })?;
        let Some(account) = account else {
            return Err(NoAccess::Missing(format!(
                "there is no {}",
                who(namespace, name)
            )));
        };
        let annotations = account.metadata.annotations.unwrap_or_default();
        keep(&self.accounts, namespace, name, annotations.clone());
        Ok(annotations)
    }

    async fn value(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<SecretSlice<u8>, NoAccess> {
        let data = self.data(client, namespace, name).await?;
        data.get(key).cloned().ok_or_else(|| {
            NoAccess::Missing(format!(
                "Secret '{name}' in namespace '{namespace}' has no key '{key}'"
            ))
        })
    }

    async fn data(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> Result<SecretData, NoAccess> {
        if let Some(known) = fresh(&self.secrets, namespace, name) {
            return Ok(known);
        }
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let found = secrets
            .get_opt(name)
            .await
            .map_err(|source| NoAccess::Api {
                what: format!("Secret '{name}'"),
                source: Box::new(source),
            })?;
        let Some(secret) = found else {
            return Err(NoAccess::Missing(format!(
                "there is no Secret '{name}' in namespace '{namespace}'"
            )));
        };
        let data = secret.data.unwrap_or_default().into_iter();
        let data: SecretData = data
            .map(|(key, ByteString(value))| (key, SecretSlice::from(value)))
            .collect();
        keep(&self.secrets, namespace, name, data.clone());
        Ok(data)
    }
}

fn who(namespace: &str, name: &str) -> String {
    format!("ServiceAccount '{name}' in namespace '{namespace}'")
}

fn fresh<T: Clone>(read: &Read<T>, namespace: &str, name: &str) -> Option<T> {
    let key = (namespace.to_owned(), name.to_owned());
    lock(read)
        .get(&key)
        .filter(|(read_at, _)| read_at.elapsed() < FRESH)
        .map(|(_, data)| data.clone())
}

fn keep<T>(read: &Read<T>, namespace: &str, name: &str, data: T) {
    let mut read = lock(read);
    read.retain(|_, (read_at, _)| read_at.elapsed() < FRESH);
    if read.len() < MOST {
        let key = (namespace.to_owned(), name.to_owned());
        read.insert(key, (clock::instant(), data));
    }
}

async fn of_config_map(
    client: &Client,
    namespace: &str,
    name: &str,
    key: &str,
) -> Result<Vec<u8>, NoAccess> {
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = config_maps
        .get_opt(name)
        .await
        .map_err(|source| NoAccess::Api {
            what: format!("ConfigMap '{name}' in namespace '{namespace}'"),
            source: Box::new(source),
        })?;
    let Some(found) = found else {
        return Err(NoAccess::Missing(format!(
            "there is no ConfigMap '{name}' in namespace '{namespace}'"
        )));
    };
    let text = found.data.and_then(|mut data| data.remove(key));
    let binary = || found.binary_data.and_then(|mut data| data.remove(key));
    text.map(String::into_bytes)
        .or_else(|| binary().map(|bytes| bytes.0))
        .ok_or_else(|| {
            NoAccess::Missing(format!(
                "ConfigMap '{name}' in namespace '{namespace}' has no key '{key}'"
            ))
        })
}
