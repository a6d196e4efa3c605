//! When floe works on a Promotion.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::controller::Action as Next;

use super::context::{Context, Guarded};
use super::error::{Error, Result};
use super::observe::observe;
use super::pass::{PATIENCE, Pass};
use super::perform::perform;
use super::report::{add_finalizer, finish, report};
use crate::api::{FINALIZER, LABEL_RESULT, Promotion};
use crate::domain::decide::decide;
use crate::domain::decision::{Decision, Stage};
use crate::effects::clock;

/// Steps that a pass may take; the longest way from nothing to the end takes about 20.
const STEPS_MAX: usize = 64;

/// Brings one Promotion as close to its end as it can come now. Safe to call at any time, for any reason,
/// twice, by two operators.
pub(super) async fn reconcile(object: Arc<Guarded<Promotion>>, ctx: Arc<Context>) -> Result<Next> {
    let shown = match &object.0 {
        Ok(promotion) => promotion,
        Err(malformed) => {
            let name = malformed.metadata.name.as_deref().unwrap_or_default();
            tracing::error!(
                promotion = name,
                error = malformed.error,
                "the object is malformed and is left alone"
            );
            return Ok(Next::await_change());
        }
    };
    let now = clock::now();
    let promotion = ctx.newest(shown);
    let observed = observe(&promotion, &ctx, now);
    let mut pass = Pass {
        ctx: &ctx,
        promotion,
        observed,
        claim: None,
        notes: Vec::new(),
        now,
        patience: PATIENCE,
    };
    if let Some(stage) = ended(&pass.promotion)
        && !has_replicas_on_their_way(&pass)
    {
        if pass.promotion.labels().contains_key(LABEL_RESULT) && !has_finalizer(&pass.promotion) {
            return Ok(Next::await_change());
        }
        let again = finish(&mut pass, stage).await?;
        return Ok(again.map_or_else(Next::await_change, look_at));
    }
    if !has_finalizer(&pass.promotion)
        && !pass.observed.settled
        && pass.observed.request.deleted_at.is_none()
    {
        add_finalizer(&mut pass).await?;
    }
    let decision = work(&mut pass).await?;
    let next_look = report(&mut pass, &decision).await?;
    ctx.went_well(&pass.observed.request.uid);
    Ok(next_look.map_or_else(|| Next::requeue(Duration::from_hours(1)), look_at))
}

fn look_at(at: Timestamp) -> Next {
    Next::requeue(clock::until(at).max(Duration::from_millis(200)))
}

/// Decides and performs until there is nothing to do but wait, or it has ended.
async fn work(pass: &mut Pass<'_>) -> Result<Decision> {
    for _ in 0..STEPS_MAX {
        let decision = decide(&pass.observed, pass.now);
        if decision.actions.is_empty() {
            return Ok(decision);
        }
        for action in &decision.actions {
            tracing::debug!(
                promotion = pass.observed.request.name,
                ?action,
                "performing"
            );
            let receipt = perform(pass, action).await?;
            pass.observed.fold(receipt);
        }
    }
    Err(Error::Restless(STEPS_MAX))
}

/// What to do after a pass that failed.
#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub(super) fn after_error(
    object: Arc<Guarded<Promotion>>,
    error: &Error,
    ctx: Arc<Context>,
) -> Next {
    ctx.metrics.failed_pass("Promotion", error.category());
    if error.category() == "Conflict" {
        return Next::requeue(Duration::from_millis(200));
    }
    let wait = ctx.back_off(&object.uid().unwrap_or_default());
    tracing::warn!(promotion = object.name_any(), %error, ?wait, "the pass failed and is tried again");
    Next::requeue(wait)
}

fn ended(promotion: &Promotion) -> Option<Stage> {
    let status = promotion.status.as_ref()?;
    status.finished_at.as_ref()?;
    [Stage::Succeeded, Stage::Failed]
        .into_iter()
        .find(|stage| status.stage.as_deref() == Some(stage.as_str()))
}

/// It has ended well, and was not let go of yet because replicas are not up to date.
fn has_replicas_on_their_way(pass: &Pass<'_>) -> bool {
    let let_go = pass.promotion.labels().contains_key(LABEL_RESULT);
    let decision = decide(&pass.observed, pass.now);
    !let_go && pass.observed.settled && !decision.is_over()
}

fn has_finalizer(promotion: &Promotion) -> bool {
    promotion.finalizers().iter().any(|name| name == FINALIZER)
}
