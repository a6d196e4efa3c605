//! Proves to a registry who we are, and to nobody else.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded;

use super::Inner;
use super::access::{Kind, Login};
use super::answer::read_bounded;
use super::challenge::{self, Challenge, may_see_credentials};
use super::error::Problem;
use super::transport::{is_denied, send_within};
use super::{guard, pace};
use crate::effects::lock::lock;

/// Largest answer of a token service, in bytes.
const LARGEST_TOKEN: u64 = 256 * 1024;

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Life time of a token when the service does not say it (distribution specification).
const DEFAULT_LIFE: u64 = 60;

/// Tokens kept before the expired ones are dropped.
const MOST_TOKENS: usize = 256;

/// What a token must allow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// Name of the repository inside the registry.
    pub name: String,
    /// Writing as well as reading.
    pub push: bool,
    /// Deleting as well as reading.
    pub delete: bool,
    /// Another repository from which blobs are mounted.
    pub mount_from: Option<String>,
}

impl Scope {
    /// As the token service wants it, one text for each repository.
    fn texts(&self) -> impl Iterator<Item = String> {
        let actions = match (self.push, self.delete) {
            (false, false) => "pull",
            (true, false) => "pull,push",
            (false, true) => "pull,delete",
            (true, true) => "pull,push,delete",
        };
        let own = format!("repository:{}:{actions}", self.name);
        let other = self.mount_from.iter();
        std::iter::once(own).chain(other.map(|name| format!("repository:{name}:pull")))
    }
}

/// What is known about the registry's way of asking, and the tokens in use.
#[derive(Default)]
pub(super) struct Tokens {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    tokens: HashMap<Scope, Token>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    expires: Instant,
}

/// Header for one request.
#[derive(Default)]
pub(super) struct Credential {
    pub header: Option<HeaderValue>,
    /// It is so new that a 401 to it is final, unless its login can be renewed.
    fresh: bool,
    /// The login that was sent as it is.
    login: Option<Login>,
}

impl Credential {
    /// What an answer may repeat of it, and a message must not.
    pub(super) fn secrets(&self, own: Option<&Login>) -> Secrets {
        let header = self.header.as_ref().and_then(|header| header.to_str().ok());
        let header = header.and_then(|text| text.split_once(' '));
        let logins = self.login.as_ref().into_iter().chain(own);
        Secrets(
            header
                .map(|(_, value)| value.to_owned().into())
                .into_iter()
                .chain(logins.filter_map(Login::secret).cloned())
                .filter(|secret: &SecretString| !secret.expose_secret().is_empty())
                .collect(),
        )
    }
}

/// What was sent with a request and must not come into messages.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<SecretString>);

impl Secrets {
    /// Foreign text without them.
    pub(super) fn removed_from(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.expose_secret(), "redacted")
        })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
    expires_in: Option<u64>,
}

impl Inner {
    /// The header for a request in `scope`, with a token from the service when none is at hand.
    pub(super) async fn authorize(&self, scope: &Scope) -> Result<Credential, Problem> {
        let challenge = {
            let state = lock(&self.tokens.state);
            match &state.challenge {
                None => return Ok(Credential::default()),
                Some(Challenge::Basic) => Challenge::Basic,
                Some(bearer) => match state.valid_token(scope) {
                    Some(header) => {
                        return Ok(Credential {
                            header: Some(header),
                            ..Credential::default()
                        });
                    }
                    None => bearer.clone(),
                },
            }
        };
        let login = match &self.login {
            Some(login) => Some(login.resolve(None).await?),
            None => None,
        };
        let header = match (challenge, &login) {
            (Challenge::Basic, login) => basic_header(login.as_ref())?,
            (Challenge::Bearer { .. }, Some(login)) if let Kind::Bearer(token) = login.kind() => {
                bearer_header(token)?
            }
            (Challenge::Bearer { realm, service }, login) => {
                let token = self
                    .renewed_token(&realm, service.as_deref(), scope, login.as_ref())
                    .await?;
                let header = token.header.clone();
                lock(&self.tokens.state).keep(scope, token);
                return Ok(Credential {
                    header: Some(header),
                    fresh: true,
                    login: None,
                });
            }
        };
        Ok(Credential {
            header: Some(header),
            fresh: true,
            login,
        })
    }

