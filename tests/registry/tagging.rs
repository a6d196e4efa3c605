//! HEAD, PUT, HEAD.

use std::time::Duration;

use axum::http::Method;
use floe::effects::registry::{
    ErrorKind, MoveReceipt, Problem, RawManifest, Reference, TagReceipt, TagRefusal,
};
use tokio::time::Instant;

use crate::double::{Lie, On, Options, RegistryDouble, artifact};
use crate::tag;

const TAG: &str = "/manifests/v1.2.3-prod";

async fn start() -> (RegistryDouble, RawManifest) {
    start_with(Options::default()).await
}

async fn start_with(options: Options) -> (RegistryDouble, RawManifest) {
    let double = RegistryDouble::start(options).await;
    let manifest = double.seed("team/app", Some("v1.2.3-dev"), "one");
    double.seed("team/app", Some("latest-prod"), "zero");
    (double, manifest)
}

async fn write(double: &RegistryDouble, manifest: &RawManifest) -> Result<TagReceipt, TagRefusal> {
    let written = double
        .client()
        .tag(
            &double.repository("team/app"),
            &tag("v1.2.3-prod"),
            manifest,
        )
        .await;
    assert_eq!(double.lies_left(), 0);
    written
}

/// What the tag map has to be: as before, and `v1.2.3-prod` as given.
fn assert_tags(double: &RegistryDouble, manifest: &RawManifest, prod: Option<&RawManifest>) {
    let tags = double.tags();
    let digest = |name: &str| tags.get(&format!("team/app:{name}")).map(String::as_str);
    assert_eq!(digest("v1.2.3-dev"), Some(manifest.digest().as_str()));
    assert_eq!(
        digest("latest-prod"),
        Some(artifact("zero").digest().as_str())
    );
    assert_eq!(
        digest("v1.2.3-prod"),
        prod.map(|prod| prod.digest().as_str())
    );
    assert_eq!(tags.len(), 2 + usize::from(prod.is_some()));
}

fn kind(refusal: Result<TagReceipt, TagRefusal>) -> ErrorKind {
    match refusal.unwrap_err() {
        TagRefusal::Registry(error) => error.kind(),
        TagRefusal::Taken { .. } => unreachable!("taken"),
    }
}

#[tokio::test]
async fn a_tag_costs_three_requests_and_names_the_very_bytes() {
    let (double, manifest) = start().await;
    assert_eq!(write(&double, &manifest).await, Ok(TagReceipt::Written));
    assert_eq!(double.take_methods(), ["HEAD", "PUT", "HEAD"]);
    assert_tags(&double, &manifest, Some(&manifest));

    assert_eq!(
        write(&double, &manifest).await,
        Ok(TagReceipt::AlreadyThere)
    );
    assert_eq!(double.take_methods(), ["HEAD"]);
}

#[tokio::test]
async fn a_tag_with_another_digest_is_refused_and_not_overwritten() {
    let (double, manifest) = start().await;
    let other = double.seed("team/app", Some("v1.2.3-prod"), "other");
    let refusal = write(&double, &manifest).await.unwrap_err();
    let found = other.digest().clone();
    assert_eq!(
        refusal,
        TagRefusal::Taken {
            tag: tag("v1.2.3-prod"),
            found
        }
    );
    assert_eq!(double.take_methods(), ["HEAD"]);
    assert_tags(&double, &manifest, Some(&other));
}

#[tokio::test]
async fn a_first_look_that_cannot_be_trusted_writes_nothing() {
    for (lie, expected) in [
        (Lie::status(500), ErrorKind::Unavailable),
        (Lie::status(403), ErrorKind::Denied),
        (
            Lie::Header("content-type", "text/html".to_owned()),
            ErrorKind::Unsupported,
        ),
        (
            Lie::Header("docker-content-digest", "md5:0".to_owned()),
            ErrorKind::Unreadable,
        ),
        (Lie::ResetBefore, ErrorKind::Unavailable),
        (Lie::Stall, ErrorKind::Unavailable),
    ] {
        let (double, manifest) = start().await;
        let other = double.seed("team/app", Some("v1.2.3-prod"), "other");
        double.lie(On::next(Method::HEAD, TAG), lie);
        assert_eq!(kind(write(&double, &manifest).await), expected);
        assert!(!double.take_methods().contains(&"PUT".to_owned()));
        assert_tags(&double, &manifest, Some(&other));
    }
}

