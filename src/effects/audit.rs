//! Reads a chain of records from a registry: record by record, by digest, and what lies beside it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};

use super::records::only_bundle;
use super::registry::{ErrorKind, Limits, Problem, Reference, Registry, RegistryError};
use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::audit::{Beside, Chain, Ledger, Link, Logs, Signed, Stored, Trail, Verdict};
use crate::domain::names::{latest_tag, version_of_tag};
use crate::domain::record::{KeyRing, Recorded};

/// Requests that are under way at the same time.
const SIDE_BY_SIDE: usize = 8;

/// Where a chain is read, and with what.
pub struct Source<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// Whose signatures count.
    pub keys: &'a KeyRing,
    /// Suffix of the environment's tags.
    pub suffix: &'a str,
    /// Suffixes of all environments of the namespace, as far as they are known.
    pub suffixes: &'a [String],
}

/// What the chain is compared with, besides the registry itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Others<'a> {
    /// The ledger.
    pub ledger: Option<&'a Ledger>,
    /// The operators' audit logs.
    pub logs: Option<&'a Logs>,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The records of the chain, by digest.
    Chain,
    /// Besides, all that lies beside the digests that the environment's tags name.
    Everything,
}

/// What came out.
pub struct Verified {
    /// What is good and what is not.
    pub verdict: Verdict,
    /// Why not everything could be read: then the rest is unknown.
    pub unknown: Vec<RegistryError>,
}

/// What was found beside one digest.
struct Found {
    beside: Beside,
    /// Records that nothing has led to yet, and the manifests that hold them.
    records: Vec<(Box<Signed>, Digest)>,
}

/// The limits for somebody who reads a whole history: more than a promotion would put up with.
pub fn limits() -> Limits {
    Limits {
        referrers: 10_000,
        pages: 1_000,
        ..Limits::default()
    }
}

/// Reads the chain from its newest record to its first, and tells of each good one. The newest is the one that the
/// ledger names, or the newest that lies beside the digests of the environment's tags.
pub async fn verify(
    source: &Source<'_>,
    chain: &Chain,
    beside: &Others<'_>,
    depth: Depth,
    each: &mut impl FnMut(&Signed, &Recorded),
) -> Verified {
    let Others { ledger, logs } = *beside;
    let mut trail = Trail::new(chain.clone());
    let reader = Reader {
        source,
        repository: &chain.repository,
    };
    let mut unknown = Vec::new();
    if let Err(error) = reader
        .look(&mut trail, ledger, depth, &mut unknown, each)
        .await
    {
        unknown.push(error);
    }
    if !unknown.is_empty() {
        let verdict = trail.verdict_so_far();
        return Verified { verdict, unknown };
    }
    if let Some(ledger) = ledger {
        trail.compare_ledger(ledger);
    }
    if let Some(logs) = logs {
        trail.compare_logs(logs);
    }
    Verified {
        verdict: trail.verdict(),
        unknown,
    }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    repository: &'a Repository,
}

