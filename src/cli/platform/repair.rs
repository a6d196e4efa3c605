//! `floe platform repair`: puts tags back where the ledger says they belong, with the user's own login.

use std::time::Duration;

use kube::ResourceExt as _;

use super::args::RepairArguments;
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::overview::in_flow_order;
use super::present::{Present as _, present};
use super::repair_plan::{Outcome, Plan, Planned, missing_records, plan, wanted_tag};
use super::request::environment;
use crate::api::EnvironmentPolicy;
use crate::cli::{ExitCode, output};
use crate::domain::artifact::Digest;
use crate::domain::drift::Kind;
use crate::effects::clock;
use crate::effects::ledger::WRITE_WINDOW;
use crate::effects::registry::{ErrorKind, RegistryError, TagRefusal};

/// What is said where a promotion comes in between.
const THEN_AGAIN: &str = "give the command again when it has ended";

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &RepairArguments) -> Result<ExitCode> {
    let policies = space.list_policies().await?;
    let chosen: Vec<&EnvironmentPolicy> = match &arguments.environment {
        Some(word) => vec![environment(&policies, &space.namespace, word)?],
        None => in_flow_order(&policies),
    };
    let mut plan = plan(space, &chosen, arguments).await?;
    for sentence in chosen.iter().flat_map(|policy| missing_records(policy)) {
        output::note(&format!("note: {sentence}"));
    }
    let format = arguments.output.format;
    if plan.to_write() > 0 {
        match agreed(&plan, arguments) {
            Some(true) => {}
            Some(false) => {
                return Err(Failure::new(
                    ExitCode::Denied,
                    "nothing was written, as you wished",
                ));
            }
            None => {
                present(&plan.shown(), format);
                return Err(Failure::usage(
                    "nothing was written: this is the plan; to carry it out without being asked, add --yes",
                ));
            }
        }
    }
    for planned in &mut plan.planned {
        if planned.repair.outcome == Outcome::Planned {
            carry_out(space, planned).await;
        }
    }
    present(&plan.shown(), format);
    let code = plan.code();
    for complaint in plan.complaints() {
        output::failure(code, &complaint);
    }
    Ok(code)
}

/// Whether the user agrees; nothing where nobody can be asked.
fn agreed(plan: &Plan, arguments: &RepairArguments) -> Option<bool> {
    if arguments.yes {
        return Some(true);
    }
    let count = plan.to_write();
    let tags = if count == 1 { "tag" } else { "tags" };
    output::ask(
        &plan.shown().text(true),
        &format!("Write {count} {tags}? [y/N] "),
    )
}

/// Writes one tag, and enters how that went.
async fn carry_out(space: &Space, planned: &mut Planned) {
    let (outcome, message, code) = match restore(space, planned).await {
        Ok(None) => (Outcome::Restored, None, ExitCode::Done),
        Ok(Some(overtaken)) => (Outcome::Overtaken, Some(overtaken), ExitCode::Waiting),
        Err(failure) => (Outcome::Failed, Some(failure.to_string()), failure.code),
    };
    planned.repair.outcome = outcome;
    planned.repair.message = message;
    planned.code = code;
}

/// Writes the tag when ledger and registry are still as in the plan; why not, when they are not.
async fn restore(space: &Space, planned: &Planned) -> Result<Option<String>> {
    let Some(manifest) = &planned.manifest else {
        return Ok(None);
    };
    let read_at = clock::instant();
    if let Some(overtaken) = overtaken(space, planned).await? {
        return Ok(Some(overtaken));
    }
    let window = Duration::try_from(WRITE_WINDOW).unwrap_or_default();
    let registry = planned.registry.writing_before(read_at + window);
    let (repository, tag) = (&planned.repository, &planned.tag);
    let there = registry.named_by(repository, tag).await?;
    if there.as_ref() == Some(manifest.digest()) {
        return Ok(None);
    }
    if there.as_ref().map(Digest::as_str) != planned.repair.found.as_deref() {
        let there = there.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
        return Ok(Some(format!(
            "it names {there} by now, which is not what the plan says; give the command again"
        )));
    }
    if planned.repair.reason == Kind::TagMissing.as_str() {
        match registry.tag(repository, tag, manifest).await {
            Ok(_) => {}
            Err(TagRefusal::Taken { found, .. }) => {
                return Ok(Some(format!(
                    "somebody has put it on {found} at this moment; give the command again"
                )));
            }
            Err(TagRefusal::Registry(error)) => return Err(refused(error)),
        }
    } else {
        registry
            .move_tag(repository, tag, manifest)
            .await
            .map_err(refused)?;
    }
    // A promotion that began in between writes the tag too, before or after this.
    let overtaken = overtaken(space, planned).await?;
    Ok(overtaken.map(|why| format!("it was written, but {why}")))
}

/// Why the plan no longer holds, when it does not.
async fn overtaken(space: &Space, planned: &Planned) -> Result<Option<String>> {
    let repair = &planned.repair;
    let Some(policy) = space.policy(&repair.environment).await? else {
        return Ok(Some(format!(
            "the EnvironmentPolicy '{}' is gone",
            repair.environment
        )));
    };
    let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    let ledger = ledgers
        .into_iter()
        .find(|ledger| ledger.name == repair.artifact);
    let Some(ledger) = ledger else {
        return Ok(Some(
            "its ledger is gone; give the command again".to_owned(),
        ));
    };
    if let Some(slot) = &ledger.in_flight {
        return Ok(Some(format!(
            "promotion '{}' writes to '{}' at this moment; {THEN_AGAIN}",
            slot.name,
            policy.name_any()
        )));
    }
    let wanted = wanted_tag(&policy, ledger, &planned.tag);
    Ok(
        (wanted.as_ref().map(Digest::as_str) != Some(repair.expected.as_str()))
            .then(|| "the ledger says something else by now; give the command again".to_owned()),
    )
}

fn refused(error: RegistryError) -> Failure {
    match error.kind() {
        ErrorKind::Refused => Failure::new(
            ExitCode::Unexpected,
            format!(
                "{error}; where the registry keeps its tags immutable, let this one be written there, then give the command again"
            ),
        ),
        _ => error.into(),
    }
}
