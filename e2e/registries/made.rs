//! Artifacts made by hand, put into an open registry without any code of floe's.

use serde_json::{Value, json};

use crate::oci::{Repository, digest_of};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A manifest that lies in a registry.
#[derive(Clone, Debug)]
pub struct Made {
    pub digest: String,
    pub media_type: &'static str,
    pub size: usize,
    /// Digests of the blobs that it names and that lie beside it.
    pub blobs: Vec<String>,
    /// The manifests that it lists.
    pub children: Vec<Self>,
}

impl Made {
    /// Its descriptor.
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.size})
    }
}

/// Pushes a blob and describes it.
pub async fn blob(hand: &Repository, media_type: &str, bytes: &[u8]) -> Value {
    let digest = hand.push_blob(bytes).await;
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// Puts a manifest by its digest; the blobs that it names lie there already.
pub async fn put(hand: &Repository, media_type: &'static str, manifest: &Value) -> Made {
    let bytes = manifest.to_string().into_bytes();
    let (digest, size) = (digest_of(&bytes), bytes.len());
    hand.put_manifest(&digest, media_type, bytes).await;
    let named = [&manifest["config"]].into_iter();
    let named = named.chain(manifest["layers"].as_array().into_iter().flatten());
    let blobs = named
        // One with addresses lies elsewhere.
        .filter(|part| part["urls"].is_null())
        .filter_map(|part| part["digest"].as_str().map(str::to_owned))
        .collect();
    Made {
        digest,
        media_type,
        size,
        blobs,
        children: Vec::new(),
    }
}

/// An artifact with this config and these layers, each of a type and its bytes.
pub async fn artifact(
    hand: &Repository,
    artifact_type: Option<&str>,
    config: (&str, &str),
    layers: &[(&str, &str)],
) -> Made {
    let mut described = Vec::new();
    for (media_type, bytes) in layers {
        described.push(blob(hand, media_type, bytes.as_bytes()).await);
    }
    let config = blob(hand, config.0, config.1.as_bytes()).await;
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described,
    });
    if let Some(artifact_type) = artifact_type {
        manifest["artifactType"] = artifact_type.into();
    }
    put(hand, MANIFEST, &manifest).await
}

/// A container image; the marker makes its digest differ.
pub async fn image(hand: &Repository, marker: &str) -> Made {
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Labels": {"marker": marker}},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let config = (
        "application/vnd.oci.image.config.v1+json",
        &*config.to_string(),
    );
    let layers = [format!("first of {marker}"), format!("second of {marker}")];
    let layers = [(LAYER, &*layers[0]), (LAYER, &*layers[1])];
    artifact(hand, None, config, &layers).await
}

/// An index of these manifests.
pub async fn index_of(hand: &Repository, children: &[Made]) -> Made {
    listing(hand, INDEX, children).await
}

/// An index or Docker's list of these manifests.
pub async fn listing(hand: &Repository, media_type: &'static str, children: &[Made]) -> Made {
    let entries: Vec<Value> = children
        .iter()
        .enumerate()
        .map(|(number, child)| {
            let mut entry = child.descriptor();
            entry["platform"] = json!({"os": "linux", "architecture": format!("test{number}")});
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
    let made = put(hand, media_type, &index).await;
    Made {
        children: children.to_vec(),
        ..made
    }
}