#[tokio::test]
async fn a_put_that_was_applied_although_its_answer_was_lost_counts_as_written() {
    let late = crate::double::error(axum::http::StatusCode::BAD_GATEWAY, "UNKNOWN", "late");
    for lie in [Lie::ResetAfter, Lie::Afterwards(late)] {
        let (double, manifest) = start().await;
        double.lie(On::next(Method::PUT, TAG), lie);
        assert_eq!(write(&double, &manifest).await, Ok(TagReceipt::Written));
        assert_eq!(double.take_methods(), ["HEAD", "PUT", "HEAD"]);
        assert_tags(&double, &manifest, Some(&manifest));
    }
}

#[tokio::test]
async fn a_put_that_was_not_applied_is_sent_again_after_another_look() {
    for lie in [Lie::ResetBefore, Lie::status(500), Lie::Stall] {
        let (double, manifest) = start().await;
        double.lie(On::next(Method::PUT, TAG), lie);
        assert_eq!(write(&double, &manifest).await, Ok(TagReceipt::Written));
        assert_eq!(
            double.take_methods(),
            ["HEAD", "PUT", "HEAD", "PUT", "HEAD"]
        );
        assert_tags(&double, &manifest, Some(&manifest));
    }
}

#[tokio::test]
async fn a_put_that_keeps_failing_ends_as_unavailable_and_each_had_its_own_look() {
    let (double, manifest) = start().await;
    double.lie(On::next(Method::PUT, TAG).times(2), Lie::ResetBefore);
    assert_eq!(
        kind(write(&double, &manifest).await),
        ErrorKind::Unavailable
    );
    assert_eq!(
        double.take_methods(),
        ["HEAD", "PUT", "HEAD", "PUT", "HEAD"]
    );
    assert_tags(&double, &manifest, None);
}

#[tokio::test]
async fn a_201_without_storing_is_not_believed() {
    let (double, manifest) = start().await;
    double.lie(On::next(Method::PUT, TAG), Lie::WithoutStoring);
    let TagRefusal::Registry(error) = write(&double, &manifest).await.unwrap_err() else {
        unreachable!("taken")
    };
    let wanted = manifest.digest().clone();
    assert_eq!(
        *error.problem(),
        Problem::NotWhatWasWritten {
            wanted,
            found: None
        }
    );
    assert_tags(&double, &manifest, None);
}

#[tokio::test]
async fn a_201_that_names_another_digest_is_not_believed() {
    let (double, manifest) = start().await;
    let other = artifact("other").digest().to_string();
    let lie = Lie::Header("docker-content-digest", other);
    double.lie(On::next(Method::PUT, TAG), lie);
    assert_eq!(
        kind(write(&double, &manifest).await),
        ErrorKind::NotWhatWasWritten
    );
    assert_eq!(double.take_methods(), ["HEAD", "PUT"]);
}

#[tokio::test]
async fn a_stranger_who_moves_the_tag_right_after_the_put_is_seen() {
    let (double, manifest) = start().await;
    let other = double.seed("team/app", None, "other");
    let theirs = other.clone();
    let lie = Lie::then(move |store| store.put("team/app", Some("v1.2.3-prod"), &theirs));
    double.lie(On::next(Method::PUT, TAG), lie);
    assert_eq!(
        kind(write(&double, &manifest).await),
        ErrorKind::NotWhatWasWritten
    );
    assert_tags(&double, &manifest, Some(&other));
}

#[tokio::test]
async fn a_tag_taken_between_look_and_write_is_refused_by_an_immutable_registry_as_taken() {
    let options = Options {
        immutable_tags: true,
        ..Options::default()
    };
    let (double, manifest) = start_with(options).await;
    let other = double.seed("team/app", None, "other");
    let theirs = other.clone();
    let lie = Lie::meanwhile(move |store| store.put("team/app", Some("v1.2.3-prod"), &theirs));
    double.lie(On::next(Method::PUT, TAG), lie);
    let refusal = write(&double, &manifest).await.unwrap_err();
    assert!(matches!(refusal, TagRefusal::Taken { found, .. } if found == *other.digest()));
    assert_tags(&double, &manifest, Some(&other));
}

#[tokio::test]
async fn a_registry_that_refuses_the_digest_that_is_there_already_has_it_already() {
    let (double, manifest) = start().await;
    let ours = manifest.clone();
    double.lie(
        On::next(Method::HEAD, TAG),
        Lie::then(move |store| store.put("team/app", Some("v1.2.3-prod"), &ours)),
    );
    let code = "ImageTagAlreadyExistsException";
    let refusal = crate::double::error(axum::http::StatusCode::BAD_REQUEST, code, "exists");
    double.lie(On::next(Method::PUT, TAG), Lie::Instead(refusal));
    assert_eq!(
        write(&double, &manifest).await,
        Ok(TagReceipt::AlreadyThere)
    );
    assert_tags(&double, &manifest, Some(&manifest));
}

