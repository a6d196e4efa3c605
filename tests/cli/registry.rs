//! `floe registry`: the registry code by hand.

use std::fs;

use axum::http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::api_server::{Ran, run};
use crate::double::{Auth, Lie, On, Options, PASSWORD, RegistryDouble, USER, referrer};

struct Setup {
    from: RegistryDouble,
    to: RegistryDouble,
    home: TempDir,
}

impl Setup {
    async fn new(from: Options, to: Options) -> Self {
        Self {
            from: RegistryDouble::start(from).await,
            to: RegistryDouble::start(to).await,
            home: tempfile::tempdir().unwrap(),
        }
    }

    async fn plain() -> Self {
        Self::new(Options::default(), Options::default()).await
    }

    /// `floe registry --plain-http <arguments>`.
    async fn registry(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["registry", "--plain-http"];
        all.extend(arguments);
        run(self.home.path(), &all).await
    }

    fn source(&self, rest: &str) -> String {
        format!("{}/team/app{rest}", self.from.host())
    }

    fn target(&self, rest: &str) -> String {
        format!("{}/mirror/app{rest}", self.to.host())
    }

    /// An artifact with a signature that its registry lists.
    async fn signed(&self) -> (String, String) {
        let root = self.from.seed("team/app", Some("1.2.3"), "one");
        let signature = referrer(&root, "signature");
        self.from.seed_blob("team/app", b"signature");
        let repository = self.from.repository("team/app");
        let client = self.from.client();
        let pushed = client.push_referrer(&repository, &signature, root.digest());
        pushed.await.unwrap();
        self.from.take_requests();
        (root.digest().to_string(), signature.digest().to_string())
    }
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

#[tokio::test]
async fn a_tag_is_given_in_four_requests_and_never_overwritten() {
    let setup = Setup::plain().await;
    let root = setup.from.seed("team/app", Some("1.2.3"), "one");
    let other = setup.from.seed("team/app", Some("taken"), "two");
    let artifact = setup.source(":1.2.3");
    let ran = setup
        .registry(&["tag", &artifact, "1.2.3-prod", "-o", "json"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(json(&ran)["digest"], root.digest().as_str());
    assert_eq!(json(&ran)["alreadyThere"], false);
    assert_eq!(setup.from.take_methods(), ["GET", "HEAD", "PUT", "HEAD"]);
    assert_eq!(
        setup.from.tags()["team/app:1.2.3-prod"],
        root.digest().as_str()
    );

    let by_digest = setup.source(&format!("@{}", root.digest()));
    let again = setup.registry(&["tag", &by_digest, "1.2.3-prod"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains("already names"), "{again:?}");
    assert_eq!(setup.from.take_methods(), ["GET", "HEAD"]);

    let ran = setup.registry(&["tag", &artifact, "taken"]).await;
    assert_eq!(ran.code, 10, "{ran:?}");
    assert!(ran.err.contains(other.digest().as_str()), "{ran:?}");
    assert_eq!(setup.from.tags()["team/app:taken"], other.digest().as_str());

    let ran = setup
        .registry(&["tag", &setup.source(":nowhere"), "x"])
        .await;
    assert_eq!(ran.code, 11, "{ran:?}");
    for bad in [setup.source(""), "app:1".to_owned()] {
        assert_eq!(setup.registry(&["tag", &bad, "x"]).await.code, 2, "{bad}");
    }
}

#[tokio::test]
async fn a_copy_names_everything_and_tags_it_last() {
    let setup = Setup::plain().await;
    let (root, signature) = setup.signed().await;
    let (source, target) = (setup.source(":1.2.3"), setup.target(""));
    let ran = setup
        .registry(&["copy", &source, &target, "-o", "json"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let copied = json(&ran);
    assert_eq!(copied["digest"], root.as_str());
    assert_eq!(copied["tag"], "1.2.3");
    assert_eq!(setup.to.tags()["mirror/app:1.2.3"], root);
    let items = copied["items"].as_array().unwrap();
    assert_eq!(items.len(), 5, "{copied:#}");
    let of = |digest: &str| items.iter().find(|item| item["digest"] == digest).unwrap();
    assert_eq!(of(&signature)["kind"], "Referrer");
    assert_eq!(of(&signature)["of"], root.as_str());
    assert!(items.iter().all(|item| item["outcome"] == "Written"));
    let requests = setup.to.take_requests();
    assert!(
        requests.last().unwrap().ends_with("/manifests/1.2.3"),
        "{requests:?}"
    );

    // For people, and again, under another tag.
    let target = setup.target(":2");
    let ran = setup.registry(&["copy", &source, &target]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains(&signature) && ran.out.contains("AlreadyThere"),
        "{ran:?}"
    );
    assert!(ran.out.ends_with("0 B sent; tagged 2\n"), "{ran:?}");
    assert_eq!(setup.to.tags()["mirror/app:2"], root);
}

#[tokio::test]
async fn a_copy_over_a_tag_with_another_digest_sends_nothing() {
    let setup = Setup::plain().await;
    setup.signed().await;
    let other = setup.to.seed("mirror/app", Some("1.2.3"), "other");
    let (source, target) = (setup.source(":1.2.3"), setup.target(""));
    let ran = setup.registry(&["copy", &source, &target]).await;
    assert_eq!(ran.code, 10, "{ran:?}");
    assert_eq!(setup.to.tags()["mirror/app:1.2.3"], other.digest().as_str());
    assert_eq!(setup.to.take_methods(), ["HEAD"]);
}

#[tokio::test]
async fn what_the_target_does_not_take_is_named_and_the_exit_code_is_1() {
    let no_subjects = Options {
        no_subjects: true,
        ..Options::default()
    };
    let setup = Setup::new(Options::default(), no_subjects).await;
    let (root, signature) = setup.signed().await;
    let (source, target) = (setup.source(":1.2.3"), setup.target(""));
    let ran = setup.registry(&["copy", &source, &target]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("1 thing attached"), "{ran:?}");
    let line = ran
        .out
        .lines()
        .find(|line| line.contains(&signature))
        .unwrap();
    assert!(
        line.starts_with("LeftOut") && line.contains("405"),
        "{line}"
    );
    assert_eq!(setup.to.tags()["mirror/app:1.2.3"], root);

    let ran = setup
        .registry(&["copy", "--no-referrers", &source, &target])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.out.contains(&signature), "{ran:?}");
}

#[tokio::test]
async fn a_corrupt_source_is_refused_and_the_target_is_not_tagged() {
    let setup = Setup::plain().await;
    setup.signed().await;
    let lie = Lie::Body("oneX".into());
    setup
        .from
        .lie(On::next(Method::GET, "/blobs/").always(), lie);
    let (source, target) = (setup.source(":1.2.3"), setup.target(""));
    let ran = setup.registry(&["copy", &source, &target]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("corrupt"), "{ran:?}");
    assert!(setup.to.tags().is_empty() && setup.to.store().uploads.is_empty());
}

#[tokio::test]
async fn the_login_of_docker_is_used_for_each_registry_and_a_wrong_one_is_said() {
    let options = Options {
        auth: Auth::Bearer,
        ..Options::default()
    };
    let setup = Setup::new(options, options).await;
    let (root, _) = setup.signed().await;
    let (source, target) = (setup.source(":1.2.3"), setup.target(""));
    let ran = setup.registry(&["copy", &source, &target]).await;
    assert_eq!(ran.code, 12, "{ran:?}");
    let folder = setup.home.path().join(".docker");
    fs::create_dir_all(&folder).unwrap();
    let login = serde_json::json!({"username": USER, "password": PASSWORD});
    let config = serde_json::json!({"auths": {setup.from.host(): login, setup.to.host(): login}});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let ran = setup.registry(&["copy", &source, &target]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(setup.to.tags()["mirror/app:1.2.3"], root);
}

#[tokio::test]
async fn a_tree_shows_what_belongs_to_what() {
    let setup = Setup::plain().await;
    let (root, signature) = setup.signed().await;
    let ran = setup.registry(&["tree", &setup.source(":1.2.3")]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines[1].starts_with("Manifest") && lines[1].contains(&root),
        "{ran:?}"
    );
    assert!(
        lines[2].starts_with("  Referrer") && lines[2].contains(&signature),
        "{ran:?}"
    );
    assert!(lines[3].starts_with("    Blob"), "{ran:?}");
    assert_eq!(lines.len(), 6, "{ran:?}");
    let ran = setup
        .registry(&["tree", &setup.source(":1.2.3"), "-o", "json"])
        .await;
    assert_eq!(json(&ran)["items"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn plain_http_is_spoken_only_with_the_registries_that_were_named() {
    let setup = Setup::plain().await;
    setup.signed().await;
    let (source, target) = (setup.source(":1.2.3"), setup.target(""));
    let only_source = format!("--plain-http={}", setup.from.host());
    let ran = run(
        setup.home.path(),
        &["registry", "copy", &only_source, &source, &target],
    )
    .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(setup.to.take_requests().is_empty());
    let both = format!("--plain-http={}", setup.to.host());
    let all = ["registry", "copy", &only_source, &both, &source, &target];
    assert_eq!(run(setup.home.path(), &all).await.code, 0);
}
