//! What refers to a digest: the referrers API, or the fallback tag where there is none.

use std::collections::BTreeMap;

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::Registry;
use super::answer::Answer;
use super::error::{Problem, RegistryError};
use super::fallback::entries_of;
use super::links::next_page;
use super::manifest::{Descriptor, EMPTY_BYTES, ManifestType, RawManifest, Reference};
use super::manifests::{LARGEST_MANIFEST, subject_of};
use super::transport::Call;
use crate::domain::artifact::{Digest, Repository};

const INDEX: HeaderValue = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");

/// How a referrer was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerReceipt {
    /// Digest of the referrer's manifest.
    pub digest: Digest,
    /// `true`: the registry lists it by itself. `false`: it is listed in the fallback tag, where
    /// it was seen after writing; another client's write can still drop it later.
    pub by_registry: bool,
}

/// A list of referrers.
pub(super) struct Listed {
    pub(super) entries: Vec<Descriptor>,
    /// `true`: the registry keeps it. `false`: clients keep it, in the fallback tag.
    pub(super) by_registry: bool,
}

/// The fields of a manifest that its descriptor repeats.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    artifact_type: Option<String>,
    config: Option<DescribedPart>,
    #[serde(default)]
    layers: Vec<DescribedPart>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedPart {
    media_type: String,
    digest: String,
}

impl Registry {
    /// Everything that refers to `subject`, whatever its type: open each to see what it is.
    ///
    /// # Errors
    /// `TooLarge` over the cap, `Unreadable` for a malformed list: what exists is then unknown.
    /// Only a 404 means that the registry has no referrers API, and only a clean 404 of the
    /// fallback tag that there are no referrers.
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let listed = self.list_referrers(repository, subject).await?;
        Ok(listed.entries)
    }

    /// The same, and who keeps the list.
    pub(super) async fn list_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Listed, RegistryError> {
        let action = "list the referrers";
        let limits = self.inner.limits;
        let mut entries = Vec::new();
        let mut url = self.url(action, repository, &format!("referrers/{subject}"))?;
        for page in 0..limits.pages {
            let answer = self
                .inner
                .send(self.referrers_call(repository, subject, &url))
                .await?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if page == 0 => {
                    let index = self.read_fallback(repository, subject).await?;
                    let entries = index.map_or(Ok(Vec::new()), |index| {
                        self.fallback_entries(repository, subject, &index)
                    });
                    return entries.map(|entries| Listed {
                        entries,
                        by_registry: false,
                    });
                }
                _ => return Err(answer.refusal().await),
            }
            let next = next_page(&answer, &url)?;
            entries.extend(page_entries(answer).await?);
            if entries.len() > limits.referrers {
                let limit = limits.referrers as u64;
                return Err(too_many(repository, subject, limit, "entries"));
            }
            match next {
                Some(next) => url = next,
                None => {
                    return Ok(Listed {
                        entries,
                        by_registry: true,
                    });
                }
            }
        }
        Err(too_many(repository, subject, limits.pages as u64, "pages"))
    }

    /// Attaches `referrer` (whose `subject` is `subject`) to a digest. See [`Registry::push_referrers`].
    ///
    /// # Errors
    /// As there.
    pub async fn push_referrer(
        &self,
        repository: &Repository,
        referrer: &RawManifest,
        subject: &Digest,
    ) -> Result<ReferrerReceipt, RegistryError> {
        let by_registry = self
            .push_referrers(repository, std::slice::from_ref(referrer), subject)
            .await?;
        Ok(ReferrerReceipt {
            digest: referrer.digest().clone(),
            by_registry,
        })
    }

    /// Attaches manifests whose `subject` is `subject` to a digest: PUT by digest of each and, when
    /// the registry does not list them by itself, GET, PUT, GET of the fallback tag, once for all. An empty
    /// config that they name is pushed before, once per repository and process. Their other blobs
    /// have to be there. Doing it twice changes nothing. Says whether the registry lists them by itself.
    ///
    /// # Errors
    /// `Unsupported` when the registry takes no manifests with a subject, or when one
    /// does not name `subject`; `NotWhatWasWritten` when the fallback tag lost an entry to
    /// other writers several times.
    pub async fn push_referrers(
        &self,
        repository: &Repository,
        referrers: &[RawManifest],
        subject: &Digest,
    ) -> Result<bool, RegistryError> {
        let mut described = Vec::new();
        for referrer in referrers {
            let error = |problem| {
                let place = format!("{repository}@{}", referrer.digest());
                RegistryError::new("attach the referrer", place, problem)
            };
            if subject_of(referrer).as_deref() != Some(subject.as_str()) {
                let why = format!("it does not name {subject} as its subject");
                return Err(error(Problem::unsupported(why)));
            }
            let parts = describe(referrer).map_err(|why| error(Problem::unsupported(why)))?;
            described.push((referrer, parts));
        }
        let _turn = self.inner.shared.lock_subject(repository, subject).await;
        let mut unlisted = Vec::new();
        for (referrer, (entry, needs_empty)) in described {
            if !self.put_referrer(repository, referrer, needs_empty).await? {
                unlisted.push(entry);
            }
        }
        if !unlisted.is_empty() {
            self.add_to_fallback(repository, subject, &unlisted).await?;
        }
        Ok(unlisted.is_empty())
    }

    /// Writes the manifest of a referrer; says whether the registry lists it by itself.
    async fn put_referrer(
        &self,
        repository: &Repository,
        referrer: &RawManifest,
        needs_empty: bool,
    ) -> Result<bool, RegistryError> {
        let by_digest = Reference::from(referrer.digest());
        if needs_empty {
            self.ensure_empty_config(repository).await?;
        }
        let mut put = self.put_manifest(repository, &by_digest, referrer).await;
        if needs_empty && put.as_ref().is_err_and(lacks_a_blob) {
            // The registry may have lost the empty config since this process pushed it.
            self.inner.shared.remember_empty_config(repository, false);
            self.ensure_empty_config(repository).await?;
            put = self.put_manifest(repository, &by_digest, referrer).await;
        }
        if put
            .as_ref()
            .is_err_and(|error| error.is_ambiguous() && error.retry_after().is_none())
        {
            // By digest, writing again is harmless whatever became of the first try.
            put = self.put_manifest(repository, &by_digest, referrer).await;
        }
        Ok(put?.subject_indexed)
    }

    /// Makes sure that the blob `{}` is there: HEAD, and a push when it is not.
    async fn ensure_empty_config(&self, repository: &Repository) -> Result<(), RegistryError> {
        if self.inner.shared.has_empty_config(repository) {
            return Ok(());
        }
        if !self
            .blob_exists(repository, &Digest::of(EMPTY_BYTES))
            .await?
        {
            self.push_blob(repository, EMPTY_BYTES).await?;
        }
        self.inner.shared.remember_empty_config(repository, true);
        Ok(())
    }

    pub(super) fn referrers_call(
        &self,
        repository: &Repository,
        subject: &Digest,
        url: &Url,
    ) -> Call {
        Call {
            action: "list the referrers",
            subject: format!("{repository}@{subject}"),
            method: Method::GET,
            url: url.clone(),
            accept: Some(INDEX),
            body: None,
            scope: self.scope(repository, false),
            waits: true,
            limit: self.inner.limits.request,
            not_after: None,
        }
    }
}

