//! Where an artifact lies and what it is: repository, tag, digest, media type. Parse or fail.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use super::digest::{Algorithm, Digest, Hashing};

/// Why a text is not the name that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {what}: {rule}")]
pub struct NotA {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl NotA {
    pub(super) fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self {
            what,
            text: shortened(text),
            rule,
        }
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NotA;
            fn try_from(text: String) -> Result<Self, NotA> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

/// Tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (OCI distribution specification).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);
text_type!(Tag);

impl Tag {
    /// A tag made of parts that are known to give one.
    pub(super) fn made(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Tag {
    type Err = NotA;
    fn from_str(text: &str) -> Result<Self, NotA> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let valid = text.len() <= 128
            && text.bytes().next().is_some_and(word)
            && text
                .bytes()
                .all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotA::new(
                "tag",
                text,
                "letters, digits, '_', '.', '-', at most 128, not starting with '.' or '-'",
            ))
        }
    }
}

/// Repository with its registry: `registry.example:5000/team/platform`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(String);
text_type!(Repository);

impl Repository {
    /// Host of the registry, with its port.
    pub fn registry(&self) -> &str {
        self.0
            .split_once('/')
            .map_or(self.0.as_str(), |(registry, _)| registry)
    }

    /// Name of the repository inside the registry.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl FromStr for Repository {
    type Err = NotA;
    fn from_str(text: &str) -> Result<Self, NotA> {
        let valid = text.len() <= 255
            && text.split_once('/').is_some_and(|(registry, name)| {
                valid_registry(registry) && !name.is_empty() && name.split('/').all(valid_component)
            });
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotA::new(
                "repository",
                text,
                "it must be 'registry.example[:port]/name', without tag or digest, the name in lower case",
            ))
        }
    }
}

fn valid_registry(text: &str) -> bool {
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    let host_valid = !host.is_empty()
        && !host.starts_with(['.', '-'])
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    host_valid && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, as the distribution specification writes it.
fn valid_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().next_back().is_some_and(alphanumeric);
    let separators_valid = text
        .split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit())
        .all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        });
    ends_well && separators_valid
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 160 {
        return text.to_owned();
    }
    text.chars().take(157).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_follows_the_distribution_specification() {
        for good in ["v1.2.3-prod", "_x", "a", &"a".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a+b", "a/b", "a:b", "ä", &"a".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repository_names_its_registry_and_carries_no_tag() {
        let repository: Repository = "registry.example:5000/team/platform".parse().unwrap();
        assert_eq!(repository.registry(), "registry.example:5000");
        assert_eq!(repository.name(), "team/platform");
        for good in ["r/a", "10.0.0.1:80/a/b/c", "r.example/a__b/c-d.e"] {
            assert!(good.parse::<Repository>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "platform",
            "r/",
            "/a",
            "r/A",
            "r/a:1",
            "r/a@sha256:0",
            "r/a//b",
            "r:0/a",
            "r:x/a",
            "r/a..b",
            "r/-a",
            "user@r/a",
            "-r/a",
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
    }
}
