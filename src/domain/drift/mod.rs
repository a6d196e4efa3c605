//! Whether the tags in a registry still name what the ledger says. Pure: what was seen comes in.

mod judge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::artifact::{Digest, Tag};
use super::names::{Version, environment_tag, latest_tag};
use super::retention::{Retention, may_be_gone};
use crate::api::{Drift, LedgerArtifact, LedgerEntry};

pub use judge::{Judged, Look, News, Subject, judge, kept};

/// A tag and the digest that it must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTag {
    /// The tag.
    pub tag: Tag,
    /// Version that it stands for.
    pub version: String,
    /// What it must name.
    pub digest: Digest,
}

/// A record, or the summary beside it, that must lie beside a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRecord {
    /// Tag of its version.
    pub tag: Tag,
    /// Version that it is about.
    pub version: String,
    /// Digest that was promoted.
    pub subject: Digest,
    /// Digest of the referrer that holds it.
    pub record: Digest,
}

/// How a registry differs from the ledger. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A tag names another digest.
    TagMoved,
    /// A tag is not there.
    TagMissing,
    /// The manifest of a record is not there.
    RecordMissing,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How it differs.
    pub kind: Kind,
    /// The tag; of a record, that of its version.
    pub tag: Tag,
    /// Version that the tag stands for.
    pub version: String,
    /// What should be there.
    pub expected: Digest,
    /// What the tag names instead.
    pub found: Option<Digest>,
}

/// Every reason of the condition `TagsInSync` that is not a trouble with the registry.
pub const REASONS: [&str; 5] = [
    IN_SYNC,
    NOT_COMPARED,
    Kind::TagMoved.as_str(),
    Kind::TagMissing.as_str(),
    Kind::RecordMissing.as_str(),
];
/// All tags name what the ledger says.
const IN_SYNC: &str = "TagsInSync";
/// Nobody has looked yet.
pub const NOT_COMPARED: &str = "NotCompared";

impl Kind {
    /// The reason in conditions, Events and the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TagMoved => "TagMoved",
            Self::TagMissing => "TagMissing",
            Self::RecordMissing => "RecordMissing",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "TagMoved" => Self::TagMoved,
            "TagMissing" => Self::TagMissing,
            _ => Self::RecordMissing,
        }
    }
}

/// The tags of an artifact in one environment: `latest-<suffix>` first, then its versions, the newest first.
pub fn tags(ledger: &LedgerArtifact, suffix: &str) -> Vec<WantedTag> {
    let latest = ledger.current.as_ref().and_then(|current| {
        Some(WantedTag {
            tag: latest_tag(suffix)?,
            version: current.version.clone(),
            digest: current.digest.parse().ok()?,
        })
    });
    let mut wanted: Vec<WantedTag> = latest.into_iter().collect();
    for entry in entries(ledger) {
        let Some((tag, digest)) = tag_of(entry, suffix) else {
            continue;
        };
        if wanted.iter().all(|known| known.tag != tag) {
            wanted.push(WantedTag {
                tag,
                version: entry.version.clone(),
                digest,
            });
        }
    }
    wanted
}

/// The records of an artifact's promotions into one environment; without those of versions that may have been
/// cleaned up, since a registry may drop them with the manifest that they are about.
pub fn records(
    ledger: &LedgerArtifact,
    suffix: &str,
    retention: Option<&Retention>,
    now: Timestamp,
) -> Vec<WantedRecord> {
    let mut wanted: Vec<WantedRecord> = Vec::new();
    let kept = |entry: &&LedgerEntry| !may_be_gone(retention, ledger, &entry.version, now);
    for entry in entries(ledger).filter(kept) {
        let Some((tag, subject)) = tag_of(entry, suffix) else {
            continue;
        };
        let audit = entry.audit.as_ref();
        let referrers = audit.map(|audit| [Some(&audit.referrer), audit.summary.as_ref()]);
        for referrer in referrers.into_iter().flatten().flatten() {
            let Ok(record) = referrer.parse::<Digest>() else {
                continue;
            };
            if wanted.iter().all(|known| known.record != record) {
                wanted.push(WantedRecord {
                    tag: tag.clone(),
                    version: entry.version.clone(),
                    subject: subject.clone(),
                    record,
                });
            }
        }
    }
    wanted
}

