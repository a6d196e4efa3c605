//! The `floe` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two TLS users in one process: they must agree on the provider before the first connection.
    // A second installation would only mean that it is there already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    floe::cli::main().into()
}
