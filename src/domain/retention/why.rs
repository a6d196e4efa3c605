//! What becomes of a tag, and why: in words for people, and as a reason for programs.

use std::fmt;

use jiff::Timestamp;

use crate::domain::artifact::{Digest, Tag};

/// What becomes of a tag or manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep(Kept),
    /// It may be deleted.
    Delete(LetGo),
}

impl Verdict {
    /// Whether it may be deleted.
    pub fn deletes(&self) -> bool {
        matches!(self, Self::Delete(_))
    }

    /// Stable word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Keep(kept) => kept.reason(),
            Self::Delete(let_go) => let_go.reason(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(kept) => kept.fmt(f),
            Self::Delete(let_go) => let_go.fmt(f),
        }
    }
}

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Kept {
    /// `latest-*` is moved, never deleted.
    #[error("it moves with the environment and is never deleted")]
    LatestTag,
    /// The policy sets no retention.
    #[error("environment '{environment}' sets no retention")]
    NoRetention {
        /// The environment.
        environment: String,
    },
    /// It was not asked about.
    #[error("environment '{environment}' uses it too and was not asked about")]
    NotChosen {
        /// The environment.
        environment: String,
    },
    /// The policy cannot be used.
    #[error("environment '{environment}' cannot be used: {problem}")]
    Unusable {
        /// The environment.
        environment: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What the environment holds is not known.
    #[error("the ledger of environment '{environment}' does not say yet what it holds")]
    LedgerUnknown {
        /// The environment.
        environment: String,
    },
    /// It is in an environment now.
    #[error("it is the current version of environment '{environment}'")]
    Current {
        /// The environment, with its namespace when that is another one.
        environment: String,
    },
    /// A `latest-*` tag names the same digest.
    #[error("'{tag}' names it")]
    Latest {
        /// The tag.
        tag: Tag,
    },
    /// A promotion writes it at this moment.
    #[error("{kind} '{name}' writes it at this moment")]
    Writing {
        /// Kind of the request.
        kind: String,
        /// Name of the request.
        name: String,
    },
    /// A promotion that has not ended uses it.
    #[error("Promotion '{name}' has not ended")]
    Promotion {
        /// Its name, with its namespace when that is another one.
        name: String,
    },
    /// A consumer pins it.
    #[error("consumer '{consumer}' pins {pin}")]
    Pinned {
        /// The ConfigMap.
        consumer: String,
        /// The pin.
        pin: String,
    },
    /// Not every consumer's pin could be read.
    #[error("what consumers pin is not known: {why}")]
    PinsUnknown {
        /// Which could not be read.
        why: String,
    },
    /// `keepLast`.
    #[error("number {place} of the versions promoted last, of which {keep_last} are kept")]
    AmongTheLast {
        /// Its place, from 1.
        place: usize,
        /// How many are kept.
        keep_last: usize,
    },
    /// `keepFor`.
    #[error("it is kept until {until}")]
    Young {
        /// When it is old enough.
        until: Timestamp,
    },
    /// `protect`.
    #[error("the policy protects {rule}")]
    Protected {
        /// The rule.
        rule: String,
    },
    /// Neither ledger nor records know of a promotion.
    #[error("neither the ledger nor a record says that floe promoted it there")]
    Unexplained,
    /// The tag names another digest than what was promoted.
    #[error("it does not name {promoted}, which was promoted: somebody moved it")]
    Moved {
        /// What was promoted.
        promoted: Digest,
    },
    /// A bare tag whose version may still be promoted into a first environment.
    #[error("it may still be promoted into environment '{environment}'")]
    NotYetPromoted {
        /// The first environment.
        environment: String,
    },
    /// A bare tag whose version is still in an environment.
    #[error("'{tag}' of the same version stays")]
    StillIn {
        /// The tag that stays.
        tag: Tag,
    },
    /// Others may use it whom the user cannot see.
    #[error("other namespaces may use it: {why}")]
    ClusterUnknown {
        /// What could not be read.
        why: String,
    },
    /// A tag that stays names the manifest.
    #[error("'{tag}' still names it")]
    Tagged {
        /// The tag.
        tag: Tag,
    },
    /// A manifest that stays has it as a part.
    #[error("it is part of {parent}, which stays")]
    PartOf {
        /// The manifest that stays.
        parent: Digest,
    },
    /// What it is about stays.
    #[error("it is about {subject}, which stays")]
    About {
        /// The manifest that stays.
        subject: Digest,
    },
    /// It carries a record, and the registry keeps the list of what refers to it.
    #[error("it carries record {record}, which this registry may throw away together with it")]
    CarriesRecord {
        /// The record.
        record: Digest,
    },
    /// It could not be seen whether something refers to it.
    #[error("what refers to it is not known: {why}")]
    GraphUnknown {
        /// What could not be read.
        why: String,
    },
}

impl Kept {
    fn reason(&self) -> &'static str {
        match self {
            Self::LatestTag => "LatestTag",
            Self::NoRetention { .. } => "NoRetention",
            Self::NotChosen { .. } => "NotChosen",
            Self::Unusable { .. } => "PolicyInvalid",
            Self::LedgerUnknown { .. } => "LedgerUnknown",
            Self::Current { .. } => "Current",
            Self::Latest { .. } => "Latest",
            Self::Writing { .. } => "InFlight",
            Self::Promotion { .. } => "Promotion",
            Self::Pinned { .. } => "Pinned",
            Self::PinsUnknown { .. } => "PinsUnknown",
            Self::AmongTheLast { .. } => "KeepLast",
            Self::Young { .. } => "KeepFor",
            Self::Protected { .. } => "Protected",
            Self::Unexplained => "NotPromotedByFloe",
            Self::Moved { .. } => "Moved",
            Self::NotYetPromoted { .. } => "NotYetPromoted",
            Self::StillIn { .. } => "StillInUse",
            Self::ClusterUnknown { .. } => "ClusterUnknown",
            Self::Tagged { .. } => "Tagged",
            Self::PartOf { .. } => "PartOf",
            Self::About { .. } => "About",
            Self::CarriesRecord { .. } => "CarriesRecord",
            Self::GraphUnknown { .. } => "GraphUnknown",
        }
    }
}

/// Why something may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LetGo {
    /// Retention lets its version go.
    #[error("number {place} of the versions promoted last, promoted {promoted_at}")]
    Old {
        /// Its place, from 1.
        place: usize,
        /// When it was promoted last.
        promoted_at: Timestamp,
    },
    /// No environment has the version any more.
    #[error("no environment has this version any more")]
    Unused,
    /// It belongs to a manifest that is deleted.
    #[error("it belongs to {to}, which is deleted")]
    BelongsTo {
        /// The manifest.
        to: Digest,
    },
    /// No tag names it any more.
    #[error("no tag names it any more")]
    Untagged,
}

impl LetGo {
    fn reason(&self) -> &'static str {
        match self {
            Self::Old { .. } => "Old",
            Self::Unused => "Unused",
            Self::BelongsTo { .. } => "BelongsTo",
            Self::Untagged => "Untagged",
        }
    }
}
