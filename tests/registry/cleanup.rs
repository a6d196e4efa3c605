//! Deleting: what is asked for, and nothing else, on registries that delete more, less, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, StatusCode};
use floe::domain::artifact::{Digest, Tag};
use floe::domain::record::SigningKey;
use floe::domain::retention::{Doomed, LetGo};
use floe::effects::cleanup::{
    Deleted, DoomedTag, Stopped, delete_manifests, delete_tags, graph, tags,
};
use floe::effects::records::{self, Document};
use floe::effects::registry::{DeleteReceipt, ErrorKind, RawManifest, RegistryError};
use serde_json::json;

use crate::double::{Auth, Deletion, Lie, On, Options, RegistryDouble, error, referrer};
use crate::tag;

const NAME: &str = "team/app";

/// `old` under two tags, `kept` under one.
struct World {
    double: RegistryDouble,
    old: RawManifest,
    kept: RawManifest,
}

impl World {
    async fn new(options: Options) -> Self {
        let double = RegistryDouble::start(options).await;
        let old = double.seed(NAME, Some("1.0.0-dev"), "old");
        double.seed(NAME, Some("1.0.0"), "old");
        let kept = double.seed(NAME, Some("latest-dev"), "kept");
        Self { double, old, kept }
    }

    async fn delete_tag(&self, name: &str) -> Result<DeleteReceipt, RegistryError> {
        let client = self.double.client();
        let repository = self.double.repository(NAME);
        client
            .delete_tag(&repository, &tag(name), self.old.digest())
            .await
    }

    async fn delete_tags(
        &self,
        doomed: &[DoomedTag],
        deleted: &mut Deleted,
    ) -> Result<(), Stopped> {
        let client = self.double.client();
        let repository = self.double.repository(NAME);
        let tags = tags(&client, &repository).await.unwrap();
        delete_tags(&client, &repository, doomed, &tags, deleted).await
    }

    async fn delete_old(&self, deleted: &mut Deleted) -> Result<(), Stopped> {
        let client = self.double.client();
        let repository = self.double.repository(NAME);
        let doomed = [Doomed {
            digest: self.old.digest().clone(),
            why: LetGo::Untagged,
            tags: Vec::new(),
        }];
        let known = BTreeMap::from([(tag("latest-dev"), self.kept.digest().clone())]);
        delete_manifests(&client, &repository, &doomed, &known, deleted).await
    }

    fn doomed(&self, name: &str, manifest_goes: bool) -> DoomedTag {
        DoomedTag {
            tag: tag(name),
            digest: self.old.digest().clone(),
            manifest_goes,
        }
    }

    fn tag_names(&self) -> Vec<String> {
        self.double.tags().into_keys().collect()
    }

    fn has(&self, manifest: &RawManifest) -> bool {
        let key = (NAME.to_owned(), manifest.digest().to_string());
        self.double.store().manifests.contains_key(&key)
    }
}

const ALL: [&str; 3] = [
    "team/app:1.0.0",
    "team/app:1.0.0-dev",
    "team/app:latest-dev",
];

#[tokio::test]
async fn a_tag_is_deleted_alone_with_a_look_before_and_after() {
    let world = World::new(Options::default()).await;
    assert_eq!(
        world.delete_tag("1.0.0-dev").await,
        Ok(DeleteReceipt::Deleted)
    );
    assert_eq!(world.double.take_methods(), ["HEAD", "DELETE", "HEAD"]);
    assert_eq!(world.tag_names(), ["team/app:1.0.0", "team/app:latest-dev"]);
    assert!(world.has(&world.old));
    assert_eq!(
        world.delete_tag("1.0.0-dev").await,
        Ok(DeleteReceipt::AlreadyGone)
    );
    assert_eq!(world.double.take_methods(), ["HEAD"]);
}

#[tokio::test]
async fn a_tag_that_names_something_else_by_now_is_left_alone() {
    let world = World::new(Options::default()).await;
    assert_eq!(
        world.delete_tag("latest-dev").await,
        Ok(DeleteReceipt::NamesAnother)
    );
    assert_eq!(world.double.take_methods(), ["HEAD"]);
    let mut deleted = Deleted::default();
    let doomed = [world.doomed("latest-dev", true)];
    world.delete_tags(&doomed, &mut deleted).await.unwrap();
    assert!(deleted.left[0].contains("latest-dev"), "{deleted:?}");
    assert_eq!(world.tag_names(), ALL);
}