/// More entries or pages than are read: what exists is unknown.
pub(super) fn too_many(
    repository: &Repository,
    subject: &Digest,
    limit: u64,
    unit: &'static str,
) -> RegistryError {
    let problem = Problem::TooLarge {
        what: "the list",
        limit,
        unit,
    };
    RegistryError::new(
        "list the referrers",
        format!("{repository}@{subject}"),
        problem,
    )
}

async fn page_entries(answer: Answer) -> Result<Vec<Descriptor>, RegistryError> {
    let error = answer.error_maker();
    let content_type = answer.content_type()?;
    if content_type != ManifestType::OciIndex.as_str() {
        let why = format!("its list of referrers is sent as '{content_type}'");
        return Err(error(Problem::unreadable(super::guard::shortened(
            &why, 160,
        ))));
    }
    let body = answer.body(LARGEST_MANIFEST, "a page of referrers").await?;
    entries_of(&body).map_err(|why| error(Problem::unreadable(why)))
}

/// The descriptor of a referrer, and whether it names the empty config.
pub(super) fn describe(referrer: &RawManifest) -> Result<(Descriptor, bool), &'static str> {
    let Described {
        artifact_type,
        config,
        layers,
        annotations,
    } = serde_json::from_slice(referrer.bytes()).map_err(|_| "its bytes are not a manifest")?;
    let empty = Digest::of(EMPTY_BYTES);
    let needs_empty = config
        .iter()
        .chain(&layers)
        .any(|part| part.digest == empty.as_str());
    let entry = Descriptor {
        media_type: referrer.media_type().to_string(),
        digest: referrer.digest().clone(),
        size: referrer.size(),
        artifact_type: artifact_type.or_else(|| config.map(|config| config.media_type)),
        annotations: annotations.unwrap_or_default(),
    };
    Ok((entry, needs_empty))
}

fn lacks_a_blob(error: &RegistryError) -> bool {
    matches!(error.code(), Some("MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN"))
}
