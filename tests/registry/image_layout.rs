//! `floe gate fetch --layout`: the whole artifact as an OCI image layout, or a clear refusal.

use std::fs;

use axum::http::{Method, StatusCode};
use floe::domain::artifact::Digest;
use floe::effects::registry::{ManifestType, RawManifest};
use serde_json::{Value, json};

use crate::double::{Lie, On, Options, error};
use crate::gate::{Bench, NAME, mode, walk};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

impl Bench {
    async fn with_layout() -> Self {
        let bench = Self::new(Options::default()).await;
        fs::create_dir(bench.path("layout")).unwrap();
        bench
    }

    fn blob(&self, media_type: &str, content: &str) -> Value {
        let digest = Digest::of(content.as_bytes());
        let key = (NAME.to_owned(), digest.to_string());
        self.double
            .store()
            .blobs
            .insert(key, content.to_owned().into());
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    fn manifest(&self, kind: ManifestType, body: &Value) -> RawManifest {
        let mut body = body.clone();
        body["schemaVersion"] = 2.into();
        body["mediaType"] = kind.as_str().into();
        let manifest = RawManifest::new(body.to_string().into_bytes(), kind);
        self.double.store().put(NAME, None, &manifest);
        manifest
    }

    fn image(&self, layers: &[Value]) -> RawManifest {
        let config = self.blob(CONFIG, &format!("{{\"layers\": {}}}", layers.len()));
        self.manifest(
            ManifestType::OciManifest,
            &json!({"config": config, "layers": layers}),
        )
    }

    fn index(&self, children: &[&RawManifest]) -> RawManifest {
        let children: Vec<Value> = children.iter().map(|child| descriptor(child)).collect();
        self.manifest(ManifestType::OciIndex, &json!({"manifests": children}))
    }

    /// The exit code, and what was said.
    fn layout(&self, digest: &Digest) -> (Option<i32>, String) {
        let layout = self.path("layout");
        let flags = [
            "--plain-http",
            "--layout",
            layout.to_str().unwrap(),
            "--layout-name",
            "v1.2.3",
        ];
        let output = self.floe("fetch", digest, &flags);
        let said = if output.status.success() {
            String::from_utf8(output.stdout).unwrap()
        } else {
            self.last_word()
        };
        (output.status.code(), said)
    }

    fn in_layout(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.path("layout"), "", &mut found);
        found.sort();
        found
    }

    /// Refused for this reason, and without a layout that could be opened.
    fn refuses(&self, digest: &Digest, why: &str) {
        let (code, said) = self.layout(digest);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why), "{said}");
        let there = self.in_layout();
        assert!(!there.contains(&"index.json".to_owned()), "{there:?}");
        let part = there.iter().find(|name| name.contains("part"));
        assert_eq!(part, None);
    }
}