#[tokio::test]
async fn the_right_to_delete_is_asked_for_and_only_then() {
    let world = World::new(Options {
        auth: Auth::Bearer,
        ..Options::default()
    })
    .await;
    assert_eq!(world.delete_tag("1.0.0").await, Ok(DeleteReceipt::Deleted));
    let mut scopes: Vec<String> = world.double.store().tokens.values().cloned().collect();
    scopes.sort();
    let scope = |actions: &str| format!("repository:team/app:{actions}");
    assert_eq!(scopes, [scope("pull"), scope("pull,delete")]);
}

#[tokio::test]
async fn a_registry_that_cannot_delete_is_asked_once() {
    let instead = |status: StatusCode, code: &str| Lie::Instead(error(status, code, "no"));
    for (deletion, lie) in [
        (Deletion::Nothing, None),
        (Deletion::NoTags, None),
        (
            Deletion::Each,
            Some(instead(StatusCode::BAD_REQUEST, "UNSUPPORTED")),
        ),
        (
            Deletion::Each,
            Some(instead(StatusCode::BAD_REQUEST, "DIGEST_INVALID")),
        ),
        (
            Deletion::Each,
            Some(instead(StatusCode::NOT_FOUND, "UNKNOWN")),
        ),
    ] {
        let world = World::new(Options {
            deletion,
            ..Options::default()
        })
        .await;
        if let Some(lie) = lie {
            world
                .double
                .lie(On::next(Method::DELETE, "/manifests/"), lie);
        }
        let doomed = [world.doomed("1.0.0", true), world.doomed("1.0.0-dev", true)];
        let mut deleted = Deleted::default();
        let stopped = world.delete_tags(&doomed, &mut deleted).await.unwrap_err();
        let Stopped::Registry(error) = stopped else {
            unreachable!("{stopped}");
        };
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("delete"), "{error}");
        assert_eq!(deleted, Deleted::default());
        assert_eq!(world.tag_names(), ALL);
        let requests = world.double.take_methods();
        let deletes = requests.iter().filter(|method| *method == "DELETE");
        assert_eq!(deletes.count(), 1);
    }
}

