//! What tags name, and whether records are where the ledger says: read from the registry, a few requests at a time.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};

use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::drift::WantedRecord;
use crate::effects::registry::{Reference, Registry, RegistryError};

/// Requests that are made side by side.
const SIDE_BY_SIDE: usize = 4;

/// What each of these tags names; nothing for a tag that is not there. The first error ends it.
pub async fn named(
    registry: &Registry,
    repository: &Repository,
    tags: impl IntoIterator<Item = Tag>,
) -> Result<BTreeMap<Tag, Option<Digest>>, RegistryError> {
    let looks = tags.into_iter().map(|tag| async move {
        let digest = registry.named_by(repository, &tag).await?;
        Ok((tag, digest))
    });
    futures::stream::iter(looks)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await
}

/// Those of these records whose manifests are not there any more. One that is there, and that the list of its
/// digest's referrers has lost, is listed again: another client's write to the fallback tag can drop it.
pub async fn gone(
    registry: &Registry,
    repository: &Repository,
    records: &[WantedRecord],
) -> Result<BTreeSet<Digest>, RegistryError> {
    let mut by_subject: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
    for wanted in records {
        by_subject
            .entry(wanted.subject.clone())
            .or_default()
            .push(wanted.record.clone());
    }
    let looks = by_subject
        .into_iter()
        .map(|(subject, records)| gone_of(registry, repository, subject, records));
    let gone: Vec<Vec<Digest>> = futures::stream::iter(looks)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    Ok(gone.into_iter().flatten().collect())
}

async fn gone_of(
    registry: &Registry,
    repository: &Repository,
    subject: Digest,
    records: Vec<Digest>,
) -> Result<Vec<Digest>, RegistryError> {
    let listed = registry.referrers(repository, &subject).await?;
    let mut gone = Vec::new();
    for record in records {
        let reference = Reference::from(&record);
        if listed.iter().any(|entry| entry.digest == record) {
            if registry
                .head_manifest(repository, &reference)
                .await?
                .is_none()
            {
                gone.push(record);
            }
            continue;
        }
        match registry.get_manifest(repository, &reference).await? {
            Some(manifest) => {
                registry
                    .push_referrer(repository, &manifest, &subject)
                    .await?;
                tracing::warn!(
                    %repository, %subject, %record,
                    "the record was lost from the list of referrers, and is listed again"
                );
            }
            None => gone.push(record),
        }
    }
    Ok(gone)
}
