//! Lists that never end, circles, and graphs that are too large.

use std::time::Duration;

use axum::http::Method;
use floe::effects::registry::{ErrorKind, Limits, RawManifest, Registry, RegistryError};

use super::{SOURCE, Two, image, index};
use crate::double::{Lie, On, Options};

fn api() -> Options {
    Options {
        referrers_api: true,
        ..Options::default()
    }
}

async fn refused(two: &Two, root: &RawManifest) -> RegistryError {
    let copying = tokio::time::timeout(Duration::from_secs(30), two.copy(root));
    copying.await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_chain_of_fifty_referrers_is_copied_and_one_without_end_is_refused() {
    let two = Two::plain().await;
    let root = two.image(&["layer"]);
    let mut last = root.clone();
    for depth in 0..50 {
        last = two.attach(&last, &format!("about {depth}"));
    }
    let report = two.copy(&root).await.unwrap();
    assert_eq!(report.lost().count(), 0);
    two.assert_same();
    for depth in 50..70 {
        last = two.attach(&last, &format!("about {depth}"));
    }
    let error = refused(&two, &root).await;
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("64 levels"), "{error}");
}

#[tokio::test]
async fn an_index_within_indexes_without_end_is_refused() {
    let two = Two::plain().await;
    let mut root = two.image(&["layer"]);
    for _ in 0..70 {
        root = index(&[&root]);
        two.put(None, &root, &[]);
    }
    assert_eq!(refused(&two, &root).await.kind(), ErrorKind::TooLarge);
    assert!(two.to.take_requests().is_empty());
}

#[tokio::test]
async fn lists_that_name_each_other_in_a_circle_end() {
    let two = Two::plain().await;
    let root = two.image(&["layer"]);
    let first = two.attach(&root, "first");
    let second = two.attach(&first, "second");
    two.list(&second, &[&root, &first]);
    two.list(&root, &[&root, &second]);
    let tag = format!("sha256-{}.sig", root.digest().hex());
    two.from.store().put(SOURCE, Some(&tag), &root);
    two.copy(&root).await.unwrap();
    two.assert_same();
}

#[tokio::test]
async fn a_list_of_referrers_that_never_ends_is_refused() {
    let page = |digest: &str, number: usize| {
        let link = format!("</v2/{SOURCE}/referrers/{digest}?page={number}>; rel=\"next\"");
        Lie::Header("link", link)
    };
    for pages in [1, 2, 100] {
        let two = Two::start(api(), Options::default()).await;
        let root = two.image(&["layer"]);
        two.attach(&root, "signature");
        for number in 0..100 {
            let lie = page(root.digest().as_str(), number % pages);
            two.from.lie(On::next(Method::GET, "/referrers/"), lie);
        }
        let error = refused(&two, &root).await;
        let kinds = [ErrorKind::TooLarge, ErrorKind::Unreadable];
        assert!(kinds.contains(&error.kind()), "{error}");
        assert!(two.to.take_requests().is_empty());
    }
}

#[tokio::test]
async fn ten_thousand_referrers_are_refused_with_their_limit() {
    let mut two = Two::plain().await;
    let limits = Limits::default();
    let mut access = two.from.access();
    access.limits = limits;
    two.source = Registry::new(&access).unwrap();
    let root = two.image(&["layer"]);
    let referrers: Vec<_> = (0..10_000)
        .map(|number| image(&[&number.to_string()], Some(&root)))
        .collect();
    two.list(&root, &referrers.iter().collect::<Vec<_>>());
    let error = refused(&two, &root).await;
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("1000 entries"), "{error}");
    // Four manifests' worth of requests, not ten thousand.
    assert!(two.from.take_requests().len() < 10);
}
