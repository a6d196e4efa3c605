//! One real registry with a way in, and what both sides need to know about it.

use std::fmt::Write as _;
use std::sync::Arc;

use floe::domain::artifact::{Repository, Tag};
use floe::effects::registry::{Access, Login, Registry as Client};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Pair};
use crate::registries::{Door, Kind, Registry};
use crate::token_service::{ISSUER, Life, SERVICE, TokenService};

pub const USER: &str = "floe";
pub const PASSWORD: &str = "a good password";
/// The password as distribution keeps it (bcrypt).
const HASHED: &str = "$2b$04$fkCadHepkARMIptlA8LhuOhp7ZYJTegSIp7h2EJwsvpfPQiblHf7O";

/// Where foreign layers lie; distribution takes only addresses that it is told of.
pub const FOREIGN: &str = "https://layers.example/one";

/// Whom a registry lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Everybody.
    Nothing,
    /// Who sends user and password with each request.
    Password,
    /// Who sends a token of its service.
    Token,
}

/// The way into a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub kind: Kind,
    pub tls: bool,
    pub asks: Asks,
}

/// A registry of one test.
pub struct Stand {
    pub way: Way,
    /// Its host and port.
    pub host: String,
    /// Certificate of the authority that it is to be trusted by.
    pub authority: Option<String>,
    pub tokens: Option<TokenService>,
    registry: Registry,
    _folder: TempDir,
}

impl Way {
    /// Plain HTTP, for everybody.
    pub fn open(kind: Kind) -> Self {
        Self {
            kind,
            tls: false,
            asks: Asks::Nothing,
        }
    }

    /// Every kind of registry, with and without TLS, with each way to be asked who one is.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for kind in [Kind::Distribution, Kind::Referrers] {
            for tls in [false, true] {
                for asks in [Asks::Nothing, Asks::Password, Asks::Token] {
                    all.push(Self { kind, tls, asks });
                }
            }
        }
        all
    }
}

impl Stand {
    /// Starts a registry with this way in.
    pub async fn start(way: Way) -> Self {
        Self::start_with(way, Life::default()).await
    }

    /// The same, with tokens that live this long.
    pub async fn start_with(way: Way, life: Life) -> Self {
        let keeper = tempfile::Builder::new()
            .prefix("registries-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("make a folder");
        let folder = keeper.path().to_owned();
        let mut door = Door::default();
        let mut acceptor = None;
        if way.tls {
            let authority = Authority::new("registries of tests");
            let pair = authority.for_loopback();
            door.authority = Some(authority.pem());
            let [certificate, key] =
                [("tls.pem", &pair.certificate), ("tls.key", &pair.key)].map(|(name, text)| {
                    let path = folder.join(name);
                    std::fs::write(&path, text).expect("write a file");
                    path.display().to_string()
                });
            writeln!(
                door.distribution,
                "  tls: {{certificate: {certificate}, key: {key}}}"
            )
            .expect("a text takes more");
            door.arguments = vec![format!("-certificate={certificate}"), format!("-key={key}")];
            acceptor = Some(acceptor_of(&pair));
        }
        let mut tokens = None;
        match way.asks {
            Asks::Nothing => {}
            Asks::Password => {
                let path = folder.join("htpasswd");
                std::fs::write(&path, format!("{USER}:{HASHED}\n")).expect("write a file");
                writeln!(
                    door.distribution,
                    "auth:\n  htpasswd: {{realm: test, path: {}}}",
                    path.display()
                )
                .expect("a text takes more");
                door.arguments.push(format!("-user={USER}:{PASSWORD}"));
            }
            Asks::Token => {
                let service = TokenService::start(&folder, acceptor, life).await;
                let (realm, keys) = (service.realm(), service.key_set.display());
                writeln!(
                    door.distribution,
                    "auth:\n  token: {{realm: \"{realm}\", service: {SERVICE}, issuer: {ISSUER}, jwks: {keys}}}"
                )
                .expect("a text takes more");
                door.arguments.extend([
                    format!("-token-realm={realm}"),
                    format!("-token-service={SERVICE}"),
                    format!("-token-key={}", service.public_key.display()),
                ]);
                tokens = Some(service);
            }
        }
        door.distribution +=
            "validation:\n  manifests: {urls: {allow: [\"^https://layers[.]example/\"]}}\n";
        let authority = door.authority.clone();
        let registry = Registry::start_behind(way.kind, folder.join("registry"), door).await;
        Self {
            way,
            // By name: crane asks no token service that is an address of a private network.
            host: format!("localhost:{}", registry.address.port()),
            authority,
            tokens,
            registry,
            _folder: keeper,
        }
    }

    /// A repository in it.
    pub fn repository(&self, name: &str) -> Repository {
        format!("{}/{name}", self.host).parse().unwrap()
    }

    /// How floe gets in.
    pub fn access(&self) -> Access {
        let mut access = Access::to(&self.repository("any"));
        access.plain_http = !self.way.tls;
        access.ca_pem = self.authority.clone().map(String::into_bytes);
        access.credentials = (self.way.asks != Asks::Nothing).then(|| Login::new(USER, PASSWORD));
        access
    }

    /// floe's client for it.
    pub fn client(&self) -> Client {
        Client::new(&self.access()).unwrap()
    }

    /// The rig's direct way to a repository of an open registry.
    pub fn by_hand(&self, name: &str) -> crate::oci::Repository {
        assert_eq!(
            self.way,
            Way::open(self.way.kind),
            "only through an open door"
        );
        crate::oci::Repository::new(self.registry.address, name)
    }
}

/// A tag by its text.
pub fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn acceptor_of(pair: &Pair) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("the usual versions of TLS")
    .with_no_client_auth()
    .with_single_cert(
        vec![certificate.expect("a certificate")],
        key.expect("a key"),
    );
    TlsAcceptor::from(Arc::new(config.expect("certificate and key fit")))
}
