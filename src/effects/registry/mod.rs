//! The registry client: reads manifests as they lie there, writes exactly those bytes, and
//! believes no answer that it can check.
//!
//! Guarantees:
//! - "Not there" is only a clean 404 of the registry itself. Everything else is an error.
//! - Each digest is computed here and compared with what the registry says.
//! - No tag is written without a HEAD right before and right after ([`Registry::tag`]).
//! - Credentials go to the registry host and its own token service, and nowhere else.
//! - Every request has a time limit and every body a size limit.
//!
//! Caveats: a registry has no compare-and-swap. A stranger's push between HEAD and PUT is
//! overwritten unless the registry itself keeps tags immutable; one after the PUT is seen.
//! Behind an HTTP proxy (`HTTPS_PROXY`) names are resolved by the proxy, so link-local addresses
//! behind a name are then the proxy's to refuse.
//!
//! All of it is own code on `reqwest`, without `oci-client`: that crate reads bodies without
//! limit, sends credentials to any realm, keeps the first secret of a host, hides the headers of
//! answers (digest, subject, Retry-After, Link), takes a 429 for "no referrers" and panics on a
//! 201 without Location; what would remain of it is the type of a reference, which we have.

mod access;
mod addresses;
mod answer;
mod auth;
mod blobs;
mod cache;
mod challenge;
mod copy;
mod deletion;
mod dockerconfig;
mod error;
mod fallback;
pub(in crate::effects) mod guard;
mod links;
mod manifest;
mod manifests;
mod pace;
mod pool;
mod referrers;
mod relay;
mod tags;
mod transport;
mod upload;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url};
use tokio::time::Instant;

pub use access::{Access, Limits, Login, LoginSource};
pub use addresses::{Addresses, Network};
pub use cache::ManifestCache;
pub use copy::{
    CopiedItem, CopyOptions, CopyReport, Item, ItemKind, Missing, Outcome, Place, Tree, copy_graph,
    missing_from, tree,
};
pub use deletion::DeleteReceipt;
pub use dockerconfig::{ReadLogin, login_for};
pub use error::{ErrorKind, Problem, RegistryError, TagRefusal};
pub use manifest::{
    Descriptor, EMPTY_BYTES, EMPTY_TYPE, ManifestHead, ManifestType, RawManifest, Reference,
    UnknownManifestType,
};
pub use manifests::{LARGEST_MANIFEST, PutReceipt};
pub use pool::Registries;
pub use referrers::ReferrerReceipt;
pub use tags::{MoveReceipt, TagReceipt};

use auth::{Scope, Tokens};
use error::Problem as P;
use pool::Shared;

use crate::domain::artifact::{Repository, Tag};

/// One registry with one set of credentials. Cheap to clone; clones share connections and tokens.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    write_before: Option<Instant>,
}

struct Inner {
    host: String,
    base: Url,
    http: Client,
    /// Whether `http` trusts any certificate.
    trusts: bool,
    /// What is used for addresses with TLS when it does not.
    secure: OnceLock<Client>,
    login: Option<Login>,
    plain_http: bool,
    token_hosts: Vec<String>,
    addresses: Addresses,
    limits: Limits,
    tokens: Tokens,
    shared: Arc<Shared>,
}

impl Registry {
    /// A client of its own, outside of any pool; see [`Registries::open`].
    ///
    /// # Errors
    /// `Untrusted` when the CA cannot be read, `Unreadable` when the host is none that may be
    /// spoken to. Nothing is sent.
    pub fn new(access: &Access) -> Result<Self, RegistryError> {
        Self::sharing(access, Arc::default())
    }

