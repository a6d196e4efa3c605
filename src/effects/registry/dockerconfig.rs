//! Reads the payload of a `kubernetes.io/dockerconfigjson` Secret.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
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
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The login for `repository` in a docker configuration: the entry with the longest matching
/// `host[/path]`, as kubelet chooses it (scheme, `/v1/`, `/v2/` and a trailing slash are ignored;
/// Docker Hub answers to all of its names). Wildcards are not supported.
///
/// # Errors
/// [`ReadLogin`]: nothing fits, or what fits is malformed. Never falls back to a shorter match.
pub fn login_for(payload: &[u8], repository: &Repository) -> Result<Login, ReadLogin> {
    let config: DockerConfig = serde_json::from_slice(payload)
        .map_err(|error| ReadLogin::Malformed { line: error.line() })?;
    let wanted = format!(
        "{}/{}",
        canonical_host(repository.registry()),
        repository.name()
    );
    let best = config
        .auths
        .iter()
        .filter_map(|(key, entry)| {
            let key_path = canonical(key);
            let fits = wanted
                .strip_prefix(&key_path)
                .is_some_and(|rest| rest.starts_with('/'));
            (fits || wanted == key_path).then_some((key_path.len(), key, entry))
        })
        .max_by_key(|(length, ..)| *length);
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

fn login_of(entry: &Entry) -> Result<Login, &'static str> {
    let Entry {
        auth,
        username,
        password,
        identitytoken,
    } = entry;
    if let (Some(username), Some(password)) = (username, password)
        && !username.is_empty()
        && !password.is_empty()
    {
        return Ok(Login::new(username, password));
    }
    if let Some(auth) = auth
        .as_deref()
        .map(str::trim)
        .filter(|auth| !auth.is_empty())
    {
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
        let password = password.trim_end_matches('\0');
        if username.is_empty() || password.is_empty() {
            return Err("has an 'auth' without user or password");
        }
        return Ok(Login::new(username, password));
    }
    if identitytoken
        .as_ref()
        .is_some_and(|token| !token.is_empty())
    {
        return Err("has only an identity token, which is not supported; use user and password");
    }
    Err("has neither 'auth' nor 'username' and 'password'")
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
    use super::*;

    fn read(payload: &str, repository: &str) -> Result<(String, String), ReadLogin> {
        login_for(payload.as_bytes(), &parsed(repository))
            .map(|login| (login.username().to_owned(), login.password().to_owned()))
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
            (entry(r#"{"identitytoken": "hunter2"}"#), "identity token"),
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
