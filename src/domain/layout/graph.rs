//! Of which manifests and blobs an artifact consists, for an OCI image layout of all of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

use super::shortened;
use crate::domain::artifact::Digest;

/// Most bytes of an image layout.
pub const MAX_IMAGE_BYTES: u64 = 2 << 30;
/// Most manifests of an image layout, and most layers of them.
const MAX_PARTS: usize = 1000;
/// How many manifests may lie below each other: an index, an index in it, and an image in that.
const MAX_DEPTH: usize = 3;

/// Content of the file `oci-layout` (OCI image specification, "Image Layout Specification").
pub const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// The name under which a tool may ask for the artifact; with one artifact in the layout none needs it.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

const INDEXES: [&str; 2] = [
    INDEX_TYPE,
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: [&str; 2] = [
    super::MANIFEST_TYPE,
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Layers that may not be copied and usually lie elsewhere.
const FOREIGN: [&str; 4] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// Why an artifact is not written as an image layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A manifest that names itself, or one above it.
    #[error("manifest {0} lies below itself")]
    Circle(Digest),
    /// An index in an index in an index.
    #[error("manifest {0} lies more than {MAX_DEPTH} levels deep")]
    TooDeep(Digest),
    /// Too many bytes.
    #[error("{0} bytes are too many: an image layout may have at most {MAX_IMAGE_BYTES}")]
    TooLarge(u64),
    /// Too many manifests or layers.
    #[error("there are more than {MAX_PARTS} {0}")]
    TooMany(&'static str),
    /// Two descriptors of one digest that cannot both be true.
    #[error("{0} is named with two sizes")]
    TwoSizes(Digest),
    /// An index lists something that is no manifest.
    #[error(
        "index {index} lists something of type '{media_type}', which is no manifest that floe knows"
    )]
    NoManifest {
        /// The index.
        index: Digest,
        /// What it lists.
        media_type: String,
    },
    /// A manifest that cannot be read, or names a digest that floe cannot check.
    #[error("manifest {digest} cannot be read: {why}")]
    Unreadable {
        /// The manifest.
        digest: Digest,
        /// Why.
        why: String,
    },
}

/// A manifest, config or layer, as the descriptor in another manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Media type.
    pub media_type: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// A manifest that has to be read, since only it knows what is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The manifest.
    pub part: Part,
    above: Vec<Digest>,
}

/// What is known of an artifact: it grows with each manifest that is read, until none is left.
#[derive(Clone, Debug)]
pub struct Graph {
    unread: VecDeque<Node>,
    manifests: BTreeSet<Digest>,
    layers: BTreeSet<Digest>,
    blobs: Vec<Part>,
    sizes: BTreeMap<Digest, u64>,
    total: u64,
    left_out: Vec<String>,
}

#[derive(Deserialize)]
struct Children {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Image {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

impl Graph {
    /// An artifact of which only its own manifest or index is known.
    pub fn of(root: Part) -> Result<Self, GraphError> {
        let mut graph = Self {
            unread: VecDeque::new(),
            manifests: BTreeSet::new(),
            layers: BTreeSet::new(),
            blobs: Vec::new(),
            sizes: BTreeMap::new(),
            total: 0,
            left_out: Vec::new(),
        };
        graph.add_manifest(root, Vec::new())?;
        Ok(graph)
    }

    /// The next manifest to read.
    pub fn next_manifest(&mut self) -> Option<Node> {
        self.unread.pop_front()
    }

    /// Takes the bytes of a manifest: its children are to be read next, and its blobs to be fetched.
    pub fn read(&mut self, node: &Node, bytes: &[u8]) -> Result<(), GraphError> {
        let digest = &node.part.digest;
        if INDEXES.contains(&node.part.media_type.as_str()) {
            let Children { manifests } = parse(digest, bytes)?;
            let mut above = node.above.clone();
            above.push(digest.clone());
            for child in manifests {
                let child = child.part(digest)?;
                if above.contains(&child.digest) {
                    return Err(GraphError::Circle(child.digest));
                }
                if above.len() == MAX_DEPTH {
                    return Err(GraphError::TooDeep(child.digest));
                }
                let known = [INDEXES, MANIFESTS].concat();
                if !known.contains(&child.media_type.as_str()) {
                    return Err(GraphError::NoManifest {
                        index: digest.clone(),
                        media_type: shortened(&child.media_type),
                    });
                }
                self.add_manifest(child, above.clone())?;
            }
            return Ok(());
        }
        let Image { config, layers } = parse(digest, bytes)?;
        self.add_blob(config.part(digest)?)?;
        for layer in layers {
            self.add_layer(layer, digest)?;
        }
        Ok(())
    }

