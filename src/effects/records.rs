//! Records in the registry: a signed statement as a blob, in a referrer of the promoted digest.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::domain::artifact::{Digest, Repository};
use crate::domain::drift::WantedRecord;
use crate::domain::record::{
    BUNDLE_TYPE, Envelope, FoundRecord, KeyRing, Recorded, Signer, SigningKey, read,
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
    let (mut written, mut referrers, mut bundles) = (Vec::new(), Vec::new(), Vec::new());
    for document in documents {
        let envelope = Envelope::seal(document.statement.clone(), key);
        let bundle = envelope.to_bundle(&key.public());
        let referrer = referrer(&bundle, subject, &document.predicate_type, annotations);
        bundles.push(registry.push_blob(repository, bundle));
        written.push(Written {
            record: envelope.identity(),
            referrer: referrer.digest().clone(),
        });
        referrers.push(referrer);
    }
    try_join_all(bundles).await?;
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

/// The records on a digest that one of these keys has signed. What is not a record of ours is passed over, and so is
/// what a revoked key has signed; what cannot be read is an error, never "none".
pub async fn find(
    registry: &Registry,
    repository: &Repository,
    subject: &Digest,
    keys: &KeyRing,
) -> Result<Vec<FoundRecord>, RegistryError> {
    find_vouched(registry, repository, subject, keys, &BTreeSet::new()).await
}

/// The same, with those that a revoked key has signed and that the operator's own ledger names: it wrote or read
/// them before.
pub async fn find_vouched(
    registry: &Registry,
    repository: &Repository,
    subject: &Digest,
    keys: &KeyRing,
    in_ledger: &BTreeSet<Digest>,
) -> Result<Vec<FoundRecord>, RegistryError> {
    let mut found: Vec<FoundRecord> = Vec::new();
    let mut referrers: BTreeMap<String, Digest> = BTreeMap::new();
    for entry in registry.referrers(repository, subject).await? {
        let Some((_, envelope)) = envelope_in(registry, repository, &entry.digest).await? else {
            continue;
        };
        let record = envelope.identity();
        let counts = match keys.judge(&envelope) {
            Signer::Good(_) => true,
            Signer::Revoked(_) => in_ledger.contains(&record),
            Signer::Stranger => false,
        };
        if !counts {
            continue;
        }
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

/// Signs anew those of the ledger's records that a revoked key has signed: the same payload, in a referrer of its own
/// beside the former one, so that everybody finds a signature that counts. Says how many were written.
pub async fn sign_again(
    registry: &Registry,
    repository: &Repository,
    ledger: &[WantedRecord],
    keys: &KeyRing,
    key: &SigningKey,
) -> Result<usize, RegistryError> {
    let mut written = 0;
    for wanted in ledger {
        let found = envelope_in(registry, repository, &wanted.record).await?;
        let Some((manifest, envelope)) = found else {
            continue;
        };
        if !matches!(keys.judge(&envelope), Signer::Revoked(_)) {
            continue;
        }
        let bundle = Envelope::seal(envelope.payload().to_vec(), key).to_bundle(&key.public());
        let Ok(mut again) = serde_json::from_slice::<Value>(manifest.bytes()) else {
            continue;
        };
        again["layers"] = json!([Descriptor::of(&bundle, BUNDLE_TYPE)]);
        let again = RawManifest::new(again.to_string().into_bytes(), ManifestType::OciManifest);
        let listed = registry.referrers(repository, &wanted.subject).await?;
        if listed.iter().any(|entry| entry.digest == *again.digest()) {
            continue;
        }
        registry.push_blob(repository, bundle).await?;
        registry
            .push_referrer(repository, &again, &wanted.subject)
            .await?;
        written += 1;
    }
    Ok(written)
}

/// A referrer and the envelope in it, when it holds one.
async fn envelope_in(
    registry: &Registry,
    repository: &Repository,
    referrer: &Digest,
) -> Result<Option<(RawManifest, Envelope)>, RegistryError> {
    let reference = Reference::from(referrer);
    let Some(manifest) = registry.get_manifest(repository, &reference).await? else {
        return Ok(None);
    };
    let Some(layer) = only_bundle(&manifest) else {
        return Ok(None);
    };
    let bundle = registry.get_blob(repository, &layer).await?;
    Ok(Envelope::open(&bundle)
        .ok()
        .map(|envelope| (manifest, envelope)))
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
