//! The command line.

mod args;
mod exit_code;
mod gate;
mod operator;
mod output;
mod platform;
mod registry;

use clap::{CommandFactory as _, Parser as _};

use args::{Arguments, Command};
pub use exit_code::ExitCode;

/// Everything that can be typed, for the reference in the documentation.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Reads the arguments, runs the command and says how it went.
pub async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    match arguments.command {
        Command::Platform(arguments) => Box::pin(platform::run(arguments)).await,
        Command::Registry(arguments) => registry::run(arguments).await,
        Command::Operator(arguments) => Box::pin(operator::run(*arguments)).await,
        Command::Gate(command) => gate::run(command).await,
        Command::Crds => output::text(&crate::api::crds_yaml()),
    }
}
