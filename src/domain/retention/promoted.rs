//! The versions of an environment in the order in which they were promoted.

use jiff::Timestamp;

use crate::api;
use crate::domain::artifact::Digest;
use crate::domain::names::Version;

/// One version, and when it was promoted last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promoted {
    pub(super) version: Version,
    pub(super) digest: Digest,
    pub(super) at: Timestamp,
}

/// The versions that a ledger knows, the newest first, each once.
pub(super) fn promoted(ledger: &api::LedgerArtifact) -> Vec<Promoted> {
    let entries = ledger.current.iter().chain(&ledger.history);
    newest_first(entries.filter_map(Promoted::of).collect())
}

/// Sorted, and of each version only the last promotion.
pub(super) fn newest_first(mut all: Vec<Promoted>) -> Vec<Promoted> {
    all.sort_by(|one, other| {
        other
            .at
            .cmp(&one.at)
            .then_with(|| other.version.precedence(&one.version))
            .then_with(|| other.version.as_str().cmp(one.version.as_str()))
            .then_with(|| other.digest.cmp(&one.digest))
    });
    let mut newest: Vec<Promoted> = Vec::new();
    for promoted in all {
        if newest.iter().all(|known| known.version != promoted.version) {
            newest.push(promoted);
        }
    }
    newest
}

impl Promoted {
    fn of(entry: &api::LedgerEntry) -> Option<Self> {
        Some(Self {
            version: entry.version.parse().ok()?,
            digest: entry.digest.parse().ok()?,
            at: entry.promoted_at.0,
        })
    }
}
