//! Opens the file that the command should have written.

use std::fs::{File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;

use floe_gate::report::{self, MAX_REPORT_BYTES, Report, too_long};
use nix::libc::{ELOOP, O_NOFOLLOW, O_NONBLOCK};

use crate::args::ReportOptions;

/// What the report says; otherwise what is to be said behind the command's exit code.
pub(crate) fn read(options: &ReportOptions) -> Result<Report, String> {
    let path = options.file.display();
    let unusable = |reason: String| format!(", but its report cannot be used: {reason}");
    let (file, metadata) = match open(options) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!(" and wrote no report to '{path}'"));
        }
        Err(error) if error.raw_os_error() == Some(ELOOP) => {
            return Err(unusable(format!("'{path}' is a link")));
        }
        Err(error) => return Err(unusable(format!("'{path}' cannot be opened: {error}"))),
    };
    if !metadata.is_file() {
        return Err(unusable(format!("'{path}' is no regular file")));
    }
    if metadata.len() > MAX_REPORT_BYTES {
        return Err(unusable(too_long().to_string()));
    }
    report::read(options.format, file, &options.wanted)
        .map_err(|problem| unusable(problem.to_string()))
}

/// Neither follows a link nor waits: a pipe that nobody writes to would hold up the gate.
fn open(options: &ReportOptions) -> std::io::Result<(File, Metadata)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(&options.file)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}
