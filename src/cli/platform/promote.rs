//! `floe platform promote`: makes a Promotion, or joins the one that runs, and waits for it.

use std::time::Duration;

use kube::ResourceExt as _;
use kube::core::ObjectMeta;

use super::args::{PromoteArguments, WaitArguments};
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::present::present;
use super::request::{Asked, Typed, asked, same_request};
use super::view::{PromotionView, ended, replicas_behind};
use super::wait::{Until, Waited, wait};
use super::words::{age, span};
use crate::api::{LABEL_RETRY_OF, Promotion};
use crate::cli::{ExitCode, output};
use crate::domain::names::retry_name;
use crate::effects::clock;

/// Tries of one promotion; more of them than anybody makes.
const MOST_TRIES: u32 = 100;

/// A Promotion that answers what was asked for.
enum Found {
    /// It was made a moment ago.
    Created(Box<Promotion>),
    /// It was there and runs.
    Running(Box<Promotion>),
    /// It has succeeded before.
    Done(Box<Promotion>),
}

/// What came of a Promotion.
pub(super) struct CarriedOut {
    /// How it stands.
    pub(super) view: PromotionView,
    code: ExitCode,
    /// Why the command did not end well.
    complaint: Option<String>,
}

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &PromoteArguments) -> Result<ExitCode> {
    let typed = Typed {
        artifact: arguments.artifact.as_deref(),
        version: arguments.version.as_deref().unwrap_or_default(),
        from: arguments.from.as_deref(),
        to: arguments.to.as_deref().unwrap_or_default(),
        digest: arguments.digest.as_deref(),
        dry_run: arguments.dry_run,
        reason: arguments.request.reason.as_deref(),
        on_behalf_of: arguments.request.on_behalf_of.as_deref(),
        name: arguments.request.name.as_deref(),
    };
    let policies = space.list_policies().await?;
    let asked = asked(&policies, &space.namespace, &typed)?;
    let until = if arguments.sync_registries {
        Until::Replicated
    } else {
        Until::Ended
    };
    let carried_out = carry_out(space, &asked, &arguments.wait, until).await?;
    let written = present(&carried_out.view, arguments.output.format);
    Ok(carried_out.exit(written))
}

impl CarriedOut {
    fn well(view: PromotionView) -> Self {
        Self {
            view,
            code: ExitCode::Done,
            complaint: None,
        }
    }

    /// Says on standard error why it did not end well, behind the result that was `written`.
    pub(super) fn exit(&self, written: ExitCode) -> ExitCode {
        match &self.complaint {
            Some(complaint) => output::failure(self.code, complaint),
            None => written,
        }
    }
}

/// Makes the Promotion or joins it, and waits for it.
pub(super) async fn carry_out(
    space: &Space,
    asked: &Asked,
    arguments: &WaitArguments,
    until: Until,
) -> Result<CarriedOut> {
    let promotion = match submit(space, asked).await? {
        Found::Done(promotion) if !until.is_reached(&promotion) => {
            let name = promotion.name_any();
            output::note(&format!(
                "{} has succeeded; its replicas are on their way",
                space.named(&name)
            ));
            promotion
        }
        Found::Done(promotion) => return Ok(CarriedOut::well(already_promoted(&promotion))),
        Found::Created(promotion) => {
            output::note(&format!("{} created", space.named(&promotion.name_any())));
            promotion
        }
        Found::Running(promotion) => {
            let name = promotion.name_any();
            output::note(&format!("{} runs already", space.named(&name)));
            promotion
        }
    };
    if arguments.no_wait {
        return Ok(CarriedOut::well(PromotionView::of(&promotion)));
    }
    let name = promotion.name_any();
    match wait(space, *promotion, until, arguments.timeout).await? {
        Waited::Ended(promotion) => Ok(result(&promotion)),
        Waited::Limit(promotion) => Ok(still_waiting(space, &promotion, Some(arguments.timeout))),
        Waited::Interrupted(promotion) => Ok(still_waiting(space, &promotion, None)),
        Waited::Gone => Err(Failure::new(
            ExitCode::Denied,
            format!("{} was deleted before it had ended", space.named(&name)),
        )),
    }
}

