//! `floe platform audit`: the records of environments as people read and check them.

use axum::http::Method;
use floe::domain::record::SigningKey;
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Ran, World, policies};
use crate::double::{Lie, On, Options, RegistryDouble};
use crate::records::{Made, Writer};

/// A registry with three promotions into prod, and a cluster that knows of them.
struct Setup {
    registry: RegistryDouble,
    server: ApiServer,
    made: Vec<Made>,
}

impl Setup {
    async fn new() -> Self {
        let registry = RegistryDouble::start(Options::default()).await;
        let key = SigningKey::generate();
        let mut writer = Writer::new(&registry, "platform", &key);
        writer.promote(3).await;
        let made = std::mem::take(&mut writer.made);
        let mut policies = policies(registry.repository("platform").as_str());
        policies[2]["status"]["artifacts"] = json!([ledger(&made)]);
        let pem = key.public().to_pem();
        let server = ApiServer::start(World {
            policies,
            record_keys: Some(json!({"space": pem})),
            ..World::default()
        })
        .await;
        std::fs::write(server.home.path().join("floe.pub"), pem).unwrap();
        registry.take_requests();
        Self {
            registry,
            server,
            made,
        }
    }

    async fn audit(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["audit"];
        all.extend(arguments);
        self.server.platform(&all).await
    }

    /// The same without a cluster.
    async fn alone(&self, verb: &str, more: &[&str]) -> Ran {
        std::fs::remove_file(self.server.home.path().join("kubeconfig")).ok();
        let repository = self.registry.repository("platform").to_string();
        let mut all = vec![
            verb,
            "prod",
            "--artifact",
            "platform",
            "-n",
            "space",
            "--key",
            "floe.pub",
        ];
        all.extend(["--plain-http", "--repository", &repository]);
        all.extend(more);
        self.audit(&all).await
    }

    /// Changes one byte of the blob that holds this record.
    fn flip(&self, number: usize) {
        let key = (
            "platform".to_owned(),
            self.made[number - 1].recorded.referrer.to_string(),
        );
        let mut store = self.registry.store();
        let manifest: Value = serde_json::from_slice(&store.manifests[&key].0).unwrap();
        let blob = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
        let stored = store.blobs.get_mut(&("platform".to_owned(), blob)).unwrap();
        let mut bytes = stored.to_vec();
        bytes[100] ^= 1;
        *stored = bytes.into();
    }
}

fn ledger(made: &[Made]) -> Value {
    let entry = |made: &Made| {
        json!({
            "version": made.version, "digest": made.subject.digest(), "promotedAt": "2026-03-02T10:00:00Z",
            "audit": audit(made),
        })
    };
    let history: Vec<Value> = made.iter().rev().map(entry).collect();
    json!({"name": "platform", "current": history[0], "history": history, "audit": audit(made.last().unwrap())})
}

