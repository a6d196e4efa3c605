//! What floe does next, what it waits for, and why it gives up: as values that a condition, the command
//! line and a test print alike.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::artifact::Digest;

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
    /// When to look again at the latest; changes of what is watched come earlier.
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
    /// Start the Job of this gate.
    StartGate(String),
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

/// What a request waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum WaitingOn {
    /// A policy of this name.
    Environment {
        /// Name that was asked for.
        name: String,
        /// Names that exist.
        known: String,
        /// When floe gives up.
        gives_up_at: Timestamp,
    },
    /// The artifact in the policy.
    Artifact {
        /// Name that was asked for.
        name: String,
        /// Environment whose policy lacks it.
        environment: String,
        /// When floe gives up.
        gives_up_at: Timestamp,
    },
    /// The policy to become usable.
    Policy {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The ledger of an environment to be read from the registry, as for a policy that was just made.
    Ledger {
        /// Environment.
        environment: String,
    },
    /// The version to be published.
    Source {
        /// Repository and tag.
        reference: String,
        /// When floe gives up.
        gives_up_at: Timestamp,
    },
    /// The version to be promoted upstream.
    Upstream {
        /// Environment in which it is missing.
        environment: String,
        /// Version.
        version: String,
        /// When floe gives up.
        gives_up_at: Timestamp,
    },
    /// Gates to end.
    Gates {
        /// Gate and what it is doing.
        running: Vec<RunningGate>,
        /// Gates that have ended without passing.
        not_passed: Vec<String>,
    },
    /// Another request that writes to the environment.
    EnvironmentBusy {
        /// Its name.
        holder: String,
    },
    /// An earlier operator process, which may still be writing for this request.
    EarlierOperator {
        /// When it is certain that it does not.
        until: Timestamp,
    },
    /// The registry, or the way to it.
    Registry {
        /// What is wrong.
        kind: TroubleKind,
        /// Sentence from the client.
        problem: String,
        /// When floe tries again.
        next_try: Timestamp,
    },
}

/// A gate that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunningGate {
    /// Name of the gate.
    pub name: String,
    /// What it is doing: `starting`, `running`, `pulling image …`.
    pub doing: String,
}

/// What is wrong with a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TroubleKind {
    /// It does not answer, or answers 429 or 5xx, or its answer cannot be trusted.
    RegistryUnavailable,
    /// It says 401 or 403.
    RegistryDenied,
    /// Its certificate is not trusted.
    RegistryUntrusted,
    /// The Secret with the credentials or the certificate authority is missing or malformed.
    CredentialsMissing,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Outcome {
    /// The tags name the digest, the record is written.
    Promoted,
    /// The version was already there; nothing was moved.
    AlreadyPromoted,
    /// Everything would have passed; nothing was written.
    DryRunPassed,
    /// It was not promoted.
    Failed(FailureReason),
}

/// Why a request was not promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum FailureReason {
    /// There is no policy of this name.
    EnvironmentNotFound {
        /// Name that was asked for.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// The policy has no such artifact.
    ArtifactNotFound {
        /// Name that was asked for.
        name: String,
        /// Environment whose policy lacks it.
        environment: String,
    },
    /// The environment does not take from there.
    InvalidTransition(String),
    /// The version is no SemVer, or its tags would be ambiguous.
    InvalidVersion(String),
    /// The bare tag does not exist.
    SourceNotFound(String),
    /// The version was never promoted upstream.
    NotPromotedUpstream {
        /// Environment in which it is missing.
        environment: String,
        /// Version.
        version: String,
    },
    /// The source has another digest than the requester expects.
    DigestMismatch {
        /// Digest that was expected.
        expected: String,
        /// Digest that was found.
        found: Digest,
    },
    /// The source tag names something else than it did.
    SourceMoved {
        /// Source tag.
        tag: String,
        /// Digest that it had.
        was: Digest,
        /// Digest that it has, if any.
        found: Option<Digest>,
    },
    /// The target tag names another digest.
    TagTaken {
        /// Target tag.
        tag: String,
        /// Digest that it names.
        found: Digest,
    },
    /// The environment holds this version or a higher one.
    Downgrade {
        /// Version that was asked for.
        version: String,
        /// Version in the environment.
        current: String,
    },
    /// The manifest is too large, of schema 1 or of an unknown type.
    ArtifactUnsupported(String),
    /// The registry did not answer for an hour.
    RegistryUnavailable(String),
    /// The registry refused the credentials for ten minutes.
    RegistryDenied(String),
    /// The certificate was not trusted for ten minutes.
    RegistryUntrusted(String),
    /// A gate said no.
    GateFailed(Vec<GateVerdict>),
    /// A gate could not be run.
    GateError(Vec<GateVerdict>),
    /// A gate was too slow.
    GateTimedOut(Vec<GateVerdict>),
    /// The request was deleted before anything was written.
    Aborted,
}

