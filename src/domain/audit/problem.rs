//! What can be wrong with a record or with a chain, in words, and what to do.

use jiff::Timestamp;

use crate::domain::artifact::Digest;

/// A record that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its number in the chain.
    pub sequence: i64,
    /// Which record should be there, as far as that is known.
    pub record: Option<Digest>,
    /// Manifest that should hold it.
    pub referrer: Option<Digest>,
    /// What is wrong.
    pub problem: Problem,
    /// When it was decided, as far as it can be read.
    pub decided_at: Option<Timestamp>,
    /// When the record after it was decided, which names it: then it was still there.
    pub named_at: Option<Timestamp>,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is gone.
    #[error(
        "it is gone: neither its manifest is there, nor another copy beside the digest that it is about"
    )]
    Missing,
    /// Its bytes are not those that were stored.
    #[error("its bytes were changed: {0}")]
    Damaged(String),
    /// Something else lies there.
    #[error("something that is no record of a promotion lies in its place")]
    NotARecord,
    /// Another statement lies there.
    #[error("another statement ({0}) lies in its place")]
    OtherRecord(Digest),
    /// None of the keys has signed it.
    #[error("none of the namespace's keys has signed it")]
    UnknownKey,
    /// It speaks of something else.
    #[error("it is the record of another {what}: {found} instead of {expected}")]
    Elsewhere {
        /// What differs.
        what: &'static str,
        /// What the chain is about.
        expected: String,
        /// What the record is about.
        found: String,
    },
    /// It has another number.
    #[error("it has the number {0}")]
    OtherNumber(i64),
    /// It should name the one before it.
    #[error("it names no record before it, and is not the first")]
    NoPrevious,
    /// It is the first, and names one before it.
    #[error("it names a record before it, and is the first")]
    PreviousOfFirst,
    /// There are several good records with this number.
    #[error("there are {} different records with this number: {}", .0.len(), words(.0))]
    Fork(Vec<Digest>),
    /// It cannot be reached.
    #[error("records {from} to {0} cannot be reached: what led to them is lost", from = .1)]
    Unreached(i64, i64),
    /// The ledger does not know it.
    #[error("the ledger does not know it: its newest record is {}", .0.map_or_else(|| "none".to_owned(), |head| format!("number {head}")))]
    LedgerBehind(Option<i64>),
    /// The ledger says something else.
    #[error("the ledger says something else: {what} {ledger} instead of {found}")]
    LedgerDiffers {
        /// What differs.
        what: &'static str,
        /// What the ledger says.
        ledger: String,
        /// What the record says.
        found: String,
    },
    /// The audit log says something else.
    #[error("the audit log says something else: {0}")]
    LogDiffers(String),
}

impl Problem {
    /// What a person can do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Missing
            | Self::Damaged(_)
            | Self::NotARecord
            | Self::OtherRecord(_)
            | Self::Unreached(..) => {
                "bring the manifest and its blob back from a backup or a replica of the registry: nobody can make them \
                 again; then find out who may write and delete there"
            }
            Self::UnknownKey => {
                "compare the keys with `floe platform audit key`; what another key has signed is not proven"
            }
            Self::Elsewhere { .. }
            | Self::OtherNumber(_)
            | Self::NoPrevious
            | Self::PreviousOfFirst => {
                "it is signed, so the operator wrote it like this: keep the record and the operator's log, and report it"
            }
            Self::Fork(_) => {
                "two operators wrote without knowing of each other, or a cluster was restored from a backup: keep both, \
                 and find out from the operators' logs which one counts"
            }
            Self::LedgerBehind(_) | Self::LedgerDiffers { .. } => {
                "the EnvironmentPolicy's status was edited or restored from an older copy: find out who wrote it, before \
                 the next promotion"
            }
            Self::LogDiffers(_) => {
                "compare with a copy of the log outside of the cluster, and find out who may write on its volume"
            }
        }
    }
}

/// What is not as a record says, beside the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Remark {
    /// A write-once tag names something else.
    #[error("{tag} names {found} instead of {expected}, which record {sequence} says")]
    TagMoved {
        /// Number of the record.
        sequence: i64,
        /// The tag.
        tag: String,
        /// What it names.
        found: Digest,
        /// What the record says.
        expected: Digest,
    },
    /// The summary is not there.
    #[error("the summary (SLSA VSA) of record {sequence} is not beside {subject}")]
    NoSummary {
        /// Number of the record.
        sequence: i64,
        /// The promoted digest.
        subject: Digest,
    },
    /// The summary says something else.
    #[error("the summary (SLSA VSA) of record {sequence} says something else than the record")]
    OtherSummary {
        /// Number of the record.
        sequence: i64,
    },
    /// The record is there, and nobody who asks for the digest's referrers finds it.
    #[error(
        "record {sequence} is not in the list of what refers to {subject}, so cosign does not find it"
    )]
    Unlisted {
        /// Number of the record.
        sequence: i64,
        /// The promoted digest.
        subject: Digest,
    },
    /// A tag of the environment has no record.
    #[error("{tag} names {digest}, which no record of this chain is about")]
    NoRecord {
        /// The tag.
        tag: String,
        /// What it names.
        digest: Digest,
    },
}

impl Remark {
    /// What a person can do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::TagMoved { .. } => "`floe platform repair` puts it back",
            Self::NoSummary { .. } | Self::OtherSummary { .. } => {
                "bring it back from a backup or a replica of the registry; the record itself counts without it"
            }
            Self::Unlisted { .. } => {
                "another client's write dropped it from the list; the operator puts it back with its next look at drift"
            }
            Self::NoRecord { .. } => {
                "it was put there by somebody else or before floe came, or its record was deleted: compare with the \
                 ledger and with a backup"
            }
        }
    }
}

fn words(records: &[Digest]) -> String {
    let words: Vec<&str> = records.iter().map(Digest::as_str).collect();
    words.join(", ")
}
