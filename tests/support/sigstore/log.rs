//! A log that signs what it has been given, as Rekor and certificate logs do.

use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::b64;

/// Number of every entry: the trees have two leaves, and ours is the first.
const INDEX: u64 = 41;

/// A log with its key.
pub(crate) struct Log {
    pub(crate) name: &'static str,
    pub(crate) key: KeyPair,
}

impl Log {
    pub(crate) fn new(name: &'static str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { name, key }
    }

    /// By which entries name the log.
    pub(crate) fn id(&self) -> Vec<u8> {
        Sha256::digest(self.key.subject_public_key_info()).to_vec()
    }

    /// An entry of a bundle, with promise and proof.
    pub(super) fn entry(&self, kind: &str, body: &Value, at: i64) -> Value {
        let body = body.to_string();
        let leaf = Sha256::digest([&[0], body.as_bytes()].concat());
        let neighbour = Sha256::digest(b"another entry");
        let root = Sha256::digest([&[1], leaf.as_slice(), neighbour.as_slice()].concat());
        let note = format!("{}\n2\n{}\n", self.name, b64(&root));
        let hint = &self.id()[..4];
        let signature = [hint, &self.key.sign(note.as_bytes()).unwrap()].concat();
        let checkpoint = format!("{note}\n\u{2014} {} {}\n", self.name, b64(&signature));
        json!({
            "logIndex": INDEX.to_string(),
            "logId": { "keyId": b64(&self.id()) },
            "kindVersion": { "kind": kind, "version": "0.0.1" },
            "integratedTime": at.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": self.timestamp(&body, at) },
            "inclusionProof": {
                "logIndex": "0", "treeSize": "2", "rootHash": b64(&root), "hashes": [b64(&neighbour)],
                "checkpoint": { "envelope": checkpoint },
            },
            "canonicalizedBody": b64(body.as_bytes()),
        })
    }

    /// An entry as the older form keeps it: with the promise alone.
    pub(super) fn promise(&self, body: &Value, at: i64) -> Value {
        let body = body.to_string();
        json!({
            "SignedEntryTimestamp": self.timestamp(&body, at),
            "Payload": {
                "body": b64(body.as_bytes()), "integratedTime": at, "logIndex": INDEX,
                "logID": hex::encode(self.id()),
            },
        })
    }

    /// The promise: canonical JSON, signed. The keys are in order.
    fn timestamp(&self, body: &str, at: i64) -> String {
        let promised = json!({
            "body": b64(body.as_bytes()), "integratedTime": at, "logID": hex::encode(self.id()),
            "logIndex": INDEX,
        });
        b64(&self.key.sign(promised.to_string().as_bytes()).unwrap())
    }
}
