//! A lost ledger, from what the registry holds: tags and records.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::artifact::{Digest, Tag};
use super::audit_log::Promoted;
use super::names::{Version, version_of_tag};
use super::record::{FoundRecord, Recorded, Seen, SeenGate};
use crate::api::{Baseline, LedgerArtifact, LedgerEntry};

/// Versions that are looked at, the highest first.
pub const VERSIONS_MAX: usize = 50;

/// One version of an environment, as the registry shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its version.
    pub version: Version,
    /// What `<version>-<suffix>` names.
    pub digest: Digest,
    /// Records on that digest.
    pub records: Vec<FoundRecord>,
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

/// Everything that the registry shows of one artifact in one environment.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Namespace.
    pub space: &'a str,
    /// Environment.
    pub environment: &'a str,
    /// Artifact.
    pub artifact: &'a str,
    /// Its versions, and what `latest-<suffix>` names.
    pub found: &'a [Found],
    /// What `latest-<suffix>` names.
    pub latest: Option<&'a Digest>,
    /// The record that somebody says is the newest.
    pub accepted: Option<&'a str>,
    /// The newest promotion that this operator's audit log knows of, with its record.
    pub logged: Option<&'a Promoted>,
}

/// The ledger of one artifact. A version without a record was not promoted by floe and is left out;
/// the current one is what `latest-<suffix>` names. The head of the chain is the record with the highest number:
/// when it is not certain that there is no other, the ledger says why.
pub fn ledger(sources: &Sources<'_>) -> LedgerArtifact {
    let mut history: Vec<(i64, (LedgerEntry, Vec<SeenGate>))> = sources
        .found
        .iter()
        .filter_map(|version| entry(sources, version))
        .collect();
    history.sort_by(|(one, _), (other, _)| other.cmp(one));
    let baselines = baselines(&history);
    let mut history: Vec<LedgerEntry> = history.into_iter().map(|(_, (entry, _))| entry).collect();
    history.truncate(VERSIONS_MAX);
    let latest = sources.latest.map(Digest::as_str);
    let current = history.iter().find(|entry| latest == Some(&entry.digest));
    let chain = sources.chain();
    let ledger = LedgerArtifact {
        name: sources.artifact.to_owned(),
        current: current.cloned(),
        history,
        audit: chain.first().map(|head| head.recorded.to_api()),
        unproven: sources.doubt(&chain),
        baselines,
        in_flight: None,
        drift: Vec::new(),
    };
    sources.beside_the_log(ledger)
}

/// A ledger that was there before, and what the registry shows now: which of the two counts.
///
/// A registry that is behind the ledger has lost something, which is what the comparison of tags is for. A ledger
/// that is behind was restored from an older copy: what is missing in it is taken from the registry when the
/// records lead back to what it has.
pub fn restored(known: &LedgerArtifact, sources: &Sources<'_>) -> LedgerArtifact {
    let (shown, chain) = (ledger(sources), sources.chain());
    let number = |ledger: &LedgerArtifact| ledger.audit.as_ref().map_or(0, |audit| audit.sequence);
    let (known_number, shown_number) = (number(known), number(&shown));
    let (had, has) = (known.audit.as_ref(), shown.audit.as_ref());
    let problem = if has.is_some_and(|has| sources.accepted == Some(&has.record)) {
        None
    } else if let (Some(had), Some(has)) = (had, has)
        && known_number == shown_number
        && had.record != has.record
    {
        Some(format!(
            "the ledger knows record {known_number} as {}, and the registry has {} under that number",
            had.record, has.record
        ))
    } else if shown_number <= known_number {
        return sources.beside_the_log(LedgerArtifact {
            unproven: None,
            ..known.clone()
        });
    } else if shown.unproven.is_some() {
        shown.unproven.clone()
    } else {
        let newer = chain
            .iter()
            .filter(|one| one.recorded.sequence > known_number);
        let all = i64::try_from(newer.count()) == Ok(shown_number - known_number);
        (!all).then(|| {
            format!(
                "the ledger ends with record {known_number} and the registry with record {shown_number}, and not \
                 all records between them can be found"
            )
        })
    };
    match problem {
        Some(problem) => LedgerArtifact {
            unproven: Some(problem),
            ..known.clone()
        },
        None => LedgerArtifact {
            baselines: if shown.baselines.is_empty() {
                known.baselines.clone()
            } else {
                shown.baselines
            },
            in_flight: known.in_flight.clone(),
            drift: known.drift.clone(),
            ..shown
        },
    }
}

/// Why a ledger cannot be the newest one, going by the audit log: what a log tells has been in both, the ledger and
/// the registry. A log may be older than the two (each operator has its own), never newer.
pub fn unlike_the_log(ledger: &LedgerArtifact, logged: Option<&Promoted>) -> Option<String> {
    let logged = &logged?.recorded;
    let (number, record) = (logged.sequence, &logged.record);
    match &ledger.audit {
        Some(head) if head.sequence > number => None,
        Some(head) if head.sequence == number && head.record == record.as_str() => None,
        Some(head) if head.sequence == number => Some(format!(
            "the audit log knows record {number} as {record}, and ledger and registry have {} under that number",
            head.record
        )),
        Some(head) => Some(format!(
            "the audit log ends with record {number}, {record}, and ledger and registry with record {}",
            head.sequence
        )),
        None => Some(format!(
            "the audit log ends with record {number}, {record}, and neither ledger nor registry have any"
        )),
    }
}

