//! The ledgers of a policy: read from the registry where there is none, and compared with it once after the start.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::context::Context;
use super::environments;
use super::error::{Result, within};
use super::pass::Stopped;
use crate::api::{ArtifactSource, EnvironmentPolicy, LedgerArtifact, RecordRef};
use crate::domain::artifact::{Digest, Repository};
use crate::domain::names::latest_tag;
use crate::domain::observed::Trouble;
use crate::domain::policy::Environment;
use crate::domain::rebuild::{Found, Sources, ledger, restored, versions};
use crate::domain::record::KeyRing;
use crate::effects::credentials::Place;
use crate::effects::records;
use crate::effects::registry::{Reference, Registry, RegistryError};

/// Which ledgers this process has compared with the registry: namespace, environment and artifact.
#[derive(Default)]
pub(super) struct Compared {
    known: Mutex<BTreeSet<(String, String, String)>>,
}

/// A ledger as it should be from now on.
pub(super) struct Examined {
    /// The head of the ledger that was looked at; a ledger that has moved on since is left alone.
    pub before: Option<RecordRef>,
    /// What it should be.
    pub ledger: LedgerArtifact,
}

/// What came of looking at all of them.
#[derive(Default)]
pub(super) struct Examination {
    /// Those that were looked at.
    pub examined: Vec<Examined>,
    /// What stopped it at one of them.
    pub trouble: Option<Trouble>,
}

impl Compared {
    /// Whether this one was.
    pub(super) fn has(&self, space: &str, environment: &str, artifact: &str) -> bool {
        let key = (
            space.to_owned(),
            environment.to_owned(),
            artifact.to_owned(),
        );
        self.locked().contains(&key)
    }

    /// Remembers one; says whether that is news.
    pub(super) fn add(&self, space: &str, environment: &str, artifact: &str) -> bool {
        let key = (
            space.to_owned(),
            environment.to_owned(),
            artifact.to_owned(),
        );
        self.locked().insert(key)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, String, String)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the ledgers that are missing, in doubt, or not compared yet.
pub(super) async fn examine(
    ctx: &Context,
    policy: &EnvironmentPolicy,
    environment: &Environment,
    space: &str,
) -> Result<Examination> {
    let mut examination = Examination::default();
    for source in &policy.spec.artifacts {
        let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
        let known = ledgers
            .filter(|ledger| environment.ledger.contains_key(&ledger.name))
            .find(|ledger| ledger.name == source.name);
        let compared = ctx.compared.has(space, &environment.name, &source.name);
        if known.is_some_and(|known| compared && known.unproven.is_none()) {
            continue;
        }
        let target = Target {
            ctx,
            environment,
            space,
            source,
        };
        match Stopped::as_value(target.examine(known).await)? {
            Ok(ledger) => {
                let name = &environment.name;
                let head = ledger.audit.as_ref().map(|audit| audit.sequence);
                tracing::info!(
                    policy = name,
                    artifact = source.name,
                    versions = ledger.history.len(),
                    head,
                    unproven = ledger.unproven,
                    "compared the ledger with the registry"
                );
                examination.examined.push(Examined {
                    before: known.and_then(|known| known.audit.clone()),
                    ledger,
                });
            }
            Err(trouble) => examination.trouble = Some(trouble),
        }
    }
    Ok(examination)
}

/// One artifact of an environment.
struct Target<'a> {
    ctx: &'a Context,
    environment: &'a Environment,
    space: &'a str,
    source: &'a ArtifactSource,
}

impl Target<'_> {
    async fn examine(
        &self,
        known: Option<&LedgerArtifact>,
    ) -> std::result::Result<LedgerArtifact, Stopped> {
        let Some(repository) = self.environment.artifacts.get(&self.source.name) else {
            return Ok(LedgerArtifact {
                name: self.source.name.clone(),
                ..LedgerArtifact::default()
            });
        };
        let (client, space) = (&self.ctx.client, self.space);
        let place = Place::of(self.source, repository);
        let access = self.ctx.credentials.access(client, space, place).await?;
        let keys = self.ctx.keys.public(client, space);
        let keys = within("read the public keys of records", keys).await??;
        let look = async {
            let registry = self.ctx.registries.open(&access)?;
            self.look(&registry, repository, &keys, known).await
        };
        Ok(look
            .await
            .inspect_err(|_| self.ctx.credentials.forget(space))?)
    }

    /// `latest-<suffix>` says in one request whether a ledger is up to date; only else everything is read.
    async fn look(
        &self,
        registry: &Registry,
        repository: &Repository,
        keys: &KeyRing,
        known: Option<&LedgerArtifact>,
    ) -> std::result::Result<LedgerArtifact, RegistryError> {
        let latest = match latest_tag(&self.environment.suffix) {
            Some(tag) => registry
                .head_manifest(repository, &Reference::from(&tag))
                .await?
                .map(|head| head.digest),
            None => None,
        };
        if let Some(known) = known.filter(|known| known.unproven.is_none()) {
            let current = known.current.as_ref().map(|entry| entry.digest.as_str());
            if latest.as_ref().map(Digest::as_str) == current {
                return Ok(known.clone());
            }
        }
        let found = self
            .found(registry, repository, keys, latest.as_ref())
            .await?;
        let sources = Sources {
            space: self.space,
            environment: &self.environment.name,
            artifact: &self.source.name,
            found: &found,
            latest: latest.as_ref(),
            accepted: self.source.accepted_record.as_deref(),
        };
        Ok(known.map_or_else(|| ledger(&sources), |known| restored(known, &sources)))
    }

    /// The versions of the environment with their records, and the one under `latest-<suffix>`.
    async fn found(
        &self,
        registry: &Registry,
        repository: &Repository,
        keys: &KeyRing,
        latest: Option<&Digest>,
    ) -> std::result::Result<Vec<Found>, RegistryError> {
        let tags = registry.list_tags(repository).await?;
        let suffixes = environments::cached(&self.ctx.stores.policies, self.space).suffixes();
        let mut found: Vec<Found> = Vec::new();
        for (version, tag) in versions(&tags, &self.environment.suffix, &suffixes) {
            let reference = Reference::from(&tag);
            let Some(head) = registry.head_manifest(repository, &reference).await? else {
                continue;
            };
            let records = records::find(registry, repository, &head.digest, keys).await?;
            found.push(Found {
                version,
                digest: head.digest,
                records,
            });
        }
        let named = latest.filter(|latest| found.iter().all(|known| known.digest != **latest));
        if let Some(digest) = named {
            let records = records::find(registry, repository, digest, keys).await?;
            let version = records
                .iter()
                .find_map(|one| one.seen.artifact.version.parse().ok());
            found.extend(version.map(|version| Found {
                version,
                digest: digest.clone(),
                records,
            }));
        }
        Ok(found)
    }
}
