//! One request and its answer: credentials, time limit, Retry-After, bounded bodies.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use tokio::time::Instant;

use super::answer::{Answer, error_words};
use super::auth::{Scope, Secrets};
use super::error::{Problem, RegistryError};
use super::{Inner, guard, pace};

/// Tries of one request in all: first, after a challenge, after a second challenge, and those
/// that the registry asked for with Retry-After.
const MOST_TRIES: u32 = 6;

/// A request to the registry.
pub(super) struct Call {
    /// What is tried, for messages: `read the manifest`.
    pub action: &'static str,
    /// On what, for messages.
    pub subject: String,
    pub method: Method,
    pub url: Url,
    pub accept: Option<HeaderValue>,
    pub body: Option<(Bytes, HeaderValue)>,
    pub scope: Scope,
    /// Whether Retry-After is honoured here; else it surfaces at once.
    pub waits: bool,
    /// Time limit of each try.
    pub limit: Duration,
    /// Not to be sent later than this, and to be given up then.
    pub not_after: Option<Instant>,
}

impl Call {
    pub(super) fn error(&self, problem: Problem) -> RegistryError {
        RegistryError::new(self.action, self.subject.clone(), problem)
    }

    fn writes(&self) -> bool {
        self.method != Method::GET && self.method != Method::HEAD
    }

    fn request(&self) -> Request {
        let mut request = Request::new(self.method.clone(), self.url.clone());
        let headers = request.headers_mut();
        if let Some(accept) = &self.accept {
            headers.insert(ACCEPT, accept.clone());
        }
        if let Some((bytes, content_type)) = &self.body {
            headers.insert(CONTENT_TYPE, content_type.clone());
            *request.body_mut() = Some(bytes.clone().into());
        } else if self.writes() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        request
    }

    /// Deadline of a try that starts now; an error when it is too late to start.
    fn deadline(&self) -> Result<Instant, Problem> {
        let now = pace::now();
        match self.not_after {
            Some(limit) if limit <= now => Err(Problem::unavailable(
                "too late to write under the claim that was read",
            )),
            Some(limit) => Ok(limit.min(now + self.limit)),
            None => Ok(now + self.limit),
        }
    }
}

impl Inner {
    /// Sends the call, with credentials as the registry asks for them.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, RegistryError> {
        let mut waited = Duration::ZERO;
        let mut renewed = false;
        for _ in 0..MOST_TRIES {
            let credential = self
                .authorize(&call.scope)
                .await
                .map_err(|p| call.error(p))?;
            let mut request = call.request();
            if let Some(header) = &credential.header {
                request.headers_mut().insert(AUTHORIZATION, header.clone());
            }
            let deadline = call.deadline().map_err(|problem| call.error(problem))?;
            let response = send_within(&self.http, request, deadline)
                .await
                .map_err(|problem| call.error(problem))?;
            let status = response.status();
            tracing::debug!(method = %call.method, url = guard::redacted(&call.url), %status);
            if status == StatusCode::UNAUTHORIZED
                && self
                    .challenged(response.headers(), &call.scope, &credential)
                    .map_err(|problem| call.error(problem))?
            {
                continue;
            }
            // A login that does not last has run out: clouds answer 401 or 403.
            if is_denied(status)
                && !renewed
                && self
                    .renews(&credential)
                    .await
                    .map_err(|problem| call.error(problem))?
            {
                renewed = true;
                continue;
            }
            let asked_to_wait = pace::retry_after(response.headers());
            if let Some(wait) = asked_to_wait
                && is_busy(status)
                && call.waits
                && waited + wait <= self.limits.waiting
            {
                waited += wait;
                pace::wait(wait).await;
                continue;
            }
            let sent = Sent {
                deadline,
                secrets: credential.secrets(self.login.as_ref()),
            };
            return Self::judge(call, response, sent, asked_to_wait).await;
        }
        Err(call.error(Problem::unavailable(
            "the registry keeps asking for another try",
        )))
    }

    /// Turns the answers that mean the same for every call into errors.
    async fn judge(
        call: Call,
        response: Response,
        sent: Sent,
        retry_after: Option<Duration>,
    ) -> Result<Answer, RegistryError> {
        let Sent { deadline, secrets } = sent;
        let status = response.status();
        let denied = is_denied(status);
        let unavailable = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        if !denied && !unavailable {
            let Call {
                action, subject, ..
            } = call;
            return Ok(Answer {
                action,
                subject,
                response,
                deadline,
                secrets,
            });
        }
        let ambiguous = call.writes() && status != StatusCode::TOO_MANY_REQUESTS;
        let words = error_words(response, deadline, &secrets).await;
        let why = format!("the registry answers {status}{}", words.suffix());
        Err(call.error(if denied {
            Problem::denied(why)
        } else {
            Problem::Unavailable {
                why,
                retry_after,
                ambiguous,
            }
        }))
    }
}

/// Sends one request and waits for the head of the answer, at most until `deadline`.
pub(super) async fn send_within(
    http: &Client,
    request: Request,
    deadline: Instant,
) -> Result<Response, Problem> {
    let writes = request.method() != Method::GET && request.method() != Method::HEAD;
    match tokio::time::timeout_at(deadline, http.execute(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(send_problem(error, writes)),
        Err(_) => Err(Problem::Unavailable {
            why: "no answer within the time limit".to_owned(),
            retry_after: None,
            ambiguous: writes,
        }),
    }
}

/// What is known of a request when its answer comes.
struct Sent {
    deadline: Instant,
    secrets: Secrets,
}

fn is_denied(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// Why no answer came at all.
fn send_problem(error: reqwest::Error, writes: bool) -> Problem {
    let error = error.without_url();
    if let Some(tls) = find_tls(&error)
        && matches!(
            tls,
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::UnsupportedNameType
        )
    {
        return Problem::untrusted(format!("its certificate is not trusted: {tls}"));
    }
    Problem::Unavailable {
        why: guard::chain(&error),
        retry_after: None,
        ambiguous: writes && !error.is_connect() && !error.is_builder(),
    }
}

fn find_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An io::Error shows the source of what it wraps, but not what it wraps.
        let inner = current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}
