//! The graph of an artifact as it is found: everything once, and what is still to be read.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::{Item, ItemKind};
use crate::domain::artifact::{Digest, Tag};
use crate::domain::graph::{Part, Parts};
use crate::effects::registry::error::{Problem, RegistryError};
use crate::effects::registry::manifest::{RawManifest, Reference};

/// Manifests of one graph.
const MOST_MANIFESTS: u64 = 10_000;

/// Bytes of all manifests of one graph; they are kept in memory.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A manifest of the graph.
pub(super) struct Node {
    pub(super) item: Item,
    pub(super) manifest: RawManifest,
    pub(super) parts: Parts,
    /// Part of the artifact itself, not of what is attached to it.
    pub(super) core: bool,
}

/// A blob of the graph.
pub(super) struct Blob {
    pub(super) item: Item,
    pub(super) core: bool,
    /// The content, when a manifest embeds it.
    pub(super) data: Option<Bytes>,
}

/// All of an artifact, everything once.
#[derive(Default)]
pub(super) struct Graph {
    /// The root first, parents before children.
    pub(super) nodes: Vec<Node>,
    pub(super) blobs: Vec<Blob>,
    /// Cosign's older tags; the digest of each is that of a node.
    pub(super) tags: Vec<Item>,
    /// What is never copied.
    pub(super) behind: Vec<Item>,
    pub(super) unreadable: Vec<(Item, String)>,
    pub(super) positions: HashMap<Digest, usize>,
    /// Digests of blobs that are listed already.
    blobs_seen: HashSet<Digest>,
    /// Digests of manifests that were asked for already.
    pub(super) asked: HashSet<Digest>,
    bytes: u64,
    /// Manifests that were read, also those that do not count.
    pub(super) reads: u64,
}

/// A manifest that is to be read.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) kind: ItemKind,
    pub(super) reference: Reference,
    /// As the one that names it says.
    pub(super) media_type: String,
    pub(super) size: u64,
    pub(super) artifact_type: Option<String>,
    pub(super) of: Option<Digest>,
    pub(super) core: bool,
}

impl Graph {
    pub(super) fn root(&self) -> Result<&RawManifest, RegistryError> {
        let problem = || Problem::unreadable("it has no root");
        let root = self.nodes.first().map(|node| &node.manifest);
        root.ok_or_else(|| RegistryError::new("read the graph of", "the artifact", problem()))
    }

    pub(super) fn node(&self, digest: &Digest) -> Option<&Node> {
        let position = self.positions.get(digest)?;
        self.nodes.get(*position)
    }

    pub(super) fn position(&self, digest: &Digest) -> Option<usize> {
        self.positions.get(digest).copied()
    }

    /// Takes in a manifest, and says what to read next.
    pub(super) fn add(&mut self, node: Node) -> Vec<Wanted> {
        let digest = node.manifest.digest().clone();
        if node.item.kind == ItemKind::LegacyTag {
            self.tags.push(node.item.clone());
        }
        if self.positions.contains_key(&digest) {
            return Vec::new();
        }
        self.asked.insert(digest.clone());
        self.bytes += node.manifest.size();
        for part in &node.parts.blobs {
            if self.blobs_seen.insert(part.digest.clone()) {
                self.blobs.push(Blob {
                    item: item_of(part, ItemKind::Blob, &digest),
                    core: node.core,
                    data: part.data.clone().map(Bytes::from),
                });
            }
        }
        for part in &node.parts.foreign {
            if self.blobs_seen.insert(part.digest.clone()) {
                let item = item_of(part, ItemKind::ForeignLayer, &digest);
                self.behind.push(item);
            }
        }
        let mut wanted = Vec::new();
        for part in &node.parts.manifests {
            if self.asked.insert(part.digest.clone()) {
                wanted.push(Wanted::child(part, &node));
            }
        }
        self.positions.insert(digest, self.nodes.len());
        self.nodes.push(node);
        wanted
    }

    pub(super) fn check_size(&self) -> Result<(), Problem> {
        let too_large = |what, limit, unit| Err(Problem::TooLarge { what, limit, unit });
        if self.reads > MOST_MANIFESTS {
            return too_large("the graph", MOST_MANIFESTS, "manifests");
        }
        if self.bytes > MOST_BYTES {
            return too_large("all manifests of it together", MOST_BYTES, "bytes");
        }
        Ok(())
    }

    /// Subjects outside of the graph: nobody follows an artifact upwards.
    pub(super) fn note_subjects(&mut self) {
        let outside = self.nodes.iter().filter_map(|node| {
            let subject = node.parts.subject.as_ref()?;
            (!self.positions.contains_key(&subject.digest))
                .then(|| item_of(subject, ItemKind::Subject, node.manifest.digest()))
        });
        let mut outside: Vec<Item> = outside.collect();
        let mut seen = HashSet::new();
        outside.retain(|item| seen.insert(item.digest.clone()));
        self.behind.extend(outside);
    }
}

impl Wanted {
    pub(super) fn root(digest: &Digest) -> Self {
        Self {
            kind: ItemKind::Manifest,
            reference: Reference::from(digest),
            media_type: String::new(),
            size: 0,
            artifact_type: None,
            of: None,
            core: true,
        }
    }

    fn child(part: &Part, parent: &Node) -> Self {
        Self {
            kind: ItemKind::Manifest,
            reference: Reference::from(&part.digest),
            media_type: part.media_type.clone(),
            size: part.size,
            artifact_type: part.artifact_type.clone(),
            of: Some(parent.manifest.digest().clone()),
            core: parent.core,
        }
    }

    pub(super) fn legacy(tag: Tag, of: &Digest) -> Self {
        Self {
            kind: ItemKind::LegacyTag,
            reference: Reference::Tag(tag),
            media_type: String::new(),
            size: 0,
            artifact_type: None,
            of: Some(of.clone()),
            core: false,
        }
    }

    /// The item for what could not be read; `None` for a tag, which has no digest then.
    pub(super) fn unread(self) -> Option<Item> {
        let Reference::Digest(digest) = self.reference else {
            return None;
        };
        Some(Item {
            kind: self.kind,
            digest,
            size: self.size,
            media_type: self.media_type,
            artifact_type: self.artifact_type,
            of: self.of,
            tag: None,
        })
    }

    pub(super) fn into_item(self, manifest: &RawManifest, parts: &Parts) -> Item {
        let kind = match self.kind {
            ItemKind::Manifest if manifest.media_type().is_index() => ItemKind::Index,
            kind => kind,
        };
        Item {
            kind,
            digest: manifest.digest().clone(),
            size: manifest.size(),
            media_type: manifest.media_type().to_string(),
            artifact_type: parts.artifact_type.clone(),
            of: self.of,
            tag: match self.reference {
                Reference::Tag(tag) => Some(tag),
                Reference::Digest(_) => None,
            },
        }
    }
}

fn item_of(part: &Part, kind: ItemKind, of: &Digest) -> Item {
    Item {
        kind,
        digest: part.digest.clone(),
        size: part.size,
        media_type: part.media_type.clone(),
        artifact_type: part.artifact_type.clone(),
        of: Some(of.clone()),
        tag: None,
    }
}
