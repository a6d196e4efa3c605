//! Reading manifests.

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use floe::effects::registry::{ErrorKind, ManifestType, RawManifest, Reference, RegistryError};

use crate::double::{Lie, On, Options, RegistryDouble, artifact, error, reply};
use crate::tag;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

async fn start() -> (RegistryDouble, RawManifest) {
    let double = RegistryDouble::start(Options::default()).await;
    let manifest = double.seed("team/app", Some("v1.2.3"), "one");
    (double, manifest)
}

/// Reads `v1.2.3` and asserts that no tag changed.
async fn get(double: &RegistryDouble) -> Result<Option<RawManifest>, RegistryError> {
    let before = double.tags();
    let read = double
        .client()
        .get_manifest(
            &double.repository("team/app"),
            &Reference::Tag(tag("v1.2.3")),
        )
        .await;
    assert_eq!(double.tags(), before);
    assert_eq!(double.lies_left(), 0);
    read
}

async fn get_with(lie: Lie) -> Result<Option<RawManifest>, RegistryError> {
    let (double, _) = start().await;
    double.lie(On::next(Method::GET, "/manifests/"), lie);
    get(&double).await
}

#[tokio::test]
async fn a_manifest_is_read_byte_by_byte_with_its_media_type() {
    let (double, manifest) = start().await;
    assert_eq!(get(&double).await.unwrap().as_ref(), Some(&manifest));
    assert_eq!(
        double.take_requests(),
        ["GET /v2/team/app/manifests/v1.2.3"]
    );
    let head = double
        .client()
        .head_manifest(
            &double.repository("team/app"),
            &Reference::from(manifest.digest()),
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.digest, *manifest.digest());
    assert_eq!(head.media_type, ManifestType::OciManifest);
    assert_eq!(head.size, Some(manifest.size()));
}

