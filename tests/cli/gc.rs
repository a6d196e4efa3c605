use axum::http::Method;
use floe::domain::artifact::Digest;
use floe::domain::record::SigningKey;
use floe::effects::records::{self, Document};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Ran, World, policies, promotion, waiting};
use crate::double::{Auth, Deletion, Options, RegistryDouble};

/// Versions of dev, the newest first, with the day of January on which each was promoted.
const IN_DEV: [(&str, u32); 4] = [("1.3.0", 9), ("1.2.0", 7), ("1.1.0", 5), ("1.0.0", 3)];
/// Versions of staging.
const IN_STAGING: [(&str, u32); 2] = [("1.1.0", 6), ("1.0.0", 4)];

/// A registry with four versions of dev, of which staging has had two, each with a record.
struct Setup {
    registry: RegistryDouble,
    server: ApiServer,
}

impl Setup {
    async fn new(options: Options) -> Self {
        let registry = RegistryDouble::start(options).await;
        for (version, _) in IN_DEV {
            for name in [version.to_owned(), format!("{version}-dev")] {
                registry.seed("platform", Some(&name), version);
            }
        }
        for (version, _) in IN_STAGING {
            registry.seed("platform", Some(&format!("{version}-staging")), version);
        }
        registry.seed("platform", Some("latest-dev"), "1.3.0");
        registry.seed("platform", Some("latest-staging"), "1.1.0");
        let mut policies = policies(registry.repository("platform").as_str());
        for (policy, versions) in policies.iter_mut().zip([&IN_DEV[..], &IN_STAGING[..]]) {
            let history: Vec<Value> = versions.iter().map(|(version, day)| {
                json!({"version": version, "digest": digest(version), "promotedAt": format!("2026-01-0{day}T00:00:00Z")})
            }).collect();
            policy["status"]["artifacts"] =
                json!([{"name": "platform", "current": history[0], "history": history}]);
            policy["spec"]["retention"] = json!({"keepLast": 1});
        }
        let server = ApiServer::start(World {
            policies,
            ..World::default()
        })
        .await;
        Self { registry, server }
    }

    async fn gc(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["gc"];
        all.extend(arguments);
        self.server.platform(&all).await
    }

    fn tags(&self) -> Vec<String> {
        let tags = self.registry.tags().into_keys();
        tags.map(|tag| tag.trim_start_matches("platform:").to_owned())
            .collect()
    }

    fn has(&self, digest: &str) -> bool {
        let key = ("platform".to_owned(), digest.to_owned());
        self.registry.store().manifests.contains_key(&key)
    }

    /// A record on this version; gives back its digest.
    async fn record(&self, version: &str) -> Digest {
        let statement = json!({"_type": "x", "predicateType": "https://floe.dev/promotion/v1/dev", "predicate": {}});
        let client = self.registry.client();
        let repository = self.registry.repository("platform");
        let subject = crate::double::artifact(version);
        records::write(
            &client,
            &repository,
            &subject,
            &[Document {
                statement: statement.to_string().into_bytes(),
                predicate_type: "https://floe.dev/promotion/v1/dev".to_owned(),
            }],
            &SigningKey::generate(),
            &[],
        )
        .await
        .unwrap()
        .remove(0)
        .referrer
    }

    fn deletes(&self) -> Vec<String> {
        let requests = self.registry.take_requests().into_iter();
        requests
            .filter(|request| request.starts_with("DELETE"))
            .collect()
    }
}

fn digest(version: &str) -> String {
    crate::double::artifact(version).digest().to_string()
}

const ALL: [&str; 12] = [
    "1.0.0",
    "1.0.0-dev",
    "1.0.0-staging",
    "1.1.0",
    "1.1.0-dev",
    "1.1.0-staging",
    "1.2.0",
    "1.2.0-dev",
    "1.3.0",
    "1.3.0-dev",
    "latest-dev",
    "latest-staging",
];
const AFTER: [&str; 7] = [
    "1.1.0",
    "1.1.0-dev",
    "1.1.0-staging",
    "1.3.0",
    "1.3.0-dev",
    "latest-dev",
    "latest-staging",
];

