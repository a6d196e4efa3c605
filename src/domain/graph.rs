//! What a manifest is made of and what it is attached to; which older tags belong to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::artifact::{Algorithm, Digest, Tag};

/// Ends of the tags under which cosign kept signatures, attestations and SBOMs before there were
/// referrers.
const LEGACY_ENDS: [&str; 3] = ["sig", "att", "sbom"];

/// A manifest that lies in nobody's artifact any more: its digest cannot be checked.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// One thing that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Media type.
    pub media_type: String,
    /// Digest.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// What it is, when the one that names it says so.
    pub artifact_type: Option<String>,
    /// The content itself, embedded, when it fits size and digest.
    pub data: Option<Vec<u8>>,
}

/// Everything that a manifest names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Manifests that an index lists.
    pub manifests: Vec<Part>,
    /// Config, layers, and entries of an index that are no manifests.
    pub blobs: Vec<Part>,
    /// Layers that are not distributed with it but fetched from elsewhere.
    pub foreign: Vec<Part>,
    /// What it is attached to.
    pub subject: Option<Part>,
    /// What it is: its own word, or the type of its config.
    pub artifact_type: Option<String>,
}

/// What the older tag of the target holds, compared with that of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing that the source's does not hold too: it may be moved.
    Less,
    /// Everything of the source's, and more: it may stay.
    More,
    /// Something else: neither may replace the other.
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    artifact_type: Option<String>,
    config: Option<Entry>,
    layers: Option<Vec<Entry>>,
    manifests: Option<Vec<Entry>>,
    subject: Option<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    artifact_type: Option<String>,
    data: Option<String>,
    urls: Option<Vec<String>>,
}

/// Reads what a manifest names; `is_index` as its media type says, `is_manifest` tells which media
/// types of entries are manifests.
///
/// # Errors
/// In words, when it is malformed, both index and manifest, or names something that cannot be
/// carried: a manifest of schema 1, a digest of an unknown kind.
pub fn parts(
    bytes: &[u8],
    is_index: bool,
    is_manifest: impl Fn(&str) -> bool,
) -> Result<Parts, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "what it names cannot be read (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    let Document {
        artifact_type,
        config,
        layers,
        manifests,
        subject,
    } = document;
    let both = if is_index {
        config.is_some() || layers.is_some()
    } else {
        manifests.is_some()
    };
    if both {
        return Err("it is an index and a manifest at once".to_owned());
    }
    let artifact_type =
        artifact_type.or_else(|| config.as_ref().map(|config| config.media_type.clone()));
    let mut parts = Parts {
        subject: subject.map(Entry::into_part).transpose()?,
        artifact_type,
        ..Parts::default()
    };
    for entry in manifests.into_iter().flatten() {
        if entry.media_type.starts_with(SCHEMA_1) {
            return Err("it lists a manifest of schema 1, which floe does not carry".to_owned());
        }
        if is_manifest(&entry.media_type) {
            parts.manifests.push(entry.into_part()?);
        } else {
            parts.blobs.push(entry.into_part()?);
        }
    }
    for entry in config.into_iter().chain(layers.into_iter().flatten()) {
        if entry.is_foreign() {
            parts.foreign.push(entry.into_part()?);
        } else {
            parts.blobs.push(entry.into_part()?);
        }
    }
    Ok(parts)
}

impl Entry {
    fn is_foreign(&self) -> bool {
        let kind = self.media_type.as_str();
        kind.contains(".nondistributable.")
            || kind.starts_with("application/vnd.docker.image.rootfs.foreign.")
            || self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }

    fn into_part(self) -> Result<Part, String> {
        let digest: Digest = self
            .digest
            .parse()
            .map_err(|not| format!("it names something that cannot be checked: {not}"))?;
        let fits = |data: &Vec<u8>| data.len() as u64 == self.size && digest.is_of(data);
        let data = self.data.and_then(|text| STANDARD.decode(text).ok());
        Ok(Part {
            media_type: self.media_type,
            size: self.size,
            artifact_type: self.artifact_type,
            data: data.filter(fits),
            digest,
        })
    }
}

/// The older tags that cosign may have put beside this digest.
pub fn legacy_tags(digest: &Digest) -> Vec<Tag> {
    match digest.algorithm() {
        Algorithm::Sha256 => LEGACY_ENDS
            .into_iter()
            .map(|end| Tag::made(format!("sha256-{}.{end}", digest.hex())))
            .collect(),
        // The digits alone are longer than a tag may be.
        Algorithm::Sha512 => Vec::new(),
    }
}

