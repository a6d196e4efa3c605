//! From what was seen to the status of a policy, and to what is told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    Difference, IN_SYNC, Kind, NOT_COMPARED, Rules, WantedRecord, advice, differences, is_of_tag,
    records, sentence,
};
use crate::api::{ConditionType, Drift, EnvironmentPolicyStatus, LedgerArtifact, find_condition};
use crate::domain::artifact::{Digest, Tag};
use crate::domain::observed::Trouble;
use crate::domain::retention::Retention;

/// Differences that the status keeps of one artifact.
const DRIFT_MAX: usize = 20;
/// Differences that a message names.
const NAMED_MAX: usize = 3;
/// Longest message of a condition, in characters.
const MESSAGE_MAX: usize = 1000;

/// The policy that is judged.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Namespace.
    pub space: &'a str,
    /// Name of the policy.
    pub environment: &'a str,
    /// Its generation.
    pub generation: i64,
    /// Suffix of its tags.
    pub suffix: &'a str,
    /// Which old versions may have been cleaned up.
    pub retention: Option<&'a Retention>,
}

/// What was seen of one artifact in one place.
#[derive(Clone, Debug)]
pub struct Look {
    /// Name of the artifact.
    pub artifact: String,
    /// Repository that was looked into.
    pub repository: String,
    /// It is a replica.
    pub replica: bool,
    /// The ledger as it was read before the registry.
    pub ledger: LedgerArtifact,
    /// What the tags name, or why that is not known.
    pub tags: Result<BTreeMap<Tag, Option<Digest>>, Trouble>,
    /// Records that are gone, or why that is not known; nothing when nobody looked this time.
    pub gone: Option<Result<BTreeSet<Digest>, Trouble>>,
}

/// Something that is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Somebody should look at it.
    pub warning: bool,
    /// What it is about.
    pub action: String,
    /// Stable word.
    pub reason: &'static str,
    /// Sentence.
    pub text: String,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The status afterwards; the same as before when nothing changed.
    pub status: EnvironmentPolicyStatus,
    /// What to tell.
    pub news: Option<News>,
    /// Look again soon: something is out of sync, unknown, or was being written.
    pub soon: bool,
    /// The registry does not want to be asked before.
    pub not_before: Option<Timestamp>,
}

/// What is known after the looks at one artifact, and of all of them.
#[derive(Default)]
struct Known {
    /// Differences that were seen.
    certain: Vec<Drift>,
    /// Differences of earlier looks, where a promotion wrote during this one.
    kept: Vec<Drift>,
    /// Differences of earlier looks, in places that cannot be asked now.
    uncertain: Vec<Drift>,
    troubles: Vec<(String, Trouble)>,
    /// A promotion wrote while it was looked at.
    unsettled: bool,
    /// There was something to compare.
    compared: bool,
}

/// Compares what was seen with the ledger as it is now. A ledger that changed since the look began, or in which a
/// promotion holds the claim, explains any difference: then the earlier answer stays.
pub fn judge(
    subject: &Subject<'_>,
    before: &EnvironmentPolicyStatus,
    looks: &[Look],
    now: Timestamp,
) -> Judged {
    let mut status = before.clone();
    let mut all = Known::default();
    for ledger in &mut status.artifacts {
        let of_artifact: Vec<&Look> = looks
            .iter()
            .filter(|look| look.artifact == ledger.name)
            .collect();
        let known = known(ledger, &of_artifact, subject, now);
        ledger.drift = bounded(&known);
        all.add(known);
    }
    let condition = condition(subject, before, &all, now);
    replace(&mut status.conditions, condition);
    let soon = all.unsettled || !all.troubles.is_empty() || all.certain.iter().any(is_of_tag);
    let not_before = all
        .troubles
        .iter()
        .filter_map(|(_, trouble)| trouble.not_before)
        .max();
    Judged {
        news: news(subject, before, &status),
        status,
        soon,
        not_before,
    }
}

/// The condition `TagsInSync` as it stands; before the first look it says that nobody has looked.
pub fn kept(before: &EnvironmentPolicyStatus, generation: i64, now: Timestamp) -> Condition {
    let known = find_condition(&before.conditions, ConditionType::TagsInSync);
    known.cloned().unwrap_or_else(|| {
        let message = "the tags have not been compared with the ledger yet";
        let said = ("Unknown", NOT_COMPARED, message.to_owned());
        made(None, generation, said, now)
    })
}

