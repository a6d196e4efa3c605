//! What can go wrong between floe and a registry, in words that a person can act on.

use std::time::Duration;

use crate::domain::artifact::{Digest, Tag};

/// A request to a registry that did not end as it should: what was tried, where, and why not.
///
/// Carries no secret: passwords and tokens are never part of it, and addresses are written
/// without user information and query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} '{subject}': {problem}")]
pub struct RegistryError {
    action: &'static str,
    subject: String,
    problem: Problem,
}

/// Why the request did not end as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No usable answer now: down, unreachable, too slow, 429 or 5xx. Worth trying again.
    #[error("{why}")]
    Unavailable {
        /// What happened.
        why: String,
        /// How long the registry asked to wait.
        retry_after: Option<Duration>,
        /// The request may have been applied although no good answer came: read before writing
        /// again.
        ambiguous: bool,
    },
    /// The registry or its token service does not let these credentials do this.
    #[error("{why}")]
    Denied {
        /// What happened.
        why: String,
    },
    /// There is nothing to log in with: an object is missing or says too little. Somebody has to mend it.
    #[error("{why}")]
    NoCredentials {
        /// What is missing, and where.
        why: String,
    },
    /// The certificate of the registry is not trusted, or the configured CA cannot be read.
    #[error("{why}")]
    Untrusted {
        /// What happened.
        why: String,
    },
    /// The answer contradicts itself, the request or the specification, so it is not believed.
    #[error("{why}")]
    Unreadable {
        /// What happened.
        why: String,
    },
    /// The bytes are not those whose digest was asked for: whoever keeps them has changed or lost some.
    #[error("{why}")]
    OtherBytes {
        /// What came instead.
        why: String,
    },
    /// The answer is larger than floe accepts; what lies behind the limit is unknown.
    #[error("{what} is larger than {limit} {unit}")]
    TooLarge {
        /// What was being read.
        what: &'static str,
        /// The limit, in `unit`.
        limit: u64,
        /// `bytes`, `entries` or `pages`.
        unit: &'static str,
    },
    /// A kind of manifest that floe or the registry does not take.
    #[error("{why}")]
    Unsupported {
        /// What happened.
        why: String,
    },
    /// The registry said "written" and then names something else, or nothing.
    #[error("the registry accepted {wanted} but {}", found_words(found.as_ref()))]
    NotWhatWasWritten {
        /// Digest that was sent.
        wanted: Digest,
        /// Digest that the registry names instead; `None` when there is nothing.
        found: Option<Digest>,
    },
    /// The registry said "deleted", and it is still there.
    #[error("the registry says that it is deleted, and it is still there")]
    StillThere,
    /// The registry understood the request and refused it.
    #[error("the registry refuses ({status} {code}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Code of the OCI error, or `UNKNOWN`.
        code: String,
        /// Message of the registry, shortened.
        message: String,
    },
    /// The receiving end on our side failed, not the registry.
    #[error("{why}")]
    Local {
        /// What happened.
        why: String,
    },
}

/// Stable category of a [`RegistryError`], for conditions, metrics and exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// See [`Problem::Unavailable`]; waits as `RegistryUnavailable`.
    Unavailable,
    /// See [`Problem::Denied`]; waits as `RegistryDenied`.
    Denied,
    /// See [`Problem::NoCredentials`]; waits as `CredentialsMissing`.
    NoCredentials,
    /// See [`Problem::Untrusted`]; waits as `RegistryUntrusted`.
    Untrusted,
    /// See [`Problem::Unreadable`] and [`Problem::OtherBytes`].
    Unreadable,
    /// See [`Problem::TooLarge`]; `ArtifactUnsupported` for the promoted manifest.
    TooLarge,
    /// See [`Problem::Unsupported`]; `ArtifactUnsupported` for the promoted manifest.
    Unsupported,
    /// See [`Problem::NotWhatWasWritten`].
    NotWhatWasWritten,
    /// See [`Problem::StillThere`].
    StillThere,
    /// See [`Problem::Refused`].
    Refused,
    /// See [`Problem::Local`].
    Local,
}

impl ErrorKind {
    /// The category as metrics and Events write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "RegistryUnavailable",
            Self::Denied => "RegistryDenied",
            Self::NoCredentials => "CredentialsMissing",
            Self::Untrusted => "RegistryUntrusted",
            Self::Unreadable => "RegistryUnreadable",
            Self::TooLarge => "RegistryTooLarge",
            Self::Unsupported => "RegistryUnsupported",
            Self::NotWhatWasWritten => "RegistryNotWhatWasWritten",
            Self::StillThere => "RegistryStillThere",
            Self::Refused => "RegistryRefused",
            Self::Local => "RegistryLocal",
        }
    }
}

impl RegistryError {
    pub(in crate::effects) fn new(
        action: &'static str,
        subject: impl Into<String>,
        problem: Problem,
    ) -> Self {
        Self {
            action,
            subject: subject.into(),
            problem,
        }
    }

    /// Stable category.
    pub fn kind(&self) -> ErrorKind {
        match self.problem {
            Problem::Unavailable { .. } => ErrorKind::Unavailable,
            Problem::Denied { .. } => ErrorKind::Denied,
            Problem::NoCredentials { .. } => ErrorKind::NoCredentials,
            Problem::Untrusted { .. } => ErrorKind::Untrusted,
            Problem::Unreadable { .. } | Problem::OtherBytes { .. } => ErrorKind::Unreadable,
            Problem::TooLarge { .. } => ErrorKind::TooLarge,
            Problem::Unsupported { .. } => ErrorKind::Unsupported,
            Problem::NotWhatWasWritten { .. } => ErrorKind::NotWhatWasWritten,
            Problem::StillThere => ErrorKind::StillThere,
            Problem::Refused { .. } => ErrorKind::Refused,
            Problem::Local { .. } => ErrorKind::Local,
        }
    }

    /// The problem itself, without what was tried and where.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// What was tried on: repository with tag or digest, or a host.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// How long the registry asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.problem {
            Problem::Unavailable { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    /// Whether trying again later can help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self.problem, Problem::Unavailable { .. })
    }

    /// Whether the request may have been applied although no good answer came.
    pub fn is_ambiguous(&self) -> bool {
        matches!(
            self.problem,
            Problem::Unavailable {
                ambiguous: true,
                ..
            }
        )
    }

    /// Code of the OCI error, when the registry refused with one.
    pub fn code(&self) -> Option<&str> {
        match &self.problem {
            Problem::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// Why a write-once tag was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagRefusal {
    /// The tag names another digest already. Nothing was written over it.
    #[error("tag '{tag}' already names {found}")]
    Taken {
        /// The tag.
        tag: Tag,
        /// The digest that it names.
        found: Digest,
    },
    /// The registry failed or cannot be believed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Problem {
    pub(in crate::effects) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable {
            why: why.into(),
            retry_after: None,
            ambiguous: false,
        }
    }

    pub(in crate::effects) fn denied(why: impl Into<String>) -> Self {
        Self::Denied { why: why.into() }
    }

    pub(in crate::effects) fn untrusted(why: impl Into<String>) -> Self {
        Self::Untrusted { why: why.into() }
    }

    pub(in crate::effects) fn unreadable(why: impl Into<String>) -> Self {
        Self::Unreadable { why: why.into() }
    }

    pub(in crate::effects) fn unsupported(why: impl Into<String>) -> Self {
        Self::Unsupported { why: why.into() }
    }
}

fn found_words(found: Option<&Digest>) -> String {
    found.map_or_else(
        || "has nothing there afterwards".to_owned(),
        |digest| format!("names {digest} afterwards"),
    )
}
