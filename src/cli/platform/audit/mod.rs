//! `floe platform audit`: who signed what, and whether the records are all there and unchanged.

pub(super) mod args;
mod export;
mod list;
mod logs;
mod repair;
mod report;
mod rows;
mod show;
mod targets;
mod verify;

use args::AuditVerb;

use super::args::ClusterArguments;
use super::audit_key;
use super::cluster::connect;
use super::failure::Result;
use crate::cli::ExitCode;

/// Runs one of the commands.
pub(super) async fn run(cluster: &ClusterArguments, verb: &AuditVerb) -> Result<ExitCode> {
    match verb {
        AuditVerb::Key(arguments) => audit_key::run(&connect(cluster).await?, arguments).await,
        AuditVerb::Verify(arguments) => verify::run(cluster, arguments).await,
        AuditVerb::List(arguments) => list::run(cluster, arguments).await,
        AuditVerb::Show(arguments) => show::run(cluster, arguments).await,
        AuditVerb::Repair(arguments) => repair::run(&connect(cluster).await?, arguments).await,
        AuditVerb::Export(arguments) => export::run(cluster, arguments).await,
    }
}
