//! Records in the registry: a statement as a blob, in a referrer of the promoted digest.

use serde_json::json;

use crate::domain::artifact::{Digest, Repository};
use crate::domain::record::{STATEMENT_TYPE, Seen, read};
use crate::effects::registry::{
    Descriptor, ManifestType, RawManifest, Reference, Registry, RegistryError,
};

/// Largest statement that is read, in bytes.
const STATEMENT_MAX: u64 = 1024 * 1024;

/// Writes a statement beside the artifact. The same statement gives the same referrer, however often it is written.
pub async fn write(
    registry: &Registry,
    repository: &Repository,
    subject: &RawManifest,
    statement: Vec<u8>,
    annotations: &[(&str, &str)],
) -> Result<Digest, RegistryError> {
    let layer = Descriptor::of(&statement, STATEMENT_TYPE);
    let annotations: std::collections::BTreeMap<_, _> = annotations.iter().copied().collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": ManifestType::OciManifest.as_str(),
        "artifactType": STATEMENT_TYPE,
        "config": Descriptor::empty(),
        "layers": [layer],
        "subject": Descriptor::of(subject.bytes(), subject.media_type().as_str()),
        "annotations": annotations,
    });
    let referrer = RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest);
    registry.push_blob(repository, statement).await?;
    registry
        .push_referrer(repository, &referrer, subject.digest())
        .await?;
    Ok(referrer.digest().clone())
}

/// The records of ours on a digest, with the digests of their referrers. What is not a record is passed over;
/// what cannot be read is an error, never "none".
pub async fn find(
    registry: &Registry,
    repository: &Repository,
    subject: &Digest,
) -> Result<Vec<(Digest, Seen)>, RegistryError> {
    let mut found = Vec::new();
    for entry in registry.referrers(repository, subject).await? {
        let Some(manifest) = registry
            .get_manifest(repository, &Reference::from(&entry.digest))
            .await?
        else {
            continue;
        };
        let Some(layer) = only_statement(&manifest) else {
            continue;
        };
        let statement = registry.get_blob(repository, &layer).await?;
        found.extend(read(&statement, subject).map(|seen| (entry.digest, seen)));
    }
    Ok(found)
}

/// The one layer of a referrer that holds a statement of a size that is worth reading.
fn only_statement(manifest: &RawManifest) -> Option<Descriptor> {
    #[derive(serde::Deserialize)]
    struct Layers {
        layers: Vec<Descriptor>,
    }
    let Layers { mut layers } = serde_json::from_slice(manifest.bytes()).ok()?;
    let only = layers.pop().filter(|_| layers.is_empty())?;
    (only.media_type == STATEMENT_TYPE && only.size <= STATEMENT_MAX).then_some(only)
}
