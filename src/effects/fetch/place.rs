//! Puts files in their places below a folder. Blocking: run it off the runtime's threads.
//!
//! Guarantees: a file appears under its name only when it is whole; nothing is written through a link, and
//! nothing that is there already is replaced.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::FetchError;

/// Files and folders may be read by any user: a gate's command runs under its own.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// Files that may be run, by any user too.
pub(super) const PROGRAM_MODE: u32 = 0o755;

/// A file that has no name yet. It vanishes when it is dropped.
pub(super) struct Part {
    file: NamedTempFile,
    to: PathBuf,
}

impl Part {
    /// A new file for this safe path below the folder.
    pub(super) fn create(folder: &Path, path: &str) -> Result<Self, FetchError> {
        let to = folder.join(path);
        if let Some((above, _)) = path.rsplit_once('/') {
            make_folders(folder, above)?;
        }
        let made = tempfile::Builder::new()
            .prefix(".floe-part-")
            .tempfile_in(folder);
        match made {
            Ok(file) => Ok(Self { file, to }),
            Err(source) => Err(FetchError::write(&to, source)),
        }
    }

    /// A second handle, for a writer of the runtime.
    pub(super) fn handle(&self) -> Result<File, FetchError> {
        let handle = self.file.as_file().try_clone();
        handle.map_err(|source| FetchError::write(&self.to, source))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), FetchError> {
        let written = self.file.as_file().write_all(bytes);
        written.map_err(|source| FetchError::write(&self.to, source))
    }

    /// Gives the file its name.
    pub(super) fn finish(self, executable: bool) -> Result<(), FetchError> {
        let Self { file, to } = self;
        let mode = if executable { PROGRAM_MODE } else { FILE_MODE };
        let finished = file
            .as_file()
            .set_permissions(Permissions::from_mode(mode))
            .and_then(|()| match file.persist_noclobber(&to) {
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    same_file(error.file.path(), &to)
                }
                other => other.map(|_| ()).map_err(|error| error.error),
            });
        finished.map_err(|source| FetchError::write(&to, source))
    }
}

/// Makes a folder and those above it, one by one, and follows no link.
pub(super) fn make_folders(folder: &Path, path: &str) -> Result<(), FetchError> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        let one = folder.join(&path[..end]);
        let made = match fs::create_dir(&one) {
            Ok(()) => fs::set_permissions(&one, Permissions::from_mode(FOLDER_MODE)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::symlink_metadata(&one) {
                    Ok(there) if there.is_dir() => Ok(()),
                    Ok(_) => Err(error),
                    Err(other) => Err(other),
                }
            }
            Err(error) => Err(error),
        };
        made.map_err(|source| FetchError::write(&one, source))?;
    }
    Ok(())
}

/// A second attempt finds the files of the first one: fine when they are the same, and refused otherwise.
fn same_file(part: &Path, there: &Path) -> io::Result<()> {
    let is_file = fs::symlink_metadata(there)?.is_file();
    if is_file && same_bytes(File::open(part)?, File::open(there)?)? {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "another file is there already",
    ))
}

fn same_bytes(one: File, other: File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (one, other) = (io::BufReader::new(one), io::BufReader::new(other));
    for (left, right) in one.bytes().zip(other.bytes()) {
        if left? != right? {
            return Ok(false);
        }
    }
    Ok(true)
}
