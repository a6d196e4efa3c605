//! The fallback tag: an index that clients keep by themselves where the registry has no
//! referrers API. It has no compare-and-swap, so it is read right before and right after writing.

use serde_json::{Map, Value, json};

use super::Registry;
use super::error::{Problem, RegistryError};
use super::manifest::{Descriptor, ManifestType, RawManifest, Reference};
use super::referrers::too_many;
use super::{guard, tagged};
use crate::domain::artifact::{Digest, Repository};

/// Times that a lost entry is written again.
const MOST_WRITES: u32 = 4;

impl Registry {
    /// The fallback index of `subject`, as it lies there.
    pub(super) async fn read_fallback(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<RawManifest>, RegistryError> {
        let reference = Reference::Tag(subject.referrers_tag());
        let index = self.get_manifest(repository, &reference).await?;
        match index {
            Some(index) if index.media_type() != ManifestType::OciIndex => {
                let why = format!("it is a '{}', not an index", index.media_type());
                Err(fallback_error(
                    repository,
                    subject,
                    Problem::unreadable(why),
                ))
            }
            index => Ok(index),
        }
    }

    /// The entries of a fallback index, none left out.
    pub(super) fn fallback_entries(
        &self,
        repository: &Repository,
        subject: &Digest,
        index: &RawManifest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let entries = entries_of(index.bytes())
            .map_err(|why| fallback_error(repository, subject, Problem::unreadable(why)))?;
        if entries.len() > self.inner.limits.referrers {
            let limit = self.inner.limits.referrers as u64;
            return Err(too_many(repository, subject, limit, "entries"));
        }
        Ok(entries)
    }

    /// Adds `entries` to the fallback index of `subject` and sees them there: GET, PUT, GET,
    /// however many they are. When another writer dropped one in between, again, a few times.
    pub(super) async fn add_to_fallback(
        &self,
        repository: &Repository,
        subject: &Digest,
        entries: &[Descriptor],
    ) -> Result<(), RegistryError> {
        let reference = Reference::Tag(subject.referrers_tag());
        let mut writes = 0;
        let mut pruned = false;
        let mut gone: Vec<Digest> = Vec::new();
        let mut failure: Option<RegistryError> = None;
        loop {
            let current = self.read_fallback(repository, subject).await?;
            let index = current
                .as_ref()
                .map(|index| self.parsed(repository, subject, index));
            let mut index = index.transpose()?.unwrap_or_default();
            let absent: Vec<&Descriptor> = entries
                .iter()
                .filter(|entry| !index.lists(&entry.digest))
                .collect();
            let Some(first) = absent.first() else {
                return Ok(());
            };
            if writes >= MOST_WRITES {
                return Err(failure.unwrap_or_else(|| {
                    let wanted = first.digest.clone();
                    let problem = Problem::NotWhatWasWritten {
                        wanted,
                        found: None,
                    };
                    fallback_error(repository, subject, problem)
                }));
            }
            index.remove(&gone);
            for entry in absent {
                index.add(entry);
            }
            let written = index.into_manifest();
            writes += 1;
            match self.put_manifest(repository, &reference, &written).await {
                Ok(_) => failure = None,
                Err(error) if names_a_missing_manifest(&error) && !pruned => {
                    pruned = true;
                    gone = self
                        .missing_entries(repository, subject, &written, entries)
                        .await?;
                    if gone.is_empty() {
                        return Err(error);
                    }
                }
                Err(error) if error.is_ambiguous() && error.retry_after().is_none() => {
                    failure = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Entries that are not there any more: one of them makes registries refuse the index.
    async fn missing_entries(
        &self,
        repository: &Repository,
        subject: &Digest,
        index: &RawManifest,
        own: &[Descriptor],
    ) -> Result<Vec<Digest>, RegistryError> {
        let mut gone = Vec::new();
        for entry in self.fallback_entries(repository, subject, index)? {
            let reference = Reference::from(&entry.digest);
            if own.iter().all(|own| own.digest != entry.digest)
                && self.head_manifest(repository, &reference).await?.is_none()
            {
                tracing::warn!(
                    %repository, %subject, entry = %entry.digest,
                    "dropped from the fallback tag of the referrers: it is not there any more"
                );
                gone.push(entry.digest);
            }
        }
        Ok(gone)
    }

    fn parsed(
        &self,
        repository: &Repository,
        subject: &Digest,
        index: &RawManifest,
    ) -> Result<Index, RegistryError> {
        self.fallback_entries(repository, subject, index)?;
        Index::parse(index.bytes())
            .map_err(|why| fallback_error(repository, subject, Problem::unreadable(why)))
    }
}

fn fallback_error(repository: &Repository, subject: &Digest, problem: Problem) -> RegistryError {
    let place = tagged(repository, &subject.referrers_tag());
    RegistryError::new("keep the list of referrers", place, problem)
}

/// The descriptors of an index. Every entry counts; one that cannot be read spoils the list.
pub(super) fn entries_of(bytes: &[u8]) -> Result<Vec<Descriptor>, String> {
    let index = Index::parse(bytes)?;
    let read = |entry: &Value| {
        // Null means the same as absent to the writers that put it there.
        let mut entry = entry.clone();
        if let Some(fields) = entry.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        serde_json::from_value::<Descriptor>(entry).map_err(|error| {
            let words = format!("an entry of its list of referrers cannot be read: {error}");
            guard::shortened(&words, 200)
        })
    };
    index.entries.iter().map(read).collect()
}

/// An index with everything that others wrote into it.
struct Index {
    fields: Map<String, Value>,
    entries: Vec<Value>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            fields: Map::new(),
            entries: Vec::new(),
        }
    }
}

impl Index {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut fields: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|_| "its list of referrers is malformed")?;
        match fields.remove("manifests") {
            Some(Value::Array(entries)) => Ok(Self { fields, entries }),
            Some(Value::Null) => Ok(Self {
                fields,
                entries: Vec::new(),
            }),
            _ => Err("its list of referrers has no 'manifests'".to_owned()),
        }
    }

    fn lists(&self, digest: &Digest) -> bool {
        self.entries.iter().any(|entry| names(entry, digest))
    }

    fn remove(&mut self, gone: &[Digest]) {
        self.entries
            .retain(|entry| !gone.iter().any(|digest| names(entry, digest)));
    }

    fn add(&mut self, entry: &Descriptor) {
        self.entries.push(json!(entry));
    }

    fn into_manifest(self) -> RawManifest {
        let Self {
            mut fields,
            entries,
        } = self;
        fields.insert("schemaVersion".to_owned(), json!(2));
        fields.insert(
            "mediaType".to_owned(),
            json!(ManifestType::OciIndex.as_str()),
        );
        fields.insert("manifests".to_owned(), Value::Array(entries));
        RawManifest::new(
            Value::Object(fields).to_string().into_bytes(),
            ManifestType::OciIndex,
        )
    }
}

fn names(entry: &Value, digest: &Digest) -> bool {
    entry.get("digest").and_then(Value::as_str) == Some(digest.as_str())
}

fn names_a_missing_manifest(error: &RegistryError) -> bool {
    matches!(
        error.code(),
        Some("MANIFEST_BLOB_UNKNOWN" | "MANIFEST_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_INVALID")
    )
}
