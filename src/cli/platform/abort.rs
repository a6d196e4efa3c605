//! `floe platform abort`: stops a Promotion that has not ended.

use kube::ResourceExt as _;

use super::args::AbortArguments;
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::present::present;
use super::view::{PromotionView, ended};
use super::wait::{Until, Waited, wait};
use super::words::span;
use crate::api::{Abort, Promotion};
use crate::cli::{ExitCode, output};

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &AbortArguments) -> Result<ExitCode> {
    let name = &arguments.promotion;
    let object = space.named(name);
    let Some(promotion) = space.promotion(name).await? else {
        return Err(Failure::usage(format!(
            "there is no {object}; see kubectl get fpromo, or name another namespace with -n"
        )));
    };
    let view = PromotionView::of(&promotion);
    if ended(&promotion).is_some() {
        let reason = view.reason.unwrap_or_default();
        return Err(Failure::new(
            ExitCode::InvalidTransition,
            format!("{object} has ended ({reason}): there is nothing to abort"),
        ));
    }
    let promotion = stopped(space, promotion, arguments.reason.as_deref()).await?;
    if arguments.wait.no_wait {
        return Ok(present(
            &PromotionView::of(&promotion),
            arguments.output.format,
        ));
    }
    match wait(space, promotion, Until::Ended, arguments.wait.timeout).await? {
        Waited::Ended(promotion) => Ok(told(&PromotionView::of(&promotion), arguments)),
        Waited::Gone => Ok(ExitCode::Done),
        Waited::Limit(_) | Waited::Interrupted(_) => {
            let limit = jiff::SignedDuration::try_from(arguments.wait.timeout).unwrap_or_default();
            Err(Failure::new(
                ExitCode::Waiting,
                format!(
                    "{object} was told to stop and has not ended (time limit: {}); look with: floe platform status {name} -n {}",
                    span(limit),
                    space.namespace
                ),
            ))
        }
    }
}

/// The promotion with an abort in it: the one that is there already, or ours.
async fn stopped(space: &Space, promotion: Promotion, reason: Option<&str>) -> Result<Promotion> {
    let name = promotion.name_any();
    if let Some(abort) = &promotion.spec.abort {
        let by = &abort.by;
        output::note(&format!("{} was told to stop by {by}", space.named(&name)));
        return Ok(promotion);
    }
    let abort = Abort {
        by: space.user().await?,
        reason: reason.map(str::to_owned),
    };
    let stopped = space.abort(&name, &abort).await?;
    output::note(&format!("{} is told to stop", space.named(&name)));
    Ok(stopped)
}

/// What came of it: what has begun to write is finished, and then it was too late.
fn told(view: &PromotionView, arguments: &AbortArguments) -> ExitCode {
    let written = present(view, arguments.output.format);
    let reason = view.reason.as_deref().unwrap_or_default();
    if reason == "Aborted" {
        return written;
    }
    let complaint = format!(
        "{} was not aborted, it came to its end first: {reason}: {}",
        view.object(),
        view.message.as_deref().unwrap_or_default()
    );
    output::failure(ExitCode::InvalidTransition, &complaint)
}
