use rcgen::KeyPair;
use serde_json::json;

use super::*;
use crate::sigstore::{b64, keyed, simple_signing, statement};
use floe::domain::signature::SIGNATURE_TYPE;

const IN_TOTO: &str = "application/vnd.in-toto+json";
const NOT_OURS: &str = "not signed with a key of the policy";

/// Something that is done to the bundle that cosign has made.
type Spoil = fn(&mut Value);

const SPOILED: &[(&str, &str, Spoil)] = &[
    ("tampered payload", NOT_OURS, |bundle| {
        let mut said = statement(&digest(), SIGNATURE_TYPE);
        said["predicate"] = json!({ "changed": true });
        bundle["dsseEnvelope"]["payload"] = json!(b64(said.to_string().as_bytes()));
    }),
    ("tampered signature", NOT_OURS, |bundle| {
        bundle["dsseEnvelope"]["signatures"][0]["sig"] =
            json!(b64(b"\x30\x06\x02\x01\x01\x02\x01\x01"));
    }),
    ("empty signature", NOT_OURS, |bundle| {
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!("");
    }),
    ("signature of nothing: r and s are 0", NOT_OURS, |bundle| {
        bundle["dsseEnvelope"]["signatures"][0]["sig"] =
            json!(b64(b"\x30\x06\x02\x01\x00\x02\x01\x00"));
    }),
    (
        "another type of payload",
        "of type 'text/plain'",
        |bundle| {
            bundle["dsseEnvelope"]["payloadType"] = json!("text/plain");
        },
    ),
    (
        "no signature in the envelope",
        "exactly one signature",
        |bundle| {
            bundle["dsseEnvelope"]["signatures"] = json!([]);
        },
    ),
    (
        "two signatures in an envelope",
        "exactly one signature",
        |bundle| {
            let signatures = &mut bundle["dsseEnvelope"]["signatures"];
            *signatures = json!([signatures[0], signatures[0]]);
        },
    ),
    (
        "bundle of an unknown version",
        "no Sigstore bundle",
        |bundle| {
            bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle.v9+json");
        },
    ),
    ("signature of bytes", "signs bytes", |bundle| {
        let signature = bundle["dsseEnvelope"]["signatures"][0]["sig"].take();
        let fields = bundle.as_object_mut().unwrap();
        fields.remove("dsseEnvelope");
        fields.insert(
            "messageSignature".to_owned(),
            json!({ "signature": signature }),
        );
    }),
];

#[tokio::test]
async fn no_bad_keyed_bundle_counts_and_each_is_refused_for_its_own_reason() {
    let mut beside = Beside::start().await;
    let trust = by_key(fixture!("p256.pub"));
    for (number, (case, why, spoil)) in SPOILED.iter().enumerate() {
        beside.next(&format!("spoiled/{number}"));
        let mut bundle = fixture_json(fixture!("p256.bundle.json"));
        spoil(&mut bundle);
        beside.bundle(&bundle);
        refused(&beside, &trust, case, why).await;
    }
    let twice = String::from_utf8(fixture!("p256.bundle.json").to_vec()).unwrap();
    let twice = twice.replacen(
        '{',
        r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","#,
        1,
    );
    let huge = vec![b' '; 300 * 1024];
    for (number, (case, why, bytes)) in [
        ("another key", NOT_OURS, fixture!("rsa.bundle.json")),
        (
            "key of another curve",
            NOT_OURS,
            fixture!("p384.bundle.json"),
        ),
        (
            "attestation by the same key",
            "attestation of type 'https://spdx.dev/Document'",
            fixture!("p256.sbom.json"),
        ),
        (
            "garbage",
            "no Sigstore bundle",
            b"\xff\xfe garbage".as_slice(),
        ),
        ("empty file", "no Sigstore bundle", b"".as_slice()),
        ("a list", "no Sigstore bundle", b"[]".as_slice()),
        (
            "deeply nested",
            "no Sigstore bundle",
            "[".repeat(100_000).leak().as_bytes(),
        ),
        (
            "a key that occurs twice",
            "duplicate field",
            twice.as_bytes(),
        ),
        ("a huge one", "larger than 256 KiB", huge.as_slice()),
    ]
    .into_iter()
    .enumerate()
    {
        beside.next(&format!("bytes/{number}"));
        beside.bundle_bytes(bytes);
        refused(&beside, &trust, case, why).await;
    }
}

