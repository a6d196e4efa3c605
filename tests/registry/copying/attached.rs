//! Referrers and cosign's older tags, also where the target has some of its own.

use axum::http::Method;
use floe::domain::artifact::Digest;
use floe::effects::registry::{ItemKind, ManifestType, Outcome, RawManifest};
use serde_json::json;

use super::{SOURCE, TARGET, Two, count, described, image, outcome_of, outcomes, raw};
use crate::double::{Lie, On, Options};

fn target_tag(two: &Two, tag: &str) -> Option<String> {
    let key = (TARGET.to_owned(), tag.to_owned());
    two.to.store().tags.get(&key).cloned()
}

fn legacy_tag(subject: &RawManifest, end: &str) -> String {
    format!("sha256-{}.{end}", subject.digest().hex())
}

/// Puts an image under a tag of the target.
fn seed_target(two: &Two, tag: &str, layers: &[&str]) -> RawManifest {
    let manifest = image(layers, None);
    two.to.seed_blob(TARGET, b"{}");
    for layer in layers {
        two.to.seed_blob(TARGET, layer.as_bytes());
    }
    two.to.store().put(TARGET, Some(tag), &manifest);
    manifest
}

#[tokio::test]
async fn a_hundred_referrers_take_one_write_of_the_target_s_list() {
    let two = Two::plain().await;
    let root = two.image(&["layer"]);
    let referrers: Vec<_> = (0..100)
        .map(|number| {
            let content = format!("record {number}");
            let manifest = image(&[&content], Some(&root));
            two.put(None, &manifest, &[content.as_bytes()]);
            manifest
        })
        .collect();
    two.list(&root, &referrers.iter().collect::<Vec<_>>());
    // The target has one that the source has not: it stays.
    let own = image(&["own"], Some(&root));
    two.to.seed_blob(TARGET, b"{}");
    two.to.seed_blob(TARGET, b"own");
    two.target
        .push_referrer(&two.there, &own, root.digest())
        .await
        .unwrap();
    two.to.take_requests();

    let report = two.copy(&root).await.unwrap();
    assert_eq!(outcomes(&report)[&(ItemKind::Referrer, "Written")], 100);
    let requests = two.to.take_requests();
    let tag = root.digest().referrers_tag();
    assert_eq!(count(&requests, &Method::PUT, tag.as_str()), 1);
    // HEAD and PUT of each manifest, HEAD, POST and PUT of each blob, and a handful for the list.
    let rest = requests.len() - 101 * 2 - 101 * 3 - 1;
    assert!(rest <= 6, "{rest}");
    let listed = two
        .target
        .referrers(&two.there, root.digest())
        .await
        .unwrap();
    assert_eq!(listed.len(), 101);
    assert!(listed.iter().any(|entry| entry.digest == *own.digest()));
    // Nothing that is attached to the referrers is asked for one by one: the source has no API, and
    // its tags were listed.
    let asked = two.from.take_requests();
    assert!(
        count(&asked, &Method::GET, "/manifests/sha256-") <= 4,
        "{asked:?}"
    );
    assert!(count(&asked, &Method::GET, "/referrers/") <= 8, "{asked:?}");
}