impl Sources<'_> {
    /// The ledger, in doubt when the audit log knows better. What somebody has accepted counts in spite of the log:
    /// also the record that only the log still knows, behind which the chain then goes on.
    fn beside_the_log(&self, ledger: LedgerArtifact) -> LedgerArtifact {
        let Some(problem) = unlike_the_log(&ledger, self.logged) else {
            return ledger;
        };
        let head = ledger.audit.as_ref().map(|head| head.record.as_str());
        if self.accepted.is_some() && self.accepted == head {
            return ledger;
        }
        if let Some(logged) = self.logged
            && self.accepted == Some(logged.recorded.record.as_str())
        {
            let older = ledger.history.into_iter();
            let older = older.filter(|entry| entry.version != logged.version);
            return LedgerArtifact {
                history: std::iter::once(entry_of_log(logged))
                    .chain(older)
                    .take(VERSIONS_MAX)
                    .collect(),
                audit: Some(logged.recorded.to_api()),
                unproven: None,
                ..ledger
            };
        }
        LedgerArtifact {
            unproven: ledger.unproven.or(Some(problem)),
            ..ledger
        }
    }

    /// The records of this artifact in this environment, the newest first, each once however often it was wrapped.
    /// Of two with the same number the accepted one comes first.
    pub fn chain(&self) -> Vec<&FoundRecord> {
        let mut chain: Vec<&FoundRecord> = self
            .found
            .iter()
            .flat_map(|version| &version.records)
            .filter(|found| self.concerns(&found.seen))
            .collect();
        let accepted = |found: &FoundRecord| self.accepted == Some(found.recorded.record.as_str());
        chain.sort_by_key(|found| {
            let number = std::cmp::Reverse(found.recorded.sequence);
            (number, !accepted(found), found.recorded.record.clone())
        });
        chain.dedup_by(|one, other| one.recorded.record == other.recorded.record);
        chain
    }

    fn concerns(&self, seen: &Seen) -> bool {
        seen.space == self.space
            && seen.target_environment == self.environment
            && seen.artifact.name == self.artifact
    }

    /// Why the first of these records may not be the newest one.
    fn doubt(&self, chain: &[&FoundRecord]) -> Option<String> {
        let head = chain.first()?;
        if self.accepted == Some(head.recorded.record.as_str()) {
            return None;
        }
        for (newer, older) in chain.iter().zip(chain.iter().skip(1)) {
            let (number, before) = (newer.recorded.sequence, older.recorded.sequence);
            if number == before {
                return Some(format!(
                    "there are two records with number {number}: {} and {}",
                    newer.recorded.record, older.recorded.record
                ));
            }
            if number == before + 1 && names(newer) != Some(older.recorded.record.as_str()) {
                return Some(format!(
                    "record {number} does not name record {before}, {}, as the one before it",
                    older.recorded.record
                ));
            }
        }
        let on_latest = self
            .latest
            .and_then(|latest| chain.iter().find(|one| one.seen.artifact.digest == *latest));
        // A promotion that was interrupted between its record and latest is one ahead of latest.
        let explained = on_latest.map_or(head.recorded.sequence == 1, |newest| {
            newest.recorded.record == head.recorded.record
                || names(head) == Some(newest.recorded.record.as_str())
        });
        (!explained).then(|| {
            format!(
                "the newest record is number {} of {}, and 'latest' names {}",
                head.recorded.sequence,
                head.seen.artifact.version,
                on_latest.map_or_else(
                    || "something without a record".to_owned(),
                    |newest| format!(
                        "{}, whose record is number {}",
                        newest.seen.artifact.version, newest.recorded.sequence
                    )
                )
            )
        })
    }
}

/// The record that this one names as the one before it.
fn names(found: &FoundRecord) -> Option<&str> {
    let before = found.seen.previous.as_ref()?;
    Some(before.record.as_str())
}

/// For each gate what it measured last.
fn baselines(newest_first: &[(i64, (LedgerEntry, Vec<SeenGate>))]) -> Vec<Baseline> {
    let mut known: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (_, (_, gates)) in newest_first {
        for gate in gates.iter().filter(|gate| !gate.values.is_empty()) {
            known
                .entry(gate.name.clone())
                .or_insert_with(|| gate.values.clone());
        }
    }
    known
        .into_iter()
        .map(|(gate, values)| Baseline { gate, values })
        .collect()
}

fn entry(sources: &Sources<'_>, found: &Found) -> Option<(i64, (LedgerEntry, Vec<SeenGate>))> {
    let fits =
        |seen: &Seen| sources.concerns(seen) && seen.artifact.version == found.version.as_str();
    let FoundRecord { recorded, seen } = found
        .records
        .iter()
        .filter(|found| fits(&found.seen))
        .max_by_key(|found| found.seen.sequence)?;
    let entry = entry_of(recorded, seen);
    Some((seen.sequence, (entry, seen.gates.clone())))
}

/// What the ledger says of a promotion, by its record.
pub fn entry_of(recorded: &Recorded, seen: &Seen) -> LedgerEntry {
    LedgerEntry {
        version: seen.artifact.version.clone(),
        digest: seen.artifact.digest.to_string(),
        promoted_at: Time(seen.decided_at),
        by: seen.requested_by.clone(),
        promotion: Some(seen.name.clone()),
        uid: Some(seen.id.clone()),
        audit: Some(recorded.to_api()),
    }
}

fn entry_of_log(logged: &Promoted) -> LedgerEntry {
    LedgerEntry {
        version: logged.version.clone(),
        digest: logged.digest.clone(),
        promoted_at: Time(logged.decided_at),
        by: logged.requested_by.clone(),
        promotion: Some(logged.name.clone()),
        uid: Some(logged.uid.clone()),
        audit: Some(logged.recorded.to_api()),
    }
}

#[cfg(test)]
#[path = "rebuild_tests.rs"]
mod tests;
