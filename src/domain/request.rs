//! What somebody asked for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decision::FailureReason;
use crate::api::{Abort, Promotion};

/// A Promotion as plain values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Namespace: the promotion space.
    pub space: String,
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Artifact, when it was named.
    pub artifact: Option<String>,
    /// Version, as written.
    pub version: String,
    /// Environment it comes from, when it was named.
    pub from: Option<String>,
    /// Environment it enters.
    pub to: String,
    /// Digest that the requester expects.
    pub expected_digest: Option<String>,
    /// Nothing is written to the registry.
    pub dry_run: bool,
    /// Why.
    pub reason: Option<String>,
    /// Who, as the API server authenticated them.
    pub requested_by: Option<String>,
    /// For whom, when automation asks.
    pub on_behalf_of: Option<String>,
    /// Who has stopped it, and why.
    pub abort: Option<Abort>,
    /// When the object was made.
    pub created_at: Timestamp,
    /// When its deletion was asked for.
    pub deleted_at: Option<Timestamp>,
}

impl Request {
    /// Reads a Promotion. What the API server always sets and is missing here is empty, or the epoch.
    pub fn of(promotion: &Promotion) -> Self {
        let meta = &promotion.metadata;
        let spec = &promotion.spec;
        Self {
            space: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            artifact: spec.artifact.clone(),
            version: spec.version.clone(),
            from: spec.from.clone(),
            to: spec.to.clone(),
            expected_digest: spec.digest.clone(),
            dry_run: spec.dry_run,
            reason: spec.reason.clone(),
            requested_by: spec.requested_by.clone(),
            on_behalf_of: spec.on_behalf_of.clone(),
            abort: spec.abort.clone(),
            created_at: meta
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deleted_at: meta.deletion_timestamp.as_ref().map(|time| time.0),
        }
    }

    /// Why it is not to be begun any more: somebody has stopped or deleted it.
    pub fn withdrawn(&self) -> Option<FailureReason> {
        let stopped = self.abort.as_ref().map(|abort| FailureReason::AbortedBy {
            by: abort.by.clone(),
            reason: abort.reason.clone(),
        });
        stopped.or_else(|| self.deleted_at.map(|_| FailureReason::Aborted))
    }
}
