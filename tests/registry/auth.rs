//! Who gets the credentials, and who does not.

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use base64::Engine as _;
use floe::effects::registry::{
    Access, ErrorKind, Login, Reference, Registry, RegistryError, login_for,
};

use crate::double::{Auth, Lie, On, Options, PASSWORD, RegistryDouble, error, reply};
use crate::tag;

async fn start(auth: Auth) -> RegistryDouble {
    let double = RegistryDouble::start(Options {
        auth,
        ..Options::default()
    })
    .await;
    double.seed("team/app", Some("v1.2.3"), "one");
    double
}

async fn read(client: &Registry, double: &RegistryDouble) -> Result<bool, RegistryError> {
    let reference = Reference::Tag(tag("v1.2.3"));
    let read = client
        .get_manifest(&double.repository("team/app"), &reference)
        .await;
    read.map(|found| found.is_some())
}

/// A 401 that sends us to this realm.
fn challenge(realm: &str) -> Lie {
    let text = format!("Bearer realm=\"{realm}\",service=\"double\"");
    let headers = [("www-authenticate", text.as_str())];
    Lie::Instead(reply(StatusCode::UNAUTHORIZED, &headers, Bytes::new()))
}

#[tokio::test]
async fn basic_credentials_are_learned_once_and_then_sent_at_once() {
    let double = start(Auth::Basic).await;
    let client = double.client();
    assert_eq!(read(&client, &double).await, Ok(true));
    assert_eq!(double.take_methods(), ["GET", "GET"]);
    assert_eq!(read(&client, &double).await, Ok(true));
    assert_eq!(double.take_methods(), ["GET"]);
}

#[tokio::test]
async fn a_token_is_fetched_once_for_each_scope_and_reused() {
    let double = start(Auth::Bearer).await;
    let client = double.client();
    assert_eq!(read(&client, &double).await, Ok(true));
    let page = "GET /v2/team/app/manifests/v1.2.3";
    assert_eq!(double.take_requests(), [page, "GET /token", page]);
    assert_eq!(read(&client, &double).await, Ok(true));
    assert_eq!(double.take_requests(), [page]);
    let manifest = double.seed("team/app", None, "one");
    let repository = double.repository("team/app");
    client.tag(&repository, &tag("a"), &manifest).await.unwrap();
    assert_eq!(double.take_methods(), ["HEAD", "GET", "PUT", "HEAD"]);
    let scopes: Vec<String> = double.store().tokens.values().cloned().collect();
    assert_eq!(scopes.len(), 2);
    assert!(
        scopes.contains(&"repository:team/app:pull".to_owned()),
        "never more than is needed"
    );
}

