use floe::effects::signatures::VerifiedCache;
use serde_json::json;

use super::*;

#[tokio::test]
async fn what_cosign_has_signed_with_a_key_of_each_kind_counts_in_both_forms() {
    let mut beside = Beside::start().await;
    for (kind, key, bundle, older, payload) in [
        (
            "p256",
            fixture!("p256.pub"),
            fixture!("p256.bundle.json"),
            fixture!("p256.older.json"),
            fixture!("p256.payload.json"),
        ),
        (
            "p384",
            fixture!("p384.pub"),
            fixture!("p384.bundle.json"),
            fixture!("p384.older.json"),
            fixture!("p384.payload.json"),
        ),
        (
            "rsa",
            fixture!("rsa.pub"),
            fixture!("rsa.bundle.json"),
            fixture!("rsa.older.json"),
            fixture!("rsa.payload.json"),
        ),
    ] {
        let trust = by_key(key);
        beside.next(&format!("{kind}/bundle"));
        beside.bundle_bytes(bundle);
        let verdict = beside.verdict(&trust).await.unwrap();
        let by = ["key 'cosign.pub' of ConfigMap 'keys'"];
        assert_eq!(verdict.by(), by, "{kind}: {:?}", verdict.problem());
        beside.next(&format!("{kind}/older"));
        beside.older(payload, &annotations_of(older));
        let verdict = beside.verdict(&trust).await.unwrap();
        assert_eq!(verdict.by(), by, "{kind}: {:?}", verdict.problem());
    }
}

#[tokio::test]
async fn keyless_signatures_count_in_both_forms_by_identity_and_by_pattern() {
    let mut beside = Beside::start().await;
    let sigstore = Sigstore::new();
    let signing = sigstore.signing(&digest());
    let pattern =
        r"^https://github\.example/team/app/\.github/workflows/release\.yml@refs/heads/.+$";
    for (name, trust) in [
        ("exact", by_identity(&sigstore)),
        (
            "pattern",
            by_keyless(
                &sigstore,
                &json!({ "issuer": ISSUER, "identityPattern": pattern }),
            ),
        ),
    ] {
        beside.next(&format!("{name}/bundle"));
        beside.bundle(&signing.bundle());
        let verdict = beside.verdict(&trust).await.unwrap();
        let by = [format!("{IDENTITY} ({ISSUER})")];
        assert_eq!(verdict.by(), by, "{name}: {:?}", verdict.problem());
        beside.next(&format!("{name}/older"));
        let (payload, annotations) = signing.older(&digest());
        beside.older(&payload, &annotations);
        let verdict = beside.verdict(&trust).await.unwrap();
        assert_eq!(verdict.by(), by, "{name}: {:?}", verdict.problem());
    }
}

#[tokio::test]
async fn a_good_signature_among_bad_ones_counts() {
    let beside = Beside::start().await;
    for number in 0..15 {
        beside.bundle_bytes(format!("garbage {number}").as_bytes());
    }
    beside.bundle_bytes(fixture!("p256.bundle.json"));
    beside.bundle_bytes(fixture!("rsa.bundle.json"));
    beside.bundle_bytes(fixture!("p256.sbom.json"));
    let verdict = beside.verdict(&by_key(fixture!("p256.pub"))).await.unwrap();
    assert!(verdict.verified() && verdict.problem().is_none());
}

#[tokio::test]
async fn a_list_that_clients_keep_is_believed_in_nothing_but_what_it_lists() {
    let options = Options {
        referrers_api: false,
        ..Options::default()
    };
    let beside = Beside::with(options).await;
    let referrer = beside.referrer(BUNDLE, fixture!("p256.bundle.json"), &json!({}));
    beside.put(None, &referrer);
    // As cosign writes it: the type is that of an empty config.
    let index = json!({
        "schemaVersion": 2, "mediaType": ManifestType::OciIndex.as_str(),
        "manifests": [{
            "mediaType": ManifestType::OciManifest.as_str(), "digest": referrer.digest(), "size": referrer.size(),
            "artifactType": "application/vnd.oci.empty.v1+json",
        }],
    });
    let index = RawManifest::new(index.to_string().into_bytes(), ManifestType::OciIndex);
    beside.put(Some(digest().referrers_tag().as_str()), &index);
    let verdict = beside.verdict(&by_key(fixture!("p256.pub"))).await.unwrap();
    assert!(verdict.verified(), "{:?}", verdict.problem());
}

#[tokio::test]
async fn a_good_verdict_is_kept_for_the_same_trust_and_a_bad_one_is_not() {
    let beside = Beside::start().await;
    beside.bundle_bytes(fixture!("p256.bundle.json"));
    let repository = beside.double.repository("team/app");
    let (ours, other) = (by_key(fixture!("p256.pub")), by_key(fixture!("p384.pub")));
    let cache = VerifiedCache::default();
    for trust in [&ours, &other] {
        let verdict = beside.verdict(trust).await.unwrap();
        cache.insert(&repository, &digest(), trust, &verdict);
    }
    let kept = |trust: &Trust| cache.get(&repository, &digest(), trust);
    assert!(kept(&ours).is_some_and(|verdict| verdict.verified()));
    assert_eq!(kept(&other), None, "it may be signed in a moment");
    assert_eq!(cache.get(&repository, &Digest::of(b"other"), &ours), None);
    // The same name in the policy, and another key behind it.
    assert_eq!(kept(&by_key(fixture!("rsa.pub"))), None);
}

#[test]
fn what_a_policy_names_must_be_public_keys_or_a_trusted_root() {
    let keys =
        json!({ "mode": "Enforce", "keys": [{ "secretName": "signing", "key": "cosign.pub" }] });
    let private = b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
    for (content, why) in [
        (private.as_slice(), "private key"),
        (b"hello".as_slice(), "no public key"),
        (b"\xff\xfe".as_slice(), "no text"),
        (fixture!("ed25519.pub"), "no public key in PEM of ECDSA"),
    ] {
        let said = trust(&keys, content).err().unwrap().to_string();
        assert!(
            said.contains(why) && said.contains("'cosign.pub' of Secret 'signing'"),
            "{said}"
        );
        assert!(!said.contains("AAAA") && !said.contains("hello"), "{said}");
    }
    let root = json!({
        "mode": "Enforce", "keyless": [{ "issuer": ISSUER, "identity": IDENTITY }],
        "trustedRoot": { "configMapName": "sigstore", "key": "root.json" },
    });
    let mut without_log: Value = fixture_json(Sigstore::new().trusted_root().as_bytes());
    without_log.as_object_mut().unwrap().remove("ctlogs");
    for content in ["{}".to_owned(), "[]".to_owned(), without_log.to_string()] {
        let said = trust(&root, content.as_bytes()).err().unwrap().to_string();
        assert!(said.contains("no trusted root"), "{said}");
    }
}

#[test]
fn without_a_trusted_root_the_public_one_is_used_that_is_built_in() {
    let written =
        json!({ "mode": "Enforce", "keyless": [{ "issuer": ISSUER, "identity": IDENTITY }] });
    assert!(trust(&written, b"").is_ok());
}
