//! Which paths may be written: relative, plain, and each for one file only.

use std::collections::BTreeSet;

use super::{LayoutError, shortened};

/// Most bytes of a path.
const MAX_PATH: usize = 512;

/// Paths of files, each safe and only once, and no file where another needs a folder.
#[derive(Clone, Default)]
pub(super) struct Paths {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Paths {
    pub(super) fn add(&mut self, path: &str) -> Result<(), LayoutError> {
        self.add_folders_above(path)?;
        if self.folders.contains(path) || !self.files.insert(path.to_owned()) {
            return Err(LayoutError::DuplicatePath(shortened(path)));
        }
        Ok(())
    }

    /// A folder may be named again, also as part of a file's path.
    pub(super) fn add_folder(&mut self, path: &str) -> Result<(), LayoutError> {
        self.add_folders_above(path)?;
        if self.files.contains(path) {
            return Err(LayoutError::DuplicatePath(shortened(path)));
        }
        self.folders.insert(path.to_owned());
        Ok(())
    }

    /// How many files and folders these are.
    pub(super) fn len(&self) -> usize {
        self.files.len() + self.folders.len()
    }

    fn add_folders_above(&mut self, path: &str) -> Result<(), LayoutError> {
        check_path(path)?;
        for (at, _) in path.match_indices('/') {
            let folder = &path[..at];
            if self.files.contains(folder) {
                return Err(LayoutError::DuplicatePath(shortened(path)));
            }
            if !self.folders.contains(folder) {
                self.folders.insert(folder.to_owned());
            }
        }
        Ok(())
    }
}

pub(super) fn check_path(path: &str) -> Result<(), LayoutError> {
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
