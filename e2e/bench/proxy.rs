//! A proxy before a registry that counts requests, and can alter what is read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A running proxy.
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: SocketAddr,
    http: reqwest::Client,
    count: AtomicUsize,
    alters: AtomicBool,
}

impl Proxy {
    /// Starts one on loopback.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("a bound socket has one");
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let state = Arc::new(State {
            upstream,
            http: http.build().expect("make an HTTP client"),
            count: AtomicUsize::new(0),
            alters: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept on loopback");
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(state.serve(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    // A client that goes away is none of the proxy's business.
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, state }
    }

    /// Requests since the last call.
    pub fn take_count(&self) -> usize {
        self.state.count.swap(0, Ordering::SeqCst)
    }

    /// Whether each manifest that is read comes with other bytes than the registry's.
    pub fn alter(&self, on: bool) {
        self.state.alters.store(on, Ordering::SeqCst);
    }
}

impl State {
    async fn serve(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.forward(request).await.unwrap_or_else(|why| {
            let mut response = Response::new(Full::from(why.to_string()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = head.headers.clone();
        headers.remove(CONNECTION);
        headers.remove(TRANSFER_ENCODING);
        let answer = self
            .http
            .request(
                head.method.clone(),
                format!("http://{}{path}", self.upstream),
            )
            // With the client's Host, so that addresses in answers lead here again.
            .headers(headers)
            .body(body.collect().await?.to_bytes())
            .send()
            .await?;
        let mut response = Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        response.headers_mut().remove(CONNECTION);
        response.headers_mut().remove(TRANSFER_ENCODING);
        let mut bytes = answer.bytes().await?;
        let is_manifest = path.contains("/manifests/");
        if self.alters.load(Ordering::SeqCst) && head.method == Method::GET && is_manifest {
            bytes = altered(&bytes);
        }
        Ok(response.map(|()| Full::new(bytes)))
    }
}

/// The same manifest with another type of layer: as readable as before, and of the same length.
fn altered(bytes: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(bytes);
    Bytes::from(
        text.replacen("layer.v1.tar", "layer.v1.tbr", 1)
            .into_bytes(),
    )
}
