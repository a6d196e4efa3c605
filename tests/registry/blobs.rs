//! Pushing and pulling blobs.

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use floe::domain::artifact::Digest;
use floe::effects::registry::{Descriptor, ErrorKind, RegistryError};

use crate::double::{Auth, Lie, On, Options, PASSWORD, RegistryDouble, artifact, reply};

async fn start() -> RegistryDouble {
    let double = RegistryDouble::start(Options::default()).await;
    double.seed("team/app", None, "one");
    double
}

async fn pull(double: &RegistryDouble, text: &str) -> Result<Vec<u8>, RegistryError> {
    let descriptor = Descriptor::of(text.as_bytes(), "text/plain");
    double
        .client()
        .get_blob(&double.repository("team/app"), &descriptor)
        .await
}

async fn push(double: &RegistryDouble) -> Result<Digest, RegistryError> {
    let repository = double.repository("team/app");
    double
        .client()
        .push_blob(&repository, b"x".as_slice())
        .await
}

#[tokio::test]
async fn a_blob_is_pushed_in_two_requests_and_twice_is_the_same() {
    let double = start().await;
    let (client, repository) = (double.client(), double.repository("team/app"));
    for _ in 0..2 {
        let digest = client
            .push_blob(&repository, b"record".as_slice())
            .await
            .unwrap();
        assert_eq!(digest, Digest::of(b"record"));
        assert_eq!(double.take_methods(), ["POST", "PUT"]);
        assert!(client.blob_exists(&repository, &digest).await.unwrap());
        double.take_methods();
    }
    assert!(
        !client
            .blob_exists(&repository, &Digest::of(b"other"))
            .await
            .unwrap()
    );
    assert!(client.push_blob(&repository, b"".as_slice()).await.is_ok());
}

