//! Reads the payload of a `kubernetes.io/dockerconfigjson` Secret.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::access::Login;
use crate::domain::artifact::Repository;

/// Why a Secret gives no login. No variant carries anything of the Secret but host names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadLogin {
    /// Not the JSON of a docker configuration.
    #[error("the Secret's '.dockerconfigjson' is not a docker configuration (line {line})")]
    Malformed {
        /// Line of the first mistake.
        line: usize,
    },
    /// The entry of the registry cannot be used.
    #[error("the Secret's entry for '{entry}' {problem}")]
    Entry {
        /// Key of the entry in `auths`.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No entry fits.
    #[error("the Secret has no entry for '{registry}'")]
    NoEntry {
        /// Registry that was looked for.
        registry: String,
    },
}

#[derive(Deserialize)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "lowercase")]
struct Entry {
    auth: Option<SecretString>,
    username: Option<SecretString>,
    password: Option<SecretString>,
    identitytoken: Option<SecretString>,
    registrytoken: Option<SecretString>,
}

/// How well a key fits: length of its path, then whether the host is written out, then its length.
type Fit = (usize, bool, usize);

/// The login for `repository` in a docker configuration: the entry with the longest matching
/// `host[/path]` (scheme, `/v1/`, `/v2/` and a trailing slash are ignored; Docker Hub answers to all of its
/// names). As for kubelet, `*` and `?` in a host stand for characters of one part between dots; a host that is
/// written out comes before one with such signs when both name a path of the same length.
///
/// # Errors
/// [`ReadLogin`]: nothing fits, or what fits is malformed. Never falls back to a shorter match.
pub fn login_for(payload: &[u8], repository: &Repository) -> Result<Login, ReadLogin> {
    let config: DockerConfig = serde_json::from_slice(payload)
        .map_err(|error| ReadLogin::Malformed { line: error.line() })?;
    let host = canonical_host(repository.registry());
    let best = config
        .auths
        .iter()
        .filter_map(|(key, entry)| {
            Some((fit(&canonical(key), &host, repository.name())?, key, entry))
        })
        .max_by_key(|(fit, ..)| *fit);
    let Some((_, key, entry)) = best else {
        return Err(ReadLogin::NoEntry {
            registry: repository.registry().to_owned(),
        });
    };
    login_of(entry).map_err(|problem| ReadLogin::Entry {
        entry: key.clone(),
        problem,
    })
}

/// How well a canonical key fits a host and a name; `None` = not at all.
fn fit(key: &str, host: &str, name: &str) -> Option<Fit> {
    let (key_host, path) = key.split_once('/').unwrap_or((key, ""));
    let written_out = key_host == host;
    if !written_out && !matches_host(key_host, host) {
        return None;
    }
    let below = name
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (path.is_empty() || below).then_some((path.len(), written_out, key_host.len()))
}

/// Whether a host with `*` and `?` stands for this one: part by part, and the port as it is.
fn matches_host(pattern: &str, host: &str) -> bool {
    let with_port = |text: &str| -> (Vec<String>, Option<String>) {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.to_owned())),
            None => (text, None),
        };
        (name.split('.').map(str::to_owned).collect(), port)
    };
    let ((patterns, pattern_port), (parts, port)) = (with_port(pattern), with_port(host));
    pattern_port == port
        && patterns.len() == parts.len()
        && patterns
            .iter()
            .zip(&parts)
            .all(|(pattern, part)| matches_part(pattern.as_bytes(), part.as_bytes()))
}

fn matches_part(pattern: &[u8], part: &[u8]) -> bool {
    match (pattern.split_first(), part.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=part.len()).any(|taken| matches_part(rest, &part[taken..])),
        (Some((b'?', rest)), Some((_, others))) => matches_part(rest, others),
        (Some((one, rest)), Some((other, others))) => one == other && matches_part(rest, others),
        _ => false,
    }
}

/// Text that says something.
fn filled(text: Option<&SecretString>) -> Option<&str> {
    text.map(|text| text.expose_secret().trim())
        .filter(|text| !text.is_empty())
}

