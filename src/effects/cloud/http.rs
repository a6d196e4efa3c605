//! One question to a service of a cloud, and its answer: bounded, and an error in the vendor's own words.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::policy::cloud::Service;
use crate::effects::clock;
use crate::effects::registry::{Addresses, Problem, guard};

/// Time limit of one question.
const LIMIT: Duration = Duration::from_secs(10);
/// Time limit of a question to the node.
const LIMIT_ON_NODE: Duration = Duration::from_secs(3);
/// Largest answer, in bytes.
const LARGEST: usize = 256 * 1024;
/// Codes of vendors that mean "later", whatever the HTTP status.
const LATER: [&str; 7] = [
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "IDPCommunicationError",
    "temporarily_unavailable",
    "RESOURCE_EXHAUSTED",
];

/// Where the services of the clouds are.
#[derive(Clone)]
pub struct CloudEndpoints {
    address: Arc<dyn Fn(&Service) -> String + Send + Sync>,
    plain_http: bool,
}

impl CloudEndpoints {
    /// Where the vendors run them.
    pub fn real() -> Self {
        Self {
            address: Arc::new(Service::address),
            plain_http: false,
        }
    }

    /// Elsewhere and without TLS: doubles of them.
    pub fn doubles(address: impl Fn(&Service) -> String + Send + Sync + 'static) -> Self {
        Self {
            address: Arc::new(address),
            plain_http: true,
        }
    }
}

/// Asks the services.
pub(super) struct Http {
    /// For what is on the internet: no link-local address, also not behind a name.
    outside: Client,
    /// For what is on the node: never through a proxy.
    on_node: Client,
    endpoints: CloudEndpoints,
}

/// One question.
pub(super) struct Ask<'a> {
    pub service: &'a Service,
    /// What is tried, in the vendor's word: `AssumeRoleWithWebIdentity`.
    pub action: &'static str,
    pub method: Method,
    pub path: &'a str,
    pub headers: Vec<(&'static str, String)>,
    /// Content type and bytes.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// What must not come back in a message.
    pub secrets: Vec<&'a SecretString>,
    /// What to do when it is refused.
    pub advice: &'a str,
}

/// An answer with 200.
pub(super) struct Reply {
    body: Vec<u8>,
    /// When it was given, by the vendor's clock.
    pub date: Option<Timestamp>,
    from: String,
}

/// An answer that is none.
pub(super) struct Refusal {
    pub problem: Problem,
    /// HTTP status; none when no answer came.
    pub status: Option<StatusCode>,
    /// The vendor's code.
    pub code: String,
    /// When it was given, by the vendor's clock.
    pub date: Option<Timestamp>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        refusal.problem
    }
}

impl Http {
    pub(super) fn new(endpoints: CloudEndpoints) -> Result<Self, String> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("floe/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .referer(false)
        };
        let error =
            |error: reqwest::Error| format!("TLS cannot be set up: {}", error.without_url());
        Ok(Self {
            outside: builder()
                .connect_timeout(Duration::from_secs(5))
                .dns_resolver(guard::GuardedResolver::new(Addresses::default()))
                .build()
                .map_err(error)?,
            on_node: builder()
                .connect_timeout(Duration::from_secs(1))
                .no_proxy()
                .build()
                .map_err(error)?,
            endpoints,
        })
    }

    /// Scheme, host and path of a question.
    pub(super) fn url(&self, service: &Service, path: &str) -> Result<Url, Problem> {
        let address = (self.endpoints.address)(service);
        let url = Url::parse(&format!("{address}{path}"))
            .map_err(|_| Problem::unreadable(format!("{} has no address", service.name())))?;
        // The addresses on the node are constants of the program; nothing else may be link-local.
        if !service.is_on_the_node() {
            // Where the vendors run them, whatever networks registries may lie in.
            let addresses = Addresses::default();
            guard::check(&url, self.endpoints.plain_http, &addresses)
                .map_err(Problem::unreadable)?;
        }
        Ok(url)
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Reply, Refusal> {
        let from = format!("{}: {}", ask.service.name(), ask.action);
        let silent = |problem| Refusal {
            problem,
            status: None,
            code: String::new(),
            date: None,
        };
        let unavailable = |why: &str| silent(Problem::unavailable(format!("{from}: {why}")));
        let url = self.url(ask.service, ask.path).map_err(silent)?;
        let mut request = Request::new(ask.method, url);
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value).map(|mut value| {
                value.set_sensitive(true);
                value
            });
            let value = value
                .map_err(|_| silent(Problem::denied(format!("{from}: '{name}' cannot be sent"))))?;
            request.headers_mut().insert(*name, value);
        }
        if let Some((kind, bytes)) = ask.body {
            let kind = HeaderValue::from_static(kind);
            request.headers_mut().insert(CONTENT_TYPE, kind);
            *request.body_mut() = Some(bytes.into());
        }
        let (client, limit) = if ask.service.is_on_the_node() {
            (&self.on_node, LIMIT_ON_NODE)
        } else {
            (&self.outside, LIMIT)
        };
        let (status, headers, body) = match tokio::time::timeout_at(
            clock::instant() + limit,
            exchange(client, request),
        )
        .await
        {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return Err(unavailable(&why)),
            Err(_) => return Err(unavailable("no answer within the time limit")),
        };
        let date = date(&headers);
        if status == StatusCode::OK {
            return Ok(Reply { body, date, from });
        }
        let (code, message) = vendor_error(&body);
        let clean = |text: &str, most| {
            let text = ask.secrets.iter().fold(text.to_owned(), |text, secret| {
                text.replace(secret.expose_secret(), "redacted")
            });
            guard::shortened(&text, most)
        };
        let (code, message) = (clean(&code, 80), clean(&message, 300));
        let words = [code.as_str(), message.as_str()]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(": ");
        let mut why = format!("{from}: {status}");
        if !words.is_empty() {
            why = format!("{why} ({words})");
        }
        let later = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            )
            || LATER.contains(&code.as_str());
        let problem = if later {
            Problem::unavailable(why)
        } else {
            Problem::denied(format!("{why}; {}", ask.advice))
        };
        Err(Refusal {
            problem,
            status: Some(status),
            code,
            date,
        })
    }
}

