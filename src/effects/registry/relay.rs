//! A blob on its way from one registry to another: read, hashed and sent on piece by piece. The
//! last piece is held back until the digest of all is right, so that no registry ever completes
//! a blob that is not what it is called.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Request, Response};
use tokio::time::Instant;

use super::answer::next_chunk;
use super::blobs::OpenBlob;
use super::error::{Problem, RegistryError};
use super::transport::{Sent, send_problem};
use super::upload::{OCTETS, Session};
use super::{Inner, pace};
use crate::domain::artifact::{Digest, Hashing};
use crate::effects::lock::lock;

/// Tells transfers that run side by side to end because one of them failed.
#[derive(Clone, Default)]
pub(super) struct Halt(Arc<AtomicBool>);

/// What is known about a transfer while it runs.
#[derive(Default)]
struct Progress {
    /// Bytes handed to the target's connection.
    moved: AtomicU64,
    /// The next bytes are awaited from the source.
    reading: AtomicBool,
    /// All bytes were handed over, and they are right.
    complete: AtomicBool,
    /// Why the source's side ended.
    failure: Mutex<Option<Problem>>,
}

/// The source's side.
struct Relay {
    response: Response,
    deadline: Instant,
    idle: Duration,
    digest: Digest,
    size: u64,
    read: u64,
    hashing: Option<Hashing>,
    held: Option<Bytes>,
    halt: Halt,
    progress: Arc<Progress>,
}

impl Halt {
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// An error when it is time to end.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Problem::Local {
                why: "given up because something else of the same copy failed".to_owned(),
            });
        }
        Ok(())
    }
}

impl Session {
    /// Fills the session with the blob as it comes from the source. Nothing is completed when the
    /// source's bytes are not the blob's.
    ///
    /// # Errors
    /// Those of the source under its name, the others under the target's.
    pub(super) async fn relay(
        &mut self,
        blob: OpenBlob,
        digest: &Digest,
        size: u64,
        halt: &Halt,
    ) -> Result<(), RegistryError> {
        let call = self.put_call(size);
        let inner = Arc::clone(&self.registry.inner);
        let credential = inner
            .authorize(&call.scope)
            .await
            .map_err(|problem| call.error(problem))?;
        let OpenBlob {
            response,
            deadline,
            error: source_error,
        } = blob;
        let progress = Arc::<Progress>::default();
        let relay = Relay {
            response,
            deadline,
            idle: self.idle(),
            digest: digest.clone(),
            size,
            read: 0,
            hashing: Some(Hashing::new(digest.algorithm())),
            held: None,
            halt: halt.clone(),
            progress: Arc::clone(&progress),
        };
        let mut request = Request::new(call.method.clone(), call.url.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, OCTETS);
        headers.insert(CONTENT_LENGTH, size.into());
        if let Some(header) = &credential.header {
            headers.insert(AUTHORIZATION, header.clone());
        }
        *request.body_mut() = Some(Body::wrap_stream(relay.into_stream()));
        let deadline = pace::now() + call.limit;
        let sent = progress
            .watch(inner.http.execute(request), deadline, self.idle())
            .await;
        if let Some(problem) = progress.take_failure() {
            self.let_notice().await;
            return Err(source_error(problem));
        }
        let response = sent.map_err(|problem| call.error(problem))?;
        if inner
            .refused(&response, &call.scope, &credential)
            .await
            .map_err(|problem| call.error(problem))?
        {
            return Err(call.error(Problem::unavailable(
                "the registry wants new credentials in the middle of it",
            )));
        }
        let retry_after = pace::retry_after(response.headers());
        let sent = Sent {
            deadline,
            secrets: credential.secrets(inner.login.as_ref()),
        };
        let answer = Inner::judge(call, response, sent, retry_after).await?;
        if answer.status().is_success() && !progress.complete.load(Ordering::Acquire) {
            let why = "it answers that all is written before it has all of it";
            return Err(answer.error(Problem::unreadable(why)));
        }
        self.filled(answer).await
    }
}

impl Progress {
    /// Waits for the answer as long as bytes move, and for the answer to all of them until
    /// `deadline`.
    async fn watch(
        &self,
        sending: impl Future<Output = reqwest::Result<Response>>,
        deadline: Instant,
        idle: Duration,
    ) -> Result<Response, Problem> {
        tokio::pin!(sending);
        let mut seen = 0;
        loop {
            // Later than the source's own limit, which gives the better reason.
            let look = (pace::now() + idle + idle / 4).min(deadline);
            match tokio::time::timeout_at(look, &mut sending).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(send_problem(error, true)),
                Err(_) => {}
            }
            let moved = self.moved.load(Ordering::Acquire);
            let stalled = moved == seen
                && !self.complete.load(Ordering::Acquire)
                && !self.reading.load(Ordering::Acquire);
            seen = moved;
            let too_late = pace::now() >= deadline;
            if too_late && self.reading.load(Ordering::Acquire) {
                let why = format!("no more comes after {moved} bytes within the time limit");
                self.fail(Problem::unavailable(why));
            }
            if stalled || too_late {
                return Err(Problem::Unavailable {
                    why: format!("it takes no more after {moved} bytes within the time limit"),
                    retry_after: None,
                    ambiguous: true,
                });
            }
        }
    }

    fn take_failure(&self) -> Option<Problem> {
        lock(&self.failure).take()
    }

    fn fail(&self, problem: Problem) -> io::Error {
        let error = io::Error::other(problem.to_string());
        *lock(&self.failure) = Some(problem);
        error
    }
}

impl Relay {
    fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        futures::stream::try_unfold(self, |mut relay| async move {
            match relay.next().await {
                Ok(Some(piece)) => {
                    let moved = piece.len() as u64;
                    relay.progress.moved.fetch_add(moved, Ordering::AcqRel);
                    Ok(Some((piece, relay)))
                }
                Ok(None) => Ok(None),
                Err(problem) => Err(relay.progress.fail(problem)),
            }
        })
    }

    /// The next piece for the target; the last one only when all of them are the blob.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.hashing.is_none() {
            return Ok(None);
        }
        loop {
            self.halt.check()?;
            let limit = self.deadline.min(pace::now() + self.idle);
            self.progress.reading.store(true, Ordering::Release);
            let piece = next_chunk(&mut self.response, limit).await;
            self.progress.reading.store(false, Ordering::Release);
            let Some(piece) = piece? else {
                return self.last().map(Some);
            };
            if piece.is_empty() {
                continue;
            }
            self.read += piece.len() as u64;
            if self.read > self.size {
                return Err(corrupt(&format!("it is longer than {} bytes", self.size)));
            }
            if let Some(hashing) = &mut self.hashing {
                hashing.update(&piece);
            }
            if self.read < self.size {
                return Ok(Some(piece));
            }
            self.held = Some(piece);
        }
    }

    fn last(&mut self) -> Result<Bytes, Problem> {
        let found = self.hashing.take().map(Hashing::finish);
        if self.read != self.size {
            return Err(corrupt(&format!(
                "it ends after {} of {} bytes",
                self.read, self.size
            )));
        }
        match found {
            Some(found) if found != self.digest => Err(corrupt(&format!(
                "its {} bytes have the digest {found}",
                self.read
            ))),
            _ => {
                self.progress.complete.store(true, Ordering::Release);
                Ok(self.held.take().unwrap_or_default())
            }
        }
    }
}

/// The source's content is not what it is called.
pub(super) fn corrupt(why: &str) -> Problem {
    Problem::unreadable(format!("the blob is corrupt there: {why}"))
}
