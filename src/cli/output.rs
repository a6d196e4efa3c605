//! The only place that prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the one place"
)]

use super::ExitCode;

/// Prints a text to standard output.
pub(super) fn text(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::Done
}

/// Says on standard error why a command failed.
pub(super) fn failure(code: ExitCode, message: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("floe: {message}");
    code
}

/// Prints help, version or what was wrong with the arguments.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    // Where standard output is closed there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::Usage
    } else {
        ExitCode::Done
    }
}
