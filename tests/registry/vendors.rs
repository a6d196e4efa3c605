//! What the registries of vendors say when a tag is to stay, or when they lack a part of the API: each ends as it
//! would with any other registry.

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use floe::effects::registry::{ErrorKind, TagReceipt, TagRefusal};

use crate::double::{Lie, On, Options, RegistryDouble, error, referrer, reply};
use crate::tag;

/// Registry, status, code and message of its refusal to write a tag that is there.
const IMMUTABLE: [(&str, u16, &str, &str); 4] = [
    (
        "ECR",
        400,
        "TAG_INVALID",
        "The image tag 'v1.2.3-prod' already exists in the 'team/app' repository and cannot be overwritten because the tag is immutable.",
    ),
    (
        "ECR by its API's name",
        400,
        "ImageTagAlreadyExistsException",
        "The image tag already exists",
    ),
    (
        "Harbor",
        412,
        "PRECONDITION",
        "Failed to process request due to 'team/app:v1.2.3-prod' configured as immutable.",
    ),
    ("others", 409, "CONFLICT", "tag already exists"),
];

fn refusal(status: u16, code: &str, message: &str) -> Lie {
    let status = StatusCode::from_u16(status).unwrap();
    Lie::Instead(error(status, code, message))
}

#[tokio::test]
async fn a_tag_that_must_stay_is_right_when_it_has_our_digest_and_taken_when_not() {
    for (registry, status, code, message) in IMMUTABLE {
        for ours in [true, false] {
            let double = RegistryDouble::start(Options::default()).await;
            let manifest = double.seed("team/app", Some("v1.2.3"), "ours");
            let other = double.seed("team/app", None, "other");
            // Somebody writes between our look and our PUT.
            let there = if ours { &manifest } else { &other }.clone();
            let lie = move |store: &mut crate::double::Store| {
                store.put("team/app", Some("v1.2.3-prod"), &there);
            };
            let page = "/manifests/v1.2.3-prod";
            double.lie(On::next(Method::HEAD, page), Lie::then(lie));
            double.lie(On::next(Method::PUT, page), refusal(status, code, message));
            let repository = double.repository("team/app");
            let written = double
                .client()
                .tag(&repository, &tag("v1.2.3-prod"), &manifest)
                .await;
            match (ours, written) {
                (true, Ok(TagReceipt::AlreadyThere)) => {}
                (false, Err(TagRefusal::Taken { found, .. })) => {
                    assert_eq!(found, *other.digest());
                }
                (_, written) => panic!("{registry}, ours: {ours}: {written:?}"),
            }
            assert_eq!(double.take_methods(), ["HEAD", "PUT", "HEAD"]);
        }
    }
}

#[tokio::test]
async fn latest_that_may_not_move_is_refused_in_the_registrys_words_and_stays() {
    for (registry, status, code, message) in IMMUTABLE {
        let double = RegistryDouble::start(Options::default()).await;
        let manifest = double.seed("team/app", None, "new");
        double.seed("team/app", Some("latest-prod"), "old");
        let before = double.tags();
        let page = "/manifests/latest-prod";
        double.lie(
            On::next(Method::PUT, page).always(),
            refusal(status, code, message),
        );
        let repository = double.repository("team/app");
        let moved = double
            .client()
            .move_tag(&repository, &tag("latest-prod"), &manifest)
            .await;
        let error = moved.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{registry}: {error}");
        assert_eq!(error.code(), Some(code), "{registry}");
        assert!(error.to_string().contains(message), "{registry}: {error}");
        assert_eq!(double.take_methods(), ["HEAD", "PUT", "HEAD"], "{registry}");
        assert_eq!(double.tags(), before);
    }
}

#[tokio::test]
async fn ecr_takes_no_manifest_with_a_subject_and_says_so() {
    let double = RegistryDouble::start(Options::default()).await;
    let subject = double.seed("team/app", Some("v1.2.3"), "one");
    let record = referrer(&subject, "record");
    let words = "Invalid parameter at 'ImageManifest' failed to satisfy constraint";
    let lie = refusal(405, "UNSUPPORTED", words);
    double.lie(On::next(Method::PUT, "/manifests/sha256:"), lie);
    let repository = double.repository("team/app");
    let client = double.client();
    client.push_blob(&repository, b"record").await.unwrap();
    let before = double.tags();
    let pushed = client
        .push_referrer(&repository, &record, subject.digest())
        .await;
    let error = pushed.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(
        double.tags(),
        before,
        "no list that names what is not there"
    );
}

#[tokio::test]
async fn without_a_referrers_api_the_list_is_kept_under_its_tag_however_the_404_looks() {
    let pages = [
        ("GHCR", "text/plain; charset=utf-8", "404 page not found\n"),
        (
            "with a code",
            "application/json",
            r#"{"errors":[{"code":"NOT_FOUND","message":"not found"}]}"#,
        ),
        ("bare", "application/octet-stream", ""),
    ];
    for (registry, kind, body) in pages {
        let double = RegistryDouble::start(Options::default()).await;
        let subject = double.seed("team/app", Some("v1.2.3"), "one");
        let record = referrer(&subject, "record");
        let repository = double.repository("team/app");
        let client = double.client();
        client.push_blob(&repository, b"record").await.unwrap();
        let page = reply(
            StatusCode::NOT_FOUND,
            &[("content-type", kind)],
            Bytes::from_static(body.as_bytes()),
        );
        double.lie(
            On::next(Method::GET, "/referrers/").always(),
            Lie::Instead(page),
        );
        let receipt = client
            .push_referrer(&repository, &record, subject.digest())
            .await
            .unwrap();
        assert!(!receipt.by_registry, "{registry}");
        let listed = client.referrers(&repository, subject.digest()).await;
        let digests: Vec<_> = listed.unwrap().into_iter().map(|one| one.digest).collect();
        assert_eq!(digests, [record.digest().clone()], "{registry}");
    }
}
