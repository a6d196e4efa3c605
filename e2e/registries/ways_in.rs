//! Each registry, with and without TLS, open, with a password, with tokens.

use floe::domain::artifact::Repository;
use floe::effects::registry::{
    Access, Descriptor, EMPTY_TYPE, ErrorKind, Login, ManifestType, RawManifest, Reference,
    Registry as Client, TagReceipt, TagRefusal,
};
use serde_json::json;

use crate::carry::carry;
use crate::programs::Programs;
use crate::stand::{Asks, PASSWORD, Stand, USER, Way, tag};

const ANY_TYPE: &str = "application/vnd.example.thing";

/// Pushes an artifact with one layer, and gives back its manifest.
pub async fn push(client: &Client, repository: &Repository, layer: &[u8]) -> RawManifest {
    push_layers(client, repository, &[layer]).await
}

/// Pushes an artifact with these layers, and gives back its manifest.
pub async fn push_layers(
    client: &Client,
    repository: &Repository,
    layers: &[impl AsRef<[u8]>],
) -> RawManifest {
    let manifest = manifest(layers, None);
    for blob in layers.iter().map(AsRef::as_ref).chain([b"{}".as_slice()]) {
        client.push_blob(repository, blob.to_vec()).await.unwrap();
    }
    let by_digest = Reference::from(manifest.digest());
    client
        .put_manifest(repository, &by_digest, &manifest)
        .await
        .unwrap();
    manifest
}

fn manifest(layers: &[impl AsRef<[u8]>], subject: Option<&RawManifest>) -> RawManifest {
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| Descriptor::of(layer.as_ref(), ANY_TYPE))
        .collect();
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": ManifestType::OciManifest.as_str(), "artifactType": ANY_TYPE,
        "config": Descriptor::empty(), "layers": layers,
    });
    assert_eq!(manifest["config"]["mediaType"], EMPTY_TYPE);
    if let Some(subject) = subject {
        let media_type = subject.media_type().as_str();
        manifest["subject"] = json!(Descriptor::of(subject.bytes(), media_type));
    }
    RawManifest::new(manifest.to_string(), ManifestType::OciManifest)
}

#[tokio::test]
async fn tags_blobs_and_referrers_work_through_every_way_in() {
    for way in Way::all() {
        let stand = Stand::start(way).await;
        let (client, repository) = (stand.client(), stand.repository("team/app"));
        let first = push(&client, &repository, b"one").await;
        let second = push(&client, &repository, b"two").await;

        let prod = tag("v1-prod");
        let written = client.tag(&repository, &prod, &first).await;
        assert_eq!(written, Ok(TagReceipt::Written), "{way:?}");
        let again = client.tag(&repository, &prod, &first).await;
        assert_eq!(again, Ok(TagReceipt::AlreadyThere), "{way:?}");
        let taken = client.tag(&repository, &prod, &second).await;
        assert!(
            matches!(&taken, Err(TagRefusal::Taken { found, .. }) if found == first.digest()),
            "{way:?}: {taken:?}"
        );
        let latest = tag("latest-prod");
        for manifest in [&first, &second] {
            let moved = client.move_tag(&repository, &latest, manifest).await;
            assert!(moved.unwrap().moved, "{way:?}");
        }

        let referrer = manifest(&[b"three"], Some(&first));
        client
            .push_blob(&repository, b"three".to_vec())
            .await
            .unwrap();
        let attached = client
            .push_referrer(&repository, &referrer, first.digest())
            .await
            .unwrap();
        assert_eq!(attached.digest, *referrer.digest());
        let listed = client.referrers(&repository, first.digest()).await.unwrap();
        let digests: Vec<_> = listed.iter().map(|entry| &entry.digest).collect();
        assert_eq!(digests, [referrer.digest()], "{way:?}");
        let mut tags = client.list_tags(&repository).await.unwrap();
        tags.retain(|tag| !tag.as_str().starts_with("sha256-"));
        assert_eq!(tags, [latest.clone(), prod.clone()], "{way:?}");
        let layer = client
            .get_blob(&repository, &Descriptor::of(b"one", ANY_TYPE))
            .await;
        assert_eq!(layer.unwrap(), b"one", "{way:?}");

        let programs = Programs::for_stands(&[&stand]);
        for (tag, manifest) in [(&prod, &first), (&latest, &second)] {
            let seen = programs.digest(&format!("{repository}:{tag}")).await;
            assert_eq!(seen, manifest.digest().as_str(), "{way:?} {tag}");
        }
        assert_tokens_are_for_this_repository_alone(&stand);
    }
}

