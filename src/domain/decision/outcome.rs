//! How a request ends, and why it was not promoted.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::artifact::Digest;

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
    /// No signature of the artifact counts, and the policy asks for one.
    SignatureInvalid {
        /// Digest of the artifact.
        digest: Digest,
        /// What was found instead.
        problem: String,
    },
    /// The registry did not answer for an hour.
    RegistryUnavailable(String),
    /// The registry refused the credentials for ten minutes.
    RegistryDenied(String),
    /// The certificate was not trusted for ten minutes.
    RegistryUntrusted(String),
    /// A required replica could not be brought up to date for an hour.
    ReplicaUnavailable {
        /// Its name.
        name: String,
        /// What went wrong last.
        problem: String,
    },
    /// A gate said no.
    GateFailed(Vec<GateVerdict>),
    /// A gate could not be run.
    GateError(Vec<GateVerdict>),
    /// A gate was too slow.
    GateTimedOut(Vec<GateVerdict>),
    /// Who asks is not certain: the object was made before the API server wrote that down.
    RequesterUnproven {
        /// Since when it does.
        since: Timestamp,
    },
    /// Somebody stopped the request before anything was written.
    AbortedBy {
        /// Who.
        by: String,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
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
            Self::SignatureInvalid { .. } => "SignatureInvalid",
            Self::RegistryUnavailable(_) => "RegistryUnavailable",
            Self::RegistryDenied(_) => "RegistryDenied",
            Self::RegistryUntrusted(_) => "RegistryUntrusted",
            Self::ReplicaUnavailable { .. } => "ReplicaUnavailable",
            Self::GateFailed(_) => "GateFailed",
            Self::GateError(_) => "GateError",
            Self::GateTimedOut(_) => "GateTimedOut",
            Self::RequesterUnproven { .. } => "RequesterUnproven",
            Self::AbortedBy { .. } | Self::Aborted => "Aborted",
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
            Self::SignatureInvalid { digest, problem } => write!(
                f,
                "the signature of {digest} was not proven, so no gate was started: {problem}. Sign the digest (cosign sign) with a key or identity of the policy, then make a new Promotion"
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
            Self::ReplicaUnavailable { name, problem } => write!(
                f,
                "the required replica '{name}' could not be brought up to date for an hour, and nothing was tagged: {problem}"
            ),
            Self::GateFailed(gates) | Self::GateError(gates) | Self::GateTimedOut(gates) => {
                let gates: Vec<String> = gates
                    .iter()
                    .map(|gate| format!("{}: {}", gate.name, gate.message))
                    .collect();
                f.write_str(&gates.join("; "))
            }
            Self::RequesterUnproven { since } => write!(
                f,
                "nobody can tell who asks: requests made before {since} may say anything, since the API server has written down who asks from then on; make a new Promotion"
            ),
            Self::AbortedBy { by, reason } => {
                write!(f, "{by} stopped it before anything was written")?;
                reason.iter().try_for_each(|reason| write!(f, ": {reason}"))
            }
            Self::Aborted => f.write_str("deleted before anything was written"),
        }
    }
}
