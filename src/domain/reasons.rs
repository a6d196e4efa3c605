//! Every reason that a condition, the command line or an Event can give: what it means, what to do.
//!
//! The words are API: they do not change. `docs/reference/reasons.md` is made from this table.

/// A word and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The word.
    pub word: &'static str,
    /// How it ends.
    pub ends: Ends,
    /// What it means.
    pub meaning: &'static str,
    /// What a person can do; empty when there is nothing to do.
    pub advice: &'static str,
}

/// How a request with this reason ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It has succeeded.
    Succeeded,
    /// It has failed.
    Failed,
    /// It waits, and does not give up.
    Waits,
    /// It waits 10 minutes, then it fails.
    WaitsThenFails,
    /// It waits an hour, then it fails.
    WaitsAnHourThenFails,
    /// No request ends with it: it says how the tags of an environment stand.
    OfTags,
}

impl Ends {
    /// For a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Waits => "waits",
            Self::WaitsThenFails => "waits 10 minutes, then failed",
            Self::WaitsAnHourThenFails => "waits, after 1 hour failed",
            Self::OfTags => "condition TagsInSync of a policy",
        }
    }
}

/// It is not certain which record of an environment is the newest.
pub const LEDGER_UNPROVEN: &str = "LedgerUnproven";

/// What this word stands for.
pub fn find(word: &str) -> Option<&'static Reason> {
    REASONS.iter().find(|reason| reason.word == word)
}

