use std::collections::BTreeMap;

use serde_json::Value;

/// What is checked besides its documents, as rules may speak of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Name of the artifact.
    pub artifact: String,
    /// Version that is promoted; without one, that of manifest.yaml is taken as given.
    pub version: Option<String>,
    /// Digest of the artifact.
    pub digest: String,
    /// Media type of the artifact's manifest.
    pub media_type: String,
    /// Annotations of the artifact's manifest.
    pub annotations: BTreeMap<String, String>,
    /// Name of the environment that it enters; empty when there is none.
    pub environment: String,
    /// Name of the environment that it comes from.
    pub from: Option<String>,
}

/// The annotations in a manifest; what is no text is left out.
pub fn annotations_of(manifest: &[u8]) -> BTreeMap<String, String> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let annotations = manifest.get("annotations").and_then(Value::as_object);
    annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