#[tokio::test]
async fn a_registry_that_says_deleted_and_did_not_is_not_believed() {
    let world = World::new(Options::default()).await;
    let on = || On::next(Method::DELETE, "/manifests/");
    world.double.lie(on(), Lie::WithoutStoring);
    let error = world.delete_tag("1.0.0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StillThere);
    assert_eq!(world.tag_names(), ALL);
    // A lost answer is looked after.
    world.double.lie(on(), Lie::ResetAfter);
    assert_eq!(world.delete_tag("1.0.0").await, Ok(DeleteReceipt::Deleted));
    world.double.lie(on(), Lie::ResetBefore);
    let error = world.delete_tag("1.0.0-dev").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    world.double.lie(on(), Lie::status(403));
    let error = world.delete_tag("1.0.0-dev").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(world.double.lies_left(), 0);
}

#[tokio::test]
async fn a_manifest_that_goes_with_one_of_its_tags_is_written_again_with_all_of_them() {
    let world = World::new(Options {
        deletion: Deletion::Everything,
        ..Options::default()
    })
    .await;
    let mut deleted = Deleted::default();
    let doomed = [world.doomed("1.0.0-dev", false)];
    let stopped = world.delete_tags(&doomed, &mut deleted).await.unwrap_err();
    assert!(matches!(stopped, Stopped::ManifestLost { .. }), "{stopped}");
    assert_eq!(deleted, Deleted::default());
    assert_eq!(world.tag_names(), ALL);
    assert!(world.has(&world.old));
}

#[tokio::test]
async fn a_registry_that_deletes_manifests_with_tags_is_noticed_where_it_does_no_harm() {
    let world = World::new(Options {
        deletion: Deletion::Everything,
        ..Options::default()
    })
    .await;
    world.double.seed(NAME, Some("1.1.0-dev"), "kept");
    let shared = DoomedTag {
        tag: tag("1.1.0-dev"),
        digest: world.kept.digest().clone(),
        manifest_goes: false,
    };
    let doomed = [
        shared,
        world.doomed("1.0.0-dev", true),
        world.doomed("1.0.0", true),
    ];
    let mut deleted = Deleted::default();
    let stopped = world.delete_tags(&doomed, &mut deleted).await.unwrap_err();
    assert!(
        matches!(stopped, Stopped::TakesManifests { .. }),
        "{stopped}"
    );
    let tags: BTreeSet<Tag> = [tag("1.0.0-dev"), tag("1.0.0")].into();
    assert_eq!(deleted.tags, tags);
    assert_eq!(
        world.tag_names(),
        ["team/app:1.1.0-dev", "team/app:latest-dev"]
    );
    assert!(world.has(&world.kept));
}

#[tokio::test]
async fn a_manifest_that_a_tag_names_by_now_is_left_alone() {
    // A tag that was there before names it: new in this list, moved, or never gone.
    for moved in ["brand-new", "latest-dev"] {
        let world = World::new(Options::default()).await;
        world.double.store().tags.clear();
        let old = world.old.clone();
        world
            .double
            .store()
            .put(NAME, Some("latest-dev"), &world.kept);
        world.double.store().put(NAME, Some(moved), &old);
        let mut deleted = Deleted::default();
        world.delete_old(&mut deleted).await.unwrap();
        assert!(deleted.left[0].contains(moved), "{deleted:?}");
        assert!(world.has(&world.old));
        assert!(!world.double.take_methods().contains(&"DELETE".to_owned()));
    }
    let world = World::new(Options::default()).await;
    world.double.store().tags.clear();
    let mut deleted = Deleted::default();
    world.delete_old(&mut deleted).await.unwrap();
    assert_eq!(deleted.manifests, [world.old.digest().clone()].into());
    assert!(!world.has(&world.old));
    assert!(world.has(&world.kept));
}

#[tokio::test]
async fn records_are_told_from_other_referrers_with_and_without_the_referrers_api() {
    for referrers_api in [false, true] {
        let world = World::new(Options {
            referrers_api,
            ..Options::default()
        })
        .await;
        let client = world.double.client();
        let repository = world.double.repository(NAME);
        let statement = json!({"_type": "x", "predicateType": "https://floe.dev/promotion/v1/dev", "predicate": {}});
        let statement = statement.to_string().into_bytes();
        let key = SigningKey::generate();
        let write = async |statement: Vec<u8>, predicate_type: &str| {
            let signed = [Document {
                statement,
                predicate_type: predicate_type.to_owned(),
            }];
            let written = records::write(&client, &repository, &world.old, &signed, &key, &[]);
            written.await.unwrap().remove(0).referrer
        };
        let record = write(statement, "https://floe.dev/promotion/v1/dev").await;
        let foreign =
            json!({"_type": "x", "predicateType": "https://spdx.dev/Document", "predicate": {}});
        let foreign = foreign.to_string().into_bytes();
        let foreign = write(foreign, "https://spdx.dev/Document").await;
        client
            .push_blob(&repository, b"sbom".to_vec())
            .await
            .unwrap();
        let sbom = referrer(&world.old, "sbom");
        client
            .push_referrer(&repository, &sbom, world.old.digest())
            .await
            .unwrap();

        let tags = tags(&client, &repository).await.unwrap();
        let roots: BTreeSet<Digest> = [world.old.digest().clone()].into();
        let graph = graph(&client, &repository, tags, &roots, BTreeMap::new())
            .await
            .unwrap();
        assert_eq!(graph.registry_lists_referrers, referrers_api);
        let listing = &graph.listings[world.old.digest()];
        let referrers: BTreeSet<&Digest> = listing.referrers.iter().collect();
        assert_eq!(referrers, [&record, &foreign, sbom.digest()].into());
        assert_eq!(listing.records, [record]);
        assert!(graph.contents.contains_key(world.kept.digest()));
    }
}

#[tokio::test]
async fn a_registry_that_does_not_show_everything_gives_no_graph() {
    let world = World::new(Options::default()).await;
    let client = world.double.client();
    let repository = world.double.repository(NAME);
    let roots: BTreeSet<Digest> = [world.old.digest().clone()].into();
    for (method, part) in [
        (Method::GET, "/referrers/"),
        (Method::GET, "/manifests/sha256:"),
        (Method::GET, "/manifests/sha256-"),
    ] {
        let tags = tags(&client, &repository).await.unwrap();
        world.double.lie(On::next(method, part), Lie::status(500));
        let unread = graph(&client, &repository, tags, &roots, BTreeMap::new()).await;
        assert!(unread.is_err(), "{part}");
        assert_eq!(world.double.lies_left(), 0);
    }
}