/// A gate that did not pass, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateVerdict {
    /// Name of the gate.
    pub name: String,
    /// Its message.
    pub message: String,
}

impl Stage {
    /// Nothing more happens to a request in this stage.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed => true,
            Self::Resolving | Self::Gating | Self::Writing | Self::Recording | Self::Publishing => {
                false
            }
        }
    }

    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "Resolving",
            Self::Gating => "Gating",
            Self::Writing => "Writing",
            Self::Recording => "Recording",
            Self::Publishing => "Publishing",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

impl TroubleKind {
    /// The word in conditions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::RegistryDenied => "RegistryDenied",
            Self::RegistryUntrusted => "RegistryUntrusted",
            Self::CredentialsMissing => "CredentialsMissing",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::RegistryUnavailable => "nothing to do if it comes back",
            Self::RegistryDenied => {
                "check the Secret of the policy's credentials, and the rights of that account"
            }
            Self::RegistryUntrusted => "check caSecretName in the policy",
            Self::CredentialsMissing => "create or mend that Secret",
        }
    }
}

impl WaitingOn {
    /// Stable word: the reason of the `Ready` condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Environment { .. } => "EnvironmentNotFound",
            Self::Artifact { .. } => "ArtifactNotFound",
            Self::Policy { .. } => "PolicyInvalid",
            Self::Ledger { .. } => "LedgerNotReady",
            Self::Source { .. } => "SourceNotFound",
            Self::Upstream { .. } => "NotPromotedUpstream",
            Self::Gates { .. } => "GatesRunning",
            Self::EnvironmentBusy { .. } => "EnvironmentBusy",
            Self::EarlierOperator { .. } => "EarlierOperator",
            Self::Registry { kind, .. } => kind.as_str(),
        }
    }
}

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment {
                name,
                known,
                gives_up_at,
            } => write!(
                f,
                "there is no EnvironmentPolicy '{name}' in this namespace (there is: {known}); create it before {}",
                clock(*gives_up_at)
            ),
            Self::Artifact {
                name,
                environment,
                gives_up_at,
            } => write!(
                f,
                "the EnvironmentPolicy '{environment}' has no artifact '{name}'; add it before {}",
                clock(*gives_up_at)
            ),
            Self::Ledger { environment } => write!(
                f,
                "what is in '{environment}' has not been read from the registry yet; if this lasts, see the conditions of that EnvironmentPolicy"
            ),
            Self::Policy { name, problem } => write!(
                f,
                "the EnvironmentPolicy '{name}' cannot be used: {problem}"
            ),
            Self::Source {
                reference,
                gives_up_at,
            } => write!(
                f,
                "'{reference}' is not in the registry; publish it before {} (floe platform publish)",
                clock(*gives_up_at)
            ),
            Self::Upstream {
                environment,
                version,
                gives_up_at,
            } => write!(
                f,
                "version {version} has not been promoted to '{environment}'; promote it there before {}",
                clock(*gives_up_at)
            ),
            Self::Gates {
                running,
                not_passed,
            } => {
                let running: Vec<String> = running
                    .iter()
                    .map(|gate| format!("{} ({})", gate.name, gate.doing))
                    .collect();
                write!(f, "gates have not ended: {}", running.join(", "))?;
                if not_passed.is_empty() {
                    Ok(())
                } else {
                    write!(f, "; not passed: {}", not_passed.join(", "))
                }
            }
            Self::EnvironmentBusy { holder } => write!(
                f,
                "the Promotion '{holder}' is writing to this environment; this one follows when it has ended"
            ),
            Self::EarlierOperator { until } => write!(
                f,
                "an earlier operator process may still be writing for this Promotion; it goes on at {}",
                clock(*until)
            ),
            Self::Registry {
                kind,
                problem,
                next_try,
            } => {
                write!(
                    f,
                    "{problem}; floe tries again at {}: {}",
                    clock(*next_try),
                    kind.advice()
                )
            }
        }
    }
}