#[tokio::test]
async fn a_clean_404_is_the_only_way_to_be_absent() {
    let unknown = |code| Lie::Instead(error(StatusCode::NOT_FOUND, code, "no"));
    let plain = |kind, text| {
        let body = Bytes::from_static(text);
        Lie::Instead(reply(
            StatusCode::NOT_FOUND,
            &[("content-type", kind)],
            body,
        ))
    };
    for clean in [
        unknown("MANIFEST_UNKNOWN"),
        unknown("NAME_UNKNOWN"),
        unknown("NOT_FOUND"),
        plain("text/plain", b"404 page not found"),
        Lie::Instead(reply(StatusCode::NOT_FOUND, &[], Bytes::new())),
    ] {
        assert_eq!(get_with(clean).await, Ok(None));
    }
    for (lie, kind) in [
        (unknown("DENIED"), ErrorKind::Unreadable),
        (
            plain("text/html; charset=utf-8", b"<html>default backend"),
            ErrorKind::Unreadable,
        ),
        (Lie::status(500), ErrorKind::Unavailable),
        (Lie::status(403), ErrorKind::Denied),
        (Lie::status(429), ErrorKind::Unavailable),
        (Lie::status(410), ErrorKind::Refused),
        (Lie::status(302), ErrorKind::Unreadable),
        (Lie::status(204), ErrorKind::Unreadable),
        (Lie::ResetBefore, ErrorKind::Unavailable),
    ] {
        assert_eq!(get_with(lie).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_manifest_whose_bytes_have_another_digest_is_refused() {
    let other = artifact("other");
    for lie in [
        Lie::Body(other.bytes().clone()),
        Lie::Header("docker-content-digest", other.digest().to_string()),
        Lie::Header("docker-content-digest", "sha256:short".to_owned()),
        Lie::Body(Bytes::from_static(b"{\"schemaVersion\":2}")),
        Lie::Body(Bytes::new()),
        Lie::Body(Bytes::from_static(b"not a manifest")),
    ] {
        assert_eq!(
            get_with(lie).await.unwrap_err().kind(),
            ErrorKind::Unreadable
        );
    }
    assert_eq!(
        get_with(Lie::Truncated).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn a_registry_that_names_another_digest_on_the_second_read_is_refused() {
    let (double, manifest) = start().await;
    let (other, client) = (artifact("other"), double.client());
    let (repository, by_digest) = (
        double.repository("team/app"),
        Reference::from(manifest.digest()),
    );
    assert!(client.get_manifest(&repository, &by_digest).await.is_ok());
    let stored = Lie::Instead(reply(
        StatusCode::OK,
        &[
            ("content-type", ManifestType::OciManifest.as_str()),
            ("docker-content-digest", other.digest().as_str()),
        ],
        other.bytes().clone(),
    ));
    double.lie(On::next(Method::GET, "/manifests/sha256"), stored.clone());
    double.lie(On::next(Method::HEAD, "/manifests/sha256"), stored);
    let error = client
        .get_manifest(&repository, &by_digest)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    assert!(
        error.to_string().contains(manifest.digest().as_str()),
        "{error}"
    );
    let error = client
        .head_manifest(&repository, &by_digest)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
}

#[tokio::test]
async fn a_media_type_that_is_wrong_or_unknown_is_refused() {
    for (lie, kind) in [
        (
            Lie::Header("content-type", INDEX.to_owned()),
            ErrorKind::Unreadable,
        ),
        (
            Lie::Header("content-type", "application/json".to_owned()),
            ErrorKind::Unsupported,
        ),
        (Lie::NoHeader("content-type"), ErrorKind::Unsupported),
        (
            Lie::Header(
                "content-type",
                "application/vnd.docker.distribution.manifest.v1+prettyjws".to_owned(),
            ),
            ErrorKind::Unsupported,
        ),
    ] {
        assert_eq!(get_with(lie).await.unwrap_err().kind(), kind);
    }
    let schema_1 = r#"{"schemaVersion": 1, "name": "team/app"}"#;
    let (double, _) = start().await;
    let old = RawManifest::new(schema_1.as_bytes().to_vec(), ManifestType::OciManifest);
    double.store().put("team/app", Some("v1.2.3"), &old);
    assert_eq!(
        get(&double).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn a_manifest_over_4_mib_is_refused_however_its_size_is_announced() {
    let oversized = Lie::Body(Bytes::from(vec![b' '; 4 * 1024 * 1024 + 1]));
    for lie in [oversized, Lie::Endless] {
        let error = get_with(lie).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("4194304 bytes"), "{error}");
    }
}

#[tokio::test]
async fn a_head_without_digest_is_answered_by_reading_the_manifest() {
    let (double, manifest) = start().await;
    double.lie(
        On::next(Method::HEAD, "/manifests/"),
        Lie::NoHeader("docker-content-digest"),
    );
    let head = double
        .client()
        .head_manifest(
            &double.repository("team/app"),
            &Reference::Tag(tag("v1.2.3")),
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.digest, *manifest.digest());
    assert_eq!(double.take_methods(), ["HEAD", "GET"]);
}

#[tokio::test]
async fn a_repository_of_another_registry_is_never_asked_with_these_credentials() {
    let (double, manifest) = start().await;
    let elsewhere = "127.0.0.1:1/team/app".parse().unwrap();
    let client = double.client();
    let read = client
        .get_manifest(&elsewhere, &Reference::from(manifest.digest()))
        .await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Unreadable);
    assert!(double.take_requests().is_empty());
}

#[tokio::test]
async fn an_error_says_what_failed_where_and_why() {
    let (double, _) = start().await;
    let lie = Lie::Instead(error(StatusCode::FORBIDDEN, "DENIED", "quota\nexceeded"));
    double.lie(On::next(Method::GET, "/manifests/"), lie);
    assert_eq!(
        get(&double).await.unwrap_err().to_string(),
        format!(
            "cannot read the manifest '{}/team/app:v1.2.3': the registry answers 403 Forbidden \
             (DENIED: quota exceeded)",
            double.host()
        )
    );
}