/// As docker reads an entry: a token before a password, and `auth` before `username` and `password`.
fn login_of(entry: &Entry) -> Result<Login, &'static str> {
    let Entry {
        auth,
        username,
        password,
        identitytoken,
        registrytoken,
    } = entry;
    let pair = match filled(auth.as_ref()) {
        Some(auth) => Some(decoded(auth)?),
        None => match (filled(username.as_ref()), password) {
            (Some(username), password) => {
                let password = password.as_ref().map(ExposeSecret::expose_secret);
                Some((username.to_owned(), password.unwrap_or_default().to_owned()))
            }
            (None, _) => None,
        },
    };
    if let Some(token) = filled(registrytoken.as_ref()) {
        return Ok(Login::registry_token(token));
    }
    if let Some(token) = filled(identitytoken.as_ref()) {
        let username = pair.map(|(username, _)| username).unwrap_or_default();
        return Ok(Login::identity_token(username, token));
    }
    match pair {
        None => Err("has neither 'auth' nor 'username' and 'password' nor a token"),
        Some((username, password)) if username.is_empty() || password.is_empty() => {
            Err("has an 'auth' or 'username' without user or password")
        }
        Some((username, password)) => Ok(Login::new(username, password)),
    }
}

/// User and password of an `auth`.
fn decoded(auth: &str) -> Result<(String, String), &'static str> {
    let lenient = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let bytes = lenient
        .decode(auth)
        .map_err(|_| "has an 'auth' that is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "has an 'auth' that is not text")?;
    let (username, password) = text
        .split_once(':')
        .ok_or("has an 'auth' that is not 'user:password'")?;
    Ok((
        username.to_owned(),
        password.trim_end_matches('\0').to_owned(),
    ))
}

/// `host[/path]` of a key such as `https://registry.example/v2/` or `docker.io`.
fn canonical(key: &str) -> String {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key)
        .trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = match path {
        "v1" | "v2" => "",
        path => path,
    };
    let host = canonical_host(host);
    if path.is_empty() {
        host
    } else {
        format!("{host}/{path}")
    }
}