fn audit(made: &Made) -> Value {
    let recorded = &made.recorded;
    json!({"record": recorded.record, "referrer": recorded.referrer, "sequence": recorded.sequence})
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

#[tokio::test]
async fn verify_says_that_all_is_well_and_what_it_has_compared() {
    let setup = Setup::new().await;
    let ran = setup.audit(&["verify"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let prod = ran
        .out
        .lines()
        .find(|line| line.starts_with("prod"))
        .unwrap();
    let words: Vec<&str> = prod.split_whitespace().collect();
    assert_eq!(
        words[..5],
        ["prod", "platform", "Verified", "3", "#3"],
        "{ran:?}"
    );
    assert!(
        ran.out.contains("Compared: records, ledger and tags"),
        "{ran:?}"
    );
    let ran = setup
        .audit(&["verify", "production", "--chain-only", "-o", "json"])
        .await;
    let chains = &json(&ran)["chains"];
    assert_eq!(
        (chains.as_array().unwrap().len(), &chains[0]["records"]),
        (1, &json!(3))
    );

    let ran = setup.alone("verify", &[]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("of the registry alone"), "{ran:?}");
}

#[tokio::test]
async fn verify_names_the_first_bad_record_what_is_wrong_since_when_and_what_to_do() {
    let setup = Setup::new().await;
    setup.flip(2);
    let ran = setup.audit(&["verify", "prod"]).await;
    assert_eq!(ran.code, 8, "{ran:?}");
    let record = setup.made[1].recorded.record.to_string();
    for words in [
        "Broken",
        "record 2: its bytes were changed",
        &record,
        "later than 2026-03-02T13:00:09Z",
        "next      bring",
    ] {
        assert!(ran.out.contains(words), "'{words}' in {}", ran.out);
    }
    assert!(
        ran.err.contains("prod/platform is broken: record 2"),
        "{ran:?}"
    );
    let ran = setup.audit(&["verify", "prod", "-o", "json"]).await;
    let chain = &json(&ran)["chains"][0];
    assert_eq!(
        (&chain["verdict"], &chain["records"]),
        (&json!("Broken"), &json!(2))
    );
    let finding = &chain["findings"][0];
    assert_eq!(
        (&finding["sequence"], &finding["record"]),
        (&json!(2), &json!(record))
    );
    let ran = setup.alone("verify", &[]).await;
    assert_eq!(ran.code, 8, "{ran:?}");
}

#[tokio::test]
async fn an_older_ledger_is_broken_unless_a_promotion_has_just_ended() {
    let setup = Setup::new().await;
    let now = setup.server.world().policies[2].clone();
    setup.server.world().policies[2]["status"]["artifacts"] = json!([ledger(&setup.made[..2])]);
    let ran = setup.audit(&["verify", "prod"]).await;
    assert_eq!(ran.code, 8, "{ran:?}");
    assert!(
        ran.out
            .contains("record 3: the ledger does not know it: its newest record is number 2"),
        "{ran:?}"
    );
    setup.server.world().policy_reads = vec![now];
    let ran = setup.audit(&["verify", "prod"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown_and_the_exit_code_says_so() {
    for (lie, code) in [(Lie::status(500), 1), (Lie::status(403), 12)] {
        let setup = Setup::new().await;
        setup
            .registry
            .lie(On::next(Method::GET, "/blobs/").always(), lie);
        let ran = setup.audit(&["verify", "prod"]).await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(
            ran.out.contains("Unknown") && ran.err.contains("not everything could be read"),
            "{ran:?}"
        );
        let ran = setup.audit(&["list", "prod"]).await;
        assert_eq!(ran.code, code, "{ran:?}");
    }
    let setup = Setup::new().await;
    for keys in [None, Some(json!({})), Some(json!({"space": "-----BEGIN"}))] {
        setup.server.world().record_keys = keys;
        let ran = setup.audit(&["verify"]).await;
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    }
    std::fs::write(setup.server.home.path().join("floe.pub"), "nonsense").unwrap();
    let ran = setup.alone("verify", &[]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test]
async fn list_filters_by_person_time_and_result() {
    let setup = Setup::new().await;
    let ran = setup.audit(&["list"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let versions = |ran: &Ran| -> Vec<String> {
        let rows = ran.out.lines().skip(1);
        rows.filter_map(|row| row.split_whitespace().nth(4).map(str::to_owned))
            .collect()
    };
    assert_eq!(versions(&ran), ["1.0.3", "1.0.2", "1.0.1"]);
    for (filter, expected) in [
        (vec!["--person", "alice"], 3),
        (vec!["--person", "bob"], 0),
        (vec!["--since", "2026-03-02T12:00:00Z"], 2),
        (vec!["--until", "2026-03-02T12:00:00Z"], 1),
        (vec!["--since", "2026-03-03"], 0),
        (vec!["--result", "promoted"], 3),
        (vec!["--result", "Refused"], 0),
        (vec!["--artifact", "platform"], 3),
    ] {
        let mut all = vec!["list", "prod", "-o", "json"];
        all.extend(&filter);
        let ran = setup.audit(&all).await;
        assert_eq!(
            json(&ran)["records"].as_array().unwrap().len(),
            expected,
            "{filter:?}"
        );
    }
    let ran = setup.audit(&["list", "--since", "yesterday"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = setup.audit(&["list", "--artifact", "web"]).await;
    assert_eq!(ran.code, 9, "{ran:?}");
}

#[tokio::test]
async fn show_prints_one_record_by_number_or_by_digest() {
    let setup = Setup::new().await;
    let record = setup.made[1].recorded.record.to_string();
    for name in ["2", &record, &record[7..19]] {
        let ran = setup.audit(&["show", name, "prod"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        for words in [
            &record,
            "2 of prod/platform",
            "1.0.2",
            "alice",
            "=release",
            "smoke (Tests): Passed, 12 passed",
        ] {
            assert!(ran.out.contains(words), "'{words}' in {}", ran.out);
        }
    }
    let ran = setup.alone("list", &["-o", "name"]).await;
    assert_eq!(ran.out.lines().count(), 3, "{ran:?}");
    let repository = setup.registry.repository("platform").to_string();
    let alone = [
        "--artifact",
        "platform",
        "-n",
        "space",
        "--key",
        "floe.pub",
        "--plain-http",
        "--repository",
        &repository,
    ];
    let show = |name: &'static str, more: &'static [&'static str]| {
        let mut all = vec!["show", name, "prod"];
        all.extend(alone);
        all.extend(more);
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let setup = &setup;
        async move {
            setup
                .audit(&all.iter().map(String::as_str).collect::<Vec<_>>())
                .await
        }
    };
    let ran = show("3", &["-o", "json"]).await;
    assert_eq!(
        json(&ran)["statement"]["predicate"]["previous"]["record"],
        record.as_str()
    );
    assert_eq!(show("4", &[]).await.code, 11);
    assert_eq!(show("beef", &[]).await.code, 2);
}

#[tokio::test]
async fn export_is_whole_and_in_order_and_no_cell_is_a_formula() {
    let setup = Setup::new().await;
    let ran = setup.audit(&["export"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<&Value> = lines.iter().map(|line| &line["sequence"]).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(lines[1]["statement"]["predicate"]["requestedBy"], "alice");
    assert_eq!(lines[1]["reason"], "=release");
    let ran = setup.audit(&["export", "--format", "csv"]).await;
    let rows: Vec<&str> = ran.out.split("\r\n").collect();
    assert!(
        rows[0].starts_with("space,environment,artifact,sequence,version,digest,"),
        "{ran:?}"
    );
    assert!(
        rows[1].starts_with("space,prod,platform,1,1.0.1,"),
        "{ran:?}"
    );
    assert_eq!((rows.len(), rows[4]), (5, ""));
    assert!(
        ran.out.contains(",'=release,") && !ran.out.contains(",=release"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn without_a_cluster_everything_that_names_the_chain_has_to_be_said() {
    let setup = Setup::new().await;
    let repository = setup.registry.repository("platform").to_string();
    for missing in [
        vec![
            "verify",
            "--repository",
            &repository,
            "--artifact",
            "platform",
            "--key",
            "floe.pub",
            "-n",
            "space",
        ],
        vec![
            "verify",
            "prod",
            "--repository",
            &repository,
            "--key",
            "floe.pub",
            "-n",
            "space",
        ],
        vec![
            "verify",
            "prod",
            "--repository",
            &repository,
            "--artifact",
            "platform",
            "-n",
            "space",
        ],
        vec![
            "verify",
            "prod",
            "--repository",
            &repository,
            "--artifact",
            "platform",
            "--key",
            "floe.pub",
        ],
        vec![
            "verify",
            "prod",
            "dev",
            "--repository",
            &repository,
            "--artifact",
            "a",
            "--key",
            "floe.pub",
            "-n",
            "space",
        ],
        vec!["verify", "prod", "--suffix", "p"],
    ] {
        let ran = setup.audit(&missing).await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{missing:?} {ran:?}");
    }
    assert!(setup.registry.take_requests().is_empty());
}
