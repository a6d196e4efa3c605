//! Where a registry may lead us: not by its own address, not by a redirect, not by its token service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use floe::domain::artifact::{Digest, Repository};
use floe::effects::registry::{
    Access, Addresses, Descriptor, ErrorKind, Reference, Registry, RegistryError,
};

use crate::double::{Auth, Lie, On, Options, RegistryDouble, reply};
use crate::tag;

/// Counts who connects, on any loopback address of this port.
async fn listener(address: &str) -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, count)
}

fn only(networks: &[&str]) -> Addresses {
    Addresses::only(networks.iter().map(|text| text.parse().unwrap()).collect())
}

async fn head(client: &Registry, host: &str) -> Result<bool, RegistryError> {
    let repository: Repository = format!("{host}/team/app").parse().unwrap();
    let found = client
        .head_manifest(&repository, &Reference::Tag(tag("v1.2.3")))
        .await?;
    Ok(found.is_some())
}

#[tokio::test]
async fn a_registry_outside_of_the_named_networks_is_not_connected_to() {
    let (port, count) = listener("127.0.0.1").await;
    let access = |host: &str, addresses| Access {
        plain_http: true,
        host: host.to_owned(),
        addresses,
        ..Access::to(&"r.example/a".parse().unwrap())
    };
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
        "0.0.0.0",
        "0",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
    ] {
        let host = format!("{host}:{port}");
        let opened = Registry::new(&access(&host, only(&["10.0.0.0/8", "fd00::/8"])));
        // A host that no reference can name is refused before.
        if let (Ok(client), Ok(_)) = (&opened, format!("{host}/a").parse::<Repository>()) {
            let error = head(client, &host).await.unwrap_err();
            assert!(error.to_string().contains("the name leads to"), "{error}");
        } else if let Err(error) = opened {
            assert_eq!(error.kind(), ErrorKind::Unreadable, "{error}");
        }
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "0 connections");
    // The count can be another one.
    let host = format!("127.0.0.1:{port}");
    let client = Registry::new(&access(&host, only(&["127.0.0.0/8"]))).unwrap();
    let asked = tokio::time::timeout(std::time::Duration::from_secs(1), head(&client, &host));
    assert!(!matches!(asked.await, Ok(Ok(_))));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redirect_or_a_token_service_in_a_forbidden_place_is_not_connected_to() {
    let (port, count) = listener("127.0.0.2").await;
    let targets = [
        format!("http://127.0.0.2:{port}/x"),
        format!("http://0x7f000002:{port}/x"),
        format!("http://2130706434:{port}/x"),
        format!("http://127.2:{port}/x"),
        format!("http://[::ffff:127.0.0.2]:{port}/x"),
        format!("http://user:pw@127.0.0.1:{port}/x"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[fd00:ec2::254]/x".to_owned(),
        "http://[64:ff9b::a9fe:a9fe]/x".to_owned(),
        "http://168.63.129.16/machine".to_owned(),
        "http://100.100.100.200/latest".to_owned(),
        "http://[2002:a9fe:a9fe::]/x".to_owned(),
    ];
    for target in targets {
        let double = RegistryDouble::start(Options::default()).await;
        let manifest = double.seed("team/app", Some("v1.2.3"), "one");
        let access = Access {
            addresses: only(&["127.0.0.1/32", "::/0", "100.0.0.0/8", "168.0.0.0/8"]),
            token_hosts: vec!["127.0.0.2".to_owned(), "169.254.169.254".to_owned()],
            ..double.access()
        };
        let client = Registry::new(&access).unwrap();
        let repository = double.repository("team/app");
        let layer = Descriptor::of(b"one", "text/plain");
        double.lie(
            On::next(Method::GET, "/blobs/").always(),
            Lie::Instead(reply(
                StatusCode::TEMPORARY_REDIRECT,
                &[("location", target.as_str())],
                Bytes::new(),
            )),
        );
        let error = client.get_blob(&repository, &layer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{target}: {error}");
        assert!(!error.to_string().contains("pw"), "{error}");
        let asked = double.take_methods();
        assert_eq!(asked, ["GET"], "{target}");

        let double = RegistryDouble::start(Options {
            auth: Auth::Bearer,
            ..Options::default()
        })
        .await;
        let challenge = format!("Bearer realm=\"{target}\",service=\"double\"");
        let headers = [("www-authenticate", challenge.as_str())];
        let answer = reply(StatusCode::UNAUTHORIZED, &headers, Bytes::new());
        double.lie(On::next(Method::GET, "/manifests/"), Lie::Instead(answer));
        let access = Access {
            addresses: access.addresses,
            token_hosts: access.token_hosts,
            ..double.access()
        };
        let client = Registry::new(&access).unwrap();
        let reference = Reference::from(&Digest::of(manifest.bytes()));
        let error = client
            .get_manifest(&double.repository("team/app"), &reference)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{target}: {error}");
        assert_eq!(double.take_methods(), ["GET"], "{target}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "0 connections");
}
