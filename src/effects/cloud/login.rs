//! A login that is kept while it lasts.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Cloud, Fresh, TokenSource};
use crate::domain::policy::cloud::{CloudRegistry, Identity};
use crate::effects::clock;
use crate::effects::registry::{Login, LoginSource, Problem};

/// After a login that took the place of a refused one, how long a further refusal brings no other: it is the
/// account that may not, not the login that is too old.
const REPLACED: Duration = Duration::from_secs(30);
/// Part of its life after which a login is renewed, in percent.
const RENEWED_AFTER: u32 = 80;

/// The logins of one identity at one registry.
pub struct CloudLogin {
    cloud: Arc<Cloud>,
    registry: CloudRegistry,
    identity: Identity,
    tokens: Option<TokenSource>,
    who: String,
    name: String,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    login: Login,
    renew_at: Instant,
    ends: Instant,
    /// When it took the place of a login that the registry had refused.
    replaced: Option<Instant>,
}

impl CloudLogin {
    /// `who` is for messages: `ServiceAccount 'x' in namespace 'y'`.
    pub fn new(
        cloud: Arc<Cloud>,
        registry: CloudRegistry,
        identity: Identity,
        tokens: Option<TokenSource>,
        who: String,
    ) -> Self {
        let name = format!("{who} {registry:?} {identity:?}");
        Self {
            cloud,
            registry,
            identity,
            tokens,
            who,
            name,
            kept: Mutex::default(),
        }
    }

    /// One line in the vendor's log of who assumed the role.
    fn session(&self) -> String {
        let words = self
            .who
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .filter(|word| !matches!(*word, "" | "in" | "namespace" | "ServiceAccount"));
        let text = std::iter::once("floe").chain(words).collect::<Vec<_>>();
        text.join("-").chars().take(64).collect()
    }

    async fn current(&self, refused: Option<&Login>) -> Result<Login, Problem> {
        // Held while the vendor is asked: one question for all who wait.
        let mut kept = self.kept.lock().await;
        let now = clock::instant();
        let is_refused = |kept: &Kept| refused.is_some_and(|refused| refused.same(&kept.login));
        let mut replaces = None;
        if let Some(kept) = kept.as_ref() {
            if is_refused(kept) {
                if kept.replaced.is_some_and(|at| now < at + REPLACED) {
                    return Ok(kept.login.clone());
                }
                replaces = Some(now);
            } else if now < kept.renew_at {
                return Ok(kept.login.clone());
            }
        }
        let session = self.session();
        let asked = self.cloud.log_in(
            &self.registry,
            &self.identity,
            self.tokens.as_ref(),
            &session,
        );
        match asked.await {
            Ok(Fresh { login, life }) => {
                tracing::debug!(who = self.who, ?life, "logged in at the cloud's registry");
                *kept = Some(Kept {
                    login: login.clone(),
                    renew_at: now + life * RENEWED_AFTER / 100,
                    ends: now + life,
                    replaced: replaces,
                });
                Ok(login)
            }
            Err(problem) => match kept.as_ref().filter(|kept| now < kept.ends) {
                Some(kept) if replaces.is_none() => {
                    tracing::warn!(who = self.who, %problem, "the login cannot be renewed yet, and is used while it lasts");
                    Ok(kept.login.clone())
                }
                _ => Err(self.named(problem)),
            },
        }
    }

    fn named(&self, problem: Problem) -> Problem {
        let named = |why: String| format!("log in as {}: {why}", self.who);
        match problem {
            Problem::Unavailable {
                why, retry_after, ..
            } => Problem::Unavailable {
                why: named(why),
                retry_after,
                ambiguous: false,
            },
            Problem::Denied { why } => Problem::Denied { why: named(why) },
            Problem::NoCredentials { why } => Problem::NoCredentials { why: named(why) },
            Problem::Unreadable { why } => Problem::Unreadable { why: named(why) },
            other => other,
        }
    }
}

impl LoginSource for CloudLogin {
    fn name(&self) -> &str {
        &self.name
    }

    fn login<'a>(&'a self, refused: Option<&'a Login>) -> BoxFuture<'a, Result<Login, Problem>> {
        Box::pin(self.current(refused))
    }
}
