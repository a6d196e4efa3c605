//! Logins of Google Artifact Registry: an access token is the password.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::http::{Ask, Http, Refusal};
use super::{Fresh, life_between, tokens::TokenSource};
use crate::domain::policy::cloud::{GkeCluster, Service};
use crate::effects::registry::{Login, Problem};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const JSON: &str = "application/json";
/// What an access token lives for at most.
const LONGEST: Duration = Duration::from_hours(1);
/// User name that goes with an access token.
const USER: &str = "oauth2accesstoken";

#[derive(Deserialize)]
struct AccessToken {
    access_token: SecretString,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountToken {
    access_token: SecretString,
    expire_time: Option<jiff::Timestamp>,
}

/// A login for a token of a ServiceAccount, as itself or as the service account that it becomes.
pub(super) async fn exchange(
    http: &Http,
    pool: &str,
    token_audience: &str,
    account: Option<&str>,
    tokens: &TokenSource,
) -> Result<Fresh, Problem> {
    let token = tokens.token(token_audience).await?;
    let body = json!({
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": pool,
        "scope": SCOPE,
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
        "subjectToken": token.expose_secret(),
    });
    let advice = format!("let the pool of identities '{pool}' accept this ServiceAccount");
    let reply = http
        .ask(Ask {
            service: &Service::GoogleSts,
            action: "exchange the ServiceAccount's token",
            method: Method::POST,
            path: "/v1/token",
            headers: Vec::new(),
            body: Some((JSON, body.to_string().into_bytes())),
            secrets: vec![&token],
            advice: &advice,
        })
        .await?;
    let federated: AccessToken = reply.json()?;
    match account {
        None => Ok(fresh(federated)),
        Some(account) => become_account(http, account, &federated.access_token).await,
    }
}

async fn become_account(
    http: &Http,
    account: &str,
    federated: &SecretString,
) -> Result<Fresh, Problem> {
    let body = json!({"scope": [SCOPE], "lifetime": "3600s"});
    let advice = format!(
        "give the principal of this ServiceAccount the role Workload Identity User on '{account}'"
    );
    let reply = http
        .ask(Ask {
            service: &Service::GoogleIam,
            action: "generateAccessToken",
            method: Method::POST,
            path: &format!("/v1/projects/-/serviceAccounts/{account}:generateAccessToken"),
            headers: vec![(
                "authorization",
                format!("Bearer {}", federated.expose_secret()),
            )],
            body: Some((JSON, body.to_string().into_bytes())),
            secrets: vec![federated],
            advice: &advice,
        })
        .await?;
    let AccountToken {
        access_token,
        expire_time,
    } = reply.json()?;
    Ok(Fresh {
        login: Login::new(USER, access_token.expose_secret()),
        life: life_between(reply.date, expire_time, LONGEST),
    })
}

/// A login as whoever this process is for Google.
pub(super) async fn own(http: &Http) -> Result<Fresh, Problem> {
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    let reply = metadata(http, path, "read the node's token").await;
    let reply = reply.map_err(|refusal| {
        if refusal.status == Some(StatusCode::NOT_FOUND) {
            return Problem::NoCredentials {
                why: "the node has no service account; give it one, or name a ServiceAccount"
                    .to_owned(),
            };
        }
        refusal.into()
    })?;
    Ok(fresh(reply.json()?))
}

/// The cluster that this process runs in, as its node knows it.
pub(super) async fn cluster(http: &Http) -> Result<GkeCluster, Problem> {
    let read = async |path: &str| -> Result<String, Problem> {
        let reply = metadata(http, path, "read which cluster this is").await;
        let reply = reply.map_err(|refusal| {
            let status = refusal.status;
            if status.is_none() || status == Some(StatusCode::NOT_FOUND) {
                return Problem::NoCredentials {
                    why: format!(
                        "this is no GKE cluster with workload identity ({}); outside of GKE, name the provider of \
                         the pool of identities in the annotation '{}' of the ServiceAccount",
                        refusal.problem,
                        crate::domain::policy::cloud::GCP_PROVIDER,
                    ),
                };
            }
            refusal.into()
        })?;
        let line = reply.line()?;
        let is_name = line
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.:_".contains(&byte));
        is_name.then_some(line).ok_or_else(|| reply.unreadable())
    };
    Ok(GkeCluster {
        project: read("/computeMetadata/v1/project/project-id").await?,
        location: read("/computeMetadata/v1/instance/attributes/cluster-location").await?,
        name: read("/computeMetadata/v1/instance/attributes/cluster-name").await?,
    })
}

async fn metadata(
    http: &Http,
    path: &str,
    action: &'static str,
) -> Result<super::http::Reply, Refusal> {
    http.ask(Ask {
        service: &Service::GoogleMetadata,
        action,
        method: Method::GET,
        path,
        headers: vec![("metadata-flavor", "Google".to_owned())],
        body: None,
        secrets: Vec::new(),
        advice: "allow Pods to reach the metadata server, or name a ServiceAccount",
    })
    .await
}

fn fresh(token: AccessToken) -> Fresh {
    let life = token.expires_in.map_or(LONGEST / 2, Duration::from_secs);
    Fresh {
        login: Login::new(USER, token.access_token.expose_secret()),
        life: life.min(LONGEST),
    }
}
