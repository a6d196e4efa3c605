//! GET, HEAD and PUT of manifests.

use std::str::FromStr;

use reqwest::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::answer::Answer;
use super::error::{Problem, RegistryError};
use super::manifest::{ManifestHead, ManifestType, RawManifest, Reference};
use super::transport::Call;
use super::{Registry, named};
use crate::domain::artifact::{Algorithm, Digest, Repository, Tag};

/// Largest manifest that is read or written, in bytes.
pub const LARGEST_MANIFEST: u64 = 4 * 1024 * 1024;

/// Codes with which a 404 says that a manifest, or its repository, is not there.
pub(super) const ABSENT_CODES: [&str; 3] = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const ALL_TYPES: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json",
);

/// A manifest was taken by the registry. Proves nothing about what a tag names now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutReceipt {
    /// The registry lists it as a referrer of its subject by itself (`OCI-Subject`).
    pub subject_indexed: bool,
}

/// The few fields that are looked at; the bytes are never written from it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peek {
    media_type: Option<String>,
    schema_version: Option<u32>,
    subject: Option<PeekSubject>,
}

#[derive(Deserialize)]
struct PeekSubject {
    digest: String,
}

impl Registry {
    /// The manifest that `reference` names, byte by byte; `None` = it is not there (clean 404).
    ///
    /// # Errors
    /// `TooLarge` above 4 MiB; `Unsupported` for schema 1 and unknown media types; `Unreadable`
    /// when the digest of the bytes is not what was asked for or what the registry says it is,
    /// or when Content-Type and the body's `mediaType` differ.
    pub async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<RawManifest>, RegistryError> {
        let call = self.manifest_call("read the manifest", Method::GET, repository, reference)?;
        let answer = self.inner.send(call).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return answer.absent(&ABSENT_CODES).await.map(|()| None),
            _ => return Err(answer.refusal().await),
        }
        let media_type = manifest_type(&answer)?;
        let named_digest = content_digest(&answer)?;
        let error = answer.error_maker();
        let bytes = answer.body(LARGEST_MANIFEST, "the manifest").await?;
        let manifest = RawManifest::new(bytes, media_type);
        let expected = [named_digest.as_ref(), asked_digest(reference)];
        if let Some(other) = expected
            .into_iter()
            .flatten()
            .find(|digest| !manifest.has(digest))
        {
            let found = Digest::of_as(manifest.bytes(), other.algorithm());
            let why = format!("its bytes have the digest {found}, not {other}");
            return Err(error(Problem::OtherBytes { why }));
        }
        check_body(&manifest).map_err(&error)?;
        Ok(match asked_digest(reference) {
            Some(asked) => manifest.under(asked),
            None => Some(manifest),
        })
    }

    /// What `reference` names, without its bytes; `None` = it is not there (clean 404). A
    /// registry that answers without media type, or without a digest that can be compared, is
    /// asked for the manifest itself.
    ///
    /// # Errors
    /// As [`Registry::get_manifest`].
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>, RegistryError> {
        let call = self.manifest_call("look up", Method::HEAD, repository, reference)?;
        let answer = self.inner.send(call).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return answer.absent(&ABSENT_CODES).await.map(|()| None),
            _ => return Err(answer.refusal().await),
        }
        let digest = content_digest(&answer)?;
        // A digest of another kind than the one that was asked for can only be compared with the
        // bytes.
        let wanted = asked_digest(reference).map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = digest.filter(|digest| digest.algorithm() == wanted);
        let (Some(digest), false) = (digest, answer.content_type()?.is_empty()) else {
            let manifest = self.get_manifest(repository, reference).await?;
            return Ok(manifest.map(|manifest| ManifestHead {
                digest: manifest.digest().clone(),
                media_type: manifest.media_type(),
                size: Some(manifest.size()),
            }));
        };
        if let Some(asked) = asked_digest(reference)
            && *asked != digest
        {
            return Err(answer.error(Problem::unreadable(format!("it names {digest} instead"))));
        }
        let length = answer.header(&CONTENT_LENGTH)?;
        Ok(Some(ManifestHead {
            media_type: manifest_type(&answer)?,
            size: length.and_then(|text| text.parse().ok()),
            digest,
        }))
    }

    /// The digest that a tag names, whatever kind of manifest that is; `None` = there is no such tag
    /// (clean 404).
    ///
    /// # Errors
    /// As [`Registry::get_manifest`] where the registry does not say the digest by itself.
    pub async fn named_by(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<Digest>, RegistryError> {
        let reference = Reference::from(tag);
        let call = self.manifest_call("look up", Method::HEAD, repository, &reference)?;
        let answer = self.inner.send(call).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return answer.absent(&ABSENT_CODES).await.map(|()| None),
            _ => return Err(answer.refusal().await),
        }
        if let Some(digest) = content_digest(&answer)? {
            return Ok(Some(digest));
        }
        let manifest = self.get_manifest(repository, &reference).await?;
        Ok(manifest.map(|manifest| manifest.digest().clone()))
    }

    /// Writes the bytes of `manifest` under `reference`. For tags use [`Registry::tag`] or
    /// [`Registry::move_tag`], which look before and after.
    ///
    /// # Errors
    /// `NotWhatWasWritten` when the registry names another digest; `Refused` for 400, 404, 409,
    /// 412; `Unsupported` for 405 and 415; `TooLarge` above 4 MiB. After `Unavailable` with
    /// [`RegistryError::is_ambiguous`] it may have been written: read before writing again.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        manifest: &RawManifest,
    ) -> Result<PutReceipt, RegistryError> {
        let mut call = self.manifest_call("write", Method::PUT, repository, reference)?;
        if manifest.size() > LARGEST_MANIFEST {
            return Err(call.error(Problem::TooLarge {
                what: "the manifest",
                limit: LARGEST_MANIFEST,
                unit: "bytes",
            }));
        }
        if let Some(asked) = asked_digest(reference)
            && !manifest.has(asked)
        {
            let why = format!("the bytes to write have the digest {}", manifest.digest());
            return Err(call.error(Problem::unsupported(why)));
        }
        let content_type = HeaderValue::from_static(manifest.media_type().as_str());
        call.accept = None;
        call.body = Some((manifest.bytes().clone(), content_type));
        if matches!(reference, Reference::Tag(_)) {
            call.not_after = self.write_before;
            call.waits = false;
        }
        let answer = self.inner.send(call).await?;
        let status = answer.status();
        if matches!(
            status,
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE
        ) {
            let why = format!(
                "the registry does not take manifests of this kind ({status}, {}{})",
                manifest.media_type(),
                if subject_of(manifest).is_some() {
                    ", with a subject"
                } else {
                    ""
                },
            );
            return Err(answer.error(Problem::unsupported(why)));
        }
        if !status.is_success() {
            return Err(answer.refusal().await);
        }
        if let Some(found) = content_digest(&answer)?
            && !manifest.has(&found)
        {
            return Err(answer.error(Problem::NotWhatWasWritten {
                wanted: manifest.digest().clone(),
                found: Some(found),
            }));
        }
        let indexed = answer.header(&OCI_SUBJECT)?.map(str::to_owned);
        Ok(PutReceipt {
            subject_indexed: indexed.is_some() && indexed == subject_of(manifest),
        })
    }

    fn manifest_call(
        &self,
        action: &'static str,
        method: Method,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Call, RegistryError> {
        let push = method == Method::PUT;
        Ok(Call {
            action,
            subject: named(repository, reference),
            url: self.url(action, repository, &format!("manifests/{reference}"))?,
            method,
            accept: Some(ALL_TYPES),
            body: None,
            scope: self.scope(repository, push),
            waits: true,
            limit: self.inner.limits.request,
            not_after: None,
        })
    }
}

