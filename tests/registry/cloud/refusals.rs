//! What the clouds refuse, in their own words: which step, for whom, and what to do.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use floe::api::CloudProvider;
use floe::domain::policy::cloud::{AWS_ROLE, AZURE_CLIENT, GCP_ACCOUNT, GCP_PROVIDER};
use floe::effects::cloud::OwnIdentity;
use floe::effects::credentials::NoAccess;
use floe::effects::registry::{ErrorKind, Registry};

use super::clouds::{POOL, Reply, acr_error, aws_error, google_error, oauth_error, sts_error};
use super::{ALL, World};

struct Case {
    provider: CloudProvider,
    at: &'static str,
    answer: Reply,
    kind: ErrorKind,
    words: &'static [&'static str],
}

fn case(
    provider: CloudProvider,
    at: &'static str,
    answer: Reply,
    kind: ErrorKind,
    words: &'static [&'static str],
) -> Case {
    Case {
        provider,
        at,
        answer,
        kind,
        words,
    }
}

fn status(code: u16) -> Reply {
    (StatusCode::from_u16(code).unwrap(), String::new())
}

fn text(text: &str) -> Reply {
    (StatusCode::OK, text.to_owned())
}

fn cases() -> Vec<Case> {
    use CloudProvider::{Acr, Ecr, Gar};
    use ErrorKind::{Denied, Unavailable, Unreadable};
    let token = "/api/v1/namespaces/team/serviceaccounts/pusher/token";
    let forbidden = (
        StatusCode::FORBIDDEN,
        r#"{"kind":"Status","status":"Failure","reason":"Forbidden","message":"no","code":403}"#
            .to_owned(),
    );
    vec![
        case(
            Ecr,
            token,
            forbidden,
            ErrorKind::NoCredentials,
            &["'create' on 'serviceaccounts/token'"],
        ),
        case(Ecr, token, status(503), Unavailable, &["its token"]),
        case(
            Ecr,
            "/sts",
            sts_error(
                403,
                "AccessDenied",
                "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            ),
            Denied,
            &[
                "AWS STS",
                "AssumeRoleWithWebIdentity",
                "AccessDenied",
                "let the trust policy of the role 'arn:aws:iam::123456789012:role/floe'",
            ],
        ),
        case(
            Ecr,
            "/sts",
            sts_error(
                400,
                "InvalidIdentityToken",
                "No OpenIDConnect provider found in your account for https://x",
            ),
            Denied,
            &["InvalidIdentityToken", "No OpenIDConnect provider"],
        ),
        case(
            Ecr,
            "/sts",
            sts_error(400, "IDPCommunicationError", "x"),
            Unavailable,
            &["IDPCommunicationError"],
        ),
        case(
            Ecr,
            "/sts",
            sts_error(400, "Throttling", "Rate exceeded"),
            Unavailable,
            &["Rate exceeded"],
        ),
        case(Ecr, "/sts", status(500), Unavailable, &["AWS STS", "500"]),
        case(
            Ecr,
            "/sts",
            text("<html>"),
            Unreadable,
            &["AWS STS", "makes no sense"],
        ),
        case(
            Ecr,
            "/ecr",
            aws_error(
                400,
                "AccessDeniedException",
                "is not authorized to perform: ecr:GetAuthorizationToken",
            ),
            Denied,
            &[
                "the ECR API",
                "GetAuthorizationToken",
                "AccessDeniedException",
                "let the role do ecr:GetAuthorizationToken",
            ],
        ),
        case(
            Ecr,
            "/ecr",
            aws_error(400, "ExpiredTokenException", "x"),
            Denied,
            &["ExpiredTokenException"],
        ),
        case(
            Ecr,
            "/ecr",
            aws_error(500, "ServerException", "x"),
            Unavailable,
            &["ServerException"],
        ),
        case(Ecr, "/ecr", text("{}"), Unreadable, &["the ECR API"]),
        case(
            Ecr,
            "/ecr",
            text(r#"{"authorizationData":[]}"#),
            Unreadable,
            &["the ECR API"],
        ),
        case(
            Gar,
            "/google-sts",
            oauth_error(
                400,
                "invalid_grant",
                "The audience in ID Token does not match the expected audience.",
            ),
            Denied,
            &["Google STS", "invalid_grant", "let the pool of identities"],
        ),
        case(
            Gar,
            "/google-sts",
            oauth_error(400, "invalid_target", "unknown pool"),
            Denied,
            &["unknown pool"],
        ),
        case(
            Gar,
            "/google-sts",
            google_error(429, "RESOURCE_EXHAUSTED", "quota"),
            Unavailable,
            &["quota"],
        ),
        case(
            Gar,
            "/google-sts",
            status(502),
            Unavailable,
            &["Google STS"],
        ),
        case(
            Gar,
            "/google-iam",
            google_error(
                403,
                "PERMISSION_DENIED",
                "Permission 'iam.serviceAccounts.getAccessToken' denied",
            ),
            Denied,
            &[
                "Google IAM",
                "generateAccessToken",
                "PERMISSION_DENIED",
                "Workload Identity User",
            ],
        ),
        case(
            Gar,
            "/google-iam",
            google_error(404, "NOT_FOUND", "Not found; Gaia id"),
            Denied,
            &["NOT_FOUND"],
        ),
        case(
            Acr,
            "/entra",
            oauth_error(
                401,
                "invalid_client",
                "AADSTS700213: No matching federated identity record found",
            ),
            Denied,
            &["Microsoft Entra ID", "AADSTS700213", "federated credential"],
        ),
        case(
            Acr,
            "/entra",
            oauth_error(400, "unauthorized_client", "AADSTS700016"),
            Denied,
            &["AADSTS700016"],
        ),
        case(
            Acr,
            "/entra",
            oauth_error(400, "invalid_request", "AADSTS90002"),
            Denied,
            &["AADSTS90002"],
        ),
        case(
            Acr,
            "/entra",
            oauth_error(503, "temporarily_unavailable", "x"),
            Unavailable,
            &["Entra"],
        ),
        case(
            Acr,
            "/acr",
            acr_error(401, "unauthorized client"),
            Denied,
            &["token exchange", "AcrPush"],
        ),
        case(
            Acr,
            "/acr",
            acr_error(404, "registry not found"),
            Denied,
            &["registry not found"],
        ),
        case(Acr, "/acr", status(429), Unavailable, &["429"]),
    ]
}

#[tokio::test]
async fn a_refusal_says_which_step_for_whom_and_what_to_do() {
    for case in cases() {
        let world = World::start(case.provider, None).await;
        if case.at == "/google-iam" {
            world
                .clouds
                .annotate(&[(GCP_PROVIDER, POOL), (GCP_ACCOUNT, super::ACCOUNT)]);
        }
        world.clouds.state().instead.push((case.at, case.answer));
        let error = world.read(&world.client().await).await.unwrap_err();
        let said = error.to_string();
        assert_eq!(error.kind(), case.kind, "{}: {said}", case.at);
        let who = "log in as ServiceAccount 'pusher' in namespace 'team'";
        for word in case.words.iter().chain(&[who]) {
            assert!(said.contains(word), "{}: no '{word}' in: {said}", case.at);
        }
        world.assert_clean(&said);
    }
}

#[tokio::test]
async fn a_service_account_that_is_missing_or_says_too_little_is_named() {
    for provider in ALL {
        let world = World::start(provider, None).await;
        world.clouds.state().annotations = None;
        let missing = world.access(Some("pusher")).await.unwrap_err();
        assert_eq!(
            missing.to_string(),
            "there is no ServiceAccount 'pusher' in namespace 'team'"
        );
    }
    for (provider, annotation) in [
        (CloudProvider::Ecr, AWS_ROLE),
        (CloudProvider::Acr, AZURE_CLIENT),
    ] {
        let world = World::start(provider, None).await;
        world.clouds.annotate(&[]);
        let error = world.access(Some("pusher")).await.unwrap_err();
        let NoAccess::Missing(why) = error else {
            panic!("{error}");
        };
        assert!(
            why.contains(annotation) && why.contains("'pusher'"),
            "{why}"
        );
    }
    let world = World::start(CloudProvider::Gar, None).await;
    world.clouds.annotate(&[]);
    world.clouds.state().bare_node = true;
    let error = world.access(Some("pusher")).await.unwrap_err().to_string();
    assert!(
        error.contains(GCP_PROVIDER) && error.contains("no GKE cluster"),
        "{error}"
    );
}

#[tokio::test]
async fn an_operator_that_may_not_read_service_accounts_says_so() {
    let world = World::start(CloudProvider::Ecr, None).await;
    let body =
        r#"{"kind":"Status","status":"Failure","reason":"Forbidden","message":"no","code":403}"#;
    let forbidden = (StatusCode::FORBIDDEN, body.to_owned());
    world.clouds.state().instead.push(("/api", forbidden));
    let error = world.access(Some("pusher")).await.unwrap_err().to_string();
    assert!(
        error.contains("workloadIdentity.serviceAccounts"),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_without_an_identity_says_so() {
    for (provider, words) in [
        (CloudProvider::Ecr, "the node has no role"),
        (CloudProvider::Gar, "the node has no service account"),
        (
            CloudProvider::Acr,
            "Azure has given this process no identity",
        ),
    ] {
        let world = World::start(provider, Some(OwnIdentity::default())).await;
        world.clouds.state().bare_node = true;
        let client = Registry::new(&world.access(None).await.unwrap()).unwrap();
        let error = world.read(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCredentials, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let world = World::start(CloudProvider::Ecr, Some(OwnIdentity::default())).await;
    world
        .clouds
        .state()
        .instead
        .push(("/imds/latest/api/token", status(403)));
    let client = Registry::new(&world.access(None).await.unwrap()).unwrap();
    let error = world.read(&client).await.unwrap_err();
    assert!(error.to_string().contains("hop limit"), "{error}");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_that_a_cloud_gives_comes_into_the_log_however_much_is_logged() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    for provider in ALL {
        let world = World::start(provider, None).await;
        let client = world.client().await;
        world.read(&client).await.unwrap();
        world.expire();
        world.read(&client).await.unwrap();
        let debug = format!("{:?}", world.access(Some("pusher")).await.unwrap());
        world.assert_clean(&debug);
        let logged = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
        assert!(logged.contains("logged in at the cloud's registry"));
        assert!(world.clouds.state().secrets.len() >= 4);
        world.assert_clean(&logged);
    }
    drop(guard);
}
