//! A token service, as distribution's token protocol describes it: who shows user and password, or the refresh
//! token that stands for them, gets a JWT for what was asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::stand::{PASSWORD, USER};
use crate::wait::seconds;

/// Name of the registry in the eyes of the service, and of the service in the eyes of the registry.
pub const SERVICE: &str = "registry.test";
pub const ISSUER: &str = "tokens.test";
/// Stands for user and password.
pub const REFRESH_TOKEN: &str = "a refresh token";

/// Both registries take a token for a minute longer than it says, since clocks differ.
const LEEWAY: u64 = 60;

/// How long a token counts.
#[derive(Clone, Copy)]
pub struct Life {
    /// Until the registry refuses it.
    pub real: Duration,
    /// As the client is told.
    pub told: Duration,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            real: seconds(300),
            told: seconds(300),
        }
    }
}

/// A running service.
pub struct TokenService {
    pub address: SocketAddr,
    tls: bool,
    /// File with the public key as a JSON Web Key Set.
    pub key_set: PathBuf,
    /// File with the public key as PEM.
    pub public_key: PathBuf,
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
    task: JoinHandle<()>,
}

struct Issuer {
    key: EcdsaKeyPair,
    life: Life,
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
}

/// What a request for a token says.
#[derive(Default)]
struct Asked {
    scopes: Vec<String>,
    service: String,
    refresh_token: Option<String>,
}

impl TokenService {
    /// Starts one on loopback; its keys go to files in this folder.
    pub async fn start(folder: &Path, tls: Option<TlsAcceptor>, life: Life) -> Self {
        let pair = rcgen::KeyPair::generate().expect("make a key");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.serialized_der());
        let key = key.expect("a P-256 key");
        let point = key.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..65]].map(|part| URL_SAFE_NO_PAD.encode(part));
        let set = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "test", "alg": "ES256", "use": "sig", "x": x, "y": y,
        }]});
        let (key_set, public_key) = (folder.join("keys.json"), folder.join("tokens.pem"));
        std::fs::write(&key_set, set.to_string()).expect("write a file");
        std::fs::write(&public_key, pair.public_key_pem()).expect("write a file");

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("a bound socket has one");
        let asked = Arc::default();
        let issuer = Arc::new(Issuer {
            key,
            life,
            asked: Arc::clone(&asked),
        });
        let speaks_tls = tls.is_some();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept on loopback");
                tokio::spawn(serve(Arc::clone(&issuer), stream, tls.clone()));
            }
        });
        Self {
            address,
            tls: speaks_tls,
            key_set,
            public_key,
            asked,
            task,
        }
    }

    /// Where tokens are had.
    pub fn realm(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}/token", self.address.port())
    }

    /// The scopes that were asked for since the last call, and when, one text for each token.
    pub fn take_asked(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.asked.lock().expect("no holder panics"))
    }
}

impl Drop for TokenService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(issuer: Arc<Issuer>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    let service = service_fn(|request| {
        let issuer = Arc::clone(&issuer);
        async move { Ok::<_, hyper::Error>(issuer.answer(request).await) }
    });
    let http = hyper::server::conn::http1::Builder::new();
    // A client that goes away, or does not trust the certificate, is no failure of the service.
    let _ended = match tls {
        None => http.serve_connection(TokioIo::new(stream), service).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => return,
        },
    };
}

impl Issuer {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let basic = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let shown = head.headers.get("authorization");
        let by_password = shown.is_some_and(|value| value == format!("Basic {basic}").as_str());
        let asked = match head.method {
            Method::GET => Asked::read(head.uri.query().unwrap_or_default().as_bytes()),
            _ => Asked::read(
                &body
                    .collect()
                    .await
                    .map(Collected::to_bytes)
                    .unwrap_or_default(),
            ),
        };
        let by_token = asked.refresh_token.as_deref() == Some(REFRESH_TOKEN);
        if !(by_password || by_token) || asked.service != SERVICE {
            let body =
                json!({"errors": [{"code": "UNAUTHORIZED", "message": "wrong user or password"}]});
            return json_answer(StatusCode::UNAUTHORIZED, &body);
        }
        self.asked
            .lock()
            .expect("no holder panics")
            .push((Instant::now(), asked.scopes.join(" ")));
        let token = self.token(&asked.scopes);
        let body = json!({
            "token": token, "access_token": token, "expires_in": self.life.told.as_secs(),
        });
        json_answer(StatusCode::OK, &body)
    }

    /// A JWT that allows these scopes.
    fn token(&self, scopes: &[String]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("it is after 1970").as_secs();
        let access: Vec<_> = scopes
            .iter()
            .filter_map(|scope| {
                let (kind, rest) = scope.split_once(':')?;
                let (name, actions) = rest.rsplit_once(':')?;
                let actions: Vec<&str> = actions.split(',').collect();
                Some(json!({"type": kind, "name": name, "actions": actions}))
            })
            .collect();
        let header = json!({"typ": "JWT", "alg": "ES256", "kid": "test"});
        let claims = json!({
            "iss": ISSUER, "sub": USER, "aud": SERVICE, "access": access,
            "nbf": now - 5, "iat": now - 5, "exp": now + self.life.real.as_secs() - LEEWAY,
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("sign a token");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Asked {
    /// Reads a query or a form: they are written alike.
    fn read(text: &[u8]) -> Self {
        let mut asked = Self::default();
        for (key, value) in url::form_urlencoded::parse(text) {
            match &*key {
                "scope" => asked.scopes.extend(value.split(' ').map(str::to_owned)),
                "service" => asked.service = value.into_owned(),
                "refresh_token" => asked.refresh_token = Some(value.into_owned()),
                _ => {}
            }
        }
        asked
    }
}

fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .expect("a good answer")
}
