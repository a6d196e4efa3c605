//! Records in the registry: a signed statement as a blob, in a referrer of the promoted digest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::domain::artifact::{Digest, Repository};
use crate::domain::drift::WantedRecord;
use crate::domain::record::{BUNDLE_TYPE, Envelope, KeyRing, Seen, Signer, SigningKey, read};
use crate::effects::registry::{
    Descriptor, ManifestType, RawManifest, Reference, Registry, RegistryError,
};

/// Largest bundle that is read, in bytes.
const BUNDLE_MAX: u64 = 1024 * 1024;

/// Annotation by which `cosign tree` names an entry. It proves nothing.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// Signs a statement and writes it beside the artifact. The same statement gives the same referrer, however often it
/// is written.
pub async fn write(
    registry: &Registry,
    repository: &Repository,
    subject: &RawManifest,
    (statement, predicate_type): (Vec<u8>, &str),
    key: &SigningKey,
    annotations: &[(&str, &str)],
) -> Result<Digest, RegistryError> {
    let bundle = Envelope::seal(statement, key).to_bundle(&key.public());
    let layer = Descriptor::of(&bundle, BUNDLE_TYPE);
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
        "layers": [layer],
        "subject": Descriptor::of(subject.bytes(), subject.media_type().as_str()),
        "annotations": annotations,
    });
    let referrer = RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest);
    registry.push_blob(repository, bundle).await?;
    registry
        .push_referrer(repository, &referrer, subject.digest())
        .await?;
    Ok(referrer.digest().clone())
}

/// The records on a digest that one of these keys has signed, with the digests of their referrers. What is not a
/// record of ours is passed over, and so is what a revoked key has signed; what cannot be read is an error, never
/// "none".
pub async fn find(
    registry: &Registry,
    repository: &Repository,
    subject: &Digest,
    keys: &KeyRing,
) -> Result<Vec<(Digest, Seen)>, RegistryError> {
    find_vouched(registry, repository, subject, keys, &BTreeSet::new()).await
}

/// The same, with those that a revoked key has signed in a referrer that the operator's own ledger names: it wrote or
/// read them before.
pub async fn find_vouched(
    registry: &Registry,
    repository: &Repository,
    subject: &Digest,
    keys: &KeyRing,
    in_ledger: &BTreeSet<Digest>,
) -> Result<Vec<(Digest, Seen)>, RegistryError> {
    let mut found = Vec::new();
    for entry in registry.referrers(repository, subject).await? {
        let Some((_, envelope)) = envelope_in(registry, repository, &entry.digest).await? else {
            continue;
        };
        let counts = match keys.judge(&envelope) {
            Signer::Good(_) => true,
            Signer::Revoked(_) => in_ledger.contains(&entry.digest),
            Signer::Stranger => false,
        };
        if counts {
            found.extend(read(envelope.payload(), subject).map(|seen| (entry.digest, seen)));
        }
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
        let revoked = matches!(keys.judge(&envelope), Signer::Revoked(_));
        if !revoked || read(envelope.payload(), &wanted.subject).is_none() {
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
fn only_bundle(manifest: &RawManifest) -> Option<Descriptor> {
    #[derive(serde::Deserialize)]
    struct Layers {
        layers: Vec<Descriptor>,
    }
    let Layers { mut layers } = serde_json::from_slice(manifest.bytes()).ok()?;
    let only = layers.pop().filter(|_| layers.is_empty())?;
    (only.media_type == BUNDLE_TYPE && only.size <= BUNDLE_MAX).then_some(only)
}
