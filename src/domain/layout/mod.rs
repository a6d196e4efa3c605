//! Files and layers: how files become an artifact, and which files an artifact holds.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::artifact::Digest;

/// Type of the artifacts that floe publishes.
pub const ARTIFACT_TYPE: &str = "application/vnd.floe.platform.v1";
/// Media type of the manifests that floe publishes.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Annotation with a file's path.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Most files of an artifact.
pub const MAX_FILES: usize = 1000;
/// Most bytes of all files of an artifact.
pub const MAX_TOTAL_BYTES: u64 = 100 << 20;
/// Most bytes of a path.
const MAX_PATH: usize = 512;
/// The config of an artifact that has none (OCI image specification, "Guidance for an Empty Descriptor").
const EMPTY_CONFIG: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// Why files are not an artifact, or an artifact has no files that can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A path that would leave the folder, or mean different things on different machines.
    #[error("path '{path}' cannot be used: {why}")]
    UnsafePath {
        /// The path, shortened.
        path: String,
        /// The rule.
        why: &'static str,
    },
    /// Two files with one path, or a file where another file needs a folder.
    #[error("path '{0}' occurs twice, or is a file and a folder")]
    DuplicatePath(String),
    /// No files at all.
    #[error("there are no files to publish")]
    NoFiles,
    /// Too many files.
    #[error("{0} files are too many: at most {MAX_FILES} are allowed")]
    TooManyFiles(usize),
    /// Too many bytes.
    #[error("{0} bytes are too many: all files together may have at most {MAX_TOTAL_BYTES}")]
    TooLarge(u64),
    /// The manifest cannot be read.
    #[error("the manifest cannot be read: {0}")]
    Manifest(String),
}

/// A file that an artifact holds, as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileLayer {
    /// Relative path with `/`, safe to be joined to a folder.
    pub path: String,
    /// Media type of the layer.
    pub media_type: String,
    /// Digest of the file.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// The files of an artifact, and what is no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Files in the manifest's order.
    pub files: Vec<FileLayer>,
    /// One line for each layer that is left out, with the reason.
    pub skipped: Vec<String>,
}

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

#[derive(Deserialize)]
struct ManifestLayers {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// The files of an artifact with this manifest: its titled layers. An index has none.
pub fn files_of(manifest: &[u8]) -> Result<Files, LayoutError> {
    // Through a map: serde would take a list for a struct, field by field.
    let parsed: ManifestLayers = serde_json::from_slice::<serde_json::Map<_, _>>(manifest)
        .and_then(|map| serde_json::from_value(map.into()))
        .map_err(|error| LayoutError::Manifest(error.to_string()))?;
    let mut found = Files::default();
    let mut paths = Paths::default();
    let mut total = 0u64;
    for layer in parsed.layers {
        let title = layer
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(TITLE));
        let Some(path) = title else {
            found.skipped.push(format!(
                "layer {} ({}) has no {TITLE} and is left out",
                shortened(&layer.digest),
                shortened(&layer.media_type)
            ));
            continue;
        };
        paths.add(path)?;
        total = total.saturating_add(layer.size);
        let digest = layer
            .digest
            .parse()
            .map_err(|error| LayoutError::Manifest(format!("file '{path}': {error}")))?;
        found.files.push(FileLayer {
            path: path.clone(),
            media_type: layer.media_type,
            digest,
            size: layer.size,
        });
    }
    check_bounds(found.files.len(), total)?;
    Ok(found)
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

fn check_bounds(files: usize, total: u64) -> Result<(), LayoutError> {
    if files > MAX_FILES {
        return Err(LayoutError::TooManyFiles(files));
    }
    if total > MAX_TOTAL_BYTES {
        return Err(LayoutError::TooLarge(total));
    }
    Ok(())
}

/// Paths of files, each safe and only once, and no file where another needs a folder.
#[derive(Default)]
struct Paths {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Paths {
    fn add(&mut self, path: &str) -> Result<(), LayoutError> {
        check_path(path)?;
        let duplicate = || LayoutError::DuplicatePath(shortened(path));
        for (at, _) in path.match_indices('/') {
            let folder = &path[..at];
            if self.files.contains(folder) {
                return Err(duplicate());
            }
            self.folders.insert(folder.to_owned());
        }
        if self.folders.contains(path) || !self.files.insert(path.to_owned()) {
            return Err(duplicate());
        }
        Ok(())
    }
}

fn check_path(path: &str) -> Result<(), LayoutError> {
    let parts = || path.split('/');
    let why = if path.is_empty() {
        "it is empty"
    } else if path.len() > MAX_PATH || parts().any(|part| part.len() > 255) {
        "it is too long"
    } else if path.starts_with('/') {
        "it is absolute"
    } else if path.contains('\\') || path.contains(':') {
        "'\\' and ':' mean different things on different machines"
    } else if path.chars().any(char::is_control) {
        "it has control characters"
    } else if parts().any(|part| part == "..") {
        "it leaves its folder"
    } else if parts().any(|part| part.is_empty() || part == ".") {
        "it has an empty part or '.'"
    } else {
        return Ok(());
    };
    Err(LayoutError::UnsafePath {
        path: shortened(path),
        why,
    })
}

fn shortened(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { '?' } else { c });
    printable.take(128).collect()
}

#[cfg(test)]
mod tests;
