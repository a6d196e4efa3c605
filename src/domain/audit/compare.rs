//! A chain beside what else speaks of it: the ledger, the operators' audit logs, the tags of the registry.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Ledger;
use super::logs::{Logs, Promoted};
use super::problem::{Bad, Problem, Remark};
use super::trail::{Beside, Known, Trail};
use crate::domain::artifact::{Digest, Tag};
use crate::domain::record::Recorded;

impl Trail {
    /// Compares with the ledger.
    pub fn compare_ledger(&mut self, ledger: &Ledger) {
        let newest = self.good.last_key_value().map(|(number, _)| *number);
        let head = ledger.head.as_ref().map(|head| head.sequence);
        if let Some(newest) = newest.filter(|newest| Some(*newest) > head) {
            let writes_it = ledger.writing.is_some() && newest == head.unwrap_or(0) + 1;
            if !writes_it {
                let (record, decided_at) = self.good_at(newest);
                self.bad.push(Bad {
                    sequence: newest,
                    record,
                    referrer: None,
                    problem: Problem::LedgerBehind(head),
                    decided_at,
                    named_at: None,
                });
            }
        }
        let bad = self.bad.iter().map(|bad| bad.sequence).max();
        let top = newest.max(bad).unwrap_or(0);
        let mut told = BTreeSet::new();
        for listed in &ledger.records {
            let recorded = &listed.recorded;
            let Some(same_number) = self.good.get(&recorded.sequence) else {
                // Below the newest one it is missing, which the walk has seen.
                if recorded.sequence > top && told.insert(recorded.sequence) {
                    let none = "none";
                    self.bad
                        .push(Bad::differs(recorded, "record", &recorded.record, none));
                }
                continue;
            };
            let difference = match same_number.get(&recorded.record) {
                None => {
                    let found: Vec<&str> = same_number.keys().map(Digest::as_str).collect();
                    Some(Bad::differs(
                        recorded,
                        "record",
                        &recorded.record,
                        &found.join(", "),
                    ))
                }
                Some(known) if known.version != listed.version => Some(Bad::differs(
                    recorded,
                    "version",
                    &listed.version,
                    &known.version,
                )),
                Some(known) if known.subject.as_str() != listed.digest => Some(Bad::differs(
                    recorded,
                    "digest",
                    &listed.digest,
                    &known.subject,
                )),
                Some(_) => None,
            };
            if let Some(bad) = difference.filter(|_| told.insert(recorded.sequence)) {
                self.bad.push(bad);
            }
        }
    }

    /// Compares with what tags name, and with what lies beside the digests that they and the records name. What
    /// latest-* names has a record too.
    pub fn compare_registry(
        &mut self,
        tags: &BTreeMap<Tag, Digest>,
        beside: &BTreeMap<Digest, Beside>,
    ) {
        let mut remarks = Vec::new();
        let by_name: BTreeMap<&str, &Digest> = tags
            .iter()
            .map(|(tag, digest)| (tag.as_str(), digest))
            .collect();
        for (sequence, record, known) in self.known() {
            let Known { subject, tag, .. } = known;
            if let Some(found) = by_name.get(tag.as_str()).filter(|found| **found != subject) {
                remarks.push(Remark::TagMoved {
                    sequence,
                    tag: tag.clone(),
                    found: (*found).clone(),
                    expected: subject.clone(),
                });
            }
            let Some(beside) = beside.get(subject) else {
                continue;
            };
            if !beside.records.contains(record) {
                let subject = subject.clone();
                remarks.push(Remark::Unlisted { sequence, subject });
            }
            match beside.summaries.get(&known.summary) {
                None => {
                    let subject = subject.clone();
                    remarks.push(Remark::NoSummary { sequence, subject });
                }
                Some(summary) => {
                    let resource = format!("{}:{tag}", self.chain.repository);
                    if summary.subject != subject.as_str()
                        || summary.resource != resource
                        || summary.result != "PASSED"
                    {
                        remarks.push(Remark::OtherSummary { sequence });
                    }
                }
            }
        }
        let recorded = self.subjects();
        let bare = tags.iter().filter(|(_, digest)| !recorded.contains(digest));
        remarks.extend(bare.map(|(tag, digest)| Remark::NoRecord {
            tag: tag.to_string(),
            digest: digest.clone(),
        }));
        self.remarks.extend(remarks);
    }

    /// Compares with the operators' audit logs: what they tell is in the registry, and what is there they tell.
    pub fn compare_logs(&mut self, logs: &Logs) {
        let newest = self.good.last_key_value().map_or(0, |(number, _)| *number);
        let told = logs.of(&self.chain);
        let mut wrong = Vec::new();
        for promoted in told.iter().flat_map(|told| &told.promoted) {
            let Promoted {
                log,
                line,
                version,
                sequence,
                ..
            } = promoted;
            let found = self.told(promoted);
            let why = match (found, sequence) {
                (None, _) => "and there is no good record of that".to_owned(),
                (Some(number), Some(told)) if number != *told => {
                    format!("under the number {told}, and its record has {number}")
                }
                (Some(_), _) => continue,
            };
            let number = sequence.or(found).unwrap_or(newest + 1);
            if found.is_none() && self.bad.iter().any(|bad| bad.sequence == number) {
                continue;
            }
            wrong.push(Bad {
                sequence: number,
                record: promoted
                    .record
                    .as_ref()
                    .and_then(|record| record.parse().ok()),
                referrer: promoted
                    .referrer
                    .as_ref()
                    .and_then(|referrer| referrer.parse().ok()),
                problem: Problem::LogDiffers(format!(
                    "line {line} of the log {log} tells that {version} was promoted, {why}"
                )),
                decided_at: None,
                named_at: Some(promoted.at),
            });
        }
        for (number, record, known) in self.known() {
            let Some(log) = &known.log else { continue };
            let Some((from, to)) = logs.spans.get(log) else {
                continue;
            };
            let covered = *from <= known.decided_at && known.decided_at <= *to;
            let is_told = told.is_some_and(|told| told.requests.contains(&known.request));
            if covered && !is_told {
                wrong.push(Bad {
                    sequence: number,
                    record: Some(record.clone()),
                    referrer: None,
                    problem: Problem::LogDiffers(format!(
                        "the log {log}, which should tell of it, does not"
                    )),
                    decided_at: Some(known.decided_at),
                    named_at: None,
                });
            }
        }
        self.bad.extend(wrong);
    }

    /// The number of the good record that a log tells of.
    fn told(&self, promoted: &Promoted) -> Option<i64> {
        let Promoted {
            record,
            referrer,
            request,
            ..
        } = promoted;
        let by_referrer = || {
            let mut read = self.read.iter();
            let (_, record) =
                read.find(|(manifest, _)| Some(manifest.as_str()) == referrer.as_deref())?;
            Some(record.as_str())
        };
        let record = record.as_deref().or_else(by_referrer);
        let mut known = self.known();
        let (number, ..) = known.find(|(_, good, known)| match record {
            Some(record) => good.as_str() == record,
            None => referrer.is_none() && known.request == *request,
        })?;
        Some(number)
    }
}

impl Bad {
    fn differs(
        recorded: &Recorded,
        what: &'static str,
        ledger: &impl ToString,
        found: &(impl ToString + ?Sized),
    ) -> Self {
        Self {
            sequence: recorded.sequence,
            record: Some(recorded.record.clone()),
            referrer: Some(recorded.referrer.clone()),
            problem: Problem::LedgerDiffers {
                what,
                ledger: ledger.to_string(),
                found: found.to_string(),
            },
            decided_at: None,
            named_at: None,
        }
    }
}