#[tokio::test]
async fn only_the_token_service_sees_the_password() {
    let double = start(Auth::Bearer).await;
    read(&double.client(), &double).await.unwrap();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("robot:{PASSWORD}"));
    for request in double.store().log.clone() {
        let saw = request
            .authorization
            .is_some_and(|text| text.contains(&pair));
        assert_eq!(saw, request.path == "/token", "{}", request.path);
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_fetched_again_once_and_then_it_is_denied() {
    let double = start(Auth::Bearer).await;
    let client = double.client();
    read(&client, &double).await.unwrap();
    double.store().tokens.clear();
    double.take_requests();
    assert_eq!(read(&client, &double).await, Ok(true));
    assert_eq!(double.take_methods(), ["GET", "GET", "GET"]);

    double.lie(On::next(Method::GET, "/token").always(), {
        let body = Bytes::from_static(b"{\"token\": \"worthless\"}");
        Lie::Instead(reply(StatusCode::OK, &[], body))
    });
    double.store().tokens.clear();
    double.take_requests();
    assert_eq!(
        read(&client, &double).await.unwrap_err().kind(),
        ErrorKind::Denied
    );
    assert_eq!(double.take_methods(), ["GET", "GET", "GET"]);
}

#[tokio::test]
async fn wrong_missing_or_unwanted_credentials_are_denied() {
    for auth in [Auth::Basic, Auth::Bearer] {
        let double = start(auth).await;
        for credentials in [None, Some(Login::new("robot", "wrong"))] {
            let client = Registry::new(&Access {
                credentials,
                ..double.access()
            })
            .unwrap();
            let error = read(&client, &double).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        }
    }
}

#[tokio::test]
async fn a_realm_that_does_not_belong_to_the_registry_gets_no_request_at_all() {
    let stranger = start(Auth::None).await;
    let port = stranger.host().rsplit_once(':').unwrap().1.to_owned();
    for realm in [
        format!("http://localhost:{port}/token"),
        format!("http://127.0.0.2:{port}/token"),
        "https://evil.example/token".to_owned(),
        "http://169.254.169.254/token".to_owned(),
        "http://[::ffff:169.254.169.254]/token".to_owned(),
        format!("http://user:pw@127.0.0.1:{port}/token"),
        format!("ftp://127.0.0.1:{port}/token"),
        "/token".to_owned(),
    ] {
        let double = start(Auth::Bearer).await;
        double.lie(On::next(Method::GET, "/manifests/"), challenge(&realm));
        let error = read(&double.client(), &double).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{realm}: {error}");
        assert!(!error.to_string().contains("pw"), "{error}");
        assert_eq!(double.take_methods(), ["GET"]);
    }
    assert!(stranger.take_requests().is_empty());
}

#[tokio::test]
async fn a_token_host_that_the_user_listed_is_asked() {
    let double = start(Auth::Bearer).await;
    let port = double.host().rsplit_once(':').unwrap().1.to_owned();
    let realm = format!("http://localhost:{port}/token");
    double.lie(On::next(Method::GET, "/manifests/"), challenge(&realm));
    let access = Access {
        token_hosts: vec!["localhost".to_owned()],
        ..double.access()
    };
    assert_eq!(
        read(&Registry::new(&access).unwrap(), &double).await,
        Ok(true)
    );
}

#[tokio::test]
async fn a_failing_token_service_never_makes_an_artifact_absent() {
    let token = |text: &'static str| {
        Lie::Instead(reply(
            StatusCode::OK,
            &[],
            Bytes::from_static(text.as_bytes()),
        ))
    };
    let unknown = || Lie::Instead(error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "no"));
    let elsewhere = reply(
        StatusCode::FOUND,
        &[("location", "http://x.example/")],
        Bytes::new(),
    );
    for (lie, kind) in [
        (unknown(), ErrorKind::Unavailable),
        (Lie::status(500), ErrorKind::Unavailable),
        (Lie::status(429), ErrorKind::Unavailable),
        (Lie::status(401), ErrorKind::Denied),
        (Lie::status(403), ErrorKind::Denied),
        (Lie::Instead(elsewhere), ErrorKind::Unavailable),
        (Lie::ResetBefore, ErrorKind::Unavailable),
        (Lie::Stall, ErrorKind::Unavailable),
        (Lie::Endless, ErrorKind::TooLarge),
        (token("{}"), ErrorKind::Unreadable),
        (token("{\"token\": \"\"}"), ErrorKind::Unreadable),
        (token("{\"token\": \"a\\nb\"}"), ErrorKind::Unreadable),
        (token("no json"), ErrorKind::Unreadable),
    ] {
        let double = start(Auth::Bearer).await;
        double.store().tokens_by_post = false;
        let before = double.tags();
        double.lie(On::next(Method::GET, "/token"), lie);
        let error = read(&double.client(), &double).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains(PASSWORD));
        assert_eq!(double.tags(), before);
    }
}

#[tokio::test]
async fn a_401_without_a_challenge_that_can_be_answered_is_unreadable() {
    for text in ["Negotiate", "Bearer realm=", "Bearer", ""] {
        let double = start(Auth::None).await;
        let headers = [("www-authenticate", text)];
        let lie = Lie::Instead(reply(StatusCode::UNAUTHORIZED, &headers, Bytes::new()));
        double.lie(On::next(Method::GET, "/manifests/"), lie);
        let error = read(&double.client(), &double).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{text}");
    }
}

#[tokio::test]
async fn a_registry_that_echoes_the_password_does_not_get_it_into_our_messages() {
    let double = start(Auth::Basic).await;
    let echo = error(
        StatusCode::FORBIDDEN,
        "DENIED",
        &format!("{PASSWORD} is wrong"),
    );
    double.lie(On::next(Method::GET, "/manifests/"), Lie::Instead(echo));
    let error = read(&double.client(), &double).await.unwrap_err();
    assert!(error.to_string().contains("redacted is wrong"), "{error}");
    assert!(!format!("{error:?}").contains(PASSWORD));
    assert!(!format!("{:?}", double.access()).contains(PASSWORD));
}

