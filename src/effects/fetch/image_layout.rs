//! Writes an artifact with everything below it as an OCI image layout, for scanners that read images.
//!
//! Guarantees: each blob lies there once and has the digest of its name; `index.json` comes last, so that a
//! layout that can be opened is whole.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::place::Part;
use super::{FetchError, blocking, descriptor, manifest_of, pull};
use crate::domain::artifact::{Digest, Hashing, Repository, Tag};
use crate::domain::layout::{self, Graph, MAX_IMAGE_BYTES, Node, OCI_LAYOUT, index_json};
use crate::effects::registry::{RawManifest, Registry};

const BUFFER: usize = 64 << 10;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageLayout {
    /// How many manifests and indexes.
    pub manifests: usize,
    /// How many configs and layers.
    pub blobs: usize,
    /// One line for each layer that is left out, with the reason.
    pub left_out: Vec<String>,
}

/// Writes the artifact with this digest into `folder`, which must exist. `name` is the one under which tools
/// may ask for it there; with a single artifact they need none.
pub async fn write_image_layout(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    name: Option<&Tag>,
    folder: &Path,
) -> Result<ImageLayout, FetchError> {
    let manifest = manifest_of(registry, repository, digest).await?;
    let root = part_of(&manifest);
    let mut graph = Graph::of(root.clone())?;
    let mut written = ImageLayout::default();
    while let Some(node) = graph.next_manifest() {
        let child = if node.part.digest == *digest {
            manifest.clone()
        } else {
            read_child(registry, repository, &node).await?
        };
        graph.read(&node, child.bytes())?;
        let path = path_of(child.digest());
        write(folder, path, child.bytes().to_vec()).await?;
        written.manifests += 1;
    }
    for blob in graph.blobs() {
        write_blob(registry, repository, blob, folder).await?;
        written.blobs += 1;
    }
    written.left_out = graph.left_out().to_vec();
    let index = index_json(&root, name.map(Tag::as_str));
    write(folder, "oci-layout".to_owned(), OCI_LAYOUT.into()).await?;
    write(folder, "index.json".to_owned(), index.into()).await?;
    Ok(written)
}

/// The registry has checked the digest; size and type are the index's word.
async fn read_child(
    registry: &Registry,
    repository: &Repository,
    node: &Node,
) -> Result<RawManifest, FetchError> {
    let child = manifest_of(registry, repository, &node.part.digest).await?;
    let found = part_of(&child);
    if found == node.part {
        return Ok(child);
    }
    let said = |part: &layout::Part| format!("{} bytes of type '{}'", part.size, part.media_type);
    Err(FetchError::NotAsSaid {
        digest: found.digest.clone(),
        found: said(&found),
        said: said(&node.part),
    })
}

async fn write_blob(
    registry: &Registry,
    repository: &Repository,
    blob: &layout::Part,
    folder: &Path,
) -> Result<(), FetchError> {
    let path = path_of(&blob.digest);
    let (to, wanted) = (folder.join(&path), blob.clone());
    if blocking(folder, move || is_there(&to, &wanted)).await? {
        return Ok(());
    }
    let root = folder.to_owned();
    let part = blocking(folder, move || Part::create(&root, &path)).await?;
    let descriptor = descriptor(&blob.media_type, &blob.digest, blob.size);
    pull(
        registry,
        repository,
        &descriptor,
        MAX_IMAGE_BYTES,
        part.handle()?,
    )
    .await?;
    blocking(folder, move || part.finish(false)).await
}

/// Whether an attempt that the registry cut off got this far: what is large is not fetched twice.
fn is_there(path: &Path, wanted: &layout::Part) -> Result<bool, FetchError> {
    let failed = |source| FetchError::write(path, source);
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_file() && there.len() == wanted.size => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    }
    let mut hash = Hashing::new(wanted.digest.algorithm());
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    Ok(hash.finish() == wanted.digest)
}

async fn write(folder: &Path, path: String, bytes: Vec<u8>) -> Result<(), FetchError> {
    let root = folder.to_owned();
    let work = move || {
        let part = Part::create(&root, &path)?;
        part.write(&bytes)?;
        part.finish(false)
    };
    blocking(folder, work).await
}

fn part_of(manifest: &RawManifest) -> layout::Part {
    layout::Part {
        media_type: manifest.media_type().to_string(),
        digest: manifest.digest().clone(),
        size: manifest.size(),
    }
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}
