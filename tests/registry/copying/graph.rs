//! What an artifact is made of.

use axum::http::Method;
use floe::domain::artifact::{Algorithm, Digest};
use floe::effects::registry::{
    CopyOptions, ErrorKind, ItemKind, ManifestType, Outcome, RawManifest, copy_graph, tree,
};
use serde_json::json;

use super::{
    INDEX, SOURCE, TARGET, Two, count, described, entry, image, index, outcome_of, outcomes, raw,
};
use crate::double::Options;

fn api(referrers_api: bool) -> Options {
    Options {
        referrers_api,
        ..Options::default()
    }
}

#[tokio::test]
async fn the_whole_graph_is_copied_between_registries_of_every_kind() {
    for (from_api, to_api) in [(false, false), (false, true), (true, false), (true, true)] {
        let two = Two::start(api(from_api), api(to_api)).await;
        let children = [
            two.image(&["shared", "amd64"]),
            two.image(&["shared", "arm64"]),
            two.image(&["shared", "s390x"]),
        ];
        let root = index(&children.each_ref());
        two.put(Some("1"), &root, &[]);
        let signature = two.attach(&root, "signature");
        let of_child = two.attach(&children[1], "sbom of a child");
        let of_signature = two.attach(&signature, "about the signature");
        two.legacy(&root, "sig", &["older signature"]);
        two.legacy(&children[0], "att", &["older attestation"]);

        let report = two.copy(&root).await.unwrap();
        assert_eq!(report.root, root);
        let counts = outcomes(&report);
        assert_eq!(counts[&(ItemKind::Index, "Written")], 1);
        assert_eq!(counts[&(ItemKind::Manifest, "Written")], 3);
        assert_eq!(counts[&(ItemKind::Referrer, "Written")], 3);
        assert_eq!(counts[&(ItemKind::LegacyTag, "Written")], 2);
        assert_eq!(counts[&(ItemKind::Blob, "Written")], 10);
        assert_eq!(counts.len(), 5);
        assert_eq!(report.lost().count(), 0);
        two.assert_same();
        for (subject, referrer) in [
            (&root, &signature),
            (&children[1], &of_child),
            (&signature, &of_signature),
        ] {
            let listed = two.target.referrers(&two.there, subject.digest()).await;
            assert_eq!(&listed.unwrap()[0].digest, referrer.digest());
        }
        assert_eq!(two.missing(&root).await, []);

        two.to.take_requests();
        let again = two.copy(&root).await.unwrap();
        assert!(
            outcomes(&again)
                .keys()
                .all(|(_, outcome)| *outcome == "AlreadyThere")
        );
        let written = two.to.take_methods();
        assert!(
            written
                .iter()
                .all(|method| method == "GET" || method == "HEAD")
        );
        // What is not looked for in the source cannot be missed there.
        assert!(
            two.from
                .take_requests()
                .iter()
                .all(|request| !request.starts_with("PUT"))
        );
    }
}

#[tokio::test]
async fn without_referrers_only_the_artifact_itself_is_copied() {
    let two = Two::plain().await;
    let root = two.image(&["layer"]);
    let signature = two.attach(&root, "signature");
    let (from, to) = two.places();
    let options = CopyOptions {
        attached: false,
        ..CopyOptions::default()
    };
    let report = copy_graph(from, to, root.digest(), &options).await.unwrap();
    assert_eq!(report.items.len(), 3);
    assert!(two.target_has(root.digest()) && !two.target_has(signature.digest()));
    assert_eq!(
        count(&two.from.take_requests(), &Method::GET, "referrers"),
        0
    );
}

#[tokio::test]
async fn a_copy_takes_three_requests_a_blob_and_two_a_manifest_of_the_target() {
    let two = Two::plain().await;
    let children = [
        two.image(&["a1", "a2"]),
        two.image(&["b1", "b2"]),
        two.image(&["c1", "c2"]),
    ];
    let root = index(&children.each_ref());
    two.put(None, &root, &[]);
    two.copy(&root).await.unwrap();
    let requests = two.to.take_requests();
    assert_eq!(count(&requests, &Method::HEAD, "/blobs/"), 7);
    assert_eq!(count(&requests, &Method::POST, "/blobs/"), 7);
    assert_eq!(count(&requests, &Method::PUT, "/blobs/"), 7);
    assert_eq!(count(&requests, &Method::HEAD, "/manifests/"), 4);
    assert_eq!(count(&requests, &Method::PUT, "/manifests/"), 4);
    assert_eq!(requests.len(), 7 * 3 + 4 * 2);
    // The parents come last.
    assert!(requests.last().unwrap().contains(root.digest().as_str()));
    let requests = two.from.take_requests();
    assert_eq!(count(&requests, &Method::GET, "/blobs/"), 7);
    // Manifest, referrers, fallback tag, and three older tags each.
    assert_eq!(requests.len(), 7 + 4 * 6);
}

