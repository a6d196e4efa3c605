//! `floe platform status`: all environments, or one promotion.

use super::args::StatusArguments;
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::overview::Overview;
use super::present::present;
use super::view::PromotionView;
use crate::cli::ExitCode;

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &StatusArguments) -> Result<ExitCode> {
    let format = arguments.output.format;
    if let Some(name) = &arguments.promotion {
        // As kubectl and `-o name` write it.
        let name = name.rsplit('/').next().unwrap_or(name);
        let Some(promotion) = space.promotion(name).await? else {
            return Err(Failure::new(
                ExitCode::Unexpected,
                format!(
                    "there is no {}; those that there are: kubectl get fpromo -n {}",
                    space.named(name),
                    space.namespace
                ),
            ));
        };
        return Ok(present(&PromotionView::of(&promotion), format));
    }
    let (policies, promotions) = tokio::try_join!(space.list_policies(), space.list_promotions())?;
    let overview = Overview::of(&space.namespace, &policies, &promotions);
    Ok(present(&overview, format))
}