/// All of them.
pub const REASONS: &[Reason] = &[
    Reason {
        word: "Promoted",
        ends: Ends::Succeeded,
        meaning: "The tags of the environment name the digest, and the record lies beside the artifact.",
        advice: "",
    },
    Reason {
        word: "AlreadyPromoted",
        ends: Ends::Succeeded,
        meaning: "The version was in the environment already; nothing was moved.",
        advice: "",
    },
    Reason {
        word: "DryRunPassed",
        ends: Ends::Succeeded,
        meaning: "Everything would have passed; nothing was written.",
        advice: "Promote it: the same command without --dry-run.",
    },
    Reason {
        word: "EnvironmentNotFound",
        ends: Ends::WaitsThenFails,
        meaning: "The namespace has no EnvironmentPolicy of this name.",
        advice: "Create the policy, or use the name of one that exists (kubectl get fenv); aliases are understood by the command line only.",
    },
    Reason {
        word: "ArtifactNotFound",
        ends: Ends::WaitsThenFails,
        meaning: "The EnvironmentPolicy does not list the artifact.",
        advice: "Add the artifact to spec.artifacts of the policy, or use a name that is there.",
    },
    Reason {
        word: "PolicyInvalid",
        ends: Ends::Waits,
        meaning: "A policy on the way cannot be used: a field is wrong, or its tags belong to an older policy.",
        advice: "Mend the policy; its condition Valid says what is wrong (kubectl describe fenv).",
    },
    Reason {
        word: "LedgerNotReady",
        ends: Ends::Waits,
        meaning: "What the environment holds is being compared with the registry and the audit log, as for a policy that was just made or an operator that has just started.",
        advice: "Nothing for a moment; if it stays, see why the policy is not Ready (kubectl describe fenv).",
    },
    Reason {
        word: LEDGER_UNPROVEN,
        ends: Ends::Waits,
        meaning: "After a ledger was lost or restored, the records in the registry do not fit together: it is not certain which one is the newest. Nothing is promoted into the environment.",
        advice: "See what is there, and say which record is the newest: floe platform audit repair ENVIRONMENT.",
    },
    Reason {
        word: "InvalidTransition",
        ends: Ends::Failed,
        meaning: "The environment does not take versions from there, or the request leaves open which way is meant.",
        advice: "Promote through the environments in order: promotesFrom in the policy says from where.",
    },
    Reason {
        word: "InvalidVersion",
        ends: Ends::Failed,
        meaning: "The version is not SemVer 2, or its tags could be read as those of another version or environment.",
        advice: "Publish under another version.",
    },
    Reason {
        word: "SourceNotFound",
        ends: Ends::WaitsThenFails,
        meaning: "The repository has no tag of this version.",
        advice: "Publish it: floe platform publish PATH --version VERSION.",
    },
    Reason {
        word: "NotPromotedUpstream",
        ends: Ends::WaitsThenFails,
        meaning: "The version has not been promoted to the environment that it should come from.",
        advice: "Promote it there first: floe platform promote VERSION --to that environment.",
    },
    Reason {
        word: "DigestMismatch",
        ends: Ends::Failed,
        meaning: "The source has another digest than the request expects.",
        advice: "Find out who published this version (floe platform list); then ask again with the right digest.",
    },
    Reason {
        word: "SourceMoved",
        ends: Ends::Failed,
        meaning: "The source tag was moved or deleted while gates ran. What they judged is not what it names now.",
        advice: "Find out who moves tags in the repository, and make its tags immutable there; then promote again.",
    },
    Reason {
        word: "TagTaken",
        ends: Ends::Failed,
        meaning: "The tag of this version and environment names another digest. It is never moved.",
        advice: "Publish the change under a new version.",
    },
    Reason {
        word: "Downgrade",
        ends: Ends::Failed,
        meaning: "The environment holds a higher version.",
        advice: "Promote a higher version, or allow it with versionOrder: Any in the policy.",
    },
    Reason {
        word: "ArtifactUnsupported",
        ends: Ends::Failed,
        meaning: "The manifest is over 4 MiB, of schema 1, or of an unknown type.",
        advice: "Publish it as an OCI image manifest or index.",
    },
    Reason {
        word: "GatesRunning",
        ends: Ends::Waits,
        meaning: "Gates have not ended.",
        advice: "",
    },
    Reason {
        word: "SignatureInvalid",
        ends: Ends::Failed,
        meaning: "The policy asks for a signature of the artifact, and none of those beside it counts. No gate was started.",
        advice: "Sign the digest with a key or identity of the policy (cosign sign), then promote again; the message says why each signature does not count.",
    },
    Reason {
        word: "GateFailed",
        ends: Ends::Failed,
        meaning: "A gate ran and said no.",
        advice: "Mend what the gate found, publish it under a new version, and promote that.",
    },
    Reason {
        word: "GateError",
        ends: Ends::Failed,
        meaning: "A gate could not be run: its image could not be pulled, its Pod did not start, or its Job belongs to somebody else.",
        advice: "Mend the gate in the policy or the cluster (the message names what), then promote again: the command line makes a new try.",
    },
    Reason {
        word: "GateTimedOut",
        ends: Ends::Failed,
        meaning: "A gate was still running at its timeout.",
        advice: "Make the check faster or raise timeout of the gate in the policy, then promote again.",
    },
    Reason {
        word: "Copying",
        ends: Ends::Waits,
        meaning: "The artifact is being copied to where it must be before a tag is written: the environment's own repository, or a required replica.",
        advice: "",
    },
    Reason {
        word: "ReplicaUnavailable",
        ends: Ends::WaitsAnHourThenFails,
        meaning: "A replica that the policy requires cannot be brought up to date. Before the first tag is written, nothing is promoted without it; afterwards floe waits for it as long as it takes.",
        advice: "See status.replicas of the Promotion for what is wrong there; mend it, or take required away in the policy.",
    },
    Reason {
        word: "EnvironmentBusy",
        ends: Ends::Waits,
        meaning: "Another promotion writes to this environment at the moment.",
        advice: "",
    },
    Reason {
        word: "EarlierOperator",
        ends: Ends::Waits,
        meaning: "An operator process that was replaced a moment ago may still be writing.",
        advice: "",
    },
    Reason {
        word: "RegistryUnavailable",
        ends: Ends::WaitsAnHourThenFails,
        meaning: "The registry does not answer, or answers 429 or 5xx.",
        advice: "Nothing, if it comes back; otherwise see why the operator's Pod cannot reach it.",
    },
    Reason {
        word: "RegistryDenied",
        ends: Ends::WaitsThenFails,
        meaning: "The registry refuses the operator's credentials (401 or 403).",
        advice: "Check what the policy names under credentials, and what that account may do; the message has the registry's or cloud's own words.",
    },
    Reason {
        word: "RegistryUntrusted",
        ends: Ends::WaitsThenFails,
        meaning: "The registry's certificate is not trusted.",
        advice: "Name a Secret with its certificate authority under caSecretName in the policy.",
    },
    Reason {
        word: "CredentialsMissing",
        ends: Ends::Waits,
        meaning: "A Secret or ServiceAccount that the policy names is missing, malformed or out of reach.",
        advice: "Create or mend it; the message says which and how.",
    },
    Reason {
        word: "RequesterPolicyMissing",
        ends: Ends::Waits,
        meaning: "The API server does not write down who asks, so anybody could ask in another's name. Nothing is promoted.",
        advice: "Install the admission policies of the chart (admission.install), or mend them: the message says what is wrong.",
    },
    Reason {
        word: "RequesterUnproven",
        ends: Ends::Failed,
        meaning: "The request was made before the API server wrote down who asks.",
        advice: "Ask again: the command line makes a new try, other clients make a Promotion under a new name.",
    },
    Reason {
        word: "SigningKeyMissing",
        ends: Ends::Waits,
        meaning: "The key that signs the records of the namespace is gone or malformed, and it had one before.",
        advice: "Put the Secret back from a backup that is not older than the last rotation, or give the namespace a new key: floe platform audit key --new.",
    },
    Reason {
        word: "AuditLogUnavailable",
        ends: Ends::Waits,
        meaning: "The operator cannot write its audit log: the volume is full, gone or read-only. Nothing is promoted meanwhile.",
        advice: "Make room on the operator's volume, or mend it: older files of the log may be moved to where they are kept. floe goes on by itself.",
    },
    Reason {
        word: "Aborted",
        ends: Ends::Failed,
        meaning: "Somebody stopped or deleted the request before anything was written.",
        advice: "",
    },
    Reason {
        word: "TagsInSync",
        ends: Ends::OfTags,
        meaning: "Each tag of the environment names what the ledger says.",
        advice: "",
    },
    Reason {
        word: "NotCompared",
        ends: Ends::OfTags,
        meaning: "The tags have not been compared with the ledger yet.",
        advice: "",
    },
    Reason {
        word: "TagMoved",
        ends: Ends::OfTags,
        meaning: "Somebody else has put a tag of the environment on another digest; status.artifacts[].drift has all of them.",
        advice: "Find out who writes to the repository, then put it back: floe platform repair ENVIRONMENT.",
    },
    Reason {
        word: "TagMissing",
        ends: Ends::OfTags,
        meaning: "Somebody else has deleted a tag of the environment.",
        advice: "Put it back: floe platform repair ENVIRONMENT.",
    },
    Reason {
        word: "RecordMissing",
        ends: Ends::OfTags,
        meaning: "The manifest with the record of a promotion is gone from the registry.",
        advice: "Bring it back from a backup of the registry: it cannot be made again.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::decision::{FailureReason, Outcome, TroubleKind, WaitingOn};
    use super::*;
    use jiff::Timestamp;

    /// One of each; the match beside each list stops the compile when a variant is added.
    fn failures() -> Vec<FailureReason> {
        use FailureReason as F;
        let digest = super::super::artifact::Digest::of(b"");
        let text = String::new;
        let guard = |reason: &F| match reason {
            F::EnvironmentNotFound { .. }
            | F::ArtifactNotFound { .. }
            | F::InvalidTransition(_)
            | F::InvalidVersion(_)
            | F::SourceNotFound(_)
            | F::NotPromotedUpstream { .. }
            | F::DigestMismatch { .. }
            | F::SourceMoved { .. }
            | F::TagTaken { .. }
            | F::Downgrade { .. }
            | F::ArtifactUnsupported(_)
            | F::SignatureInvalid { .. }
            | F::RegistryUnavailable(_)
            | F::RegistryDenied(_)
            | F::RegistryUntrusted(_)
            | F::ReplicaUnavailable { .. }
            | F::GateFailed(_)
            | F::GateError(_)
            | F::GateTimedOut(_)
            | F::RequesterUnproven { .. }
            | F::AbortedBy { .. }
            | F::Aborted => (),
        };
        let all = vec![
            F::EnvironmentNotFound {
                name: text(),
                known: text(),
            },
            F::ArtifactNotFound {
                name: text(),
                environment: text(),
            },
            F::InvalidTransition(text()),
            F::InvalidVersion(text()),
            F::SourceNotFound(text()),
            F::NotPromotedUpstream {
                environment: text(),
                version: text(),
            },
            F::DigestMismatch {
                expected: text(),
                found: digest.clone(),
            },
            F::SourceMoved {
                tag: text(),
                was: digest.clone(),
                found: None,
            },
            F::TagTaken {
                tag: text(),
                found: digest.clone(),
            },
            F::SignatureInvalid {
                digest,
                problem: text(),
            },
            F::Downgrade {
                version: text(),
                current: text(),
            },
            F::ArtifactUnsupported(text()),
            F::RegistryUnavailable(text()),
            F::RegistryDenied(text()),
            F::RegistryUntrusted(text()),
            F::ReplicaUnavailable {
                name: text(),
                problem: text(),
            },
            F::GateFailed(Vec::new()),
            F::GateError(Vec::new()),
            F::GateTimedOut(Vec::new()),
            F::RequesterUnproven {
                since: Timestamp::UNIX_EPOCH,
            },
            F::AbortedBy {
                by: text(),
                reason: None,
            },
            F::Aborted,
        ];
        all.iter().for_each(guard);
        all
    }

    fn waits() -> Vec<WaitingOn> {
        use WaitingOn as W;
        let text = String::new;
        let at = Timestamp::UNIX_EPOCH;
        let guard = |waiting: &W| match waiting {
            W::Environment { .. }
            | W::Artifact { .. }
            | W::Policy { .. }
            | W::Ledger { .. }
            | W::LedgerUnproven { .. }
            | W::Source { .. }
            | W::Upstream { .. }
            | W::Gates { .. }
            | W::Copying { .. }
            | W::Replica { .. }
            | W::EnvironmentBusy { .. }
            | W::EarlierOperator { .. }
            | W::RequesterPolicy { .. } => (),
            W::Registry { kind, .. } => match kind {
                TroubleKind::RegistryUnavailable
                | TroubleKind::RegistryDenied
                | TroubleKind::RegistryUntrusted
                | TroubleKind::CredentialsMissing
                | TroubleKind::SigningKeyMissing
                | TroubleKind::AuditLogUnavailable => (),
            },
        };
        let mut all = vec![
            W::Environment {
                name: text(),
                known: text(),
                gives_up_at: at,
            },
            W::Artifact {
                name: text(),
                environment: text(),
                gives_up_at: at,
            },
            W::Policy {
                name: text(),
                problem: text(),
            },
            W::Ledger {
                environment: text(),
            },
            W::LedgerUnproven {
                environment: text(),
                problem: text(),
            },
            W::Source {
                reference: text(),
                gives_up_at: at,
            },
            W::Upstream {
                environment: text(),
                version: text(),
                gives_up_at: at,
            },
            W::Gates {
                running: Vec::new(),
                not_passed: Vec::new(),
            },
            W::Copying { to: Vec::new() },
            W::Replica {
                name: text(),
                problem: text(),
                next_try: at,
            },
            W::EnvironmentBusy { holder: text() },
            W::EarlierOperator { until: at },
            W::RequesterPolicy { problem: text() },
        ];
        all.extend(
            [
                TroubleKind::RegistryUnavailable,
                TroubleKind::RegistryDenied,
                TroubleKind::RegistryUntrusted,
                TroubleKind::CredentialsMissing,
                TroubleKind::SigningKeyMissing,
                TroubleKind::AuditLogUnavailable,
            ]
            .map(|kind| W::Registry {
                kind,
                problem: text(),
                next_try: at,
            }),
        );
        all.iter().for_each(guard);
        all
    }

    #[test]
    fn every_reason_that_floe_gives_is_in_the_table_and_no_other() {
        let mut given: BTreeSet<&str> = failures().iter().map(FailureReason::reason).collect();
        let failing = given.clone();
        let waiting: BTreeSet<&str> = waits().iter().map(WaitingOn::reason).collect();
        given.extend(&waiting);
        let ended_well = [
            Outcome::Promoted,
            Outcome::AlreadyPromoted,
            Outcome::DryRunPassed,
        ];
        let ended_well: BTreeSet<&str> = ended_well.iter().map(Outcome::reason).collect();
        given.extend(&ended_well);
        given.extend(super::super::drift::REASONS);
        let table: BTreeSet<&str> = REASONS.iter().map(|reason| reason.word).collect();
        assert_eq!(table, given);
        assert_eq!(table.len(), REASONS.len(), "a word is there twice");
        for reason in REASONS {
            let word = reason.word;
            let wanted = match reason.ends {
                Ends::Succeeded => (true, false, false),
                Ends::Failed => (false, true, false),
                Ends::Waits => (false, false, true),
                Ends::WaitsThenFails | Ends::WaitsAnHourThenFails => (false, true, true),
                Ends::OfTags => (false, false, false),
            };
            let found = (
                ended_well.contains(word),
                failing.contains(word),
                waiting.contains(word),
            );
            assert_eq!(found, wanted, "{word}");
        }
    }
}
