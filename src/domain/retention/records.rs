//! Which referrers are records: those are never deleted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::domain::record::STATEMENT_TYPE;

/// How the types of all our predicates begin.
const OURS: &str = "https://floe.dev/";
/// How the media types of Sigstore bundles begin.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
}

/// Whether a layer of this media type can hold a statement, and so has to be read.
pub fn is_attestation(media_type: &str) -> bool {
    media_type == STATEMENT_TYPE || media_type.starts_with(BUNDLE)
}

/// Whether a layer for which [`is_attestation`] says yes may be a record: it is one of ours, or cannot be read.
pub fn may_be_record(layer: &[u8]) -> bool {
    let statement = match serde_json::from_slice::<Bundle>(layer) {
        Ok(Bundle {
            dsse_envelope: Some(envelope),
        }) => STANDARD.decode(envelope.payload).ok(),
        // A bundle without envelope holds a signature, and no statement.
        Ok(Bundle {
            dsse_envelope: None,
        }) if serde_json::from_slice::<Statement>(layer).is_err() => return !is_bundle(layer),
        Ok(_) => Some(layer.to_vec()),
        Err(_) => None,
    };
    statement
        .and_then(|bytes| serde_json::from_slice::<Statement>(&bytes).ok())
        .is_none_or(|statement| statement.predicate_type.starts_with(OURS))
}

fn is_bundle(layer: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(layer)
        .is_ok_and(|value| value.get("messageSignature").is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_known_bare_and_in_a_bundle_and_what_cannot_be_read_may_be_one() {
        let statement = |kind: &str| json!({"_type": "x", "predicateType": kind, "predicate": {}});
        let bundle = |payload: &str| json!({"mediaType": BUNDLE, "dsseEnvelope": {"payload": STANDARD.encode(payload)}});
        let ours = statement("https://floe.dev/promotion/v1/prod");
        let sbom = statement("https://spdx.dev/Document");
        for (layer, expected) in [
            (ours.clone(), true),
            (sbom.clone(), false),
            (bundle(&ours.to_string()), true),
            (bundle(&sbom.to_string()), false),
            (bundle("not json"), true),
            (json!({"dsseEnvelope": {"payload": "%"}}), true),
            (json!({"messageSignature": {}}), false),
            (json!({}), true),
            (json!([]), true),
        ] {
            assert_eq!(
                may_be_record(layer.to_string().as_bytes()),
                expected,
                "{layer}"
            );
        }
        assert!(may_be_record(b"\x00"));
        assert!(is_attestation("application/vnd.in-toto+json"));
        assert!(is_attestation(
            "application/vnd.dev.sigstore.bundle.v0.3+json"
        ));
        assert!(!is_attestation("text/spdx+json"));
    }
}
