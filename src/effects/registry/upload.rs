//! Uploads of blobs: a session is opened, filled by one PUT, and cancelled when that fails.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, Url};
use tokio::runtime::Handle;

use super::answer::Answer;
use super::blobs::location;
use super::error::{Problem, RegistryError};
use super::transport::Call;
use super::{Registry, guard, pace};
use crate::domain::artifact::{Digest, Repository};

/// What a request of an upload is called in messages.
const ACTION: &str = "push the blob";

/// DELETEs that are tried for one session.
const MOST_CANCELS: u32 = 2;

/// Between breaking off an upload and cancelling it.
const NOTICE: Duration = Duration::from_millis(100);

pub(super) const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// How an upload began.
pub(super) enum Begun {
    /// The registry has taken the blob from another repository: there is nothing to send.
    Mounted,
    /// The blob is to be sent.
    Session(Session),
}

/// A session that the registry keeps until it is filled or cancelled. Dropped unfinished, it is
/// cancelled in the background.
pub(super) struct Session {
    pub(super) registry: Registry,
    repository: Repository,
    digest: Digest,
    url: Url,
    open: bool,
}

impl Registry {
    /// Opens a session for this blob: POST. With `mount_from`, a repository of the same registry,
    /// the registry is asked to take it from there instead; when it does not, nothing is lost.
    pub(super) async fn begin_upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        mount_from: Option<&Repository>,
    ) -> Result<Begun, RegistryError> {
        let Some(source) = mount_from else {
            return self.post_upload(repository, digest, None).await;
        };
        match self.post_upload(repository, digest, Some(source)).await {
            // Whoever may not read there, or a registry that mounts nothing, still takes uploads.
            Err(error)
                if matches!(
                    error.problem(),
                    Problem::Denied { .. } | Problem::Refused { .. }
                ) =>
            {
                self.post_upload(repository, digest, None).await
            }
            begun => begun,
        }
    }

    async fn post_upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        mount_from: Option<&Repository>,
    ) -> Result<Begun, RegistryError> {
        let mut url = self.url(ACTION, repository, "blobs/uploads/")?;
        let mut scope = self.scope(repository, true);
        if let Some(source) = mount_from {
            let name = self.name(source);
            url.query_pairs_mut()
                .append_pair("mount", digest.as_str())
                .append_pair("from", &name);
            scope.mount_from = Some(name);
        }
        let mut call = self.upload_call(repository, digest, Method::POST, url.clone());
        call.scope = scope;
        let answer = self.inner.send(call).await?;
        match answer.status() {
            StatusCode::ACCEPTED => {}
            StatusCode::CREATED if mount_from.is_some() => {
                return names_it(&answer, digest).map(|()| Begun::Mounted);
            }
            _ => return Err(answer.refusal().await),
        }
        let error = answer.error_maker();
        let (response, _) = answer.into_parts();
        let target = location(&url, &response).map_err(&error)?;
        if !guard::same_origin(&target, &url) {
            return Err(error(Problem::unreadable(format!(
                "it sends the upload away to '{}'",
                guard::redacted(&target)
            ))));
        }
        Ok(Begun::Session(Session {
            registry: self.clone(),
            repository: repository.clone(),
            digest: digest.clone(),
            url: target,
            open: true,
        }))
    }

    fn upload_call(
        &self,
        repository: &Repository,
        digest: &Digest,
        method: Method,
        url: Url,
    ) -> Call {
        Call {
            action: ACTION,
            subject: format!("{repository}@{digest}"),
            method,
            url,
            accept: None,
            body: None,
            scope: self.scope(repository, true),
            waits: true,
            limit: self.inner.limits.request,
            not_after: None,
        }
    }
}

impl Session {
    /// Fills the session with the whole blob.
    pub(super) async fn fill(&mut self, bytes: Bytes) -> Result<(), RegistryError> {
        let mut call = self.put_call(bytes.len() as u64);
        call.body = Some((bytes, OCTETS));
        let answer = self.registry.inner.send(call).await?;
        self.filled(answer).await
    }

    /// The PUT that fills it with so many bytes; its body is still to be set.
    pub(super) fn put_call(&self, size: u64) -> Call {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("digest", self.digest.as_str());
        let mut call = self.call(Method::PUT, url);
        call.limit = pace::limit_for(call.limit, size);
        call
    }

    /// Takes in the answer to the PUT.
    pub(super) async fn filled(&mut self, answer: Answer) -> Result<(), RegistryError> {
        if answer.status() != StatusCode::CREATED {
            return Err(answer.refusal().await);
        }
        self.open = false;
        names_it(&answer, &self.digest)
    }

    /// Tells the registry that nothing more will come. What fails here is left to the registry,
    /// which throws old sessions away by itself.
    pub(super) async fn cancel(mut self) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        for _ in 0..MOST_CANCELS {
            let mut delete = self.call(Method::DELETE, self.url.clone());
            // distribution wants this right also for an upload of one's own.
            (delete.scope.push, delete.scope.delete) = (false, true);
            match self.registry.inner.send(delete).await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND => return,
                Ok(_) => {}
                Err(error) => return self.left_behind(&error.to_string()),
            }
            // Some of the body has arrived, so the session goes by another address now.
            let status = self.call(Method::GET, self.url.clone());
            let Ok(answer) = self.registry.inner.send(status).await else {
                break;
            };
            match location(&self.url, answer.response()) {
                Ok(url) if guard::same_origin(&url, &self.url) => self.url = url,
                _ => break,
            }
        }
        self.left_behind("the registry does not let go of it");
    }

    fn left_behind(&self, why: &str) {
        tracing::debug!(
            repository = %self.repository, digest = %self.digest, why,
            "an unfinished upload stays in the registry until it cleans up by itself"
        );
    }

    fn call(&self, method: Method, url: Url) -> Call {
        self.registry
            .upload_call(&self.repository, &self.digest, method, url)
    }

    /// Gives the registry a moment to notice that we broke off: distribution writes down how far
    /// it came then, and that would stay behind when the upload is gone already.
    pub(super) async fn let_notice(&self) {
        pace::wait(NOTICE).await;
    }

    /// Time that may pass without a byte of the blob moving.
    pub(super) fn idle(&self) -> Duration {
        self.registry.inner.limits.request
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let rest = Self {
                registry: self.registry.clone(),
                repository: self.repository.clone(),
                digest: self.digest.clone(),
                url: self.url.clone(),
                open: true,
            };
            runtime.spawn(async move {
                rest.let_notice().await;
                rest.cancel().await;
            });
        }
    }
}

/// The answer names this blob, or none.
fn names_it(answer: &Answer, digest: &Digest) -> Result<(), RegistryError> {
    match super::manifests::content_digest(answer)? {
        // A registry may keep it under the digest of another algorithm as well.
        Some(found) if found.algorithm() == digest.algorithm() && found != *digest => Err(answer
            .error(Problem::NotWhatWasWritten {
                wanted: digest.clone(),
                found: Some(found),
            })),
        _ => Ok(()),
    }
}
