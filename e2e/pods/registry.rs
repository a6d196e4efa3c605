//! Publishing with floe's own client; looking with crane, which knows nothing of floe.

use std::collections::BTreeMap;

use floe::domain::artifact::{Repository, Tag};
use floe::domain::record::{BUNDLE_TYPE, Envelope, Statement, VSA_TYPE};
use floe::effects::registry::{Access, Descriptor, ManifestType, RawManifest, Registry};
use serde_json::{Value, json};

use crate::space::{Space, run, variable};

/// A manifest.yaml that passes policy_compliance for this version.
pub(crate) fn manifest_yaml(version: &str) -> String {
    format!(
        "apiVersion: floe.dev/v1\nkind: Manifest\n\
         metadata: {{name: platform, version: \"{version}\", owner: team@acme.example}}\n\
         plugins: {{compute: {{provider: duckdb}}}}\n"
    )
}

impl Space {
    /// Publishes a version with a manifest.yaml that fits it, and gives its digest.
    pub(crate) async fn publish(&self, version: &str) -> String {
        let manifest = manifest_yaml(version.trim_start_matches('v'));
        self.publish_files(version, &[("manifest.yaml", &manifest)])
            .await
    }

    /// Publishes these files under the bare tag of the version, and gives the digest.
    pub(crate) async fn publish_files(&self, version: &str, files: &[(&str, &str)]) -> String {
        let repository: Repository = self.repository().parse().unwrap();
        let access = Access {
            plain_http: true,
            ..Access::to(&repository)
        };
        let registry = Registry::new(&access).unwrap();
        let mut layers = Vec::new();
        for (path, text) in files {
            let mut layer = Descriptor::of(text.as_bytes(), "application/yaml");
            layer.annotations = BTreeMap::from([(
                "org.opencontainers.image.title".to_owned(),
                (*path).to_owned(),
            )]);
            registry
                .push_blob(&repository, text.as_bytes().to_vec())
                .await
                .unwrap();
            layers.push(layer);
        }
        registry
            .push_blob(&repository, b"{}".to_vec())
            .await
            .unwrap();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": ManifestType::OciManifest.as_str(),
            "artifactType": "application/vnd.floe.platform.v1",
            "config": Descriptor::empty(),
            "layers": layers,
        });
        let manifest =
            RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest);
        let tag: Tag = version.parse().unwrap();
        registry.tag(&repository, &tag, &manifest).await.unwrap();
        manifest.digest().to_string()
    }

    /// Every tag of the repository and its digest.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        let repository = self.repository();
        crane(&["ls", &repository])
            .lines()
            .map(|tag| (tag.to_owned(), self.digest(tag)))
            .collect()
    }

    /// The digest of a tag.
    pub(crate) fn digest(&self, tag: &str) -> String {
        crane(&["digest", &format!("{}:{tag}", self.repository())])
            .trim()
            .to_owned()
    }

    /// The records that refer to a digest, with the types of the referring manifests checked. Each has its summary
    /// beside it.
    pub(crate) fn records(&self, digest: &str) -> Vec<Value> {
        let repository = self.repository();
        let fallback = digest.replace(':', "-");
        let index = json(&["manifest", &format!("{repository}:{fallback}")]);
        let entries = index["manifests"].as_array().unwrap();
        let (mut records, mut summaries) = (Vec::new(), Vec::new());
        for entry in entries {
            let referrer = entry["digest"].as_str().unwrap();
            let manifest = json(&["manifest", &format!("{repository}@{referrer}")]);
            assert_eq!(manifest["subject"]["digest"], digest);
            assert_eq!(manifest["artifactType"], BUNDLE_TYPE);
            let blob = manifest["layers"][0]["digest"].as_str().unwrap();
            let bundle = crane(&["blob", &format!("{repository}@{blob}")]);
            let envelope = Envelope::open(bundle.as_bytes()).unwrap();
            let record: Value = serde_json::from_slice(envelope.payload()).unwrap();
            if record["predicateType"] == VSA_TYPE {
                summaries.push(envelope.identity().to_string());
                continue;
            }
            // The type from which the documented schema is made knows every field, and misses none.
            let typed = serde_json::from_value::<Statement>(record.clone());
            typed.unwrap_or_else(|why| panic!("{why}: {record}"));
            records.push(record);
        }
        for record in &records {
            let summary = record["predicate"]["summary"].as_str().unwrap();
            assert!(summaries.iter().any(|one| one == summary), "{record}");
        }
        records
    }
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&crane(arguments)).unwrap()
}

fn crane(arguments: &[&str]) -> String {
    let (good, text) = run(
        &variable("FLOE_CRANE"),
        &[&["--insecure"], arguments].concat(),
    );
    assert!(good, "crane {arguments:?}: {text}");
    text
}
