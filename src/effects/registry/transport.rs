//! One request and its answer: credentials, time limit, Retry-After, bounded bodies.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::Instant;

use super::access::Login;
use super::auth::Scope;
use super::error::{Problem, RegistryError};
use super::{Inner, guard, pace};

/// Largest body of an error that is read, in bytes.
const LARGEST_ERROR: u64 = 16 * 1024;

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

/// The answer to a [`Call`], its body unread. Never 401, 403, 408, 429 or 5xx.
pub(super) struct Answer {
    action: &'static str,
    subject: String,
    response: Response,
    deadline: Instant,
    login: Option<Login>,
}

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    code: Option<String>,
    message: Option<String>,
}

/// What the body of an error says.
struct ErrorWords {
    /// Codes of the OCI errors; empty when the body is none.
    codes: Vec<String>,
    message: String,
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
            return self.judge(call, response, deadline, asked_to_wait).await;
        }
        Err(call.error(Problem::unavailable(
            "the registry keeps asking for another try",
        )))
    }

    /// Turns the answers that mean the same for every call into errors.
    async fn judge(
        &self,
        call: Call,
        response: Response,
        deadline: Instant,
        retry_after: Option<Duration>,
    ) -> Result<Answer, RegistryError> {
        let status = response.status();
        let denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let unavailable = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        if !denied && !unavailable {
            let Call {
                action, subject, ..
            } = call;
            let login = self.login.clone();
            return Ok(Answer {
                action,
                subject,
                response,
                deadline,
                login,
            });
        }
        let ambiguous = call.writes() && status != StatusCode::TOO_MANY_REQUESTS;
        let words = error_words(response, deadline, self.login.as_ref()).await;
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

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(super) fn error(&self, problem: Problem) -> RegistryError {
        RegistryError::new(self.action, self.subject.clone(), problem)
    }

    /// Makes errors like [`Answer::error`] after the answer itself is used up.
    pub(super) fn error_maker(&self) -> impl Fn(Problem) -> RegistryError + use<> {
        let (action, subject) = (self.action, self.subject.clone());
        move |problem| RegistryError::new(action, subject.clone(), problem)
    }

    /// A header as text; an error when it is there twice or no text.
    pub(super) fn header(&self, name: &HeaderName) -> Result<Option<&str>, RegistryError> {
        let mut values = self.headers().get_all(name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let text = value.to_str().ok().filter(|_| values.next().is_none());
        text.map(Some).ok_or_else(|| {
            self.error(Problem::unreadable(format!(
                "its header '{name}' cannot be read"
            )))
        })
    }

    /// Content-Type without parameters, in lower case; empty when there is none.
    pub(super) fn content_type(&self) -> Result<String, RegistryError> {
        let text = self.header(&CONTENT_TYPE)?.unwrap_or_default();
        let bare = text.split_once(';').map_or(text, |(bare, _)| bare);
        Ok(bare.trim().to_ascii_lowercase())
    }

    /// The whole body, at most `most` bytes.
    pub(super) async fn body(
        self,
        most: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, RegistryError> {
        let Self {
            action,
            subject,
            response,
            deadline,
            login: _,
        } = self;
        read_bounded(response, deadline, most, what)
            .await
            .map_err(|problem| RegistryError::new(action, subject, problem))
    }

    /// The unread answer and its deadline, for reading piece by piece.
    pub(super) fn into_parts(self) -> (Response, Instant) {
        (self.response, self.deadline)
    }

    /// Whether this 404 means "not there": an answer of the registry itself with a fitting OCI
    /// code or without any. A web page or another code is an error.
    pub(super) async fn absent(self, codes: &[&str]) -> Result<(), RegistryError> {
        let web_page = self.content_type()?.contains("html");
        let Self {
            action,
            subject,
            response,
            deadline,
            login,
        } = self;
        let words = error_words(response, deadline, login.as_ref()).await;
        let clean = !web_page
            && words
                .codes
                .iter()
                .all(|code| codes.contains(&code.as_str()));
        if clean {
            return Ok(());
        }
        let why = format!(
            "it answers 404{}, which does not say 'not there'",
            words.suffix()
        );
        Err(RegistryError::new(
            action,
            subject,
            Problem::unreadable(why),
        ))
    }

    /// The error for an answer that refuses, or that was not expected here.
    pub(super) async fn refusal(self) -> RegistryError {
        let status = self.status();
        let Self {
            action,
            subject,
            response,
            deadline,
            login,
        } = self;
        let problem = if status.is_client_error() {
            let words = error_words(response, deadline, login.as_ref()).await;
            Problem::Refused {
                status: status.as_u16(),
                code: words
                    .codes
                    .first()
                    .cloned()
                    .unwrap_or_else(|| "UNKNOWN".to_owned()),
                message: words.message,
            }
        } else {
            Problem::unreadable(format!("it answers {status}, which makes no sense here"))
        };
        RegistryError::new(action, subject, problem)
    }
}

impl ErrorWords {
    fn suffix(&self) -> String {
        let code = self.codes.first().map(String::as_str).unwrap_or_default();
        match (code, self.message.as_str()) {
            ("", "") => String::new(),
            (code, "") => format!(" ({code})"),
            ("", message) => format!(" ({message})"),
            (code, message) => format!(" ({code}: {message})"),
        }
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

/// Reads a body of at most `most` bytes, at most until `deadline`.
pub(super) async fn read_bounded(
    mut response: Response,
    deadline: Instant,
    most: u64,
    what: &'static str,
) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::TooLarge {
        what,
        limit: most,
        unit: "bytes",
    };
    if response
        .content_length()
        .is_some_and(|length| length > most)
    {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = next_chunk(&mut response, deadline).await? {
        if (body.len() + chunk.len()) as u64 > most {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The next piece of a body, at most until `deadline`.
pub(super) async fn next_chunk(
    response: &mut Response,
    deadline: Instant,
) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout_at(deadline, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => Err(Problem::unavailable(format!(
            "the answer broke off: {}",
            chain(&error.without_url())
        ))),
        Err(_) => Err(Problem::unavailable(
            "the answer did not end within the time limit",
        )),
    }
}

fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

async fn error_words(response: Response, deadline: Instant, login: Option<&Login>) -> ErrorWords {
    let body = read_bounded(response, deadline, LARGEST_ERROR, "the error").await;
    let body = body.unwrap_or_default();
    let clean = |text: &str, most: usize| guard::shortened(&without_secret(text, login), most);
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { errors }) => ErrorWords {
            message: clean(
                errors
                    .first()
                    .and_then(|error| error.message.as_deref())
                    .unwrap_or_default(),
                200,
            ),
            codes: errors
                .iter()
                .map(|error| clean(error.code.as_deref().unwrap_or_default(), 60))
                .collect(),
        },
        Err(_) => ErrorWords {
            codes: Vec::new(),
            message: clean(&String::from_utf8_lossy(&body), 100),
        },
    }
}

/// Foreign text without our own password in it.
fn without_secret(text: &str, login: Option<&Login>) -> String {
    match login {
        Some(login) if !login.password().is_empty() => text.replace(login.password(), "redacted"),
        _ => text.to_owned(),
    }
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
        why: chain(&error),
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

/// The message with all of its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        next = cause.source();
    }
    guard::shortened(&words, 300)
}
