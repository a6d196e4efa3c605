//! Every word that a decision can contain, so that none stays without a scenario.

use std::collections::BTreeSet;

use floe::domain::decision::{
    Action, Decision, FailureReason, Outcome, Stage, TroubleKind, WaitingOn,
};

/// Names the variants of an enum, all of them: a new one breaks the match until it is listed here, and
/// then the test until a scenario expects it.
macro_rules! variants {
    ($word:ident, $all:ident, $type:ident { $($variant:ident),+ $(,)? }) => {
        const $all: &[&str] = &[$(concat!(stringify!($type), "::", stringify!($variant))),+];
        fn $word(value: &$type) -> &'static str {
            match value {
                $($type::$variant { .. } => concat!(stringify!($type), "::", stringify!($variant))),+
            }
        }
    };
}

variants!(
    stage,
    STAGES,
    Stage {
        Resolving,
        Gating,
        Copying,
        Writing,
        Recording,
        Publishing,
        Succeeded,
        Failed,
    }
);
variants!(
    action,
    ACTIONS,
    Action {
        ReadSource,
        ReadTarget,
        FindUpstreamRecord,
        PinPlan,
        VerifySignature,
        FindEarlierResults,
        StartGate,
        CopyToTarget,
        CopyToReplica,
        TagReplica,
        MoveReplicaLatest,
        Claim,
        ReleaseClaim,
        StateIntent,
        WriteTag,
        FindOwnRecord,
        WriteRecord,
        MoveLatest,
        Settle,
    }
);
variants!(
    waiting_on,
    WAITS,
    WaitingOn {
        Environment,
        Artifact,
        Policy,
        Ledger,
        LedgerUnproven,
        Source,
        Upstream,
        Gates,
        Copying,
        Replica,
        EnvironmentBusy,
        EarlierOperator,
        RequesterPolicy,
        Registry,
    }
);
variants!(
    trouble_kind,
    TROUBLES,
    TroubleKind {
        RegistryUnavailable,
        RegistryDenied,
        RegistryUntrusted,
        CredentialsMissing,
        SigningKeyMissing,
    }
);
variants!(
    outcome,
    OUTCOMES,
    Outcome {
        Promoted,
        AlreadyPromoted,
        DryRunPassed,
        Failed
    }
);
variants!(
    failure,
    FAILURES,
    FailureReason {
        EnvironmentNotFound,
        ArtifactNotFound,
        InvalidTransition,
        InvalidVersion,
        SourceNotFound,
        NotPromotedUpstream,
        DigestMismatch,
        SourceMoved,
        TagTaken,
        Downgrade,
        ArtifactUnsupported,
        SignatureInvalid,
        RegistryUnavailable,
        RegistryDenied,
        RegistryUntrusted,
        ReplicaUnavailable,
        GateFailed,
        GateError,
        GateTimedOut,
        RequesterUnproven,
        AbortedBy,
        Aborted,
    }
);

/// The variants that occur in none of these decisions.
pub(crate) fn missing_from(decisions: &[Decision]) -> Vec<&'static str> {
    let seen: BTreeSet<&str> = decisions.iter().flat_map(words).collect();
    [STAGES, ACTIONS, WAITS, TROUBLES, OUTCOMES, FAILURES]
        .concat()
        .into_iter()
        .filter(|word| !seen.contains(word))
        .collect()
}

fn words(decision: &Decision) -> Vec<&'static str> {
    let Decision {
        stage: at,
        actions,
        waiting_on: wait,
        outcome: end,
        next_look: _,
    } = decision;
    let mut words = vec![stage(at)];
    words.extend(actions.iter().map(action));
    words.extend(wait.iter().map(waiting_on));
    if let Some(WaitingOn::Registry { kind, .. }) = wait {
        words.push(trouble_kind(kind));
    }
    words.extend(end.iter().map(outcome));
    if let Some(Outcome::Failed(reason)) = end {
        words.push(failure(reason));
    }
    words
}
