//! Records in the registry: a signed statement as a blob, in a referrer of the promoted digest.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::artifact::{Digest, Repository};
use crate::domain::record::{
    BUNDLE_TYPE, Envelope, FoundRecord, KeyRing, Recorded, SigningKey, read,
};
use crate::effects::registry::{
    Descriptor, ManifestType, RawManifest, Reference, Registry, RegistryError,
};

/// Largest bundle that is read, in bytes.
const BUNDLE_MAX: u64 = 1024 * 1024;

/// Annotation by which `cosign tree` names an entry. It proves nothing.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// What is signed, and its predicate type.
pub struct Document {
    /// An in-toto statement.
    pub statement: Vec<u8>,
    /// The type of its predicate.
    pub predicate_type: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it is known by: the digest of the statement.
    pub record: Digest,
    /// The referrer manifest that holds it.
    pub referrer: Digest,
}

/// Signs statements and writes them beside the artifact, all in one write of its list of referrers. The same
/// statement gives the same referrer, however often it is written.
pub async fn write(
    registry: &Registry,
    repository: &Repository,
    subject: &RawManifest,
    documents: &[Document],
    key: &SigningKey,
    annotations: &[(&str, &str)],
) -> Result<Vec<Written>, RegistryError> {
    let (mut written, mut referrers) = (Vec::new(), Vec::new());
    for document in documents {
        let envelope = Envelope::seal(document.statement.clone(), key);
        let bundle = envelope.to_bundle(&key.public());
        let referrer = referrer(&bundle, subject, &document.predicate_type, annotations);
        registry.push_blob(repository, bundle).await?;
        written.push(Written {
            record: envelope.identity(),
            referrer: referrer.digest().clone(),
        });
        referrers.push(referrer);
    }
    registry
        .push_referrers(repository, &referrers, subject.digest())
        .await?;
    Ok(written)
}

fn referrer(
    bundle: &[u8],
    subject: &RawManifest,
    predicate_type: &str,
    annotations: &[(&str, &str)],
) -> RawManifest {
    let annotations: BTreeMap<_, _> = annotations
        .iter()
        .copied()
        .chain([(PREDICATE_TYPE, predicate_type)])
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": ManifestType::OciManifest.as_str(),
        "artifactType": BUNDLE_TYPE,
        "config": Descriptor::empty(),
        "layers": [Descriptor::of(bundle, BUNDLE_TYPE)],
        "subject": Descriptor::of(subject.bytes(), subject.media_type().as_str()),
        "annotations": annotations,
    });
    RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest)
}

/// The records on a digest that one of these keys has signed. What is not a
/// record of ours is passed over; what cannot be read is an error, never "none".
pub async fn find(
    registry: &Registry,
    repository: &Repository,
    subject: &Digest,
    keys: &KeyRing,
) -> Result<Vec<FoundRecord>, RegistryError> {
    let mut found: Vec<FoundRecord> = Vec::new();
    let mut referrers: BTreeMap<String, Digest> = BTreeMap::new();
    for entry in registry.referrers(repository, subject).await? {
        let Some(manifest) = registry
            .get_manifest(repository, &Reference::from(&entry.digest))
            .await?
        else {
            continue;
        };
        let Some(layer) = only_bundle(&manifest) else {
            continue;
        };
        let bundle = registry.get_blob(repository, &layer).await?;
        let Ok(envelope) = Envelope::open(&bundle) else {
            continue;
        };
        if keys.signer_of(&envelope).is_none() {
            continue;
        }
        let record = envelope.identity();
        referrers.insert(record.to_string(), entry.digest.clone());
        found.extend(read(envelope.payload(), subject).map(|seen| FoundRecord {
            recorded: Recorded {
                record,
                referrer: entry.digest,
                sequence: seen.sequence,
                summary: None,
            },
            seen,
        }));
    }
    for record in &mut found {
        record.recorded.summary = referrers.get(&record.seen.summary).cloned();
    }
    Ok(found)
}

/// The one layer of a referrer that holds a bundle of a size that is worth reading.
pub(super) fn only_bundle(manifest: &RawManifest) -> Option<Descriptor> {
    #[derive(serde::Deserialize)]
    struct Layers {
        layers: Vec<Descriptor>,
    }
    let Layers { mut layers } = serde_json::from_slice(manifest.bytes()).ok()?;
    let only = layers.pop().filter(|_| layers.is_empty())?;
    (only.media_type == BUNDLE_TYPE && only.size <= BUNDLE_MAX).then_some(only)
}