impl Known {
    fn add(&mut self, other: Self) {
        self.certain.extend(other.certain);
        self.kept.extend(other.kept);
        self.uncertain.extend(other.uncertain);
        self.troubles.extend(other.troubles);
        self.unsettled |= other.unsettled;
        self.compared |= other.compared;
    }
}

fn known(ledger: &LedgerArtifact, looks: &[&Look], subject: &Subject<'_>, now: Timestamp) -> Known {
    let mut known = Known::default();
    if looks.iter().any(|look| !is_settled(ledger, &look.ledger)) {
        known.unsettled = true;
        known.kept.clone_from(&ledger.drift);
        return known;
    }
    let wanted_records = records(ledger, subject.suffix, subject.retention, now);
    for look in looks {
        let drift = |difference| {
            let since = now;
            entered(&ledger.drift, &look.repository, difference, since)
        };
        let earlier = ledger
            .drift
            .iter()
            .filter(|one| one.repository == look.repository);
        let (of_tags, of_records): (Vec<Drift>, Vec<Drift>) = earlier.cloned().partition(is_of_tag);
        match &look.tags {
            Ok(seen) => {
                known.compared |= !seen.is_empty();
                let rules = Rules {
                    suffix: subject.suffix,
                    retention: subject.retention,
                    replica: look.replica,
                };
                let found = differences(ledger, rules, seen, now);
                known.certain.extend(found.into_iter().map(drift));
            }
            Err(trouble) => {
                known.uncertain.extend(of_tags);
                let place = look.repository.clone();
                known.troubles.push((place, trouble.clone()));
            }
        }
        match &look.gone {
            Some(Ok(gone)) => {
                let gone = wanted_records
                    .iter()
                    .filter(|wanted| gone.contains(&wanted.record));
                known.certain.extend(gone.map(missing).map(drift));
            }
            Some(Err(trouble)) => {
                known.uncertain.extend(of_records);
                let place = look.repository.clone();
                known.troubles.push((place, trouble.clone()));
            }
            None => {
                let wanted = |one: &Drift| {
                    wanted_records
                        .iter()
                        .any(|wanted| wanted.record.as_str() == one.expected)
                };
                let still = of_records.into_iter().filter(wanted);
                if look.tags.is_ok() {
                    known.certain.extend(still);
                } else {
                    known.uncertain.extend(still);
                }
            }
        }
    }
    known
}

/// Nobody wrote between the two moments, nor may have been writing in one of them.
fn is_settled(now: &LedgerArtifact, before: &LedgerArtifact) -> bool {
    now.in_flight.is_none()
        && before.in_flight.is_none()
        && now.current == before.current
        && now.history == before.history
}

fn missing(wanted: &WantedRecord) -> Difference {
    Difference {
        kind: Kind::RecordMissing,
        tag: wanted.tag.clone(),
        version: wanted.version.clone(),
        expected: wanted.record.clone(),
        found: None,
    }
}

/// A difference as the status keeps it: one that was known stays since when it was.
fn entered(earlier: &[Drift], repository: &str, seen: Difference, now: Timestamp) -> Drift {
    let mut drift = Drift {
        reason: seen.kind.as_str().to_owned(),
        tag: seen.tag.to_string(),
        version: seen.version,
        repository: repository.to_owned(),
        expected: seen.expected.to_string(),
        found: seen.found.map(|found| found.to_string()),
        since: Time(now),
    };
    if let Some(known) = earlier.iter().find(|known| is_same(known, &drift)) {
        drift.since = known.since.clone();
    }
    drift
}

fn is_same(one: &Drift, other: &Drift) -> bool {
    let facts = |drift: &Drift| {
        (
            drift.reason.clone(),
            drift.tag.clone(),
            drift.repository.clone(),
            drift.expected.clone(),
            drift.found.clone(),
        )
    };
    facts(one) == facts(other)
}

