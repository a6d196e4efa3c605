//! Time limits, busy registries, certificates.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use floe::effects::registry::{
    Access, Descriptor, ErrorKind, Reference, Registries, Registry, RegistryError, TagRefusal,
};

use crate::double::{Auth, Lie, On, Options, RegistryDouble, certificate, referrer, reply};
use crate::tag;

/// An answer that asks to wait.
pub(crate) fn busy(status: u16, retry_after: &str) -> axum::http::Response<Bytes> {
    let status = StatusCode::from_u16(status).unwrap();
    reply(status, &[("retry-after", retry_after)], Bytes::new())
}

async fn start() -> RegistryDouble {
    let double = RegistryDouble::start(Options::default()).await;
    double.seed("team/app", Some("v1.2.3"), "one");
    double
}

async fn read(double: &RegistryDouble) -> Result<(), RegistryError> {
    let reference = Reference::Tag(tag("v1.2.3"));
    let read = double
        .client()
        .get_manifest(&double.repository("team/app"), &reference)
        .await;
    read.map(|found| assert!(found.is_some()))
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_after_the_time_that_it_names() {
    for status in [429, 503] {
        let double = start().await;
        double.lie(
            On::next(Method::GET, "/manifests/"),
            Lie::Instead(busy(status, "1")),
        );
        let started = Instant::now();
        read(&double).await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert_eq!(double.take_methods(), ["GET", "GET"]);
    }
}

#[tokio::test]
async fn a_registry_that_asks_for_a_long_wait_is_reported_with_it() {
    let double = start().await;
    double.lie(
        On::next(Method::GET, "/manifests/"),
        Lie::Instead(busy(429, "120")),
    );
    let error = read(&double).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.retry_after(), Some(Duration::from_mins(2)));
    assert!(!error.is_ambiguous());
    assert_eq!(double.take_methods(), ["GET"]);
}