#[tokio::test]
async fn a_registry_that_refuses_the_manifest_is_reported_and_not_asked_again() {
    for (status, expected) in [
        (400, ErrorKind::Refused),
        (404, ErrorKind::Refused),
        (405, ErrorKind::Unsupported),
        (409, ErrorKind::Refused),
        (412, ErrorKind::Refused),
        (413, ErrorKind::Refused),
        (403, ErrorKind::Denied),
    ] {
        let (double, manifest) = start().await;
        double.lie(On::next(Method::PUT, TAG), Lie::status(status));
        assert_eq!(kind(write(&double, &manifest).await), expected);
        let puts = double
            .take_methods()
            .iter()
            .filter(|method| *method == "PUT")
            .count();
        assert_eq!(puts, 1, "{status}");
        assert_tags(&double, &manifest, None);
    }
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_after_the_wait_and_after_another_look() {
    let (double, manifest) = start().await;
    double.lie(
        On::next(Method::PUT, TAG),
        Lie::Instead(crate::faults::busy(429, "0")),
    );
    assert_eq!(write(&double, &manifest).await, Ok(TagReceipt::Written));
    assert_eq!(
        double.take_methods(),
        ["HEAD", "PUT", "HEAD", "PUT", "HEAD"]
    );
}

#[tokio::test]
async fn no_tag_is_put_after_the_time_limit_of_the_claim() {
    let (double, manifest) = start().await;
    let repository = double.repository("team/app");
    let late = double.client().writing_before(Instant::now());
    let refusal = late.tag(&repository, &tag("v1.2.3-prod"), &manifest).await;
    assert_eq!(kind(refusal), ErrorKind::Unavailable);
    assert_eq!(double.take_methods(), ["HEAD"]);

    let soon = Instant::now() + Duration::from_millis(400);
    double.lie(On::next(Method::PUT, TAG), Lie::Stall);
    let started = Instant::now();
    let refusal = double
        .client()
        .writing_before(soon)
        .tag(&repository, &tag("v1.2.3-prod"), &manifest)
        .await;
    assert_eq!(kind(refusal), ErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_millis(1500));
    assert_eq!(double.take_methods(), ["HEAD", "PUT", "HEAD"]);
    assert_tags(&double, &manifest, None);
}

#[tokio::test]
async fn latest_moves_in_three_requests_and_rests_in_one() {
    let (double, manifest) = start().await;
    let (client, repository) = (double.client(), double.repository("team/app"));
    let zero = artifact("zero").digest().clone();
    let moved = client
        .move_tag(&repository, &tag("latest-prod"), &manifest)
        .await;
    assert_eq!(
        moved,
        Ok(MoveReceipt {
            previous: Some(zero),
            moved: true
        })
    );
    assert_eq!(double.take_methods(), ["HEAD", "PUT", "HEAD"]);
    assert_eq!(
        double.tags()["team/app:latest-prod"],
        manifest.digest().as_str()
    );

    let again = client
        .move_tag(&repository, &tag("latest-prod"), &manifest)
        .await;
    let previous = Some(manifest.digest().clone());
    assert_eq!(
        again,
        Ok(MoveReceipt {
            previous,
            moved: false
        })
    );
    assert_eq!(double.take_methods(), ["HEAD"]);
}

#[tokio::test]
async fn latest_is_only_moved_when_the_registry_proves_it() {
    let (double, manifest) = start().await;
    let (client, repository) = (double.client(), double.repository("team/app"));
    double.lie(On::next(Method::PUT, "latest-prod"), Lie::WithoutStoring);
    let error = client
        .move_tag(&repository, &tag("latest-prod"), &manifest)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotWhatWasWritten);

    double.take_methods();
    double.lie(On::next(Method::PUT, "latest-prod"), Lie::ResetAfter);
    let moved = client
        .move_tag(&repository, &tag("latest-prod"), &manifest)
        .await
        .unwrap();
    assert!(moved.moved);
    assert_eq!(double.take_methods(), ["HEAD", "PUT", "HEAD"]);
}

#[tokio::test]
async fn a_manifest_is_not_put_under_the_digest_of_another() {
    let (double, manifest) = start().await;
    let other = Reference::from(artifact("other").digest());
    let put = double
        .client()
        .put_manifest(&double.repository("team/app"), &other, &manifest)
        .await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(double.take_requests().is_empty());
}
