//! What a policy names in Secrets and ConfigMaps: access to a registry, and what signatures are checked with. They are
//! read by name, never watched.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use tokio::time::Instant;

use crate::api::{self, ArtifactSource};
use crate::domain::artifact::Repository;
use crate::domain::policy::{SignatureRule, TrustKind, TrustRef};
use crate::effects::clock;
use crate::effects::registry::{Access, login_for};
use crate::effects::signatures::Trust;

/// How long a Secret is believed before it is read again.
const FRESH: Duration = Duration::from_mins(1);
/// Most Secrets kept.
const MOST: usize = 256;
/// Key of the Secret that holds registry credentials (Kubernetes, `kubernetes.io/dockerconfigjson`).
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// Key of the Secret that holds a certificate authority.
const CA: &str = "ca.crt";

/// Why there is no access.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// The Secret is missing or malformed: somebody has to mend it.
    #[error("{0}")]
    Missing(String),
    /// The API server could not be asked.
    #[error("cannot read '{name}': {source}")]
    Api {
        /// Name of the object.
        name: String,
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

type SecretData = BTreeMap<String, ByteString>;

/// Secrets that were read a moment ago.
#[derive(Default)]
pub struct Credentials {
    read: Mutex<BTreeMap<(String, String), (Instant, SecretData)>>,
}

impl Credentials {
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
        if let Some(name) = place.credentials.and_then(|one| one.secret_name.as_ref()) {
            let payload = self.value(client, namespace, name, DOCKER_CONFIG).await?;
            let login = login_for(&payload, place.repository).map_err(|why| {
                NoAccess::Missing(format!("Secret '{name}' in namespace '{namespace}': {why}"))
            })?;
            access.credentials = Some(login);
        }
        if let Some(name) = place.ca_secret_name {
            access.ca_pem = Some(self.value(client, namespace, name, CA).await?);
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
                TrustKind::Secret => self.value(client, namespace, name, key).await?,
                TrustKind::ConfigMap => of_config_map(client, namespace, name, key).await?,
            };
            read.insert(source.clone(), bytes);
        }
        Trust::of(rule, &read)
            .map_err(|why| NoAccess::Missing(format!("{why} (namespace '{namespace}')")))
    }

    /// Reads the Secrets of a namespace anew the next time: a registry has refused what they hold.
    pub fn forget(&self, namespace: &str) {
        self.lock().retain(|(kept, _), _| kept != namespace);
    }

    async fn value(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<Vec<u8>, NoAccess> {
        let data = self.data(client, namespace, name).await?;
        data.get(key).map(|value| value.0.clone()).ok_or_else(|| {
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
        let key = (namespace.to_owned(), name.to_owned());
        let kept = self
            .lock()
            .get(&key)
            .filter(|(read_at, _)| read_at.elapsed() < FRESH)
            .map(|(_, data)| data.clone());
        if let Some(data) = kept {
            return Ok(data);
        }
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let found = secrets
            .get_opt(name)
            .await
            .map_err(|source| NoAccess::Api {
                name: name.to_owned(),
                source: Box::new(source),
            })?;
        let Some(secret) = found else {
            return Err(NoAccess::Missing(format!(
                "there is no Secret '{name}' in namespace '{namespace}'"
            )));
        };
        let data = secret.data.unwrap_or_default();
        let mut read = self.lock();
        read.retain(|_, (read_at, _)| read_at.elapsed() < FRESH);
        if read.len() < MOST {
            read.insert(key, (clock::instant(), data.clone()));
        }
        Ok(data)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), (Instant, SecretData)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
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
            name: name.to_owned(),
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
