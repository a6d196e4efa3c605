//! Waits for a Promotion, and shows what it waits for.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use tokio::time::MissedTickBehavior;

use super::cluster::Space;
use super::failure::{Failure, Result, causes};
use super::progress::{block, changes, unseen};
use super::view::{PromotionView, ended, replicas_behind};
use crate::api::Promotion;
use crate::cli::ExitCode;
use crate::cli::output::{self, Screen};
use crate::effects::clock;

/// Why the waiting is over.
pub(super) enum Waited {
    /// The promotion has ended.
    Ended(Box<Promotion>),
    /// The time limit came first; this is how it stood.
    Limit(Box<Promotion>),
    /// Somebody pressed Ctrl-C; this is how it stood.
    Interrupted(Box<Promotion>),
    /// The object was deleted.
    Gone,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The promotion has ended.
    Ended,
    /// It has ended and, when it ended well, every replica is up to date.
    Replicated,
}

impl Until {
    /// Whether that has come about.
    pub(super) fn is_reached(self, promotion: &Promotion) -> bool {
        match self {
            Self::Ended => ended(promotion).is_some(),
            Self::Replicated => ended(promotion).is_some() && !replicas_behind(promotion),
        }
    }
}

/// Waits for the promotion, at most this long. Progress goes to standard error.
pub(super) async fn wait(
    space: &Space,
    promotion: Promotion,
    until: Until,
    limit: Duration,
) -> Result<Waited> {
    let mut latest = Box::new(promotion);
    let mut display = Display::new();
    let watching = watch(space, &mut latest, until, &mut display);
    let result = tokio::time::timeout(limit, watching).await;
    display.end();
    Ok(match result {
        Ok(Err(failure)) => return Err(failure),
        Ok(Ok(Stop::Ended)) => Waited::Ended(latest),
        Ok(Ok(Stop::Gone)) => Waited::Gone,
        Ok(Ok(Stop::Interrupted)) => Waited::Interrupted(latest),
        Err(_) => Waited::Limit(latest),
    })
}

enum Stop {
    Ended,
    Gone,
    Interrupted,
}

async fn watch(
    space: &Space,
    latest: &mut Promotion,
    until: Until,
    display: &mut Display,
) -> Result<Stop> {
    let name = latest.name_any();
    let mut shown = pin!(watch_object(space.promotions(), &name).default_backoff());
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !until.is_reached(latest) {
        tokio::select! {
            next = shown.next() => match next {
                Some(Ok(Some(promotion))) => {
                    *latest = promotion;
                    display.show(&PromotionView::of(latest));
                }
                Some(Ok(None)) => return Ok(Stop::Gone),
                Some(Err(error)) => display.trouble(space, &name, &error)?,
                None => {
                    let message = format!("the watch of {} ended", space.named(&name));
                    return Err(Failure::new(ExitCode::Unexpected, message));
                }
            },
            _ = second.tick() => display.tick(&PromotionView::of(latest)),
            _ = &mut interrupt => return Ok(Stop::Interrupted),
        }
    }
    Ok(Stop::Ended)
}

/// Progress on standard error: redrawn on a terminal, otherwise a line for each change.
struct Display {
    screen: Option<Screen>,
    last: Option<PromotionView>,
    hinted: bool,
    in_trouble: bool,
}

impl Display {
    fn new() -> Self {
        Self {
            screen: Screen::new(),
            last: None,
            hinted: false,
            in_trouble: false,
        }
    }

    fn show(&mut self, view: &PromotionView) {
        self.in_trouble = false;
        if let Some(screen) = &mut self.screen {
            screen.draw(&block(view, clock::now()));
        } else {
            for line in changes(self.last.as_ref(), view) {
                output::note(&line);
            }
        }
        self.last = Some(view.clone());
    }

    fn tick(&mut self, view: &PromotionView) {
        if let Some(screen) = &mut self.screen {
            screen.draw(&block(view, clock::now()));
        } else if let Some(hint) = unseen(view, clock::now()).filter(|_| !self.hinted) {
            self.hinted = true;
            output::note(hint);
        }
    }

    /// A watch that breaks is started again; rights that are missing do not come back by waiting.
    fn trouble(&mut self, space: &Space, name: &str, error: &watcher::Error) -> Result<()> {
        let object = space.named(name);
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => {
                if let kube::Error::Api(status) = error
                    && matches!(status.code, 401 | 403 | 404)
                {
                    return Err(Failure::api("watch", &object, error));
                }
            }
            // The API server has forgotten the past; the next list shows the present.
            watcher::Error::WatchError(_) => return Ok(()),
            watcher::Error::NoResourceVersion => {}
        }
        if !self.in_trouble {
            self.in_trouble = true;
            if let Some(screen) = &mut self.screen {
                screen.clear();
            }
            output::note(&format!(
                "the watch of {object} broke and is tried again: {}",
                causes(error)
            ));
        }
        Ok(())
    }

    fn end(&mut self) {
        if let Some(screen) = &mut self.screen {
            // What stays on the terminal is the last state.
            if let Some(view) = &self.last {
                screen.draw(&block(view, clock::now()));
            }
        }
    }
}
