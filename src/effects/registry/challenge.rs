//! What a registry asks for when it answers 401.

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// Challenge that floe can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from a token service.
    Bearer {
        /// Address of the token service.
        realm: Url,
        /// Name of the registry in the eyes of the token service.
        service: Option<String>,
    },
}

type Parameters = Vec<(String, String)>;

/// Hosts of token services that belong to a registry under another name.
const KNOWN_TOKEN_HOSTS: [(&str, &str); 4] = [
    ("docker.io", "auth.docker.io"),
    ("index.docker.io", "auth.docker.io"),
    ("registry-1.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];

/// Whether the token service on `realm_host` may see the credentials for `registry_host` (both
/// without port): the same host, a pair known by name, or one that the user listed. Being a
/// subdomain or sibling is not enough: on shared domains those belong to strangers.
pub(super) fn may_see_credentials(
    registry_host: &str,
    realm_host: &str,
    listed: &[String],
) -> bool {
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    same(registry_host, realm_host)
        || KNOWN_TOKEN_HOSTS
            .iter()
            .any(|(registry, token)| same(registry, registry_host) && same(token, realm_host))
        || listed.iter().any(|host| same(host, realm_host))
}

/// The challenge of a 401; Bearer before Basic. The scope that it names is not read: floe asks
/// for what it needs and no more.
pub(super) fn read(headers: &HeaderMap) -> Result<Challenge, String> {
    let mut basic = false;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let text = value
            .to_str()
            .map_err(|_| "a WWW-Authenticate header is not text")?;
        let challenges = parse(text).ok_or("a WWW-Authenticate header is malformed")?;
        for (scheme, parameters) in challenges {
            if scheme.eq_ignore_ascii_case("bearer") {
                return bearer(&parameters);
            }
            basic |= scheme.eq_ignore_ascii_case("basic");
        }
    }
    if basic {
        Ok(Challenge::Basic)
    } else {
        Err("it answers 401 and asks neither for Basic nor for Bearer".to_owned())
    }
}

fn bearer(parameters: &Parameters) -> Result<Challenge, String> {
    let one = |name: &str| {
        let mut found = parameters
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone());
        let first = found.next();
        if found.next().is_some() {
            return Err(format!("its Bearer challenge names '{name}' twice"));
        }
        Ok(first)
    };
    let realm = one("realm")?.ok_or("its Bearer challenge names no realm")?;
    let realm = Url::parse(&realm).map_err(|_| "its Bearer challenge has a malformed realm")?;
    Ok(Challenge::Bearer {
        realm,
        service: one("service")?,
    })
}

/// `scheme key=value, key="value", scheme ...` (RFC 9110, section 11.6.1); `None` = malformed.
fn parse(text: &str) -> Option<Vec<(String, Parameters)>> {
    let mut challenges: Vec<(String, Parameters)> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, after) = token(rest)?;
        let trimmed = after.trim_start();
        if let Some(value) = trimmed.strip_prefix('=') {
            let (value, after) = parameter_value(value.trim_start())?;
            challenges
                .last_mut()?
                .1
                .push((word.to_ascii_lowercase(), value));
            rest = separator(after)?;
        } else {
            challenges.push((word.to_owned(), Vec::new()));
            let ends = after.is_empty() || after.starts_with([' ', '\t', ',']);
            if !ends {
                return None;
            }
            rest = trimmed.strip_prefix(',').unwrap_or(trimmed).trim_start();
        }
    }
    Some(challenges)
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text)?;
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[position + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn separator(text: &str) -> Option<&str> {
    let text = text.trim_start();
    if text.is_empty() {
        return Some(text);
    }
    text.strip_prefix(',').map(str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, text.parse().unwrap());
        headers
    }

    #[test]
    fn a_challenge_is_read_strictly_and_bearer_comes_before_basic() {
        let bearer = |realm: &str, service: Option<&str>| {
            Ok(Challenge::Bearer {
                realm: realm.parse().unwrap(),
                service: service.map(str::to_owned),
            })
        };
        let full = r#"Bearer realm="https://a.example/t?x=1,2",service="r \"q\"",scope="a:b:pull""#;
        assert_eq!(
            read(&headers(full)),
            bearer("https://a.example/t?x=1,2", Some("r \"q\""))
        );
        assert_eq!(read(&headers("Basic")), Ok(Challenge::Basic));
        assert_eq!(
            read(&headers(r#"basic realm="x", charset="UTF-8""#)),
            Ok(Challenge::Basic)
        );
        let both = r#"Basic realm="x", bearer REALM="https://a.example/t""#;
        assert_eq!(read(&headers(both)), bearer("https://a.example/t", None));
        for bad in [
            "",
            "Negotiate",
            "Bearer",
            r#"Bearer service="x""#,
            r#"Bearer realm="relative/path""#,
            r#"Bearer realm="https://a.example/t"#,
            r#"Bearer realm="https://a.example", realm="https://b.example""#,
            r#"realm="https://a.example""#,
            r#"Bearer realm="https://a.example" service="x""#,
            r#"Bearer "realm""#,
            "Bearer realm=",
        ] {
            assert!(read(&headers(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_go_to_the_registry_host_to_known_pairs_and_to_listed_hosts_only() {
        let may = |registry, realm| may_see_credentials(registry, realm, &["sso.example".into()]);
        assert!(may("r.example", "R.example"));
        assert!(may("registry-1.docker.io", "auth.docker.io"));
        assert!(may("registry.gitlab.com", "gitlab.com"));
        assert!(may("r.example", "sso.example"));
        for (registry, realm) in [
            ("r.example", "auth.docker.io"),
            ("docker.io", "auth.docker.io.evil.example"),
            ("r.example", "auth.r.example"),
            ("a.shared.example", "b.shared.example"),
            ("r.example", "xr.example"),
        ] {
            assert!(!may(registry, realm), "{registry} {realm}");
        }
    }
}
