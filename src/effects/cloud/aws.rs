//! Logins of ECR: a role's credentials from a token or from the node, and for these a login of the registry.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::form_urlencoded;

use super::http::{Ask, Http, Refusal, Reply};
use super::{FORM, Fresh, OwnIdentity, life_between, tokens::TokenSource};
use crate::domain::policy::cloud::{AWS_AUDIENCE, AwsRegion, Service};
use crate::effects::clock;
use crate::effects::registry::{Login, Problem};

/// What a login of ECR lives for at most.
const LONGEST: Duration = Duration::from_hours(12);
const JSON: &str = "application/x-amz-json-1.1";
const ACTION: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
/// What AWS says when our clock and its own differ too much.
const SKEWED: [&str; 4] = [
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "RequestExpired",
];

/// Credentials of a role.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Keys {
    access_key_id: String,
    secret_access_key: SecretString,
    token: SecretString,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorizations {
    authorization_data: Vec<Authorization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: SecretString,
    expires_at: Option<f64>,
}

/// The credentials of a role for a token of a ServiceAccount. A token that AWS finds too old is asked for anew.
pub(super) async fn assume(
    http: &Http,
    region: &AwsRegion,
    arn: &str,
    session: &str,
    tokens: &TokenSource,
) -> Result<Keys, Problem> {
    let service = Service::Sts(region.clone());
    let advice = format!(
        "let the trust policy of the role '{arn}' accept this ServiceAccount and the audience {AWS_AUDIENCE}"
    );
    let mut second = false;
    loop {
        let token = tokens.token(AWS_AUDIENCE).await?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRoleWithWebIdentity")
            .append_pair("Version", "2011-06-15")
            .append_pair("DurationSeconds", "900")
            .append_pair("RoleArn", arn)
            .append_pair("RoleSessionName", session)
            .append_pair("WebIdentityToken", token.expose_secret())
            .finish();
        let asked = http.ask(Ask {
            service: &service,
            action: "AssumeRoleWithWebIdentity",
            method: Method::POST,
            path: "/",
            headers: Vec::new(),
            body: Some((FORM, form.into_bytes())),
            secrets: vec![&token],
            advice: &advice,
        });
        match asked.await {
            Ok(reply) => {
                return Ok(Keys {
                    access_key_id: reply.element("AccessKeyId")?,
                    secret_access_key: reply.element("SecretAccessKey")?.into(),
                    token: reply.element("SessionToken")?.into(),
                });
            }
            Err(refusal) if refusal.code.starts_with("ExpiredToken") && !second => second = true,
            Err(refusal) => return Err(refusal.into()),
        }
    }
}

/// The credentials of whoever this process is: the role of its ServiceAccount, of its Pod, or of the node.
pub(super) async fn own(
    http: &Http,
    region: &AwsRegion,
    own: &OwnIdentity,
) -> Result<Keys, Problem> {
    if let Some((arn, path)) = &own.aws_role {
        let tokens = TokenSource::File(path.clone());
        return assume(http, region, arn, "floe", &tokens).await;
    }
    if let Some(path) = &own.aws_pod_token {
        let token = TokenSource::File(path.clone()).token("").await?;
        let reply = http
            .ask(Ask {
                service: &Service::PodIdentity,
                action: "read the Pod's credentials",
                method: Method::GET,
                path: "/v1/credentials",
                headers: vec![("authorization", token.expose_secret().to_owned())],
                body: None,
                secrets: vec![&token],
                advice: "associate a role with the ServiceAccount of this Pod",
            })
            .await?;
        return reply.json();
    }
    instance_role(http).await
}

