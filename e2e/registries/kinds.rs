//! Whatever lies in a registry: it arrives with its digest, in the eyes of others too.

use floe::effects::registry::{ErrorKind, Reference};
use serde_json::json;
use sha2::{Digest as _, Sha512};

use crate::carry::carry;
use crate::made::{
    DOCKER_LIST, DOCKER_MANIFEST, MANIFEST, Made, artifact, blob, image, index_of, listing, put,
};
use crate::oci::Repository;
use crate::programs::Programs;
use crate::registries::Kind;
use crate::stand::{Stand, Way, tag};

const NAME: &str = "team/app";
const EMPTY: (&str, &str) = ("application/vnd.oci.empty.v1+json", "{}");

/// Both directions between the two kinds of registry.
const DIRECTIONS: [(Kind, Kind); 2] = [
    (Kind::Distribution, Kind::Referrers),
    (Kind::Referrers, Kind::Distribution),
];

struct Ends {
    from: Stand,
    to: Stand,
    programs: Programs,
}

impl Ends {
    async fn start((from, to): (Kind, Kind)) -> Self {
        let from = Stand::start(Way::open(from)).await;
        let to = Stand::start(Way::open(to)).await;
        let programs = Programs::for_stands(&[&from, &to]);
        Self { from, to, programs }
    }

    /// Copies it, and looks at each manifest and blob of it on the other side.
    async fn carries(&self, what: &str, made: &Made) {
        let (_, tag) = carry(&self.from, &self.to, NAME, &made.digest).await;
        let tagged = format!("{}/{NAME}:{tag}", self.to.host);
        assert_eq!(self.programs.digest(&tagged).await, made.digest, "{what}");
        let there = self.to.by_hand(NAME);
        let mut parts = vec![made];
        while let Some(part) = parts.pop() {
            let (media_type, bytes) = there.manifest(&part.digest).await.expect(what);
            assert_eq!(media_type, part.media_type, "{what}");
            assert_eq!(crate::oci::digest_of(&bytes), part.digest, "{what}");
            for blob in &part.blobs {
                let bytes = there.blob(blob).await;
                assert_eq!(crate::oci::digest_of(&bytes), *blob, "{what}");
            }
            parts.extend(&part.children);
        }
    }
}

/// Everything that both registries take, by name.
async fn everything(hand: &Repository) -> Vec<(&'static str, Made)> {
    let plain = image(hand, "plain").await;
    let children = [image(hand, "amd64").await, image(hand, "arm64").await];
    let index = index_of(hand, &children).await;
    let nested = index_of(hand, &[index.clone(), image(hand, "beside").await]).await;
    let flux = artifact(
        hand,
        None,
        ("application/vnd.cncf.flux.config.v1+json", r#"{"flux":1}"#),
        &[("application/vnd.cncf.flux.content.v1.tar+gzip", "flux")],
    )
    .await;
    let files = artifact(
        hand,
        Some("application/vnd.example.files"),
        EMPTY,
        &[("text/plain", "one file"), ("text/markdown", "# another")],
    )
    .await;
    let wasm = artifact(
        hand,
        None,
        (
            "application/vnd.wasm.config.v0+json",
            r#"{"architecture":"wasm","os":"wasip2","layerDigests":[]}"#,
        ),
        &[("application/wasm", "\0asm")],
    )
    .await;
    let no_layers = artifact(hand, Some("application/vnd.example.none"), EMPTY, &[]).await;
    let bytes: Vec<String> = (0..100).map(|number| format!("layer {number}")).collect();
    let layers: Vec<(&str, &str)> = bytes.iter().map(|one| ("text/plain", &**one)).collect();
    let hundred = artifact(hand, Some("application/vnd.example.many"), EMPTY, &layers).await;
    vec![
        ("container image", plain),
        ("image index", index),
        ("index of an index", nested),
        ("Flux artifact", flux),
        ("files", files),
        ("WebAssembly", wasm),
        ("no layers", no_layers),
        ("100 layers", hundred),
        ("artifact with a subject", with_subject(hand).await),
        ("foreign layer", with_foreign_layer(hand).await),
        ("Docker schema 2", docker(hand, "single").await),
        ("Docker list", docker_list(hand).await),
    ]
}

/// An artifact that is itself attached to something: that is not part of it.
async fn with_subject(hand: &Repository) -> Made {
    let subject = image(hand, "subject").await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.note",
        "config": blob(hand, EMPTY.0, EMPTY.1.as_bytes()).await,
        "layers": [blob(hand, "text/plain", b"a note").await],
        "subject": subject.descriptor(),
    });
    put(hand, MANIFEST, &manifest).await
}

