//! Deletes tags, then manifests, one by one.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::retention::Doomed;
use crate::effects::registry::{DeleteReceipt, Reference, Registry, RegistryError};

/// A tag that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoomedTag {
    /// The tag.
    pub tag: Tag,
    /// What it names; with another digest it is left alone.
    pub digest: Digest,
    /// The manifest goes afterwards, too.
    pub manifest_goes: bool,
}

/// What was done before the end, or before it had to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Tags that are gone.
    pub tags: BTreeSet<Tag>,
    /// Manifests that are gone.
    pub manifests: BTreeSet<Digest>,
    /// What was left alone, and why.
    pub left: Vec<String>,
}

/// Why it stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The registry failed, or cannot delete.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry deletes a manifest with one of its tags; this one was written again.
    #[error(
        "the registry deleted the manifest {digest} of '{repository}' together with its tag '{tag}', although it was \
         asked for the tag alone; manifest and tags were written again, and nothing else was deleted. Such a \
         registry has to be cleaned up with its own tools"
    )]
    ManifestLost {
        /// The repository.
        repository: Repository,
        /// The tag that was deleted.
        tag: Tag,
        /// The manifest that should have stayed.
        digest: Digest,
    },
    /// The registry deletes a manifest with one of its tags, which was noticed where it did no harm.
    #[error(
        "the registry of '{repository}' deletes a manifest together with its tag, so the tags whose manifests have \
         to stay were left alone; they have to be cleaned up with its own tools"
    )]
    TakesManifests {
        /// The repository.
        repository: Repository,
    },
}

/// Deletes these tags, first those whose manifest goes too: then a registry that deletes more than it is asked
/// for is noticed where it does no harm.
///
/// # Errors
/// The first failure ends it; what is done by then is in `deleted`.
pub async fn delete_tags(
    registry: &Registry,
    repository: &Repository,
    doomed: &[DoomedTag],
    tags: &BTreeMap<Tag, Digest>,
    deleted: &mut Deleted,
) -> Result<(), Stopped> {
    let (harmless, others): (Vec<&DoomedTag>, Vec<&DoomedTag>) =
        doomed.iter().partition(|tag| tag.manifest_goes);
    for doomed in harmless.into_iter().chain(others) {
        let DoomedTag { tag, digest, .. } = doomed;
        let took_manifests = !deleted.manifests.is_empty();
        if took_manifests && !doomed.manifest_goes {
            let repository = repository.clone();
            return Err(Stopped::TakesManifests { repository });
        }
        let by_digest = Reference::from(digest);
        let manifest = registry.get_manifest(repository, &by_digest).await?;
        match registry.delete_tag(repository, tag, digest).await? {
            DeleteReceipt::Deleted | DeleteReceipt::AlreadyGone => {
                deleted.tags.insert(tag.clone());
            }
            DeleteReceipt::NamesAnother => {
                deleted.left.push(format!(
                    "tag '{tag}' was left alone: it no longer names {digest}"
                ));
                continue;
            }
        }
        let stays = registry
            .head_manifest(repository, &by_digest)
            .await?
            .is_some();
        let Some(manifest) = manifest.filter(|_| !stays) else {
            continue;
        };
        if doomed.manifest_goes {
            deleted.manifests.insert(digest.clone());
            continue;
        }
        // With its tag, so that everything is as it was.
        deleted.tags.remove(tag);
        let mut again = tags_of(digest, tags);
        again.retain(|tag| !deleted.tags.contains(tag));
        for tag in &again {
            registry.move_tag(repository, tag, &manifest).await?;
        }
        return Err(Stopped::ManifestLost {
            repository: repository.clone(),
            tag: tag.clone(),
            digest: digest.clone(),
        });
    }
    Ok(())
}

fn tags_of(digest: &Digest, tags: &BTreeMap<Tag, Digest>) -> Vec<Tag> {
    let named = tags.iter().filter(|(_, named)| *named == digest);
    named.map(|(tag, _)| tag.clone()).collect()
}

/// Deletes these manifests in their order, each with the tags that speak of it alone. Right before each, the
/// tags are listed again: one that a tag names by then is left alone, with everything that comes after it.
///
/// `tags` is what the tags named when the manifests were chosen.
///
/// # Errors
/// As [`delete_tags`].
pub async fn delete_manifests(
    registry: &Registry,
    repository: &Repository,
    doomed: &[Doomed],
    tags: &BTreeMap<Tag, Digest>,
    deleted: &mut Deleted,
) -> Result<(), Stopped> {
    let mut known = tags.clone();
    for manifest in doomed {
        let own: BTreeSet<&Tag> = doomed.iter().flat_map(|one| &one.tags).collect();
        look_again(registry, repository, &mut known).await?;
        let named = known
            .iter()
            .find(|(tag, digest)| **digest == manifest.digest && !own.contains(tag));
        if let Some((tag, _)) = named {
            deleted.left.push(format!(
                "manifest {} was left alone, with what belongs to it: tag '{tag}' names it now",
                manifest.digest
            ));
            return Ok(());
        }
        for tag in &manifest.tags {
            if let Some(digest) = known.get(tag)
                && registry.delete_tag(repository, tag, digest).await? == DeleteReceipt::Deleted
            {
                deleted.tags.insert(tag.clone());
            }
        }
        if registry
            .delete_manifest(repository, &manifest.digest)
            .await?
            == DeleteReceipt::Deleted
        {
            deleted.manifests.insert(manifest.digest.clone());
        }
    }
    Ok(())
}

/// Takes in tags that are new, those that are gone, and where those that move have moved to.
async fn look_again(
    registry: &Registry,
    repository: &Repository,
    known: &mut BTreeMap<Tag, Digest>,
) -> Result<(), RegistryError> {
    let listed: BTreeSet<Tag> = registry.list_tags(repository).await?.into_iter().collect();
    known.retain(|tag, _| listed.contains(tag));
    for tag in listed {
        if known.contains_key(&tag) && !tag.as_str().starts_with("latest-") {
            continue;
        }
        let head = registry
            .head_manifest(repository, &Reference::from(&tag))
            .await?;
        if let Some(head) = head {
            known.insert(tag, head.digest);
        }
    }
    Ok(())
}
