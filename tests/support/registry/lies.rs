//! The ways in which the registry double lies.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use futures::StreamExt as _;
use futures::stream;

use super::Shared;
use super::store::{Logged, Reply, Store};
use super::wire::Cut;

/// Which requests a lie is for.
#[derive(Clone, Debug)]
pub(crate) struct On {
    method: Method,
    part: String,
    skip: usize,
    times: usize,
}

impl On {
    /// The next request with this method whose path holds `part`.
    pub(crate) fn next(method: Method, part: impl Into<String>) -> Self {
        Self {
            method,
            part: part.into(),
            skip: 0,
            times: 1,
        }
    }

    /// After so many honest answers.
    pub(crate) fn after(mut self, honest: usize) -> Self {
        self.skip = honest;
        self
    }

    /// So many times.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub(crate) fn always(self) -> Self {
        self.times(usize::MAX)
    }
}

type Hook = Arc<dyn Fn(&mut Store) + Send + Sync>;

/// What happens instead of the honest answer.
#[derive(Clone)]
pub(crate) enum Lie {
    /// This answer; nothing is applied.
    Instead(Reply),
    /// Applied, and then this answer.
    Afterwards(Reply),
    /// An answer as if it had been applied.
    WithoutStoring,
    /// The connection is cut, nothing is applied.
    ResetBefore,
    /// It is applied, and the connection is cut.
    ResetAfter,
    /// No answer, ever.
    Stall,
    /// The head of the answer and half of the body, then nothing.
    StallBody,
    /// The honest answer with another header.
    Header(&'static str, String),
    /// The honest answer without a header.
    NoHeader(&'static str),
    /// The honest head with another body.
    Body(Bytes),
    /// Half of the body; the connection is cut.
    Truncated,
    /// So many bytes of the answer's body; then the connection is cut.
    CutAnswer(usize),
    /// So many bytes of the request's body are read; then the connection is cut.
    CutRequest(usize),
    /// So many bytes of the request's body are read; then this answer comes.
    During(usize, Reply),
    /// A body that does not end, with the honest head.
    Endless,
    /// Somebody else does this before the request is applied.
    Meanwhile(Hook),
    /// Somebody else does this right after the request was applied.
    Then(Hook),
}

impl Lie {
    pub(crate) fn status(status: u16) -> Self {
        Self::Instead(super::error(
            StatusCode::from_u16(status).unwrap(),
            "UNKNOWN",
            "a lie",
        ))
    }

    pub(crate) fn meanwhile(hook: impl Fn(&mut Store) + Send + Sync + 'static) -> Self {
        Self::Meanwhile(Arc::new(hook))
    }

    pub(crate) fn then(hook: impl Fn(&mut Store) + Send + Sync + 'static) -> Self {
        Self::Then(Arc::new(hook))
    }
}

pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let lie = shared.next_lie(&head.method, &path);
    let most = match &lie {
        Some(Lie::CutRequest(most) | Lie::During(most, _)) => Some(*most),
        _ => None,
    };
    let Some(body) = read(body, most).await else {
        shared.begin(&path);
        return Response::default();
    };
    shared.store.lock().unwrap().log.push(Logged {
        method: head.method.clone(),
        path: path.clone(),
        query: query.clone(),
        authorization: head
            .headers
            .get(header::AUTHORIZATION)
            .map(|value| value.to_str().unwrap().to_owned()),
    });
    let honest = || {
        let mut store = shared.store.lock().unwrap();
        if let Some(Lie::Meanwhile(hook)) = &lie {
            hook(&mut store);
        }
        let reply = store.answer(&head.method, &path, &query, &head.headers, &body);
        if let Some(Lie::Then(hook)) = &lie {
            hook(&mut store);
        }
        reply
    };
    match lie.clone() {
        None | Some(Lie::Meanwhile(_) | Lie::Then(_)) => whole(honest()),
        Some(Lie::Instead(reply)) => whole(reply),
        Some(Lie::Afterwards(reply)) => {
            honest();
            whole(reply)
        }
        Some(Lie::WithoutStoring) => whole(shared.pretended(honest)),
        Some(Lie::ResetBefore) => {
            cut.now();
            Response::default()
        }
        Some(Lie::ResetAfter) => {
            honest();
            cut.now();
            Response::default()
        }
        Some(Lie::Stall) => std::future::pending().await,
        Some(Lie::StallBody) => half(honest(), None),
        Some(Lie::Truncated) => half(honest(), Some(cut)),
        Some(Lie::CutAnswer(length)) => first(honest(), length, Some(cut)),
        Some(Lie::CutRequest(_)) => {
            shared.begin(&path);
            cut.now();
            Response::default()
        }
        Some(Lie::During(_, reply)) => {
            shared.begin(&path);
            whole(reply)
        }
        Some(Lie::Header(name, value)) => {
            let mut reply = honest();
            reply.headers_mut().insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(&value).unwrap(),
            );
            whole(reply)
        }
        Some(Lie::NoHeader(name)) => {
            let mut reply = honest();
            reply.headers_mut().remove(name);
            whole(reply)
        }
        Some(Lie::Body(bytes)) => whole(honest().map(|_| bytes)),
        Some(Lie::Endless) => {
            let (head, _) = honest().into_parts();
            let chunk = Bytes::from(vec![b' '; 64 * 1024]);
            let chunks = stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone()));
            Response::from_parts(head, Body::from_stream(chunks))
        }
    }
}

