//! `floe-gate`: runs a gate's command in any image and hands its result to the operator.
//!
//! It is copied into the Pod of a gate and runs as the first process of its container, in images that
//! may hold nothing else: it is static, resolves no names and reads no file but the command's report.

mod args;
mod exec;
mod report_file;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)) {
        Ok(options) => ExitCode::from(exec::run(&options)),
        Err(problem) => {
            // Nothing can be done when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "floe-gate: {problem}\n{}", args::USAGE);
            ExitCode::from(args::USAGE_EXIT)
        }
    }
}