impl Reply {
    /// The answer as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|_| self.unreadable())
    }

    /// The text of the first element of this name, in an answer that is XML.
    pub(super) fn element(&self, name: &str) -> Result<String, Problem> {
        element(&self.body, name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.unreadable())
    }

    /// The answer as one line.
    pub(super) fn line(&self) -> Result<String, Problem> {
        std::str::from_utf8(&self.body)
            .ok()
            .and_then(|text| text.lines().next())
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty() && line.len() < 2048)
            .ok_or_else(|| self.unreadable())
    }

    pub(super) fn unreadable(&self) -> Problem {
        Problem::unreadable(format!("{}: its answer makes no sense", self.from))
    }
}

async fn exchange(
    client: &Client,
    request: Request,
) -> Result<(StatusCode, HeaderMap, Vec<u8>), String> {
    let said = |error: reqwest::Error| guard::chain(&error.without_url());
    let mut response = client.execute(request).await.map_err(said)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(said)? {
        if body.len() + chunk.len() > LARGEST {
            return Err("its answer is larger than 256 KiB".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), response.headers().clone(), body))
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// Code and message of an error, in any of the forms that the vendors use.
fn vendor_error(body: &[u8]) -> (String, String) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let part = |name| element(body, name).unwrap_or_default();
        return (part("Code"), part("Message"));
    };
    let text = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let first_of = |names: &[&str], value: &Value| {
        names
            .iter()
            .map(|name| text(value.get(*name)))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    };
    let inner = match (value.get("error"), value.get("errors")) {
        (Some(error), _) if error.is_object() => error,
        (_, Some(errors)) => errors.get(0).unwrap_or(&value),
        _ => &value,
    };
    let code = first_of(&["__type", "status", "error", "code", "Code"], inner);
    let message = first_of(&["message", "Message", "error_description"], inner);
    // `com.amazonaws.ecr#ThrottlingException` is the same as the last word.
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    (code, message)
}

/// The text of the first element of this name.
fn element(xml: &[u8], name: &str) -> Option<String> {
    let mut reader = Reader::from_reader(xml);
    let mut inside = false;
    let mut text = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => inside = start.local_name().as_ref() == name,
            Event::Text(part) if inside => text.push_str(&part),
            Event::GeneralRef(entity) if inside => match entity.resolve_char_ref().ok()? {
                Some(character) => text.push(character),
                None => text.push_str(resolve_xml_entity(&entity)?),
            },
            Event::End(_) if inside => return Some(text),
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_in_the_form_of_each_vendor() {
        for (body, code, message) in [
            (
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                 <Code>ExpiredTokenException</Code><Message>Token &quot;x&quot; expired</Message></Error></ErrorResponse>",
                "ExpiredTokenException",
                "Token \"x\" expired",
            ),
            (
                r#"{"__type":"com.amazonaws.ecr#ServerException","message":"m"}"#,
                "ServerException",
                "m",
            ),
            (
                r#"{"__type":"AccessDeniedException","Message":"m"}"#,
                "AccessDeniedException",
                "m",
            ),
            (
                r#"{"error":"invalid_grant","error_description":"m"}"#,
                "invalid_grant",
                "m",
            ),
            (
                r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}"#,
                "PERMISSION_DENIED",
                "m",
            ),
            (
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"m"}]}"#,
                "UNAUTHORIZED",
                "m",
            ),
            ("", "", ""),
            ("<html>", "", ""),
            (r#"{"errors":[]}"#, "", ""),
            ("[]", "", ""),
        ] {
            let found = vendor_error(body.as_bytes());
            assert_eq!(found, (code.to_owned(), message.to_owned()), "{body}");
        }
    }

    #[test]
    fn nothing_but_the_services_on_the_node_may_be_link_local() {
        let endpoints = CloudEndpoints::doubles(|_| "http://169.254.169.254".to_owned());
        let http = Http::new(endpoints).unwrap();
        for service in [
            Service::GoogleSts,
            Service::AcrExchange("team.azurecr.io".to_owned()),
        ] {
            assert!(http.url(&service, "/x").is_err());
        }
        assert!(http.url(&Service::InstanceMetadata, "/x").is_ok());
        let real = Http::new(CloudEndpoints::real()).unwrap();
        for host in ["169.254.169.254", "2852039166", "[fe80::1]"] {
            assert!(
                real.url(&Service::AcrExchange(host.to_owned()), "/x")
                    .is_err()
            );
        }
    }
}
