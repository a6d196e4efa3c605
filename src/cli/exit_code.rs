//! Exit codes: a script can tell why a command did not do what it should (design, section 12).

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Done.
    Done,
    /// Something unexpected.
    Unexpected,
    /// The command was not understood.
    Usage,
    /// A gate did not pass.
    GateFailed,
    /// The transition is not allowed.
    InvalidTransition,
    /// The tag names another digest.
    TagExists,
    /// The version is not there.
    NotPromoted,
    /// The rights do not suffice.
    NotAuthorized,
    /// The environment is locked.
    Locked,
    /// It still waits at the time limit.
    Waiting,
    /// Denied, expired or aborted.
    Denied,
}

impl ExitCode {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::GateFailed => 8,
            Self::InvalidTransition => 9,
            Self::TagExists => 10,
            Self::NotPromoted => 11,
            Self::NotAuthorized => 12,
            Self::Locked => 13,
            Self::Waiting => 14,
            Self::Denied => 15,
        }
    }

    /// The code for a reason of the `Succeeded` condition, or of what is waited for.
    pub fn of_reason(reason: &str) -> Self {
        match reason {
            "Promoted" | "AlreadyPromoted" | "DryRunPassed" => Self::Done,
            "GateFailed" | "GateError" | "GateTimedOut" | "SignatureInvalid" => Self::GateFailed,
            "EnvironmentNotFound"
            | "ArtifactNotFound"
            | "InvalidTransition"
            | "InvalidVersion"
            | "DigestMismatch"
            | "SourceMoved"
            | "Downgrade"
            | "ArtifactUnsupported" => Self::InvalidTransition,
            "TagTaken" => Self::TagExists,
            "SourceNotFound" | "NotPromotedUpstream" => Self::NotPromoted,
            "RegistryDenied" | "RequesterUnproven" => Self::NotAuthorized,
            "EnvironmentLocked" => Self::Locked,
            "ApprovalDenied" | "ApprovalExpired" | "Aborted" => Self::Denied,
            _ => Self::Unexpected,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}
