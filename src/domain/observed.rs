//! What is true now, as far as floe has looked: plain values. Not looked at is `None`, never a guess.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::artifact::Digest;
use super::decision::{Stage, TroubleKind};
use super::gates::GateState;
use super::plan::Plan;
use super::policy::Environments;
use super::record::Recorded;
use super::replicas::{Replica, ReplicaState};
use super::request::Request;
use super::signature::ObservedSignature;

/// Everything that a decision may depend on, besides the time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a pass learns them one by one"
)]
pub struct Observed {
    /// What was asked for.
    pub request: Request,
    /// The environments of the namespace.
    pub environments: Environments,
    /// Whether the API server writes down who asks.
    pub stamp: Stamp,
    /// This process has compared the ledger of the target with the registry since it began to lead.
    pub ledger_compared: bool,
    /// The plan, once it is pinned in the status.
    pub plan: Option<Plan>,
    /// What the source tag names.
    pub source: Option<Source>,
    /// What the target tag names.
    pub target: Option<TagState>,
    /// Whether the registry holds the record of the promotion into the source environment.
    pub upstream_record: Option<bool>,
    /// What was found out about the signatures of the plan's digest.
    pub signature: Option<ObservedSignature>,
    /// Gates, by name.
    pub gates: BTreeMap<String, ObservedGate>,
    /// Earlier requests were looked through for results that count again; what they had is in `gates`.
    pub earlier_results: bool,
    /// The environment's write slot.
    pub claim: Claim,
    /// Whether the target repository holds what is copied from another one.
    pub target_copy: Option<TargetCopy>,
    /// How far replicas are, by name: as the status has it, then as this pass has seen it.
    pub replicas: BTreeMap<String, ReplicaState>,
    /// The intent is stored in the status.
    pub intent: Option<Stated>,
    /// What came of writing the tag.
    pub tag: Option<TagWrite>,
    /// What the search for a record of this request found.
    pub own_record: Option<OwnRecord>,
    /// The record, once it is written and was read back.
    pub record: Option<Recorded>,
    /// `latest-<suffix>` names the digest.
    pub latest: bool,
    /// The ledger has this promotion.
    pub settled: bool,
    /// The registry answered in a way that stops us.
    pub trouble: Option<Trouble>,
    /// What the status says it waits for, and since when.
    pub waiting: Option<WaitingSince>,
}

/// Whether the API server writes down who asks, as a rehearsal has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Stamp {
    /// It does: what was made at this time or later says truly who asks.
    InForce {
        /// Since when.
        since: Timestamp,
    },
    /// It does not, or nobody can tell.
    NotInForce {
        /// What was seen instead.
        problem: String,
    },
}

/// What the source tag names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A manifest.
    #[serde(rename_all = "camelCase")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// Nothing: a clean 404.
    Absent,
    /// Something that floe does not promote, and why.
    Unsupported(String),
}

/// What a tag names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TagState {
    /// This digest.
    Names(Digest),
    /// Nothing: a clean 404.
    Absent,
}

/// How far the copy from another repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetCopy {
    /// It is under way.
    Copying,
    /// Everything that the digest is made of and everything that refers to it is there.
    Complete,
}

/// What the intent in the status says, as far as decisions depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stated {
    /// Digest of the policy under which it was stated.
    pub policy: String,
    /// Number of the record.
    pub sequence: i64,
    /// The record before it.
    #[serde(default)]
    pub after: Option<Digest>,
    /// The replicas that it names.
    #[serde(default)]
    pub replicas: Vec<Replica>,
}

/// A gate as it is known: from the status, when a verdict was stored, else from its Job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObservedGate {
    /// Specification and digest that it judged.
    pub spec_hash: String,
    /// How far it is.
    pub state: GateState,
}

/// The write slot in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Claim {
    /// Not asked for in this pass. An earlier pass may have left one, as the cache shows it.
    #[serde(rename_all = "camelCase")]
    Unasked {
        /// The cached ledger names this request.
        left_over: bool,
    },
    /// Ours, read from the API server in this pass.
    Held,
    /// Of another request.
    #[serde(rename_all = "camelCase")]
    Busy {
        /// Its name.
        holder: String,
    },
    /// Ours, but an earlier operator process may still be writing.
    #[serde(rename_all = "camelCase")]
    Inherited {
        /// When it is certain that it does not.
        until: Timestamp,
    },
    /// Given back.
    #[default]
    Released,
}

/// What came of writing `<version>-<suffix>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TagWrite {
    /// It was absent, was put, and names the digest.
    Written,
    /// It named the digest already.
    AlreadyThere,
    /// It names another digest; nothing was written.
    Taken(Digest),
    /// The source tag no longer names the digest; nothing was written.
    SourceMoved(Option<Digest>),
}