impl Outcome {
    /// Stable word: the reason of the `Ready` and `Succeeded` conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Promoted => "Promoted",
            Self::AlreadyPromoted => "AlreadyPromoted",
            Self::DryRunPassed => "DryRunPassed",
            Self::Failed(failure) => failure.reason(),
        }
    }
}

impl FailureReason {
    /// Stable word of the API.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::EnvironmentNotFound { .. } => "EnvironmentNotFound",
            Self::ArtifactNotFound { .. } => "ArtifactNotFound",
            Self::InvalidTransition(_) => "InvalidTransition",
            Self::InvalidVersion(_) => "InvalidVersion",
            Self::SourceNotFound(_) => "SourceNotFound",
            Self::NotPromotedUpstream { .. } => "NotPromotedUpstream",
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::SourceMoved { .. } => "SourceMoved",
            Self::TagTaken { .. } => "TagTaken",
            Self::Downgrade { .. } => "Downgrade",
            Self::ArtifactUnsupported(_) => "ArtifactUnsupported",
            Self::RegistryUnavailable(_) => "RegistryUnavailable",
            Self::RegistryDenied(_) => "RegistryDenied",
            Self::RegistryUntrusted(_) => "RegistryUntrusted",
            Self::GateFailed(_) => "GateFailed",
            Self::GateError(_) => "GateError",
            Self::GateTimedOut(_) => "GateTimedOut",
            Self::Aborted => "Aborted",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnvironmentNotFound { name, known } => {
                write!(
                    f,
                    "there is no EnvironmentPolicy '{name}' in this namespace (there is: {known})"
                )
            }
            Self::ArtifactNotFound { name, environment } => {
                write!(
                    f,
                    "the EnvironmentPolicy '{environment}' has no artifact '{name}'"
                )
            }
            Self::InvalidTransition(why)
            | Self::InvalidVersion(why)
            | Self::ArtifactUnsupported(why) => f.write_str(why),
            Self::SourceNotFound(reference) => {
                write!(f, "'{reference}' was not published within 10 minutes")
            }
            Self::NotPromotedUpstream {
                environment,
                version,
            } => {
                write!(
                    f,
                    "version {version} was not promoted to '{environment}' within 10 minutes"
                )
            }
            Self::DigestMismatch { expected, found } => {
                write!(
                    f,
                    "the source has the digest {found}, and spec.digest expects {expected}"
                )
            }
            Self::SourceMoved {
                tag,
                was,
                found: Some(found),
            } => {
                write!(
                    f,
                    "the source tag '{tag}' named {was} and now names {found}: somebody moved it, nothing was promoted"
                )
            }
            Self::SourceMoved {
                tag,
                was,
                found: None,
            } => {
                write!(
                    f,
                    "the source tag '{tag}' named {was} and is gone: somebody deleted it, nothing was promoted"
                )
            }
            Self::TagTaken { tag, found } => write!(
                f,
                "the tag '{tag}' already names another digest, {found}: it is never moved; publish the change under a new version"
            ),
            Self::Downgrade { version, current } => write!(
                f,
                "the environment holds version {current}, and {version} is not above it: use a Rollback, or versionOrder: Any"
            ),
            Self::RegistryUnavailable(problem) => {
                write!(f, "the registry could not be used for an hour: {problem}")
            }
            Self::RegistryDenied(problem) => write!(
                f,
                "the registry refused the credentials for 10 minutes: {problem}"
            ),
            Self::RegistryUntrusted(problem) => write!(
                f,
                "the registry's certificate was not trusted for 10 minutes: {problem}"
            ),
            Self::GateFailed(gates) | Self::GateError(gates) | Self::GateTimedOut(gates) => {
                let gates: Vec<String> = gates
                    .iter()
                    .map(|gate| format!("{}: {}", gate.name, gate.message))
                    .collect();
                f.write_str(&gates.join("; "))
            }
            Self::Aborted => f.write_str("deleted before anything was written"),
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

/// A time of day as a person reads it, in UTC: `2026-03-02 10:00:00 UTC`.
fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
