use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::api_server::{ApiServer, Ran, World, ended, policies};
use crate::double::{Auth, Options, RegistryDouble};

/// A registry and a cluster whose policies name it.
struct Setup {
    registry: RegistryDouble,
    server: ApiServer,
}

impl Setup {
    async fn new(options: Options) -> Self {
        let registry = RegistryDouble::start(options).await;
        let server = ApiServer::start(World {
            policies: policies(registry.repository("platform").as_str()),
            script: vec![ended("Promoted", "tags name it")],
            ..World::default()
        })
        .await;
        Self { registry, server }
    }

    /// A folder with these files, in the order in which they are written.
    fn folder(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.server.home.path().join(name);
        for (path, content) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    async fn publish(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["publish"];
        all.extend(arguments);
        self.server.platform(&all).await
    }
}

const FILES: [(&str, &str); 3] = [
    ("manifest.yaml", "kind: Manifest"),
    ("policies/a.yaml", "[]"),
    ("README.md", "# hello"),
];

#[tokio::test]
async fn publish_pushes_the_files_and_promotes_them_into_the_first_environment() {
    let setup = Setup::new(Options::default()).await;
    setup.folder("platform", &FILES);
    let ran = setup
        .publish(&[
            "platform",
            "--version",
            "1.2.3",
            "--reason",
            "new",
            "-o",
            "json",
        ])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let published: Value = serde_json::from_str(&ran.out).unwrap();
    let digest = published["digest"].as_str().unwrap();
    assert_eq!(published["files"], 3);
    assert_eq!(published["alreadyThere"], false);
    assert_eq!(published["promotion"]["reason"], "Promoted");
    assert_eq!(setup.registry.tags()["platform:1.2.3"], digest);
    let object = setup.server.world().created.pop().unwrap();
    assert_eq!(object["metadata"]["name"], "platform-1.2.3-to-dev");
    let wanted = json!({"artifact": "platform", "version": "1.2.3", "to": "dev", "digest": digest, "reason": "new"});
    assert_eq!(object["spec"], wanted);
}

#[tokio::test]
async fn the_same_files_give_the_same_digest_wherever_and_whenever_they_were_written() {
    let setup = Setup::new(Options::default()).await;
    setup.folder("one", &FILES);
    let reversed: Vec<(&str, &str)> = FILES.iter().rev().copied().collect();
    let other = setup.folder("deep/er/other", &reversed);
    let ran = setup
        .publish(&["one", "--version", "1.2.3", "--no-promote"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let before = setup.registry.tags();
    let ran = setup
        .publish(&[
            other.to_str().unwrap(),
            "--version",
            "1.2.3",
            "--no-promote",
        ])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("is there already"), "{ran:?}");
    assert_eq!(setup.registry.tags(), before);
    // Named one by one, they keep their names.
    let parts = [
        "one/manifest.yaml",
        "one/policies",
        "one/README.md",
        "--version",
        "1.2.3",
        "--no-promote",
    ];
    let ran = setup.publish(&parts).await;
    assert!(ran.err.contains("is there already"), "{ran:?}");
    assert_eq!(setup.server.world().created.len(), 0);
}

#[tokio::test]
async fn a_tag_with_another_digest_is_never_overwritten() {
    let setup = Setup::new(Options::default()).await;
    setup.folder("platform", &FILES);
    assert_eq!(
        setup
            .publish(&["platform", "--version", "1.2.3"])
            .await
            .code,
        0
    );
    let before = setup.registry.tags();
    setup.registry.take_requests();
    setup.folder("platform", &[("manifest.yaml", "kind: Changed")]);
    let ran = setup.publish(&["platform", "--version", "1.2.3"]).await;
    assert_eq!(ran.code, 10, "{ran:?}");
    assert!(ran.err.contains("new version"), "{ran:?}");
    assert_eq!(setup.registry.tags(), before);
    assert_eq!(
        setup.registry.take_requests(),
        ["HEAD /v2/platform/manifests/1.2.3"]
    );
    assert_eq!(setup.server.world().created.len(), 1);
}

#[tokio::test]
async fn the_login_is_the_users_own_and_is_never_printed() {
    for auth in [Auth::Basic, Auth::Bearer] {
        let setup = Setup::new(Options {
            auth,
            ..Options::default()
        })
        .await;
        setup.folder("platform", &FILES);
        let publish = ["platform", "--version", "1.2.3", "--no-promote"];
        let ran = setup.publish(&publish).await;
        assert_eq!(ran.code, 12, "{ran:?}");
        assert!(ran.err.contains("docker login"), "{ran:?}");
        let login = |password: &str| {
            let config = json!({"auths": {setup.registry.host(): {"username": crate::double::USER, "password": password}}});
            setup.folder(".docker", &[("config.json", &config.to_string())]);
        };
        login("not-the-secret");
        let ran = setup.publish(&publish).await;
        assert_eq!(ran.code, 12, "{ran:?}");
        assert!(!ran.err.contains("not-the-secret"), "{ran:?}");
        login(crate::double::PASSWORD);
        let ran = setup.publish(&publish).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!(ran.err + &ran.out).contains(crate::double::PASSWORD));
    }
}

#[tokio::test]
async fn a_login_in_a_credential_helper_is_named_and_not_guessed() {
    let setup = Setup::new(Options {
        auth: Auth::Basic,
        ..Options::default()
    })
    .await;
    setup.folder("platform", &FILES);
    let config = json!({"auths": {setup.registry.host(): {}}, "credsStore": "desktop"});
    setup.folder(".docker", &[("config.json", &config.to_string())]);
    let ran = setup.publish(&["platform", "--version", "1.2.3"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("credential helper 'desktop'"), "{ran:?}");
}

#[tokio::test]
async fn what_is_no_artifact_is_refused_before_anything_is_sent() {
    let setup = Setup::new(Options::default()).await;
    setup.folder("platform", &FILES);
    fs::create_dir(setup.server.home.path().join("empty")).unwrap();
    let linked = setup.folder("linked", &FILES);
    std::os::unix::fs::symlink("manifest.yaml", linked.join("link.yaml")).unwrap();
    for (arguments, code, words) in [
        ("empty --version 1.2.3", 2, "no files"),
        ("missing --version 1.2.3", 2, "'missing'"),
        ("linked --version 1.2.3", 2, "link.yaml"),
        ("platform platform --version 1.2.3", 2, "occurs twice"),
        ("platform --version 1.2", 2, "SemVer"),
        ("platform --version 1.2.3-prod", 2, "ambiguous"),
        (
            "platform --version 1.2.3 --to staging",
            9,
            "first environment",
        ),
        ("platform --version 1.2.3 --to nowhere", 9, "there is: dev"),
        ("platform --version 1.2.3 --artifact other", 9, "'other'"),
    ] {
        let words_typed: Vec<&str> = arguments.split(' ').collect();
        let ran = setup.publish(&words_typed).await;
        assert_eq!(ran.code, code, "{arguments}: {ran:?}");
        assert!(ran.err.contains(words), "{arguments}: {ran:?}");
        assert_eq!(
            setup.registry.take_requests(),
            Vec::<String>::new(),
            "{arguments}"
        );
    }
}

#[tokio::test]
async fn a_git_folder_is_left_out_and_annotations_are_only_what_was_given() {
    let setup = Setup::new(Options::default()).await;
    setup.folder("platform", &FILES);
    setup.folder("platform/.git", &[("config", "secret")]);
    let ran = setup
        .publish(&[
            "platform",
            "--version",
            "1.2.3",
            "--no-promote",
            "--revision",
            "abc",
            "--created",
            "2026-03-01T12:00:00Z",
        ])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("left out: platform/.git"), "{ran:?}");
    let digest = setup.registry.tags()["platform:1.2.3"].clone();
    let (bytes, _) = setup.registry.store().manifests[&("platform".to_owned(), digest)].clone();
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let wanted = json!({
        "org.opencontainers.image.created": "2026-03-01T12:00:00Z",
        "org.opencontainers.image.revision": "abc",
        "org.opencontainers.image.version": "1.2.3",
    });
    assert_eq!(manifest["annotations"], wanted);
    let titles: Vec<&Value> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["annotations"]["org.opencontainers.image.title"])
        .collect();
    assert_eq!(titles, ["README.md", "manifest.yaml", "policies/a.yaml"]);
}
