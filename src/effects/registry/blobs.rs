//! Blobs: pushed in one piece, pulled with their digest checked.

use bytes::Bytes;
use reqwest::header::LOCATION;
use reqwest::{Method, Request, Response, StatusCode, Url};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::answer::next_chunk;
use super::error::{Problem, RegistryError};
use super::manifest::Descriptor;
use super::transport::{Call, send_within};
use super::upload::Begun;
use super::{Registry, guard, pace};
use crate::domain::artifact::{Digest, Hashing, Repository};

/// Largest blob that [`Registry::get_blob`] keeps in memory, in bytes.
const LARGEST_IN_MEMORY: u64 = 32 * 1024 * 1024;

/// Redirects that are followed for one blob.
const MOST_REDIRECTS: u32 = 5;

/// Uploads that are tried for one blob.
const MOST_UPLOADS: u32 = 2;

/// A blob whose bytes are about to come.
pub(super) struct OpenBlob {
    pub(super) response: Response,
    /// When it has to be read to its end.
    pub(super) deadline: Instant,
    /// Makes errors that name it.
    pub(super) error: Box<dyn Fn(Problem) -> RegistryError + Send + Sync>,
}

impl Registry {
    /// Pushes a blob in one piece: POST, PUT. Pushing the same bytes again changes nothing, so
    /// it is tried a second time when the outcome of the first is unknown.
    ///
    /// # Errors
    /// `Unreadable` when the registry sends the upload to another host (nothing is sent there);
    /// `NotWhatWasWritten` when it names another digest.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        bytes: impl Into<Bytes>,
    ) -> Result<Digest, RegistryError> {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let mut tries = 1;
        loop {
            match self.upload(repository, &bytes, &digest).await {
                Ok(()) => return Ok(digest),
                Err(error)
                    if error.is_ambiguous()
                        && error.retry_after().is_none()
                        && tries < MOST_UPLOADS =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the blob is there (HEAD).
    pub async fn blob_exists(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let call = self.blob_call("look up the blob", Method::HEAD, repository, digest)?;
        let answer = self.inner.send(call).await?;
        match answer.status() {
            status if status.is_success() || status == StatusCode::TEMPORARY_REDIRECT => Ok(true),
            StatusCode::NOT_FOUND => {
                let codes = ["BLOB_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];
                answer.absent(&codes).await.map(|()| false)
            }
            _ => Err(answer.refusal().await),
        }
    }

    /// The bytes of a blob of at most 32 MiB.
    ///
    /// # Errors
    /// `TooLarge` when the descriptor or the answer says more; `Unreadable` when size or digest
    /// are not those of the descriptor; `Refused` when the blob is not there.
    pub async fn get_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        self.pull_blob(repository, descriptor, LARGEST_IN_MEMORY, &mut bytes)
            .await?;
        Ok(bytes)
    }

    /// Streams a blob of at most `most` bytes into `writer`, with bounded memory. Only after
    /// `Ok` is what was written the blob: after an error it must be thrown away.
    ///
    /// # Errors
    /// As [`Registry::get_blob`]; `Local` when `writer` fails.
    pub async fn pull_blob_to(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        most: u64,
        writer: &mut (impl AsyncWrite + Unpin + Send),
    ) -> Result<(), RegistryError> {
        self.pull_blob(repository, descriptor, most, writer).await
    }

    async fn pull_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        most: u64,
        writer: &mut (impl AsyncWrite + Unpin + Send),
    ) -> Result<(), RegistryError> {
        if descriptor.size > most {
            let place = format!("{repository}@{}", descriptor.digest);
            let problem = Problem::TooLarge {
                what: "the blob",
                limit: most,
                unit: "bytes",
            };
            return Err(RegistryError::new("read the blob", place, problem));
        }
        let OpenBlob {
            response,
            deadline,
            error,
        } = self
            .open_blob(repository, &descriptor.digest, descriptor.size)
            .await?;
        copy(response, deadline, descriptor, writer)
            .await
            .map_err(error)
    }

    /// Asks for a blob of this size; its bytes are still to be read, and to be checked.
    pub(super) async fn open_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> Result<OpenBlob, RegistryError> {
        let mut call = self.blob_call("read the blob", Method::GET, repository, digest)?;
        call.limit = pace::limit_for(call.limit, size);
        let origin = call.url.clone();
        let answer = self.inner.send(call).await?;
        let error = answer.error_maker();
        let redirected = match answer.status() {
            StatusCode::OK => false,
            status if status.is_redirection() => true,
            _ => return Err(answer.refusal().await),
        };
        let (mut response, deadline) = answer.into_parts();
        if redirected {
            response = self
                .follow(origin, response, deadline)
                .await
                .map_err(&error)?;
        }
        Ok(OpenBlob {
            response,
            deadline,
            error: Box::new(error),
        })
    }

    /// Follows the redirects of a blob to its storage, without credentials.
    async fn follow(
        &self,
        mut url: Url,
        mut response: Response,
        deadline: Instant,
    ) -> Result<Response, Problem> {
        for _ in 0..MOST_REDIRECTS {
            url = location(&url, &response)?;
            guard::check(&url, self.inner.plain_http, &self.inner.addresses).map_err(|why| {
                Problem::unreadable(format!("it sends us for the blob to an address: {why}"))
            })?;
            let request = Request::new(Method::GET, url.clone());
            response = send_within(self.inner.http_for(&url)?, request, deadline).await?;
            let status = response.status();
            if status == StatusCode::OK {
                return Ok(response);
            }
            if !status.is_redirection() {
                let place = guard::redacted(&url);
                return Err(Problem::Unavailable {
                    why: format!("'{place}', where it sends us for the blob, answers {status}"),
                    retry_after: pace::retry_after(response.headers()),
                    ambiguous: false,
                });
            }
        }
        Err(Problem::unreadable("it redirects without end"))
    }

    async fn upload(
        &self,
        repository: &Repository,
        bytes: &Bytes,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let Begun::Session(mut session) = self.begin_upload(repository, digest, None).await? else {
            return Ok(());
        };
        let filled = session.fill(bytes.clone()).await;
        if filled.is_err() {
            // Rare, and large: not a part of every upload's future.
            Box::pin(session.cancel()).await;
        }
        filled
    }

    fn blob_call(
        &self,
        action: &'static str,
        method: Method,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Call, RegistryError> {
        Ok(Call {
            action,
            subject: format!("{repository}@{digest}"),
            url: self.url(action, repository, &format!("blobs/{digest}"))?,
            method,
            accept: None,
            body: None,
            scope: self.scope(repository, false),
            waits: true,
            limit: self.inner.limits.request,
            not_after: None,
        })
    }
}

/// Where the answer sends us, seen from `current`; the query that it carries is kept.
pub(super) fn location(current: &Url, response: &Response) -> Result<Url, Problem> {
    let text = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| Problem::unreadable("its answer lacks the Location"))?;
    current
        .join(text)
        .map_err(|_| Problem::unreadable("its Location is no address"))
}

/// Copies the body to `writer`; it has to be what the descriptor says, to the last byte.
async fn copy(
    mut response: Response,
    deadline: Instant,
    descriptor: &Descriptor,
    writer: &mut (impl AsyncWrite + Unpin + Send),
) -> Result<(), Problem> {
    let local = |error: std::io::Error| Problem::Local {
        why: format!("cannot store it: {error}"),
    };
    let longer = || Problem::OtherBytes {
        why: format!("it is longer than {} bytes", descriptor.size),
    };
    if response
        .content_length()
        .is_some_and(|length| length > descriptor.size)
    {
        return Err(longer());
    }
    let (mut hash, mut size) = (Hashing::new(descriptor.digest.algorithm()), 0_u64);
    while let Some(chunk) = next_chunk(&mut response, deadline).await? {
        size += chunk.len() as u64;
        if size > descriptor.size {
            return Err(longer());
        }
        hash.update(&chunk);
        writer.write_all(&chunk).await.map_err(local)?;
    }
    let found = hash.finish();
    if found != descriptor.digest {
        return Err(Problem::OtherBytes {
            why: format!("its {size} bytes have the digest {found}"),
        });
    }
    writer.flush().await.map_err(local)
}
