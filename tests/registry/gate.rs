//! `floe gate fetch` and `floe gate validate` against the registry double, as gate Pods run them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use floe::domain::artifact::Digest;
use floe::domain::layout::{PackOptions, SourceFile, pack};
use floe::effects::registry::{ManifestType, RawManifest};
use floe_gate::{Severity, Summary};
use tempfile::TempDir;

use crate::double::{Auth, Lie, On, Options, PASSWORD, RegistryDouble, USER, error};

pub(crate) const NAME: &str = "team/platform";
const MANIFEST: &str =
    "apiVersion: floe.dev/v1\nkind: Manifest\nmetadata: {name: acme, version: \"1.2.3\"}\n";
/// What the operator always passes.
const VALIDATE: [&str; 8] = [
    "--strict",
    "--version",
    "v1.2.3",
    "--plain-http",
    "--artifact",
    "platform",
    "--environment",
    "prod",
];

pub(crate) struct Bench {
    pub(crate) double: RegistryDouble,
    folder: TempDir,
}

impl Bench {
    pub(crate) async fn new(options: Options) -> Self {
        let double = RegistryDouble::start(options).await;
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        Self { double, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Stores files as `floe platform publish` packs them.
    pub(crate) fn publish(&self, files: &[(&str, &str)]) -> Digest {
        let files = files
            .iter()
            .map(|(path, text)| SourceFile {
                path: (*path).into(),
                bytes: (*text).into(),
            })
            .collect();
        let packed = pack(files, &PackOptions::default()).unwrap();
        let mut store = self.double.store();
        for blob in packed.blobs {
            store
                .blobs
                .insert((NAME.into(), blob.digest.to_string()), blob.bytes.into());
        }
        let manifest = RawManifest::new(packed.manifest, ManifestType::OciManifest);
        store.put(NAME, None, &manifest);
        packed.digest
    }

    /// Stores a manifest whose only layer has this title.
    fn publish_titled(&self, title: &str) -> Digest {
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": ManifestType::OciManifest.as_str(),
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2},
            "layers": [{
                "mediaType": "text/plain", "digest": Digest::of(b"x"), "size": 1,
                "annotations": {"org.opencontainers.image.title": title},
            }],
        });
        let manifest =
            RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest);
        let mut store = self.double.store();
        store.blobs.insert(
            (NAME.into(), Digest::of(b"x").to_string()),
            b"x".as_slice().into(),
        );
        store.put(NAME, None, &manifest);
        manifest.digest().clone()
    }

    /// Runs the binary, while the double goes on answering.
    pub(crate) fn floe(&self, verb: &str, digest: &Digest, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
        command
            .args(["gate", verb, "--reference"])
            .arg(format!("{}/{NAME}@{digest}", self.double.host()))
            .arg("--out")
            .arg(self.path("out"))
            .arg("--termination-log")
            .arg(self.path("log"))
            .args(more);
        tokio::task::block_in_place(|| command.output().unwrap())
    }

    pub(crate) fn fetch(&self, digest: &Digest) -> Output {
        self.floe("fetch", digest, &["--plain-http"])
    }

    pub(crate) fn validate(&self, digest: &Digest) -> (Output, Summary) {
        self.validate_with(digest, &[])
    }

    fn validate_with(&self, digest: &Digest, more: &[&str]) -> (Output, Summary) {
        let output = self.floe("validate", digest, &[&VALIDATE[..], more].concat());
        let summary = Summary::parse(&fs::read(self.path("log")).unwrap()).unwrap();
        (output, summary)
    }

    pub(crate) fn last_word(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Every file below the folder, by relative path.
    pub(crate) fn written(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.path("out"), "", &mut found);
        found.sort();
        found
    }
}

pub(crate) fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_whole_and_readable_by_every_user() {
    let bench = Bench::new(Options::default()).await;
    let digest = bench.publish(&[
        (MANIFEST_PATH, MANIFEST),
        ("policies/a/b.yaml", "[]"),
        ("empty", ""),
    ]);
    let helper = bench.path("helper");
    fs::write(&helper, "program").unwrap();
    let output = bench.floe(
        "fetch",
        &digest,
        &[
            "--plain-http",
            "--bin-from",
            helper.to_str().unwrap(),
            "--bin-to",
            bench.path("copied").to_str().unwrap(),
        ],
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        bench.written(),
        ["empty", "manifest.yaml", "policies/a/b.yaml"]
    );
    let out = bench.path("out");
    assert_eq!(
        fs::read_to_string(out.join(MANIFEST_PATH)).unwrap(),
        MANIFEST
    );
    assert_eq!(mode(&out.join("policies/a/b.yaml")), 0o644);
    assert_eq!(mode(&out.join("policies/a")), 0o755);
    assert_eq!(mode(&bench.path("copied")), 0o755);
    // A second run finds what the first one wrote.
    assert!(bench.fetch(&digest).status.success());
}

