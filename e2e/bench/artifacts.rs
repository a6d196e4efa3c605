//! What is measured: images of bytes that do not compress.

use serde_json::{Value, json};

use crate::oci::{Repository, digest_of};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image with layers of these sizes; its descriptor.
pub async fn image(hand: &Repository, tag: &str, layers: &[usize]) -> Value {
    let mut described = Vec::new();
    for (number, size) in layers.iter().enumerate() {
        let bytes = noise(*size, (number + layers.len() * 7919 + size) as u64);
        let digest = hand.push_blob(&bytes).await;
        described.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size,
        }));
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Labels": {"of": tag}},
    });
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": described,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": hand.push_blob(config.as_bytes()).await, "size": config.len(),
        },
    });
    let bytes = manifest.to_string().into_bytes();
    let size = bytes.len();
    let digest = hand.put_manifest(tag, MANIFEST, bytes).await;
    json!({"mediaType": MANIFEST, "digest": digest, "size": size})
}

/// An index of small images.
pub async fn index(hand: &Repository, tag: &str, children: usize) {
    let mut entries = Vec::new();
    for child in 0..children {
        let mut entry = image(hand, &format!("child-{child}"), &[1024 + child]).await;
        entry["platform"] = json!({"os": "linux", "architecture": format!("test{child}")});
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    hand.put_manifest(tag, INDEX, index.to_string().into_bytes())
        .await;
}

/// An image with a referrer, listed under the fallback tag, and a signature under cosign's older tag.
pub async fn attached(hand: &Repository, tag: &str) {
    let root = image(hand, tag, &[2048]).await;
    let note = b"a note";
    let mut referrer = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.note",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": hand.push_blob(b"{}").await, "size": 2,
        },
        "layers": [{"mediaType": "text/plain", "digest": hand.push_blob(note).await, "size": note.len()}],
    });
    let digest = root["digest"].as_str().expect("a digest").replace(':', "-");
    let signature = referrer.to_string().into_bytes();
    hand.put_manifest(&format!("{digest}.sig"), MANIFEST, signature)
        .await;
    referrer["subject"] = root;
    let bytes = referrer.to_string().into_bytes();
    let size = bytes.len();
    let referrer = digest_of(&bytes);
    hand.put_manifest(&referrer, MANIFEST, bytes).await;
    let fallback = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": MANIFEST, "digest": referrer, "size": size, "artifactType": "application/vnd.example.note",
    }]});
    hand.put_manifest(&digest, INDEX, fallback.to_string().into_bytes())
        .await;
}

/// Bytes that look random and are the same each time (xorshift).
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
