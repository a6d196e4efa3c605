//! Packs files as an artifact.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::paths::Paths;
use super::{ARTIFACT_TYPE, LayoutError, MANIFEST_TYPE, TITLE, check_bounds};
use crate::domain::artifact::Digest;

/// The config of an artifact that has none (OCI image specification, "Guidance for an Empty Descriptor").
const EMPTY_CONFIG: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// A file to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative path with `/`.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What the manifest says about the artifact as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// Version that is published.
    pub version: String,
    /// Revision of the source, such as a commit.
    pub revision: Option<String>,
    /// Address of the source.
    pub source: Option<String>,
    /// Time of creation: only when the caller fixes it, since a clock would change the digest.
    pub created: Option<Timestamp>,
}

/// An artifact ready to be pushed: first the blobs, then the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Bytes of the manifest.
    pub manifest: Vec<u8>,
    /// Digest of these bytes.
    pub digest: Digest,
    /// Config and layers, each digest once.
    pub blobs: Vec<Blob>,
}

/// One blob to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Media type in the manifest.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Packs files as an artifact. The same files and options give the same bytes on every machine, in
/// whatever order the files come.
pub fn pack(mut files: Vec<SourceFile>, options: &PackOptions) -> Result<Packed, LayoutError> {
    if files.is_empty() {
        return Err(LayoutError::NoFiles);
    }
    let total = files.iter().map(|file| file.bytes.len() as u64).sum();
    check_bounds(files.len(), total)?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let mut paths = Paths::default();
    let mut layers = Vec::with_capacity(files.len());
    let mut blobs = vec![Blob {
        media_type: EMPTY_TYPE.to_owned(),
        digest: Digest::of(EMPTY_CONFIG),
        bytes: EMPTY_CONFIG.to_vec(),
    }];
    let mut known: BTreeSet<Digest> = blobs.iter().map(|blob| blob.digest.clone()).collect();
    let config = descriptor(&blobs[0], None);
    for SourceFile { path, bytes } in files {
        paths.add(&path)?;
        let blob = Blob {
            media_type: media_type_of(&path).to_owned(),
            digest: Digest::of(&bytes),
            bytes,
        };
        layers.push(descriptor(&blob, Some(&path)));
        if known.insert(blob.digest.clone()) {
            blobs.push(blob);
        }
    }
    // serde_json's map is sorted by key: the bytes do not depend on the order in this source.
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": config,
        "layers": layers,
        "annotations": annotations(options),
    })
    .to_string()
    .into_bytes();
    Ok(Packed {
        digest: Digest::of(&manifest),
        manifest,
        blobs,
    })
}

fn annotations(options: &PackOptions) -> BTreeMap<&'static str, String> {
    let PackOptions {
        version,
        revision,
        source,
        created,
    } = options;
    [
        ("org.opencontainers.image.version", Some(version.clone())),
        ("org.opencontainers.image.revision", revision.clone()),
        ("org.opencontainers.image.source", source.clone()),
        (
            "org.opencontainers.image.created",
            created.map(|time| time.to_string()),
        ),
    ]
    .into_iter()
    .filter_map(|(key, value)| value.map(|value| (key, value)))
    .collect()
}

fn descriptor(blob: &Blob, title: Option<&str>) -> serde_json::Value {
    let mut descriptor = serde_json::json!({
        "mediaType": blob.media_type,
        "digest": blob.digest,
        "size": blob.bytes.len(),
    });
    if let Some(title) = title {
        descriptor["annotations"] = serde_json::json!({ TITLE: title });
    }
    descriptor
}

fn media_type_of(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "yaml" | "yml" => "application/yaml",
        "json" => "application/json",
        "md" => "text/markdown",
        _ => "application/octet-stream",
    }
}
