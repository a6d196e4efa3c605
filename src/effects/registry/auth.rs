//! Proves to a registry who we are, and to nobody else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use super::Inner;
use super::access::Login;
use super::answer::read_bounded;
use super::challenge::{self, Challenge, may_see_credentials};
use super::error::Problem;
use super::transport::send_within;
use super::{guard, pace};

/// Largest answer of a token service, in bytes.
const LARGEST_TOKEN: u64 = 256 * 1024;

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

/// Header for one request, and whether it is so new that a 401 to it is final.
pub(super) struct Credential {
    pub header: Option<HeaderValue>,
    pub fresh: bool,
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
            let state = self.tokens.lock();
            match &state.challenge {
                None => {
                    return Ok(Credential {
                        header: None,
                        fresh: false,
                    });
                }
                Some(Challenge::Basic) => Challenge::Basic,
                Some(bearer) => match state.valid_token(scope) {
                    Some(header) => {
                        return Ok(Credential {
                            header: Some(header),
                            fresh: false,
                        });
                    }
                    None => bearer.clone(),
                },
            }
        };
        let header = match challenge {
            Challenge::Basic => {
                let login = self.login.as_ref().ok_or_else(|| {
                    Problem::denied("the registry asks for user and password, and there are none")
                })?;
                basic_header(login)?
            }
            Challenge::Bearer { realm, service } => {
                let token = self.fetch_token(&realm, service.as_deref(), scope).await?;
                let header = token.header.clone();
                self.tokens.lock().keep(scope, token);
                header
            }
        };
        Ok(Credential {
            header: Some(header),
            fresh: true,
        })
    }

    /// Takes in a 401: forgets the token and remembers how the registry wants to be asked.
    /// `true` when another try makes sense.
    pub(super) fn challenged(
        &self,
        headers: &HeaderMap,
        scope: &Scope,
        used: &Credential,
    ) -> Result<bool, Problem> {
        let challenge = challenge::read(headers).map_err(Problem::unreadable)?;
        if let Challenge::Bearer { realm, .. } = &challenge {
            self.check_realm(realm)?;
        }
        let mut state = self.tokens.lock();
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
        guard::check(realm, self.plain_http)
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

    async fn fetch_token(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: &Scope,
    ) -> Result<Token, Problem> {
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            for text in scope.texts() {
                query.append_pair("scope", &text);
            }
        }
        let mut request = Request::new(Method::GET, url);
        if let Some(login) = &self.login {
            request
                .headers_mut()
                .insert(AUTHORIZATION, basic_header(login)?);
        }
        let deadline = pace::now() + self.limits.request;
        let service_name = format!("the token service '{}'", guard::redacted(realm));
        let response = send_within(self.http_for(realm)?, request, deadline)
            .await
            .map_err(|problem| match problem {
                Problem::Unavailable { why, .. } => {
                    Problem::unavailable(format!("{service_name}: {why}"))
                }
                other => other,
            })?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
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
        let asked_at = pace::now();
        let body = read_bounded(response, deadline, LARGEST_TOKEN, "the token").await?;
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|_| Problem::unreadable(format!("{service_name} answers with no token")))?;
        answer
            .into_token(asked_at)
            .map_err(|why| Problem::unreadable(format!("{service_name} {why}")))
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

impl Tokens {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

fn basic_header(login: &Login) -> Result<HeaderValue, Problem> {
    let pair = STANDARD.encode(format!("{}:{}", login.username(), login.password()));
    sensitive(&format!("Basic {pair}"))
        .ok_or_else(|| Problem::denied("the credentials cannot be sent in a header"))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}