impl Shared {
    fn next_lie(&self, method: &Method, path: &str) -> Option<Lie> {
        let mut lies = self.lies.lock().unwrap();
        for position in 0..lies.len() {
            let (on, lie) = &mut lies[position];
            if on.method != *method || !path.contains(&on.part) {
                continue;
            }
            if on.skip > 0 {
                on.skip -= 1;
                continue;
            }
            let lie = lie.clone();
            on.times = on.times.saturating_sub(1);
            if on.times == 0 {
                lies.remove(position);
            }
            return Some(lie);
        }
        None
    }

    /// A part of an upload has arrived.
    fn begin(&self, path: &str) {
        if let Some((_, session)) = path.split_once("/blobs/uploads/") {
            self.store.lock().unwrap().begun.insert(session.to_owned());
        }
    }

    /// The honest answer, with everything that it changed taken back.
    fn pretended(&self, honest: impl FnOnce() -> Reply) -> Reply {
        let before = {
            let store = self.store.lock().unwrap();
            (
                store.manifests.clone(),
                store.tags.clone(),
                store.blobs.clone(),
            )
        };
        let reply = honest();
        let mut store = self.store.lock().unwrap();
        (store.manifests, store.tags, store.blobs) = before;
        reply
    }
}

fn whole(reply: Reply) -> Response<Body> {
    let length = reply.body().len();
    let mut response = reply.map(Body::from);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length.into());
    response
}

/// Half of the body; then the connection is cut or nothing comes any more.
fn half(reply: Reply, cut: Option<Cut>) -> Response<Body> {
    let length = reply.body().len() / 2;
    first(reply, length, cut)
}

/// The body of a request, or so much of it; `None` when the client broke it off.
async fn read(body: Body, most: Option<usize>) -> Option<Bytes> {
    let mut pieces = body.into_data_stream();
    let mut all = Vec::new();
    while most.is_none_or(|most| all.len() < most) {
        match pieces.next().await {
            Some(piece) => all.extend_from_slice(&piece.ok()?),
            None => break,
        }
    }
    Some(Bytes::from(all))
}

fn first(reply: Reply, length: usize, cut: Option<Cut>) -> Response<Body> {
    let (mut head, body) = reply.into_parts();
    head.headers
        .insert(header::CONTENT_LENGTH, body.len().into());
    let first =
        stream::once(async move { Ok::<_, std::io::Error>(body.slice(..length.min(body.len()))) });
    let rest = stream::once(async move {
        match cut {
            None => std::future::pending().await,
            Some(cut) => {
                cut.now();
                Err(std::io::ErrorKind::ConnectionReset.into())
            }
        }
    });
    Response::from_parts(head, Body::from_stream(first.chain(rest)))
}
