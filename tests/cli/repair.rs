use axum::http::Method;
use floe::effects::registry::RawManifest;
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Ran, World, policies};
use crate::double::{Auth, Lie, On, Options, RegistryDouble, USER};

/// staging holds v1.1.0, after v1.0.0; its tags are as floe has left them.
struct Setup {
    registry: RegistryDouble,
    server: ApiServer,
    old: RawManifest,
    new: RawManifest,
}

impl Setup {
    async fn new(options: Options) -> Self {
        let registry = RegistryDouble::start(options).await;
        let old = registry.seed("platform", Some("v1.0.0-staging"), "old");
        let new = registry.seed("platform", Some("v1.1.0-staging"), "new");
        let setup = Self {
            server: ApiServer::start(World::default()).await,
            registry,
            old,
            new,
        };
        setup.tag("latest-staging", Some(&setup.new));
        let mut policies = policies(setup.registry.repository("platform").as_str());
        for policy in &mut policies {
            let name = policy["metadata"]["name"].as_str().unwrap().to_owned();
            let ledger = if name == "staging" {
                setup.ledger(&Value::Null)
            } else {
                json!({"name": "platform"})
            };
            policy["status"]["artifacts"] = json!([ledger]);
        }
        setup.server.world().policies = policies;
        setup
    }

    fn ledger(&self, in_flight: &Value) -> Value {
        let entry = |version: &str, manifest: &RawManifest| json!({"version": version, "digest": manifest.digest(), "promotedAt": "2026-01-01T00:00:00Z", "uid": version});
        let current = entry("v1.1.0", &self.new);
        json!({
            "name": "platform", "current": current, "inFlight": in_flight,
            "history": [current, entry("v1.0.0", &self.old)],
        })
    }

    /// The policy of staging with another ledger.
    fn staging(&self, ledger: &Value) -> Value {
        let mut policy = self.server.world().policies[1].clone();
        policy["status"]["artifacts"] = json!([ledger]);
        policy
    }

    fn tag(&self, tag: &str, manifest: Option<&RawManifest>) {
        let mut store = self.registry.store();
        let key = ("platform".to_owned(), tag.to_owned());
        match manifest {
            Some(manifest) => store.tags.insert(key, manifest.digest().to_string()),
            None => store.tags.remove(&key),
        };
    }

    fn named(&self, tag: &str) -> Option<String> {
        self.registry
            .tags()
            .get(&format!("platform:{tag}"))
            .cloned()
    }

    /// `latest` moved, one version deleted, one overwritten.
    fn drift(&self) {
        let strange = self
            .registry
            .seed("platform", Some("v1.0.0-staging"), "strange");
        self.tag("latest-staging", Some(&strange));
        self.tag("v1.1.0-staging", None);
    }

    fn assert_mended(&self) {
        for (tag, manifest) in [
            ("latest-staging", &self.new),
            ("v1.1.0-staging", &self.new),
            ("v1.0.0-staging", &self.old),
        ] {
            let wanted = Some(manifest.digest().to_string());
            assert_eq!(self.named(tag), wanted, "{tag}");
        }
    }

    async fn repair(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["repair"];
        all.extend(arguments);
        self.server.platform(&all).await
    }
}

fn writes(registry: &RegistryDouble) -> Vec<String> {
    let mut requests = registry.take_requests();
    requests.retain(|request| !request.starts_with("HEAD") && !request.starts_with("GET"));
    requests
}

fn in_flight() -> Value {
    json!({
        "kind": "Promotion", "name": "next", "uid": "next", "tag": "v1.2.0-staging", "digest": "sha256:00",
        "holder": "floe", "since": "2026-01-01T00:00:00Z",
    })
}

