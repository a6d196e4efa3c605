//! `floe platform`: what people do, with their own rights.

mod abort;
pub(super) mod args;
mod audit;
mod audit_key;
mod cluster;
mod detail;
pub(super) mod failure;
mod files;
mod gate_block;
mod gc;
mod list;
pub(super) mod login;
mod overview;
mod overview_text;
pub(super) mod present;
mod progress;
mod promote;
mod publish;
mod repair;
mod repair_plan;
mod request;
mod status;
mod validate;
mod view;
mod wait;
mod words;

pub(super) use args::PlatformArguments;
use args::{PromoteVerb, Verb};
use cluster::connect;
use failure::Result;

use super::{ExitCode, output};

/// Runs one of the commands.
pub(super) async fn run(arguments: PlatformArguments) -> ExitCode {
    match carry_out(arguments).await {
        Ok(code) => code,
        Err(failure) => output::failure(failure.code, &failure),
    }
}

async fn carry_out(arguments: PlatformArguments) -> Result<ExitCode> {
    let PlatformArguments { cluster, verb } = arguments;
    match verb {
        // Its files lie here: it asks a cluster only for an environment.
        Verb::Validate(arguments) => validate::run(&cluster, &arguments).await,
        Verb::Publish(arguments) => publish::run(&connect(&cluster).await?, &arguments).await,
        Verb::Promote(arguments) => {
            let space = connect(&cluster).await?;
            match &arguments.verb {
                Some(PromoteVerb::Status(arguments)) => status::run(&space, arguments).await,
                None => promote::run(&space, &arguments).await,
            }
        }
        Verb::Abort(arguments) => abort::run(&connect(&cluster).await?, &arguments).await,
        Verb::Status(arguments) => status::run(&connect(&cluster).await?, &arguments).await,
        Verb::List(arguments) => list::run(&connect(&cluster).await?, &arguments).await,
        // Records can be read without a cluster.
        Verb::Audit(verb) => Box::pin(audit::run(&cluster, &verb)).await,
        Verb::Repair(arguments) => repair::run(&connect(&cluster).await?, &arguments).await,
        Verb::Gc(arguments) => gc::run(&connect(&cluster).await?, &arguments).await,
    }
}
