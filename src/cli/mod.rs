//! The command line.

mod args;
mod exit_code;
mod gate;
mod operator;
mod output;
mod platform;
mod registry;

use std::io;

use clap::{CommandFactory as _, Parser as _};
use tokio::runtime::{Builder, Runtime};

use args::{Arguments, Command};
pub use exit_code::ExitCode;

/// Everything that can be typed, for the reference in the documentation.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Reads the arguments, runs the command and says how it went.
pub fn main() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return output::usage(&error),
    };
    match runtime(&command) {
        Ok(runtime) => runtime.block_on(run(command)),
        Err(error) => output::failure(
            ExitCode::Unexpected,
            &format!("the system gives no threads: {error}"),
        ),
    }
}

/// One thread for commands that ask one thing after the other: more of them would take longer to start than
/// the command takes.
fn runtime(command: &Command) -> io::Result<Runtime> {
    match command {
        Command::Registry(arguments) if !arguments.works_side_by_side() => {
            Builder::new_current_thread().enable_all().build()
        }
        _ => Builder::new_multi_thread().enable_all().build(),
    }
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Platform(arguments) => Box::pin(platform::run(arguments)).await,
        Command::Registry(arguments) => registry::run(arguments).await,
        Command::Operator(arguments) => Box::pin(operator::run(*arguments)).await,
        Command::Gate(command) => gate::run(command).await,
        Command::Crds => output::text(&crate::api::crds_yaml()),
    }
}