impl Reader<'_> {
    async fn look(
        &self,
        trail: &mut Trail,
        ledger: Option<&Ledger>,
        depth: Depth,
        unknown: &mut Vec<RegistryError>,
        each: &mut impl FnMut(&Signed, &Recorded),
    ) -> Result<(), RegistryError> {
        match ledger.filter(|ledger| ledger.head.is_some()) {
            Some(ledger) => trail.start(ledger),
            None => self.newest(trail).await?,
        }
        self.walk(trail, each).await?;
        if depth == Depth::Chain {
            return Ok(());
        }
        let tags = self.tags(trail).await?;
        let mut digests: BTreeSet<Digest> = tags.values().cloned().collect();
        digests.extend(trail.subjects());
        let mut beside = self.survey(trail, &digests, unknown).await?;
        self.walk(trail, each).await?;
        // What was reached only now has its own surroundings.
        let rest: BTreeSet<Digest> = trail.subjects().difference(&digests).cloned().collect();
        beside.extend(self.survey(trail, &rest, unknown).await?);
        self.walk(trail, each).await?;
        trail.compare_registry(&tags, &beside);
        Ok(())
    }

    /// Begins with the newest record beside what `latest-<suffix>` names.
    async fn newest(&self, trail: &mut Trail) -> Result<(), RegistryError> {
        let Some(tag) = latest_tag(self.source.suffix) else {
            return Ok(());
        };
        let registry = self.source.registry;
        let Some(digest) = registry.named_by(self.repository, &tag).await? else {
            return Ok(());
        };
        let found = self.beside(trail, &digest).await?;
        for (signed, referrer) in &found.records {
            trail.found(signed, referrer);
        }
        Ok(())
    }

    /// To the end of the chain, and on from all records that were found besides.
    async fn walk(
        &self,
        trail: &mut Trail,
        each: &mut impl FnMut(&Signed, &Recorded),
    ) -> Result<(), RegistryError> {
        while trail.next().is_some() || trail.resume() {
            let Some(link) = trail.next().cloned() else {
                break;
            };
            let stored = self.record(&link).await?;
            if let Some(good) = trail.step(&stored) {
                each(good, &link.recorded);
            }
        }
        Ok(())
    }

    /// What the tags of the environment name, and those that records name.
    async fn tags(&self, trail: &Trail) -> Result<BTreeMap<Tag, Digest>, RegistryError> {
        let Source {
            registry,
            suffix,
            suffixes,
            ..
        } = self.source;
        let latest = latest_tag(suffix);
        let written = trail.tags();
        let mut tags = registry.list_tags(self.repository).await?;
        tags.retain(|tag| {
            Some(tag) == latest.as_ref()
                || written.contains(tag.as_str())
                || version_of_tag(tag, suffix, suffixes).is_some()
        });
        let heads = tags.into_iter().map(|tag| async move {
            let digest = registry.named_by(self.repository, &tag).await?;
            Ok::<_, RegistryError>(digest.map(|digest| (tag, digest)))
        });
        futures::stream::iter(heads)
            .buffer_unordered(SIDE_BY_SIDE)
            .try_filter_map(|named| async { Ok(named) })
            .try_collect()
            .await
    }

    /// What lies beside these digests. A list that cannot be read to its end is noted, and the others are read.
    async fn survey(
        &self,
        trail: &mut Trail,
        digests: &BTreeSet<Digest>,
        unknown: &mut Vec<RegistryError>,
    ) -> Result<BTreeMap<Digest, Beside>, RegistryError> {
        let mut surveyed = BTreeMap::new();
        let mut records = Vec::new();
        {
            let known = &*trail;
            let looks = digests.iter().map(|digest| async move {
                let found = self.beside(known, digest).await;
                (digest.clone(), found)
            });
            let mut looks = futures::stream::iter(looks).buffer_unordered(SIDE_BY_SIDE);
            while let Some((digest, found)) = looks.next().await {
                match found {
                    Ok(found) => {
                        records.extend(found.records);
                        surveyed.insert(digest, found.beside);
                    }
                    Err(error)
                        if matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::Unreadable) =>
                    {
                        unknown.push(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        for (signed, referrer) in &records {
            trail.found(signed, referrer);
        }
        Ok(surveyed)
    }

    /// What is signed with a key of the namespace beside this digest. What was read already is not read again.
    async fn beside(&self, trail: &Trail, subject: &Digest) -> Result<Found, RegistryError> {
        let mut found = Found {
            beside: Beside::default(),
            records: Vec::new(),
        };
        let entries = self
            .source
            .registry
            .referrers(self.repository, subject)
            .await?;
        for entry in entries {
            if let Some(record) = trail.read(&entry.digest) {
                found.beside.records.insert(record.clone());
                continue;
            }
            let Stored::Signed(signed) = self.stored(&entry.digest).await? else {
                continue;
            };
            if let Some(summary) = signed.summary() {
                found
                    .beside
                    .summaries
                    .insert(signed.identity.clone(), summary.clone());
            }
            if signed
                .promotion()
                .is_some_and(|content| content.is_of(trail.chain()))
            {
                found.beside.records.insert(signed.identity.clone());
                found.records.push((signed, entry.digest));
            }
        }
        Ok(found)
    }

    /// What lies where a record should be; when that is not the record, another copy of it beside the digest that
    /// it is about.
    async fn record(&self, link: &Link) -> Result<Stored, RegistryError> {
        let stored = self.stored(&link.recorded.referrer).await?;
        let Some(subject) = link.subject.as_ref().filter(|_| !link.is(&stored)) else {
            return Ok(stored);
        };
        let entries = self
            .source
            .registry
            .referrers(self.repository, subject)
            .await?;
        for entry in entries {
            let copy = self.stored(&entry.digest).await?;
            if link.is(&copy) {
                return Ok(copy);
            }
        }
        Ok(stored)
    }

    /// What this manifest holds.
    async fn stored(&self, referrer: &Digest) -> Result<Stored, RegistryError> {
        let Source { registry, keys, .. } = self.source;
        let reference = Reference::from(referrer);
        let manifest = match registry.get_manifest(self.repository, &reference).await {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(Stored::Absent),
            Err(error) => return damaged(error),
        };
        let Some(layer) = only_bundle(&manifest) else {
            return Ok(Stored::Foreign);
        };
        match registry.get_blob(self.repository, &layer).await {
            Ok(bundle) => Ok(Stored::of(&bundle, keys)),
            Err(error) => damaged(error),
        }
    }
}

/// What an error says about what is stored; any other error says nothing about it.
fn damaged(error: RegistryError) -> Result<Stored, RegistryError> {
    match error.problem() {
        Problem::OtherBytes { why } => Ok(Stored::Damaged(why.clone())),
        Problem::Refused {
            status: 404, code, ..
        } if code == "BLOB_UNKNOWN" => Ok(Stored::Absent),
        Problem::Unsupported { .. } => Ok(Stored::Foreign),
        _ => Err(error),
    }
}
