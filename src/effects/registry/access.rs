//! How one registry is reached: host, credentials, trusted CA, scheme, limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use super::addresses::Addresses;
use super::error::Problem;
use crate::domain::artifact::Repository;

/// How to log in at one registry. Debug output hides all of it.
#[derive(Clone)]
pub struct Login(Kind);

#[derive(Clone)]
pub(super) enum Kind {
    /// User name and password, or robot token.
    Password {
        username: SecretString,
        password: SecretString,
    },
    /// A token for which the registry's token service gives others (OAuth 2 refresh token).
    Identity {
        username: SecretString,
        token: SecretString,
    },
    /// A token for the registry itself.
    Bearer(SecretString),
    /// Logins that do not last.
    Renewed(Arc<dyn LoginSource>),
}

/// Where logins come from that do not last.
pub trait LoginSource: Send + Sync {
    /// What tells this source from others. No secret.
    fn name(&self) -> &str;

    /// A login that is believed to be good now. When `refused` names one that the registry has just refused,
    /// another one, unless that one is so new that another would not help: then the same again.
    fn login<'a>(&'a self, refused: Option<&'a Login>) -> BoxFuture<'a, Result<Login, Problem>>;
}

impl Login {
    /// A user name and a password.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Kind::Password {
            username: username.into().into(),
            password: password.into().into(),
        })
    }

    /// An identity token (refresh token). The user name, which may be empty, is for token services that take
    /// such a token only in place of a password.
    pub fn identity_token(username: impl Into<String>, token: impl Into<String>) -> Self {
        Self(Kind::Identity {
            username: username.into().into(),
            token: token.into().into(),
        })
    }

    /// A token that is sent to the registry as it is.
    pub fn registry_token(token: impl Into<String>) -> Self {
        Self(Kind::Bearer(token.into().into()))
    }

    /// Logins that are asked for when they are needed.
    pub fn renewed(source: Arc<dyn LoginSource>) -> Self {
        Self(Kind::Renewed(source))
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }

    /// Whether both are the same secret.
    pub fn same(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }

    /// The login to send; another one than `refused` when this is a source that has one.
    pub(super) async fn resolve(&self, refused: Option<&Self>) -> Result<Self, Problem> {
        match &self.0 {
            Kind::Renewed(source) => source.login(refused).await,
            _ => Ok(self.clone()),
        }
    }

    /// What must not be shown.
    pub(super) fn secret(&self) -> Option<&SecretString> {
        match &self.0 {
            Kind::Password { password, .. } => Some(password),
            Kind::Identity { token, .. } | Kind::Bearer(token) => Some(token),
            Kind::Renewed(_) => None,
        }
    }

    /// What makes it this login and no other.
    fn parts(&self) -> [&str; 3] {
        match &self.0 {
            Kind::Password { username, password } => [
                "password",
                username.expose_secret(),
                password.expose_secret(),
            ],
            Kind::Identity { username, token } => {
                ["identity", username.expose_secret(), token.expose_secret()]
            }
            Kind::Bearer(token) => ["bearer", "", token.expose_secret()],
            Kind::Renewed(source) => ["renewed", source.name(), ""],
        }
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
    /// What an address must be to be spoken to: of the registry, its token service and its storage.
    pub addresses: Addresses,
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
            addresses: Addresses::default(),
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
            addresses,
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
            for text in login.parts() {
                part(text.as_bytes());
            }
        }
        part(ca_pem.as_deref().unwrap_or_default());
        part(&[u8::from(*plain_http)]);
        for host in token_hosts {
            part(host.as_bytes());
        }
        part(addresses.fingerprint().as_bytes());
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