    /// Takes in an answer: whether another try with other credentials makes sense. A login that does not last
    /// has run out when it is refused (clouds answer 401 or 403), and is renewed.
    pub(super) async fn refused(
        &self,
        response: &Response,
        scope: &Scope,
        used: &Credential,
    ) -> Result<bool, Problem> {
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED && self.challenged(response.headers(), scope, used)? {
            return Ok(true);
        }
        Ok(is_denied(status) && self.renewed(used.login.as_ref()).await?.is_some())
    }

    /// A newer login than this one, where there can be one.
    async fn renewed(&self, old: Option<&Login>) -> Result<Option<Login>, Problem> {
        let (Some(own), Some(old)) = (&self.login, old) else {
            return Ok(None);
        };
        let newer = own.resolve(Some(old)).await?;
        Ok((!newer.same(old)).then_some(newer))
    }

    /// A token of the service, with a newer login when it refuses this one.
    async fn renewed_token(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: &Scope,
        login: Option<&Login>,
    ) -> Result<Token, Problem> {
        match self.fetch_token(realm, service, scope, login).await {
            Err(Problem::Denied { why }) => match self.renewed(login).await? {
                Some(newer) => self.fetch_token(realm, service, scope, Some(&newer)).await,
                None => Err(Problem::Denied { why }),
            },
            other => other,
        }
    }

    /// Takes in a 401: forgets the token and remembers how the registry wants to be asked.
    /// `true` when another try makes sense.
    fn challenged(
        &self,
        headers: &HeaderMap,
        scope: &Scope,
        used: &Credential,
    ) -> Result<bool, Problem> {
        let challenge = challenge::read(headers).map_err(Problem::unreadable)?;
        if let Challenge::Bearer { realm, .. } = &challenge {
            self.check_realm(realm)?;
        }
        let mut state = lock(&self.tokens.state);
        let changed = state.challenge.as_ref() != Some(&challenge);
        state.challenge = Some(challenge);
        if changed {
            state.tokens.clear();
        } else {
            state.tokens.retain(|kept, _| kept.name != scope.name);
        }
        Ok(changed || !used.fresh)
    }

    fn check_realm(&self, realm: &Url) -> Result<(), Problem> {
        guard::check(realm, self.plain_http, &self.addresses)
            .map_err(|why| Problem::unreadable(format!("its token service {why}")))?;
        let registry_host = self.base.host_str().unwrap_or_default();
        let realm_host = realm.host_str().unwrap_or_default();
        if may_see_credentials(registry_host, realm_host, &self.token_hosts) {
            return Ok(());
        }
        Err(Problem::unreadable(format!(
            "it sends us for a token to '{realm_host}', which does not belong to it"
        )))
    }

    /// Asks the token service: an identity token by POST (OAuth 2), anything else by GET, and by the other way
    /// when the service does not know the first.
    async fn fetch_token(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: &Scope,
        login: Option<&Login>,
    ) -> Result<Token, Problem> {
        let by_get = || {
            let mut url = realm.clone();
            url.query_pairs_mut().extend_pairs(asked(service, scope));
            let mut request = Request::new(Method::GET, url);
            if let Some(header) = login.map(token_service_header).transpose()? {
                request.headers_mut().insert(AUTHORIZATION, header);
            }
            Ok::<Request, Problem>(request)
        };
        let by_post = || {
            let grant = login.and_then(grant)?;
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("client_id", "floe");
            form.extend_pairs(asked(service, scope)).extend_pairs(grant);
            let mut request = Request::new(Method::POST, realm.clone());
            request.headers_mut().insert(CONTENT_TYPE, FORM);
            *request.body_mut() = Some(form.finish().into());
            Some(Ok(request))
        };
        let post_first = login.is_some_and(|login| matches!(login.kind(), Kind::Identity { .. }));
        let (first, second) = if post_first {
            (by_post(), Some(by_get()))
        } else {
            (Some(by_get()), by_post())
        };
        let asked_at = pace::now();
        let deadline = asked_at + self.limits.request;
        let service_name = format!("the token service '{}'", guard::redacted(realm));
        let http = self.http_for(realm)?;
        let mut response = None;
        for request in [first, second].into_iter().flatten() {
            let answer = send_within(http, request?, deadline)
                .await
                .map_err(|problem| match problem {
                    Problem::Unavailable { why, .. } => {
                        Problem::unavailable(format!("{service_name}: {why}"))
                    }
                    other => other,
                })?;
            let other_way = matches!(
                answer.status(),
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
            );
            response = Some(answer);
            if !other_way {
                break;
            }
        }
        let Some(response) = response else {
            return Err(Problem::denied("there is nothing to ask for a token with"));
        };
        let status = response.status();
        match status {
            StatusCode::OK => {}
            // An OAuth 2 service answers 400 to a refresh token that has expired or was withdrawn.
            StatusCode::BAD_REQUEST if post_first => {
                return Err(Problem::denied(format!(
                    "{service_name} refuses the identity token ({status})"
                )));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Problem::denied(format!(
                    "{service_name} refuses the credentials ({status})"
                )));
            }
            _ => {
                return Err(Problem::Unavailable {
                    why: format!("{service_name} answers {status}"),
                    retry_after: pace::retry_after(response.headers()),
                    ambiguous: false,
                });
            }
        }
        let body = read_bounded(response, deadline, LARGEST_TOKEN, "the token").await?;
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|_| Problem::unreadable(format!("{service_name} answers with no token")))?;
        answer
            .into_token(asked_at)
            .map_err(|why| Problem::unreadable(format!("{service_name} {why}")))
    }
}

