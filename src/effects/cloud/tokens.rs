//! Tokens with which a ServiceAccount proves to a cloud who it is.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::SecretString;

use crate::effects::clock;
use crate::effects::registry::{Problem, guard};

/// How long a token lives that is used at once: the least that the API server gives.
const LIFE_SECONDS: i64 = 600;
/// Time limit of the API server.
const LIMIT: Duration = Duration::from_secs(10);
/// Largest token in a file, in bytes.
const LARGEST: usize = 64 * 1024;

/// Where the tokens of a ServiceAccount come from.
#[derive(Clone)]
pub enum TokenSource {
    /// The API server makes them.
    Account {
        /// Its client.
        client: Client,
        /// Namespace of the ServiceAccount.
        namespace: String,
        /// Name of the ServiceAccount.
        name: String,
    },
    /// kubelet keeps one in a file.
    File(PathBuf),
}

impl TokenSource {
    /// A token for this audience.
    pub(super) async fn token(&self, audience: &str) -> Result<SecretString, Problem> {
        match self {
            Self::File(path) => from_file(path).await,
            Self::Account {
                client,
                namespace,
                name,
            } => {
                let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
                let request = TokenRequest {
                    spec: TokenRequestSpec {
                        audiences: vec![audience.to_owned()],
                        expiration_seconds: Some(LIFE_SECONDS),
                        bound_object_ref: None,
                    },
                    ..TokenRequest::default()
                };
                let parameters = PostParams::default();
                let asked = accounts.create_token_request(name, &parameters, &request);
                let made = tokio::time::timeout_at(clock::instant() + LIMIT, asked).await;
                let token = match made {
                    Ok(Ok(made)) => made.status.map(|status| status.token),
                    Ok(Err(error)) => return Err(no_token(&error, namespace)),
                    Err(_) => {
                        return Err(Problem::unavailable(
                            "its token: the API server did not answer within the time limit",
                        ));
                    }
                };
                token
                    .filter(|token| !token.is_empty())
                    .map(SecretString::from)
                    .ok_or_else(|| Problem::unavailable("its token: the API server gave none"))
            }
        }
    }
}

fn no_token(error: &kube::Error, namespace: &str) -> Problem {
    let why = match error {
        kube::Error::Api(status) if status.code == 404 => "it does not exist; create it".to_owned(),
        kube::Error::Api(status) if status.code == 403 => format!(
            "the operator may not make tokens of it; give the operator the verb 'create' on \
             'serviceaccounts/token' of that name in namespace '{namespace}'"
        ),
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            let said = guard::shortened(&status.message, 200);
            format!("the API server makes no token of it: {said}")
        }
        other => {
            return Problem::unavailable(format!("its token: {}", guard::chain(other)));
        }
    };
    Problem::NoCredentials { why }
}

async fn from_file(path: &PathBuf) -> Result<SecretString, Problem> {
    let missing = |why: &str| Problem::NoCredentials {
        why: format!("the token in '{}' {why}", path.display()),
    };
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| missing(&format!("cannot be read: {error}")))?;
    let token = text.trim();
    if token.is_empty() || token.len() > LARGEST {
        return Err(missing("is empty or too long"));
    }
    Ok(token.to_owned().into())
}
