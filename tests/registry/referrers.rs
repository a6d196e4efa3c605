//! Referrers: with the registry's API and with the fallback tag.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use floe::domain::artifact::Digest;
use floe::effects::registry::{
    ErrorKind, ManifestType, RawManifest, Reference, ReferrerReceipt, Registry, RegistryError,
};
use serde_json::{Value, json};

use crate::double::{Lie, On, Options, RegistryDouble, error, referrer};

struct Rig {
    double: RegistryDouble,
    client: Registry,
    subject: RawManifest,
}

impl Rig {
    async fn start(referrers_api: bool) -> Self {
        let options = Options {
            referrers_api,
            ..Options::default()
        };
        let double = RegistryDouble::start(options).await;
        let subject = double.seed("team/app", Some("v1.2.3"), "one");
        // Nobody pushed the empty config yet.
        let empty = ("team/app".to_owned(), Digest::of(b"{}").to_string());
        double.store().blobs.remove(&empty);
        Self {
            client: double.client(),
            double,
            subject,
        }
    }

    /// Pushes the blob and the manifest of a record.
    async fn record(&self, text: &str) -> Result<ReferrerReceipt, RegistryError> {
        let repository = self.double.repository("team/app");
        self.client
            .push_blob(&repository, text.as_bytes().to_vec())
            .await?;
        let manifest = referrer(&self.subject, text);
        self.client
            .push_referrer(&repository, &manifest, self.subject.digest())
            .await
    }

    async fn list(&self) -> Result<BTreeSet<Digest>, RegistryError> {
        let repository = self.double.repository("team/app");
        let listed = self
            .client
            .referrers(&repository, self.subject.digest())
            .await?;
        Ok(listed.into_iter().map(|entry| entry.digest).collect())
    }

    fn expected(&self, texts: &[&str]) -> BTreeSet<Digest> {
        texts
            .iter()
            .map(|text| referrer(&self.subject, text).digest().clone())
            .collect()
    }

    fn fallback_tag(&self) -> String {
        self.subject.digest().referrers_tag().to_string()
    }

    fn fallback_path(&self) -> String {
        format!("/manifests/{}", self.fallback_tag())
    }

    /// The fallback index as it lies there.
    fn index(&self) -> Value {
        let store = self.double.store();
        let digest = &store.tags[&("team/app".to_owned(), self.fallback_tag())];
        let (bytes, media_type) = &store.manifests[&("team/app".to_owned(), digest.clone())];
        assert_eq!(media_type, ManifestType::OciIndex.as_str());
        serde_json::from_slice(bytes).unwrap()
    }

    /// Somebody else's fallback index.
    fn seed_index(&self, index: &Value) {
        let manifest = RawManifest::new(index.to_string().into_bytes(), ManifestType::OciIndex);
        self.double
            .store()
            .put("team/app", Some(&self.fallback_tag()), &manifest);
    }
}

#[tokio::test]
async fn a_record_costs_three_requests_with_the_referrers_api() {
    let rig = Rig::start(true).await;
    assert!(rig.record("first").await.unwrap().by_registry);
    let once = ["POST", "PUT", "HEAD", "POST", "PUT", "PUT"];
    assert_eq!(
        rig.double.take_methods(),
        once,
        "the empty config is pushed once"
    );
    assert!(rig.record("second").await.unwrap().by_registry);
    assert_eq!(rig.double.take_methods(), ["POST", "PUT", "PUT"]);
    assert_eq!(
        rig.list().await.unwrap(),
        rig.expected(&["first", "second"])
    );
    assert_eq!(rig.double.take_methods(), ["GET"]);
    assert_eq!(rig.double.tags().len(), 1, "no fallback tag is made");
}

#[tokio::test]
async fn a_record_costs_six_requests_without_the_referrers_api() {
    let rig = Rig::start(false).await;
    assert!(!rig.record("first").await.unwrap().by_registry);
    rig.double.take_methods();
    assert!(!rig.record("second").await.unwrap().by_registry);
    assert_eq!(
        rig.double.take_methods(),
        ["POST", "PUT", "PUT", "GET", "PUT", "GET"]
    );
    assert_eq!(
        rig.list().await.unwrap(),
        rig.expected(&["first", "second"])
    );
    let index = rig.index();
    assert_eq!(index["mediaType"], ManifestType::OciIndex.as_str());
    assert_eq!(
        index["manifests"][0]["artifactType"],
        "application/vnd.example.record"
    );
    assert_eq!(index["manifests"][0]["annotations"]["record"], "first");
}

#[tokio::test]
async fn a_record_that_is_pushed_twice_is_there_once() {
    for api in [true, false] {
        let rig = Rig::start(api).await;
        rig.record("first").await.unwrap();
        let (tags, listed) = (rig.double.tags(), rig.list().await.unwrap());
        rig.record("first").await.unwrap();
        assert_eq!(rig.double.tags(), tags);
        assert_eq!(rig.list().await.unwrap(), listed);
        assert_eq!(listed.len(), 1);
    }
}