#[tokio::test]
async fn an_upload_that_is_sent_to_another_host_is_refused_and_gets_nothing() {
    let stranger = start().await;
    for place in [
        format!("http://{}/v2/team/app/blobs/uploads/x", stranger.host()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "//127.0.0.1:1/x".to_owned(),
        "http://".to_owned(),
    ] {
        let options = Options {
            auth: Auth::Basic,
            ..Options::default()
        };
        let double = RegistryDouble::start(options).await;
        double.lie(
            On::next(Method::POST, "uploads").after(1),
            Lie::Header("location", place),
        );
        let pushed = push(&double);
        assert_eq!(pushed.await.unwrap_err().kind(), ErrorKind::Unreadable);
        assert_eq!(double.lies_left(), 0);
        assert!(double.store().blobs.is_empty());
    }
    assert!(stranger.take_requests().is_empty());
}

#[tokio::test]
async fn an_absolute_location_on_the_same_host_is_followed_with_its_query() {
    let double = start().await;
    double.store().uploads.insert("mine".to_owned());
    let place = format!(
        "http://{}/v2/team/app/blobs/uploads/mine?_state=a%2Fb",
        double.host()
    );
    double.lie(
        On::next(Method::POST, "uploads"),
        Lie::Header("location", place),
    );
    let pushed = double
        .client()
        .push_blob(&double.repository("team/app"), b"x".as_slice())
        .await;
    assert_eq!(pushed, Ok(Digest::of(b"x")));
}

#[tokio::test]
async fn an_upload_whose_outcome_is_unknown_is_done_again() {
    for (method, lie) in [
        (Method::PUT, Lie::ResetBefore),
        (Method::PUT, Lie::ResetAfter),
        (Method::POST, Lie::ResetAfter),
        (Method::PUT, Lie::status(500)),
    ] {
        let double = start().await;
        double.lie(On::next(method, "uploads"), lie);
        let pushed = push(&double);
        assert_eq!(pushed.await, Ok(Digest::of(b"x")));
        let key = ("team/app".to_owned(), Digest::of(b"x").to_string());
        assert!(double.store().blobs.contains_key(&key));
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_or_named_otherwise_is_an_error() {
    let other = Digest::of(b"other").to_string();
    for (method, lie, kind) in [
        (Method::POST, Lie::status(404), ErrorKind::Refused),
        (Method::POST, Lie::status(403), ErrorKind::Denied),
        (
            Method::POST,
            Lie::NoHeader("location"),
            ErrorKind::Unreadable,
        ),
        (Method::PUT, Lie::status(400), ErrorKind::Refused),
        (Method::PUT, Lie::status(416), ErrorKind::Refused),
        (
            Method::PUT,
            Lie::Header("docker-content-digest", other),
            ErrorKind::NotWhatWasWritten,
        ),
    ] {
        let double = start().await;
        double.lie(On::next(method, "uploads"), lie);
        let pushed = push(&double);
        assert_eq!(pushed.await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_blob_is_believed_only_with_the_size_and_digest_of_its_descriptor() {
    assert_eq!(pull(&start().await, "one").await, Ok(b"one".to_vec()));
    let body = |bytes: &'static [u8]| Lie::Body(Bytes::from_static(bytes));
    for (lie, kind) in [
        (body(b"two"), ErrorKind::Unreadable),
        (body(b"on"), ErrorKind::Unreadable),
        (body(b"ones"), ErrorKind::Unreadable),
        (Lie::Endless, ErrorKind::Unreadable),
        (Lie::Truncated, ErrorKind::Unavailable),
        (Lie::status(404), ErrorKind::Refused),
        (Lie::status(500), ErrorKind::Unavailable),
    ] {
        let double = start().await;
        double.lie(On::next(Method::GET, "/blobs/"), lie);
        assert_eq!(pull(&double, "one").await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_blob_over_the_cap_is_refused_before_it_is_asked_for() {
    let double = start().await;
    let mut descriptor = Descriptor::of(b"one", "text/plain");
    descriptor.size = 100 * 1024 * 1024 * 1024;
    let (client, repository) = (double.client(), double.repository("team/app"));
    let got = client.get_blob(&repository, &descriptor).await;
    assert_eq!(got.unwrap_err().kind(), ErrorKind::TooLarge);
    let mut sink = tokio::io::sink();
    let pulled = client
        .pull_blob_to(&repository, &descriptor, 1024, &mut sink)
        .await;
    assert_eq!(pulled.unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(double.take_requests().is_empty());
}

#[tokio::test]
async fn a_large_blob_is_streamed_and_verified() {
    let double = start().await;
    let bytes = Bytes::from(vec![7_u8; 5 * 1024 * 1024]);
    let descriptor = Descriptor::of(&bytes, "application/octet-stream");
    let key = ("team/app".to_owned(), descriptor.digest.to_string());
    double.store().blobs.insert(key, bytes);
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().unwrap());
    let (client, repository) = (double.client(), double.repository("team/app"));
    let most = 100 * 1024 * 1024;
    client
        .pull_blob_to(&repository, &descriptor, most, &mut file)
        .await
        .unwrap();
    assert_eq!(file.metadata().await.unwrap().len(), descriptor.size);
}

#[tokio::test]
async fn a_redirected_blob_is_fetched_without_credentials() {
    let options = Options {
        auth: Auth::Basic,
        redirect_blobs: true,
        ..Options::default()
    };
    let double = RegistryDouble::start(options).await;
    double.seed("team/app", None, "one");
    assert_eq!(pull(&double, "one").await, Ok(b"one".to_vec()));
    let log = double.store().log.clone();
    let storage: Vec<_> = log
        .iter()
        .filter(|r| r.path.starts_with("/storage/"))
        .collect();
    assert_eq!(storage.len(), 1);
    assert_eq!(storage[0].authorization, None);
    assert_eq!(storage[0].query, "signature=secret");

    for (status, kind) in [(403, ErrorKind::Unavailable), (404, ErrorKind::Unavailable)] {
        double.lie(On::next(Method::GET, "/storage/"), Lie::status(status));
        let error = pull(&double, "one").await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(!error.to_string().contains("signature"), "{error}");
        assert!(!error.to_string().contains(PASSWORD), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_address_or_without_end_is_refused() {
    for place in [
        "http://169.254.169.254/x",
        "http://[fe80::1]/x",
        "ftp://127.0.0.1/x",
    ] {
        let double = start().await;
        let status = StatusCode::TEMPORARY_REDIRECT;
        let redirect = reply(status, &[("location", place)], Bytes::new());
        double.lie(On::next(Method::GET, "/blobs/"), Lie::Instead(redirect));
        assert_eq!(
            pull(&double, "one").await.unwrap_err().kind(),
            ErrorKind::Unreadable
        );
    }
    let double = start().await;
    let path = format!("/v2/team/app/blobs/{}", artifact("one").digest());
    let redirect = reply(StatusCode::FOUND, &[("location", &path)], Bytes::new());
    double.lie(
        On::next(Method::GET, "/blobs/").always(),
        Lie::Instead(redirect),
    );
    assert_eq!(
        pull(&double, "one").await.unwrap_err().kind(),
        ErrorKind::Unreadable
    );
    assert_eq!(double.take_methods().len(), 6);
}
