//! Manifests as bytes: never parsed and written again, because that changes their digest.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::artifact::{Digest, Tag};

/// Media type of the empty config of an artifact, `{}`.
pub const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// The bytes of the empty config.
pub const EMPTY_BYTES: &[u8] = b"{}";

/// Kinds of manifest that floe carries. Schema 1 and everything unknown is refused on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManifestType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerList,
}

impl ManifestType {
    /// All kinds, in the order in which they are asked for.
    pub const ALL: [Self; 4] = [
        Self::OciManifest,
        Self::OciIndex,
        Self::DockerManifest,
        Self::DockerList,
    ];

    /// The media type as it goes over the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// Whether it lists other manifests.
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}

impl fmt::Display for ManifestType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A media type that is none of [`ManifestType::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("media type '{0}' is not a manifest that can be promoted")]
pub struct UnknownManifestType(String);

impl FromStr for ManifestType {
    type Err = UnknownManifestType;
    fn from_str(text: &str) -> Result<Self, UnknownManifestType> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownManifestType(text.chars().take(100).collect()))
    }
}

/// A manifest exactly as it lies in the registry. The digest is always that of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    bytes: Bytes,
    media_type: ManifestType,
    digest: Digest,
}

impl RawManifest {
    /// A manifest of these bytes; the (SHA-256) digest is computed here.
    pub fn new(bytes: impl Into<Bytes>, media_type: ManifestType) -> Self {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        Self {
            bytes,
            media_type,
            digest,
        }
    }

    /// The same bytes under the digest that they were asked for by, which may be another one than
    /// SHA-256; `None` = it is not theirs.
    pub(super) fn under(self, digest: &Digest) -> Option<Self> {
        self.has(digest).then(|| Self {
            digest: digest.clone(),
            ..self
        })
    }

    /// Whether this is a digest of the bytes, be it of another algorithm.
    pub fn has(&self, digest: &Digest) -> bool {
        if digest.algorithm() == self.digest.algorithm() {
            *digest == self.digest
        } else {
            digest.is_of(&self.bytes)
        }
    }

    /// The bytes, unchanged.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Media type under which it was read or is to be written.
    pub fn media_type(&self) -> ManifestType {
        self.media_type
    }

    /// Digest of the bytes: SHA-256, unless it was read by another one.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// What a registry says about a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// Digest that the registry names.
    pub digest: Digest,
    /// Media type that the registry names.
    pub media_type: ManifestType,
    /// Size in bytes, when the registry says it.
    pub size: Option<u64>,
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By tag: may name something else a moment later.
    Tag(Tag),
    /// By digest: names one content for ever.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<&Tag> for Reference {
    fn from(tag: &Tag) -> Self {
        Self::Tag(tag.clone())
    }
}

impl From<&Digest> for Reference {
    fn from(digest: &Digest) -> Self {
        Self::Digest(digest.clone())
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

/// OCI descriptor: content by type, digest and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// What the artifact is, when the writer said it. Never to be filtered by: indexes of the
    /// fallback tag carry wrong values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations, for people: anybody who can push can write them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Describes these bytes.
    pub fn of(bytes: &[u8], media_type: impl Into<String>) -> Self {
        Self {
            media_type: media_type.into(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The empty config, `{}`.
    pub fn empty() -> Self {
        Self::of(EMPTY_BYTES, EMPTY_TYPE)
    }
}