#[tokio::test]
async fn what_our_own_key_has_signed_counts_for_its_artifact_alone() {
    let mut beside = Beside::start().await;
    let key = KeyPair::generate().unwrap();
    let trust = by_key(key.public_key_pem().as_bytes());
    let other = Digest::of(b"other");
    let mut sha512 = statement(&other, SIGNATURE_TYPE);
    sha512["subject"][0]["digest"] = json!({ "sha512": "00" });
    let mut strange = statement(&digest(), SIGNATURE_TYPE);
    strange["_type"] = json!("https://in-toto.io/Statement/v9");
    let good = statement(&digest(), SIGNATURE_TYPE);
    beside.bundle(&keyed(&key, IN_TOTO, good.to_string().as_bytes()));
    assert!(beside.verdict(&trust).await.unwrap().verified());
    for (number, (case, why, kind, said)) in [
        (
            "another artifact",
            "another artifact",
            IN_TOTO,
            statement(&other, SIGNATURE_TYPE),
        ),
        ("sha512 only", "without a sha256", IN_TOTO, sha512),
        (
            "provenance",
            "attestation of type",
            IN_TOTO,
            statement(&digest(), "https://slsa.dev/provenance/v1"),
        ),
        (
            "record of floe",
            "attestation of type",
            IN_TOTO,
            statement(&digest(), "https://floe.dev/promotion/v1/dev"),
        ),
        (
            "statement of another version",
            "unknown type",
            IN_TOTO,
            strange,
        ),
        (
            "statement under another type",
            "text/plain",
            "text/plain",
            good,
        ),
        ("no statement", "no in-toto statement", IN_TOTO, json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        beside.next(&format!("own/{number}"));
        beside.bundle(&keyed(&key, kind, said.to_string().as_bytes()));
        refused(&beside, &trust, case, why).await;
    }
}

#[tokio::test]
async fn no_bad_signature_in_the_older_form_counts() {
    let mut beside = Beside::start().await;
    let trust = by_key(fixture!("p256.pub"));
    let payload = fixture!("p256.payload.json").to_vec();
    let annotations = annotations_of(fixture!("p256.older.json"));
    let with = |signature: &str| json!({ "dev.cosignproject.cosign/signature": signature });
    let other = Digest::of(b"other");
    let mut changed = payload.clone();
    changed.push(b' ');
    for (number, (case, why, payload, annotations)) in [
        (
            "payload of another artifact",
            "another artifact",
            simple_signing(other.as_str()),
            annotations.clone(),
        ),
        (
            "payload without digest",
            "cannot be read",
            b"{}".to_vec(),
            annotations.clone(),
        ),
        (
            "payload that was changed",
            NOT_OURS,
            changed,
            annotations.clone(),
        ),
        (
            "another key",
            NOT_OURS,
            fixture!("rsa.payload.json").to_vec(),
            annotations_of(fixture!("rsa.older.json")),
        ),
        (
            "signature of another payload",
            NOT_OURS,
            payload.clone(),
            annotations_of(fixture!("rsa.older.json")),
        ),
        (
            "signature that is no base64",
            "no base64",
            payload.clone(),
            with("%%%"),
        ),
        ("empty signature", NOT_OURS, payload.clone(), with("")),
        (
            "wrong annotation",
            "no annotation",
            payload,
            json!({ "dev.sigstore.cosign/signature": "AAAA" }),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        beside.next(&format!("older/{number}"));
        beside.older(&payload, &annotations);
        refused(&beside, &trust, case, why).await;
    }
}

#[tokio::test]
async fn what_is_no_signature_at_all_is_as_good_as_none() {
    let mut beside = Beside::start().await;
    let trust = by_key(fixture!("p256.pub"));
    refused(&beside, &trust, "nothing", "nobody has signed it").await;
    let bundle = fixture!("p256.bundle.json");
    let strange = beside.referrer("application/vnd.example.bundle+json", bundle, &json!({}));
    beside.put(None, &strange);
    refused(
        &beside,
        &trust,
        "unknown media type",
        "nobody has signed it",
    )
    .await;
    beside.next("without/blob");
    beside.bundle_bytes(bundle);
    let blob = ("without/blob".to_owned(), Digest::of(bundle).to_string());
    beside.double.store().blobs.remove(&blob);
    refused(&beside, &trust, "its blob is gone", "its blob is not there").await;
}
