//! The rig's own, direct way to a registry: artifacts, tags and records, written and read by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use floe::domain::record::{BUNDLE_TYPE, Envelope};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::registries::OWN_REQUEST;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Everything that a manifest may be.
const ANY: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// One repository.
#[derive(Clone)]
pub struct Repository {
    base: String,
    http: reqwest::Client,
}

/// A referrer and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    pub digest: String,
    pub artifact_type: String,
    pub manifest: Value,
    /// Its first layer as it is.
    pub payload: Vec<u8>,
}

impl Repository {
    /// A repository by its name.
    pub fn new(registry: SocketAddr, name: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("make an HTTP client");
        Self {
            base: format!("http://{registry}/v2/{name}"),
            http,
        }
    }

    /// Pushes a platform artifact in the form of `floe platform publish` under this tag; the marker makes
    /// its digest differ. Gives back the digest.
    pub async fn publish(&self, tag: &str, marker: &str) -> String {
        let version = tag.trim_start_matches('v');
        let document = format!(
            "apiVersion: floe.dev/v1\nkind: Manifest\nmetadata:\n  name: platform\n  version: {version}\n  owner: rig\n  description: {marker}\n"
        );
        let config = self.push_blob(b"{}").await;
        let layer = self.push_blob(document.as_bytes()).await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.floe.platform.v1",
            "config": { "mediaType": EMPTY, "digest": config, "size": 2 },
            "layers": [{
                "mediaType": "application/yaml", "digest": layer, "size": document.len(),
                "annotations": { "org.opencontainers.image.title": "manifest.yaml" },
            }],
            "annotations": { "org.opencontainers.image.version": version },
        });
        self.put_manifest(tag, MANIFEST, manifest.to_string().into_bytes())
            .await
    }

    /// Puts a manifest under a tag or digest.
    pub async fn put_manifest(&self, reference: &str, media_type: &str, bytes: Vec<u8>) -> String {
        let digest = digest_of(&bytes);
        let request = self.request(Method::PUT, &format!("/manifests/{reference}"));
        let answer = request
            .header("content-type", media_type)
            .body(bytes)
            .send()
            .await
            .expect("put a manifest");
        assert_eq!(
            answer.status(),
            StatusCode::CREATED,
            "put {reference}: {}",
            answer.text().await.unwrap_or_default()
        );
        digest
    }

    /// Puts a tag on the manifest that another tag names.
    pub async fn retag(&self, from: &str, to: &str) {
        let (media_type, bytes) = self
            .manifest(from)
            .await
            .unwrap_or_else(|| panic!("there is no {from}"));
        self.put_manifest(to, &media_type, bytes).await;
    }

    /// A manifest with its media type.
    pub async fn manifest(&self, reference: &str) -> Option<(String, Vec<u8>)> {
        let request = self.request(Method::GET, &format!("/manifests/{reference}"));
        let answer = request
            .header("accept", ANY)
            .send()
            .await
            .expect("get a manifest");
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert!(
            answer.status().is_success(),
            "get {reference}: {}",
            answer.status()
        );
        let media_type = answer.headers()["content-type"]
            .to_str()
            .expect("a media type")
            .to_owned();
        Some((
            media_type,
            answer.bytes().await.expect("a manifest").to_vec(),
        ))
    }

    /// The digest that a tag names.
    pub async fn digest(&self, tag: &str) -> Option<String> {
        self.manifest(tag).await.map(|(_, bytes)| digest_of(&bytes))
    }

    /// Every tag with its digest, fallback tags of referrers left out.
    pub async fn tag_map(&self) -> BTreeMap<String, String> {
        let answer = self
            .request(Method::GET, "/tags/list")
            .send()
            .await
            .expect("list tags");
        if answer.status() == StatusCode::NOT_FOUND {
            return BTreeMap::new();
        }
        let list: Value = answer.json().await.expect("a list of tags");
        let mut map = BTreeMap::new();
        for tag in list["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !tag.starts_with("sha256-") {
                map.insert(
                    tag.to_owned(),
                    self.digest(tag).await.expect("a listed tag exists"),
                );
            }
        }
        map
    }

    /// The records of promotions among the referrers of a digest: without the summaries beside them, and refusals.
    pub async fn records(&self, digest: &str) -> Vec<Referrer> {
        let mut referrers = self.referrers(digest).await;
        referrers.retain(|referrer| {
            let kind = &referrer.manifest["annotations"]["dev.sigstore.bundle.predicateType"];
            let kind = kind.as_str().unwrap_or_default();
            kind.starts_with("https://floe.dev/promotion/")
        });
        referrers
    }

    /// Everything that refers to a digest, by the referrers API or by the fallback tag.
    pub async fn referrers(&self, digest: &str) -> Vec<Referrer> {
        let answer = self
            .request(Method::GET, &format!("/referrers/{digest}"))
            .send()
            .await
            .expect("ask for referrers");
        let index: Option<Value> = if answer.status().is_success() {
            Some(answer.json().await.expect("an index"))
        } else {
            let fallback = self.manifest(&digest.replace(':', "-")).await;
            fallback.map(|(_, bytes)| serde_json::from_slice(&bytes).expect("an index"))
        };
        let mut referrers = Vec::new();
        for descriptor in index
            .iter()
            .filter_map(|index| index["manifests"].as_array())
            .flatten()
        {
            let digest = descriptor["digest"].as_str().expect("a digest").to_owned();
            let (_, bytes) = self
                .manifest(&digest)
                .await
                .expect("a listed referrer exists");
            let manifest: Value = serde_json::from_slice(&bytes).expect("a manifest");
            let layer = manifest["layers"][0]["digest"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let payload = self.blob(&layer).await;
            let artifact_type = manifest["artifactType"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            referrers.push(Referrer {
                digest,
                artifact_type,
                manifest,
                payload,
            });
        }
        referrers
    }

    /// The bytes of a blob.
    pub async fn blob(&self, digest: &str) -> Vec<u8> {
        let answer = self
            .request(Method::GET, &format!("/blobs/{digest}"))
            .send()
            .await
            .expect("get a blob");
        assert!(
            answer.status().is_success(),
            "get {digest}: {}",
            answer.status()
        );
        answer.bytes().await.expect("a blob").to_vec()
    }

    /// Pushes a blob; gives back its digest.
    pub async fn push_blob(&self, bytes: &[u8]) -> String {
        let digest = digest_of(bytes);
        self.push_blob_as(&digest, bytes).await;
        digest
    }

    /// Pushes a blob under this digest, of whatever algorithm.
    pub async fn push_blob_as(&self, digest: &str, bytes: &[u8]) {
        let start = self
            .request(Method::POST, "/blobs/uploads/")
            .send()
            .await
            .expect("start an upload");
        assert_eq!(start.status(), StatusCode::ACCEPTED, "start an upload");
        let location = start.headers()["location"]
            .to_str()
            .expect("a location")
            .to_owned();
        let location = start.url().join(&location).expect("a good location");
        let request = self
            .http
            .put(location)
            .query(&[("digest", digest), ("rig", "1")]);
        let answer = request
            .body(bytes.to_vec())
            .send()
            .await
            .expect("push a blob");
        assert_eq!(answer.status(), StatusCode::CREATED, "push a blob");
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}?{OWN_REQUEST}", self.base))
    }
}

impl Referrer {
    /// The record in it.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.envelope().payload()).expect("a record is JSON")
    }

    /// The signed envelope in it.
    pub fn envelope(&self) -> Envelope {
        assert_eq!(self.artifact_type, BUNDLE_TYPE);
        Envelope::open(&self.payload).expect("a record is a bundle")
    }
}

/// The digest of these bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