/// What the search for a record of this request found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OwnRecord {
    /// The record of this very object.
    Ours(Recorded),
    /// The record of an earlier object of this name.
    Namesake(Recorded),
    /// None.
    Absent,
}

/// Why the registry could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trouble {
    /// What is wrong.
    pub kind: TroubleKind,
    /// The client's sentence.
    pub problem: String,
    /// The earliest time at which the registry wants to be asked again.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
}

/// What the status says it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitingSince {
    /// The stable word.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What came of an action: what the world says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The source tag was read.
    Source(Source),
    /// The target tag was looked up.
    Target(TagState),
    /// The upstream record was searched.
    UpstreamRecord(bool),
    /// The plan is in the status.
    Pinned(Plan),
    /// Signatures of the plan's digest were looked at.
    Signature(ObservedSignature),
    /// Earlier requests were looked through for results; these count again.
    EarlierResults(BTreeMap<String, ObservedGate>),
    /// The gate's Job is there, or could not be made.
    Gate(String, ObservedGate),
    /// The write slot was asked for; these are the policies at that moment.
    Claim(Claim, Environments),
    /// The copy from another repository was looked at.
    TargetCopy(TargetCopy),
    /// Work on the replica of this name was looked at.
    Replica(String, ReplicaState),
    /// The intent is in the status.
    Intent(Stated),
    /// The tag was written, or not.
    Tag(TagWrite),
    /// A record of this request was searched.
    OwnRecord(OwnRecord),
    /// The record is there.
    Record(Recorded),
    /// `latest-<suffix>` names the digest.
    Latest,
    /// The ledger has the promotion.
    Settled,
    /// The registry stopped us.
    Trouble(Trouble),
}

impl Observed {
    /// Takes in what came of an action.
    pub fn fold(&mut self, receipt: Receipt) {
        match receipt {
            Receipt::Source(source) => self.source = Some(source),
            Receipt::Target(target) => self.target = Some(target),
            Receipt::UpstreamRecord(found) => self.upstream_record = Some(found),
            Receipt::Pinned(plan) => self.plan = Some(plan),
            Receipt::Signature(found) => self.signature = Some(found),
            Receipt::EarlierResults(found) => {
                self.earlier_results = true;
                self.gates.extend(found);
            }
            Receipt::Gate(name, gate) => {
                self.gates.insert(name, gate);
            }
            Receipt::Claim(claim, environments) => {
                self.claim = claim;
                self.environments = environments;
            }
            Receipt::TargetCopy(copy) => self.target_copy = Some(copy),
            Receipt::Replica(name, state) => {
                self.replicas.insert(name, state);
            }
            Receipt::Intent(stated) => self.intent = Some(stated),
            Receipt::Tag(write) => self.tag = Some(write),
            Receipt::OwnRecord(found) => {
                if let OwnRecord::Ours(recorded) = &found {
                    self.record = Some(recorded.clone());
                }
                self.own_record = Some(found);
            }
            Receipt::Record(recorded) => self.record = Some(recorded),
            Receipt::Latest => self.latest = true,
            Receipt::Settled => {
                self.settled = true;
                self.claim = Claim::Released;
            }
            Receipt::Trouble(trouble) => self.trouble = Some(trouble),
        }
    }

    /// Since when it waits for this reason: from the status when it says so, else from now on.
    pub fn since(&self, reason: &str, now: Timestamp) -> Timestamp {
        match &self.waiting {
            Some(waiting) if waiting.reason == reason => waiting.since,
            Some(_) | None => now,
        }
    }

    /// The write-once tag names the digest, and this request has put it there (or is the one to finish it).
    pub fn tag_is_ours(&self) -> bool {
        match &self.tag {
            Some(TagWrite::Written) => true,
            Some(TagWrite::AlreadyThere) => {
                matches!(
                    self.own_record,
                    Some(OwnRecord::Ours(_) | OwnRecord::Absent)
                )
            }
            Some(TagWrite::Taken(_) | TagWrite::SourceMoved(_)) | None => false,
        }
    }

    /// How far the request has come, as far as this pass has seen.
    pub fn stage_reached(&self) -> Stage {
        if self.plan.is_none() {
            Stage::Resolving
        } else if self.record.is_some() {
            Stage::Publishing
        } else if self.tag_is_ours() {
            Stage::Recording
        } else if self.intent.is_some() || self.claim == Claim::Held {
            Stage::Writing
        } else {
            Stage::Gating
        }
    }
}
