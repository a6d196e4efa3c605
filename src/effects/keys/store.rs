//! How keys lie in the operator's namespace.
//!
//! The Secret of a namespace holds the private key, and while a rotation is under way also the next one. The ConfigMap
//! holds for each namespace its public keys in PEM, the active one first, and under `<namespace>.statements` what was
//! stated about them. Both are written under the resourceVersion that was read.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::{NoKey, failed, secret_name};
use crate::domain::record::{KeyRing, KeyStatement, PublicKey, SigningKey};

/// Name of the ConfigMap with the public keys of all namespaces.
pub const PUBLIC_KEYS: &str = "floe-record-keys";
/// Key of the Secret under which the private key lies (PKCS #8, PEM).
const PRIVATE_KEY: &str = "record.key";
/// Key of the Secret under which the next one lies while a rotation is under way.
const NEXT_KEY: &str = "record.key.next";

/// Where the keys of one namespace lie.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub client: &'a Client,
    /// The operator's namespace.
    pub namespace: &'a str,
    /// The namespace whose records they sign.
    pub space: &'a str,
}

/// The private keys of a namespace, as its Secret was read.
pub(super) struct Held {
    secret: Secret,
    pub current: SigningKey,
    pub next: Option<SigningKey>,
}

/// The public keys of a namespace, as the ConfigMap was read.
pub(super) struct Known {
    map: Option<ConfigMap>,
    pub ring: KeyRing,
}

impl Held {
    /// The public halves, the one in use first.
    pub(super) fn public(&self) -> Vec<PublicKey> {
        let keys = std::iter::once(&self.current).chain(&self.next);
        keys.map(SigningKey::public).collect()
    }

    /// The private half of this key.
    pub(super) fn of(&self, key: &PublicKey) -> Option<&SigningKey> {
        let mut keys = std::iter::once(&self.current).chain(&self.next);
        keys.find(|held| held.public() == *key)
    }
}

impl Known {
    /// What the whole ConfigMap says.
    pub(super) fn data(&self) -> BTreeMap<String, String> {
        let data = self.map.as_ref().and_then(|map| map.data.clone());
        data.unwrap_or_default()
    }
}

impl Place<'_> {
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// The private keys, when there is a Secret.
    pub(super) async fn held(&self) -> Result<Option<Held>, NoKey> {
        let name = secret_name(self.space);
        let found = self.secrets().get_opt(&name).await;
        let Some(secret) = found.map_err(failed("read the key of records"))? else {
            return Ok(None);
        };
        let malformed = |why: String| {
            NoKey::Missing(format!(
                "the Secret '{name}' in namespace '{}' is malformed: {why}",
                self.namespace
            ))
        };
        let read = |key: &str| {
            let Some(ByteString(pem)) = secret.data.as_ref().and_then(|data| data.get(key)) else {
                return Ok(None);
            };
            let pem = std::str::from_utf8(pem).map_err(|_| malformed("it is not text".into()))?;
            let key = SigningKey::from_pem(pem).map_err(|not| malformed(not.to_string()))?;
            Ok(Some(key))
        };
        let (current, next) = (read(PRIVATE_KEY)?, read(NEXT_KEY)?);
        let current = current.ok_or_else(|| malformed(format!("it has no key '{PRIVATE_KEY}'")))?;
        Ok(Some(Held {
            secret,
            current,
            next,
        }))
    }

    /// The public keys.
    pub(super) async fn known(&self) -> Result<Known, NoKey> {
        let found = self.maps().get_opt(PUBLIC_KEYS).await;
        let map = found.map_err(failed("read the public keys of records"))?;
        let data = map.as_ref().and_then(|map| map.data.as_ref());
        let ring = data.map_or_else(
            || Ok(KeyRing::default()),
            |data| ring_in(data, self.namespace, self.space),
        )?;
        Ok(Known { map, ring })
    }

    /// Makes the Secret with this key; `false` when there is one by now.
    pub(super) async fn create(&self, key: &SigningKey) -> Result<bool, NoKey> {
        let secret = Secret {
            metadata: named(&secret_name(self.space)),
            data: Some(private(key, None)),
            ..Secret::default()
        };
        let created = self.secrets().create(&PostParams::default(), &secret).await;
        if_nobody_else(created, "make the key of records")
    }

    /// Changes what the Secret holds; `false` when somebody else has changed it.
    pub(super) async fn hold(
        &self,
        held: &Held,
        current: &SigningKey,
        next: Option<&SigningKey>,
    ) -> Result<bool, NoKey> {
        let mut secret = held.secret.clone();
        let data = secret.data.get_or_insert_default();
        data.remove(NEXT_KEY);
        data.extend(private(current, next));
        let name = secret_name(self.space);
        let parameters = PostParams::default();
        let replaced = self.secrets().replace(&name, &parameters, &secret).await;
        if_nobody_else(replaced, "change the key of records")
    }

    /// Publishes statements and, before the keys that are known, this one; `false` when somebody else has written.
    pub(super) async fn publish(
        &self,
        known: &Known,
        first: Option<&PublicKey>,
        statements: &[KeyStatement],
    ) -> Result<bool, NoKey> {
        let mut map = known.map.clone().unwrap_or_else(|| ConfigMap {
            metadata: named(PUBLIC_KEYS),
            ..ConfigMap::default()
        });
        let data = map.data.get_or_insert_default();
        if let Some(key) = first {
            let keys = data.entry(self.space.to_owned()).or_default();
            keys.insert_str(0, &key.to_pem());
        }
        if !statements.is_empty() {
            let said = data.entry(statements_of(self.space)).or_default();
            for statement in statements {
                said.push_str(&statement.bundle);
                said.push('\n');
            }
        }
        let (maps, parameters) = (self.maps(), PostParams::default());
        let written = if known.map.is_some() {
            maps.replace(PUBLIC_KEYS, &parameters, &map).await
        } else {
            maps.create(&parameters, &map).await
        };
        if_nobody_else(written, "publish a key of records")
    }
}

/// The public keys of a namespace in what the ConfigMap says.
pub(super) fn ring_in(
    data: &BTreeMap<String, String>,
    namespace: &str,
    space: &str,
) -> Result<KeyRing, NoKey> {
    let text = |key: &str| data.get(key).map_or("", String::as_str);
    KeyRing::read(space, text(space), text(&statements_of(space))).map_err(|bad| {
        NoKey::Missing(format!(
            "the ConfigMap '{PUBLIC_KEYS}' in namespace '{namespace}' is malformed at '{space}': {bad}"
        ))
    })
}

/// No namespace has a dot in its name.
fn statements_of(space: &str) -> String {
    format!("{space}.statements")
}

fn private(current: &SigningKey, next: Option<&SigningKey>) -> BTreeMap<String, ByteString> {
    let keys = [(PRIVATE_KEY, Some(current)), (NEXT_KEY, next)];
    let named = keys.into_iter().filter_map(|(name, key)| {
        let pem = key?.to_pem().as_bytes().to_vec();
        Some((name.to_owned(), ByteString(pem)))
    });
    named.collect()
}

fn if_nobody_else<T>(written: kube::Result<T>, action: &'static str) -> Result<bool, NoKey> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(failed(action)(error)),
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