#[tokio::test]
async fn the_fallback_index_keeps_what_others_wrote_into_it() {
    let rig = Rig::start(false).await;
    let foreign = rig.double.seed("team/app", None, "foreign");
    rig.seed_index(&json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": foreign.media_type().as_str(), "digest": foreign.digest(),
            "size": foreign.size(), "artifactType": "application/vnd.oci.empty.v1+json",
            "annotations": null, "platform": {"os": "linux"}, "x": 1,
        }],
        "annotations": {"theirs": "kept"},
    }));
    rig.record("first").await.unwrap();
    let index = rig.index();
    assert_eq!(index["mediaType"], ManifestType::OciIndex.as_str());
    assert_eq!(index["annotations"]["theirs"], "kept");
    assert_eq!(index["manifests"][0]["x"], 1);
    assert_eq!(index["manifests"][0]["platform"]["os"], "linux");
    let mut expected = rig.expected(&["first"]);
    expected.insert(foreign.digest().clone());
    assert_eq!(
        rig.list().await.unwrap(),
        expected,
        "whatever its artifactType says"
    );
}

#[tokio::test]
async fn an_entry_that_another_writer_drops_is_written_again() {
    let rig = Rig::start(false).await;
    rig.record("first").await.unwrap();
    let tag = rig.fallback_tag();
    let empty = json!({
        "schemaVersion": 2, "mediaType": ManifestType::OciIndex.as_str(), "manifests": [],
    });
    let theirs = RawManifest::new(empty.to_string().into_bytes(), ManifestType::OciIndex);
    let lie = Lie::then(move |store| store.put("team/app", Some(&tag), &theirs));
    rig.double
        .lie(On::next(Method::PUT, rig.fallback_path()), lie.clone());
    rig.record("second").await.unwrap();
    assert!(
        rig.list()
            .await
            .unwrap()
            .is_superset(&rig.expected(&["second"]))
    );

    rig.double
        .lie(On::next(Method::PUT, rig.fallback_path()).always(), lie);
    rig.double.take_methods();
    let error = rig.record("third").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotWhatWasWritten);
    assert!(rig.double.take_methods().len() < 20);
}

