//! Why a command did not do what it should: what failed, on which object, and what to do next.

use kube::core::Status;

use crate::cli::ExitCode;
use crate::effects::keys::NoKey;
use crate::effects::registry::{ErrorKind, RegistryError, TagRefusal};

/// A command that did not do what it should.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(in crate::cli) struct Failure {
    /// Exit code.
    pub(in crate::cli) code: ExitCode,
    /// What failed, on which object, and what to do next.
    message: String,
}

/// What commands return.
pub(in crate::cli) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(in crate::cli) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(in crate::cli) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// The API server refused, or could not be asked: `cannot <action> <object>: …`.
    pub(in crate::cli) fn api(action: &str, object: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::refused(action, object, status),
            kube::Error::Auth(_) => Self::new(
                ExitCode::NotAuthorized,
                format!(
                    "cannot {action} {object}: the login of the kubeconfig does not work: {error}"
                ),
            ),
            kube::Error::SerdeError(_) => Self::new(
                ExitCode::Unexpected,
                format!(
                    "cannot {action} {object}: the API server's answer does not fit this version of floe ({error}); \
                     compare `floe --version` with the operator's"
                ),
            ),
            _ => Self::new(
                ExitCode::Unexpected,
                format!(
                    "cannot {action} {object}: the API server cannot be asked ({}); try `kubectl cluster-info` \
                     with the same kubeconfig",
                    causes(error)
                ),
            ),
        }
    }

    fn refused(action: &str, object: &str, status: &Status) -> Self {
        let said = &status.message;
        let named = status
            .details
            .as_ref()
            .is_some_and(|details| !details.name.is_empty());
        match status.code {
            401 => Self::new(
                ExitCode::NotAuthorized,
                format!(
                    "cannot {action} {object}: the API server does not know you ({said}); log in again"
                ),
            ),
            403 => Self::new(
                ExitCode::NotAuthorized,
                format!(
                    "cannot {action} {object}: you may not: {}; ask for a Role that allows it \
                     (kubectl auth can-i --list shows what you may)",
                    of_policy(said)
                ),
            ),
            404 if !named => Self::new(
                ExitCode::Unexpected,
                format!(
                    "cannot {action} {object}: the cluster does not know floe's kinds; install the chart \
                     (helm install), or the definitions alone: floe crds | kubectl apply -f -"
                ),
            ),
            404 => Self::new(
                ExitCode::Unexpected,
                format!("cannot {action} {object}: {said}"),
            ),
            400 | 422 => Self::usage(format!(
                "cannot {action} {object}: refused as it is: {said}"
            )),
            409 => Self::new(
                ExitCode::Unexpected,
                format!(
                    "cannot {action} {object}: it was changed at the same moment ({said}); try again"
                ),
            ),
            code => Self::new(
                ExitCode::Unexpected,
                format!("cannot {action} {object}: the API server says {code}: {said}"),
            ),
        }
    }

    /// There is no key, or it could not be read or made.
    pub(super) fn no_key(action: &str, object: &str, none: NoKey) -> Self {
        match none {
            NoKey::Missing(why) => Self::new(ExitCode::Unexpected, why),
            NoKey::Api { source, .. } => Self::api(action, object, &source),
        }
    }

    /// The API server did not answer in time.
    pub(in crate::cli) fn too_slow(action: &str, object: &str, seconds: u64) -> Self {
        Self::new(
            ExitCode::Unexpected,
            format!(
                "cannot {action} {object}: the API server did not answer within {seconds} s; try `kubectl cluster-info`"
            ),
        )
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        match error.kind() {
            ErrorKind::Denied => {
                let host = error.subject().split('/').next().unwrap_or_default();
                Self::new(
                    ExitCode::NotAuthorized,
                    format!(
                        "{error}; log in with an account that may push there: docker login {host}"
                    ),
                )
            }
            ErrorKind::Untrusted => Self::new(
                ExitCode::Unexpected,
                format!("{error}; name its certificate authority with --ca FILE"),
            ),
            ErrorKind::Unavailable => Self::new(
                ExitCode::Unexpected,
                format!("{error}; nothing was promoted, the same command can be given again"),
            ),
            _ => Self::new(ExitCode::Unexpected, error.to_string()),
        }
    }
}

impl From<TagRefusal> for Failure {
    fn from(refusal: TagRefusal) -> Self {
        match refusal {
            TagRefusal::Taken { .. } => Self::new(
                ExitCode::TagExists,
                format!(
                    "{refusal}, and a tag is never overwritten: publish the change under a new version"
                ),
            ),
            TagRefusal::Registry(error) => error.into(),
        }
    }
}

/// What an admission policy of ours says, without the names of the policy and of its binding.
fn of_policy(said: &str) -> &str {
    let ours = said.contains(".promotion.floe.dev'");
    said.split_once("denied request: ")
        .filter(|_| ours)
        .map_or(said, |(_, sentence)| sentence)
}

/// An error with its causes, each said once.
pub(in crate::cli) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
