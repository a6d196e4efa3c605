//! Connections that break, registries that fail, bytes that are wrong.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use floe::domain::artifact::Digest;
use floe::effects::registry::{ErrorKind, RawManifest, Registry};

use super::{Two, image};
use crate::double::{Lie, On, error};

const TEXT: &str = "a layer that is cut at every byte";

#[tokio::test]
async fn a_transfer_that_is_cut_at_any_byte_is_done_again() {
    for at in 0..=TEXT.len() {
        for from_source in [true, false] {
            let two = Two::plain().await;
            let root = two.image(&[TEXT]);
            if from_source {
                let on = On::next(Method::GET, Digest::of(TEXT.as_bytes()).as_str());
                two.from.lie(on, Lie::CutAnswer(at));
            } else {
                two.to
                    .lie(On::next(Method::PUT, "uploads"), Lie::CutRequest(at));
            }
            let report = two.copy(&root).await.unwrap();
            assert_eq!(report.lost().count(), 0);
            two.assert_same();
            assert_eq!(two.from.lies_left() + two.to.lies_left(), 0);
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_at_any_request_ends_in_the_same_copy() {
    for lie in [Lie::ResetBefore, Lie::ResetAfter] {
        for in_source in [true, false] {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
                for at in 0.. {
                    let two = Two::plain().await;
                    let child = two.image(&["one"]);
                    let root = super::index(&[&child]);
                    two.put(None, &root, &[]);
                    two.attach(&root, "signature");
                    two.legacy(&child, "sig", &["older"]);
                    let registry = if in_source { &two.from } else { &two.to };
                    registry.lie(On::next(method.clone(), "/v2/").after(at), lie.clone());
                    let report = two.copy(&root).await.unwrap();
                    assert_eq!(report.lost().count(), 0);
                    let met = registry.lies_left() == 0;
                    if method == Method::POST {
                        // An upload whose address never came cannot be cancelled.
                        two.to.store().uploads.clear();
                    }
                    two.assert_same();
                    assert_eq!(two.missing(&root).await, []);
                    if !met {
                        break;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_registry_that_stays_away_is_an_error_after_a_few_tries() {
    for lie in [Lie::ResetBefore, Lie::status(503)] {
        let two = Two::plain().await;
        let root = two.image(&["one"]);
        two.to.lie(On::next(Method::PUT, "uploads").always(), lie);
        let error = two.copy(&root).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains(two.there.as_str()), "{error}");
        assert!(!two.target_has(root.digest()));
        assert_eq!(two.open_uploads(), 0);
    }
}

#[tokio::test]
async fn a_corrupt_blob_is_refused_by_name_and_never_completed() {
    let longer = format!("{TEXT} and more");
    for wrong in [
        TEXT.replace("every", "EVERY"),
        TEXT[1..].to_owned(),
        longer,
        String::new(),
    ] {
        let two = Two::plain().await;
        let root = two.image(&[TEXT]);
        let digest = Digest::of(TEXT.as_bytes());
        let on = On::next(Method::GET, digest.as_str()).always();
        two.from.lie(on, Lie::Body(Bytes::from(wrong)));
        let error = two.copy(&root).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{error}");
        let words = error.to_string();
        assert!(
            words.contains("corrupt") && words.contains(two.here.as_str()),
            "{words}"
        );
        assert!(words.contains(digest.as_str()), "{words}");
        assert!(!two.target_has(&digest) && !two.target_has(root.digest()));
        assert_eq!(two.open_uploads(), 0);
    }
    // Said to be empty.
    let two = Two::plain().await;
    let root = image(&["not empty"], None);
    let altered = String::from_utf8(root.bytes().to_vec()).unwrap();
    let altered = altered.replace("\"size\": 9", "\"size\": 0");
    let root = RawManifest::new(altered.into_bytes(), root.media_type());
    two.put(None, &root, &[b"{}"]);
    let error = two.copy(&root).await.unwrap_err();
    assert!(error.to_string().contains("corrupt"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_was_altered_on_the_way_is_refused() {
    let two = Two::plain().await;
    let root = two.image(&["one"]);
    let other = image(&["two"], None);
    let on = On::next(Method::GET, root.digest().as_str()).always();
    two.from.lie(on, Lie::Body(other.bytes().clone()));
    assert_eq!(
        two.copy(&root).await.unwrap_err().kind(),
        ErrorKind::Unreadable
    );
    assert!(two.to.take_requests().is_empty());
}

#[tokio::test]
async fn a_target_whose_disk_is_full_is_said_to_be_and_keeps_no_upload() {
    let long = "x".repeat(3 << 20);
    let full = error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "UNKNOWN",
        "no space left on device",
    );
    for read in [0, 1, 1 << 20] {
        let two = Two::plain().await;
        let root = two.image(&[&long, "one", "two"]);
        let on = On::next(Method::PUT, "uploads").always();
        two.to.lie(on, Lie::During(read, full.clone()));
        let error = two.copy(&root).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(!two.target_has(root.digest()));
        assert_eq!(two.open_uploads(), 0, "{read}");
    }
}

#[tokio::test]
async fn a_target_that_answers_before_it_has_everything_is_not_believed() {
    let long = "x".repeat(8 << 20);
    let two = Two::plain().await;
    let root = two.image(&[&long]);
    let done = crate::double::reply(StatusCode::CREATED, &[], Bytes::new());
    two.to.lie(
        On::next(Method::PUT, "uploads").always(),
        Lie::During(1, done),
    );
    assert!(two.copy(&root).await.is_err());
    assert!(!two.target_has(root.digest()));
}

#[tokio::test]
async fn a_side_that_stalls_is_given_up_within_the_time_limit() {
    let long = "x".repeat(64 << 10);
    let digest = Digest::of(long.as_bytes());
    for (from_source, lie) in [
        (true, Lie::StallBody),
        (true, Lie::Stall),
        (false, Lie::Stall),
    ] {
        let mut two = Two::plain().await;
        let client = |double: &crate::double::RegistryDouble| {
            let mut access = double.access();
            access.limits.request = Duration::from_millis(300);
            Registry::new(&access).unwrap()
        };
        (two.source, two.target) = (client(&two.from), client(&two.to));
        let root = two.image(&[&long]);
        if from_source {
            two.from
                .lie(On::next(Method::GET, digest.as_str()).always(), lie);
        } else {
            two.to.lie(On::next(Method::PUT, "uploads").always(), lie);
        }
        let copying = tokio::time::timeout(Duration::from_secs(20), two.copy(&root));
        let error = copying.await.unwrap().unwrap_err();
        assert!(error.is_transient(), "{error}");
        let place = if from_source { &two.here } else { &two.there };
        assert!(error.to_string().contains(place.as_str()), "{error}");
    }
}

#[tokio::test]
async fn a_copy_that_is_given_up_cancels_its_uploads() {
    let two = Two::plain().await;
    let root = two.image(&["one", "two"]);
    two.from
        .lie(On::next(Method::GET, "/blobs/").always(), Lie::StallBody);
    {
        let copying = two.copy(&root);
        tokio::pin!(copying);
        let read = || {
            let store = two.from.store();
            let blobs = store
                .log
                .iter()
                .filter(|asked| asked.path.contains("/blobs/"));
            blobs.count()
        };
        // Each is read after its upload was opened.
        while read() < 3 {
            let step = tokio::time::timeout(Duration::from_millis(5), &mut copying);
            assert!(step.await.is_err());
        }
    }
    let cancelled = async {
        while two.open_uploads() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let cancelled = tokio::time::timeout(Duration::from_secs(10), cancelled).await;
    assert!(cancelled.is_ok());
}

#[tokio::test]
async fn a_source_tag_that_is_deleted_meanwhile_changes_nothing() {
    let two = Two::plain().await;
    let root = two.image(&["one"]);
    two.put(Some("1"), &root, &[]);
    let forget = Lie::meanwhile(|store| store.tags.clear());
    two.from.lie(On::next(Method::GET, "/blobs/"), forget);
    two.copy(&root).await.unwrap();
    assert!(two.target_has(root.digest()));
}
