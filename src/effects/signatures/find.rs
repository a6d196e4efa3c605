//! What could be a signature, out of a registry.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::artifact::{Digest, Repository};
use crate::effects::registry::{
    Descriptor, ErrorKind, RawManifest, Reference, Registry, RegistryError,
};

/// Largest signature that is read, in bytes: a thousand times what one needs, and less than an SBOM takes.
const SIGNATURE_MAX: u64 = 256 * 1024;
/// How the media type of a bundle begins; what follows is its version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// Media type of the payload in the older form.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Something that could be a signature, and where it lies.
pub(super) struct Candidate {
    /// For a message.
    pub place: String,
    /// What it holds.
    pub content: Content,
}

/// What a candidate holds.
pub(super) enum Content {
    /// A Sigstore bundle.
    Bundle(Vec<u8>),
    /// The older form: what was signed, and annotations with the signature and what proves it.
    Simple {
        /// What was signed.
        payload: Vec<u8>,
        /// The annotations of its layer.
        annotations: BTreeMap<String, String>,
    },
    /// It was not read: why.
    Unread(String),
}

/// What one referrer holds; nothing when it is gone, or holds no signature and no attestation.
pub(super) async fn candidates_of_referrer(
    registry: &Registry,
    repository: &Repository,
    entry: Descriptor,
) -> Result<Vec<Candidate>, RegistryError> {
    let reference = Reference::from(&entry.digest);
    let place = format!("referrer {}", short(&entry.digest));
    let manifest = match registry.get_manifest(repository, &reference).await {
        Ok(found) => found,
        // Somebody has pushed it in this form. It cannot be a signature, and must not stop the good ones.
        Err(error) if matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::Unsupported) => {
            let content = Content::Unread(error.problem().to_string());
            return Ok(vec![Candidate { place, content }]);
        }
        Err(error) => return Err(error),
    };
    match manifest {
        Some(manifest) => candidates_of(registry, repository, &manifest, place).await,
        None => Ok(Vec::new()),
    }
}

/// What lies under the tag of the older form.
pub(super) async fn candidates_of_tag(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Vec<Candidate>, RegistryError> {
    let tag = digest.signature_tag();
    let place = format!("tag sha256-{}....sig", &digest.hex()[..12]);
    match registry
        .get_manifest(repository, &Reference::from(&tag))
        .await?
    {
        Some(manifest) => candidates_of(registry, repository, &manifest, place).await,
        None => Ok(Vec::new()),
    }
}

async fn candidates_of(
    registry: &Registry,
    repository: &Repository,
    manifest: &RawManifest,
    place: String,
) -> Result<Vec<Candidate>, RegistryError> {
    #[derive(Deserialize)]
    struct Layers {
        #[serde(default)]
        layers: Vec<serde_json::Value>,
    }
    let Ok(Layers { layers }) = serde_json::from_slice(manifest.bytes()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for layer in layers.into_iter().take(super::CANDIDATES_MAX + 1) {
        let kind = layer.get("mediaType").and_then(serde_json::Value::as_str);
        let Some(kind) = kind.map(str::to_owned) else {
            continue;
        };
        if !kind.starts_with(BUNDLE) && kind != SIMPLE_SIGNING {
            continue;
        }
        let content = match serde_json::from_value::<Descriptor>(layer) {
            Ok(layer) => content_of(registry, repository, layer).await?,
            Err(_) => Content::Unread("its layer cannot be read".to_owned()),
        };
        let place = place.clone();
        found.push(Candidate { place, content });
    }
    Ok(found)
}

async fn content_of(
    registry: &Registry,
    repository: &Repository,
    layer: Descriptor,
) -> Result<Content, RegistryError> {
    if layer.size > SIGNATURE_MAX {
        let limit = SIGNATURE_MAX / 1024;
        return Ok(Content::Unread(format!(
            "it is larger than {limit} KiB, which no signature is"
        )));
    }
    let bytes = match registry.get_blob(repository, &layer).await {
        Ok(bytes) => bytes,
        Err(error) if error.code() == Some("BLOB_UNKNOWN") => {
            return Ok(Content::Unread("its blob is not there".to_owned()));
        }
        Err(error) => return Err(error),
    };
    Ok(if layer.media_type == SIMPLE_SIGNING {
        Content::Simple {
            payload: bytes,
            annotations: layer.annotations,
        }
    } else {
        Content::Bundle(bytes)
    })
}

fn short(digest: &Digest) -> &str {
    &digest.as_str()["sha256:".len()..][..12]
}
