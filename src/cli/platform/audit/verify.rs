//! `floe platform audit verify`: whether the records of environments are genuine, complete and unchanged.

use super::args::VerifyArguments;
use super::logs::{self, LogReport};
use super::report::{ChainReport, Report};
use super::targets::Targets;
use crate::cli::platform::args::ClusterArguments;
use crate::cli::platform::failure::Result;
use crate::cli::platform::present::present;
use crate::cli::{ExitCode, output};
use crate::domain::audit::Logs;
use crate::effects::audit::Depth;

/// Runs the command.
pub(super) async fn run(
    cluster: &ClusterArguments,
    arguments: &VerifyArguments,
) -> Result<ExitCode> {
    let (logs, read) = logs::read(&arguments.log).await?;
    let mut report = Report {
        namespace: String::new(),
        chains: Vec::new(),
        logs: read,
        proves: ONLY_LOGS.to_owned(),
    };
    if !arguments.log_only {
        chains(cluster, arguments, &logs, &mut report).await?;
    }
    let written = present(&report, arguments.output.format);
    if written != ExitCode::Done {
        return Ok(written);
    }
    let code = report.code();
    let of_logs = report.logs.iter().filter_map(LogReport::complaint);
    let of_chains = report.chains.iter().filter_map(ChainReport::complaint);
    for complaint in of_logs.chain(of_chains) {
        output::failure(code, &complaint);
    }
    Ok(code)
}

async fn chains(
    cluster: &ClusterArguments,
    arguments: &VerifyArguments,
    logs: &Logs,
    report: &mut Report,
) -> Result<()> {
    let targets = Targets::of(cluster, &arguments.chains).await?;
    let depth = if arguments.chain_only {
        Depth::Chain
    } else {
        Depth::Everything
    };
    report.namespace.clone_from(&targets.space);
    proves(targets.has_ledger(), depth, !report.logs.is_empty()).clone_into(&mut report.proves);
    let logs = (!report.logs.is_empty()).then_some(logs);
    for target in &targets.chains {
        let read = targets.read(target, &arguments.chains, depth, logs, |_, _| ());
        report.chains.push(match read.await {
            Ok(verified) => ChainReport::of(&target.chain, &verified),
            Err(failure) => ChainReport::unread(
                &target.chain,
                &failure.to_string(),
                failure.code == ExitCode::NotAuthorized,
            ),
        });
    }
    Ok(())
}

/// What the answer rests on when only logs were read.
const ONLY_LOGS: &str = "Compared: the lines of each log with each other. Whether its newest lines were cut off is only \
     seen beside the records, or a copy of the log elsewhere.";

/// What the answer rests on, and what it cannot show.
fn proves(has_ledger: bool, depth: Depth, has_logs: bool) -> &'static str {
    match (has_logs, has_ledger, depth) {
        (true, true, _) => {
            "Compared: records, ledger, and audit logs. Only who could cut all three to the same point is not seen: a copy \
             of the log outside of the cluster shows that too."
        }
        (true, false, _) => {
            "Compared: records and audit logs. Only who could cut both to the same point is not seen."
        }
        (false, true, Depth::Everything) => {
            "Compared: records, ledger and tags. Who could cut the newest records out of the registry and the ledger alike \
             is only seen in the operators' audit logs (--log)."
        }
        (false, true, Depth::Chain) => {
            "Compared: records and ledger. Not looked for: moved tags, summaries, second records with the same number."
        }
        (false, false, Depth::Everything) => {
            "Compared: records and tags of the registry alone. Whether newer records were cut off together with their tags \
             is only seen beside the ledger (without --repository) or the operators' audit logs (--log)."
        }
        (false, false, Depth::Chain) => {
            "Compared: the records below the newest one beside latest-*. Whether there were newer ones is only seen beside \
             the ledger (without --repository) or the operators' audit logs (--log)."
        }
    }
}