/// An image one of whose layers lies at an address outside of any registry.
async fn with_foreign_layer(hand: &Repository) -> Made {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
        "config": blob(hand, "application/vnd.docker.container.image.v1+json", b"{\"os\":\"windows\"}").await,
        "layers": [
            {
                "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 1234,
                "digest": crate::oci::digest_of(b"lies elsewhere"), "urls": [crate::stand::FOREIGN],
            },
            blob(hand, "application/vnd.docker.image.rootfs.diff.tar.gzip", b"lies here").await,
        ],
    });
    put(hand, DOCKER_MANIFEST, &manifest).await
}

async fn docker(hand: &Repository, marker: &str) -> Made {
    let config = json!({"os": "linux", "architecture": marker}).to_string();
    let config_type = "application/vnd.docker.container.image.v1+json";
    let layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
        "config": blob(hand, config_type, config.as_bytes()).await,
        "layers": [blob(hand, layer_type, marker.as_bytes()).await],
    });
    put(hand, DOCKER_MANIFEST, &manifest).await
}

async fn docker_list(hand: &Repository) -> Made {
    let children = [docker(hand, "amd64").await, docker(hand, "arm64").await];
    listing(hand, DOCKER_LIST, &children).await
}

#[tokio::test]
async fn every_kind_of_artifact_arrives_with_its_digest() {
    for direction in DIRECTIONS {
        let ends = Ends::start(direction).await;
        for (what, made) in everything(&ends.from.by_hand(NAME)).await {
            ends.carries(what, &made).await;
        }
    }
}

#[tokio::test]
async fn a_chart_that_helm_has_pushed_arrives_and_helm_pulls_it() {
    for direction in DIRECTIONS {
        let ends = Ends::start(direction).await;
        let (programs, from, to) = (&ends.programs, &ends.from, &ends.to);
        programs.ok("helm", &["create", "app"]).await;
        programs
            .ok("helm", &["package", "app", "--version=1.2.3"])
            .await;
        let place = format!("oci://{}/team", from.host);
        let push = ["push", "app-1.2.3.tgz", &place, "--plain-http"];
        programs.ok("helm", &push).await;

        let source = format!("{}/{NAME}:1.2.3", from.host);
        let digest = programs.digest(&source).await;
        let (report, _) = carry(from, to, NAME, &digest).await;
        let (client, target) = (to.client(), to.repository(NAME));
        let version = tag("1.2.3");
        client.tag(&target, &version, &report.root).await.unwrap();
        let there = format!("{target}:{version}");
        assert_eq!(programs.digest(&there).await, digest);
        let packed = std::fs::read(programs.file("app-1.2.3.tgz")).unwrap();
        std::fs::remove_file(programs.file("app-1.2.3.tgz")).unwrap();
        let place = format!("oci://{target}");
        let pull = ["pull", &place, "--version=1.2.3", "--plain-http"];
        programs.ok("helm", &pull).await;
        let pulled = std::fs::read(programs.file("app-1.2.3.tgz")).unwrap();
        assert_eq!(packed, pulled);
    }
}

/// Only distribution takes such digests.
#[tokio::test]
async fn a_layer_with_a_sha512_digest_arrives() {
    let ends = Ends::start((Kind::Distribution, Kind::Distribution)).await;
    let hand = ends.from.by_hand(NAME);
    let bytes = b"hashed in another way";
    let digest = format!("sha512:{}", hex::encode(Sha512::digest(bytes)));
    hand.push_blob_as(&digest, bytes).await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.long",
        "config": blob(&hand, EMPTY.0, EMPTY.1.as_bytes()).await,
        "layers": [{"mediaType": "text/plain", "digest": digest, "size": bytes.len()}],
    });
    let mut made = put(&hand, MANIFEST, &manifest).await;
    made.blobs.retain(|blob| *blob != digest);
    ends.carries("sha512", &made).await;
    assert_eq!(ends.to.by_hand(NAME).blob(&digest).await, bytes);
}

#[tokio::test]
async fn a_manifest_of_docker_schema_1_is_refused() {
    // go-containerregistry's registry keeps what it does not know; distribution no longer takes it.
    let stand = Stand::start(Way::open(Kind::Referrers)).await;
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let manifest = json!({
        "schemaVersion": 1, "name": NAME, "tag": "old", "architecture": "amd64",
        "fsLayers": [], "history": [], "signatures": [],
    });
    let hand = stand.by_hand(NAME);
    let bytes = manifest.to_string().into_bytes();
    hand.put_manifest("old", schema_1, bytes).await;
    let (client, repository) = (stand.client(), stand.repository(NAME));
    let old = Reference::from(tag("old"));
    let error = client.get_manifest(&repository, &old).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}
