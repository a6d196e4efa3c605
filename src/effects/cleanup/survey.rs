//! What lies in a repository: tags, manifests with their parts, and what refers to them.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::record::{KeyRing, Seen};
use crate::domain::retention::{Contents, Graph, Listing, Part, is_attestation, may_be_record};
use crate::effects::records::find;
use crate::effects::registry::{Descriptor, RawManifest, Reference, Registry, RegistryError};

/// Requests that are under way at the same time.
const SIDE_BY_SIDE: usize = 8;
/// Manifests that are looked at for one repository.
const MANIFESTS_MAX: usize = 50_000;
/// Largest layer that is read to see whether it is a record, in bytes.
const RECORD_MAX: u64 = 1024 * 1024;

/// Why it is not known what lies in a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A manifest that makes no sense.
    #[error("cannot read the manifest '{repository}@{digest}': {why}")]
    Malformed {
        /// Where it lies.
        repository: Repository,
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        why: String,
    },
    /// More than is looked at.
    #[error("'{repository}' has more than {limit} manifests to look at, so nothing is deleted")]
    TooMany {
        /// The repository.
        repository: Repository,
        /// The limit.
        limit: usize,
    },
}

/// The fields of a manifest or index that name other content.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    config: Option<Named>,
    #[serde(default)]
    layers: Vec<Named>,
    #[serde(default)]
    manifests: Vec<Named>,
    subject: Option<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    digest: String,
    #[serde(default)]
    size: u64,
}

/// Every tag of a repository and what it names.
pub async fn tags(
    registry: &Registry,
    repository: &Repository,
) -> Result<BTreeMap<Tag, Digest>, Unread> {
    let tags = registry.list_tags(repository).await?;
    let heads = tags.into_iter().map(|tag| async move {
        let reference = Reference::from(&tag);
        let head = registry.head_manifest(repository, &reference).await?;
        // One that is gone since it was listed names nothing.
        Ok::<_, Unread>(head.map(|head| (tag, head.digest)))
    });
    futures::stream::iter(heads)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_filter_map(|named| async { Ok(named) })
        .try_collect()
        .await
}

/// The records on these digests that one of the keys has signed.
pub async fn records(
    registry: &Registry,
    repository: &Repository,
    digests: &BTreeSet<Digest>,
    keys: &KeyRing,
) -> Result<BTreeMap<Digest, Vec<Seen>>, Unread> {
    let reading = digests.iter().map(|digest| async move {
        let found = find(registry, repository, digest, keys).await?;
        let seen = found.into_iter().map(|found| found.seen).collect();
        Ok::<_, Unread>((digest.clone(), seen))
    });
    futures::stream::iter(reading)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await
}

/// The manifests that tags name, with their parts; and `roots`, with their parts and all that refers to them.
///
/// `known` is what was read before: a manifest with the same digest is the same for ever.
pub async fn graph(
    registry: &Registry,
    repository: &Repository,
    tags: BTreeMap<Tag, Digest>,
    roots: &BTreeSet<Digest>,
    known: BTreeMap<Digest, Contents>,
) -> Result<Graph, Unread> {
    let place = Place {
        registry,
        repository,
    };
    let mut graph = Graph {
        tags,
        contents: known,
        ..Graph::default()
    };
    let Some(any) = roots.first() else {
        return Ok(graph);
    };
    graph.registry_lists_referrers = registry.lists_referrers(repository, any).await?;
    let tagged = graph.tags.values().cloned().collect();
    place.read_parts(&mut graph, tagged).await?;
    let mut next: BTreeSet<Digest> = roots.clone();
    while !next.is_empty() {
        place.read_parts(&mut graph, next.clone()).await?;
        let reading = next
            .iter()
            .filter(|digest| graph.contents.contains_key(digest))
            .map(|digest| place.listing(digest));
        let found: BTreeMap<Digest, Listing> = futures::stream::iter(reading)
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        graph.listings.extend(found);
        next = next
            .iter()
            .flat_map(|digest| graph.leads_to(digest))
            .filter(|digest| {
                !graph.listings.contains_key(digest) && !graph.missing.contains(digest)
            })
            .collect();
    }
    Ok(graph)
}