async fn submit(space: &Space, asked: &Asked) -> Result<Found> {
    for attempt in 1..=MOST_TRIES {
        let name = match attempt {
            1 => asked.name.clone(),
            attempt => retry_name(&asked.name, attempt),
        };
        let existing = match space.promotion(&name).await? {
            Some(existing) => existing,
            None => match space.create(&object(asked, &name)).await? {
                Some(created) => return Ok(Found::Created(Box::new(created))),
                // Somebody made it between the two requests.
                None => match space.promotion(&name).await? {
                    Some(existing) => existing,
                    None => continue,
                },
            },
        };
        if !same_request(&existing, &asked.spec) {
            return Err(Failure::usage(format!(
                "{} exists and asks for something else; choose another name with --name",
                space.named(&name)
            )));
        }
        match ended(&existing) {
            None => return Ok(Found::Running(Box::new(existing))),
            // What passed in a dry run may fail today: a dry run is never done for good.
            Some(end) if end.well && !asked.spec.dry_run => {
                return Ok(Found::Done(Box::new(existing)));
            }
            Some(_) => {}
        }
    }
    Err(Failure::usage(format!(
        "{} has been tried {MOST_TRIES} times; choose another name with --name",
        space.named(&asked.name)
    )))
}

fn object(asked: &Asked, name: &str) -> Promotion {
    let retry_of = (name != asked.name).then(|| (LABEL_RETRY_OF.to_owned(), asked.name.clone()));
    Promotion {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: retry_of.map(|label| [label].into()),
            ..ObjectMeta::default()
        },
        spec: asked.spec.clone(),
        status: None,
    }
}

fn result(promotion: &Promotion) -> CarriedOut {
    let view = PromotionView::of(promotion);
    let code = ended(promotion).map_or(ExitCode::Unexpected, |end| end.code);
    CarriedOut {
        complaint: (code != ExitCode::Done).then(|| why_not(&view)),
        code,
        view,
    }
}

fn already_promoted(promotion: &Promotion) -> PromotionView {
    let mut view = PromotionView::of(promotion);
    view.reason = Some("AlreadyPromoted".to_owned());
    view.message = Some(format!(
        "{} did this {} ago; nothing was done now",
        view.object(),
        age(view.finished_at, clock::now())
    ));
    view
}

fn why_not(view: &PromotionView) -> String {
    let mut text = format!(
        "{} was not promoted to '{}' ({}): {}: {}",
        view.what(),
        view.to,
        view.object(),
        view.reason.as_deref().unwrap_or("unknown"),
        view.message.as_deref().unwrap_or_default(),
    );
    if let Some(next) = &view.next {
        text.push_str("\nnext: ");
        text.push_str(next);
    }
    text
}

fn still_waiting(space: &Space, promotion: &Promotion, limit: Option<Duration>) -> CarriedOut {
    let view = PromotionView::of(promotion);
    let code = match view.reason.as_deref() {
        Some("EnvironmentLocked") => ExitCode::Locked,
        _ => ExitCode::Waiting,
    };
    let stopped = limit.map_or_else(
        || "interrupted".to_owned(),
        |limit| {
            let limit = jiff::SignedDuration::try_from(limit).unwrap_or_default();
            format!("it still waits after {}", span(limit))
        },
    );
    let waits = match (&view.waiting_since, &view.reason, &view.message) {
        (Some(_), Some(reason), Some(message)) => format!("{reason}: {message}"),
        _ if replicas_behind(promotion) => {
            let behind = view.replicas.iter();
            let behind = behind.filter(|replica| replica.state != "Replicated");
            let lines: Vec<String> = behind
                .map(|replica| format!("replica {}", replica.line(clock::now())))
                .collect();
            format!("it was promoted, and {}", lines.join("; "))
        }
        _ if view.stage == "Pending" => "no operator has seen it yet; is floe running?".to_owned(),
        _ => view.stage.clone(),
    };
    let complaint = format!(
        "{}: {stopped}: {waits}\nnext: it goes on by itself; look with: floe platform status {} -n {}",
        view.object(),
        view.name,
        space.namespace
    );
    CarriedOut {
        view,
        code,
        complaint: Some(complaint),
    }
}
