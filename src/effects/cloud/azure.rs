//! Logins of Azure Container Registry: a refresh token of the registry, for which its token service gives others.

use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::form_urlencoded;

use super::http::{Ask, Http};
use super::{FORM, Fresh, tokens::TokenSource};
use crate::domain::policy::cloud::{AZURE_AUDIENCE, AzureCloud, Service};
use crate::effects::registry::{Login, Problem};

/// For what the token of the application is asked.
const SCOPE: &str = "https://containerregistry.azure.net/.default";
/// User name that goes with a token of the registry.
const USER: &str = "00000000-0000-0000-0000-000000000000";
/// A refresh token lives three hours; its life is not in the answer, so it is renewed early.
const LIFE: Duration = Duration::from_hours(1);

#[derive(Deserialize)]
struct AccessToken {
    access_token: SecretString,
}

#[derive(Deserialize)]
struct RefreshToken {
    refresh_token: SecretString,
}

/// A login for a token of a ServiceAccount that stands for an application.
pub(super) async fn login(
    http: &Http,
    cloud: AzureCloud,
    host: &str,
    (tenant, client): (&str, &str),
    tokens: &TokenSource,
) -> Result<Fresh, Problem> {
    let assertion = tokens.token(AZURE_AUDIENCE).await?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client)
        .append_pair("scope", SCOPE)
        .append_pair(
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        )
        .append_pair("client_assertion", assertion.expose_secret())
        .finish();
    let advice = format!(
        "give the application '{client}' a federated credential for this ServiceAccount and the audience {AZURE_AUDIENCE}"
    );
    let reply = http
        .ask(Ask {
            service: &Service::Entra(cloud),
            action: "exchange the ServiceAccount's token",
            method: Method::POST,
            path: &format!("/{tenant}/oauth2/v2.0/token"),
            headers: Vec::new(),
            body: Some((FORM, form.into_bytes())),
            secrets: vec![&assertion],
            advice: &advice,
        })
        .await?;
    let AccessToken { access_token } = reply.json()?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "access_token")
        .append_pair("service", host)
        .append_pair("tenant", tenant)
        .append_pair("access_token", access_token.expose_secret())
        .finish();
    let advice = format!("give the application '{client}' the role AcrPush on the registry");
    let reply = http
        .ask(Ask {
            service: &Service::AcrExchange(host.to_owned()),
            action: "exchange the application's token",
            method: Method::POST,
            path: "/oauth2/exchange",
            headers: Vec::new(),
            body: Some((FORM, form.into_bytes())),
            secrets: vec![&access_token],
            advice: &advice,
        })
        .await?;
    let RefreshToken { refresh_token } = reply.json()?;
    Ok(Fresh {
        login: Login::identity_token(USER, refresh_token.expose_secret()),
        life: LIFE,
    })
}
