//! What a request waits for, and what somebody can do about it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::reasons::LEDGER_UNPROVEN;

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
    /// Somebody to say which record is the newest.
    LedgerUnproven {
        /// Environment.
        environment: String,
        /// What does not fit together.
        problem: String,
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
    /// The artifact to be copied.
    Copying {
        /// To where: `replica 'x'`, or the repository.
        to: Vec<String>,
    },
    /// A required replica to become usable.
    Replica {
        /// Its name.
        name: String,
        /// What went wrong last.
        problem: String,
        /// When floe tries again.
        next_try: Timestamp,
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
    /// The API server to write down who asks: until then anybody could ask in another's name.
    RequesterPolicy {
        /// What was seen instead.
        problem: String,
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
    /// The Secret or ServiceAccount with the credentials, or the Secret with the certificate authority, is missing
    /// or malformed.
    CredentialsMissing,
    /// The key that signs the records of the namespace is gone or malformed.
    SigningKeyMissing,
    /// The operator cannot write its audit log.
    AuditLogUnavailable,
}

impl TroubleKind {
    /// The word in conditions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::RegistryDenied => "RegistryDenied",
            Self::RegistryUntrusted => "RegistryUntrusted",
            Self::CredentialsMissing => "CredentialsMissing",
            Self::SigningKeyMissing => "SigningKeyMissing",
            Self::AuditLogUnavailable => "AuditLogUnavailable",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::RegistryUnavailable => "nothing to do if it comes back",
            Self::RegistryDenied => {
                "check the policy's credentials, and the rights of that account"
            }
            Self::RegistryUntrusted => "check caSecretName in the policy",
            Self::CredentialsMissing => "create or mend what is named",
            Self::SigningKeyMissing => {
                "put the Secret back from a backup, or give the namespace a new key (floe platform audit key --new)"
            }
            Self::AuditLogUnavailable => {
                "make room on the operator's volume, or mend it; nothing is promoted without a line in the log"
            }
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
            Self::LedgerUnproven { .. } => LEDGER_UNPROVEN,
            Self::Source { .. } => "SourceNotFound",
            Self::Upstream { .. } => "NotPromotedUpstream",
            Self::Gates { .. } => "GatesRunning",
            Self::Copying { .. } => "Copying",
            Self::Replica { .. } => "ReplicaUnavailable",
            Self::EnvironmentBusy { .. } => "EnvironmentBusy",
            Self::EarlierOperator { .. } => "EarlierOperator",
            Self::RequesterPolicy { .. } => "RequesterPolicyMissing",
            Self::Registry { kind, .. } => kind.as_str(),
        }
    }
}

impl fmt::Display for WaitingOn {
    #[expect(clippy::too_many_lines, reason = "a sentence for each")]
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
            Self::RequesterPolicy { problem } => write!(
                f,
                "the API server does not write down who asks: {problem}; an administrator of the cluster installs the admission policies of the chart (admission.install)"
            ),
            Self::Ledger { environment } => write!(
                f,
                "what is in '{environment}' has not been compared with the registry and the audit log yet; if this lasts, see the conditions of that EnvironmentPolicy"
            ),
            Self::LedgerUnproven {
                environment,
                problem,
            } => write!(
                f,
                "it is not certain what was promoted into '{environment}' last: {problem}; see: floe platform audit repair {environment}"
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
            Self::Copying { to } => {
                write!(f, "the artifact is being copied to {}", to.join(", "))
            }
            Self::Replica {
                name,
                problem,
                next_try,
            } => write!(
                f,
                "the required replica '{name}' is not up to date: {problem}; floe tries again at {}: nothing to do if it comes back, otherwise mend it or the policy",
                clock(*next_try)
            ),
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

/// A time of day as a person reads it, in UTC: `2026-03-02 10:00:00 UTC`.
fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
