//! One pass over one promotion: the object as it was last written, and what is known about it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PostParams;
use kube::{Api, Resource as _, ResourceExt as _};
use tokio::time::Instant;

use super::context::Context;
use super::error::{Error, Result, api, within};
use crate::api::{ArtifactSource, EnvironmentPolicy, Promotion, PromotionStatus};
use crate::domain::decision::TroubleKind;
use crate::domain::observed::{Observed, Trouble};
use crate::domain::plan::Route;
use crate::domain::record::{KeyRing, SigningKey};
use crate::effects::clock;
use crate::effects::credentials::{NoAccess, Place};
use crate::effects::events::Note;
use crate::effects::keys::NoKey;
use crate::effects::ledger::WRITE_WINDOW;
use crate::effects::registry::{ErrorKind, Registry, RegistryError};

/// One pass over one promotion.
pub(super) struct Pass<'a> {
    /// Clients, caches, effects.
    pub ctx: &'a Context,
    /// The object as it was last read or written.
    pub promotion: Promotion,
    /// What is known.
    pub observed: Observed,
    /// The policy under whose claim this pass writes, and when the claim was read.
    pub claim: Option<(Instant, EnvironmentPolicy)>,
    /// Events to write once the status is stored.
    pub notes: Vec<Note>,
    /// Time of the pass.
    pub now: Timestamp,
}

/// An effect on the registry did not come about: the decision says what follows.
pub(super) enum Stopped {
    /// The registry stopped us.
    Trouble(Trouble),
    /// The API server failed us.
    Error(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<NoKey> for Stopped {
    fn from(none: NoKey) -> Self {
        match none {
            NoKey::Missing(problem) => Self::Trouble(Trouble {
                kind: TroubleKind::SigningKeyMissing,
                problem,
                not_before: None,
            }),
            NoKey::Api { action, source } => Self::Error(Error::Api { action, source }),
        }
    }
}

impl From<RegistryError> for Stopped {
    fn from(error: RegistryError) -> Self {
        Self::Trouble(trouble(&error))
    }
}

impl From<NoAccess> for Stopped {
    fn from(why: NoAccess) -> Self {
        match why {
            NoAccess::Missing(problem) => Self::Trouble(Trouble {
                kind: TroubleKind::CredentialsMissing,
                problem,
                not_before: None,
            }),
            NoAccess::Cloud(error) => error.into(),
            NoAccess::Api { what: _, source } => Self::Error(super::error::Error::Api {
                action: "read what the credentials name",
                source,
            }),
        }
    }
}

impl Pass<'_> {
    /// The status, empty when there is none yet.
    pub(super) fn status(&self) -> PromotionStatus {
        self.promotion.status.clone().unwrap_or_default()
    }

    /// Stores a status under the resourceVersion that was last read, so that a newer one is never overwritten.
    pub(super) async fn store_status(
        &mut self,
        action: &'static str,
        status: PromotionStatus,
    ) -> Result<()> {
        let promotions: Api<Promotion> =
            Api::namespaced(self.ctx.client.clone(), &self.observed.request.space);
        let mut wanted = self.promotion.clone();
        wanted.status = Some(status);
        let name = self.promotion.name_any();
        let parameters = PostParams::default();
        self.promotion = api(
            action,
            promotions.replace_status(&name, &parameters, &wanted),
        )
        .await?;
        self.ctx.remember(&self.promotion);
        Ok(())
    }

    /// The client for the registry of this route, with the credentials of the environment's policy.
    pub(super) async fn registry(&self, route: &Route) -> Result<Registry, Stopped> {
        let space = &self.observed.request.space;
        let Some(source) = self.source(route) else {
            return Err(Stopped::Trouble(Trouble {
                kind: TroubleKind::CredentialsMissing,
                problem: format!(
                    "the EnvironmentPolicy '{}' has no artifact '{}'",
                    route.to, route.artifact
                ),
                not_before: None,
            }));
        };
        let access = self
            .ctx
            .credentials
            .access(
                &self.ctx.client,
                space,
                Place::of(&source, &route.repository),
            )
            .await?;
        let registry = self.ctx.registries.open(&access)?;
        Ok(match &self.claim {
            Some((read_at, _)) => registry.writing_before(*read_at + write_window()),
            None => registry,
        })
    }

    /// The key that signs the records of this namespace.
    pub(super) async fn signing_key(&self) -> Result<Arc<SigningKey>, Stopped> {
        let key = self
            .ctx
            .keys
            .signing(&self.ctx.client, &self.observed.request.space);
        Ok(within("read the key of records", key).await??)
    }

    /// The keys that may have signed the records of this namespace.
    pub(super) async fn public_keys(&self) -> Result<KeyRing, Stopped> {
        let keys = self
            .ctx
            .keys
            .public(&self.ctx.client, &self.observed.request.space);
        Ok(within("read the public keys of records", keys).await??)
    }

    /// What Events are about.
    pub(super) fn reference(&self) -> ObjectReference {
        self.promotion.object_ref(&())
    }

    /// Notes an Event for when the status is stored.
    pub(super) fn note(&mut self, warning: bool, action: &str, reason: &str, text: String) {
        let (action, reason) = (action.to_owned(), reason.to_owned());
        self.notes.push(Note {
            warning,
            action,
            reason,
            text,
        });
    }

    /// Where the environment's policy says that the artifact lies, and how to log in there.
    pub(super) fn source(&self, route: &Route) -> Option<ArtifactSource> {
        let space = &self.observed.request.space;
        self.ctx
            .stores
            .policies
            .state()
            .iter()
            .filter_map(|guard| guard.0.as_ref().ok())
            .find(|policy| {
                policy.namespace().as_deref() == Some(space) && policy.name_any() == route.to
            })
            .and_then(|policy| {
                policy
                    .spec
                    .artifacts
                    .iter()
                    .find(|source| source.name == route.artifact)
                    .cloned()
            })
    }
}

/// What a registry's error means for a promotion.
pub(super) fn trouble(error: &RegistryError) -> Trouble {
    let kind = match error.kind() {
        ErrorKind::Denied => TroubleKind::RegistryDenied,
        ErrorKind::NoCredentials => TroubleKind::CredentialsMissing,
        ErrorKind::Untrusted => TroubleKind::RegistryUntrusted,
        _ => TroubleKind::RegistryUnavailable,
    };
    let asked = error
        .retry_after()
        .and_then(|wait| jiff::SignedDuration::try_from(wait).ok());
    Trouble {
        kind,
        problem: error.to_string(),
        not_before: asked.map(|wait| clock::now() + wait),
    }
}

/// How long a claim that was just read allows to write.
fn write_window() -> Duration {
    Duration::try_from(WRITE_WINDOW).unwrap_or_default()
}