#[tokio::test]
async fn an_identity_token_is_posted_and_never_sent_to_the_registry() {
    let double = start(Auth::Bearer).await;
    let access = Access {
        credentials: Some(Login::identity_token("", PASSWORD)),
        ..double.access()
    };
    let client = Registry::new(&access).unwrap();
    assert_eq!(read(&client, &double).await, Ok(true));
    for request in double.store().log.clone() {
        let sent = request.authorization.unwrap_or_default();
        assert!(!request.query.contains(PASSWORD) && !sent.contains(PASSWORD));
    }
    let page = "GET /v2/team/app/manifests/v1.2.3";
    assert_eq!(double.take_requests(), [page, "POST /token", page]);
}

#[tokio::test]
async fn a_token_service_without_the_one_way_is_asked_the_other() {
    for (login, by_post, methods) in [
        (
            Login::identity_token("robot", PASSWORD),
            false,
            ["POST", "GET"],
        ),
        (Login::new("robot", PASSWORD), true, ["GET", "POST"]),
    ] {
        let double = start(Auth::Bearer).await;
        double.store().tokens_by_post = by_post;
        double.store().tokens_by_get = !by_post;
        let access = Access {
            credentials: Some(login),
            ..double.access()
        };
        let client = Registry::new(&access).unwrap();
        assert_eq!(read(&client, &double).await, Ok(true));
        let asked: Vec<String> = double
            .store()
            .log
            .iter()
            .filter(|request| request.path == "/token")
            .map(|request| request.method.to_string())
            .collect();
        assert_eq!(asked, methods);
    }
}

#[tokio::test]
async fn an_identity_token_that_is_refused_is_denied_and_not_shown() {
    let double = start(Auth::Bearer).await;
    let access = Access {
        credentials: Some(Login::identity_token("", "withdrawn-t0ken")),
        ..double.access()
    };
    let client = Registry::new(&access).unwrap();
    for status in [401, 400] {
        double.lie(On::next(Method::POST, "/token"), Lie::status(status));
        let error = read(&client, &double).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(!error.to_string().contains("withdrawn"), "{error}");
    }
    let basic = start(Auth::Basic).await;
    let access = Access {
        credentials: Some(Login::identity_token("", PASSWORD)),
        ..basic.access()
    };
    let error = read(&Registry::new(&access).unwrap(), &basic)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("only a token"), "{error}");
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let double = start(Auth::Bearer).await;
    let all = "repository:team/app:pull,push".to_owned();
    double.store().tokens.insert("given".to_owned(), all);
    let access = Access {
        credentials: Some(Login::registry_token("given")),
        ..double.access()
    };
    let client = Registry::new(&access).unwrap();
    assert_eq!(read(&client, &double).await, Ok(true));
    assert_eq!(double.take_methods(), ["GET", "GET"], "no token service");
    double.store().tokens.clear();
    let error = read(&client, &double).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

/// Harbor's robot accounts are users with signs that shells and URLs know, and a password.
#[tokio::test]
async fn a_robot_account_of_harbor_logs_in_from_a_secret() {
    let double = start(Auth::Bearer).await;
    let name = "robot$team+floe";
    double.store().login.lock().unwrap().0 = name.to_owned();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{PASSWORD}"));
    let payload = format!(
        r#"{{"auths": {{"{}": {{"auth": "{pair}"}}}}}}"#,
        double.host()
    );
    let login = login_for(payload.as_bytes(), &double.repository("team/app")).unwrap();
    let access = Access {
        credentials: Some(login),
        ..double.access()
    };
    let client = Registry::new(&access).unwrap();
    assert_eq!(read(&client, &double).await, Ok(true));
}

#[tokio::test]
async fn a_registry_that_echoes_what_was_sent_does_not_get_it_into_our_messages() {
    let double = start(Auth::Bearer).await;
    let client = double.client();
    read(&client, &double).await.unwrap();
    let token = double.store().tokens.keys().next().unwrap().clone();
    let echo = error(StatusCode::FORBIDDEN, "DENIED", &format!("Bearer {token}"));
    double.lie(On::next(Method::GET, "/manifests/"), Lie::Instead(echo));
    let error = read(&client, &double).await.unwrap_err();
    assert!(error.to_string().contains("Bearer redacted"), "{error}");
}
