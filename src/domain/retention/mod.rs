//! Old versions: which of them an environment lets go, and what may be deleted in a repository.
//!
//! Nothing here deletes. `floe platform gc` hands in facts and gets a plan back; what is not known for certain
//! is kept.

mod facts;
mod manifests;
mod pins;
mod plan;
mod promoted;
mod records;
mod why;

#[cfg(test)]
mod manifests_tests;
#[cfg(test)]
mod plan_tests;

use jiff::{SignedDuration, Timestamp};

use super::constraint::Constraint;
use crate::api;
pub use facts::{Facts, Place, Unfinished, places, unfinished};
pub use manifests::{Contents, Doomed, Graph, Listing, ManifestPlan, Part, manifest_plan};
pub use pins::{CONSUMER_FILE, Pin, Pins};
pub use plan::{Item, held, plan, roots, unexplained};
use promoted::{Promoted, promoted};
pub use records::{is_attestation, may_be_record};
pub use why::{Kept, LetGo, Verdict};

/// Versions that are kept when the policy sets `retention` without `keepLast`.
const KEEP_LAST: usize = 10;
/// Bounds of `keepLast`.
const KEEP_LAST_BOUNDS: std::ops::RangeInclusive<usize> = 1..=500;
/// Bounds of `keepFor`, in minutes: an hour and 3650 days.
const KEEP_FOR_BOUNDS: std::ops::RangeInclusive<i64> = 60..=3650 * 24 * 60;

/// What an environment keeps of its old versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many of the versions that were promoted last.
    pub keep_last: usize,
    /// How long after the promotion.
    pub keep_for: Option<SignedDuration>,
    /// Which versions always.
    pub protect: Vec<Constraint>,
}

impl Retention {
    /// # Errors
    /// A value that is none, or outside its bounds: a sentence that says which.
    pub fn of(spec: &api::Retention) -> Result<Self, String> {
        let keep_last = spec.keep_last.map_or(Ok(KEEP_LAST), usize::try_from);
        let keep_last = keep_last
            .ok()
            .filter(|number| KEEP_LAST_BOUNDS.contains(number))
            .ok_or("keepLast must be from 1 to 500")?;
        let protect = spec.protect.iter().map(|text| {
            let constraint: Constraint = text.parse().map_err(|why| format!("protect: {why}"))?;
            if constraint.is_latest() {
                return Err(format!(
                    "protect: '{text}' names no version, and what an environment holds now is never deleted: leave it out"
                ));
            }
            Ok(constraint)
        });
        Ok(Self {
            keep_last,
            keep_for: spec.keep_for.as_deref().map(keep_for).transpose()?,
            protect: protect.collect::<Result<_, String>>()?,
        })
    }

    /// What it says about the version in this place of the environment's versions, the newest first.
    fn verdict(&self, place: usize, promoted: &Promoted, now: Timestamp) -> Verdict {
        if let Some(rule) = self
            .protect
            .iter()
            .find(|rule| rule.covers(&promoted.version))
        {
            return Verdict::Keep(Kept::Protected {
                rule: rule.to_string(),
            });
        }
        if place < self.keep_last {
            return Verdict::Keep(Kept::AmongTheLast {
                place: place + 1,
                keep_last: self.keep_last,
            });
        }
        let age = now.duration_since(promoted.at);
        if let Some(limit) = self.keep_for
            && age < limit
        {
            return Verdict::Keep(Kept::Young {
                until: promoted.at.saturating_add(limit).unwrap_or(Timestamp::MAX),
            });
        }
        Verdict::Delete(LetGo::Old {
            place: place + 1,
            promoted_at: promoted.at,
        })
    }
}

/// Whether the tag of this version of the environment may be missing because somebody cleaned up: retention
/// lets the version go, and it is not the current one.
///
/// `ledger` is what the environment holds of the artifact. A version that the ledger does not know, or an
/// environment without retention, says no.
pub fn may_be_gone(
    retention: Option<&Retention>,
    ledger: &api::LedgerArtifact,
    version: &str,
    now: Timestamp,
) -> bool {
    let Some(retention) = retention else {
        return false;
    };
    let is_current = ledger
        .current
        .as_ref()
        .is_some_and(|current| current.version == version);
    let versions = promoted(ledger);
    let place = versions
        .iter()
        .position(|promoted| promoted.version.as_str() == version);
    place.filter(|_| !is_current).is_some_and(|place| {
        matches!(
            retention.verdict(place, &versions[place], now),
            Verdict::Delete(_)
        )
    })
}