const MANIFEST_PATH: &str = "manifest.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_leave_the_folder_are_refused_and_nothing_is_written() {
    for title in ["../x", "/etc/x", "a/../../x", "a\\..\\x", ""] {
        let bench = Bench::new(Options::default()).await;
        let digest = bench.publish_titled(title);
        let output = bench.fetch(&digest);
        assert_eq!(output.status.code(), Some(1), "{title}");
        assert!(
            bench.last_word().contains("cannot be used"),
            "{}",
            bench.last_word()
        );
        assert!(bench.written().is_empty());
        assert!(!bench.path("x").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_through_a_link_or_over_another_file() {
    let bench = Bench::new(Options::default()).await;
    let elsewhere = bench.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, bench.path("out/policies")).unwrap();
    fs::write(bench.path("out/manifest.yaml"), "mine").unwrap();
    for path in ["policies/a.yaml", MANIFEST_PATH] {
        let digest = bench.publish(&[(path, "x")]);
        let output = bench.fetch(&digest);
        assert_eq!(output.status.code(), Some(1), "{path}");
        assert!(
            bench.last_word().contains("cannot write"),
            "{}",
            bench.last_word()
        );
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert_eq!(
        fs::read_to_string(bench.path("out/manifest.yaml")).unwrap(),
        "mine"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_without_title_are_left_out_and_said_so() {
    let bench = Bench::new(Options::default()).await;
    let manifest = bench.double.seed(NAME, None, "layer");
    let output = bench.fetch(manifest.digest());
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("has no org.opencontainers.image.title"),
        "{printed}"
    );
    let (output, summary) = bench.validate(manifest.digest());
    assert!(output.status.success());
    assert!(
        summary.output.contains("no documents"),
        "{}",
        summary.output
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_another_digest_is_refused() {
    let bench = Bench::new(Options::default()).await;
    let digest = bench.publish(&[("a.yaml", "good")]);
    let key = (NAME.to_owned(), Digest::of(b"good").to_string());
    bench
        .double
        .store()
        .blobs
        .insert(key, b"evil".as_slice().into());
    assert_eq!(bench.fetch(&digest).status.code(), Some(1));
    let (output, summary) = bench.validate(&digest);
    assert_eq!(output.status.code(), Some(1));
    assert!(summary.error.unwrap().contains("could not be checked"));
    assert!(!bench.written().contains(&"a.yaml".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_fails_for_a_moment_is_asked_again() {
    let bench = Bench::new(Options::default()).await;
    let digest = bench.publish(&[(MANIFEST_PATH, MANIFEST)]);
    let down = error(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "try later");
    bench
        .double
        .lie(On::next(Method::GET, "/manifests/"), Lie::Instead(down));
    bench
        .double
        .lie(On::next(Method::GET, "/blobs/"), Lie::ResetBefore);
    assert!(
        bench.fetch(&digest).status.success(),
        "{}",
        bench.last_word()
    );
    assert_eq!(bench.written(), [MANIFEST_PATH]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_is_not_there_is_an_error_and_never_a_pass() {
    let bench = Bench::new(Options::default()).await;
    let absent = Digest::of(b"absent");
    assert_eq!(bench.fetch(&absent).status.code(), Some(1));
    assert!(bench.last_word().contains(absent.as_str()));
    let (output, summary) = bench.validate(&absent);
    assert_eq!((output.status.code(), summary.exit_code), (Some(1), 1));
    assert!(summary.error.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_come_from_the_docker_configuration_and_the_authority_from_its_file() {
    let options = Options {
        auth: Auth::Basic,
        tls: true,
        ..Options::default()
    };
    let bench = Bench::new(options).await;
    let digest = bench.publish(&[(MANIFEST_PATH, MANIFEST)]);
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = serde_json::json!({"auths": {bench.double.host(): {"auth": auth}}});
    let (config_path, ca_path) = (bench.path("config.json"), bench.path("ca.crt"));
    fs::write(&config_path, config.to_string()).unwrap();
    fs::write(&ca_path, bench.double.ca_pem().unwrap()).unwrap();
    let (config_flag, ca_flag) = (config_path.to_str().unwrap(), ca_path.to_str().unwrap());
    let good = bench.floe(
        "fetch",
        &digest,
        &["--docker-config", config_flag, "--ca", ca_flag],
    );
    assert!(good.status.success(), "{good:?}");
    for missing in [&["--ca", ca_flag][..], &["--docker-config", config_flag]] {
        let output = bench.floe("fetch", &digest, missing);
        assert_eq!(output.status.code(), Some(1), "{missing:?}");
        assert!(!bench.last_word().contains(PASSWORD));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_artifact_passes_and_a_bad_one_fails_with_its_findings() {
    let bench = Bench::new(Options::default()).await;
    let (output, summary) = bench.validate(&bench.publish(&[(MANIFEST_PATH, MANIFEST)]));
    assert_eq!((output.status.code(), summary.exit_code), (Some(0), 0));
    assert_eq!(summary.findings, Some(Vec::new()));
    assert!(
        summary.output.ends_with("1 document checked"),
        "{}",
        summary.output
    );

    let bad = MANIFEST.replace("1.2.3", "1.2.4") + "db: {password: hunter2}\n";
    let bench = Bench::new(Options::default()).await;
    let (output, summary) = bench.validate(&bench.publish(&[(MANIFEST_PATH, &bad)]));
    assert_eq!((output.status.code(), summary.exit_code), (Some(8), 8));
    let findings = summary.findings.unwrap();
    let found: Vec<(&str, Severity)> = findings
        .iter()
        .map(|finding| (finding.rule.as_str(), finding.severity))
        .collect();
    assert_eq!(
        found,
        [
            ("literal-secret", Severity::Error),
            ("manifest-version", Severity::Error)
        ]
    );
    assert!(!bench.last_word().contains("hunter2"));
    assert!(
        !String::from_utf8(output.stdout)
            .unwrap()
            .contains("hunter2")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_written_is_not_a_success() {
    let bench = Bench::new(Options::default()).await;
    let digest = bench.publish(&[(MANIFEST_PATH, MANIFEST)]);
    fs::create_dir(bench.path("log")).unwrap();
    let output = bench.floe("validate", &digest, &VALIDATE);
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_exceptions_of_the_environment_count_in_the_gate() {
    let bench = Bench::new(Options::default()).await;
    let digest = bench.publish(&[(MANIFEST_PATH, MANIFEST)]);
    let facts = format!(
        "artifact.name == 'platform' && artifact.version == 'v1.2.3' && artifact.digest == '{digest}' \
         && artifact.mediaType == 'application/vnd.oci.image.manifest.v1+json' \
         && 'org.opencontainers.image.version' in artifact.annotations \
         && environment.name == 'prod' && environment.from == 'staging'"
    );
    let rule = |name: &str, expression: &str| {
        serde_json::json!({"name": name, "expression": expression, "message": "broken"}).to_string()
    };
    let (facts, broken) = (
        rule("facts", &facts),
        rule("broken", "manifest.metadata.name == 'x'"),
    );
    let rules = ["--from", "staging", "--rule", &facts, "--rule", &broken];
    let (output, summary) = bench.validate_with(&digest, &rules);
    assert_eq!(output.status.code(), Some(8), "{summary:?}");
    let findings = summary.findings.unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].to_string(), "(artifact): broken (broken)");
    assert!(summary.output.ends_with("1 document checked; 2 rules"));

    let exception = r#"{"rule": "broken", "reason": "known", "expires": "2999-12-31"}"#;
    let bench = Bench::new(Options::default()).await;
    let digest = bench.publish(&[(MANIFEST_PATH, MANIFEST)]);
    let (output, summary) =
        bench.validate_with(&digest, &["--rule", &broken, "--exception", exception]);
    assert_eq!(output.status.code(), Some(0), "{summary:?}");
    assert_eq!(summary.findings.unwrap()[0].severity, Severity::Warning);

    let bench = Bench::new(Options::default()).await;
    let (output, _) =
        bench.validate_with(&bench.publish(&[("a.bin", "x")]), &["--require-manifest"]);
    assert_eq!(output.status.code(), Some(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_no_json_is_never_a_pass() {
    let bench = Bench::new(Options::default()).await;
    let digest = bench.publish(&[(MANIFEST_PATH, MANIFEST)]);
    for more in [
        ["--rule", "{"],
        ["--rule", r#"{"name": "a", "expression": "true"}"#],
        [
            "--rule",
            r#"{"name": "a", "expression": "true", "message": "m", "extra": 1}"#,
        ],
        [
            "--exception",
            r#"{"rule": "a", "reason": "r", "expires": "soon"}"#,
        ],
    ] {
        let output = bench.floe("validate", &digest, &[&VALIDATE[..], &more].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(!bench.path("log").exists(), "{more:?}");
    }
}