#[tokio::test]
async fn what_an_odd_artifact_is_made_of_is_copied_too() {
    let two = Two::plain().await;
    let none = two.image(&[]);
    let texts: Vec<String> = (0..100).map(|number| format!("layer {number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let many = two.image(&texts);
    let twice = two.image(&["same", "same", ""]);
    let inner = index(&[&none, &many]);
    two.put(None, &inner, &[]);
    let cache = raw(
        &json!({
            "schemaVersion": 2, "mediaType": INDEX,
            "manifests": [described("application/vnd.buildkit.cacheconfig.v0", b"cache"), entry(&twice)],
        }),
        ManifestType::OciIndex,
    );
    two.put(None, &cache, &[b"cache"]);
    let docker = raw(
        &json!({
            "schemaVersion": 2, "mediaType": ManifestType::DockerManifest.as_str(),
            "config": described("application/vnd.docker.container.image.v1+json", b"{\"a\": 1}"),
            "layers": [described("application/vnd.docker.image.rootfs.diff.tar.gzip", b"tar")],
        }),
        ManifestType::DockerManifest,
    );
    two.put(None, &docker, &[b"{\"a\": 1}", b"tar"]);
    let list = raw(
        &json!({
            "schemaVersion": 2, "mediaType": ManifestType::DockerList.as_str(),
            "manifests": [entry(&docker)],
        }),
        ManifestType::DockerList,
    );
    two.put(None, &list, &[]);
    let root = index(&[&inner, &cache, &list, &twice]);
    two.put(None, &root, &[]);
    let report = two.copy(&root).await.unwrap();
    assert_eq!(report.lost().count(), 0);
    two.assert_same();
    assert!(two.target_has(&Digest::of(b"")));
    assert_eq!(two.missing(&root).await, []);
}

#[tokio::test]
async fn content_that_a_manifest_embeds_needs_no_source() {
    let two = Two::plain().await;
    let mut layer = described("text/plain", b"embedded");
    layer["data"] = json!("ZW1iZWRkZWQ=");
    let root = raw(
        &json!({
            "schemaVersion": 2, "mediaType": ManifestType::OciManifest.as_str(),
            "config": described("application/vnd.oci.empty.v1+json", b"{}"), "layers": [layer],
        }),
        ManifestType::OciManifest,
    );
    two.put(None, &root, &[b"{}"]);
    two.copy(&root).await.unwrap();
    assert!(two.target_has(&Digest::of(b"embedded")));
}

#[tokio::test]
async fn foreign_layers_and_the_own_subject_stay_behind_and_are_named() {
    let two = Two::plain().await;
    let subject = two.image(&["subject"]);
    let mut foreign = described(
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        b"far",
    );
    foreign["urls"] = json!(["https://example.org/far"]);
    let root = raw(
        &json!({
            "schemaVersion": 2, "mediaType": ManifestType::OciManifest.as_str(),
            "config": described("application/vnd.oci.empty.v1+json", b"{}"), "layers": [foreign],
            "subject": entry(&subject),
        }),
        ManifestType::OciManifest,
    );
    two.put(None, &root, &[b"{}"]);
    let report = two.copy(&root).await.unwrap();
    let far = Digest::of(b"far");
    for digest in [&far, subject.digest()] {
        let outcome = outcome_of(&report, digest);
        assert!(matches!(outcome, Outcome::LeftOut { .. }), "{outcome:?}");
    }
    assert_eq!(report.lost().count(), 0);
    assert!(!two.target_has(subject.digest()) && !two.target_has(&far));
    // It is attached to its subject all the same, wherever that comes from.
    let listed = two.target.referrers(&two.there, subject.digest()).await;
    assert_eq!(&listed.unwrap()[0].digest, root.digest());
    assert_eq!(two.missing(&root).await, []);
}

#[tokio::test]
async fn digests_of_sha512_are_carried_and_checked() {
    let two = Two::plain().await;
    let long = |bytes: &[u8]| Digest::of_as(bytes, Algorithm::Sha512);
    let layer = b"long name";
    let child = raw(
        &json!({
            "schemaVersion": 2, "mediaType": ManifestType::OciManifest.as_str(),
            "config": described("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [{"mediaType": "text/plain", "digest": long(layer), "size": layer.len()}],
        }),
        ManifestType::OciManifest,
    );
    let name = long(child.bytes());
    let root = raw(
        &json!({
            "schemaVersion": 2, "mediaType": INDEX,
            "manifests": [{
                "mediaType": child.media_type().as_str(), "digest": name, "size": child.size(),
            }],
        }),
        ManifestType::OciIndex,
    );
    two.put(None, &root, &[b"{}"]);
    {
        let mut store = two.from.store();
        let key = |digest: &Digest| (SOURCE.to_owned(), digest.to_string());
        store
            .blobs
            .insert(key(&long(layer)), layer.as_slice().into());
        let stored = (child.bytes().clone(), child.media_type().to_string());
        store.manifests.insert(key(&name), stored);
    }
    let report = two.copy(&root).await.unwrap();
    assert_eq!(report.lost().count(), 0);
    two.assert_same();
    assert_eq!(two.missing(&root).await, []);

    let two = Two::plain().await;
    two.put(None, &root, &[b"{}"]);
    let key = (SOURCE.to_owned(), name.to_string());
    let altered = (
        image(&[], None).bytes().clone(),
        child.media_type().to_string(),
    );
    two.from.store().manifests.insert(key, altered);
    assert_eq!(
        two.copy(&root).await.unwrap_err().kind(),
        ErrorKind::Unreadable
    );
}

#[tokio::test]
async fn an_artifact_that_cannot_be_copied_whole_is_an_error_and_the_target_gets_no_root() {
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let old = json!({"mediaType": schema_1, "digest": Digest::of(b"old"), "size": 3});
    let absent = image(&["absent"], None);
    for (children, kind) in [
        (vec![old], ErrorKind::Unsupported),
        (vec![entry(&absent)], ErrorKind::Refused),
    ] {
        let two = Two::plain().await;
        let good = two.image(&["good"]);
        let children: Vec<_> = children.into_iter().chain([entry(&good)]).collect();
        let document = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
        let root = raw(&document, ManifestType::OciIndex);
        two.put(None, &root, &[]);
        assert_eq!(two.copy(&root).await.unwrap_err().kind(), kind);
        assert!(!two.target_has(root.digest()));
    }
    let two = Two::plain().await;
    let error = two.copy(&absent).await.unwrap_err();
    assert_eq!(error.code(), Some("MANIFEST_UNKNOWN"));
    assert!(error.to_string().contains(absent.digest().as_str()));
    // A blob that the source does not have.
    two.put(None, &absent, &[b"{}"]);
    assert_eq!(
        two.copy(&absent).await.unwrap_err().kind(),
        ErrorKind::Refused
    );
    assert!(!two.target_has(absent.digest()));
    assert_eq!(two.open_uploads(), 0);
}

async fn missing_digests(two: &Two, root: &RawManifest) -> Vec<Digest> {
    let missing = two.missing(root).await;
    let digests = missing.into_iter().map(|missing| missing.item.digest);
    digests.collect()
}

#[tokio::test]
async fn what_the_target_lacks_is_named_one_by_one() {
    let two = Two::plain().await;
    let root = two.image(&["layer"]);
    let signature = two.attach(&root, "signature");
    two.legacy(&root, "sig", &["older"]);
    let all = two.missing(&root).await;
    assert_eq!(all.len(), 7, "{all:?}");
    two.copy(&root).await.unwrap();
    let key = |digest: &Digest| (TARGET.to_owned(), digest.to_string());
    let layer = Digest::of(b"layer");
    let kept = two.to.store().blobs.remove(&key(&layer)).unwrap();
    assert_eq!(
        missing_digests(&two, &root).await,
        std::slice::from_ref(&layer)
    );
    two.to.store().blobs.insert(key(&layer), kept);
    // The list of referrers lost its entry.
    let tag = root.digest().referrers_tag().to_string();
    two.to.store().tags.remove(&(TARGET.to_owned(), tag));
    assert_eq!(
        missing_digests(&two, &root).await,
        [signature.digest().clone()]
    );
    let report = two.copy(&root).await.unwrap();
    assert_eq!(report.lost().count(), 0);
    assert_eq!(missing_digests(&two, &root).await, []);
}

#[tokio::test]
async fn a_tree_names_everything_once_and_by_what_it_belongs_to() {
    let two = Two::plain().await;
    let children = [two.image(&["shared"]), two.image(&["shared", "own"])];
    let root = index(&children.each_ref());
    two.put(None, &root, &[]);
    let signature = two.attach(&children[0], "signature");
    let sbom = two.legacy(&root, "sbom", &["sbom"]);
    let (from, _) = two.places();
    let tree = tree(from, root.digest(), &CopyOptions::default())
        .await
        .unwrap();
    let seen: Vec<_> = tree
        .items
        .iter()
        .map(|item| (item.kind, item.digest.clone(), item.of.clone()))
        .collect();
    let of = |manifest: &RawManifest| Some(manifest.digest().clone());
    let blob = |text: &str, of| (ItemKind::Blob, Digest::of(text.as_bytes()), of);
    let named = |kind, manifest: &RawManifest, of| (kind, manifest.digest().clone(), of);
    let expected = [
        named(ItemKind::Index, &root, None),
        named(ItemKind::Manifest, &children[0], of(&root)),
        named(ItemKind::Manifest, &children[1], of(&root)),
        named(ItemKind::Referrer, &signature, of(&children[0])),
        named(ItemKind::LegacyTag, &sbom, of(&root)),
        blob("{}", of(&children[0])),
        blob("shared", of(&children[0])),
        blob("own", of(&children[1])),
    ];
    for expected in &expected {
        assert!(seen.contains(expected), "{expected:?} in {seen:#?}");
    }
    assert_eq!(seen.len(), expected.len() + 2);
    assert_eq!(seen[0], expected[0]);
    assert_eq!(tree.unreadable, []);
}
