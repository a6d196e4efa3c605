//! Files and layers: how files become an artifact, and which files an artifact holds.

mod files;
mod graph;
mod pack;
mod paths;
mod pax;
mod unpack;

pub use files::{ArchiveLayer, FileLayer, Files, contents_of, files_of};
pub use graph::{Graph, GraphError, MAX_IMAGE_BYTES, Node, OCI_LAYOUT, Part, index_json};
pub use pack::{Blob, PackOptions, Packed, SourceFile, pack};
pub use pax::PaxRecords;
pub use unpack::{ArchiveError, Flow, MAX_ENTRIES, Placed, Unpacking};

/// Type of the artifacts that floe publishes.
pub const ARTIFACT_TYPE: &str = "application/vnd.floe.platform.v1";
/// Media type of the manifests that floe publishes.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Annotation with a file's path.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Most files of an artifact.
pub const MAX_FILES: usize = 1000;
/// Most archives of an artifact: all are open at once, so that one that is refused refuses all.
const MAX_ARCHIVES: usize = 100;
/// Most bytes of all files of an artifact.
pub const MAX_TOTAL_BYTES: u64 = 100 << 20;

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
    /// Too many archives.
    #[error("{0} archives are too many: at most {MAX_ARCHIVES} are unpacked")]
    TooManyArchives(usize),
    /// Too many bytes.
    #[error("{0} bytes are too many: all files together may have at most {MAX_TOTAL_BYTES}")]
    TooLarge(u64),
    /// The manifest cannot be read.
    #[error("the manifest cannot be read: {0}")]
    Manifest(String),
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

fn shortened(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { '?' } else { c });
    printable.take(128).collect()
}

#[cfg(test)]
mod tests;
