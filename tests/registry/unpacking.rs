//! What `floe gate fetch` makes of archives, good and bad: tars as tools write them, and as nobody should.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use floe::domain::artifact::Digest;
use floe::effects::fetch::{FetchError, Fetched, fetch_and_unpack};
use floe::effects::registry::{ManifestType, RawManifest};
use proptest::prelude::*;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::double::{Options, RegistryDouble};
use crate::gate::{Bench, NAME, mode, walk};

const FLUX: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";
const HELM: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const OCI_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ARTIFACT_CONFIG: &str = "application/vnd.cncf.flux.config.v1+json";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header
}

/// Writes the name as it is: the crate's own setters refuse what a bad tar may hold.
fn named(mut header: Header, name: &[u8]) -> Header {
    let field = &mut header.as_old_mut().name;
    field.fill(0);
    field[..name.len()].copy_from_slice(name);
    header.set_cksum();
    header
}

/// One entry with its content, padded to blocks.
fn entry(kind: EntryType, name: &str, content: &[u8]) -> Vec<u8> {
    let header = named(header(kind, content.len() as u64), name.as_bytes());
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &str) -> Vec<u8> {
    entry(EntryType::Regular, name, content.as_bytes())
}

/// The entries, and the two blocks of zeros after them.
fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0; 1024]);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn layer(media_type: &str, bytes: &[u8]) -> (Value, Vec<u8>) {
    let descriptor = json!({
        "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len(),
    });
    (descriptor, bytes.to_vec())
}

fn titled(media_type: &str, title: &str, bytes: &[u8]) -> (Value, Vec<u8>) {
    let (mut descriptor, bytes) = layer(media_type, bytes);
    descriptor["annotations"] = json!({"org.opencontainers.image.title": title});
    (descriptor, bytes)
}

fn store(double: &RegistryDouble, config: &str, layers: &[(Value, Vec<u8>)]) -> Digest {
    let descriptors: Vec<&Value> = layers.iter().map(|(descriptor, _)| descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": ManifestType::OciManifest.as_str(),
        "config": {"mediaType": config, "digest": Digest::of(b"{}"), "size": 2},
        "layers": descriptors,
    });
    let manifest = RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest);
    let mut store = double.store();
    for (_, bytes) in layers {
        let key = (NAME.to_owned(), Digest::of(bytes).to_string());
        store.blobs.insert(key, bytes.clone().into());
    }
    store.put(NAME, None, &manifest);
    manifest.digest().clone()
}

/// Fetches an artifact with these layers in this process.
async fn fetched(bench: &Bench, layers: &[(Value, Vec<u8>)]) -> Result<Fetched, FetchError> {
    let digest = store(&bench.double, ARTIFACT_CONFIG, layers);
    let repository = bench.double.repository(NAME);
    fetch_and_unpack(
        &bench.double.client(),
        &repository,
        &digest,
        &bench.path("out"),
    )
    .await
}