/// `90d`, `36h`, `1d12h`.
fn keep_for(text: &str) -> Result<SignedDuration, String> {
    let refused =
        || format!("keepFor is '{text}': write it as in 90d, 36h or 1d12h, from 1h to 3650d");
    let mut minutes: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(refused)?;
        let number: i64 = rest[..digits].parse().map_err(|_| refused())?;
        let factor = match rest.as_bytes()[digits] {
            b'd' => 24 * 60,
            b'h' => 60,
            b'm' => 1,
            _ => return Err(refused()),
        };
        minutes = number
            .checked_mul(factor)
            .and_then(|part| minutes.checked_add(part))
            .ok_or_else(refused)?;
        rest = &rest[digits + 1..];
    }
    if !KEEP_FOR_BOUNDS.contains(&minutes) {
        return Err(refused());
    }
    Ok(SignedDuration::from_mins(minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(keep_last: Option<i32>, keep_for: Option<&str>, protect: &[&str]) -> api::Retention {
        api::Retention {
            keep_last,
            keep_for: keep_for.map(str::to_owned),
            protect: protect.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    #[test]
    fn retention_is_read_with_its_defaults() {
        let read = Retention::of(&spec(None, None, &[])).unwrap();
        assert_eq!((read.keep_last, read.keep_for), (10, None));
        for (text, hours) in [("1h", 1), ("90d", 2160), ("1d12h", 36), ("60m", 1)] {
            let read = Retention::of(&spec(Some(1), Some(text), &[])).unwrap();
            assert_eq!(
                read.keep_for,
                Some(SignedDuration::from_hours(hours)),
                "{text}"
            );
        }
    }

    #[test]
    fn retention_that_means_nothing_is_refused_with_the_reason() {
        for (keep_last, keep_for, protect, words) in [
            (Some(0), None, "1.0.0", "keepLast"),
            (Some(501), None, "1.0.0", "keepLast"),
            (None, Some("90"), "1.0.0", "keepFor"),
            (None, Some("90s"), "1.0.0", "keepFor"),
            (None, Some("59m"), "1.0.0", "keepFor"),
            (None, Some("3651d"), "1.0.0", "keepFor"),
            (None, Some("99999999999999d"), "1.0.0", "keepFor"),
            (None, None, "1.2", "protect"),
            (None, None, "latest-prod", "protect"),
        ] {
            let refused = Retention::of(&spec(keep_last, keep_for, &[protect])).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_tag_may_be_gone_when_retention_lets_its_version_go_and_only_then() {
        let at = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let entry = |version: &str, day: i64| api::LedgerEntry {
            version: version.to_owned(),
            digest: crate::domain::artifact::Digest::of(version.as_bytes()).to_string(),
            promoted_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(day)),
            by: None,
            promotion: None,
            uid: None,
            audit: None,
        };
        let history = vec![
            entry("1.3.0", 30),
            entry("1.2.0", 20),
            entry("1.1.0", 10),
            entry("1.0.0", 1),
        ];
        let ledger = api::LedgerArtifact {
            name: "app".to_owned(),
            current: Some(entry("1.0.0", 1)),
            history,
            ..api::LedgerArtifact::default()
        };
        let gone = |retention: &api::Retention, version: &str| {
            may_be_gone(
                Some(&Retention::of(retention).unwrap()),
                &ledger,
                version,
                at(31),
            )
        };
        let last_two = spec(Some(2), None, &[]);
        assert!(!gone(&last_two, "1.2.0"));
        assert!(gone(&last_two, "1.1.0"));
        assert!(
            !gone(&last_two, "1.0.0"),
            "the current version is not let go"
        );
        assert!(!gone(&last_two, "0.9.0"), "unknown to the ledger");
        assert!(!gone(&spec(Some(2), Some("21d12h"), &[]), "1.1.0"));
        assert!(gone(&spec(Some(2), Some("21d"), &[]), "1.1.0"));
        assert!(!gone(&spec(Some(2), None, &["1.1.*"]), "1.1.0"));
        assert!(!may_be_gone(None, &ledger, "1.1.0", at(31)));
    }
}