#[tokio::test]
async fn gc_shows_what_goes_and_why_and_what_stays_and_why_and_deletes_nothing() {
    let setup = Setup::new(Options::default()).await;
    let ran = setup.gc(&[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let row = |tag: &str| {
        let line = ran
            .out
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(tag));
        line.unwrap_or_else(|| panic!("no '{tag}' in {}", ran.out))
            .to_owned()
    };
    for (tag, action, why) in [
        (
            "1.0.0-dev",
            "delete",
            "number 4 of the versions promoted last",
        ),
        (
            "1.0.0",
            "delete",
            "no environment has this version any more",
        ),
        (
            "1.1.0-dev",
            "keep",
            "it is the current version of environment 'staging'",
        ),
        ("1.3.0-dev", "keep", "environment 'dev'"),
        ("latest-dev", "keep", "never deleted"),
    ] {
        assert!(
            row(tag).starts_with(action) && row(tag).contains(why),
            "{}",
            row(tag)
        );
    }
    // 1.0.0 has three tags, 1.2.0 two.
    assert!(
        ran.out.contains("5 tags and 2 manifests to delete"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("--confirm deletes"), "{}", ran.out);
    assert!(
        ran.err.contains("environment 'prod' sets no retention"),
        "{}",
        ran.err
    );
    assert_eq!(setup.deletes(), Vec::<String>::new());
    assert_eq!(setup.tags(), ALL);
}

#[tokio::test]
async fn gc_deletes_what_it_showed_and_nothing_else_and_then_has_nothing_to_do() {
    let setup = Setup::new(Options::default()).await;
    let record = setup.record("1.0.0").await;
    let ran = setup.gc(&["--confirm", "-o", "json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut expected: Vec<String> = AFTER.map(str::to_owned).into();
    expected.push(digest("1.0.0").replace(':', "-"));
    assert_eq!(setup.tags(), expected);
    for (version, there) in [
        ("1.3.0", true),
        ("1.2.0", false),
        ("1.1.0", true),
        ("1.0.0", false),
    ] {
        assert_eq!(setup.has(&digest(version)), there, "{version}");
    }
    assert!(setup.has(record.as_str()), "a record is never deleted");
    let subject = digest("1.0.0").parse().unwrap();
    let client = setup.registry.client();
    let listed = client
        .referrers(&setup.registry.repository("platform"), &subject)
        .await
        .unwrap();
    assert_eq!(listed[0].digest, record);

    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let repository = &answer["repositories"][0];
    assert_eq!(answer["confirmed"], true);
    let freed = repository["bytesFreed"].as_u64().unwrap();
    assert!(freed > 600, "{answer}");
    let of = |field: &str, action: &str| {
        let rows = repository[field].as_array().unwrap().iter();
        rows.filter(|row| row["action"] == action).count()
    };
    assert_eq!(
        (
            of("tags", "deleted"),
            of("tags", "delete"),
            of("tags", "keep")
        ),
        (5, 0, 7)
    );
    assert_eq!(
        (of("manifests", "deleted"), of("manifests", "delete")),
        (2, 0)
    );
    let tags = repository["tags"].as_array().unwrap();
    let row = tags.iter().find(|row| row["tag"] == "1.2.0-dev").unwrap();
    assert_eq!(row["reason"], "Old");
    assert_eq!(row["environment"], "dev");

    let ran = setup.gc(&["--confirm"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("0 tags and 0 manifests to delete"),
        "{ran:?}"
    );
    assert_eq!(setup.tags(), expected);
}

#[tokio::test]
async fn a_manifest_that_carries_a_record_stays_where_the_registry_lists_referrers() {
    let setup = Setup::new(Options {
        referrers_api: true,
        ..Options::default()
    })
    .await;
    let record = setup.record("1.0.0").await;
    let ran = setup.gc(&["--confirm", "-o", "wide"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(setup.tags(), AFTER);
    assert!(setup.has(&digest("1.0.0")) && setup.has(record.as_str()));
    assert!(!setup.has(&digest("1.2.0")));
    assert!(
        ran.out.contains(&format!("it carries record {record}")),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn an_interrupted_clean_up_is_finished_by_the_next() {
    let setup = Setup::new(Options::default()).await;
    setup
        .registry
        .store()
        .tags
        .retain(|(_, tag), _| !tag.starts_with("1.2.0"));
    assert!(setup.has(&digest("1.2.0")));
    let ran = setup.gc(&["--confirm"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!setup.has(&digest("1.2.0")), "{ran:?}");
}

#[tokio::test]
async fn only_the_environments_that_were_named_lose_tags() {
    let setup = Setup::new(Options::default()).await;
    let ran = setup
        .gc(&["staging", "--artifact", "platform", "--confirm"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(setup.deletes().len(), 1);
    assert!(!setup.tags().contains(&"1.0.0-staging".to_owned()));
    for (arguments, code, words) in [
        (vec!["nowhere"], 9, "there is: dev, prod, staging"),
        (vec!["--artifact", "other"], 9, "'other'"),
        (vec!["production"], 0, "sets no retention"),
    ] {
        let ran = setup.gc(&arguments).await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(words), "{ran:?}");
    }
}

#[tokio::test]
async fn a_registry_that_cannot_delete_is_said_once_and_nothing_else_is_tried() {
    for deletion in [Deletion::Nothing, Deletion::NoTags] {
        let setup = Setup::new(Options {
            deletion,
            ..Options::default()
        })
        .await;
        let ran = setup.gc(&["--confirm"]).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(ran.err.matches("deletes no tags").count(), 1, "{}", ran.err);
        assert_eq!(setup.deletes().len(), 1);
        assert_eq!(setup.tags(), ALL);
    }
}

#[tokio::test]
async fn who_may_not_delete_is_told_which_login_is_missing() {
    let setup = Setup::new(Options {
        auth: Auth::Basic,
        ..Options::default()
    })
    .await;
    let ran = setup.gc(&["--confirm"]).await;
    assert_eq!(ran.code, 12, "{ran:?}");
    assert!(ran.err.contains("docker login"), "{ran:?}");
}

#[tokio::test]
async fn consumers_and_promotions_keep_the_versions_that_they_use() {
    let setup = Setup::new(Options::default()).await;
    let consumer = |file: Value| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop", "namespace": "team"},
            "data": file,
        })
    };
    let kept = |ran: &Ran, words: &str| {
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
        assert_eq!(setup.deletes(), Vec::<String>::new());
    };
    setup.server.world().consumers = vec![consumer(
        json!({"floe.yaml": "platform: {version: '>=1.0.0, <2.0.0'}"}),
    )];
    kept(
        &setup.gc(&["--confirm"]).await,
        "consumer 'team/shop' pins >=1.0.0, <2.0.0",
    );
    setup.server.world().consumers = vec![consumer(json!({"other.yaml": "x"}))];
    let ran = setup.gc(&["--confirm"]).await;
    kept(&ran, "what consumers pin is not known");
    assert!(ran.err.contains("'team/shop'"), "{}", ran.err);
    setup.server.world().consumers.clear();
    for version in ["1.0.0", "1.2.0"] {
        let busy = promotion(version, version, &waiting("GatesRunning", "runs"));
        let mut busy = busy;
        busy["status"]["plan"] = Value::Null;
        setup
            .server
            .world()
            .promotions
            .insert(version.to_owned(), busy);
    }
    kept(
        &setup.gc(&["--confirm"]).await,
        "Promotion '1.0.0' has not ended",
    );
}

#[tokio::test]
async fn what_the_user_may_not_see_may_be_in_use() {
    let refused = |ending: &'static str| (Method::GET, ending, 403, "Forbidden", "no");
    let setup = Setup::new(Options::default()).await;
    setup.server.world().refusals = vec![refused("/api/v1/configmaps")];
    let ran = setup.gc(&["--confirm"]).await;
    assert_eq!(ran.code, 12, "{ran:?}");
    assert!(ran.err.contains("so all versions stay"), "{}", ran.err);
    assert_eq!(setup.tags(), ALL);
    for ending in ["v1alpha1/environmentpolicies", "v1alpha1/promotions"] {
        let setup = Setup::new(Options::default()).await;
        setup.server.world().refusals = vec![refused(ending)];
        let ran = setup.gc(&["--confirm"]).await;
        assert_eq!(ran.code, 12, "{ran:?}");
        assert!(
            ran.err.contains("bare tags and manifests stay"),
            "{}",
            ran.err
        );
        let gone: Vec<&str> = ALL
            .into_iter()
            .filter(|tag| !setup.tags().contains(&(*tag).to_owned()))
            .collect();
        assert_eq!(gone, ["1.0.0-dev", "1.0.0-staging", "1.2.0-dev"]);
        assert!(setup.has(&digest("1.0.0")));
    }
}
