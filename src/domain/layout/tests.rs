use jiff::Timestamp;

use super::*;
use crate::domain::artifact::Digest;

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile {
        path: path.into(),
        bytes: text.into(),
    }
}

fn options() -> PackOptions {
    PackOptions {
        version: "v1.2.3".into(),
        ..PackOptions::default()
    }
}

#[test]
fn the_same_files_give_the_same_bytes_in_every_order() {
    let files = [
        file("b/c.yaml", "c: 1"),
        file("a.md", "# a"),
        file("b.json", "{}"),
        file("z", ""),
    ];
    let first = pack(files.to_vec(), &options()).unwrap();
    let mut reversed = files.to_vec();
    reversed.reverse();
    assert_eq!(pack(reversed, &options()).unwrap(), first);
    assert_eq!(first.digest, Digest::of(&first.manifest));
}

#[test]
fn the_bytes_of_a_manifest_never_change_between_releases() {
    let packed = pack(vec![file("manifest.yaml", "a: 1\n")], &options()).unwrap();
    assert_eq!(
        String::from_utf8(packed.manifest).unwrap(),
        concat!(
            r#"{"annotations":{"org.opencontainers.image.version":"v1.2.3"},"#,
            r#""artifactType":"application/vnd.floe.platform.v1","#,
            r#""config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
            r#""mediaType":"application/vnd.oci.empty.v1+json","size":2},"#,
            r#""layers":[{"annotations":{"org.opencontainers.image.title":"manifest.yaml"},"#,
            r#""digest":"CONTENT","#,
            r#""mediaType":"application/yaml","size":5}],"#,
            r#""mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}"#,
        )
        .replace("CONTENT", Digest::of(b"a: 1\n").as_str())
    );
}

#[test]
fn what_was_packed_is_found_again() {
    let files = vec![
        file("manifest.yaml", "a: 1"),
        file("policies/x.yml", "[]"),
        file("copy.yaml", "a: 1"),
    ];
    let packed = pack(files, &options()).unwrap();
    let found = files_of(&packed.manifest).unwrap();
    assert!(found.skipped.is_empty());
    let named: Vec<(&str, &str)> = found
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.media_type.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            ("copy.yaml", "application/yaml"),
            ("manifest.yaml", "application/yaml"),
            ("policies/x.yml", "application/yaml")
        ]
    );
    // Config and two contents: equal files share a blob.
    assert_eq!(packed.blobs.len(), 3);
    for layer in &found.files {
        let blob = packed
            .blobs
            .iter()
            .find(|blob| blob.digest == layer.digest)
            .unwrap();
        assert_eq!(blob.bytes.len() as u64, layer.size);
        assert_eq!(blob.digest, Digest::of(&blob.bytes));
    }
}

#[test]
fn annotations_are_written_only_when_given() {
    let options = PackOptions {
        version: "1.0.0".into(),
        revision: Some("abc".into()),
        source: Some("https://git.example/x".into()),
        created: Some(Timestamp::from_second(1_785_585_600).unwrap()),
    };
    let packed = pack(vec![file("a", "")], &options).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&packed.manifest).unwrap();
    assert_eq!(
        manifest["annotations"],
        serde_json::json!({
            "org.opencontainers.image.version": "1.0.0",
            "org.opencontainers.image.revision": "abc",
            "org.opencontainers.image.source": "https://git.example/x",
            "org.opencontainers.image.created": "2026-08-01T12:00:00Z",
        })
    );
}

#[test]
fn unsafe_paths_are_refused_when_packing_and_when_unpacking() {
    for path in [
        "",
        "/etc/passwd",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "C:/a",
        "a\nb",
        "a\0b",
        &"a/".repeat(300),
        &"a".repeat(256),
    ] {
        let packed = pack(vec![file(path, "x")], &options());
        assert!(
            matches!(packed, Err(LayoutError::UnsafePath { .. })),
            "{path:?} {packed:?}"
        );
        let manifest = serde_json::json!({"layers": [layer(path, 1)]}).to_string();
        let found = files_of(manifest.as_bytes());
        assert!(
            matches!(found, Err(LayoutError::UnsafePath { .. })),
            "{path:?} {found:?}"
        );
    }
}

#[test]
fn a_path_is_one_file_and_no_folder_too() {
    for paths in [["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"]] {
        let files = paths.iter().map(|path| file(path, "x")).collect();
        assert!(
            matches!(pack(files, &options()), Err(LayoutError::DuplicatePath(_))),
            "{paths:?}"
        );
        let manifest = serde_json::json!({"layers": paths.map(|path| layer(path, 1))}).to_string();
        let found = files_of(manifest.as_bytes());
        assert!(
            matches!(found, Err(LayoutError::DuplicatePath(_))),
            "{paths:?}"
        );
    }
    assert!(
        pack(
            vec![file("a/b", ""), file("a/c", ""), file("a.b", "")],
            &options()
        )
        .is_ok()
    );
}

#[test]
fn numbers_and_sizes_are_bounded() {
    assert_eq!(pack(Vec::new(), &options()), Err(LayoutError::NoFiles));
    let many: Vec<SourceFile> = (0..=MAX_FILES).map(|n| file(&n.to_string(), "")).collect();
    assert_eq!(pack(many, &options()), Err(LayoutError::TooManyFiles(1001)));
    let large = serde_json::json!({"layers": [layer("a", MAX_TOTAL_BYTES), layer("b", u64::MAX)]});
    assert_eq!(
        files_of(large.to_string().as_bytes()),
        Err(LayoutError::TooLarge(u64::MAX))
    );
}