    /// Configs and layers, each once. Complete only when no manifest is left to read.
    pub fn blobs(&self) -> impl Iterator<Item = &Part> {
        let is_blob = |part: &&Part| !self.manifests.contains(&part.digest);
        self.blobs.iter().filter(is_blob)
    }

    /// One line for each layer that is left out, with the reason.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    fn add_manifest(&mut self, part: Part, above: Vec<Digest>) -> Result<(), GraphError> {
        self.count(&part)?;
        if self.manifests.insert(part.digest.clone()) {
            self.unread.push_back(Node { part, above });
        }
        if self.manifests.len() > MAX_PARTS {
            return Err(GraphError::TooMany("manifests"));
        }
        Ok(())
    }

    fn add_layer(&mut self, layer: Descriptor, manifest: &Digest) -> Result<(), GraphError> {
        let elsewhere = layer.urls.as_ref().is_some_and(|urls| !urls.is_empty());
        if elsewhere || FOREIGN.contains(&layer.media_type.as_str()) {
            let line = format!(
                "layer {} ({}) may not be copied and is left out of the image layout",
                shortened(&layer.digest),
                shortened(&layer.media_type)
            );
            if !self.left_out.contains(&line) {
                self.left_out.push(line);
            }
        } else {
            let part = layer.part(manifest)?;
            self.layers.insert(part.digest.clone());
            self.add_blob(part)?;
        }
        if self.layers.len() + self.left_out.len() > MAX_PARTS {
            return Err(GraphError::TooMany("layers"));
        }
        Ok(())
    }

    fn add_blob(&mut self, part: Part) -> Result<(), GraphError> {
        if self.count(&part)? {
            self.blobs.push(part);
        }
        Ok(())
    }

    /// Whether the digest is new.
    fn count(&mut self, part: &Part) -> Result<bool, GraphError> {
        if let Some(size) = self.sizes.insert(part.digest.clone(), part.size) {
            return if size == part.size {
                Ok(false)
            } else {
                Err(GraphError::TwoSizes(part.digest.clone()))
            };
        }
        self.total = self.total.saturating_add(part.size);
        if self.total > MAX_IMAGE_BYTES {
            return Err(GraphError::TooLarge(self.total));
        }
        Ok(true)
    }
}

/// The file `index.json` of a layout with this one artifact.
pub fn index_json(root: &Part, name: Option<&str>) -> String {
    let mut descriptor = serde_json::json!({
        "mediaType": root.media_type,
        "digest": root.digest,
        "size": root.size,
    });
    if let Some(name) = name {
        descriptor["annotations"] = serde_json::json!({ REF_NAME: name });
    }
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [descriptor],
    })
    .to_string()
}

impl Descriptor {
    fn part(self, manifest: &Digest) -> Result<Part, GraphError> {
        let digest = self
            .digest
            .parse()
            .map_err(|error| unreadable(manifest, &error))?;
        Ok(Part {
            media_type: self.media_type,
            digest,
            size: self.size,
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(digest: &Digest, bytes: &[u8]) -> Result<T, GraphError> {
    // Through a map: serde would take a list for a struct, field by field.
    serde_json::from_slice::<serde_json::Map<_, _>>(bytes)
        .and_then(|map| serde_json::from_value(map.into()))
        .map_err(|error| unreadable(digest, &error))
}

fn unreadable(digest: &Digest, why: &dyn std::fmt::Display) -> GraphError {
    GraphError::Unreadable {
        digest: digest.clone(),
        why: why.to_string(),
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
