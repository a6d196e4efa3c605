//! A lost ledger, from what the registry holds: tags and records.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::artifact::{Digest, Tag};
use super::names::{Version, version_of_tag};
use super::record::Seen;
use crate::api::{LedgerArtifact, LedgerEntry};

/// Versions that are looked at, the highest first.
pub const VERSIONS_MAX: usize = 50;

/// One version of an environment, as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its version.
    pub version: Version,
    /// What `<version>-<suffix>` names.
    pub digest: Digest,
    /// Records on that digest, with the digests of their referrers.
    pub records: Vec<(Digest, Seen)>,
}

/// The versions of an environment among a repository's tags, the highest first.
pub fn versions(tags: &[Tag], suffix: &str, suffixes: &[String]) -> Vec<(Version, Tag)> {
    let mut versions: Vec<(Version, Tag)> = tags
        .iter()
        .filter_map(|tag| Some((version_of_tag(tag, suffix, suffixes)?, tag.clone())))
        .collect();
    versions.sort_by(|(one, _), (other, _)| {
        other
            .precedence(one)
            .then_with(|| one.as_str().cmp(other.as_str()))
    });
    versions.truncate(VERSIONS_MAX);
    versions
}

/// The ledger of one artifact. A version without a record was not promoted by floe and is left out;
/// the current one is what `latest-<suffix>` names.
pub fn ledger(
    artifact: &str,
    space: &str,
    environment: &str,
    found: &[Found],
    latest: Option<&Digest>,
) -> LedgerArtifact {
    let mut history: Vec<(Timestamp, LedgerEntry)> = found
        .iter()
        .filter_map(|version| entry(artifact, space, environment, version))
        .collect();
    history.sort_by(|(one, _), (other, _)| other.cmp(one));
    let history: Vec<LedgerEntry> = history.into_iter().map(|(_, entry)| entry).collect();
    let current = history
        .iter()
        .find(|entry| latest.is_some_and(|digest| digest.as_str() == entry.digest))
        .cloned();
    LedgerArtifact {
        name: artifact.to_owned(),
        current,
        history,
        in_flight: None,
    }
}

fn entry(
    artifact: &str,
    space: &str,
    environment: &str,
    found: &Found,
) -> Option<(Timestamp, LedgerEntry)> {
    let fits = |seen: &Seen| {
        seen.space == space
            && seen.target_environment == environment
            && seen.artifact.name == artifact
            && seen.artifact.version == found.version.as_str()
    };
    let (record, seen) = found
        .records
        .iter()
        .filter(|(_, seen)| fits(seen))
        .max_by_key(|(_, seen)| seen.decided_at)?;
    let entry = LedgerEntry {
        version: found.version.to_string(),
        digest: found.digest.to_string(),
        promoted_at: Time(seen.decided_at),
        by: seen.requested_by.clone(),
        promotion: Some(seen.name.clone()),
        uid: Some(seen.id.clone()),
        record: Some(record.to_string()),
    };
    Some((seen.decided_at, entry))
}
