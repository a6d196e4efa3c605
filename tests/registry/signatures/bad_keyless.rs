use floe::domain::signature::SIGNATURE_TYPE;
use serde_json::json;

use super::*;
use crate::sigstore::{Authority, Log, SIGNED_AT, Signing, b64, statement};

const DAY: i64 = 24 * 60 * 60;

/// Something that is done to a good bundle.
type Spoil = fn(&mut Value);

/// A bundle that was good until somebody changed it.
const SPOILED: &[(&str, &str, Spoil)] = &[
    ("tampered payload", "signature", |bundle| {
        let mut said = statement(&digest(), SIGNATURE_TYPE);
        said["predicate"] = json!({ "changed": true });
        bundle["dsseEnvelope"]["payload"] = json!(b64(said.to_string().as_bytes()));
    }),
    ("tampered signature", "signature", |bundle| {
        bundle["dsseEnvelope"]["signatures"][0]["sig"] =
            json!(b64(b"\x30\x06\x02\x01\x01\x02\x01\x01"));
    }),
    ("empty signature", "signature", |bundle| {
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!("");
    }),
    ("stripped log entry", "inclusion proof", |bundle| {
        bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    }),
    ("stripped inclusion proof", "inclusion proof", |bundle| {
        entry(bundle)
            .as_object_mut()
            .unwrap()
            .remove("inclusionProof");
    }),
    ("stripped promise", "verified timestamp", |bundle| {
        entry(bundle)
            .as_object_mut()
            .unwrap()
            .remove("inclusionPromise");
    }),
    ("forged promise", "SET", |bundle| {
        entry(bundle)["inclusionPromise"]["signedEntryTimestamp"] =
            json!(b64(b"\x30\x06\x02\x01\x01\x02\x01\x01"));
    }),
    ("another time than was promised", "SET", |bundle| {
        entry(bundle)["integratedTime"] = json!((SIGNED_AT + 1).to_string());
    }),
    ("proof of another tree", "inclusion proof", |bundle| {
        entry(bundle)["inclusionProof"]["hashes"] = json!([b64(&[0; 32])]);
    }),
    ("checkpoint that was changed", "heckpoint", |bundle| {
        let proof = &mut entry(bundle)["inclusionProof"];
        let note = proof["checkpoint"]["envelope"].as_str().unwrap();
        proof["checkpoint"]["envelope"] = json!(note.replacen("rekor.example", "other.example", 1));
    }),
    (
        "two signatures in an envelope",
        "exactly one signature",
        |bundle| {
            let signatures = &mut bundle["dsseEnvelope"]["signatures"];
            *signatures = json!([signatures[0], signatures[0]]);
        },
    ),
    ("a chain where one certificate belongs", "chain", |bundle| {
        let certificate = bundle["verificationMaterial"]["certificate"].take();
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        material.remove("certificate");
        material.insert(
            "x509CertificateChain".to_owned(),
            json!({ "certificates": [certificate] }),
        );
    }),
    ("certificate that is none", "certificate", |bundle| {
        bundle["verificationMaterial"]["certificate"]["rawBytes"] = json!(b64(b"garbage"));
    }),
];

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

/// A signature that is made wrongly, with everything else in order.
fn made_wrongly<'a>(
    good: impl Fn() -> Signing<'a>,
    strangers: &'a (Authority, Log),
) -> Vec<(&'static str, &'static str, Signing<'a>)> {
    let spoiled = |spoil: &dyn Fn(&mut Signing<'a>)| {
        let mut signing = good();
        spoil(&mut signing);
        signing
    };
    let says = |said: Value| spoiled(&|signing| signing.payload = said.to_string().into_bytes());
    let identity = |identity: &'static str| spoiled(&|signing| signing.leaf.identity = identity);
    let other = Digest::of(b"other");
    let mut sha512 = statement(&other, SIGNATURE_TYPE);
    sha512["subject"][0]["digest"] = json!({ "sha512": "00" });
    vec![
        (
            "bundle for another artifact",
            "another artifact",
            says(statement(&other, SIGNATURE_TYPE)),
        ),
        ("sha512 only", "without a sha256 digest", says(sha512)),
        (
            "attestation by the same identity",
            "attestation of type",
            says(statement(&digest(), "https://spdx.dev/Document")),
        ),
        (
            "another identity",
            "fits no entry",
            identity("mallory@example.org"),
        ),
        (
            "identity with another end",
            "fits no entry",
            identity(
                "https://github.example/team/app/.github/workflows/release.yml@refs/heads/main2",
            ),
        ),
        (
            "identity with another beginning",
            "fits no entry",
            identity(
                "https://evil.example/?https://github.example/team/app/.github/workflows/release.yml@refs/heads/main",
            ),
        ),
        (
            "identity in other letters",
            "fits no entry",
            identity(
                "https://github.example/team/App/.github/workflows/release.yml@refs/heads/main",
            ),
        ),
        (
            "another issuer",
            "fits no entry",
            spoiled(&|signing| signing.leaf.issuer = "https://token.actions.example.evil"),
        ),
        (
            "certificate of another authority",
            "certificate chain",
            spoiled(&|signing| signing.leaf.authority = &strangers.0),
        ),
        (
            "certificate that no log knows",
            "SCT",
            spoiled(&|signing| signing.leaf.log = None),
        ),
        (
            "certificate that another log knows",
            "SCT",
            spoiled(&|signing| signing.leaf.log = Some(&strangers.1)),
        ),
        (
            "certificate for another use",
            "certificate chain",
            spoiled(&|signing| signing.leaf.code_signing = false),
        ),
        (
            "certificate that had expired",
            "certificate chain",
            spoiled(&|signing| signing.at += 2 * DAY),
        ),
        (
            "certificate that was not valid yet",
            "certificate chain",
            spoiled(&|signing| signing.at -= DAY),
        ),
        (
            "time before the authority",
            "integrated time",
            spoiled(&|signing| signing.at -= 365 * DAY),
        ),
        (
            "entry in another log",
            "log key",
            spoiled(&|signing| signing.log = &strangers.1),
        ),
    ]
}

