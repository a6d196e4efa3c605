//! Keys of records, in the operator's namespace: one Secret with the private key of each namespace of promotions,
//! and one ConfigMap with the public keys of all of them and what was stated about them.
//!
//! A key is made once, by a write that only creates. When it is lost although its public half is known, it is not
//! made anew in silence: somebody has to know that records from then on have another key.

mod change;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use super::clock;
use crate::domain::record::{KeyRing, KeyUse, SigningKey};
use crate::effects::lock::lock;
pub use change::{Changed, Done, renew, revoke, rotate};
pub use store::PUBLIC_KEYS;
use store::{Place, ring_in};

/// How long keys are believed before they are read again.
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
    signing: Mutex<BTreeMap<String, (Instant, Arc<SigningKey>)>>,
    /// What the ConfigMap says.
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
        if let Some((read_at, key)) = lock(&self.signing).get(space)
            && read_at.elapsed() < FRESH
        {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(self.read_signing(client, space).await?);
        let kept = (clock::instant(), Arc::clone(&key));
        lock(&self.signing).insert(space.to_owned(), kept);
        Ok(key)
    }

    async fn read_signing(&self, client: &Client, space: &str) -> Result<SigningKey, NoKey> {
        let place = Place {
            client,
            namespace: &self.namespace,
            space,
        };
        for _ in 0..TRIES {
            // In this order a rotation in between cannot look like a lost key.
            let known = place.known().await?;
            let held = place.held().await?;
            let usage = known.ring.use_of(&change::public(held.as_ref()));
            let unpublished = match (usage, held) {
                (KeyUse::Sign(active), Some(held)) => {
                    if let Some(key) = held.of(&active) {
                        // Whoever signs with a key believes it, too.
                        *lock(&self.public) = Some((clock::instant(), known.data()));
                        return Ok(key.clone());
                    }
                    continue;
                }
                (KeyUse::Publish(first), Some(held)) => held.of(&first).cloned(),
                (KeyUse::Make, _) => {
                    let key = SigningKey::generate();
                    // Whoever creates the Secret first has made it.
                    let made = place.create(&key).await?;
                    if made {
                        tracing::info!(namespace = space, "made the key that signs its records");
                    }
                    made.then_some(key)
                }
                (KeyUse::Outdated(id), _) => return Err(place.outdated(&id)),
                (KeyUse::Lost(_) | KeyUse::Sign(_) | KeyUse::Publish(_), _) => {
                    return Err(place.lost());
                }
            };
            if let Some(key) = unpublished
                && place.publish_lone(&known, &key).await?
            {
                *lock(&self.public) = None;
                return Ok(key);
            }
        }
        Err(place.comes_and_goes())
    }

    /// The public keys of a namespace, the active one first; none when it has never had one.
    ///
    /// # Errors
    /// `Missing` when they cannot be read as keys.
    pub async fn public(&self, client: &Client, space: &str) -> Result<KeyRing, NoKey> {
        let known = {
            let kept = lock(&self.public);
            let fresh = kept.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
            let data = fresh.map(|(_, data)| data);
            // A namespace that had none may have got its first one since.
            data.filter(|data| data.contains_key(space))
                .map(|data| ring_in(data, &self.namespace, space))
        };
        if let Some(ring) = known {
            return ring;
        }
        let place = Place {
            client,
            namespace: &self.namespace,
            space,
        };
        let known = place.known().await?;
        *lock(&self.public) = Some((clock::instant(), known.data()));
        Ok(known.ring)
    }
}

/// Name of the Secret with the private key of a namespace.
pub fn secret_name(space: &str) -> String {
    format!("floe-record-key-{space}")
}

fn failed(action: &'static str) -> impl FnOnce(kube::Error) -> NoKey {
    move |source| NoKey::Api {
        action,
        source: Box::new(source),
    }
}
