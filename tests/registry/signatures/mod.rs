//! Signatures beside an artifact: which count, and why each other does not.

mod bad_keyed;
mod bad_keyless;
mod good;
mod registry;

use std::collections::BTreeMap;

use axum::body::Bytes;
use floe::api::{EnvironmentPolicy, EnvironmentPolicySpec};
use floe::domain::artifact::Digest;
use floe::domain::policy::{Environment, SignatureRule};
use floe::domain::signature::Verdict;
use floe::effects::registry::{ManifestType, RawManifest, RegistryError};
use floe::effects::signatures::{InvalidTrust, Trust, verify_signature};
use serde_json::{Value, json};

use crate::double::{Options, RegistryDouble};
use crate::sigstore::{IDENTITY, ISSUER, Sigstore};

/// What cosign has signed for the fixtures.
const SUBJECT: &[u8] = include_bytes!("../../fixtures/signatures/subject.json");
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A file that cosign has written: `tests/fixtures/signatures/generate`.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/signatures/", $name)).as_slice()
    };
}
use fixture;

/// A registry with the signed artifact in it, in a repository of its own for each case.
struct Beside {
    double: RegistryDouble,
    name: String,
}

fn subject() -> RawManifest {
    RawManifest::new(SUBJECT.to_vec(), ManifestType::OciManifest)
}

fn digest() -> Digest {
    subject().digest().clone()
}

fn fixture_json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

impl Beside {
    async fn start() -> Self {
        let options = Options {
            referrers_api: true,
            ..Options::default()
        };
        Self::with(options).await
    }

    async fn with(options: Options) -> Self {
        let double = RegistryDouble::start(options).await;
        let mut beside = Self {
            double,
            name: String::new(),
        };
        beside.next("team/app");
        beside
    }

    /// From here on, another repository, with nothing but the artifact in it.
    fn next(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        self.double.store().put(name, Some("v1.2.3"), &subject());
        self.blob(b"{}");
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let key = (self.name.clone(), digest.to_string());
        let bytes = Bytes::copy_from_slice(bytes);
        self.double.store().blobs.insert(key, bytes);
        digest
    }

    /// A referrer with one layer, as cosign makes it.
    fn referrer(&self, media_type: &str, layer: &[u8], annotations: &Value) -> RawManifest {
        let layer_digest = self.blob(layer);
        let made = json!({
            "schemaVersion": 2, "mediaType": ManifestType::OciManifest.as_str(), "artifactType": media_type,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2 },
            "layers": [{
                "mediaType": media_type, "digest": layer_digest, "size": layer.len(), "annotations": annotations,
            }],
            "subject": {
                "mediaType": ManifestType::OciManifest.as_str(), "digest": digest(), "size": SUBJECT.len(),
            },
        });
        RawManifest::new(made.to_string().into_bytes(), ManifestType::OciManifest)
    }

    fn put(&self, tag: Option<&str>, manifest: &RawManifest) {
        self.double.store().put(&self.name, tag, manifest);
    }

    fn bundle(&self, bundle: &Value) {
        self.bundle_bytes(bundle.to_string().as_bytes());
    }

    fn bundle_bytes(&self, bundle: &[u8]) {
        self.put(None, &self.referrer(BUNDLE, bundle, &json!({})));
    }

    /// The older form, under its tag.
    fn older(&self, payload: &[u8], annotations: &Value) {
        let mut made: Value =
            serde_json::from_slice(self.referrer(SIMPLE_SIGNING, payload, annotations).bytes())
                .unwrap();
        made.as_object_mut().unwrap().remove("subject");
        let manifest = RawManifest::new(made.to_string().into_bytes(), ManifestType::OciManifest);
        self.put(Some(digest().signature_tag().as_str()), &manifest);
    }

    async fn verdict(&self, trust: &Trust) -> Result<Verdict, RegistryError> {
        let repository = self.double.repository(&self.name);
        verify_signature(&self.double.client(), &repository, &digest(), trust).await
    }
}

/// The annotations of the only layer of a signature in the older form that cosign has written.
fn annotations_of(manifest: &[u8]) -> Value {
    fixture_json(manifest)["layers"][0]["annotations"].clone()
}

fn rule(signature: &Value) -> SignatureRule {
    let spec: EnvironmentPolicySpec = serde_json::from_value(json!({
        "artifacts": [{ "name": "app", "repository": "r.example/app" }], "signature": signature,
    }))
    .unwrap();
    let environment = Environment::of(&EnvironmentPolicy::new("prod", spec));
    assert_eq!(environment.problem, None);
    environment.signature.unwrap()
}

/// What a rule trusts, with the same content under each name that it has.
fn trust(signature: &Value, content: &[u8]) -> Result<Trust, InvalidTrust> {
    let rule = rule(signature);
    let read: BTreeMap<_, _> = Trust::sources(&rule)
        .map(|source| (source.clone(), content.to_vec()))
        .collect();
    Trust::of(&rule, &read)
}

/// One public key.
fn by_key(pem: &[u8]) -> Trust {
    let keys = json!([{ "configMapName": "keys", "key": "cosign.pub" }]);
    trust(&json!({ "mode": "Enforce", "keys": keys }), pem).unwrap()
}

/// One identity, by the authorities and logs of our own.
fn by_identity(sigstore: &Sigstore) -> Trust {
    by_keyless(sigstore, &json!({ "issuer": ISSUER, "identity": IDENTITY }))
}

fn by_keyless(sigstore: &Sigstore, entry: &Value) -> Trust {
    let written = json!({
        "mode": "Enforce", "keyless": [entry], "trustedRoot": { "configMapName": "sigstore", "key": "root.json" },
    });
    trust(&written, sigstore.trusted_root().as_bytes()).unwrap()
}

/// Nothing counts, and the message says why.
async fn refused(beside: &Beside, trust: &Trust, case: &str, why: &str) {
    let verdict = beside.verdict(trust).await.unwrap();
    assert!(!verdict.verified(), "{case}: {:?} counts", verdict.by());
    let problem = verdict.problem().unwrap();
    assert!(problem.contains(why), "{case}: {problem}");
}
