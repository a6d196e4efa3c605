//! Good verdicts of the last minutes: several environments promote the same digest one after another.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::trust::Trust;
use crate::domain::artifact::{Digest, Repository};
use crate::domain::signature::Verdict;
use crate::effects::clock;
use crate::effects::lock::lock;

/// How long a good verdict counts again. A bad one never does: somebody may be signing.
const FRESH: Duration = Duration::from_mins(10);
/// Most verdicts kept.
const MOST: usize = 1024;

type Key = (Repository, Digest, [u8; 32]);

/// Good verdicts, by digest and by what was trusted.
#[derive(Default)]
pub struct VerifiedCache(Mutex<BTreeMap<Key, (Instant, Verdict)>>);

impl VerifiedCache {
    /// The good verdict on this digest, reached a moment ago with the same trust.
    pub fn get(&self, repository: &Repository, digest: &Digest, trust: &Trust) -> Option<Verdict> {
        let known = lock(&self.0);
        let (at, verdict) = known.get(&key(repository, digest, trust))?;
        (at.elapsed() < FRESH).then(|| verdict.clone())
    }

    /// Keeps a verdict, when it is good.
    pub fn insert(
        &self,
        repository: &Repository,
        digest: &Digest,
        trust: &Trust,
        verdict: &Verdict,
    ) {
        let mut known = lock(&self.0);
        known.retain(|_, (at, _)| at.elapsed() < FRESH);
        if verdict.verified() && known.len() < MOST {
            let entry = (clock::instant(), verdict.clone());
            known.insert(key(repository, digest, trust), entry);
        }
    }
}

fn key(repository: &Repository, digest: &Digest, trust: &Trust) -> Key {
    (repository.clone(), digest.clone(), trust.fingerprint())
}
