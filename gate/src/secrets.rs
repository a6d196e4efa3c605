//! What a secret looks like: forms of values and names of keys. One place, used by the redaction of
//! output and by the check for literal secrets.

use std::ops::Range;

/// Names of keys that hold secrets, each also with `s` behind it. `?` stands for one of `-`, `_` or nothing.
const SECRET_KEYS: [&str; 8] = [
    "password",
    "passwd",
    "secret",
    "token",
    "api?key",
    "access?key",
    "private?key",
    "credential",
];

/// Name of a form, prefix of its tokens, characters and least number of what follows.
type TokenForm = (&'static str, &'static str, fn(u8) -> bool, usize);

const TOKEN_FORMS: &[TokenForm] = &[
    ("AWS access key id", "AKIA", is_upper_or_digit, 16),
    ("AWS access key id", "ASIA", is_upper_or_digit, 16),
    ("GitHub token", "ghp_", is_alphanumeric, 30),
    ("GitHub token", "gho_", is_alphanumeric, 30),
    ("GitHub token", "ghu_", is_alphanumeric, 30),
    ("GitHub token", "ghs_", is_alphanumeric, 30),
    ("GitHub token", "ghr_", is_alphanumeric, 30),
    ("GitHub token", "github_pat_", is_word, 22),
    ("GitLab token", "glpat-", is_url_safe, 20),
    ("GitLab token", "gldt-", is_url_safe, 20),
    ("GitLab token", "glrt-", is_url_safe, 20),
    ("GitLab token", "glptt-", is_url_safe, 20),
    ("GitLab token", "glcbt-", is_url_safe, 20),
    ("GitLab token", "glsoat-", is_url_safe, 20),
    ("Slack token", "xoxa-", is_slack, 10),
    ("Slack token", "xoxb-", is_slack, 10),
    ("Slack token", "xoxe-", is_slack, 10),
    ("Slack token", "xoxe.", is_slack, 10),
    ("Slack token", "xoxp-", is_slack, 10),
    ("Slack token", "xoxr-", is_slack, 10),
    ("Slack token", "xoxs-", is_slack, 10),
    ("Slack token", "xapp-", is_slack, 10),
];

/// Whether a key with this name holds a secret:
/// `(?i)(password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)s?$`.
pub fn is_secret_key(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let singular = lower.strip_suffix('s');
    [Some(lower.as_str()), singular]
        .into_iter()
        .flatten()
        .any(|name| SECRET_KEYS.iter().any(|wanted| ends_with_key(name, wanted)))
}

/// The name of the form, when the text contains a value in a known form of a secret.
pub fn known_form(text: &str) -> Option<&'static str> {
    if text
        .match_indices("-----BEGIN ")
        .any(|(at, _)| is_private_key_header(&text[at..]))
    {
        return Some("PEM private key");
    }
    find_token(text, 0).map(|(form, _)| form)
}

/// The first token in a known form at or after `from`.
pub(crate) fn find_token(text: &str, from: usize) -> Option<(&'static str, Range<usize>)> {
    let bytes = text.as_bytes();
    (from..bytes.len())
        .filter(|&at| at == 0 || !is_word(bytes[at - 1]))
        .find_map(|at| token_at(&bytes[at..]).map(|(form, length)| (form, at..at + length)))
}

/// Whether a text that starts with `-----BEGIN ` starts a private key.
pub(crate) fn is_private_key_header(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let label = line
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.split_once("-----"));
    label.is_some_and(|(label, _)| {
        label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK")
    })
}

fn ends_with_key(name: &str, wanted: &str) -> bool {
    match wanted.split_once('?') {
        None => name.ends_with(wanted),
        Some((first, second)) => name.strip_suffix(second).is_some_and(|rest| {
            rest.strip_suffix(['-', '_'])
                .unwrap_or(rest)
                .ends_with(first)
        }),
    }
}

fn token_at(bytes: &[u8]) -> Option<(&'static str, usize)> {
    let run = |from: usize, allowed: fn(u8) -> bool| {
        bytes[from..]
            .iter()
            .take_while(|&&byte| allowed(byte))
            .count()
    };
    for &(form, prefix, allowed, least) in TOKEN_FORMS {
        if bytes.starts_with(prefix.as_bytes()) {
            let length = run(prefix.len(), allowed);
            // An AWS id has a fixed length: a longer run of capitals is another word.
            let exact = prefix.len() == 4 && least == 16;
            if length >= least && (!exact || length == least) {
                return Some((form, prefix.len() + length));
            }
        }
    }
    jwt_length(bytes).map(|length| ("JSON web token", length))
}

/// Length of the JSON web token at the start: header and payload are JSON objects in base64url, and
/// `{"` is `eyJ` there; the signature may be empty.
fn jwt_length(bytes: &[u8]) -> Option<usize> {
    let part = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|&&byte| is_url_safe(byte))
            .count()
    };
    let header = bytes.starts_with(b"eyJ").then(|| part(0))?;
    let payload_at = header + 1;
    let payload = (header >= 10
        && bytes.get(header) == Some(&b'.')
        && bytes[payload_at..].starts_with(b"eyJ"))
    .then(|| part(payload_at))?;
    let signature_at = payload_at + payload + 1;
    (bytes.get(signature_at - 1) == Some(&b'.')).then(|| signature_at + part(signature_at))
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_upper_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_url_safe(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn is_slack(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_hold_secrets_are_known_by_their_end() {
        for key in [
            "password",
            "DB_PASSWORD",
            "passwd",
            "clientSecret",
            "token",
            "tokens",
            "apiKey",
            "api_key",
            "api-keys",
            "accessKey",
            "AWS_ACCESS_KEY",
            "private-key",
            "credentials",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in [
            "",
            "token_url",
            "secretName",
            "tokenEndpoint",
            "passwordPolicy",
            "key",
            "keys",
            "apikeyid",
            "publicKey",
            "api__key",
            "passwordss",
            "secretsName",
        ] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn values_in_a_known_form_are_found_inside_a_text() {
        let alnum = "a1B2".repeat(10);
        for (value, form) in [
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), "AWS access key id"),
            (format!("ghp_{alnum}"), "GitHub token"),
            (format!("github_pat_{alnum}"), "GitHub token"),
            (format!("glpat-{alnum}"), "GitLab token"),
            ("xoxb-123456789012-abcDEF".to_owned(), "Slack token"),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl".to_owned(),
                "JSON web token",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE".to_owned(),
                "PEM private key",
            ),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(),
                "PEM private key",
            ),
        ] {
            assert_eq!(known_form(&value), Some(form), "{value}");
            assert_eq!(
                known_form(&format!("see {value} here")),
                Some(form),
                "{value}"
            );
        }
    }

    #[test]
    fn ordinary_texts_are_no_secrets() {
        for text in [
            "",
            "AKIA",
            "AKIAIOSFODNN7EXAMPLELONGER",
            "ghp_short",
            "xghp_",
            "eyJ.eyJ.x",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            "sha256:0123456789abcdef",
            "the token is in the vault",
            "äöü ghp_ä",
        ] {
            assert_eq!(known_form(text), None, "{text}");
        }
    }
}
