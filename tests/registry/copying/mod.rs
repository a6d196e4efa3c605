//! Copying whole artifacts between two registries that can lie.

mod attached;
mod blobs;
mod faults;
mod graph;
mod hostile;

use std::collections::BTreeMap;

use axum::http::Method;
use floe::domain::artifact::{Digest, Repository};
use floe::effects::registry::{
    CopyOptions, CopyReport, ItemKind, ManifestType, Missing, Outcome, Place, RawManifest,
    Registry, RegistryError, copy_graph, missing_from,
};
use serde_json::{Value, json};

use crate::double::{Options, RegistryDouble};

/// Where artifacts are copied from and to, inside their registries.
const SOURCE: &str = "team/app";
const TARGET: &str = "mirror/app";

struct Two {
    from: RegistryDouble,
    to: RegistryDouble,
    source: Registry,
    target: Registry,
    here: Repository,
    there: Repository,
}

impl Two {
    async fn start(from: Options, to: Options) -> Self {
        let from = RegistryDouble::start(from).await;
        let to = RegistryDouble::start(to).await;
        let mut two = Self {
            source: from.client(),
            target: to.client(),
            here: from.repository(SOURCE),
            there: to.repository(TARGET),
            from,
            to,
        };
        two.wide();
        two
    }

    /// Neither registry has the referrers API.
    async fn plain() -> Self {
        Self::start(Options::default(), Options::default()).await
    }

    /// Lists may be as long as they usually may.
    fn wide(&mut self) {
        let client = |double: &RegistryDouble| {
            let mut access = double.access();
            access.limits.referrers = 1_000;
            access.limits.tags = 1_000;
            access.limits.pages = 50;
            Registry::new(&access).unwrap()
        };
        self.source = client(&self.from);
        self.target = client(&self.to);
    }

    fn places(&self) -> (Place<'_>, Place<'_>) {
        let from = Place {
            registry: &self.source,
            repository: &self.here,
        };
        let to = Place {
            registry: &self.target,
            repository: &self.there,
        };
        (from, to)
    }

    async fn copy(&self, root: &RawManifest) -> Result<CopyReport, RegistryError> {
        let (from, to) = self.places();
        copy_graph(from, to, root.digest(), &CopyOptions::default()).await
    }

    /// One thing after the other.
    async fn copy_in_order(&self, root: &RawManifest) -> Result<CopyReport, RegistryError> {
        let (from, to) = self.places();
        let options = CopyOptions {
            side_by_side: 1,
            ..CopyOptions::default()
        };
        copy_graph(from, to, root.digest(), &options).await
    }

    async fn missing(&self, root: &RawManifest) -> Vec<Missing> {
        let (from, to) = self.places();
        let options = CopyOptions::default();
        let missing = missing_from(from, to, root.digest(), &options);
        missing.await.unwrap()
    }

    /// Everything of the source is in the target, byte by byte, and no upload is left open.
    fn assert_same(&self) {
        let (from, to) = (self.from.store(), self.to.store());
        for ((name, digest), manifest) in &from.manifests {
            // Lists of referrers are the target's own.
            let is_list = from.tags.iter().any(|((_, tag), named)| {
                named == digest && tag.starts_with("sha256-") && !tag.contains('.')
            });
            if name == SOURCE && !is_list {
                let there = to.manifests.get(&(TARGET.to_owned(), digest.clone()));
                assert_eq!(there, Some(manifest), "{digest}");
            }
        }
        for ((name, digest), blob) in &from.blobs {
            if name == SOURCE {
                let there = to.blobs.get(&(TARGET.to_owned(), digest.clone()));
                assert_eq!(there, Some(blob), "{digest}");
            }
        }
        for ((name, tag), digest) in &from.tags {
            if name == SOURCE && tag.contains('.') {
                let there = to.tags.get(&(TARGET.to_owned(), tag.clone()));
                assert_eq!(there, Some(digest), "{tag}");
            }
        }
        assert!(to.uploads.is_empty(), "{:?}", to.uploads);
    }

    fn target_has(&self, digest: &Digest) -> bool {
        let key = (TARGET.to_owned(), digest.to_string());
        let to = self.to.store();
        to.manifests.contains_key(&key) || to.blobs.contains_key(&key)
    }

    fn open_uploads(&self) -> usize {
        self.to.store().uploads.len()
    }

