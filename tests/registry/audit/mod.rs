//! Chains of records: made by the real code, changed in the registry's storage, and verified.
#![expect(clippy::unwrap_used, reason = "what cannot be made fails the test")]

mod harmless;
mod tampered;
mod whole;

use std::collections::{BTreeMap, HashMap};

use axum::body::Bytes;
use floe::domain::artifact::Digest;
use floe::domain::audit::{Chain, Ledger, LedgerRecord, Problem, Verdict};
use floe::domain::record::{Envelope, KeyRing, SigningKey};
use floe::effects::audit::{Depth, Others, Source, Verified, limits, verify};
use floe::effects::registry::{ManifestType, RawManifest, Registry};
use serde_json::{Value, json};

use crate::double::{Options, RegistryDouble};
use crate::records::{Made, Writer};

const NAME: &str = "team/app";

/// A registry with a chain, and what it held before anybody changed it.
struct Rig {
    double: RegistryDouble,
    key: SigningKey,
    made: Vec<Made>,
    kept: Kept,
    client: Registry,
}

#[derive(Clone, Default)]
struct Kept {
    manifests: HashMap<(String, String), (Bytes, String)>,
    tags: BTreeMap<(String, String), String>,
    blobs: HashMap<(String, String), Bytes>,
}

impl Rig {
    async fn start(referrers_api: bool, length: usize) -> Self {
        let options = Options {
            referrers_api,
            ..Options::default()
        };
        let double = RegistryDouble::start(options).await;
        let key = SigningKey::generate();
        let mut writer = Writer::new(&double, NAME, &key);
        writer.promote(length).await;
        let made = std::mem::take(&mut writer.made);
        let mut access = double.access();
        access.limits = limits();
        let client = Registry::new(&access).unwrap();
        let mut rig = Self {
            double,
            key,
            made,
            kept: Kept::default(),
            client,
        };
        rig.keep();
        rig
    }

    fn keep(&mut self) {
        let mut store = self.double.store();
        store.log.clear();
        self.kept = Kept {
            manifests: store.manifests.clone(),
            tags: store.tags.clone(),
            blobs: store.blobs.clone(),
        };
    }

    fn restore(&self) {
        let mut store = self.double.store();
        let kept = self.kept.clone();
        store.manifests = kept.manifests;
        store.tags = kept.tags;
        store.blobs = kept.blobs;
    }

    fn chain(&self) -> Chain {
        Chain {
            space: "space".to_owned(),
            environment: "prod".to_owned(),
            artifact: "platform".to_owned(),
            repository: self.double.repository(NAME),
        }
    }

    /// The ledger as it was when `length` promotions were done.
    fn ledger(&self, length: usize) -> Ledger {
        let made = &self.made[..length];
        let records = made.iter().rev().take(50).map(|made| LedgerRecord {
            recorded: made.recorded.clone(),
            version: made.version.clone(),
            digest: made.subject.digest().to_string(),
        });
        Ledger {
            head: made.last().map(|made| made.recorded.clone()),
            records: records.collect(),
            ..Ledger::default()
        }
    }

    fn whole(&self) -> Ledger {
        self.ledger(self.made.len())
    }

    async fn read(&self, chain: &Chain, ledger: Option<&Ledger>, depth: Depth) -> Verified {
        let keys = KeyRing::from_pem(&self.key.public().to_pem()).unwrap();
        let source = Source {
            registry: &self.client,
            keys: &keys,
            suffix: "prod",
            suffixes: &["prod".to_owned()],
        };
        let others = Others { ledger, logs: None };
        verify(&source, chain, &others, depth, &mut |_, _| ()).await
    }

    async fn verify(&self, ledger: Option<&Ledger>, depth: Depth) -> Verdict {
        let verified = self.read(&self.chain(), ledger, depth).await;
        assert_eq!(verified.unknown, []);
        verified.verdict
    }

    fn at(&self, number: usize) -> &Made {
        &self.made[number - 1]
    }

    /// Digest of the blob in this manifest.
    fn blob_of(&self, referrer: &Digest) -> String {
        let key = (NAME.to_owned(), referrer.to_string());
        let manifest: Value = serde_json::from_slice(&self.kept.manifests[&key].0).unwrap();
        manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
    }

    fn bundle_of(&self, referrer: &Digest) -> Bytes {
        self.kept.blobs[&(NAME.to_owned(), self.blob_of(referrer))].clone()
    }

    fn envelope_of(&self, number: usize) -> Envelope {
        Envelope::open(&self.bundle_of(&self.at(number).recorded.referrer)).unwrap()
    }

    fn take_out(&self, referrer: &Digest) {
        let key = (NAME.to_owned(), referrer.to_string());
        self.double.store().manifests.remove(&key).unwrap();
    }

    /// Puts a bundle beside a digest, as anybody with push rights can.
    fn attach(&self, name: &str, subject: &RawManifest, bundle: &[u8], annotation: &str) -> Digest {
        self.double.seed_blob(name, b"{}");
        let blob = self.double.seed_blob(name, bundle);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": ManifestType::OciManifest.as_str(),
            "artifactType": floe::domain::record::BUNDLE_TYPE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2},
            "layers": [{"mediaType": floe::domain::record::BUNDLE_TYPE, "digest": blob, "size": bundle.len()}],
            "subject": {"mediaType": subject.media_type().as_str(), "digest": subject.digest(), "size": subject.size()},
            "annotations": {"by": annotation},
        });
        let manifest =
            RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest);
        let mut store = self.double.store();
        store.put(name, None, &manifest);
        if !store.options.referrers_api {
            let tag = subject.digest().referrers_tag().to_string();
            let index = store
                .tags
                .get(&(name.to_owned(), tag.clone()))
                .map(|digest| {
                    store.manifests[&(name.to_owned(), digest.clone())]
                        .0
                        .clone()
                });
            let mut index: Value = index.map_or_else(
                || json!({"schemaVersion": 2, "mediaType": ManifestType::OciIndex.as_str(), "manifests": []}),
                |bytes| serde_json::from_slice(&bytes).unwrap(),
            );
            index["manifests"].as_array_mut().unwrap().push(json!({
                "mediaType": manifest.media_type().as_str(), "digest": manifest.digest(), "size": manifest.size(),
            }));
            let index = RawManifest::new(index.to_string().into_bytes(), ManifestType::OciIndex);
            store.put(name, Some(&tag), &index);
        }
        manifest.digest().clone()
    }
}

fn problems(verdict: &Verdict) -> Vec<(i64, &Problem)> {
    verdict
        .bad
        .iter()
        .map(|bad| (bad.sequence, &bad.problem))
        .collect()
}

fn number(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}

/// `count` numbers from 0 to `below`, the same in each run.
fn sampled(count: usize, below: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn * 7919 + turn * turn * 104_729) % below)
}
