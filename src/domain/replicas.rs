//! Replicas: other repositories that get what is promoted, and how far each of them is.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::artifact::{Digest, Repository};
use super::decision::TroubleKind;
use super::observed::Observed;
use super::policy::Environment;

/// Shortest time between two tries.
const SHORTEST_RETRY: SignedDuration = SignedDuration::from_secs(5);
/// Longest time between two tries.
const LONGEST_RETRY: SignedDuration = SignedDuration::from_mins(15);

/// A repository that gets what is promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub repository: Repository,
    /// Nothing is tagged anywhere before it holds the artifact.
    #[serde(default)]
    pub required: bool,
}

/// How far a replica is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum ReplicaState {
    /// Nobody is working on it.
    Pending,
    /// Something is under way.
    Copying {
        /// It is a new try of a moment ago: what went wrong before is still what is known.
        #[serde(default)]
        after: Option<ReplicaFailure>,
    },
    /// Everything that the digest is made of and everything that refers to it is there. Nothing is tagged.
    Copied,
    /// The same with the record, and `<version>-<suffix>` names the digest.
    Tagged,
    /// `latest-<suffix>` was moved as well, or is no longer this promotion's to move.
    Replicated,
    /// It did not come about.
    Failed(ReplicaFailure),
}

/// Why a replica does not have what it should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaFailure {
    /// What kind of thing went wrong.
    pub reason: ReplicaReason,
    /// The sentence about it.
    pub problem: String,
    /// What it lacks.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Since when it fails.
    pub since: Timestamp,
    /// When the next try is due.
    pub next_try: Timestamp,
}

/// What kind of thing went wrong at a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum ReplicaReason {
    /// A registry, its own or the one that is copied from.
    Registry(TroubleKind),
    /// Its `<version>-<suffix>` names another digest, which is never overwritten.
    TagTaken {
        /// The digest that it names.
        found: Digest,
    },
    /// Something is still missing after everything was copied.
    Incomplete,
    /// No signature counts there, although one counts at the source.
    SignatureInvalid,
}

/// What went wrong in one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setback {
    /// What kind of thing.
    pub reason: ReplicaReason,
    /// The sentence about it.
    pub problem: String,
    /// What is missing.
    pub missing: Vec<String>,
    /// The earliest time at which a registry wants to be asked again.
    pub not_before: Option<Timestamp>,
}

impl ReplicaReason {
    /// The word in the status.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Registry(kind) => kind.as_str(),
            Self::TagTaken { .. } => "TagTaken",
            Self::Incomplete => "Incomplete",
            Self::SignatureInvalid => "SignatureInvalid",
        }
    }

    /// The reason behind a word in the status, and the digest of the tag beside it.
    pub fn of(word: &str, found: Option<Digest>) -> Self {
        let kinds = [
            TroubleKind::RegistryUnavailable,
            TroubleKind::RegistryDenied,
            TroubleKind::RegistryUntrusted,
            TroubleKind::CredentialsMissing,
        ];
        match (word, found) {
            ("TagTaken", Some(found)) => Self::TagTaken { found },
            ("Incomplete", _) => Self::Incomplete,
            ("SignatureInvalid", _) => Self::SignatureInvalid,
            _ => Self::Registry(
                kinds
                    .into_iter()
                    .find(|kind| kind.as_str() == word)
                    .unwrap_or(TroubleKind::RegistryUnavailable),
            ),
        }
    }
}

impl ReplicaFailure {
    /// What is known after a try that failed: the longer it has been failing, the rarer the tries.
    pub fn after(before: Option<&Self>, setback: Setback, now: Timestamp) -> Self {
        let since = before.map_or(now, |before| before.since);
        let pause = now
            .duration_since(since)
            .clamp(SHORTEST_RETRY, LONGEST_RETRY);
        Self {
            reason: setback.reason,
            problem: setback.problem,
            missing: setback.missing,
            since,
            next_try: setback
                .not_before
                .map_or(now + pause, |at| at.max(now + pause)),
        }
    }
}

impl ReplicaState {
    /// What went wrong last, unless it has gone well since.
    pub fn failure(&self) -> Option<&ReplicaFailure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Copying { after } => after.as_ref(),
            Self::Pending | Self::Copied | Self::Tagged | Self::Replicated => None,
        }
    }

    /// The word in the status.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Copying { .. } => "Copying",
            Self::Copied => "Copied",
            Self::Tagged => "Tagged",
            Self::Replicated => "Replicated",
            Self::Failed(_) => "Failed",
        }
    }
}

impl Environment {
    /// The replicas that the policy lists for an artifact.
    pub fn replicas_of(&self, artifact: &str) -> &[Replica] {
        self.replicas.get(artifact).map_or(&[], Vec::as_slice)
    }
}

impl Observed {
    /// The replicas that this promotion is for: those that the policy lists and, once the intent is stated,
    /// that the intent names. One that the policy no longer lists gets nothing more.
    pub fn replicas_planned(&self) -> Vec<&Replica> {
        let Some(plan) = self.plan.as_ref().filter(|_| !self.request.dry_run) else {
            return Vec::new();
        };
        let listed = self
            .environments
            .get(&plan.route.to)
            .map_or(&[][..], |environment| {
                environment.replicas_of(&plan.route.artifact)
            });
        let stated = |replica: &&Replica| {
            self.intent.as_ref().is_none_or(|intent| {
                intent.replicas.iter().any(|known| {
                    known.name == replica.name && known.repository == replica.repository
                })
            })
        };
        listed.iter().filter(stated).collect()
    }

    /// How far a replica is, as far as status and this pass know.
    pub fn replica_state(&self, name: &str) -> &ReplicaState {
        self.replicas.get(name).unwrap_or(&ReplicaState::Pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setback() -> Setback {
        Setback {
            reason: ReplicaReason::Registry(TroubleKind::RegistryUnavailable),
            problem: "503".to_owned(),
            missing: Vec::new(),
            not_before: None,
        }
    }

    #[test]
    fn tries_become_rarer_up_to_a_quarter_of_an_hour() {
        let start: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        let mut failure = ReplicaFailure::after(None, setback(), start);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let now = failure.next_try;
            let next = ReplicaFailure::after(Some(&failure), setback(), now);
            assert_eq!(next.since, start);
            pauses.push(next.next_try.duration_since(now).as_secs());
            failure = next;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
    }

    #[test]
    fn a_registry_that_names_a_time_is_not_tried_before() {
        let now: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        let asked = now + SignedDuration::from_mins(40);
        let wants = Setback {
            not_before: Some(asked),
            ..setback()
        };
        assert_eq!(ReplicaFailure::after(None, wants, now).next_try, asked);
    }

    #[test]
    fn every_reason_is_read_back_from_its_word() {
        let found = Digest::of(b"other");
        for reason in [
            ReplicaReason::Registry(TroubleKind::RegistryDenied),
            ReplicaReason::Registry(TroubleKind::CredentialsMissing),
            ReplicaReason::TagTaken {
                found: found.clone(),
            },
            ReplicaReason::Incomplete,
            ReplicaReason::SignatureInvalid,
        ] {
            assert_eq!(
                ReplicaReason::of(reason.as_str(), Some(found.clone())),
                reason
            );
        }
    }
}
