//! A registry that fails has not said "not signed".

use axum::http::Method;
use floe::effects::registry::{ErrorKind, Registry};
use serde_json::json;

use super::*;
use crate::double::{Lie, On};

/// The blob of the signature; that of the artifact's config is not asked for.
const READS: [&str; 4] = ["/referrers/", "/manifests/sha256:", "/blobs/", ".sig"];

#[tokio::test]
async fn a_registry_that_fails_or_refuses_anywhere_is_an_error_and_no_verdict() {
    for part in READS {
        for (status, kind) in [
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
            (429, ErrorKind::Unavailable),
            (403, ErrorKind::Denied),
        ] {
            let beside = Beside::start().await;
            beside.bundle_bytes(fixture!("p256.bundle.json"));
            let (payload, older) = (fixture!("p256.payload.json"), fixture!("p256.older.json"));
            beside.older(payload, &annotations_of(older));
            let lie = Lie::status(status);
            beside.double.lie(On::next(Method::GET, part).always(), lie);
            let failed = beside.verdict(&by_key(fixture!("p256.pub"))).await;
            let found = failed.map_err(|error| error.kind());
            assert_eq!(found, Err(kind), "{part} {status}");
        }
    }
}

#[tokio::test]
async fn a_referrer_that_went_away_is_passed_over_and_the_others_count() {
    let beside = Beside::start().await;
    beside.bundle_bytes(fixture!("p256.bundle.json"));
    let gone = beside.referrer(BUNDLE, b"gone", &json!({}));
    beside.put(None, &gone);
    let there = format!("/manifests/{}", gone.digest());
    let clean = crate::double::error(
        axum::http::StatusCode::NOT_FOUND,
        "MANIFEST_UNKNOWN",
        "gone",
    );
    let lie = Lie::Instead(clean);
    beside.double.lie(On::next(Method::GET, there), lie);
    let verdict = beside.verdict(&by_key(fixture!("p256.pub"))).await.unwrap();
    assert!(verdict.verified(), "{:?}", verdict.problem());
}

#[tokio::test]
async fn ten_thousand_referrers_of_strangers_are_an_error_after_one_request() {
    let beside = Beside::start().await;
    beside.bundle_bytes(fixture!("p256.bundle.json"));
    for number in 0..10_000 {
        let text = number.to_string();
        let stranger = beside.referrer("text/plain", text.as_bytes(), &json!({}));
        beside.put(None, &stranger);
    }
    beside.double.take_requests();
    let access = floe::effects::registry::Access {
        limits: floe::effects::registry::Limits::default(),
        ..beside.double.access()
    };
    let registry = Registry::new(&access).unwrap();
    let repository = beside.double.repository("team/app");
    let trust = by_key(fixture!("p256.pub"));
    let answer = verify_signature(&registry, &repository, &digest(), &trust).await;
    assert_eq!(
        answer.map_err(|error| error.kind()),
        Err(ErrorKind::TooLarge)
    );
    assert!(beside.double.take_requests().len() <= 2);
}

#[tokio::test]
async fn more_attestations_than_are_looked_at_are_an_error_also_with_a_good_signature() {
    let beside = Beside::start().await;
    let layers: Vec<Value> = (0..300)
        .map(|number| {
            let text = format!("garbage {number}");
            let (digest, size) = (beside.blob(text.as_bytes()), text.len());
            json!({ "mediaType": BUNDLE, "digest": digest, "size": size })
        })
        .collect();
    let mut many = fixture_json(beside.referrer(BUNDLE, b"{}", &json!({})).bytes());
    many["layers"] = json!(layers);
    let many = RawManifest::new(many.to_string().into_bytes(), ManifestType::OciManifest);
    beside.put(None, &many);
    beside.bundle_bytes(fixture!("p256.bundle.json"));
    let answer = beside.verdict(&by_key(fixture!("p256.pub"))).await;
    assert_eq!(
        answer.map_err(|error| error.kind()),
        Err(ErrorKind::TooLarge)
    );
}
