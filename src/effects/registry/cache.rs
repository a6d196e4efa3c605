//! Manifests that were read a moment ago, so that their bytes can be written without reading
//! them again.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::manifest::RawManifest;
use crate::domain::artifact::{Digest, Repository};
use crate::effects::lock::lock;

/// Most manifests kept.
const MOST_ENTRIES: usize = 32;

/// Most bytes kept.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// Bounded memory of manifests by repository and digest: at most 32 of them and 32 MiB, the
/// least recently used go first.
///
/// A digest alone is no key: who may read one repository must not write what lies in another.
#[derive(Debug, Default)]
pub struct ManifestCache {
    entries: Mutex<VecDeque<(Repository, RawManifest)>>,
}

impl ManifestCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `manifest` as content of `repository`.
    pub fn insert(&self, repository: &Repository, manifest: &RawManifest) {
        let mut entries = lock(&self.entries);
        entries.retain(|(place, kept)| place != repository || kept.digest() != manifest.digest());
        entries.push_back((repository.clone(), manifest.clone()));
        let mut bytes: u64 = entries.iter().map(|(_, kept)| kept.size()).sum();
        while entries.len() > MOST_ENTRIES || bytes > MOST_BYTES {
            let Some((_, gone)) = entries.pop_front() else {
                break;
            };
            bytes -= gone.size();
        }
    }

    /// The manifest of this digest in `repository`, when it is still here.
    pub fn get(&self, repository: &Repository, digest: &Digest) -> Option<RawManifest> {
        let mut entries = lock(&self.entries);
        let position = entries
            .iter()
            .position(|(place, kept)| place == repository && kept.digest() == digest)?;
        let entry = entries.remove(position)?;
        let manifest = entry.1.clone();
        entries.push_back(entry);
        Some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::registry::manifest::ManifestType;

    fn manifest(text: impl Into<Vec<u8>>) -> RawManifest {
        RawManifest::new(text.into(), ManifestType::OciManifest)
    }

    #[test]
    fn the_cache_keeps_the_32_last_used_manifests_and_no_more_than_32_mib() {
        let (cache, here) = (ManifestCache::new(), "r/a".parse().unwrap());
        let first = manifest("first");
        cache.insert(&here, &first);
        for number in 0..31 {
            cache.insert(&here, &manifest(format!("{number}")));
        }
        assert!(cache.get(&here, first.digest()).is_some());
        cache.insert(&here, &manifest("one more"));
        assert!(cache.get(&here, first.digest()).is_some());
        assert!(cache.get(&here, manifest("0").digest()).is_none());

        let big = |byte: u8| manifest(vec![byte; 12 * 1024 * 1024]);
        for byte in 0..3 {
            cache.insert(&here, &big(byte));
        }
        assert!(cache.get(&here, big(0).digest()).is_none());
        assert!(cache.get(&here, big(2).digest()).is_some());
    }

    #[test]
    fn a_manifest_of_one_repository_is_not_found_in_another() {
        let cache = ManifestCache::new();
        cache.insert(&"r/a".parse().unwrap(), &manifest("x"));
        assert!(
            cache
                .get(&"r/b".parse().unwrap(), manifest("x").digest())
                .is_none()
        );
    }
}