#[tokio::test]
async fn no_bad_keyless_signature_counts_and_each_is_refused_for_its_own_reason() {
    let mut beside = Beside::start().await;
    let sigstore = Sigstore::new();
    let strangers = (Authority::new(), Log::new("strangers.example"));
    let trust = by_identity(&sigstore);
    let good = || sigstore.signing(&digest());
    for (number, (case, why, signing)) in made_wrongly(good, &strangers).into_iter().enumerate() {
        beside.next(&format!("made/{number}"));
        beside.bundle(&signing.bundle());
        refused(&beside, &trust, case, why).await;
    }
    for (number, (case, why, spoil)) in SPOILED.iter().enumerate() {
        beside.next(&format!("spoiled/{number}"));
        let mut bundle = good().bundle();
        spoil(&mut bundle);
        beside.bundle(&bundle);
        refused(&beside, &trust, case, why).await;
    }
}

#[tokio::test]
async fn an_entry_of_the_log_proves_the_signature_for_which_it_was_made_and_no_other() {
    let beside = Beside::start().await;
    let sigstore = Sigstore::new();
    let mut bundle = sigstore.signing(&digest()).bundle();
    let mut other = sigstore.signing(&digest()).bundle();
    bundle["verificationMaterial"]["tlogEntries"] =
        other["verificationMaterial"]["tlogEntries"].take();
    beside.bundle(&bundle);
    let case = "entry of another signature";
    refused(&beside, &by_identity(&sigstore), case, "Rekor").await;
}

#[tokio::test]
async fn no_bad_keyless_signature_in_the_older_form_counts() {
    let mut beside = Beside::start().await;
    let sigstore = Sigstore::new();
    let trust = by_identity(&sigstore);
    let signing = sigstore.signing(&digest());
    let (of_another, _) = signing.older(&Digest::of(b"other"));
    let log_entry = "dev.sigstore.cosign/bundle";
    let forged = json!({
        "SignedEntryTimestamp": b64(b"\x30\x06\x02\x01\x01\x02\x01\x01"),
        "Payload": serde_json::from_str::<Value>(signing.older(&digest()).1[log_entry].as_str().unwrap()).unwrap()["Payload"],
    });
    for (number, (case, why, payload, annotation, value)) in [
        (
            "payload of another artifact",
            "another artifact",
            Some(of_another),
            log_entry,
            None,
        ),
        (
            "no log entry",
            "no log knows it",
            None,
            log_entry,
            Some(String::new()),
        ),
        (
            "log entry of another signature",
            "Rekor",
            None,
            log_entry,
            signing.older(&digest()).1[log_entry]
                .as_str()
                .map(str::to_owned),
        ),
        (
            "forged promise",
            "SET",
            None,
            log_entry,
            Some(forged.to_string()),
        ),
        (
            "log entry that is garbage",
            "cannot be read",
            None,
            log_entry,
            Some("{}".to_owned()),
        ),
        (
            "certificate that is garbage",
            "certificate",
            None,
            "dev.sigstore.cosign/certificate",
            Some("garbage".to_owned()),
        ),
        (
            "signature that is garbage",
            "no base64",
            None,
            "dev.cosignproject.cosign/signature",
            Some("*".to_owned()),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        beside.next(&format!("older/{number}"));
        let (ours, mut annotations) = signing.older(&digest());
        if let Some(value) = value {
            annotations[annotation] = json!(value);
        }
        beside.older(&payload.unwrap_or(ours), &annotations);
        refused(&beside, &trust, case, why).await;
    }
}

#[tokio::test]
async fn a_pattern_lets_nobody_in_who_only_begins_or_ends_like_it() {
    let mut beside = Beside::start().await;
    let sigstore = Sigstore::new();
    let entry = |pattern: &str| json!({ "issuer": ISSUER, "identityPattern": pattern });
    for (number, (pattern, identity)) in [
        (
            "^alice@example.org|bob@example.org$",
            "alice@example.org.evil",
        ),
        (
            "^alice@example.org|bob@example.org$",
            "evil-bob@example.org",
        ),
        (r"^.+@example\.org$", "alice@example.org.evil"),
    ]
    .into_iter()
    .enumerate()
    {
        beside.next(&format!("pattern/{number}"));
        let mut signing = sigstore.signing(&digest());
        signing.leaf.identity = identity;
        beside.bundle(&signing.bundle());
        let trust = by_keyless(&sigstore, &entry(pattern));
        refused(&beside, &trust, pattern, "fits no entry").await;
    }
}

#[tokio::test]
async fn who_signs_without_a_key_is_not_asked_for_when_only_keys_count() {
    let beside = Beside::start().await;
    let sigstore = Sigstore::new();
    beside.bundle(&sigstore.signing(&digest()).bundle());
    let trust = by_key(fixture!("p256.pub"));
    refused(&beside, &trust, "keyless", "names no identities").await;
    let beside = Beside::start().await;
    beside.bundle_bytes(fixture!("p256.bundle.json"));
    let trust = by_identity(&sigstore);
    refused(&beside, &trust, "keyed", "names no keys").await;
}
