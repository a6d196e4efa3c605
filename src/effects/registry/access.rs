//! How one registry is reached: host, credentials, trusted CA, scheme, limits.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use crate::domain::artifact::Repository;

/// User name and password (or robot token) for one registry. Debug output hides both.
#[derive(Clone)]
pub struct Login {
    username: SecretString,
    password: SecretString,
}

impl Login {
    /// A login of these two texts.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into().into(),
            password: password.into().into(),
        }
    }

    pub(super) fn username(&self) -> &str {
        self.username.expose_secret()
    }

    pub(super) fn password(&self) -> &str {
        self.password.expose_secret()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(redacted)")
    }
}

/// Everything that is needed to speak with one registry. Two equal ones share a client.
#[derive(Clone, Debug)]
pub struct Access {
    /// Host with optional port, as in [`Repository::registry`].
    pub host: String,
    /// Credentials; none = anonymous.
    pub credentials: Option<Login>,
    /// Certificates in PEM that are trusted besides those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// Speak HTTP without TLS.
    pub plain_http: bool,
    /// Hosts (without port) whose token service may get the credentials, besides the registry
    /// host itself and the pairs that are known by name (Docker Hub, gitlab.com).
    pub token_hosts: Vec<String>,
    /// Time limits and sizes.
    pub limits: Limits,
}

impl Access {
    /// Anonymous access over TLS to the registry of this repository, with the default limits.
    pub fn to(repository: &Repository) -> Self {
        Self {
            host: repository.registry().to_owned(),
            credentials: None,
            ca_pem: None,
            plain_http: false,
            token_hosts: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Identity of this access: changes when host, secret, CA, scheme or limits change, so a
    /// rotated secret never meets the tokens of the old one. Not reversible.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let Self {
            host,
            credentials,
            ca_pem,
            plain_http,
            token_hosts,
            limits,
        } = self;
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(host.as_bytes());
        part(&[u8::from(credentials.is_some())]);
        if let Some(login) = credentials {
            part(login.username().as_bytes());
            part(login.password().as_bytes());
        }
        part(ca_pem.as_deref().unwrap_or_default());
        part(&[u8::from(*plain_http)]);
        for host in token_hosts {
            part(host.as_bytes());
        }
        part(format!("{limits:?}").as_bytes());
        hash.finalize().into()
    }
}

/// Time limits and sizes. The defaults are right for production; tests shorten the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To open a connection.
    pub connect: Duration,
    /// For one request, from sending it to the last byte of its answer. Transfers of blobs get
    /// one second more per 256 KiB.
    pub request: Duration,
    /// Waiting in all, for one request, that a registry may ask for with Retry-After. When it
    /// asks for more, the error says for how much.
    pub waiting: Duration,
    /// Entries that a list of tags may have.
    pub tags: usize,
    /// Entries that a list of referrers may have.
    pub referrers: usize,
    /// Pages that a list may have.
    pub pages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
            waiting: Duration::from_secs(5),
            tags: 20_000,
            referrers: 1_000,
            pages: 50,
        }
    }
}
