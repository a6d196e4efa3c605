//! What the ledger of an environment says about records.

use crate::api::{LedgerArtifact, LedgerEntry};
use crate::domain::artifact::Digest;
use crate::domain::record::Recorded;

/// What the ledger says about the records of one artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The newest record.
    pub head: Option<Recorded>,
    /// The records of the versions that it lists.
    pub records: Vec<LedgerRecord>,
    /// A promotion writes at this moment: it may be one record behind.
    pub writing: Option<String>,
    /// What in it cannot be read.
    pub unreadable: Option<String>,
}

/// One record in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRecord {
    /// Which.
    pub recorded: Recorded,
    /// Version that was promoted.
    pub version: String,
    /// Digest that was promoted.
    pub digest: String,
}

impl Ledger {
    /// From the status of a policy.
    pub fn of(artifact: &LedgerArtifact) -> Self {
        let mut ledger = Self {
            writing: artifact.in_flight.as_ref().map(|slot| slot.name.clone()),
            ..Self::default()
        };
        if let Some(audit) = &artifact.audit {
            ledger.head = Recorded::of(audit);
            if ledger.head.is_none() {
                ledger.unreadable = Some(format!("its newest record is '{}'", audit.record));
            }
        }
        let entries = artifact.current.iter().chain(&artifact.history);
        for LedgerEntry {
            version,
            digest,
            audit,
            ..
        } in entries
        {
            let Some(audit) = audit else { continue };
            if let Some(recorded) = Recorded::of(audit) {
                ledger.records.push(LedgerRecord {
                    recorded,
                    version: version.clone(),
                    digest: digest.clone(),
                });
            } else {
                let why = format!("the record of {version} is '{}'", audit.record);
                ledger.unreadable.get_or_insert(why);
            }
        }
        ledger
    }

    /// The digest that this record is about, when the ledger lists it.
    pub fn subject_of(&self, recorded: &Recorded) -> Option<Digest> {
        let mut records = self.records.iter();
        let listed = records.find(|listed| listed.recorded.record == recorded.record)?;
        listed.digest.parse().ok()
    }
}