/// The role of the node, by the second version of the metadata service.
async fn instance_role(http: &Http) -> Result<Keys, Problem> {
    const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
    let no_role = |refusal: Refusal| {
        if refusal.status == Some(StatusCode::NOT_FOUND) {
            return Problem::NoCredentials {
                why: "the node has no role; give its instance profile one that may read and write the registry, \
                      or name a ServiceAccount"
                    .to_owned(),
            };
        }
        refusal.into()
    };
    let token: SecretString = http
        .ask(Ask {
            service: &Service::InstanceMetadata,
            action: "open a session",
            method: Method::PUT,
            path: "/latest/api/token",
            headers: vec![("x-aws-ec2-metadata-token-ttl-seconds", "300".to_owned())],
            body: None,
            secrets: Vec::new(),
            advice: "allow Pods to reach the metadata of the node (hop limit 2), or name a ServiceAccount",
        })
        .await?
        .line()?
        .into();
    let read = async |path: &str| -> Result<Reply, Refusal> {
        http.ask(Ask {
            service: &Service::InstanceMetadata,
            action: "read the node's role",
            method: Method::GET,
            path,
            headers: vec![("x-aws-ec2-metadata-token", token.expose_secret().to_owned())],
            body: None,
            secrets: vec![&token],
            advice: "give the node a role, or name a ServiceAccount",
        })
        .await
    };
    let reply = read(ROLE).await.map_err(no_role)?;
    let role = reply.line()?;
    let is_name = role
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@-_".contains(&byte));
    if !is_name {
        return Err(reply.unreadable());
    }
    read(&format!("{ROLE}{role}"))
        .await
        .map_err(no_role)?
        .json()
}

/// A login of the registry for these credentials.
pub(super) async fn registry_login(
    http: &Http,
    region: &AwsRegion,
    keys: &Keys,
) -> Result<Fresh, Problem> {
    let service = Service::Ecr(region.clone());
    let url = http.url(&service, "/")?;
    let mut now = clock::now();
    let mut second = false;
    let reply = loop {
        let mut headers = vec![("x-amz-target", ACTION.to_owned())];
        headers.extend(signed(&url, region, keys, now)?);
        let asked = http.ask(Ask {
            service: &service,
            action: "GetAuthorizationToken",
            method: Method::POST,
            path: "/",
            headers,
            body: Some((JSON, b"{}".to_vec())),
            secrets: vec![&keys.secret_access_key, &keys.token],
            advice: "let the role do ecr:GetAuthorizationToken",
        });
        match asked.await {
            Ok(reply) => break reply,
            // Our clock is wrong for AWS: its own is in the answer.
            Err(Refusal {
                code,
                date: Some(date),
                ..
            }) if SKEWED.contains(&code.as_str()) && !second => {
                second = true;
                now = date;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    };
    let Authorizations { authorization_data } = reply.json()?;
    let one = authorization_data
        .into_iter()
        .next()
        .ok_or_else(|| reply.unreadable())?;
    let pair = STANDARD
        .decode(one.authorization_token.expose_secret())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = pair
        .as_deref()
        .and_then(|pair| pair.split_once(':'))
        .ok_or_else(|| reply.unreadable())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole seconds; what does not fit is cut to what does, and that is no life time"
    )]
    let ends = one
        .expires_at
        .and_then(|seconds| Timestamp::from_second(seconds as i64).ok());
    Ok(Fresh {
        login: Login::new(user, password),
        life: life_between(reply.date, ends, LONGEST),
    })
}

/// The headers with which the request is signed (Signature Version 4).
fn signed(
    url: &reqwest::Url,
    region: &AwsRegion,
    keys: &Keys,
    now: Timestamp,
) -> Result<Vec<(&'static str, String)>, Problem> {
    let unsigned = |_| Problem::unreadable("the request to the ECR API cannot be signed");
    let identity = Credentials::new(
        keys.access_key_id.clone(),
        keys.secret_access_key.expose_secret(),
        Some(keys.token.expose_secret().to_owned()),
        None,
        "floe",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&region.name)
        .name("ecr")
        .time(SystemTime::from(now))
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| unsigned(()))?
        .into();
    let headers = [("content-type", JSON), ("x-amz-target", ACTION)];
    let request = SignableRequest::new(
        "POST",
        url.as_str(),
        headers.into_iter(),
        SignableBody::Bytes(b"{}"),
    )
    .map_err(|_| unsigned(()))?;
    let (instructions, _) = sign(request, &parameters)
        .map_err(|_| unsigned(()))?
        .into_parts();
    let named = |name: &str| {
        ["authorization", "x-amz-date", "x-amz-security-token"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name))
    };
    Ok(instructions
        .headers()
        .filter_map(|(name, value)| Some((named(name)?, value.to_owned())))
        .collect())
}