    fn sharing(access: &Access, shared: Arc<Shared>) -> Result<Self, RegistryError> {
        let error = |problem| RegistryError::new("use the registry", access.host.clone(), problem);
        let scheme = if access.plain_http { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{}/", api_host(&access.host)))
            .map_err(|_| error(P::unreadable("that is not a host")))?;
        guard::check(&base, access.plain_http, &access.addresses)
            .map_err(|why| error(P::unreadable(why)))?;
        let http = client(access).map_err(error)?;
        let Access {
            host,
            credentials,
            ca_pem: _,
            plain_http,
            token_hosts,
            addresses,
            limits,
        } = access.clone();
        let inner = Inner {
            host,
            base,
            http,
            trusts: trusts(access),
            secure: OnceLock::new(),
            login: credentials,
            plain_http,
            token_hosts,
            addresses,
            limits,
            tokens: Tokens::default(),
            shared,
        };
        Ok(Self {
            inner: Arc::new(inner),
            write_before: None,
        })
    }

    /// The same registry, writing no tag after `instant`: a PUT of a tag is not sent later and
    /// is given up then (its outcome is unknown, as after any time limit).
    #[must_use]
    pub fn writing_before(&self, instant: Instant) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            write_before: Some(instant),
        }
    }

    /// Host with port, as [`Repository::registry`] writes it.
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// Address below `/v2/<name>/`; an error when the repository lies in another registry, so
    /// that these credentials never leave theirs.
    fn url(
        &self,
        action: &'static str,
        repository: &Repository,
        path: &str,
    ) -> Result<Url, RegistryError> {
        let error = |why| RegistryError::new(action, repository.as_str(), P::unreadable(why));
        if repository.registry() != self.inner.host {
            return Err(error("it lies in another registry than these credentials"));
        }
        let name = self.name(repository);
        self.inner
            .base
            .join(&format!("v2/{name}/{path}"))
            .map_err(|_| error("its address cannot be written"))
    }

    /// Name of the repository for the API: official images of Docker Hub lie in `library/`.
    fn name(&self, repository: &Repository) -> String {
        let name = repository.name();
        if api_host(&self.inner.host) == DOCKER_HUB && !name.contains('/') {
            return format!("library/{name}");
        }
        name.to_owned()
    }

    fn scope(&self, repository: &Repository, push: bool) -> Scope {
        Scope {
            name: self.name(repository),
            push,
            delete: false,
            mount_from: None,
        }
    }
}

/// Idle connections are closed before load balancers commonly do it, so that few requests meet a
/// connection that is just going away.
const IDLE: Duration = Duration::from_secs(30);

const DOCKER_HUB: &str = "registry-1.docker.io";

/// Host that serves the API of this registry.
fn api_host(host: &str) -> &str {
    match host {
        "docker.io" | "index.docker.io" => DOCKER_HUB,
        host => host,
    }
}

impl Inner {
    /// The client for this address: the registry itself, its token service, or its storage.
    fn http_for(&self, url: &Url) -> Result<&Client, P> {
        if self.trusts || url.scheme() != "https" {
            return Ok(&self.http);
        }
        if let Some(client) = self.secure.get() {
            return Ok(client);
        }
        let client = built(builder(&self.limits, &self.addresses))?;
        Ok(self.secure.get_or_init(|| client))
    }
}

fn builder(limits: &Limits, addresses: &Addresses) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("floe/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(limits.connect)
        .pool_idle_timeout(IDLE)
        .dns_resolver(guard::GuardedResolver::new(addresses.clone()))
}

/// Whether certificates are read at once. Without TLS they are not, until something needs them:
/// reading all of the system's takes longer than tagging an artifact.
fn trusts(access: &Access) -> bool {
    !access.plain_http || access.ca_pem.is_some()
}

fn client(access: &Access) -> Result<Client, P> {
    let mut builder = builder(&access.limits, &access.addresses);
    if !trusts(access) {
        return built(builder.tls_certs_only([]));
    }
    if let Some(pem) = &access.ca_pem {
        let certificates = Certificate::from_pem_bundle(pem)
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or_else(|| P::untrusted("the configured CA holds no certificate in PEM"))?;
        builder = builder.tls_certs_merge(certificates);
    }
    built(builder)
}

fn built(builder: ClientBuilder) -> Result<Client, P> {
    builder
        .build()
        .map_err(|error| P::untrusted(format!("TLS cannot be set up: {}", error.without_url())))
}

/// `repository:tag` or `repository@digest`, for messages.
fn named(repository: &Repository, reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => tagged(repository, tag),
        Reference::Digest(digest) => format!("{repository}@{digest}"),
    }
}

fn tagged(repository: &Repository, tag: &Tag) -> String {
    format!("{repository}:{tag}")
}