    /// Puts a manifest, with the blobs that it names, into the source.
    fn put(&self, tag: Option<&str>, manifest: &RawManifest, blobs: &[&[u8]]) {
        for blob in blobs {
            self.from.seed_blob(SOURCE, blob);
        }
        self.from.store().put(SOURCE, tag, manifest);
    }

    /// An image with these layers.
    fn image(&self, layers: &[&str]) -> RawManifest {
        let manifest = image(layers, None);
        let blobs: Vec<&[u8]> = layers.iter().map(|text| text.as_bytes()).collect();
        self.put(None, &manifest, &blobs);
        self.put(None, &manifest, &[b"{}"]);
        manifest
    }

    /// An artifact that refers to `subject`, listed as the source's registry lists it.
    fn attach(&self, subject: &RawManifest, content: &str) -> RawManifest {
        let manifest = image(&[content], Some(subject));
        self.put(None, &manifest, &[content.as_bytes(), b"{}"]);
        self.list(subject, &[&manifest]);
        manifest
    }

    /// Lists referrers in the source's fallback tag, when it has no API.
    fn list(&self, subject: &RawManifest, referrers: &[&RawManifest]) {
        let mut store = self.from.store();
        if store.options.referrers_api {
            return;
        }
        let tag = subject.digest().referrers_tag().to_string();
        let old = store.tags.get(&(SOURCE.to_owned(), tag.clone())).cloned();
        let old = old.and_then(|digest| store.manifests.remove(&(SOURCE.to_owned(), digest)));
        let mut index: Value = old.map_or_else(
            || json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
            |(bytes, _)| serde_json::from_slice(&bytes).unwrap(),
        );
        let entries = index["manifests"].as_array_mut().unwrap();
        entries.extend(referrers.iter().map(|referrer| entry(referrer)));
        let index = RawManifest::new(index.to_string().into_bytes(), ManifestType::OciIndex);
        store.put(SOURCE, Some(&tag), &index);
    }

    /// A manifest under one of cosign's older tags.
    fn legacy(&self, subject: &RawManifest, end: &str, layers: &[&str]) -> RawManifest {
        let manifest = self.image(layers);
        let tag = format!("sha256-{}.{end}", subject.digest().hex());
        self.from.store().put(SOURCE, Some(&tag), &manifest);
        manifest
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn described(kind: &str, content: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(content), "size": content.len()})
}

fn entry(manifest: &RawManifest) -> Value {
    json!({
        "mediaType": manifest.media_type().as_str(),
        "digest": manifest.digest(), "size": manifest.size(),
    })
}

/// Its odd spacing has to survive.
fn raw(document: &Value, kind: ManifestType) -> RawManifest {
    RawManifest::new(format!(" {document:#} \n").into_bytes(), kind)
}

fn image(layers: &[&str], subject: Option<&RawManifest>) -> RawManifest {
    let layers: Vec<_> = layers
        .iter()
        .map(|text| described("text/plain", text.as_bytes()))
        .collect();
    let mut document = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.empty.v1+json", b"{}"), "layers": layers,
    });
    if let Some(subject) = subject {
        document["artifactType"] = json!("application/vnd.example.record");
        document["subject"] = entry(subject);
    }
    raw(&document, ManifestType::OciManifest)
}

fn index(children: &[&RawManifest]) -> RawManifest {
    let children: Vec<_> = children.iter().map(|child| entry(child)).collect();
    let document = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
    raw(&document, ManifestType::OciIndex)
}

/// How often each outcome came, for each kind.
fn outcomes(report: &CopyReport) -> BTreeMap<(ItemKind, &'static str), usize> {
    let mut counts = BTreeMap::new();
    for copied in &report.items {
        *counts
            .entry((copied.item.kind, copied.outcome.as_str()))
            .or_default() += 1;
    }
    counts
}

fn outcome_of<'a>(report: &'a CopyReport, digest: &Digest) -> &'a Outcome {
    let mut items = report.items.iter();
    let copied = items.find(|copied| copied.item.digest == *digest);
    &copied.unwrap().outcome
}

/// How many requests of this method a registry got.
fn count(requests: &[String], method: &Method, part: &str) -> usize {
    let start = format!("{method} ");
    let fits = |request: &&String| request.starts_with(&start) && request.contains(part);
    requests.iter().filter(fits).count()
}
