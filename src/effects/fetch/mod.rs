//! Writes the files of an artifact into a folder, or all of it as an OCI image layout.
//!
//! Guarantees: each file's and archive's bytes have the digest that the manifest names; a file appears under
//! its name only when it is whole; nothing is written outside the folder or through a link, and nothing that
//! is there already is replaced; of an archive that is refused nothing is written. Which paths are safe, and
//! what may come out of an archive, is decided in `domain::layout`.

mod archive;
mod image_layout;
mod place;

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::fs;

pub use image_layout::{ImageLayout, write_image_layout};

use self::archive::Downloaded;
use self::place::{PROGRAM_MODE, Part};
use super::registry::{Descriptor, RawManifest, Reference, Registry, RegistryError};
use crate::domain::artifact::{Digest, Repository};
use crate::domain::layout::{
    ArchiveError, ArchiveLayer, FileLayer, Files, GraphError, LayoutError, MAX_TOTAL_BYTES,
    Unpacking, contents_of, files_of,
};

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
    /// An archive cannot be unpacked as it is.
    #[error("archive {digest} is not unpacked: {error}")]
    Archive {
        /// The layer.
        digest: Digest,
        /// Why.
        error: ArchiveError,
    },
    /// The artifact cannot be written as an image layout.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A manifest is not what the index says.
    #[error("manifest {digest} has {found}, and its index says {said}")]
    NotAsSaid {
        /// The manifest.
        digest: Digest,
        /// What came.
        found: String,
        /// What was said.
        said: String,
    },
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
            Self::NotThere { .. }
            | Self::Layout(_)
            | Self::Archive { .. }
            | Self::Graph(_)
            | Self::NotAsSaid { .. }
            | Self::Write { .. } => false,
        }
    }

    fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The manifest.
    pub manifest: RawManifest,
    /// The files that were written, the archives that were unpacked, and what was left out.
    pub files: Files,
    /// How many files came out of archives.
    pub unpacked: usize,
}

/// Fetches the artifact with this digest and writes its files into `out`, which must exist. Archives are
/// no files unless they have a title, and stay as they are.
pub async fn fetch(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    out: &Path,
) -> Result<Fetched, FetchError> {
    let manifest = manifest_of(registry, repository, digest).await?;
    let files = files_of(manifest.bytes())?;
    write_files(registry, repository, &files, out).await?;
    Ok(Fetched {
        manifest,
        files,
        unpacked: 0,
    })
}

/// The same, and what known archives hold comes out of them.
pub async fn fetch_and_unpack(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    out: &Path,
) -> Result<Fetched, FetchError> {
    let manifest = manifest_of(registry, repository, digest).await?;
    let files = contents_of(manifest.bytes())?;
    let unpacking = Unpacking::after(&files.files)?;
    write_files(registry, repository, &files, out).await?;
    let mut archives = Vec::with_capacity(files.archives.len());
    for layer in &files.archives {
        archives.push(download(registry, repository, layer).await?);
    }
    let folder = out.to_owned();
    let unpacked = blocking(out, move || {
        archive::unpack_all(&mut archives, &unpacking, &folder)
    })
    .await?;
    Ok(Fetched {
        manifest,
        files,
        unpacked,
    })
}

/// Copies a program, so that every user may run it.
pub async fn copy_program(from: &Path, to: &Path) -> Result<(), FetchError> {
    let part = to.with_extension("part");
    let copied = async {
        fs::copy(from, &part).await?;
        fs::set_permissions(&part, Permissions::from_mode(PROGRAM_MODE)).await?;
        fs::rename(&part, to).await
    };
    copied.await.map_err(|source| FetchError::write(to, source))
}

async fn manifest_of(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<RawManifest, FetchError> {
    registry
        .get_manifest(repository, &Reference::Digest(digest.clone()))
        .await?
        .ok_or_else(|| FetchError::NotThere {
            repository: repository.clone(),
            digest: digest.clone(),
        })
}

async fn write_files(
    registry: &Registry,
    repository: &Repository,
    files: &Files,
    out: &Path,
) -> Result<(), FetchError> {
    for file in &files.files {
        write_file(registry, repository, file, out).await?;
    }
    Ok(())
}

async fn write_file(
    registry: &Registry,
    repository: &Repository,
    layer: &FileLayer,
    out: &Path,
) -> Result<(), FetchError> {
    let (folder, path) = (out.to_owned(), layer.path.clone());
    let part = blocking(out, move || Part::create(&folder, &path)).await?;
    let descriptor = descriptor(&layer.media_type, &layer.digest, layer.size);
    pull(
        registry,
        repository,
        &descriptor,
        MAX_TOTAL_BYTES,
        part.handle()?,
    )
    .await?;
    blocking(out, move || part.finish(false)).await
}

/// Into a file without name, outside of the folder: only what comes out of it is the artifact's.
async fn download(
    registry: &Registry,
    repository: &Repository,
    layer: &ArchiveLayer,
) -> Result<Downloaded, FetchError> {
    let temporary = std::env::temp_dir();
    let failed = |source| FetchError::write(&temporary, source);
    let file = tempfile::tempfile_in(&temporary).map_err(failed)?;
    let descriptor = descriptor(&layer.media_type, &layer.digest, layer.size);
    let handle = file.try_clone().map_err(failed)?;
    pull(registry, repository, &descriptor, MAX_TOTAL_BYTES, handle).await?;
    Ok(Downloaded {
        layer: layer.clone(),
        file,
    })
}

async fn pull(
    registry: &Registry,
    repository: &Repository,
    descriptor: &Descriptor,
    most: u64,
    file: File,
) -> Result<(), FetchError> {
    let mut file = fs::File::from_std(file);
    registry
        .pull_blob_to(repository, descriptor, most, &mut file)
        .await?;
    Ok(())
}

/// Runs what would hold up the runtime. `about` is named should it end without a result.
async fn blocking<T: Send + 'static>(
    about: &Path,
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(FetchError::write(about, io::Error::other(error))),
    }
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.clone(),
        size,
        artifact_type: None,
        annotations: std::collections::BTreeMap::new(),
    }
}
