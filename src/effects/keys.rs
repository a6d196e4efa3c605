//! Keys of records, in the operator's namespace: one Secret with the private key of each namespace of promotions,
//! and one ConfigMap with the public keys of all of them.
//!
//! A key is made once, by a write that only creates. When it is lost although its public half is known, it is not
//! made anew in silence: somebody has to know that records from then on have another key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;

use super::clock;
use crate::domain::record::{KeyRing, SigningKey};

/// Name of the ConfigMap with the public keys: for each namespace one key of the map, its value PEM.
pub const PUBLIC_KEYS: &str = "floe-record-keys";
/// Key of the Secret under which the private key lies (PKCS #8, PEM).
const PRIVATE_KEY: &str = "record.key";
/// How long public keys are believed before they are read again.
const FRESH: Duration = Duration::from_mins(1);
/// Tries when somebody else writes at the same moment.
const TRIES: u32 = 5;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// Somebody has to mend it.
    #[error("{0}")]
    Missing(String),
    /// The API server could not be asked.
    #[error("cannot {action}: {source}")]
    Api {
        /// What was asked.
        action: &'static str,
        /// What the client said.
        source: Box<kube::Error>,
    },
}

/// The keys that this process has read.
pub struct Keys {
    namespace: String,
    signing: Mutex<BTreeMap<String, Arc<SigningKey>>>,
    public: Mutex<Option<(Instant, BTreeMap<String, String>)>>,
}

impl Keys {
    /// Keys that lie in this namespace: the operator's.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            signing: Mutex::default(),
            public: Mutex::default(),
        }
    }

    /// The key that signs the records of a namespace; made when the namespace has never had one.
    ///
    /// # Errors
    /// `Missing` when its Secret is gone although its public key is known, or when it is malformed.
    pub async fn signing(&self, client: &Client, space: &str) -> Result<Arc<SigningKey>, NoKey> {
        if let Some(key) = lock(&self.signing).get(space) {
            return Ok(Arc::clone(key));
        }
        let found = read_secret(client, &self.namespace, space).await?;
        let known = read_public(client, &self.namespace).await?;
        let key = match found {
            Some(key) => key,
            None => self.first_key(client, space, known.as_ref()).await?,
        };
        publish(client, &self.namespace, space, &key, known).await?;
        let key = Arc::new(key);
        lock(&self.signing).insert(space.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    /// The public keys of a namespace, the current one first; none when it has never had one.
    ///
    /// # Errors
    /// `Missing` when they cannot be read as keys.
    pub async fn public(&self, client: &Client, space: &str) -> Result<KeyRing, NoKey> {
        let known = {
            let kept = lock(&self.public);
            let fresh = kept.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
            fresh.and_then(|(_, keys)| keys.get(space).cloned())
        };
        let pem = match known {
            Some(pem) => pem,
            None => {
                let all = read_public(client, &self.namespace).await?;
                let keys = all.and_then(|map| map.data).unwrap_or_default();
                let pem = keys.get(space).cloned().unwrap_or_default();
                *lock(&self.public) = Some((clock::instant(), keys));
                pem
            }
        };
        ring(&self.namespace, space, &pem)
    }

    /// The first key of a namespace. Whoever creates the Secret first has made it.
    async fn first_key(
        &self,
        client: &Client,
        space: &str,
        known: Option<&ConfigMap>,
    ) -> Result<SigningKey, NoKey> {
        let mut keys = known.iter().filter_map(|map| map.data.as_ref());
        if keys.any(|keys| keys.contains_key(space)) {
            return Err(NoKey::Missing(format!(
                "the Secret '{}' in namespace '{}' is gone, and records of namespace '{space}' were signed with it",
                secret_name(space),
                self.namespace
            )));
        }
        create_secret(client, &self.namespace, space).await
    }
}

/// Gives a namespace a new key and keeps the former public keys: what they have signed stays proven.
///
/// # Errors
/// `Missing` when the namespace still has a key.
pub async fn renew(client: &Client, namespace: &str, space: &str) -> Result<KeyRing, NoKey> {
    if read_secret(client, namespace, space).await?.is_some() {
        return Err(NoKey::Missing(format!(
            "namespace '{space}' has a key: the Secret '{}' in namespace '{namespace}'",
            secret_name(space)
        )));
    }
    let key = create_secret(client, namespace, space).await?;
    let known = read_public(client, namespace).await?;
    let pem = publish(client, namespace, space, &key, known).await?;
    ring(namespace, space, &pem)
}

/// Name of the Secret with the private key of a namespace.
pub fn secret_name(space: &str) -> String {
    format!("floe-record-key-{space}")
}

fn ring(namespace: &str, space: &str, pem: &str) -> Result<KeyRing, NoKey> {
    KeyRing::from_pem(pem).map_err(|not| {
        NoKey::Missing(format!(
            "the ConfigMap '{PUBLIC_KEYS}' in namespace '{namespace}' is malformed at '{space}': {not}"
        ))
    })
}

async fn read_secret(
    client: &Client,
    namespace: &str,
    space: &str,
) -> Result<Option<SigningKey>, NoKey> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let name = secret_name(space);
    let found = secrets.get_opt(&name).await;
    let Some(secret) = found.map_err(failed("read the key of records"))? else {
        return Ok(None);
    };
    let malformed = |why: String| {
        NoKey::Missing(format!(
            "the Secret '{name}' in namespace '{namespace}' is malformed: {why}"
        ))
    };
    let Some(ByteString(pem)) = secret.data.unwrap_or_default().remove(PRIVATE_KEY) else {
        return Err(malformed(format!("it has no key '{PRIVATE_KEY}'")));
    };
    let pem = String::from_utf8(pem).map_err(|_| malformed("it is not text".to_owned()))?;
    SigningKey::from_pem(&pem)
        .map(Some)
        .map_err(|not| malformed(not.to_string()))
}