#[tokio::test]
async fn an_older_tag_of_the_target_never_loses_what_only_the_target_has() {
    for (source, target, stays, why) in [
        (["a", "b"].as_slice(), ["a"].as_slice(), false, None),
        (&["a"], &["b", "a"], true, None),
        (
            &["a", "c"],
            &["b", "a"],
            true,
            Some("neither replaces the other"),
        ),
    ] {
        let two = Two::plain().await;
        let root = two.image(&["layer"]);
        let ours = two.legacy(&root, "sig", source);
        let tag = legacy_tag(&root, "sig");
        let theirs = seed_target(&two, &tag, target);
        let missing = two.missing(&root).await;
        let report = two.copy(&root).await.unwrap();
        let expected = if stays { &theirs } else { &ours };
        assert_eq!(target_tag(&two, &tag), Some(expected.digest().to_string()));
        let about_tag = |kind| kind == ItemKind::LegacyTag;
        assert_eq!(
            missing.iter().any(|missing| about_tag(missing.item.kind)),
            why.is_some() || !stays
        );
        let lost: Vec<_> = report.lost().collect();
        match why {
            None => assert_eq!(lost, []),
            Some(why) => {
                assert!(
                    about_tag(lost[0].0.kind) && lost[0].1.contains(why),
                    "{lost:?}"
                );
                assert!(!two.missing(&root).await.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_target_that_takes_no_subjects_gets_the_artifact_and_the_rest_is_named() {
    let options = Options {
        no_subjects: true,
        ..Options::default()
    };
    let two = Two::start(Options::default(), options).await;
    let root = two.image(&["layer"]);
    let signature = two.attach(&root, "signature");
    two.legacy(&root, "sig", &["older"]);
    let report = two.copy(&root).await.unwrap();
    assert!(two.target_has(root.digest()));
    assert!(target_tag(&two, &legacy_tag(&root, "sig")).is_some());
    let lost: Vec<_> = report.lost().collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(&lost[0].0.digest, signature.digest());
    assert!(
        lost[0].1.contains("405") && lost[0].1.contains("subject"),
        "{}",
        lost[0].1
    );
    let missing = two.missing(&root).await;
    assert_eq!(&missing[0].item.digest, signature.digest());

    // As a part of the artifact itself it is an error.
    let two = Two::start(Options::default(), options).await;
    let attached = two.attach(&root, "signature");
    assert!(
        two.copy(&attached)
            .await
            .unwrap_err()
            .to_string()
            .contains("405")
    );
}

#[tokio::test]
async fn broken_things_that_others_attached_do_not_stop_the_artifact() {
    let two = Two::plain().await;
    let root = two.image(&["layer"]);
    let dangling = image(&["dangling"], Some(&root));
    let stranger = two.image(&["names no subject"]);
    let without_blob = image(&["blob is gone"], Some(&root));
    two.put(None, &without_blob, &[]);
    let corrupt = image(&["corrupt"], Some(&root));
    two.put(None, &corrupt, &[b"corrupt"]);
    let key = (SOURCE.to_owned(), Digest::of(b"corrupt").to_string());
    two.from
        .store()
        .blobs
        .insert(key, b"korrupt".as_slice().into());
    two.list(&root, &[&dangling, &stranger, &without_blob, &corrupt]);
    let good = two.attach(&root, "good");
    {
        // A kind that floe does not know.
        let mut store = two.from.store();
        let tag = root.digest().referrers_tag().to_string();
        let place = (SOURCE.to_owned(), tag);
        let list = store.tags[&place].clone();
        let bytes = &store.manifests[&(SOURCE.to_owned(), list)].0;
        let mut list: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        let unknown = described("application/vnd.oci.artifact.manifest.v1+json", b"unknown");
        list["manifests"].as_array_mut().unwrap().push(unknown);
        let list = raw(&list, ManifestType::OciIndex);
        store.put(SOURCE, Some(&place.1), &list);
    }
    let report = two.copy(&root).await.unwrap();
    assert_eq!(outcome_of(&report, good.digest()), &Outcome::Written);
    for (digest, words) in [
        (dangling.digest(), "it is not there"),
        (stranger.digest(), "does not name that subject"),
        (without_blob.digest(), "404"),
        (corrupt.digest(), "corrupt"),
        (&Digest::of(b"unknown"), "floe does not carry"),
    ] {
        match outcome_of(&report, digest) {
            Outcome::LeftOut { why } => assert!(why.contains(words), "{why}"),
            other => panic!("{digest}: {other:?}"),
        }
        assert!(!two.target_has(digest));
    }
    assert!(!two.target_has(&Digest::of(b"corrupt")));
    assert_eq!(two.open_uploads(), 0);
    let listed = two
        .target
        .referrers(&two.there, root.digest())
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn a_registry_that_cannot_list_what_is_attached_stops_the_copy() {
    for lie in [
        Lie::status(500),
        Lie::status(429),
        Lie::status(403),
        Lie::Body("{".into()),
    ] {
        let two = Two::plain().await;
        let root = two.image(&["layer"]);
        two.attach(&root, "signature");
        let tag = root.digest().referrers_tag().to_string();
        two.from.lie(On::next(Method::GET, tag).always(), lie);
        assert!(two.copy(&root).await.is_err());
    }
}

#[tokio::test]
async fn a_referrer_that_the_target_has_but_does_not_list_is_written_again() {
    let options = Options {
        referrers_api: true,
        ..Options::default()
    };
    let two = Two::start(Options::default(), options).await;
    let root = two.image(&["layer"]);
    let signature = two.attach(&root, "signature");
    two.copy(&root).await.unwrap();
    two.to.take_requests();
    let empty = json!({"schemaVersion": 2, "mediaType": super::INDEX, "manifests": []});
    let lie = || Lie::Body(empty.to_string().into());
    two.to.lie(On::next(Method::GET, "referrers"), lie());
    let report = two.copy(&root).await.unwrap();
    assert_eq!(report.lost().count(), 0);
    let written = two.to.take_requests();
    assert_eq!(
        count(&written, &Method::PUT, signature.digest().as_str()),
        1
    );
    two.to
        .lie(On::next(Method::GET, "referrers").always(), lie());
    let report = two.copy(&root).await.unwrap();
    assert!(report.lost().next().unwrap().1.contains("does not list it"));
    assert!(two.missing(&root).await[0].why.contains("does not list it"));
}
