//! The chain of records: each names the one before it in its space, environment and artifact.

use serde::{Deserialize, Serialize};

use super::Seen;
use crate::api::RecordRef;
use crate::domain::artifact::Digest;

/// A record, where it lies, and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recorded {
    /// What the record is known by: the digest of its payload.
    pub record: Digest,
    /// The referrer manifest that holds it.
    pub referrer: Digest,
    /// Its number in the chain, from 1.
    pub sequence: i64,
    /// The referrer manifest that holds the summary beside it, when this is known.
    #[serde(default)]
    pub summary: Option<Digest>,
}

/// A record that was found in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Which it is.
    pub recorded: Recorded,
    /// What is in it.
    pub seen: Seen,
}

impl Recorded {
    /// From the API; `None` when the digests in it are none.
    pub fn of(reference: &RecordRef) -> Option<Self> {
        Some(Self {
            record: reference.record.parse().ok()?,
            referrer: reference.referrer.parse().ok()?,
            sequence: reference.sequence,
            summary: reference
                .summary
                .as_deref()
                .and_then(|digest| digest.parse().ok()),
        })
    }

    /// As the API writes it.
    pub fn to_api(&self) -> RecordRef {
        RecordRef {
            record: self.record.to_string(),
            referrer: self.referrer.to_string(),
            sequence: self.sequence,
            summary: self.summary.as_ref().map(Digest::to_string),
        }
    }
}

/// The number of the record that comes after this one.
pub fn next_sequence(head: Option<&Recorded>) -> i64 {
    head.map_or(1, |head| head.sequence + 1)
}
