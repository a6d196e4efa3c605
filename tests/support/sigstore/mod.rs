//! A Sigstore of our own, in memory: a certificate authority, a certificate log and a transparency log, and
//! signatures that are good until a test spoils something.

mod certificate;
mod log;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::domain::artifact::Digest;
use floe::domain::signature::SIGNATURE_TYPE;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sigstore_verify::types::pae;

pub(crate) use certificate::{Authority, Leaf};
pub(crate) use log::Log;

pub(crate) const ISSUER: &str = "https://token.actions.example";
pub(crate) const IDENTITY: &str =
    "https://github.example/team/app/.github/workflows/release.yml@refs/heads/main";
/// Within the day for which certificates are valid, and long ago.
pub(crate) const SIGNED_AT: i64 = 1_772_366_400;
const IN_TOTO: &str = "application/vnd.in-toto+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Everything that a trusted root names.
pub(crate) struct Sigstore {
    pub(crate) authority: Authority,
    pub(crate) certificates: Log,
    pub(crate) signatures: Log,
}

/// A keyless signature in the making: change what should be wrong with it.
pub(crate) struct Signing<'a> {
    pub(crate) leaf: Leaf<'a>,
    /// The log that has the entry, and what the entry says of the time.
    pub(crate) log: &'a Log,
    pub(crate) at: i64,
    pub(crate) payload: Vec<u8>,
}

impl Sigstore {
    pub(crate) fn new() -> Self {
        Self {
            authority: Authority::new(),
            certificates: Log::new("ct.example"),
            signatures: Log::new("rekor.example"),
        }
    }

    /// The file that operators mount.
    pub(crate) fn trusted_root(&self) -> String {
        let since = json!({ "start": "2026-01-01T00:00:00Z" });
        let log = |log: &Log| {
            json!([{
                "baseUrl": format!("https://{}", log.name), "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": b64(&log.key.subject_public_key_info()), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": since,
                },
                "logId": { "keyId": b64(&log.id()) },
            }])
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": log(&self.signatures),
            "ctlogs": log(&self.certificates),
            "certificateAuthorities": [{
                "subject": {}, "uri": "https://fulcio.example", "validFor": since,
                "certChain": { "certificates": [{ "rawBytes": b64(&self.authority.der()) }] },
            }],
        })
        .to_string()
    }

    /// A good signature of this digest, not made yet.
    pub(crate) fn signing(&self, of: &Digest) -> Signing<'_> {
        Signing {
            leaf: Leaf {
                authority: &self.authority,
                log: Some(&self.certificates),
                issuer: ISSUER,
                identity: IDENTITY,
                code_signing: true,
            },
            log: &self.signatures,
            at: SIGNED_AT,
            payload: statement(of, SIGNATURE_TYPE).to_string().into_bytes(),
        }
    }
}

impl Signing<'_> {
    /// As `cosign sign` makes it: a bundle.
    pub(crate) fn bundle(&self) -> Value {
        let (key, certificate) = self.leaf.issue();
        let signature = key.sign(&pae(IN_TOTO, &self.payload)).unwrap();
        let body = json!({
            "apiVersion": "0.0.1", "kind": "dsse", "spec": {
                "envelopeHash": { "algorithm": "sha256", "value": hex::encode(Sha256::digest(b"envelope")) },
                "payloadHash": { "algorithm": "sha256", "value": hex::encode(Sha256::digest(&self.payload)) },
                "signatures": [{ "signature": b64(&signature), "verifier": b64(certificate.pem().as_bytes()) }],
            },
        });
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": { "rawBytes": b64(certificate.der()) },
                "tlogEntries": [self.log.entry("dsse", &body, self.at)],
            },
            "dsseEnvelope": {
                "payload": b64(&self.payload), "payloadType": IN_TOTO,
                "signatures": [{ "sig": b64(&signature) }],
            },
        })
    }

    /// As older versions of `cosign sign` made it: the payload, and the annotations of its layer.
    pub(crate) fn older(&self, of: &Digest) -> (Vec<u8>, Value) {
        let payload = simple_signing(of.as_str());
        let (key, certificate) = self.leaf.issue();
        let signature = key.sign(&payload).unwrap();
        let body = json!({
            "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hex::encode(Sha256::digest(&payload)) } },
                "signature": {
                    "content": b64(&signature),
                    "publicKey": { "content": b64(certificate.pem().as_bytes()) },
                },
            },
        });
        let annotations = json!({
            "dev.cosignproject.cosign/signature": b64(&signature),
            "dev.sigstore.cosign/certificate": certificate.pem(),
            "dev.sigstore.cosign/chain": self.leaf.authority.pem(),
            "dev.sigstore.cosign/bundle": self.log.promise(&body, self.at).to_string(),
        });
        (payload, annotations)
    }
}

/// A bundle by a key of somebody's own, in no log.
pub(crate) fn keyed(key: &KeyPair, payload_type: &str, payload: &[u8]) -> Value {
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": "" } },
        "dsseEnvelope": {
            "payload": b64(payload), "payloadType": payload_type,
            "signatures": [{ "sig": b64(&key.sign(&pae(payload_type, payload)).unwrap()) }],
        },
    })
}

/// What a bundle says.
pub(crate) fn statement(of: &Digest, predicate_type: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v0.1", "predicateType": predicate_type,
        "subject": [{ "name": "", "digest": { "sha256": of.hex() } }], "predicate": {},
    })
}

/// What the older form says.
pub(crate) fn simple_signing(digest: &str) -> Vec<u8> {
    json!({
        "critical": {
            "identity": { "docker-reference": "r.example/app" },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