/// Digest of the subject that a manifest names, as it is written there.
pub(super) fn subject_of(manifest: &RawManifest) -> Option<String> {
    let peek: Peek = serde_json::from_slice(manifest.bytes()).ok()?;
    peek.subject.map(|subject| subject.digest)
}

fn asked_digest(reference: &Reference) -> Option<&Digest> {
    match reference {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    }
}

pub(super) fn content_digest(answer: &Answer) -> Result<Option<Digest>, RegistryError> {
    let Some(text) = answer.header(&CONTENT_DIGEST)? else {
        return Ok(None);
    };
    Digest::from_str(text).map(Some).map_err(|not| {
        answer.error(Problem::unreadable(format!(
            "its header '{CONTENT_DIGEST}': {not}"
        )))
    })
}

fn manifest_type(answer: &Answer) -> Result<ManifestType, RegistryError> {
    let text = answer.content_type()?;
    text.parse().map_err(|unknown: super::UnknownManifestType| {
        answer.error(Problem::unsupported(unknown.to_string()))
    })
}

/// The body says about itself what the header says about it.
fn check_body(manifest: &RawManifest) -> Result<(), Problem> {
    let peek: Peek = serde_json::from_slice(manifest.bytes())
        .map_err(|_| Problem::unreadable("its bytes are not a manifest"))?;
    if peek.schema_version != Some(2) {
        return Err(Problem::unsupported(
            "it is not a manifest of schema version 2",
        ));
    }
    match peek.media_type {
        Some(inside) if inside != manifest.media_type().as_str() => {
            Err(Problem::unreadable(format!(
                "it is sent as '{}' and calls itself '{}'",
                manifest.media_type(),
                super::guard::shortened(&inside, 100)
            )))
        }
        _ => Ok(()),
    }
}
