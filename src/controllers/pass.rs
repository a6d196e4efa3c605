//! One pass over one promotion: the object as it was last written, and what is known about it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PostParams;
use kube::{Api, Resource as _, ResourceExt as _};
use tokio::time::Instant;

use super::context::Context;
use super::copies::Progress;
use super::error::{Error, Result, api, within};
use crate::api::{ArtifactSource, EnvironmentPolicy, Promotion, PromotionStatus};
use crate::domain::artifact::{Digest, Repository};
use crate::domain::decision::TroubleKind;
use crate::domain::observed::{Observed, Trouble};
use crate::domain::plan::{Plan, Route};
use crate::domain::policy::SignatureRule;
use crate::domain::record::{KeyRing, SigningKey};
use crate::effects::clock;
use crate::effects::credentials::NoAccess;
use crate::effects::events::Note;
use crate::effects::keys::NoKey;
use crate::effects::ledger::WRITE_WINDOW;
use crate::effects::registry::{ErrorKind, Registry, RegistryError};
use crate::effects::replication::Site;
use crate::effects::signatures::Trust;

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
    /// How much longer this pass may wait for copies that run beside it.
    pub patience: Duration,
}

/// How long a pass waits for copies in all: a small one is done by then, and saves a status in between.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

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
            NoAccess::Api { what: _, source } => Self::Error(Error::Api {
                action: "read what the policy names",
                source,
            }),
        }
    }
}

impl Stopped {
    /// What came of something for which trouble is an answer too: only a failure of the API server stops it.
    pub(super) fn as_value<T>(done: Result<T, Self>) -> Result<Result<T, Trouble>> {
        match done {
            Ok(value) => Ok(Ok(value)),
            Err(Self::Trouble(trouble)) => Ok(Err(trouble)),
            Err(Self::Error(error)) => Err(error),
        }
    }
}

impl Pass<'_> {
    /// The status, empty when there is none yet.
    pub(super) fn status(&self) -> PromotionStatus {
        self.promotion.status.clone().unwrap_or_default()
    }

    /// The plan, for actions that come after it was pinned.
    pub(super) fn plan(&self) -> Result<Plan, Stopped> {
        let plan = self.observed.plan.clone();
        plan.ok_or_else(|| Error::Restless(0).into())
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

    /// The client for the registry in which the tags are written, with the credentials of the environment's
    /// policy.
    pub(super) async fn registry(&self, route: &Route) -> Result<Registry, Stopped> {
        let source = self.entry(&route.to, &route.artifact);
        let source = found(source, &route.to, &route.artifact)?;
        let registry = self.open(&source, &route.repository).await?;
        Ok(match &self.claim {
            Some((read_at, _)) => registry.writing_before(*read_at + write_window()),
            None => registry,
        })
    }

    /// The client for the registry from which the artifact comes.
    pub(super) async fn source_registry(&self, route: &Route) -> Result<Registry, Stopped> {
        let (environment, artifact) = (source_environment(route), &route.artifact);
        let source = found(self.source(route), environment, artifact)?;
        self.open(&source, route.source()).await
    }

    /// A replica, and the client that has access to it.
    pub(super) async fn replica(&self, route: &Route, name: &str) -> Result<Site, Stopped> {
        let listed = self
            .observed
            .replicas_planned()
            .into_iter()
            .find(|replica| replica.name == name)
            .map(|replica| replica.repository.clone());
        let source = self.entry(&route.to, &route.artifact).and_then(|artifact| {
            let mut replicas = artifact.replicas.iter();
            let replica = replicas.find(|replica| replica.name == name)?;
            Some(replica.as_source(&route.artifact))
        });
        let Some((repository, source)) = listed.zip(source) else {
            return Err(Stopped::Trouble(Trouble {
                kind: TroubleKind::CredentialsMissing,
                problem: format!(
                    "the EnvironmentPolicy '{}' has no replica '{name}' of artifact '{}'",
                    route.to, route.artifact
                ),
                not_before: None,
            }));
        };
        Ok(Site {
            registry: self.open(&source, &repository).await?,
            repository,
        })
    }

    async fn open(
        &self,
        source: &ArtifactSource,
        repository: &Repository,
    ) -> Result<Registry, Stopped> {
        let space = &self.observed.request.space;
        self.ctx.registry(space, source, repository).await
    }

    /// How far a copy is that runs beside this pass, when there is one; waits for it as long as the pass may.
    pub(super) async fn look_at_copy(&mut self, what: &str) -> Option<Progress> {
        let began = clock::instant();
        let uid = &self.observed.request.uid;
        let progress = self.ctx.copies.look(uid, what, self.patience).await;
        self.patience = self.patience.saturating_sub(began.elapsed());
        progress
    }

    /// The key that signs the records of this namespace.
    pub(super) async fn signing_key(&self) -> Result<Arc<SigningKey>, Stopped> {
        self.ctx.signing_key(&self.observed.request.space).await
    }

    /// The keys that may have signed the records of this namespace.
    pub(super) async fn public_keys(&self) -> Result<KeyRing, Stopped> {
        self.ctx.public_keys(&self.observed.request.space).await
    }

    /// The records that the ledger of an environment names for this digest.
    pub(super) fn in_ledger(
        &self,
        environment: &str,
        artifact: &str,
        digest: &Digest,
    ) -> BTreeSet<Digest> {
        let environment = self.observed.environments.get(environment);
        let ledger = environment.and_then(|environment| environment.ledger.get(artifact));
        ledger
            .iter()
            .flat_map(|ledger| ledger.current.iter().chain(&ledger.history))
            .filter(|entry| entry.digest == *digest)
            .filter_map(|entry| Some(entry.audit.as_ref()?.record.clone()))
            .collect()
    }

    /// What signatures are checked with under this rule.
    pub(super) async fn trust(&self, rule: &SignatureRule) -> Result<Trust, Stopped> {
        let space = &self.observed.request.space;
        let trust = self.ctx.credentials.trust(&self.ctx.client, space, rule);
        Ok(within("read what signatures are checked with", trust).await??)
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

    /// Where the artifact comes from, and how to log in there: what gates fetch.
    pub(super) fn source(&self, route: &Route) -> Option<ArtifactSource> {
        self.entry(source_environment(route), &route.artifact)
    }

    /// What the policy of an environment says of an artifact.
    fn entry(&self, environment: &str, artifact: &str) -> Option<ArtifactSource> {
        let space = &self.observed.request.space;
        self.ctx
            .stores
            .policies
            .state()
            .iter()
            .filter_map(|guard| guard.0.as_ref().ok())
            .find(|policy| {
                policy.namespace().as_deref() == Some(space) && policy.name_any() == environment
            })
            .and_then(|policy| {
                let mut artifacts = policy.spec.artifacts.iter();
                artifacts.find(|source| source.name == artifact).cloned()
            })
    }
}

/// The environment whose policy says how the source is reached.
fn source_environment(route: &Route) -> &str {
    match (&route.source_repository, &route.from) {
        (Some(_), Some(from)) => from,
        (Some(_) | None, _) => &route.to,
    }
}

fn found(
    source: Option<ArtifactSource>,
    environment: &str,
    artifact: &str,
) -> Result<ArtifactSource, Stopped> {
    source.ok_or_else(|| {
        Stopped::Trouble(Trouble {
            kind: TroubleKind::CredentialsMissing,
            problem: format!("the EnvironmentPolicy '{environment}' has no artifact '{artifact}'"),
            not_before: None,
        })
    })
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
