//! What may come out of an archive: plain files and folders, in safe places, and not too much of it.

use super::files::{ArchiveLayer, FileLayer};
use super::paths::Paths;
use super::{LayoutError, MAX_TOTAL_BYTES, shortened};

/// Most files and folders that come out of all archives of an artifact.
pub const MAX_ENTRIES: usize = 10_000;
/// Most bytes of headers and padding in all archives of an artifact: about three KiB for each entry.
const MAX_OVERHEAD: u64 = 32 << 20;
/// How many times larger than its packed form an archive may be, once it is larger than `RATIO_FROM`.
const MAX_RATIO: u64 = 200;
const RATIO_FROM: u64 = 1 << 20;

/// Why an archive is not unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// An entry that is neither a file nor a folder.
    #[error("entry '{name}' is {what}: only files and folders are unpacked")]
    NoFile {
        /// The entry, shortened.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// An entry whose path cannot be used, or occurs twice.
    #[error("entry with {0}")]
    Path(LayoutError),
    /// An entry that is not below the folder that the layer is said to be.
    #[error("entry '{name}' is not in the folder '{folder}' of its layer")]
    Elsewhere {
        /// The entry, shortened.
        name: String,
        /// Title of the layer.
        folder: String,
    },
    /// Too many files and folders.
    #[error("there are more than {MAX_ENTRIES} files and folders in it")]
    TooManyEntries,
    /// Too many bytes.
    #[error("all files of the artifact together have more than {MAX_TOTAL_BYTES} bytes")]
    TooLarge,
    /// Too many bytes for what was downloaded.
    #[error("it grows to more than {MAX_RATIO} times its size")]
    Bomb,
    /// It cannot be read to its end.
    #[error("{0}")]
    Broken(String),
}

/// Where an entry goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// A file with this path and size.
    File(String, u64),
    /// A folder with this path.
    Folder(String),
    /// The folder into which everything goes.
    Root,
}

/// What came out of the archives of an artifact so far.
#[derive(Clone, Default)]
pub struct Unpacking {
    paths: Paths,
    titled: usize,
    entries: usize,
    bytes: u64,
    streamed: u64,
}

impl Unpacking {
    /// Nothing but the files that are layers of their own.
    pub fn after(files: &[FileLayer]) -> Result<Self, LayoutError> {
        let mut fresh = Self::default();
        for file in files {
            fresh.paths.add(&file.path)?;
            fresh.bytes = fresh.bytes.saturating_add(file.size);
        }
        fresh.titled = fresh.paths.len();
        Ok(fresh)
    }

    /// Takes the next entry of an archive: `kind` is its type flag, `size` what its header says.
    pub fn entry(
        &mut self,
        archive: &ArchiveLayer,
        kind: u8,
        name: &[u8],
        size: u64,
    ) -> Result<Placed, ArchiveError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(ArchiveError::TooManyEntries);
        }
        let refused = |what| ArchiveError::NoFile {
            name: shortened(&String::from_utf8_lossy(name)),
            what,
        };
        let is_folder = match kind {
            b'0' | 0 => false,
            b'5' if size == 0 => true,
            b'5' => return Err(refused("a folder with content")),
            other => return Err(refused(name_of(other))),
        };
        let path = path_of(name, is_folder)?;
        let placed = match (path, is_folder) {
            ("" | ".", true) => return Ok(Placed::Root),
            (path, true) => {
                self.paths.add_folder(path).map_err(ArchiveError::Path)?;
                Placed::Folder(path.to_owned())
            }
            (path, false) => {
                self.paths.add(path).map_err(ArchiveError::Path)?;
                self.add_bytes(size)?;
                Placed::File(path.to_owned(), size)
            }
        };
        check_folder(path, is_folder, archive)?;
        // A single path can ask for many folders.
        if self.paths.len() - self.titled > MAX_ENTRIES {
            return Err(ArchiveError::TooManyEntries);
        }
        Ok(placed)
    }

    /// The bounds for the bytes of the next archive, of which `packed` were downloaded.
    pub fn flow(&self, packed: u64) -> Flow {
        Flow {
            by_ratio: packed.saturating_mul(MAX_RATIO).max(RATIO_FROM),
            left: (MAX_TOTAL_BYTES + MAX_OVERHEAD).saturating_sub(self.streamed),
            out: 0,
        }
    }

    /// Counts the bytes of an archive that was read to its end.
    pub fn add_flow(&mut self, flow: &Flow) {
        self.streamed = self.streamed.saturating_add(flow.out);
    }

    fn add_bytes(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(ArchiveError::TooLarge);
        }
        Ok(())
    }
}

/// Counts the bytes that come out of one archive, headers and padding included.
#[derive(Clone, Debug)]
pub struct Flow {
    by_ratio: u64,
    left: u64,
    out: u64,
}

impl Flow {
    /// Takes so many bytes more.
    pub fn take(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        self.out = self.out.saturating_add(bytes as u64);
        if self.out > self.by_ratio {
            return Err(ArchiveError::Bomb);
        }
        if self.out > self.left {
            return Err(ArchiveError::TooLarge);
        }
        Ok(())
    }
}

/// The path in a form that the rules know: `tar` writes `./a` for files and `a/` for folders.
fn path_of(name: &[u8], is_folder: bool) -> Result<&str, ArchiveError> {
    let path = std::str::from_utf8(name).map_err(|_| {
        ArchiveError::Path(LayoutError::UnsafePath {
            path: shortened(&String::from_utf8_lossy(name)),
            why: "it is not UTF-8",
        })
    })?;
    let path = path.strip_prefix("./").unwrap_or(path);
    match path.strip_suffix('/') {
        // '/' alone is the root of the machine.
        Some(folder) if is_folder && !folder.is_empty() => Ok(folder),
        _ => Ok(path),
    }
}

fn check_folder(path: &str, is_folder: bool, archive: &ArchiveLayer) -> Result<(), ArchiveError> {
    let Some(folder) = &archive.within else {
        return Ok(());
    };
    let inside = match path.strip_prefix(folder.as_str()) {
        Some("") => is_folder,
        Some(rest) => rest.starts_with('/'),
        None => false,
    };
    inside.then_some(()).ok_or_else(|| ArchiveError::Elsewhere {
        name: shortened(path),
        folder: shortened(folder),
    })
}

fn name_of(kind: u8) -> &'static str {
    match kind {
        b'1' => "a hard link",
        b'2' => "a symbolic link",
        b'3' | b'4' => "a device",
        b'6' => "a FIFO",
        b'S' => "a sparse file",
        b'K' => "a link with a long name",
        _ => "of an unknown type",
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
