//! What the operators' audit logs say about a chain.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::content::Chain;
use crate::domain::audit_log::{Event, Line};
use crate::domain::decision::Outcome;

/// What logs say, line by line.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// From when to when each log is here; a log from its first line on is here from the beginning.
    pub(super) spans: BTreeMap<String, (Timestamp, Timestamp)>,
    /// By namespace, environment and artifact.
    chains: BTreeMap<(String, String, String), Told>,
}

/// What logs say about one chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Requests whose decision or end is told.
    pub(super) requests: BTreeSet<String>,
    /// Promotions that have left a record.
    pub(super) promoted: Vec<Promoted>,
}

/// A promotion that has left a record, as its log says.
#[derive(Clone, Debug)]
pub(super) struct Promoted {
    pub(super) log: String,
    pub(super) line: u64,
    pub(super) request: String,
    pub(super) version: String,
    pub(super) at: Timestamp,
    pub(super) sequence: Option<i64>,
    pub(super) record: Option<String>,
    pub(super) referrer: Option<String>,
}

impl Logs {
    /// Takes in a line that its log has proven to be in order.
    pub fn line(&mut self, line: &Line) {
        let first = if line.sequence == 1 {
            Timestamp::MIN
        } else {
            line.at
        };
        let span = self
            .spans
            .entry(line.log_id.clone())
            .or_insert((first, line.at));
        span.1 = span.1.max(line.at);
        let Some(about) = line.request.as_ref().filter(|about| !about.dry_run) else {
            return;
        };
        let Some(artifact) = &about.artifact else {
            return;
        };
        let place = (
            about.space.clone(),
            about.environment.clone(),
            artifact.clone(),
        );
        let told = self.chains.entry(place).or_default();
        match line.event {
            Event::Intent => {
                told.requests.insert(about.uid.clone());
            }
            Event::Result if line.reason.as_deref() == Some(Outcome::Promoted.reason()) => {
                let chain = line.chain.as_ref();
                told.requests.insert(about.uid.clone());
                told.promoted.push(Promoted {
                    log: line.log_id.clone(),
                    line: line.sequence,
                    request: about.uid.clone(),
                    version: about.version.clone(),
                    at: line.at,
                    sequence: chain.and_then(|chain| i64::try_from(chain.sequence?).ok()),
                    record: chain.and_then(|chain| chain.record.clone()),
                    referrer: chain.and_then(|chain| chain.referrer.clone()),
                });
            }
            Event::Opened | Event::Result | Event::TakeOver | Event::Torn => {}
        }
    }

    pub(super) fn of(&self, chain: &Chain) -> Option<&Told> {
        let place = (
            chain.space.clone(),
            chain.environment.clone(),
            chain.artifact.clone(),
        );
        self.chains.get(&place)
    }
}