/// Fetches an artifact with one archive, which must be refused without a trace; the reason.
async fn refused(archive: &[u8]) -> String {
    let bench = Bench::new(Options::default()).await;
    let error = fetched(&bench, &[layer(FLUX, archive)]).await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(bench.written(), Vec::<String>::new());
    assert_eq!(names_in(bench.path("").as_path()), ["out"]);
    error.to_string()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    let folders = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
    found.extend(folders.map(|entry| entry.file_name().into_string().unwrap()));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_flux_artifacts_and_plain_tars_are_unpacked_beside_titled_files() {
    let bench = Bench::new(Options::default()).await;
    let mut built = Builder::new(Vec::new());
    let long = format!("chart/{}/values.yaml", "x".repeat(150));
    built
        .append_data(
            &mut header(EntryType::Regular, 4),
            &long,
            b"a: 1".as_slice(),
        )
        .unwrap();
    let chart = gzip(&built.into_inner().unwrap());
    let flux = gzip(&tar(&[
        entry(EntryType::Directory, "./", b""),
        entry(EntryType::Directory, "./deploy/", b""),
        file("./deploy/a.yaml", "a"),
    ]));
    let layers = [
        titled("application/yaml", "manifest.yaml", b"m"),
        layer(HELM, &chart),
        layer(FLUX, &flux),
        layer(OCI_TAR, &tar(&[file("deploy/b.yaml", "b")])),
        layer(OCI_TAR_GZIP, &gzip(&tar(&[file("empty", "")]))),
        layer("application/vnd.oci.image.layer.v1.tar+zstd", b"zstd"),
    ];
    let digest = store(&bench.double, ARTIFACT_CONFIG, &layers);
    let output = bench.fetch(&digest);
    assert!(output.status.success(), "{}", bench.last_word());
    let expected = [
        &long,
        "deploy/a.yaml",
        "deploy/b.yaml",
        "empty",
        "manifest.yaml",
    ];
    assert_eq!(bench.written(), expected);
    let out = bench.path("out");
    assert_eq!(fs::read_to_string(out.join("deploy/b.yaml")).unwrap(), "b");
    assert_eq!(mode(&out.join("deploy")), 0o755);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("fetched 1 files\n"), "{printed}");
    assert!(
        printed.contains("unpacked 4 files from 4 archives"),
        "{printed}"
    );
    assert!(printed.contains("packed with zstd"), "{printed}");
    // A second run finds what the first one wrote.
    assert!(
        bench.fetch(&digest).status.success(),
        "{}",
        bench.last_word()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_looks_at_titled_layers_only() {
    let bench = Bench::new(Options::default()).await;
    let archive = layer(FLUX, &gzip(&tar(&[file("a.yaml", "password: hunter2")])));
    let digest = store(&bench.double, ARTIFACT_CONFIG, &[archive]);
    let (output, summary) = bench.validate(&digest);
    assert!(output.status.success());
    assert!(
        summary.output.contains("no documents"),
        "{}",
        summary.output
    );
    assert!(bench.written().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_image_stays_packed() {
    let bench = Bench::new(Options::default()).await;
    let root = layer(OCI_TAR_GZIP, &gzip(&tar(&[file("etc/passwd", "root")])));
    let output = bench.fetch(&store(&bench.double, IMAGE_CONFIG, &[root]));
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("container image: its 1 layers are not unpacked"),
        "{printed}"
    );
    assert!(bench.written().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_oras_packed_lies_under_its_title() {
    let bench = Bench::new(Options::default()).await;
    let packed = |name: &str| {
        let (mut descriptor, bytes) = titled(OCI_TAR_GZIP, "docs", &gzip(&tar(&[file(name, "x")])));
        descriptor["annotations"]["io.deis.oras.content.unpack"] = "true".into();
        (descriptor, bytes)
    };
    fetched(&bench, &[packed("docs/a.md")]).await.unwrap();
    assert_eq!(bench.written(), ["docs/a.md"]);
    let error = fetched(&bench, &[packed("other/a.md")]).await.unwrap_err();
    assert!(
        error.to_string().contains("is not in the folder 'docs'"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_are_ours_and_never_setuid() {
    let bench = Bench::new(Options::default()).await;
    let with_mode = |name: &str, mode: u32| {
        let mut header = header(EntryType::Regular, 0);
        header.set_mode(mode);
        named(header, name.as_bytes()).as_bytes().to_vec()
    };
    let entries = [
        with_mode("root", 0o6777),
        with_mode("secret", 0o600),
        with_mode("none", 0),
    ];
    fetched(&bench, &[layer(FLUX, &gzip(&tar(&entries)))])
        .await
        .unwrap();
    let whole = |name: &str| {
        let metadata = fs::metadata(bench.path("out").join(name)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!(
        (whole("root"), whole("secret"), whole("none")),
        (0o755, 0o644, 0o644)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_no_files_or_leave_the_folder_refuse_the_whole_archive() {
    let link = |kind, target: &str| {
        let mut header = header(kind, 0);
        header.set_link_name_literal(target).unwrap();
        named(header, b"bad").as_bytes().to_vec()
    };
    let absolute = format!("{}/x", std::env::temp_dir().display());
    for (bad, why) in [
        (
            file("../x", "x"),
            "path '../x' cannot be used: it leaves its folder",
        ),
        (file("a/../../x", "x"), "it leaves its folder"),
        (file(&absolute, "x"), "it is absolute"),
        (file("a\nb", "x"), "control characters"),
        (
            link(EntryType::Symlink, "/etc/passwd"),
            "entry 'bad' is a symbolic link",
        ),
        (
            link(EntryType::Symlink, "good"),
            "entry 'bad' is a symbolic link",
        ),
        (
            link(EntryType::Link, "../../etc/passwd"),
            "entry 'bad' is a hard link",
        ),
        (
            entry(EntryType::Char, "bad", b""),
            "entry 'bad' is a device",
        ),
        (
            entry(EntryType::Block, "bad", b""),
            "entry 'bad' is a device",
        ),
        (entry(EntryType::Fifo, "bad", b""), "entry 'bad' is a FIFO"),
        (
            entry(EntryType::GNUSparse, "bad", b""),
            "entry 'bad' is a sparse file",
        ),
        (
            entry(EntryType::new(b'?'), "bad", b""),
            "of an unknown type",
        ),
        (file("good", "again"), "path 'good' occurs twice"),
        (file("good/below", "x"), "is a file and a folder"),
        (
            entry(EntryType::Directory, "good", b""),
            "is a file and a folder",
        ),
    ] {
        let said = refused(&gzip(&tar(&[file("good", "g"), bad]))).await;
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_layers_with_one_path_are_refused() {
    let (one, other) = (
        gzip(&tar(&[file("a", "1")])),
        gzip(&tar(&[file("a/b", "2")])),
    );
    let same = gzip(&tar(&[file("a", "2")]));
    for layers in [
        [layer(FLUX, &one), layer(HELM, &other)],
        [layer(FLUX, &one), layer(HELM, &same)],
    ] {
        let bench = Bench::new(Options::default()).await;
        let error = fetched(&bench, &layers).await.unwrap_err();
        assert!(error.to_string().contains("occurs twice"), "{error}");
        assert!(bench.written().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_grow_without_bound_are_refused() {
    // A gibibyte of zeros in a file: the same member again and again, since gzip may be joined.
    let size = 1_u64 << 30;
    let head = named(header(EntryType::Regular, size), b"zeros");
    let mebibyte = gzip(&vec![0; 1 << 20]);
    let mut bomb = gzip(head.as_bytes());
    for _ in 0..1024 {
        bomb.extend_from_slice(&mebibyte);
    }
    let said = refused(&bomb).await;
    assert!(said.contains("more than 104857600 bytes"), "{said}");

    let within_bounds = gzip(&tar(&[entry(
        EntryType::Regular,
        "zeros",
        &vec![0; 2 << 20],
    )]));
    let said = refused(&within_bounds).await;
    assert!(said.contains("more than 200 times"), "{said}");

    // Zeros after the end are padding, and counted too.
    let mut padded = gzip(&tar(&[file("a", "x")]));
    padded.extend(mebibyte.repeat(2));
    let said = refused(&padded).await;
    assert!(said.contains("more than 200 times"), "{said}");

    let many: Vec<Vec<u8>> = (0..20_000).map(|n| file(&n.to_string(), "")).collect();
    let said = refused(&gzip(&tar(&many))).await;
    assert!(said.contains("more than 10000 files"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_archives_are_refused() {
    let good = tar(&[file("a", "some content")]);
    let mut garbage = gzip(&good);
    garbage.extend_from_slice(b"garbage");
    let mut zeros = gzip(&good);
    zeros.extend([0; 100]);
    let mut second = gzip(&good);
    second.extend(gzip(b"not a tar"));
    let mut checksum = gzip(&good);
    let end = checksum.len();
    checksum[end - 6] ^= 1;
    let packed = gzip(&good);
    for (archive, why) in [
        (packed[..packed.len() / 2].to_vec(), "cannot be read"),
        (packed[..packed.len() - 4].to_vec(), "cannot be read"),
        (garbage, "cannot be read"),
        (zeros, "cannot be read"),
        (second, "goes on after its end"),
        (checksum, "cannot be read"),
        (Vec::new(), "cannot be read"),
        (good.clone(), "cannot be read"),
        (gzip(&good[..700]), "cannot be read"),
        (gzip(b"not a tar"), "cannot be read"),
    ] {
        let said = refused(&archive).await;
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_lie_are_refused() {
    let sized = |size: u64| {
        let mut bytes = named(header(EntryType::Regular, size), b"a")
            .as_bytes()
            .to_vec();
        bytes.extend([b'x'; 512]);
        tar(&[bytes])
    };
    let pax = |records: &[u8]| tar(&[entry(EntryType::XHeader, "pax", records), file("a", "x")]);
    let twice = entry(EntryType::GNULongName, "././@LongLink", b"a\0");
    for (archive, why) in [
        (sized(4096), "ends in the middle of a file"),
        (sized(1 << 40), "more than 104857600 bytes"),
        (sized(u64::MAX), "size overflow"),
        // The next header is then in the middle of the content.
        (sized(0), "cannot be read"),
        (pax(b"10 size=4\n"), "two sizes"),
        (pax(b"22 GNU.sparse.major=1\n"), "sparse"),
        (pax(b"13 path=../x\n"), "leaves its folder"),
        (pax(b"99 path=x\n"), "pax header cannot be read"),
        (pax(&vec![b'1'; 70_000]), "too long"),
        (
            tar(&[
                entry(EntryType::XGlobalHeader, "pax", b"10 path=x\n"),
                file("a", ""),
            ]),
            "global",
        ),
        (
            tar(&[entry(EntryType::XHeader, "pax", b"10 path=x\n")]),
            "after a long name",
        ),
        (tar(&[twice.clone(), twice, file("a", "")]), "two headers"),
        (
            tar(&[
                entry(EntryType::GNULongName, "l", &[b'a'; 5000]),
                file("a", ""),
            ]),
            "too long",
        ),
        (
            tar(&[entry(EntryType::GNULongName, "l", b"../x\0"), file("a", "")]),
            "leaves its folder",
        ),
    ] {
        let said = refused(&gzip(&archive)).await;
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_unpacked_through_a_link_that_is_there_already() {
    let bench = Bench::new(Options::default()).await;
    let elsewhere = bench.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.path("out/deploy")).unwrap();
    let archive = layer(FLUX, &gzip(&tar(&[file("deploy/a", "x")])));
    let error = fetched(&bench, &[archive]).await.unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_with_another_digest_is_never_opened() {
    let bench = Bench::new(Options::default()).await;
    let (descriptor, bytes) = layer(FLUX, &gzip(&tar(&[file("a", "good")])));
    let evil = gzip(&tar(&[file("a", "evil")]));
    store(
        &bench.double,
        ARTIFACT_CONFIG,
        &[(descriptor.clone(), bytes.clone())],
    );
    let digest = store(
        &bench.double,
        ARTIFACT_CONFIG,
        &[(descriptor, bytes.clone())],
    );
    let key = (NAME.to_owned(), Digest::of(&bytes).to_string());
    bench.double.store().blobs.insert(key, evil.into());
    assert_eq!(bench.fetch(&digest).status.code(), Some(1));
    assert!(bench.written().is_empty());
}

/// Names that try to get out, and some that do not.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "(\\.\\./|\\./|/|[ab]/|\\.\\.|[ab.]|\\\\|\u{0}){1,8}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..20),
    ]
}

fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => Just(b'0'), 2 => Just(b'5'), 1 => any::<u8>()];
    let ahead = prop_oneof![3 => Just(0_u8), 1 => Just(b'L'), 1 => Just(b'x')];
    (kind, any_name(), ahead, any_name()).prop_map(|(kind, name, ahead, long)| {
        let name = &name[..name.len().min(99)];
        let mut bytes = match ahead {
            b'L' => entry(EntryType::GNULongName, "long", &long),
            b'x' => {
                let rest = [b" path=", long.as_slice(), b"\n"].concat();
                let length = rest.len() + if rest.len() > 8 { 2 } else { 1 };
                let record = [length.to_string().as_bytes(), &rest].concat();
                entry(EntryType::XHeader, "pax", &record)
            }
            _ => Vec::new(),
        };
        bytes.extend_from_slice(named(header(EntryType::new(kind), 0), name).as_bytes());
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_an_archive_holds_no_file_lies_outside_of_the_folder(
        entries in prop::collection::vec(any_entry(), 1..4)
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let bench = Bench::new(Options::default()).await;
            fs::write(bench.path("a"), "mine").unwrap();
            let result = fetched(&bench, &[layer(OCI_TAR, &tar(&entries))]).await;
            let mut beside: Vec<_> = fs::read_dir(bench.path(""))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            beside.sort();
            assert_eq!(beside, ["a", "out"]);
            assert_eq!(fs::read_to_string(bench.path("a")).unwrap(), "mine");
            let written = bench.written();
            match result {
                Ok(fetched) => assert_eq!(written.len(), fetched.unpacked),
                Err(_) => assert!(written.is_empty()),
            }
            for path in written {
                let there = fs::symlink_metadata(bench.path("out").join(path)).unwrap();
                assert!(there.is_file());
            }
        });
    }
}