/// Tags before records, each in the order of the ledger.
fn bounded(known: &Known) -> Vec<Drift> {
    let mut drift = [&known.certain[..], &known.kept, &known.uncertain].concat();
    drift.sort_by_key(|one| !is_of_tag(one));
    drift.truncate(DRIFT_MAX);
    drift
}

fn condition(
    subject: &Subject<'_>,
    before: &EnvironmentPolicyStatus,
    known: &Known,
    now: Timestamp,
) -> Condition {
    let standing = find_condition(&before.conditions, ConditionType::TagsInSync);
    let kept = || kept(before, subject.generation, now);
    let was = |status: &str| standing.is_some_and(|standing| standing.status == status);
    let worst = known.certain.iter().map(|one| Kind::of(&one.reason)).min();
    let said = if let Some(worst) = worst {
        let all = [&known.certain[..], &known.kept].concat();
        ("False", worst.as_str(), told(subject, &all))
    } else if let Some((place, trouble)) = known.troubles.first() {
        let begin = format!("cannot compare the tags in {place} with the ledger: ");
        let reason = trouble.kind.as_str();
        // The same trouble in other words is no news.
        let same = standing.filter(|standing| {
            was("Unknown") && standing.reason == reason && standing.message.starts_with(&begin)
        });
        let message = same.map_or_else(
            || format!("{begin}{}{}", trouble.problem, last_seen(&known.uncertain)),
            |standing| standing.message.clone(),
        );
        ("Unknown", reason, message)
    } else if (known.unsettled && (!known.kept.is_empty() || !was("True")))
        || (!known.compared && was_not_compared(standing))
    {
        return kept();
    } else {
        let message = "each tag names what the ledger says";
        ("True", IN_SYNC, message.to_owned())
    };
    made(standing, subject.generation, said, now)
}

fn was_not_compared(standing: Option<&Condition>) -> bool {
    standing.is_none_or(|standing| standing.reason == NOT_COMPARED)
}

fn made(
    standing: Option<&Condition>,
    generation: i64,
    (status, reason, message): (&str, &str, String),
    now: Timestamp,
) -> Condition {
    let unchanged = standing.filter(|standing| standing.status == status);
    Condition {
        type_: ConditionType::TagsInSync.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.chars().take(MESSAGE_MAX).collect(),
        observed_generation: Some(generation),
        last_transition_time: unchanged
            .map_or(Time(now), |standing| standing.last_transition_time.clone()),
    }
}

fn replace(conditions: &mut Vec<Condition>, condition: Condition) {
    match conditions
        .iter_mut()
        .find(|known| known.type_ == condition.type_)
    {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// The first differences, how many more there are, and what to do.
fn told(subject: &Subject<'_>, drift: &[Drift]) -> String {
    let named: Vec<String> = drift.iter().take(NAMED_MAX).map(sentence).collect();
    let more = match drift.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let advice = advice(drift, subject.environment, subject.space);
    format!("{}{more}; {advice}", named.join("; "))
}

fn last_seen(drift: &[Drift]) -> String {
    drift.first().map_or_else(String::new, |first| {
        format!("; when it was last seen: {}", sentence(first))
    })
}

/// What is told once: differences that were not known before, or that there are none any more.
fn news(
    subject: &Subject<'_>,
    before: &EnvironmentPolicyStatus,
    after: &EnvironmentPolicyStatus,
) -> Option<News> {
    let earlier: Vec<&Drift> = before.artifacts.iter().flat_map(|one| &one.drift).collect();
    let left: Vec<&Drift> = after.artifacts.iter().flat_map(|one| &one.drift).collect();
    let fresh: Vec<Drift> = left
        .iter()
        .filter(|one| !earlier.iter().any(|known| is_same(known, one)))
        .map(|one| (*one).clone())
        .collect();
    if let Some(first) = fresh.first() {
        let worst = fresh.iter().map(|one| Kind::of(&one.reason)).min();
        return Some(News {
            warning: true,
            action: first.tag.clone(),
            reason: worst.unwrap_or(Kind::TagMoved).as_str(),
            text: told(subject, &fresh),
        });
    }
    (!earlier.is_empty() && left.is_empty()).then(|| News {
        warning: false,
        action: "CompareTags".to_owned(),
        reason: IN_SYNC,
        text: "each tag names again what the ledger says".to_owned(),
    })
}
