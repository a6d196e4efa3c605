//! `floe platform audit verify`: whether the records of environments are genuine, complete and unchanged.

use super::args::VerifyArguments;
use super::report::{ChainReport, Report};
use super::targets::Targets;
use crate::cli::platform::args::ClusterArguments;
use crate::cli::platform::failure::Result;
use crate::cli::platform::present::present;
use crate::cli::{ExitCode, output};
use crate::effects::audit::Depth;

/// Runs the command.
pub(super) async fn run(
    cluster: &ClusterArguments,
    arguments: &VerifyArguments,
) -> Result<ExitCode> {
    let targets = Targets::of(cluster, &arguments.chains).await?;
    let depth = if arguments.chain_only {
        Depth::Chain
    } else {
        Depth::Everything
    };
    let mut report = Report {
        namespace: targets.space.clone(),
        chains: Vec::new(),
        proves: proves(targets.has_ledger(), depth).to_owned(),
    };
    for target in &targets.chains {
        let read = targets
            .read(target, &arguments.chains, depth, |_, _| ())
            .await;
        report.chains.push(match read {
            Ok(verified) => ChainReport::of(&target.chain, &verified),
            Err(failure) => ChainReport::unread(
                &target.chain,
                &failure.to_string(),
                failure.code == ExitCode::NotAuthorized,
            ),
        });
    }
    let written = present(&report, arguments.output.format);
    if written != ExitCode::Done {
        return Ok(written);
    }
    let code = report.code();
    for complaint in report.chains.iter().filter_map(ChainReport::complaint) {
        output::failure(code, &complaint);
    }
    Ok(code)
}

/// What the answer rests on, and what it cannot show.
fn proves(has_ledger: bool, depth: Depth) -> &'static str {
    match (has_ledger, depth) {
        (true, Depth::Everything) => {
            "Compared: records, ledger and tags. Who could cut the newest records out of the registry and the ledger alike \
             is only seen in the operators' audit logs."
        }
        (true, Depth::Chain) => {
            "Compared: records and ledger. Not looked for: moved tags, summaries, second records with the same number."
        }
        (false, Depth::Everything) => {
            "Compared: records and tags of the registry alone. Whether newer records were cut off together with their tags \
             is only seen beside the ledger (without --repository) or the operators' audit logs."
        }
        (false, Depth::Chain) => {
            "Compared: the records below the newest one beside latest-*. Whether there were newer ones is only seen beside \
             the ledger (without --repository) or the operators' audit logs."
        }
    }
}