#[test]
fn layers_without_title_are_left_out_and_named() {
    let image = serde_json::json!({"config": {}, "layers": [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha512:00", "size": 7},
        layer("a.yaml", 1),
    ]});
    let found = files_of(image.to_string().as_bytes()).unwrap();
    assert_eq!(found.files.len(), 1);
    assert!(found.skipped[0].contains("tar+gzip"), "{:?}", found.skipped);
    let index = serde_json::json!({"manifests": []}).to_string();
    assert_eq!(files_of(index.as_bytes()).unwrap(), Files::default());
}

#[test]
fn a_manifest_that_cannot_be_read_is_an_error_and_not_empty() {
    for text in [
        "",
        "[]",
        "{",
        r#"{"layers": 1}"#,
        r#"{"layers": [{"size": -1}]}"#,
    ] {
        assert!(
            matches!(files_of(text.as_bytes()), Err(LayoutError::Manifest(_))),
            "{text}"
        );
    }
    let other_digest = serde_json::json!({"layers": [{
        "digest": "sha512:00", "size": 1, "annotations": {TITLE: "a"}
    }]});
    let found = files_of(other_digest.to_string().as_bytes());
    assert!(matches!(found, Err(LayoutError::Manifest(_))));
}

fn layer(path: &str, size: u64) -> serde_json::Value {
    serde_json::json!({
        "mediaType": "application/yaml",
        "digest": Digest::of(path.as_bytes()),
        "size": size,
        "annotations": { TITLE: path },
    })
}

#[test]
fn known_tar_layers_are_archives_for_a_gate_and_nothing_for_the_check() {
    let manifest = json_of(
        "application/vnd.cncf.flux.config.v1+json",
        &[
            untitled("application/vnd.cncf.flux.content.v1.tar+gzip"),
            untitled("application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
            untitled("application/vnd.oci.image.layer.v1.tar+gzip"),
            untitled("application/vnd.oci.image.layer.v1.tar"),
            untitled("application/vnd.oci.image.layer.v1.tar+zstd"),
            untitled("application/vnd.cncf.helm.chart.provenance.v1.prov"),
        ],
    );
    let found = contents_of(manifest.as_bytes()).unwrap();
    let packed: Vec<bool> = found.archives.iter().map(|layer| layer.gzip).collect();
    assert_eq!(packed, [true, true, true, false]);
    assert_eq!(found.skipped.len(), 2);
    assert!(
        found.skipped[0].contains("zstd, which floe does not unpack"),
        "{:?}",
        found.skipped
    );
    let checked = files_of(manifest.as_bytes()).unwrap();
    assert_eq!((checked.archives.len(), checked.skipped.len()), (0, 6));
}

#[test]
fn a_container_image_is_not_unpacked_and_one_line_says_so() {
    for config in [
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    ] {
        let layers = [
            untitled("application/vnd.oci.image.layer.v1.tar+gzip"),
            untitled("application/vnd.oci.image.layer.v1.tar"),
        ];
        let found = contents_of(json_of(config, &layers).as_bytes()).unwrap();
        assert!(found.archives.is_empty());
        let [line] = found.skipped.as_slice() else {
            panic!("{:?}", found.skipped);
        };
        assert!(line.contains("container image: its 2 layers"), "{line}");
    }
}

#[test]
fn a_folder_as_oras_packs_it_is_an_archive_for_a_gate_and_a_file_for_the_check() {
    let folder = |title: &str| {
        let mut layer = layer(title, 5);
        layer["annotations"]["io.deis.oras.content.unpack"] = "true".into();
        json_of("application/vnd.oci.empty.v1+json", &[layer])
    };
    let found = contents_of(folder("docs").as_bytes()).unwrap();
    assert_eq!(found.files.len(), 0);
    assert_eq!(found.archives[0].within.as_deref(), Some("docs"));
    assert_eq!(files_of(folder("docs").as_bytes()).unwrap().files.len(), 1);
    let here = contents_of(folder(".").as_bytes()).unwrap();
    assert_eq!(here.archives[0].within, None);
    let refused = contents_of(folder("../docs").as_bytes());
    assert!(matches!(refused, Err(LayoutError::UnsafePath { .. })));
}

#[test]
fn archives_are_counted_and_their_packed_sizes_are_part_of_the_total() {
    let kind = "application/vnd.oci.image.layer.v1.tar";
    let of = |layers: &[serde_json::Value]| contents_of(json_of("x", layers).as_bytes());
    let many = vec![untitled(kind); MAX_ARCHIVES + 1];
    assert!(of(&many[1..]).is_ok());
    assert_eq!(of(&many), Err(LayoutError::TooManyArchives(101)));
    let mut large = untitled(kind);
    large["size"] = MAX_TOTAL_BYTES.into();
    let refused = of(&[large, layer("a", 1)]);
    assert_eq!(refused, Err(LayoutError::TooLarge(MAX_TOTAL_BYTES + 1)));
}

fn json_of(config: &str, layers: &[serde_json::Value]) -> String {
    serde_json::json!({"config": {"mediaType": config}, "layers": layers}).to_string()
}

fn untitled(media_type: &str) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": Digest::of(b"tar"), "size": 3})
}
