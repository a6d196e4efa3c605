//! The newest record of each chain that a log knows of.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::line::{About, Chain, Entry, Event, Line};
use crate::domain::decision::Outcome;
use crate::domain::record::Recorded;

/// The records of one artifact in one environment, and where they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainName {
    /// Namespace.
    pub space: String,
    /// Environment.
    pub environment: String,
    /// Artifact.
    pub artifact: String,
    /// Repository that holds the records. One that an environment has moved to begins with nothing.
    pub repository: String,
}

/// A promotion as a log tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// Version.
    pub version: String,
    /// Digest.
    pub digest: String,
    /// When the decision was taken.
    pub decided_at: Timestamp,
    /// Who asked.
    pub requested_by: Option<String>,
    /// Name of the request.
    pub name: String,
    /// UID of the request.
    pub uid: String,
    /// Its record.
    pub recorded: Recorded,
}

/// For each chain the promotion that the log was told of last.
///
/// The last line counts, not the highest number: behind an accepted record numbers begin again at a lower one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestRecords {
    known: BTreeMap<ChainName, Promoted>,
}

impl NewestRecords {
    /// Takes in a line that its log has proven to be in order.
    pub fn line(&mut self, line: &Line) {
        let told = line.request.as_ref().zip(line.chain.as_ref());
        self.learn(line.event, line.reason.as_deref(), line.decided_at, told);
    }

    /// Takes in what has just been written.
    pub fn entry(&mut self, entry: &Entry) {
        let told = entry.request.as_ref().zip(entry.chain.as_ref());
        self.learn(entry.event, entry.reason.as_deref(), entry.decided_at, told);
    }

    /// Takes in what another log, or a later stretch of this one, knows.
    pub fn extend(&mut self, later: Self) {
        self.known.extend(later.known);
    }

    /// The newest promotion of a chain, with its record, when the log knows one.
    pub fn of(&self, chain: &ChainName) -> Option<&Promoted> {
        self.known.get(chain)
    }

    fn learn(
        &mut self,
        event: Event,
        reason: Option<&str>,
        decided_at: Option<Timestamp>,
        told: Option<(&About, &Chain)>,
    ) {
        if event == Event::Result
            && reason == Some(Outcome::Promoted.reason())
            && let Some((request, chain)) = told
            && let Some((name, newest)) = name_of(request).zip(promoted(request, chain, decided_at))
        {
            self.known.insert(name, newest);
        }
    }
}

fn name_of(request: &About) -> Option<ChainName> {
    Some(ChainName {
        space: request.space.clone(),
        environment: request.environment.clone(),
        artifact: request.artifact.clone()?,
        repository: request.repository.clone()?,
    })
}

fn promoted(request: &About, chain: &Chain, decided_at: Option<Timestamp>) -> Option<Promoted> {
    Some(Promoted {
        version: request.version.clone(),
        digest: request.digest.clone()?,
        decided_at: decided_at?,
        requested_by: request.requested_by.clone(),
        name: request.name.clone(),
        uid: request.uid.clone(),
        recorded: Recorded {
            record: chain.record.as_deref()?.parse().ok()?,
            referrer: chain.referrer.as_deref()?.parse().ok()?,
            sequence: i64::try_from(chain.sequence?).ok()?,
            summary: None,
        },
    })
}
