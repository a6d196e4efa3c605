//! Clients that are in use, and what they share.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::error::RegistryError;
use super::{Access, Registry};
use crate::domain::artifact::{Digest, Repository};
use crate::effects::lock::lock;

/// Most clients kept.
const MOST_CLIENTS: usize = 64;

/// Most repositories whose empty config is remembered.
const MOST_REPOSITORIES: usize = 10_000;

/// The clients of this process, one for each (host, secret, CA, scheme, limits): a rotated secret
/// gives a new client that knows none of the old tokens. At most 64; the least recently used goes
/// first (who holds it keeps it).
#[derive(Default)]
pub struct Registries {
    clients: Mutex<VecDeque<([u8; 32], Registry)>>,
    shared: Arc<Shared>,
}

impl Registries {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The client for this access, made when it is not there yet. Sends nothing.
    ///
    /// # Errors
    /// As [`Registry::new`].
    pub fn open(&self, access: &Access) -> Result<Registry, RegistryError> {
        let key = access.fingerprint();
        let mut clients = lock(&self.clients);
        let position = clients.iter().position(|(kept, _)| *kept == key);
        let registry = match position.and_then(|position| clients.remove(position)) {
            Some((_, registry)) => registry,
            None => Registry::sharing(access, Arc::clone(&self.shared))?,
        };
        clients.push_back((key, registry.clone()));
        if clients.len() > MOST_CLIENTS {
            clients.pop_front();
        }
        Ok(registry)
    }

    /// Number of clients at hand.
    pub fn len(&self) -> usize {
        lock(&self.clients).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Who writes the referrers of a digest now.
type Turns = HashMap<(Repository, Digest), Weak<AsyncMutex<()>>>;

/// What all clients of a pool know together.
#[derive(Default)]
pub(super) struct Shared {
    subjects: Mutex<Turns>,
    with_empty_config: Mutex<HashSet<Repository>>,
}

impl Shared {
    /// Waits until nobody else in this process writes referrers of this digest.
    pub(super) async fn lock_subject(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> OwnedMutexGuard<()> {
        let mutex = {
            let mut subjects = lock(&self.subjects);
            subjects.retain(|_, mutex| mutex.strong_count() > 0);
            let slot = subjects
                .entry((repository.clone(), subject.clone()))
                .or_default();
            slot.upgrade().unwrap_or_else(|| {
                let mutex = Arc::default();
                *slot = Arc::downgrade(&mutex);
                mutex
            })
        };
        mutex.lock_owned().await
    }

    pub(super) fn has_empty_config(&self, repository: &Repository) -> bool {
        lock(&self.with_empty_config).contains(repository)
    }

    pub(super) fn remember_empty_config(&self, repository: &Repository, there: bool) {
        let mut known = lock(&self.with_empty_config);
        if known.len() >= MOST_REPOSITORIES {
            known.clear();
        }
        if there {
            known.insert(repository.clone());
        } else {
            known.remove(repository);
        }
    }
}
