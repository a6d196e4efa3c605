//! Lists of tags.

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use floe::effects::registry::{ErrorKind, RegistryError};

use crate::double::{Lie, On, Options, RegistryDouble, error};

async fn start(tags: usize) -> RegistryDouble {
    let double = RegistryDouble::start(Options::default()).await;
    for number in 0..tags {
        double.seed("team/app", Some(&format!("v1.0.{number:02}")), "one");
    }
    double
}

async fn list(double: &RegistryDouble) -> Result<Vec<String>, RegistryError> {
    let tags = double
        .client()
        .list_tags(&double.repository("team/app"))
        .await?;
    Ok(tags.into_iter().map(String::from).collect())
}

#[tokio::test]
async fn a_list_of_tags_is_read_to_its_last_page() {
    let double = start(5).await;
    let tags = list(&double).await.unwrap();
    assert_eq!(
        tags,
        ["v1.0.00", "v1.0.01", "v1.0.02", "v1.0.03", "v1.0.04"]
    );
    assert_eq!(double.take_methods(), ["GET", "GET", "GET"]);
}

#[tokio::test]
async fn a_repository_without_tags_has_an_empty_list() {
    assert_eq!(list(&start(0).await).await, Ok(vec![]));
    for lie in [
        Lie::Instead(error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no")),
        Lie::Body(Bytes::from_static(
            b"{\"name\": \"team/app\", \"tags\": null}",
        )),
    ] {
        let double = start(1).await;
        double.lie(On::next(Method::GET, "/tags/"), lie);
        assert_eq!(list(&double).await, Ok(vec![]));
    }
}

#[tokio::test]
async fn a_list_that_breaks_off_or_is_too_long_is_an_error_and_never_a_shorter_list() {
    let body = |text: &'static str| Lie::Body(Bytes::from_static(text.as_bytes()));
    for (page, lie, kind) in [
        (1, Lie::status(404), ErrorKind::Refused),
        (1, Lie::status(500), ErrorKind::Unavailable),
        (0, Lie::status(405), ErrorKind::Refused),
        (0, Lie::Truncated, ErrorKind::Unavailable),
        (0, Lie::Endless, ErrorKind::TooLarge),
        (0, body("{\"tags\": [\"a/b\"]}"), ErrorKind::Unreadable),
        (0, body("[]"), ErrorKind::Unreadable),
        (
            0,
            Lie::Header("link", "<http://127.0.0.1:1/v2/x>; rel=next".into()),
            ErrorKind::Unreadable,
        ),
        (
            1,
            Lie::Header("link", "<//evil.example/v2/x>; rel=next".into()),
            ErrorKind::Unreadable,
        ),
        (
            0,
            Lie::Header("link", "<?n=1000>; rel=next".into()),
            ErrorKind::Unreadable,
        ),
    ] {
        let double = start(4).await;
        double.lie(On::next(Method::GET, "/tags/").after(page), lie);
        assert_eq!(list(&double).await.unwrap_err().kind(), kind);
    }
    // 5 pages of 2 is the limit of the test's access.
    assert_eq!(list(&start(10).await).await.unwrap().len(), 10);
    assert_eq!(
        list(&start(11).await).await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}
