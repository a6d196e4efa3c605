//! The fault proxy: the operator's only way to the API server and to the registry.
//!
//! It counts every request, and can kill the operator, cut, delay or answer in the server's place.

mod client;
mod faults;
mod seen;
mod trace;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap, TRANSFER_ENCODING, USER_AGENT};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use client::{Clients, Killable};
pub use faults::{Fault, Faults, Moment};
pub use seen::{Class, Seen, Server};
pub use trace::{Entry, Trace, count, counts};

/// What the fronts of a world share.
#[derive(Clone)]
pub struct Shared {
    pub trace: Arc<Trace>,
    pub faults: Arc<Faults>,
    pub clients: Arc<Clients>,
}

/// One address, in front of one server.
pub struct Front {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

struct Forwarder {
    server: Server,
    upstream: String,
    http: reqwest::Client,
    /// In the `Audit-ID` of each request, so that the API server's log names it.
    id: String,
    shared: Shared,
}

type Body = UnsyncBoxBody<Bytes, Cut>;

/// The connection ends here, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut by the rig: {0}")]
struct Cut(String);

impl Front {
    /// Opens an address on loopback, plain HTTP, or TLS with this acceptor.
    pub async fn open(
        server: Server,
        id: &str,
        upstream: &str,
        http: reqwest::Client,
        tls: Option<TlsAcceptor>,
        shared: Shared,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind to loopback");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let forwarder = Arc::new(Forwarder {
            server,
            upstream: upstream.to_owned(),
            http,
            id: id.to_owned(),
            shared,
        });
        let task = tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.expect("accept on loopback");
                tokio::spawn(forwarder.clone().connection(stream, peer, tls.clone()));
            }
        });
        Self { address, task }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forwarder {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) {
        // Which operator this is can only be told while its end of the connection is open.
        let Ok(own) = stream.local_addr() else {
            return;
        };
        let client = self.shared.clients.find(peer, own).await;
        let Some(client) = client else { return };
        stream.set_nodelay(true).expect("set an option of a socket");
        let service = service_fn(|request| self.clone().serve(client.clone(), request));
        let http = hyper::server::conn::http1::Builder::new();
        // An error here is a cut, or a client that has gone.
        let _ended = match tls {
            None => http
                .serve_connection(TokioIo::new(stream), service)
                .await
                .is_ok(),
            Some(acceptor) => match acceptor.accept(stream).await {
                Ok(stream) => http
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .is_ok(),
                Err(_) => false,
            },
        };
    }

    async fn serve(
        self: Arc<Self>,
        client: Arc<dyn Killable>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|why| Cut(why.to_string()))?
            .to_bytes();
        let path = head
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        let seen = Seen::new(self.server, &head.method, &path, &body);
        let operator = client.name().to_owned();
        let fault = self.shared.faults.take(&seen, &operator);
        let number = self.shared.trace.begin(seen, operator);
        if let Some(fault) = &fault {
            self.shared
                .trace
                .note(number, |entry| entry.fault = Some(format!("{fault:?}")));
        }
        match &fault {
            Some(Fault::Kill(Moment::Before)) => {
                client.kill().await;
                return Err(Cut("killed before".to_owned()));
            }
            Some(Fault::Cut(Moment::Before)) => return Err(Cut("before".to_owned())),
            Some(Fault::Answer {
                status,
                headers,
                body,
            }) => {
                self.shared
                    .trace
                    .note(number, |entry| entry.status = Some(*status));
                return Ok(answer(*status, headers, body));
            }
            Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
            Some(Fault::Behind(key)) => self.shared.trace.until_done(key, number).await,
            Some(Fault::Kill(Moment::After) | Fault::Cut(Moment::After)) | None => {}
        }
        // A task of its own: what was sent on is sent on to the end, even when the client is gone.
        let this = self.clone();
        let forwarded = tokio::spawn(async move { this.forward(number, head, body).await });
        let response = forwarded.await.map_err(|why| Cut(why.to_string()))??;
        match fault {
            Some(Fault::Kill(Moment::After)) => {
                client.kill().await;
                Err(Cut("killed after".to_owned()))
            }
            Some(Fault::Cut(Moment::After)) => Err(Cut("after".to_owned())),
            Some(_) | None => Ok(response),
        }
    }

    async fn forward(
        &self,
        number: usize,
        head: hyper::http::request::Parts,
        body: Bytes,
    ) -> Result<Response<Body>, Cut> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = without_hops(&head.headers);
        match self.server {
            Server::Api => {
                headers.remove(HOST);
                headers.insert(
                    "Audit-ID",
                    format!("{}-{number}", self.id)
                        .parse()
                        .expect("a good header"),
                );
            }
            // The registry makes its Location headers from the Host, and logs the User-Agent.
            Server::Registry => {
                headers.insert(
                    USER_AGENT,
                    format!("{}-{number}", self.id)
                        .parse()
                        .expect("a good header"),
                );
            }
        }
        let watch = self.shared.trace.since(number)[0].seen.class == Class::Watch;
        self.shared
            .trace
            .note(number, |entry| entry.forwarded = true);
        let url = format!("{}{path}", self.upstream);
        let sent = self
            .http
            .request(head.method, url)
            .headers(headers)
            .body(body)
            .send()
            .await;
        let upstream = sent.map_err(|why| Cut(format!("{why:?}")))?;
        let status = upstream.status();
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = without_hops(upstream.headers());
        let body = if watch {
            let stream = upstream
                .bytes_stream()
                .map_ok(Frame::data)
                .map_err(|why| Cut(why.to_string()));
            StreamBody::new(stream).boxed_unsync()
        } else {
            let bytes = upstream.bytes().await.map_err(|why| Cut(why.to_string()))?;
            full(bytes)
        };
        self.shared
            .trace
            .note(number, |entry| entry.status = Some(status.as_u16()));
        Ok(response.map(|()| body))
    }
}

/// The headers that are not about one connection only.
fn without_hops(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    headers
}

fn answer(status: u16, headers: &[(&'static str, String)], body: &str) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from(body.to_owned())));
    *response.status_mut() = StatusCode::from_u16(status).expect("a good status");
    for (name, value) in headers {
        response
            .headers_mut()
            .append(*name, value.parse().expect("a good header"));
    }
    response
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}