/// What a token service is asked for.
fn asked(service: Option<&str>, scope: &Scope) -> Vec<(&'static str, String)> {
    let service = service.map(|service| ("service", service.to_owned()));
    let scopes = scope.texts().map(|text| ("scope", text));
    service.into_iter().chain(scopes).collect()
}

/// With what a token service is asked by POST.
fn grant(login: &Login) -> Option<Vec<(&'static str, String)>> {
    match login.kind() {
        Kind::Password { username, password } => Some(vec![
            ("grant_type", "password".to_owned()),
            ("username", username.expose_secret().to_owned()),
            ("password", password.expose_secret().to_owned()),
        ]),
        Kind::Identity { token, .. } => Some(vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", token.expose_secret().to_owned()),
        ]),
        Kind::Bearer(_) | Kind::Renewed(_) => None,
    }
}

/// With what a token service is asked by GET.
fn token_service_header(login: &Login) -> Result<HeaderValue, Problem> {
    match login.kind() {
        Kind::Identity { username, token } => basic(username, token),
        _ => basic_header(Some(login)),
    }
}

impl TokenAnswer {
    fn into_token(self, asked_at: Instant) -> Result<Token, &'static str> {
        let secret = self
            .token
            .or(self.access_token)
            .filter(|token| !token.expose_secret().is_empty())
            .ok_or("answers with no token")?;
        let header = sensitive(&format!("Bearer {}", secret.expose_secret()))
            .ok_or("answers with a token that no header can carry")?;
        let life = self.expires_in.unwrap_or(DEFAULT_LIFE).min(60 * 60);
        let margin = (life / 10).min(30);
        Ok(Token {
            header,
            expires: asked_at + Duration::from_secs(life - margin),
        })
    }
}

impl State {
    /// A token for this scope, or one that allows more.
    fn valid_token(&self, scope: &Scope) -> Option<HeaderValue> {
        let now = pace::now();
        let wider = Scope {
            push: true,
            ..scope.clone()
        };
        [scope, &wider]
            .into_iter()
            .filter_map(|scope| self.tokens.get(scope))
            .find(|token| token.expires > now)
            .map(|token| token.header.clone())
    }

    fn keep(&mut self, scope: &Scope, token: Token) {
        if self.tokens.len() >= MOST_TOKENS {
            let now = pace::now();
            self.tokens.retain(|_, kept| kept.expires > now);
        }
        if self.tokens.len() >= MOST_TOKENS {
            self.tokens.clear();
        }
        self.tokens.insert(scope.clone(), token);
    }
}

fn basic_header(login: Option<&Login>) -> Result<HeaderValue, Problem> {
    let have = match login.map(Login::kind) {
        Some(Kind::Password { username, password }) => return basic(username, password),
        Some(_) => "only a token",
        None => "none",
    };
    Err(Problem::denied(format!(
        "the registry asks for user and password, and there is {have}"
    )))
}

fn basic(username: &SecretString, password: &SecretString) -> Result<HeaderValue, Problem> {
    let pair = format!("{}:{}", username.expose_secret(), password.expose_secret());
    sensitive(&format!("Basic {}", STANDARD.encode(pair))).ok_or_else(unsendable)
}

fn bearer_header(token: &SecretString) -> Result<HeaderValue, Problem> {
    sensitive(&format!("Bearer {}", token.expose_secret())).ok_or_else(unsendable)
}

fn unsendable() -> Problem {
    Problem::denied("the credentials cannot be sent in a header")
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}
