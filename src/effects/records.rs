//! Records in the registry: a signed statement as a blob, in a referrer of the promoted digest.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::artifact::{Digest, Repository};
use crate::domain::record::{BUNDLE_TYPE, Envelope, KeyRing, Seen, SigningKey, read};
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
/// record of ours is passed over; what cannot be read is an error, never "none".
pub async fn find(
    registry: &Registry,
    repository: &Repository,
    subject: &Digest,
    keys: &KeyRing,
) -> Result<Vec<(Digest, Seen)>, RegistryError> {
    let mut found = Vec::new();
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
        if keys.signer_of(&envelope).is_some() {
            found.extend(read(envelope.payload(), subject).map(|seen| (entry.digest, seen)));
        }
    }
    Ok(found)
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