/// What tells a difference from what is meant to be so.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Suffix of the environment's tags.
    pub suffix: &'a str,
    /// Which old versions may have been cleaned up.
    pub retention: Option<&'a Retention>,
    /// The repository gets what is promoted a while after the primary one, or from now on only.
    pub replica: bool,
}

/// Where tags differ from the ledger. A tag that was not looked at is no difference, nor is one that retention lets
/// go, nor one of a replica that may just not have got it yet: how far a replica is, the Promotion says.
pub fn differences(
    ledger: &LedgerArtifact,
    rules: Rules<'_>,
    seen: &BTreeMap<Tag, Option<Digest>>,
    now: Timestamp,
) -> Vec<Difference> {
    let latest = latest_tag(rules.suffix);
    let was_current = |found: &Digest| {
        let mut promoted = entries(ledger);
        promoted.any(|entry| entry.digest == found.as_str())
    };
    let difference = |wanted: WantedTag| {
        let found = seen.get(&wanted.tag)?.clone();
        let is_latest = latest.as_ref() == Some(&wanted.tag);
        let kind = match &found {
            Some(found) if *found == wanted.digest => return None,
            Some(found) if rules.replica && is_latest && was_current(found) => return None,
            Some(_) => Kind::TagMoved,
            None if rules.replica => return None,
            None if !is_latest && may_be_gone(rules.retention, ledger, &wanted.version, now) => {
                return None;
            }
            None => Kind::TagMissing,
        };
        Some(Difference {
            kind,
            tag: wanted.tag,
            version: wanted.version,
            expected: wanted.digest,
            found,
        })
    };
    let wanted = tags(ledger, rules.suffix).into_iter();
    wanted.filter_map(difference).collect()
}

/// What differs, where, and from what to what.
pub fn sentence(drift: &Drift) -> String {
    let Drift {
        tag,
        version,
        repository,
        expected,
        found,
        ..
    } = drift;
    let expected = short(expected);
    match (Kind::of(&drift.reason), found) {
        (Kind::TagMoved, found) => {
            let found = found.as_deref().map_or("another digest", short);
            format!("{tag} in {repository} names {found} instead of {expected} ({version})")
        }
        (Kind::TagMissing, _) => {
            format!("{tag} in {repository} is gone; it should name {expected} ({version})")
        }
        (Kind::RecordMissing, _) => {
            format!("the record {expected} of {version} is gone from {repository}")
        }
    }
}

/// What a person can do about these differences.
pub fn advice(drift: &[Drift], environment: &str, space: &str) -> String {
    if drift.iter().any(is_of_tag) {
        format!("run: floe platform repair {environment} -n {space}")
    } else {
        "bring it back from a backup of the registry: it cannot be made again".to_owned()
    }
}

/// Enough of a digest to recognise it; the status has the whole of it.
fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

fn is_of_tag(drift: &Drift) -> bool {
    Kind::of(&drift.reason) != Kind::RecordMissing
}

fn entries(ledger: &LedgerArtifact) -> impl Iterator<Item = &LedgerEntry> {
    ledger.current.iter().chain(&ledger.history)
}

/// The write-once tag of a completed promotion. It was written when no suffix made it ambiguous, so suffixes that
/// were added later do not matter.
fn tag_of(entry: &LedgerEntry, suffix: &str) -> Option<(Tag, Digest)> {
    let version: Version = entry.version.parse().ok()?;
    let tag = environment_tag(&version, suffix, &[]).ok()?;
    Some((tag, entry.digest.parse().ok()?))
}
