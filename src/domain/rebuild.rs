//! A lost ledger, from what the registry holds: tags and records.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::artifact::{Digest, Tag};
use super::names::{Version, version_of_tag};
use super::record::{FoundRecord, Seen, SeenGate};
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

/// The ledger of one artifact. A version without a record was not promoted by floe and is left out;
/// the current one is what `latest-<suffix>` names.
pub fn ledger(
    artifact: &str,
    space: &str,
    environment: &str,
    found: &[Found],
    latest: Option<&Digest>,
) -> LedgerArtifact {
    let mut history: Vec<(i64, (LedgerEntry, Vec<SeenGate>))> = found
        .iter()
        .filter_map(|version| entry(artifact, space, environment, version))
        .collect();
    history.sort_by(|(one, _), (other, _)| other.cmp(one));
    let baselines = baselines(&history);
    let history: Vec<LedgerEntry> = history.into_iter().map(|(_, (entry, _))| entry).collect();
    let current = history
        .iter()
        .find(|entry| latest.is_some_and(|digest| digest.as_str() == entry.digest))
        .cloned();
    let audit = history
        .iter()
        .filter_map(|entry| entry.audit.clone())
        .max_by_key(|audit| audit.sequence);
    LedgerArtifact {
        name: artifact.to_owned(),
        current,
        history,
        audit,
        baselines,
        in_flight: None,
        drift: Vec::new(),
    }
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

fn entry(
    artifact: &str,
    space: &str,
    environment: &str,
    found: &Found,
) -> Option<(i64, (LedgerEntry, Vec<SeenGate>))> {
    let fits = |seen: &Seen| {
        seen.space == space
            && seen.target_environment == environment
            && seen.artifact.name == artifact
            && seen.artifact.version == found.version.as_str()
    };
    let FoundRecord { recorded, seen } = found
        .records
        .iter()
        .filter(|found| fits(&found.seen))
        .max_by_key(|found| found.seen.sequence)?;
    let entry = LedgerEntry {
        version: found.version.to_string(),
        digest: found.digest.to_string(),
        promoted_at: Time(seen.decided_at),
        by: seen.requested_by.clone(),
        promotion: Some(seen.name.clone()),
        uid: Some(seen.id.clone()),
        audit: Some(recorded.to_api()),
    };
    Some((seen.sequence, (entry, seen.gates.clone())))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::record::{Recorded, SeenArtifact};

    /// The record with this number; decisions may have been taken in another order.
    fn seen(version: &str, environment: &str, sequence: i64) -> FoundRecord {
        let digest = Digest::of(version.as_bytes());
        let artifact = SeenArtifact {
            name: "app".to_owned(),
            version: version.to_owned(),
            digest,
        };
        let seen = Seen {
            id: format!("uid-{version}-{sequence}"),
            kind: "Promotion".to_owned(),
            name: format!("app-{version}"),
            space: "platform".to_owned(),
            artifact,
            tag: format!("{version}-{environment}"),
            target_environment: environment.to_owned(),
            requested_by: Some("alice".to_owned()),
            decided_at: Timestamp::from_second(100 - sequence).unwrap(),
            sequence,
            previous: None,
            gates: Vec::new(),
        };
        let recorded = Recorded {
            record: Digest::of(seen.id.as_bytes()),
            referrer: Digest::of(seen.name.as_bytes()),
            sequence,
        };
        FoundRecord { recorded, seen }
    }

    fn found(version: &str, records: Vec<FoundRecord>) -> Found {
        Found {
            version: version.parse().unwrap(),
            digest: Digest::of(version.as_bytes()),
            records,
        }
    }

    #[test]
    fn versions_of_the_environment_come_highest_first_and_other_tags_are_left_out() {
        let tags = [
            "v1.2.0-prod",
            "v1.10.0-prod",
            "latest-prod",
            "v1.2.0",
            "v1.2.0-dev",
            "v2.0.0-prod-rollback",
        ];
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let suffixes = ["dev".to_owned(), "prod".to_owned()];
        let names: Vec<String> = versions(&tags, "prod", &suffixes)
            .into_iter()
            .map(|(version, _)| version.to_string())
            .collect();
        assert_eq!(names, ["v1.10.0", "v1.2.0"]);
    }

    #[test]
    fn the_ledger_is_what_the_records_say_newest_first() {
        let found = [
            found(
                "v1.1.0",
                vec![
                    seen("v1.1.0", "prod", 30),
                    seen("v1.1.0", "prod", 10),
                    seen("v1.1.0", "dev", 40),
                ],
            ),
            found("v1.0.0", vec![seen("v1.0.0", "prod", 35)]),
            found("v0.9.0", Vec::new()),
            found("v0.8.0", vec![seen("v0.8.0", "dev", 1)]),
        ];
        let latest = Digest::of(b"v1.1.0");
        let ledger = ledger("app", "platform", "prod", &found, Some(&latest));
        let history: Vec<&str> = ledger
            .history
            .iter()
            .map(|entry| entry.version.as_str())
            .collect();
        assert_eq!(
            history,
            ["v1.0.0", "v1.1.0"],
            "without a record of this environment it was not promoted"
        );
        assert_eq!(
            ledger.history[1].uid.as_deref(),
            Some("uid-v1.1.0-30"),
            "the newest record of a version counts"
        );
        assert_eq!(
            ledger.current.unwrap().version,
            "v1.1.0",
            "latest says what is current, not the number"
        );
        let head = ledger.audit.unwrap();
        assert_eq!(
            head.sequence, 35,
            "the record with the highest number is the head"
        );
    }

    #[test]
    fn a_latest_tag_that_no_record_explains_gives_no_current_version() {
        let found = [found("v1.0.0", vec![seen("v1.0.0", "prod", 35)])];
        assert_eq!(
            ledger("app", "platform", "prod", &found, None).current,
            None
        );
        let stranger = Digest::of(b"stranger");
        assert_eq!(
            ledger("app", "platform", "prod", &found, Some(&stranger)).current,
            None
        );
        assert!(
            ledger("app", "other-space", "prod", &found, None)
                .history
                .is_empty()
        );
    }
}
