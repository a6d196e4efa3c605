//! Reads the files that are to be published.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::{Failure, Result};
use crate::cli::ExitCode;
use crate::domain::layout::{LayoutError, MAX_FILES, MAX_TOTAL_BYTES, SourceFile};

/// Folder that is never meant.
const GIT: &str = ".git";

/// Files and what was left out.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) files: Vec<SourceFile>,
    /// Folders that were left out.
    pub(super) left_out: Vec<PathBuf>,
    bytes: u64,
}

/// Reads files and folders. The files of a single folder lie at the root of the artifact; of several
/// paths, each keeps its own last name.
pub(super) fn collect(paths: &[PathBuf]) -> Result<Collected> {
    let mut collected = Collected::default();
    let single = paths.len() == 1;
    for path in paths {
        // What is named is followed, also when it is a link; links inside of folders are not.
        let meta = fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
        let title = if single && meta.is_dir() {
            String::new()
        } else {
            last_name(path)?
        };
        collected.add(path, &title, &meta)?;
    }
    Ok(collected)
}

impl Collected {
    fn add(&mut self, path: &Path, title: &str, meta: &fs::Metadata) -> Result<()> {
        if meta.is_dir() {
            return self.add_folder(path, title);
        }
        if !meta.is_file() {
            return Err(Failure::usage(format!(
                "'{}' is neither a file nor a folder (links are not followed)",
                path.display()
            )));
        }
        self.bytes = self.bytes.saturating_add(meta.len());
        if self.files.len() >= MAX_FILES {
            return Err(refused(&LayoutError::TooManyFiles(MAX_FILES + 1)));
        }
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(refused(&LayoutError::TooLarge(self.bytes)));
        }
        let bytes = fs::read(path).map_err(|error| cannot_read(path, &error))?;
        self.files.push(SourceFile {
            path: title.to_owned(),
            bytes,
        });
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path, title: &str) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(|error| cannot_read(folder, &error))? {
            let entry = entry.map_err(|error| cannot_read(folder, &error))?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(Failure::usage(format!(
                    "the name of '{}' is not UTF-8 text: rename it",
                    path.display()
                )));
            };
            let meta = fs::symlink_metadata(&path).map_err(|error| cannot_read(&path, &error))?;
            if name == GIT {
                self.left_out.push(path);
                continue;
            }
            let inner = if title.is_empty() {
                name.to_owned()
            } else {
                format!("{title}/{name}")
            };
            self.add(&path, &inner, &meta)?;
        }
        Ok(())
    }
}

/// Why these files are not an artifact.
pub(super) fn refused(why: &LayoutError) -> Failure {
    Failure::usage(format!("cannot pack the artifact: {why}"))
}

fn last_name(path: &Path) -> Result<String> {
    path.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
        .ok_or_else(|| {
            Failure::usage(format!(
                "'{}' has no name that its files could lie under: name the folder itself, or give it as the only PATH",
                path.display()
            ))
        })
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => ExitCode::Usage,
        _ => ExitCode::Unexpected,
    };
    Failure::new(code, format!("cannot read '{}': {error}", path.display()))
}