/// Lower case; one name for Docker Hub.
fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            "docker.io".to_owned()
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::Kind;
    use super::*;

    fn read(payload: &str, repository: &str) -> Result<(String, String), ReadLogin> {
        login_for(payload.as_bytes(), &parsed(repository)).map(|login| match login.kind() {
            Kind::Password { username, password } => shown(username, password),
            Kind::Identity { username, token } => {
                let (username, token) = shown(username, token);
                (format!("identity {username}"), token)
            }
            Kind::Bearer(token) => ("bearer".to_owned(), token.expose_secret().to_owned()),
            Kind::Renewed(_) => unreachable!("a Secret holds no source"),
        })
    }

    fn shown(one: &SecretString, other: &SecretString) -> (String, String) {
        pair(one.expose_secret(), other.expose_secret())
    }

    fn parsed(repository: &str) -> Repository {
        repository.parse().unwrap()
    }

    fn pair(user: &str, password: &str) -> (String, String) {
        (user.to_owned(), password.to_owned())
    }

    #[test]
    fn the_longest_matching_entry_gives_the_login() {
        let payload = r#"{"auths": {
            "r.example": {"username": "host", "password": "1"},
            "r.example/team": {"username": "team", "password": "2"},
            "r.example/team/app": {"auth": "YXBwOnA6dw=="},
            "https://r.example:5000/v2/": {"auth": "cG9ydDp4"}
        }}"#;
        assert_eq!(read(payload, "r.example/other"), Ok(pair("host", "1")));
        assert_eq!(read(payload, "r.example/teammate"), Ok(pair("host", "1")));
        assert_eq!(read(payload, "r.example/team/x"), Ok(pair("team", "2")));
        assert_eq!(read(payload, "r.example/team/app"), Ok(pair("app", "p:w")));
        assert_eq!(
            read(payload, "r.example:5000/team/app"),
            Ok(pair("port", "x"))
        );
    }

    #[test]
    fn a_host_with_signs_fits_part_by_part_and_comes_after_one_that_is_written_out() {
        let payload = r#"{"auths": {
            "*.dkr.ecr.*.amazonaws.com": {"username": "any", "password": "1"},
            "1.dkr.ecr.eu-west-1.amazonaws.com": {"username": "one", "password": "2"},
            "*.example/team": {"username": "team", "password": "3"},
            "r?.example:5000": {"username": "port", "password": "4"},
            "a.example": {"username": "a", "password": "5"}
        }}"#;
        let user = |repository| read(payload, repository).map(|(user, _)| user).ok();
        let is = |name: &str| Some(name.to_owned());
        assert_eq!(user("2.dkr.ecr.us-east-1.amazonaws.com/x"), is("any"));
        assert_eq!(user("1.dkr.ecr.eu-west-1.amazonaws.com/x"), is("one"));
        assert_eq!(user("2.dkr.ecr.us.east.amazonaws.com/x"), None);
        assert_eq!(
            user("2.dkr.ecr.us-east-1.amazonaws.com.evil.example/x"),
            None
        );
        assert_eq!(user("a.example/team/x"), is("team"), "the longer path");
        assert_eq!(user("a.example/x"), is("a"));
        assert_eq!(user("b.example/x"), None);
        assert_eq!(user("r1.example:5000/x"), is("port"));
        assert_eq!(user("r1.example/x"), None);
    }

    #[test]
    fn a_token_comes_before_a_password_and_auth_before_username() {
        let payload = r#"{"auths": {
            "a.example": {"username": "old", "password": "old", "auth": "YXBwOnA6dw=="},
            "b.example": {"auth": "MDAwMDo=", "identitytoken": "refresh"},
            "c.example": {"identitytoken": "refresh"},
            "d.example": {"auth": "YXBwOnA6dw==", "identitytoken": "refresh", "registrytoken": "bearer"},
            "e.example": {"username": "robot$team+ci", "password": "secret"}
        }}"#;
        assert_eq!(read(payload, "a.example/x"), Ok(pair("app", "p:w")));
        assert_eq!(
            read(payload, "b.example/x"),
            Ok(pair("identity 0000", "refresh"))
        );
        assert_eq!(
            read(payload, "c.example/x"),
            Ok(pair("identity ", "refresh"))
        );
        assert_eq!(read(payload, "d.example/x"), Ok(pair("bearer", "bearer")));
        assert_eq!(
            read(payload, "e.example/x"),
            Ok(pair("robot$team+ci", "secret"))
        );
    }

    #[test]
    fn docker_hub_answers_to_all_of_its_names() {
        let payload = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}"#;
        for repository in [
            "docker.io/library/a",
            "index.docker.io/b/a",
            "registry-1.docker.io/a",
        ] {
            assert_eq!(
                read(payload, repository),
                Ok(pair("u", "p")),
                "{repository}"
            );
        }
    }

    #[test]
    fn a_malformed_secret_is_a_clear_error_without_its_content() {
        let entry = |auth: &str| format!(r#"{{"auths": {{"r.example": {auth}}}}}"#);
        for (payload, words) in [
            (String::new(), "not a docker configuration"),
            ("{\"auths\": []}".to_owned(), "not a docker configuration"),
            ("{}".to_owned(), "not a docker configuration"),
            (entry("{}"), "neither"),
            (entry(r#"{"auth": "hunter2!"}"#), "not base64"),
            (entry(r#"{"auth": "aHVudGVyMg=="}"#), "not 'user:password'"),
            (entry(r#"{"auth": "Omh1bnRlcjI="}"#), "without user"),
            (entry(r#"{"username": "hunter2"}"#), "without user"),
            (
                entry("3").replace("r.example", "x.example"),
                "not a docker configuration",
            ),
            (
                entry("{}").replace("r.example", "x.example"),
                "no entry for 'r.example'",
            ),
        ] {
            let error = read(&payload, "r.example/a").unwrap_err().to_string();
            assert!(error.contains(words), "{payload}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
