//! Writes the files of an artifact into a folder.
//!
//! Guarantees: each file's bytes have the digest that the manifest names; a file appears under its name
//! only when it is whole; nothing is written outside the folder or through a link, and nothing that is
//! there already is replaced. Which paths are safe is decided in `domain::layout`.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use super::registry::{Descriptor, RawManifest, Reference, Registry, RegistryError};
use crate::domain::artifact::{Digest, Repository};
use crate::domain::layout::{FileLayer, Files, LayoutError, MAX_TOTAL_BYTES, files_of};

/// Files and folders may be read by any user: a gate's command runs under its own.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
const PROGRAM_MODE: u32 = 0o755;

/// Why an artifact could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The digest is not in the repository.
    #[error("'{repository}' has no '{digest}'")]
    NotThere {
        /// Where it was looked for.
        repository: Repository,
        /// What was looked for.
        digest: Digest,
    },
    /// The registry did not answer as it should.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The artifact's files cannot be written as they are.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The folder does not take a file.
    #[error("cannot write '{}': {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FetchError {
    /// Whether the same may work a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_transient(),
            Self::NotThere { .. } | Self::Layout(_) | Self::Write { .. } => false,
        }
    }
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The manifest.
    pub manifest: RawManifest,
    /// The files that were written, and what was left out.
    pub files: Files,
}

/// Fetches the artifact with this digest and writes its files into `out`, which must exist.
pub async fn fetch(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    out: &Path,
) -> Result<Fetched, FetchError> {
    let manifest = registry
        .get_manifest(repository, &Reference::Digest(digest.clone()))
        .await?
        .ok_or_else(|| FetchError::NotThere {
            repository: repository.clone(),
            digest: digest.clone(),
        })?;
    let files = files_of(manifest.bytes())?;
    for file in &files.files {
        write_file(registry, repository, file, out).await?;
    }
    Ok(Fetched { manifest, files })
}

/// Copies a program, so that every user may run it.
pub async fn copy_program(from: &Path, to: &Path) -> Result<(), FetchError> {
    let part = to.with_extension("part");
    let copied = async {
        fs::copy(from, &part).await?;
        fs::set_permissions(&part, Permissions::from_mode(PROGRAM_MODE)).await?;
        fs::rename(&part, to).await
    };
    copied.await.map_err(|source| FetchError::Write {
        path: to.to_owned(),
        source,
    })
}

async fn write_file(
    registry: &Registry,
    repository: &Repository,
    layer: &FileLayer,
    out: &Path,
) -> Result<(), FetchError> {
    let to = out.join(&layer.path);
    let failed = |source| FetchError::Write {
        path: to.clone(),
        source,
    };
    make_folders(out, &layer.path).await?;
    let part = out.join(format!(".floe-part-{}", layer.digest.hex()));
    // Left over from an attempt that the registry cut off.
    match fs::remove_file(&part).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&part)
        .await
        .map_err(failed)?;
    let descriptor = Descriptor {
        media_type: layer.media_type.clone(),
        digest: layer.digest.clone(),
        size: layer.size,
        artifact_type: None,
        annotations: std::collections::BTreeMap::new(),
    };
    registry
        .pull_blob_to(repository, &descriptor, MAX_TOTAL_BYTES, &mut file)
        .await?;
    let finished = async {
        file.flush().await?;
        fs::set_permissions(&part, Permissions::from_mode(FILE_MODE)).await?;
        // A hard link, unlike a rename, never replaces what is there.
        match fs::hard_link(&part, &to).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                same_file(&part, &to).await?;
            }
            other => other?,
        }
        fs::remove_file(&part).await
    };
    finished.await.map_err(failed)
}

/// A second attempt finds the files of the first one: fine when they are the same, and refused otherwise.
async fn same_file(part: &Path, there: &Path) -> io::Result<()> {
    let is_file = fs::symlink_metadata(there).await?.is_file();
    if is_file && fs::read(part).await? == fs::read(there).await? {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "another file is there already",
    ))
}

/// Makes the folders above a file, one by one, and follows no link.
async fn make_folders(out: &Path, path: &str) -> Result<(), FetchError> {
    for (at, _) in path.match_indices('/') {
        let folder = out.join(&path[..at]);
        let made = async {
            match fs::create_dir(&folder).await {
                Ok(()) => fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE)).await,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let is_folder = fs::symlink_metadata(&folder).await?.is_dir();
                    is_folder.then_some(()).ok_or(error)
                }
                Err(error) => Err(error),
            }
        };
        made.await.map_err(|source| FetchError::Write {
            path: folder.clone(),
            source,
        })?;
    }
    Ok(())
}
