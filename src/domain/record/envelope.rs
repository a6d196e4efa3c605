//! The form in which a record is signed and stored: a DSSE envelope in a Sigstore bundle v0.3
//! (in-toto `envelope.md`, sigstore `protobuf-specs`), so that cosign can check it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::keys::{PublicKey, SigningKey};
use crate::domain::artifact::Digest;

/// Media type of the bundle: of the blob, and of the referrer that holds it.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Type of what is signed: an in-toto statement.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A payload with its signature. Whether the signature is good is asked with [`Envelope::signed_by`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Why bytes are no envelope that could be ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEnvelope {
    /// Not a bundle of this version, in JSON.
    #[error("it is not a Sigstore bundle v0.3 with a DSSE envelope")]
    Bundle,
    /// The payload is something else than an in-toto statement.
    #[error("its payload is not an in-toto statement")]
    Payload,
    /// A bundle has one signature (sigstore `protobuf-specs`, "Bundle").
    #[error("it has {0} signatures instead of one")]
    Signatures(usize),
    /// Payload or signature are not base64.
    #[error("its payload or signature is not base64")]
    Encoding,
}

impl Envelope {
    /// Signs a statement. The same statement and key give the same envelope.
    pub fn seal(statement: Vec<u8>, key: &SigningKey) -> Self {
        let signature = key.sign(&signed_bytes(&statement));
        Self {
            payload: statement,
            signature,
        }
    }

    /// The envelope inside a bundle.
    ///
    /// # Errors
    /// What is wrong with it; then it is no record of ours.
    pub fn open(bundle: &[u8]) -> Result<Self, NotAnEnvelope> {
        let Bundle {
            media_type,
            dsse_envelope,
        } = serde_json::from_slice(bundle).map_err(|_| NotAnEnvelope::Bundle)?;
        if media_type != BUNDLE_TYPE {
            return Err(NotAnEnvelope::Bundle);
        }
        if dsse_envelope.payload_type != PAYLOAD_TYPE {
            return Err(NotAnEnvelope::Payload);
        }
        let [Signature { sig }] = dsse_envelope.signatures.as_slice() else {
            return Err(NotAnEnvelope::Signatures(dsse_envelope.signatures.len()));
        };
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| NotAnEnvelope::Encoding);
        Ok(Self {
            payload: decode(&dsse_envelope.payload)?,
            signature: decode(sig)?,
        })
    }

    /// The bundle as it is stored.
    pub fn to_bundle(&self, signer: &PublicKey) -> Vec<u8> {
        json!({
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": { "publicKey": { "hint": signer.hint() } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&self.payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{ "sig": STANDARD.encode(&self.signature) }],
            },
        })
        .to_string()
        .into_bytes()
    }

    /// The statement. Nothing in it may be believed before the signature was checked.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What the record is known by: the digest of its payload. Bundle and manifest around it can be made
    /// anew by anybody who can push.
    pub fn identity(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// Whether this key has signed this payload.
    pub fn signed_by(&self, key: &PublicKey) -> bool {
        key.has_signed(&signed_bytes(&self.payload), &self.signature)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    dsse_envelope: Dsse,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

/// What a signature covers: type and payload with their lengths (DSSE, "pre-authentication encoding").
fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {PAYLOAD_TYPE} {} ",
        PAYLOAD_TYPE.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::record::keys::tests::{key, other_key};

    const STATEMENT: &[u8] = br#"{"_type":"https://in-toto.io/Statement/v1"}"#;

    fn changed(bundle: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut value: Value = serde_json::from_slice(bundle).unwrap();
        change(&mut value);
        value.to_string().into_bytes()
    }

    #[test]
    fn the_same_statement_and_key_give_the_same_bundle() {
        let seal = || Envelope::seal(STATEMENT.to_vec(), &key()).to_bundle(&key().public());
        assert_eq!(seal(), seal());
    }

    #[test]
    fn what_was_sealed_is_read_back_and_its_key_has_signed_it() {
        let sealed = Envelope::seal(STATEMENT.to_vec(), &key());
        let opened = Envelope::open(&sealed.to_bundle(&key().public())).unwrap();
        assert_eq!(opened, sealed);
        assert_eq!(opened.payload(), STATEMENT);
        assert!(opened.signed_by(&key().public()));
        assert!(!opened.signed_by(&other_key().public()));
    }

    #[test]
    fn no_bit_of_payload_or_signature_can_change() {
        let sealed = Envelope::seal(STATEMENT.to_vec(), &key());
        for bit in 0..sealed.payload.len() * 8 {
            let mut changed = sealed.clone();
            changed.payload[bit / 8] ^= 1 << (bit % 8);
            assert!(!changed.signed_by(&key().public()), "payload bit {bit}");
        }
        for bit in 0..sealed.signature.len() * 8 {
            let mut changed = sealed.clone();
            changed.signature[bit / 8] ^= 1 << (bit % 8);
            assert!(!changed.signed_by(&key().public()), "signature bit {bit}");
        }
    }

    #[test]
    fn another_wrapping_is_the_same_record() {
        let sealed = Envelope::seal(STATEMENT.to_vec(), &key());
        let bundle = sealed.to_bundle(&other_key().public());
        let spaced =
            serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&bundle).unwrap()).unwrap();
        let annotated = changed(&bundle, |value| value["more"] = json!(true));
        for wrapped in [bundle, spaced, annotated] {
            let opened = Envelope::open(&wrapped).unwrap();
            assert_eq!(opened.identity(), sealed.identity());
            assert!(opened.signed_by(&key().public()));
        }
    }

    #[test]
    fn what_is_no_envelope_of_ours_says_why() {
        let bundle = Envelope::seal(STATEMENT.to_vec(), &key()).to_bundle(&key().public());
        let cases: [(Vec<u8>, NotAnEnvelope); 7] = [
            (b"{}".to_vec(), NotAnEnvelope::Bundle),
            (b"\xff".to_vec(), NotAnEnvelope::Bundle),
            (
                changed(&bundle, |value| value["mediaType"] = json!("text/plain")),
                NotAnEnvelope::Bundle,
            ),
            (
                changed(&bundle, |value| {
                    value["dsseEnvelope"]["payloadType"] = json!("text/plain");
                }),
                NotAnEnvelope::Payload,
            ),
            (
                changed(&bundle, |value| {
                    let one = value["dsseEnvelope"]["signatures"][0].clone();
                    value["dsseEnvelope"]["signatures"] = json!([one, one]);
                }),
                NotAnEnvelope::Signatures(2),
            ),
            (
                changed(&bundle, |value| {
                    value["dsseEnvelope"]["signatures"] = json!([]);
                }),
                NotAnEnvelope::Signatures(0),
            ),
            (
                changed(&bundle, |value| {
                    value["dsseEnvelope"]["payload"] = json!("*");
                }),
                NotAnEnvelope::Encoding,
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Envelope::open(&bytes), Err(expected));
        }
    }
}