#[tokio::test]
async fn a_registry_that_is_always_busy_is_not_asked_for_ever() {
    let double = start().await;
    double.lie(
        On::next(Method::GET, "/manifests/").always(),
        Lie::Instead(busy(503, "0")),
    );
    assert_eq!(
        read(&double).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert!(double.take_methods().len() <= 6);
}

#[tokio::test]
async fn every_request_that_stalls_ends_within_its_limit() {
    // Every kind of request: method, part of the path, whether the registry wants a token.
    let cases = [
        (Method::GET, "/manifests/v1.2.3", false),
        (Method::HEAD, "/manifests/v1.2.3-prod", false),
        (Method::PUT, "/manifests/sha256", false),
        (Method::POST, "/blobs/uploads/", false),
        (Method::PUT, "/blobs/uploads/", false),
        (Method::HEAD, "/blobs/sha256", false),
        (Method::GET, "/blobs/sha256", false),
        (Method::GET, "/tags/list", false),
        (Method::GET, "/referrers/", false),
        (Method::GET, "/manifests/sha256-", false),
        (Method::PUT, "/manifests/sha256-", false),
        (Method::GET, "/token", true),
    ];
    let stalled = cases.into_iter().flat_map(|(method, part, bearer)| {
        [Lie::Stall, Lie::StallBody].map(|lie| {
            let on = On::next(method.clone(), part).always();
            async move {
                let auth = if bearer { Auth::Bearer } else { Auth::None };
                let options = Options {
                    auth,
                    ..Options::default()
                };
                let double = RegistryDouble::start(options).await;
                let manifest = double.seed("team/app", Some("v1.2.3"), "one");
                let mut access = double.access();
                access.limits.request = Duration::from_millis(300);
                double.lie(on, lie);
                everything(&Registry::new(&access).unwrap(), &double, &manifest).await;
            }
        })
    });
    futures::future::join_all(stalled).await;
}

/// All operations once; their outcomes do not matter here.
async fn everything(
    client: &Registry,
    double: &RegistryDouble,
    manifest: &floe::effects::registry::RawManifest,
) {
    let repository = double.repository("team/app");
    let limit = Duration::from_secs(6);
    let record = referrer(manifest, "record");
    let subject = manifest.digest();
    macro_rules! ends {
        ($operation:expr) => {{
            let ended = tokio::time::timeout(limit, $operation).await.is_ok();
            assert!(ended, "{} did not end", stringify!($operation));
        }};
    }
    ends!(client.get_manifest(&repository, &Reference::Tag(tag("v1.2.3"))));
    ends!(client.tag(&repository, &tag("v1.2.3-prod"), manifest));
    ends!(client.push_blob(&repository, b"record".as_slice()));
    ends!(client.blob_exists(&repository, subject));
    ends!(client.get_blob(&repository, &Descriptor::of(b"one", "text/plain")));
    ends!(client.list_tags(&repository));
    ends!(client.referrers(&repository, subject));
    ends!(client.push_referrer(&repository, &record, subject));
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_untrusted_and_nothing_is_sent() {
    let double = RegistryDouble::start(Options {
        tls: true,
        ..Options::default()
    })
    .await;
    let manifest = double.seed("team/app", Some("v1.2.3-dev"), "one");
    let repository = double.repository("team/app");
    let (_, other_ca) = certificate();
    for ca_pem in [Some(other_ca.into_bytes()), None] {
        let client = Registry::new(&Access {
            ca_pem,
            ..double.access()
        })
        .unwrap();
        let refusal = client
            .tag(&repository, &tag("v1.2.3-prod"), &manifest)
            .await
            .unwrap_err();
        let TagRefusal::Registry(error) = refusal else {
            unreachable!("taken")
        };
        assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    }
    assert!(double.take_requests().is_empty());
    assert_eq!(double.tags().len(), 1);

    assert!(double.ca_pem().is_some());
    double
        .client()
        .tag(&repository, &tag("v1.2.3-prod"), &manifest)
        .await
        .unwrap();
    assert_eq!(double.tags().len(), 2);
}

#[tokio::test]
async fn a_ca_that_cannot_be_read_is_an_error_and_never_the_default() {
    let access = Access {
        ca_pem: Some(b"not a certificate".to_vec()),
        ..Access::to(&"registry.example/a".parse().unwrap())
    };
    assert_eq!(
        Registry::new(&access).map(|_| ()).unwrap_err().kind(),
        ErrorKind::Untrusted
    );
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unavailable() {
    let double = start().await;
    let repository = "127.0.0.1:1/team/app".parse().unwrap();
    let client = Registry::new(&Access {
        plain_http: true,
        ..Access::to(&repository)
    })
    .unwrap();
    let manifest = double.seed("team/app", None, "one");
    let TagRefusal::Registry(error) = client
        .tag(&repository, &tag("v1.2.3-prod"), &manifest)
        .await
        .unwrap_err()
    else {
        unreachable!("taken")
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.is_ambiguous());
}

#[tokio::test]
async fn a_link_local_registry_is_refused_before_anything_is_sent() {
    for host in ["169.254.169.254", "169.254.1.1:5000"] {
        let repository = format!("{host}/team/app").parse().unwrap();
        let access = Access {
            plain_http: true,
            ..Access::to(&repository)
        };
        assert_eq!(
            Registry::new(&access).map(|_| ()).unwrap_err().kind(),
            ErrorKind::Unreadable
        );
    }
}

#[tokio::test]
async fn a_rotated_secret_gets_its_own_client_and_the_pool_stays_bounded() {
    let double = RegistryDouble::start(Options {
        auth: Auth::Basic,
        ..Options::default()
    })
    .await;
    let manifest = double.seed("team/app", Some("v1.2.3"), "one");
    let (repository, reference) = (
        double.repository("team/app"),
        Reference::from(manifest.digest()),
    );
    let pool = Registries::new();
    let wrong = Access {
        credentials: Some(floe::effects::registry::Login::new("robot", "old")),
        ..double.access()
    };
    let read = pool
        .open(&wrong)
        .unwrap()
        .get_manifest(&repository, &reference)
        .await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Denied);
    assert!(
        pool.open(&double.access())
            .unwrap()
            .get_manifest(&repository, &reference)
            .await
            .is_ok()
    );
    double.take_requests();
    assert!(
        pool.open(&double.access())
            .unwrap()
            .get_manifest(&repository, &reference)
            .await
            .is_ok()
    );
    assert_eq!(
        double.take_methods(),
        ["GET"],
        "the client that knows the challenge is used again"
    );
    assert_eq!(pool.len(), 2);
    for number in 0..100 {
        let host = format!("registry-{number}.example");
        pool.open(&Access {
            host,
            ..double.access()
        })
        .unwrap();
    }
    assert_eq!(pool.len(), 64);
    assert!(!pool.is_empty());
}