#[tokio::test]
async fn many_records_at_once_are_all_listed() {
    let rig = Rig::start(false).await;
    let texts: Vec<String> = (0..8).map(|number| format!("record {number}")).collect();
    let all = futures::future::join_all(texts.iter().map(|text| rig.record(text))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(rig.list().await.unwrap().len(), 8);
}

#[tokio::test]
async fn a_deleted_entry_is_dropped_only_when_it_blocks_the_index() {
    let rig = Rig::start(false).await;
    rig.record("first").await.unwrap();
    rig.record("deleted").await.unwrap();
    let gone = referrer(&rig.subject, "deleted").digest().to_string();
    rig.double
        .store()
        .manifests
        .remove(&("team/app".to_owned(), gone));
    rig.record("second").await.unwrap();
    assert_eq!(
        rig.list().await.unwrap(),
        rig.expected(&["first", "second"])
    );

    // A failing look at an entry drops nothing.
    let other = referrer(&rig.subject, "second").digest().clone();
    rig.double
        .store()
        .manifests
        .remove(&("team/app".to_owned(), other.to_string()));
    rig.double
        .lie(On::next(Method::HEAD, other.as_str()), Lie::status(500));
    let before = rig.double.tags();
    assert_eq!(
        rig.record("third").await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!(rig.double.tags(), before);
}

#[tokio::test]
async fn a_failing_referrers_api_is_never_an_empty_list() {
    for (lie, kind) in [
        (Lie::status(500), ErrorKind::Unavailable),
        (Lie::status(429), ErrorKind::Unavailable),
        (Lie::status(403), ErrorKind::Denied),
        (Lie::status(400), ErrorKind::Refused),
        (Lie::status(405), ErrorKind::Refused),
        (Lie::Truncated, ErrorKind::Unavailable),
        (Lie::Endless, ErrorKind::TooLarge),
        (
            Lie::Header("content-type", "text/html".to_owned()),
            ErrorKind::Unreadable,
        ),
        (Lie::Body(Bytes::from_static(b"{}")), ErrorKind::Unreadable),
        (
            Lie::Body(Bytes::from_static(
                b"{\"manifests\":[{\"digest\":\"sha256:x\"}]}",
            )),
            ErrorKind::Unreadable,
        ),
        (
            Lie::Header(
                "link",
                "<https://evil.example/v2/x>; rel=\"next\"".to_owned(),
            ),
            ErrorKind::Unreadable,
        ),
        (Lie::ResetBefore, ErrorKind::Unavailable),
    ] {
        let rig = Rig::start(true).await;
        rig.record("first").await.unwrap();
        rig.double.lie(On::next(Method::GET, "/referrers/"), lie);
        assert_eq!(rig.list().await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_failing_fallback_tag_is_never_an_empty_list_and_never_overwritten() {
    for (lie, kind) in [
        (Lie::status(500), ErrorKind::Unavailable),
        (Lie::status(403), ErrorKind::Denied),
        (
            Lie::Instead(error(StatusCode::NOT_FOUND, "DENIED", "x")),
            ErrorKind::Unreadable,
        ),
        (
            Lie::Body(Bytes::from_static(b"{\"schemaVersion\":2}")),
            ErrorKind::Unreadable,
        ),
        (Lie::Endless, ErrorKind::TooLarge),
        (Lie::Truncated, ErrorKind::Unavailable),
    ] {
        let rig = Rig::start(false).await;
        rig.record("first").await.unwrap();
        let before = rig.double.tags();
        rig.double
            .lie(On::next(Method::GET, rig.fallback_path()).times(2), lie);
        assert_eq!(rig.list().await.unwrap_err().kind(), kind);
        assert_eq!(rig.record("second").await.unwrap_err().kind(), kind);
        assert_eq!(rig.double.tags(), before);
    }
}

#[tokio::test]
async fn a_list_of_referrers_over_the_cap_is_unknown() {
    for api in [true, false] {
        let rig = Rig::start(api).await;
        let entry = |number: u32| {
            json!({
                "mediaType": ManifestType::OciManifest.as_str(), "size": 1,
                "digest": Digest::of(&number.to_be_bytes()),
            })
        };
        let many: Vec<Value> = (0..21).map(entry).collect();
        let index = json!({"schemaVersion": 2, "manifests": many});
        if api {
            let body = Bytes::from(index.to_string());
            rig.double
                .lie(On::next(Method::GET, "/referrers/"), Lie::Body(body));
        } else {
            rig.seed_index(&index);
        }
        assert_eq!(rig.list().await.unwrap_err().kind(), ErrorKind::TooLarge);
    }
}

#[tokio::test]
async fn a_registry_that_takes_no_subject_is_reported_as_such() {
    let rig = Rig::start(false).await;
    rig.double.lie(
        On::next(Method::PUT, "/manifests/sha256:"),
        Lie::status(405),
    );
    let before = rig.double.tags();
    let error = rig.record("first").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("with a subject"), "{error}");
    assert_eq!(rig.double.tags(), before);
}

#[tokio::test]
async fn an_oci_subject_header_about_something_else_is_not_believed() {
    let rig = Rig::start(false).await;
    let other = Digest::of(b"other").to_string();
    rig.double.lie(
        On::next(Method::PUT, "/manifests/sha256:"),
        Lie::Header("oci-subject", other),
    );
    assert!(!rig.record("first").await.unwrap().by_registry);
    assert_eq!(rig.list().await.unwrap(), rig.expected(&["first"]));
}

#[tokio::test]
async fn a_record_whose_answer_is_lost_is_pushed_again() {
    for (part, lie) in [
        ("/manifests/sha256:", Lie::ResetBefore),
        ("/manifests/sha256:", Lie::ResetAfter),
        ("/manifests/sha256:", Lie::status(500)),
        ("/manifests/sha256-", Lie::ResetBefore),
        ("/manifests/sha256-", Lie::ResetAfter),
        ("/manifests/sha256-", Lie::status(500)),
        ("/manifests/sha256-", Lie::WithoutStoring),
    ] {
        let rig = Rig::start(false).await;
        rig.double.lie(On::next(Method::PUT, part), lie);
        rig.record("first").await.unwrap();
        assert_eq!(rig.double.lies_left(), 0);
        assert_eq!(rig.list().await.unwrap(), rig.expected(&["first"]));
    }
}

#[tokio::test]
async fn a_lost_empty_config_is_pushed_again() {
    let rig = Rig::start(true).await;
    rig.record("first").await.unwrap();
    let empty = ("team/app".to_owned(), Digest::of(b"{}").to_string());
    rig.double.store().blobs.remove(&empty);
    rig.record("second").await.unwrap();
    assert_eq!(
        rig.list().await.unwrap(),
        rig.expected(&["first", "second"])
    );
}

#[tokio::test]
async fn a_referrer_of_something_else_is_not_attached() {
    let rig = Rig::start(true).await;
    let repository = rig.double.repository("team/app");
    let other = rig.double.seed("team/app", None, "other");
    let manifest = referrer(&other, "first");
    let pushed = rig
        .client
        .push_referrer(&repository, &manifest, rig.subject.digest())
        .await
        .unwrap_err();
    assert_eq!(pushed.kind(), ErrorKind::Unsupported);
    let read = rig
        .client
        .get_manifest(&repository, &Reference::from(manifest.digest()))
        .await;
    assert_eq!(read, Ok(None));
}
