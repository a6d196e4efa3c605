//! Blobs within one registry, and with logins.

use axum::http::{Method, StatusCode};
use floe::domain::artifact::Digest;
use floe::effects::registry::{
    CopyOptions, CopyReport, ErrorKind, ItemKind, Place, RawManifest, Registry, RegistryError,
    copy_graph,
};

use super::{SOURCE, Two, count, image, outcomes};
use crate::double::{Auth, Lie, Logged, On, Options, RegistryDouble, reply};

/// One registry with both repositories.
async fn one(options: Options) -> (RegistryDouble, Registry, RawManifest) {
    let double = RegistryDouble::start(options).await;
    let root = image(&["a", "b"], None);
    for blob in [b"{}".as_slice(), b"a", b"b"] {
        double.seed_blob(SOURCE, blob);
    }
    double.store().put(SOURCE, None, &root);
    let client = double.client();
    (double, client, root)
}

async fn within(
    double: &RegistryDouble,
    client: &Registry,
    root: &RawManifest,
) -> Result<CopyReport, RegistryError> {
    let place = |repository| Place {
        registry: client,
        repository,
    };
    let (from, to) = (double.repository(SOURCE), double.repository("other/app"));
    copy_graph(
        place(&from),
        place(&to),
        root.digest(),
        &CopyOptions::default(),
    )
    .await
}

#[tokio::test]
async fn blobs_are_mounted_within_a_registry_and_not_sent() {
    for auth in [Auth::None, Auth::Basic, Auth::Bearer] {
        let options = Options {
            auth,
            ..Options::default()
        };
        let (double, client, root) = one(options).await;
        let report = within(&double, &client, &root).await.unwrap();
        assert_eq!(
            outcomes(&report)[&(ItemKind::Blob, "Mounted")],
            3,
            "{auth:?}"
        );
        assert_eq!(report.bytes_written(), root.size());
        let requests = double.take_requests();
        assert_eq!(count(&requests, &Method::GET, "/blobs/"), 0);
        assert_eq!(count(&requests, &Method::PUT, "/blobs/"), 0);
        assert!(double.store().uploads.is_empty());
    }
}

#[tokio::test]
async fn a_registry_that_does_not_mount_gets_the_bytes() {
    let not_mounting = Options {
        no_mounts: true,
        ..Options::default()
    };
    for (options, lie) in [
        (not_mounting, None),
        (Options::default(), Some(Lie::status(403))),
        (Options::default(), Some(Lie::status(405))),
    ] {
        let (double, client, root) = one(options).await;
        if let Some(lie) = lie {
            double.lie(On::next(Method::POST, "uploads").times(1), lie);
        }
        let report = within(&double, &client, &root).await.unwrap();
        let written = outcomes(&report).get(&(ItemKind::Blob, "Written")).copied();
        assert_eq!(written, Some(if options.no_mounts { 3 } else { 1 }));
        assert!(double.store().uploads.is_empty());
    }
}

#[tokio::test]
async fn a_token_that_expires_at_any_moment_is_renewed() {
    let options = Options {
        auth: Auth::Bearer,
        ..Options::default()
    };
    // A token that was good once is refused from now on; one that is new is not.
    let expire = || {
        Lie::meanwhile(|store| {
            let used = store.log.last().and_then(|last| last.authorization.clone());
            let same = |request: &&Logged| request.authorization == used;
            if used.is_some() && store.log.iter().filter(same).count() > 1 {
                store.tokens.clear();
            }
        })
    };
    for in_source in [true, false] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
            for at in 0.. {
                let two = Two::start(options, options).await;
                let root = two.image(&["one", "two"]);
                two.attach(&root, "signature");
                let registry = if in_source { &two.from } else { &two.to };
                registry.lie(On::next(method.clone(), "/v2/").after(at), expire());
                two.copy_in_order(&root).await.unwrap();
                two.assert_same();
                if registry.lies_left() > 0 {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_blob_to_its_storage() {
    let options = Options {
        auth: Auth::Basic,
        redirect_blobs: true,
        ..Options::default()
    };
    let two = Two::start(options, Options::default()).await;
    let root = two.image(&["one"]);
    two.copy(&root).await.unwrap();
    two.assert_same();
    let store = two.from.store();
    let mut to_storage = store
        .log
        .iter()
        .filter(|request| request.path.starts_with("/storage/"));
    assert!(to_storage.clone().count() >= 2);
    assert!(to_storage.all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn a_blob_is_not_fetched_from_a_link_local_address() {
    let two = Two::plain().await;
    let root = two.image(&["one"]);
    let away = reply(
        StatusCode::TEMPORARY_REDIRECT,
        &[("location", "http://169.254.169.254/latest/meta-data")],
        axum::body::Bytes::new(),
    );
    let on = On::next(Method::GET, Digest::of(b"one").as_str()).always();
    two.from.lie(on, Lie::Instead(away));
    let error = two.copy(&root).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    assert!(!two.target_has(root.digest()));
    assert_eq!(two.open_uploads(), 0);
}

/// The operator copies in tasks.
#[tokio::test]
async fn a_copy_may_run_on_any_thread() {
    let two = Two::plain().await;
    let root = two.image(&["layer"]);
    let copying = async move {
        let report = two.copy(&root).await.unwrap();
        report.lost().count() == 0 && two.missing(&root).await.is_empty()
    };
    assert!(tokio::spawn(copying).await.unwrap());
}

#[tokio::test]
async fn two_copies_of_the_same_blobs_at_once_both_succeed() {
    let two = Two::plain().await;
    let texts: Vec<String> = (0..20).map(|number| format!("layer {number}")).collect();
    let root = two.image(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    two.attach(&root, "signature");
    let (one, other) = tokio::join!(two.copy(&root), two.copy(&root));
    assert_eq!(
        one.unwrap().lost().count() + other.unwrap().lost().count(),
        0
    );
    two.assert_same();
    assert_eq!(two.missing(&root).await, []);
}
