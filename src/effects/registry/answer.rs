//! Reads an answer: bounded, once, and believed only as far as it can be checked.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::auth::Secrets;
use super::error::{Problem, RegistryError};
use super::guard;

/// Largest body of an error that is read, in bytes.
const LARGEST_ERROR: u64 = 16 * 1024;

/// The answer to a [`Call`], its body unread. Never 401, 403, 408, 429 or 5xx.
pub(super) struct Answer {
    pub(super) action: &'static str,
    pub(super) subject: String,
    pub(super) response: Response,
    pub(super) deadline: Instant,
    pub(super) secrets: Secrets,
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
pub(super) struct ErrorWords {
    /// Codes of the OCI errors; empty when the body is none.
    codes: Vec<String>,
    message: String,
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
            secrets: _,
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
            secrets,
        } = self;
        let words = error_words(response, deadline, &secrets).await;
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
            secrets,
        } = self;
        let problem = if status.is_client_error() {
            let words = error_words(response, deadline, &secrets).await;
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
    pub(super) fn suffix(&self) -> String {
        let code = self.codes.first().map(String::as_str).unwrap_or_default();
        match (code, self.message.as_str()) {
            ("", "") => String::new(),
            (code, "") => format!(" ({code})"),
            ("", message) => format!(" ({message})"),
            (code, message) => format!(" ({code}: {message})"),
        }
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
            guard::chain(&error.without_url())
        ))),
        Err(_) => Err(Problem::unavailable(
            "the answer did not end within the time limit",
        )),
    }
}

pub(super) async fn error_words(
    response: Response,
    deadline: Instant,
    secrets: &Secrets,
) -> ErrorWords {
    let body = read_bounded(response, deadline, LARGEST_ERROR, "the error").await;
    let body = body.unwrap_or_default();
    let clean = |text: &str, most: usize| guard::shortened(&secrets.removed_from(text), most);
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
