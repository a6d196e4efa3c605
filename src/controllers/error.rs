//! What can go wrong in a pass, besides what a decision handles.

/// The world failed us: the pass is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server refused or did not answer.
    #[error("cannot {action}: {source}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What the client said.
        source: Box<kube::Error>,
    },
    /// The API server took too long.
    #[error("cannot {action}: no answer within {seconds} s")]
    TooSlow {
        /// What was tried.
        action: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The end of a request is not in the audit log: it is not let go of before it is.
    #[error("cannot write into the audit log how it ended: {0}")]
    AuditLog(#[from] crate::effects::audit_log::Unwritable),
    /// A pass did not come to rest.
    #[error("a pass took more than {0} steps without coming to rest")]
    Restless(usize),
}

/// Result of a step.
pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Stable word for metrics.
    pub(super) fn category(&self) -> &'static str {
        match self {
            Self::Api { source, .. } if crate::effects::ledger::is_conflict(source) => "Conflict",
            Self::Api { .. } => "Api",
            Self::TooSlow { .. } => "TooSlow",
            Self::AuditLog(_) => "AuditLog",
            Self::Restless(_) => "Restless",
        }
    }
}

/// How long one call to the API server may take, in seconds.
const API_LIMIT_SECONDS: u64 = 30;

/// Waits for a call to the API server, within its time limit.
pub(super) async fn api<T>(
    action: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T> {
    within(action, call).await?.map_err(|source| Error::Api {
        action,
        source: Box::new(source),
    })
}

/// Waits for what asks the API server, within the time limit of one call.
pub(super) async fn within<T>(action: &'static str, call: impl Future<Output = T>) -> Result<T> {
    let limit = std::time::Duration::from_secs(API_LIMIT_SECONDS);
    tokio::time::timeout(limit, call)
        .await
        .map_err(|_| Error::TooSlow {
            action,
            seconds: API_LIMIT_SECONDS,
        })
}
