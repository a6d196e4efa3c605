//! What floe does next, what it waits for, and why it gives up: as values that a condition, the command
//! line and a test print alike.

mod outcome;
mod waiting;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use outcome::{FailureReason, GateVerdict, Outcome};
pub use waiting::{RunningGate, TroubleKind, WaitingOn};

/// What floe does next. Equal inputs give equal decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decision {
    /// Where the request stands.
    pub stage: Stage,
    /// What to do now: at most one of them cannot be undone.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What it waits for when there is nothing to do.
    #[serde(default)]
    pub waiting_on: Option<WaitingOn>,
    /// How it ended, once it has.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// When to look again at the latest; changes of what is watched come earlier. A promotion that has ended
    /// well is looked at again while replicas are on their way.
    #[serde(default)]
    pub next_look: Option<Timestamp>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// The source is being resolved to a digest.
    Resolving,
    /// Gates judge the digest.
    Gating,
    /// The artifact is copied to where it must be before a tag is written: another repository of the
    /// environment, and replicas that are required.
    Copying,
    /// The claim is taken, the intent stated, `<version>-<suffix>` written.
    Writing,
    /// The record is written beside the artifact.
    Recording,
    /// `latest-<suffix>` moves, the ledger is brought up to date.
    Publishing,
    /// Ended well.
    Succeeded,
    /// Ended without promotion.
    Failed,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Action {
    /// Read the manifest that the source tag names.
    ReadSource,
    /// Look up what the target tag names.
    ReadTarget,
    /// Look in the registry for the record by which the source environment promoted this digest.
    FindUpstreamRecord,
    /// Store the plan in the status, before anything else is done.
    PinPlan,
    /// Look for a signature of the pinned digest that counts.
    VerifySignature,
    /// Look through earlier requests for results of gates that count again.
    FindEarlierResults,
    /// Start the Job of this gate.
    StartGate(String),
    /// Copy the artifact into the environment's own repository, by digest.
    CopyToTarget,
    /// Copy the artifact into this required replica, by digest, without tags.
    CopyToReplica(String),
    /// Bring this replica up to date with the record, prove that nothing is missing, and put
    /// `<version>-<suffix>` there.
    TagReplica(String),
    /// Put `latest-<suffix>` of this replica on the digest, when the ledger says that this promotion is the
    /// current one.
    MoveReplicaLatest(String),
    /// Take the environment's write slot for this artifact, and read all policies afresh.
    Claim,
    /// Give the write slot back.
    ReleaseClaim,
    /// Store verdicts and intent in the status, before the first tag.
    StateIntent,
    /// Put `<version>-<suffix>` on the digest: HEAD, PUT, HEAD.
    WriteTag,
    /// Look in the registry for a record of this very request.
    FindOwnRecord,
    /// Write the record beside the artifact.
    WriteRecord,
    /// Put `latest-<suffix>` on the digest: HEAD, PUT, HEAD.
    MoveLatest,
    /// Enter the promotion into the ledger and give the write slot back.
    Settle,
}

impl Stage {
    /// Nothing more happens to a request in this stage.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed => true,
            Self::Resolving
            | Self::Gating
            | Self::Copying
            | Self::Writing
            | Self::Recording
            | Self::Publishing => false,
        }
    }

    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "Resolving",
            Self::Gating => "Gating",
            Self::Copying => "Copying",
            Self::Writing => "Writing",
            Self::Recording => "Recording",
            Self::Publishing => "Publishing",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

impl Decision {
    /// Do this, then decide again.
    pub fn act(stage: Stage, actions: Vec<Action>) -> Self {
        Self {
            stage,
            actions,
            waiting_on: None,
            outcome: None,
            next_look: None,
        }
    }

    /// It has ended, and nothing is left to be done or looked at.
    pub fn is_over(&self) -> bool {
        self.outcome.is_some() && self.actions.is_empty() && self.next_look.is_none()
    }

    /// Nothing to do before something changes.
    pub fn wait(stage: Stage, waiting_on: WaitingOn, next_look: Timestamp) -> Self {
        Self {
            stage,
            actions: Vec::new(),
            waiting_on: Some(waiting_on),
            outcome: None,
            next_look: Some(next_look),
        }
    }

    /// It has ended.
    pub fn end(outcome: Outcome) -> Self {
        let stage = match &outcome {
            Outcome::Promoted | Outcome::AlreadyPromoted | Outcome::DryRunPassed => {
                Stage::Succeeded
            }
            Outcome::Failed(_) => Stage::Failed,
        };
        Self {
            stage,
            actions: Vec::new(),
            waiting_on: None,
            outcome: Some(outcome),
            next_look: None,
        }
    }
}