/// Makes a key, unless somebody has made one a moment ago: then it is that one.
async fn create_secret(client: &Client, namespace: &str, space: &str) -> Result<SigningKey, NoKey> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let key = SigningKey::generate();
    let pem = key.to_pem().as_bytes().to_vec();
    let secret = Secret {
        metadata: named(&secret_name(space)),
        data: Some(BTreeMap::from([(PRIVATE_KEY.to_owned(), ByteString(pem))])),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => {
            tracing::info!(namespace = space, "made the key that signs its records");
            Ok(key)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let found = read_secret(client, namespace, space).await?;
            found.ok_or_else(|| {
                NoKey::Missing(format!(
                    "the Secret '{}' in namespace '{namespace}' comes and goes",
                    secret_name(space)
                ))
            })
        }
        Err(error) => Err(failed("make the key of records")(error)),
    }
}

async fn read_public(client: &Client, namespace: &str) -> Result<Option<ConfigMap>, NoKey> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.get_opt(PUBLIC_KEYS)
        .await
        .map_err(failed("read the public keys of records"))
}

/// Puts the public half of a key before the keys of the namespace that are known, unless it is among them. `found`
/// is the ConfigMap as it was just read; it is written under its resourceVersion.
async fn publish(
    client: &Client,
    namespace: &str,
    space: &str,
    key: &SigningKey,
    mut found: Option<ConfigMap>,
) -> Result<String, NoKey> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let parameters = PostParams::default();
    let public = key.public().to_pem();
    let mut tries = 0;
    loop {
        let exists = found.is_some();
        let mut map = found.unwrap_or_else(|| ConfigMap {
            metadata: named(PUBLIC_KEYS),
            ..ConfigMap::default()
        });
        let keys = map.data.get_or_insert_default();
        let known = keys.get(space).cloned().unwrap_or_default();
        if known.contains(&public) {
            return Ok(known);
        }
        let wanted = format!("{public}{known}");
        keys.insert(space.to_owned(), wanted.clone());
        let written = if exists {
            maps.replace(PUBLIC_KEYS, &parameters, &map).await
        } else {
            maps.create(&parameters, &map).await
        };
        match written {
            Ok(_) => return Ok(wanted),
            Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => tries += 1,
            Err(error) => return Err(failed("publish a key of records")(error)),
        }
        found = read_public(client, namespace).await?;
    }
}

fn named(name: &str) -> ObjectMeta {
    let labels = [("app.kubernetes.io/managed-by", "floe")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from(labels)),
        ..ObjectMeta::default()
    }
}

fn failed(action: &'static str) -> impl FnOnce(kube::Error) -> NoKey {
    move |source| NoKey::Api {
        action,
        source: Box::new(source),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