struct Place<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
}

impl Place<'_> {
    /// Reads these manifests and their parts, at any depth.
    async fn read_parts(
        &self,
        graph: &mut Graph,
        mut next: BTreeSet<Digest>,
    ) -> Result<(), Unread> {
        loop {
            next.retain(|digest| {
                !graph.contents.contains_key(digest) && !graph.missing.contains(digest)
            });
            if next.is_empty() {
                return Ok(());
            }
            if graph.contents.len() + next.len() > MANIFESTS_MAX {
                return Err(Unread::TooMany {
                    repository: self.repository.clone(),
                    limit: MANIFESTS_MAX,
                });
            }
            let reading = next.iter().map(|digest| self.contents(digest));
            let found: Vec<(Digest, Option<Contents>)> = futures::stream::iter(reading)
                .buffer_unordered(SIDE_BY_SIDE)
                .try_collect()
                .await?;
            next.clear();
            for (digest, contents) in found {
                match contents {
                    Some(contents) => {
                        next.extend(contents.manifests.iter().cloned());
                        graph.contents.insert(digest, contents);
                    }
                    None => {
                        graph.missing.insert(digest);
                    }
                }
            }
        }
    }

    async fn contents(&self, digest: &Digest) -> Result<(Digest, Option<Contents>), Unread> {
        let reference = Reference::from(digest);
        let manifest = self
            .registry
            .get_manifest(self.repository, &reference)
            .await?;
        let contents = manifest
            .map(|manifest| self.parsed(&manifest))
            .transpose()?;
        Ok((digest.clone(), contents))
    }

    fn parsed(&self, manifest: &RawManifest) -> Result<Contents, Unread> {
        let malformed = |why: String| Unread::Malformed {
            repository: self.repository.clone(),
            digest: manifest.digest().clone(),
            why,
        };
        let Fields {
            config,
            layers,
            manifests,
            subject,
        } = serde_json::from_slice(manifest.bytes())
            .map_err(|error| malformed(format!("it is malformed in column {}", error.column())))?;
        let digest = |named: Named| {
            let parsed = named.digest.parse::<Digest>();
            parsed.map_err(|why| malformed(why.to_string()))
        };
        let blobs = config.into_iter().chain(layers).map(|blob| Part {
            digest: blob.digest,
            size: blob.size,
        });
        Ok(Contents {
            size: manifest.size(),
            blobs: blobs.collect(),
            manifests: manifests
                .into_iter()
                .map(digest)
                .collect::<Result<_, _>>()?,
            subject: subject.map(digest).transpose()?,
        })
    }

    async fn listing(&self, digest: &Digest) -> Result<(Digest, Listing), Unread> {
        let mut listing = Listing::default();
        for entry in self.registry.referrers(self.repository, digest).await? {
            let reference = Reference::from(&entry.digest);
            let manifest = self
                .registry
                .get_manifest(self.repository, &reference)
                .await?;
            let Some(manifest) = manifest else {
                continue;
            };
            if self.is_record(&manifest).await? {
                listing.records.push(entry.digest.clone());
            }
            listing.referrers.push(entry.digest);
        }
        Ok((digest.clone(), listing))
    }

    /// Whether a referrer is a record, or may be one.
    async fn is_record(&self, manifest: &RawManifest) -> Result<bool, Unread> {
        #[derive(Deserialize)]
        struct Layers {
            #[serde(default)]
            layers: Vec<Descriptor>,
        }
        let Ok(Layers { layers }) = serde_json::from_slice(manifest.bytes()) else {
            return Ok(true);
        };
        for layer in layers
            .iter()
            .filter(|layer| is_attestation(&layer.media_type))
        {
            if layer.size > RECORD_MAX {
                return Ok(true);
            }
            let bytes = match self.registry.get_blob(self.repository, layer).await {
                Ok(bytes) => bytes,
                Err(error) if error.code().is_some() => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            if may_be_record(&bytes) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