/// No token was asked for that allows more than was needed.
fn assert_tokens_are_for_this_repository_alone(stand: &Stand) {
    let Some(tokens) = &stand.tokens else { return };
    let asked = tokens.take_asked().into_iter();
    let asked: Vec<String> = asked.map(|(_, scope)| scope).collect();
    let ours = ["repository:team/app:pull", "repository:team/app:pull,push"];
    let of_floe: Vec<_> = asked
        .iter()
        .filter(|scope| scope.as_str() != "repository:team/app:pull")
        .collect();
    assert!(
        asked.iter().all(|scope| ours.contains(&scope.as_str())),
        "{asked:?}"
    );
    assert_eq!(of_floe.len(), 1, "one token serves all writes: {asked:?}");
}

#[tokio::test]
async fn a_wrong_password_and_no_password_are_denied() {
    for way in Way::all() {
        if way.asks == Asks::Nothing {
            continue;
        }
        let stand = Stand::start(way).await;
        let wrong = Login::new(USER, "a wrong secret");
        for credentials in [Some(wrong), None] {
            let access = Access {
                credentials,
                ..stand.access()
            };
            let client = Client::new(&access).unwrap();
            let repository = stand.repository("team/app");
            for error in [
                client.list_tags(&repository).await.unwrap_err(),
                client
                    .push_blob(&repository, b"x".to_vec())
                    .await
                    .unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Denied, "{way:?}: {error}");
                for secret in ["a wrong secret", PASSWORD] {
                    assert!(!error.to_string().contains(secret), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_of_a_private_authority_needs_that_authority() {
    for way in Way::all().into_iter().filter(|way| way.tls) {
        let stand = Stand::start(way).await;
        let another = crate::certificates::Authority::new("somebody else").pem();
        for ca_pem in [None, Some(another.into_bytes())] {
            let access = Access {
                ca_pem,
                ..stand.access()
            };
            let client = Client::new(&access).unwrap();
            let error = client
                .list_tags(&stand.repository("team/app"))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Untrusted, "{way:?}: {error}");
        }
    }
}

#[tokio::test]
async fn plain_http_to_a_registry_that_speaks_tls_is_an_error_and_never_an_absence() {
    for kind in [
        crate::registries::Kind::Distribution,
        crate::registries::Kind::Referrers,
    ] {
        let stand = Stand::start(Way {
            tls: true,
            ..Way::open(kind)
        })
        .await;
        let access = Access {
            plain_http: true,
            ..stand.access()
        };
        let client = Client::new(&access).unwrap();
        let read = client.list_tags(&stand.repository("team/app")).await;
        assert!(read.is_err(), "{kind:?}: {read:?}");
    }
}

#[tokio::test]
async fn an_artifact_is_copied_from_each_way_in_to_the_next() {
    let ways = Way::all();
    // Each way once as the source and once as the target: kinds, TLS and logins in all mixtures of neighbours.
    let mut from = Stand::start(ways[ways.len() - 1]).await;
    for way in ways {
        let to = Stand::start(way).await;
        let (client, repository) = (from.client(), from.repository("team/app"));
        let root = push(&client, &repository, b"one").await;
        let referrer = manifest(&[b"three"], Some(&root));
        client
            .push_blob(&repository, b"three".to_vec())
            .await
            .unwrap();
        client
            .push_referrer(&repository, &referrer, root.digest())
            .await
            .unwrap();
        let (report, tag) = carry(&from, &to, "team/app", root.digest().as_str()).await;
        assert!(
            report
                .items
                .iter()
                .any(|one| one.item.digest == *referrer.digest()),
            "{:?} to {way:?}",
            from.way
        );
        let programs = Programs::for_stands(&[&to]);
        let seen = programs
            .digest(&format!("{}:{tag}", to.repository("team/app")))
            .await;
        assert_eq!(seen, root.digest().as_str(), "{:?} to {way:?}", from.way);
        from = to;
    }
}
