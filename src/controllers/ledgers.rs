//! The ledgers of a policy: read from the registry where there is none, and compared with it once after the start.

use std::collections::BTreeSet;
use std::sync::Mutex;

use kube::ResourceExt as _;

use super::context::Context;
use super::environments;
use super::error::Result;
use super::pass::Stopped;
use crate::api::{ArtifactSource, EnvironmentPolicy, LedgerArtifact, RecordRef};
use crate::domain::artifact::{Digest, Repository};
use crate::domain::audit_log::ChainName;
use crate::domain::names::latest_tag;
use crate::domain::observed::Trouble;
use crate::domain::policy::Environment;
use crate::domain::rebuild::{Found, Sources, ledger, restored, unlike_the_log, versions};
use crate::domain::record::KeyRing;
use crate::effects::lock::lock;
use crate::effects::registry::{Reference, Registry, RegistryError};
use crate::effects::{clock, records};

/// Which ledgers this process has compared with the registry: namespace, environment and artifact.
#[derive(Default)]
pub(super) struct Compared {
    known: Mutex<BTreeSet<[String; 3]>>,
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
        lock(&self.known).contains(&[space, environment, artifact].map(str::to_owned))
    }

    /// Remembers one; says whether that is news.
    pub(super) fn add(&self, space: &str, environment: &str, artifact: &str) -> bool {
        lock(&self.known).insert([space, environment, artifact].map(str::to_owned))
    }
}

/// Whether this process has compared all ledgers of a policy.
pub(super) fn are_compared(compared: &Compared, policy: &EnvironmentPolicy) -> bool {
    let (space, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
    let mut sources = policy.spec.artifacts.iter();
    sources.all(|source| compared.has(&space, &name, &source.name))
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
        let mut ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
        let known = ledgers.find(|ledger| ledger.name == source.name);
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
        let (ctx, space) = (self.ctx, self.space);
        let look = async {
            // What the log knows is not known before it is open; until then nothing is promoted anyway.
            ctx.audit_log.open(clock::now()).await?;
            let registry = ctx.registry(space, self.source, repository).await?;
            let keys = ctx.public_keys(space).await?;
            Ok(self.look(&registry, repository, &keys, known).await?)
        };
        look.await
            .inspect_err(|_: &Stopped| ctx.credentials.forget(space))
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
        let logged = self.ctx.audit_log.newest(&ChainName {
            space: self.space.to_owned(),
            environment: self.environment.name.clone(),
            artifact: self.source.name.clone(),
            repository: repository.to_string(),
        });
        if let Some(known) = known.filter(|known| known.unproven.is_none())
            && unlike_the_log(known, logged.as_ref()).is_none()
        {
            let current = known.current.as_ref().map(|entry| entry.digest.as_str());
            if latest.as_ref().map(Digest::as_str) == current {
                return Ok(known.clone());
            }
        }
        let place = (registry, repository);
        let found = self.found(place, keys, latest.as_ref(), known).await?;
        let sources = Sources {
            space: self.space,
            environment: &self.environment.name,
            artifact: &self.source.name,
            found: &found,
            latest: latest.as_ref(),
            accepted: self.source.accepted_record.as_deref(),
            logged: logged.as_ref(),
        };
        Ok(known.map_or_else(|| ledger(&sources), |known| restored(known, &sources)))
    }

    /// The versions of the environment with their records, and the one under `latest-<suffix>`.
    async fn found(
        &self,
        (registry, repository): (&Registry, &Repository),
        keys: &KeyRing,
        latest: Option<&Digest>,
        known: Option<&LedgerArtifact>,
    ) -> std::result::Result<Vec<Found>, RegistryError> {
        // What a revoked key has signed counts when the ledger names it.
        let entries = known.map(|known| known.history.iter().chain(&known.current));
        let vouched: BTreeSet<Digest> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.audit.as_ref()?.record.parse().ok())
            .collect();
        let tags = registry.list_tags(repository).await?;
        let suffixes = environments::cached(&self.ctx.stores.policies, self.space).suffixes();
        let mut found: Vec<Found> = Vec::new();
        for (version, tag) in versions(&tags, &self.environment.suffix, &suffixes) {
            let reference = Reference::from(&tag);
            let Some(head) = registry.head_manifest(repository, &reference).await? else {
                continue;
            };
            let records =
                records::find_vouched(registry, repository, &head.digest, keys, &vouched).await?;
            found.push(Found {
                version,
                digest: head.digest,
                records,
            });
        }
        let named = latest.filter(|latest| found.iter().all(|known| known.digest != **latest));
        if let Some(digest) = named {
            let records =
                records::find_vouched(registry, repository, digest, keys, &vouched).await?;
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