/// Compares the manifest that an older tag names in the target with the one in the source: cosign
/// keeps one layer, with its annotations, for each signature or attestation.
pub fn compare(source: &[u8], target: &[u8]) -> Holds {
    let layers = |bytes: &[u8]| -> Option<Vec<Value>> {
        let manifest: Value = serde_json::from_slice(bytes).ok()?;
        manifest.get("layers")?.as_array().cloned()
    };
    match (layers(source), layers(target)) {
        (Some(source), Some(target)) => {
            if target.iter().all(|layer| source.contains(layer)) {
                Holds::Less
            } else if source.iter().all(|layer| target.contains(layer)) {
                Holds::More
            } else {
                Holds::Other
            }
        }
        _ => Holds::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(is_index: bool, document: &Value) -> Result<Parts, String> {
        parts(document.to_string().as_bytes(), is_index, |kind| {
            kind == "manifest"
        })
    }

    fn entry(kind: &str, content: &str) -> Value {
        json!({"mediaType": kind, "digest": Digest::of(content.as_bytes()), "size": content.len()})
    }

    fn digests(parts: &[Part]) -> Vec<Digest> {
        parts.iter().map(|part| part.digest.clone()).collect()
    }

    fn of(contents: &[&str]) -> Vec<Digest> {
        contents
            .iter()
            .map(|text| Digest::of(text.as_bytes()))
            .collect()
    }

    #[test]
    fn a_manifest_is_made_of_its_config_and_layers() {
        let mut from_elsewhere = entry("layer", "far");
        from_elsewhere["urls"] = json!(["https://example.org/far"]);
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let nondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        let found = read(
            false,
            &json!({
                "config": entry("config", "c"),
                "layers": [entry("layer", "a"), entry(foreign, "f"), from_elsewhere,
                    entry(nondistributable, "n"), entry("layer", "a")],
                "subject": entry("manifest", "s"),
            }),
        )
        .unwrap();
        assert_eq!(digests(&found.blobs), of(&["c", "a", "a"]));
        assert_eq!(digests(&found.foreign), of(&["f", "far", "n"]));
        assert_eq!(found.subject.unwrap().digest, Digest::of(b"s"));
        assert_eq!(found.artifact_type.as_deref(), Some("config"));
        let none = read(false, &json!({"layers": null, "artifactType": "mine"})).unwrap();
        assert_eq!(
            (none.blobs.len(), none.artifact_type.as_deref()),
            (0, Some("mine"))
        );
    }

    #[test]
    fn an_index_lists_manifests_and_sometimes_blobs() {
        let list = json!({"manifests": [entry("manifest", "m"), entry("cache", "b")]});
        let found = read(true, &list).unwrap();
        assert_eq!(digests(&found.manifests), of(&["m"]));
        assert_eq!(digests(&found.blobs), of(&["b"]));
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let blake = json!({"mediaType": "x", "digest": "blake3:00", "size": 1});
        let negative = json!({"mediaType": "x", "digest": Digest::of(b"x"), "size": -1});
        for (is_index, document) in [
            (true, json!({"manifests": [entry(schema_1, "m")]})),
            (true, json!({"manifests": [], "layers": []})),
            (
                true,
                json!({"manifests": [], "config": entry("config", "c")}),
            ),
            (false, json!({"manifests": [], "layers": []})),
            (false, json!({"layers": [blake]})),
            (false, json!({"layers": [negative]})),
            (false, json!({"layers": {}})),
            (false, json!([])),
        ] {
            assert!(read(is_index, &document).is_err(), "{document}");
        }
    }

    #[test]
    fn embedded_content_counts_only_when_it_is_the_content() {
        let embedded = |data: &str| {
            let mut layer = entry("layer", "text");
            layer["data"] = json!(data);
            read(false, &json!({"layers": [layer]})).unwrap().blobs[0]
                .data
                .clone()
        };
        assert_eq!(embedded(&STANDARD.encode("text")), Some(b"text".to_vec()));
        assert_eq!(embedded(&STANDARD.encode("tex")), None);
        assert_eq!(embedded(&STANDARD.encode("next")), None);
        assert_eq!(embedded("?"), None);
    }

    #[test]
    fn an_older_tag_may_be_moved_only_when_nothing_is_lost() {
        let holds = |source: &[&str], target: &[&str]| {
            let manifest = |layers: &[&str]| {
                let layers: Vec<_> = layers.iter().map(|text| entry("layer", text)).collect();
                json!({"layers": layers}).to_string().into_bytes()
            };
            compare(&manifest(source), &manifest(target))
        };
        assert_eq!(holds(&["a", "b"], &["b"]), Holds::Less);
        assert_eq!(holds(&["a", "b"], &["b", "a"]), Holds::Less);
        assert_eq!(holds(&["a"], &["b", "a"]), Holds::More);
        assert_eq!(holds(&["a", "c"], &["b", "a"]), Holds::Other);
        assert_eq!(compare(b"{}", b"{}"), Holds::Other);
        let signed = |by: &str| {
            let mut layer = entry("layer", "payload");
            layer["annotations"] = json!({"dev.cosignproject.cosign/signature": by});
            json!({"layers": [layer]}).to_string().into_bytes()
        };
        assert_eq!(compare(&signed("me"), &signed("you")), Holds::Other);
    }

    #[test]
    fn cosign_has_three_older_tags_for_a_digest_and_none_for_a_long_one() {
        let digest = Digest::of(b"x");
        let tags: Vec<_> = legacy_tags(&digest).iter().map(Tag::to_string).collect();
        assert_eq!(tags[0], format!("sha256-{}.sig", digest.hex()));
        assert_eq!(tags.len(), 3);
        assert!(legacy_tags(&Digest::of_as(b"x", Algorithm::Sha512)).is_empty());
    }
}