#[tokio::test]
async fn repair_puts_each_tag_back_that_names_something_else_or_nothing() {
    let setup = Setup::new(Options::default()).await;
    setup.drift();
    setup.registry.take_requests();
    let ran = setup.repair(&["staging", "--yes", "-o", "json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    setup.assert_mended();
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let shown: Vec<(&str, &str, &str)> = answer["repairs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["tag"].as_str().unwrap(),
                one["reason"].as_str().unwrap(),
                one["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    let wanted = [
        ("latest-staging", "TagMoved", "Restored"),
        ("v1.1.0-staging", "TagMissing", "Restored"),
        ("v1.0.0-staging", "TagMoved", "Restored"),
    ];
    assert_eq!(shown, wanted);
    let wanted = wanted.map(|(tag, ..)| format!("PUT /v2/platform/manifests/{tag}"));
    assert_eq!(writes(&setup.registry), wanted);

    let ran = setup.repair(&["--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let sentence =
        "The tags of dev, staging, prod name what the ledger says: there is nothing to repair.\n";
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (sentence, ""));
    assert_eq!(writes(&setup.registry), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_yes_and_without_anybody_to_ask_repair_shows_the_plan_and_writes_nothing() {
    let setup = Setup::new(Options::default()).await;
    setup.drift();
    setup.registry.take_requests();
    let ran = setup.repair(&["staging"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("--yes"), "{ran:?}");
    for words in ["move back", "write again", "SET BACK", "v1.1.0-staging"] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let moved: Vec<String> = vec![];
    assert_eq!(writes(&setup.registry), moved);
}

#[tokio::test]
async fn a_digest_that_is_gone_is_named_with_what_to_do_and_the_rest_is_repaired() {
    let setup = Setup::new(Options::default()).await;
    setup.drift();
    let key = ("platform".to_owned(), setup.old.digest().to_string());
    setup.registry.store().manifests.remove(&key);
    let ran = setup.repair(&["staging", "--yes"]).await;
    assert_eq!(ran.code, 11, "{ran:?}");
    assert!(ran.err.contains("push it there again"), "{ran:?}");
    let new = Some(setup.new.digest().to_string());
    assert_eq!(setup.named("latest-staging"), new);
    assert_ne!(setup.named("v1.0.0-staging"), Some(key.1));
}

#[tokio::test]
async fn a_promotion_that_comes_in_between_is_not_written_over() {
    let setup = Setup::new(Options::default()).await;
    let strange = setup.registry.seed("platform", None, "strange");
    let busy = setup.staging(&setup.ledger(&in_flight()));
    let mut other = setup.ledger(&Value::Null);
    other["current"]["digest"] = json!(setup.old.digest());
    let other = setup.staging(&other);
    for (reads, words, written) in [
        (vec![busy.clone()], "promotion 'next' writes", false),
        (vec![other], "something else by now", false),
        // Between the write and the look behind it: written, and said.
        (
            vec![setup.staging(&setup.ledger(&Value::Null)), busy],
            "it was written, but",
            true,
        ),
    ] {
        setup.tag("latest-staging", Some(&strange));
        setup.server.world().policy_reads = reads;
        let ran = setup.repair(&["staging", "--yes"]).await;
        assert_eq!(ran.code, 14, "{ran:?}");
        assert!(ran.err.contains(words), "{words}: {ran:?}");
        let named = setup.named("latest-staging") == Some(setup.new.digest().to_string());
        assert_eq!(named, written, "{words}");
    }
}

#[tokio::test]
async fn a_tag_that_moved_again_since_the_plan_is_left_alone() {
    let setup = Setup::new(Options::default()).await;
    let strange = setup
        .registry
        .seed("platform", Some("latest-staging"), "strange");
    let stranger = setup.registry.seed("platform", None, "stranger");
    let to = stranger.digest().to_string();
    // Right before the second look at the tag.
    setup.registry.lie(
        On::next(Method::HEAD, "latest-staging").after(1),
        Lie::meanwhile(move |store| {
            let key = ("platform".to_owned(), "latest-staging".to_owned());
            store.tags.insert(key, to.clone());
        }),
    );
    let ran = setup.repair(&["staging", "--yes"]).await;
    assert_eq!(ran.code, 14, "{ran:?}");
    assert!(ran.err.contains("not what the plan says"), "{ran:?}");
    assert_eq!(
        setup.named("latest-staging"),
        Some(stranger.digest().to_string())
    );
    assert_ne!(strange.digest(), stranger.digest());
}

#[tokio::test]
async fn an_environment_that_cannot_be_compared_is_named_with_its_reason() {
    let setup = Setup::new(Options::default()).await;
    setup.drift();
    setup.registry.take_requests();
    let busy = setup.staging(&setup.ledger(&in_flight()));
    let mut invalid = setup.staging(&setup.ledger(&Value::Null));
    invalid["status"]["conditions"] = json!([{
        "type": "Valid", "status": "False", "reason": "PolicyInvalid", "message": "the suffix is taken",
        "lastTransitionTime": "2026-01-02T00:00:00Z",
    }]);
    let mut unread = setup.staging(&Value::Null);
    unread["status"]["artifacts"] = json!([]);
    for (policy, code, words) in [
        (busy, 14, "'next' writes there"),
        (invalid, 9, "the suffix is taken"),
        (unread, 1, "no ledger"),
    ] {
        setup.server.world().policies[1] = policy;
        let ran = setup.repair(&["staging", "--yes"]).await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(words), "{ran:?}");
        assert_eq!(setup.registry.take_requests(), Vec::<String>::new());
    }
    for (arguments, words) in [
        (&["nowhere", "--yes"][..], "no environment 'nowhere'"),
        (
            &["dev", "--artifact", "other"],
            "none of these environments has an artifact 'other'",
        ),
    ] {
        let ran = setup.repair(arguments).await;
        assert_eq!(ran.code, 9, "{ran:?}");
        assert!(ran.err.contains(words), "{ran:?}");
    }
}

#[tokio::test]
async fn repair_uses_the_users_own_login_and_says_what_a_registry_refuses() {
    let setup = Setup::new(Options {
        auth: Auth::Basic,
        ..Options::default()
    })
    .await;
    setup.drift();
    let ran = setup.repair(&["staging", "--yes"]).await;
    assert_eq!(ran.code, 12, "{ran:?}");
    assert!(ran.err.contains("docker login"), "{ran:?}");
    let login = json!({"auths": {setup.registry.host(): {"username": USER, "password": crate::double::PASSWORD}}});
    let folder = setup.server.home.path().join(".docker");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("config.json"), login.to_string()).unwrap();
    let ran = setup.repair(&["staging", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    setup.assert_mended();
    assert!(!(ran.err + &ran.out).contains(crate::double::PASSWORD));
}

#[tokio::test]
async fn a_registry_with_immutable_tags_is_explained_and_other_tags_are_repaired() {
    let setup = Setup::new(Options {
        immutable_tags: true,
        ..Options::default()
    })
    .await;
    setup.drift();
    let ran = setup.repair(&["staging", "--yes"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("keeps its tags immutable"), "{ran:?}");
    let new = Some(setup.new.digest().to_string());
    assert_eq!(setup.named("v1.1.0-staging"), new, "it was missing");
}

#[tokio::test]
async fn a_record_that_is_gone_is_said_and_is_nothing_to_repair() {
    let setup = Setup::new(Options::default()).await;
    let mut ledger = setup.ledger(&Value::Null);
    ledger["drift"] = json!([{
        "reason": "RecordMissing", "tag": "v1.0.0-staging", "version": "v1.0.0", "repository": "r.example/platform",
        "expected": format!("sha256:{}", "ab".repeat(32)), "since": "2026-01-01T00:00:00Z",
    }]);
    let policy = setup.staging(&ledger);
    setup.server.world().policies[1] = policy;
    let ran = setup.repair(&["staging"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err
            .contains("the record sha256:abababababab of v1.0.0 is gone"),
        "{ran:?}"
    );
    assert!(ran.out.contains("nothing to repair"), "{ran:?}");
}

#[tokio::test]
async fn status_shows_what_is_out_of_sync_and_what_to_run() {
    let setup = Setup::new(Options::default()).await;
    let mut ledger = setup.ledger(&Value::Null);
    ledger["drift"] = json!([{
        "reason": "TagMoved", "tag": "latest-staging", "version": "v1.1.0", "repository": "r.example/platform",
        "expected": setup.new.digest(), "found": setup.old.digest(), "since": "2026-01-01T00:00:00Z",
    }]);
    let mut policy = setup.staging(&ledger);
    let condition = |status: &str, reason: &str, message: &str| {
        json!({"type": "TagsInSync", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-02T00:00:00Z"})
    };
    let conditions = policy["status"]["conditions"].as_array_mut().unwrap();
    conditions.push(condition("False", "TagMoved", "it moved"));
    {
        let mut world = setup.server.world();
        world.policies[1] = policy;
        let dev = world.policies[0]["status"]["conditions"]
            .as_array_mut()
            .unwrap();
        dev.push(condition("Unknown", "NotCompared", "not yet"));
        let prod = world.policies[2]["status"]["conditions"]
            .as_array_mut()
            .unwrap();
        prod.push(condition("Unknown", "RegistryDenied", "cannot compare"));
    }
    let ran = setup.server.platform(&["status"]).await;
    for words in [
        "environment 'staging': TagMoved: latest-staging in r.example/platform names",
        "run: floe platform repair staging -n space",
        "environment 'prod': RegistryDenied: cannot compare",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    assert!(!ran.out.contains("NotCompared"), "{}", ran.out);
    let ran = setup.server.platform(&["status", "-o", "json"]).await;
    let overview: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(overview["environments"][1]["tagsInSync"], "False");
    assert_eq!(overview["environments"][0]["drift"], Value::Null);
}