fn descriptor(manifest: &RawManifest) -> Value {
    json!({
        "mediaType": manifest.media_type().as_str(),
        "digest": manifest.digest(),
        "size": manifest.size(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_written_with_everything_below_it_each_blob_once() {
    let bench = Bench::with_layout().await;
    let shared = bench.blob(LAYER, "shared");
    let amd = bench.image(&[shared.clone(), bench.blob(LAYER, "amd")]);
    let arm = bench.image(&[shared]);
    let inner = bench.index(&[&amd, &arm]);
    let root = bench.index(&[&inner, &amd]);
    let (code, said) = bench.layout(root.digest());
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("image layout with 4 manifests and 4 blobs"),
        "{said}"
    );

    let there = bench.in_layout();
    assert_eq!(there.len(), 8 + 2);
    let layout = bench.path("layout");
    for path in there.iter().filter(|path| path.starts_with("blobs/")) {
        let bytes = fs::read(layout.join(path)).unwrap();
        assert_eq!(*path, format!("blobs/sha256/{}", Digest::of(&bytes).hex()));
        assert_eq!(mode(&layout.join(path)), 0o644);
    }
    assert_eq!(mode(&layout.join("blobs/sha256")), 0o755);
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(layout.join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
    let mut expected = descriptor(&root);
    expected["annotations"] = json!({"org.opencontainers.image.ref.name": "v1.2.3"});
    assert_eq!(read("index.json")["manifests"], json!([expected]));

    let requests = bench.double.take_requests();
    let blobs = requests
        .iter()
        .filter(|request| request.contains("/blobs/"));
    assert_eq!(blobs.count(), 4);
    // A second run finds what the first one wrote.
    assert_eq!(bench.layout(root.digest()).0, Some(0));
    let requests = bench.double.take_requests();
    assert!(!requests.iter().any(|request| request.contains("/blobs/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lies_about_a_blob_gives_no_layout() {
    for (content, why) in [
        ("evil", "digest"),
        ("longer than said", "longer"),
        ("cut", "digest"),
    ] {
        let bench = Bench::with_layout().await;
        let image = bench.image(&[bench.blob(LAYER, "good")]);
        let key = (NAME.to_owned(), Digest::of(b"good").to_string());
        bench.double.store().blobs.insert(key, content.into());
        bench.refuses(image.digest(), why);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_missing_or_not_as_said_gives_no_layout() {
    let bench = Bench::with_layout().await;
    let image = bench.image(&[]);
    let index = bench.index(&[&image]);
    let key = (NAME.to_owned(), image.digest().to_string());
    bench.double.store().manifests.remove(&key);
    bench.refuses(index.digest(), image.digest().as_str());

    for (field, value) in [
        ("size", json!(1)),
        ("mediaType", json!(ManifestType::OciIndex.as_str())),
    ] {
        let bench = Bench::with_layout().await;
        let mut child = descriptor(&bench.image(&[]));
        child[field] = value;
        let index = bench.manifest(ManifestType::OciIndex, &json!({"manifests": [child]}));
        bench.refuses(index.digest(), "and its index says");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_deep_or_too_large_is_refused_before_a_blob_is_fetched() {
    let bench = Bench::with_layout().await;
    let mut root = bench.image(&[]);
    for _ in 0..3 {
        root = bench.index(&[&root]);
    }
    bench.refuses(root.digest(), "levels deep");

    let large = json!({"mediaType": LAYER, "digest": Digest::of(b"large"), "size": 2_u64 << 30});
    let image = bench.image(&[large]);
    bench.refuses(
        image.digest(),
        "an image layout may have at most 2147483648",
    );

    let unknown = format!("sha384:{}", "0".repeat(128));
    let image = bench.image(&[json!({"mediaType": LAYER, "digest": unknown, "size": 1})]);
    bench.refuses(image.digest(), "it must be 'sha256:'");
    let requests = bench.double.take_requests();
    assert!(
        !requests.iter().any(|request| request.contains("/blobs/")),
        "{requests:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_layers_are_left_out_and_named() {
    let bench = Bench::with_layout().await;
    let kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let foreign = json!({
        "mediaType": kind, "digest": Digest::of(b"windows"), "size": 5_u64 << 30,
        "urls": ["https://example.org/windows"],
    });
    let image = bench.image(&[foreign, bench.blob(LAYER, "ours")]);
    let (code, said) = bench.layout(image.digest());
    assert_eq!(code, Some(0), "{said}");
    let digest = Digest::of(b"windows");
    let line = format!("layer {digest} ({kind}) may not be copied and is left out");
    assert!(said.contains(&line), "{said}");
    assert_eq!(bench.in_layout().len(), 3 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_for_a_moment_only_what_is_missing_is_fetched() {
    let bench = Bench::with_layout().await;
    let image = bench.image(&[bench.blob(LAYER, "one"), bench.blob(LAYER, "two")]);
    let down = error(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "try later");
    let two = Digest::of(b"two");
    bench
        .double
        .lie(On::next(Method::GET, two.as_str()), Lie::Instead(down));
    let (code, said) = bench.layout(image.digest());
    assert_eq!(code, Some(0), "{said}");
    let requests = bench.double.take_requests();
    let asked = |digest: &Digest| {
        requests
            .iter()
            .filter(|request| request.ends_with(digest.as_str()))
            .count()
    };
    assert_eq!((asked(&Digest::of(b"one")), asked(&two)), (1, 2));
}
