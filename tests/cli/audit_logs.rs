//! `floe platform audit verify --log`: records and the operators' audit logs against each other.

use floe::domain::audit_log::{About, Chain, Entry, Event, Head, Line};
use floe::domain::record::SigningKey;
use serde_json::Value;

use crate::api_server::{ApiServer, Ran, World};
use crate::double::{Options, RegistryDouble};
use crate::records::{Made, Writer};

const LOG: &str = "20260302T100000Z-0123456789abcdef";

/// Four promotions, and the log that tells of them.
struct Setup {
    registry: RegistryDouble,
    server: ApiServer,
    made: Vec<Made>,
}

fn about(made: &Made, number: usize) -> About {
    About {
        kind: "Promotion".to_owned(),
        name: format!("p-{number}"),
        uid: format!("u-{number}-alice"),
        space: "space".to_owned(),
        environment: "prod".to_owned(),
        artifact: Some("platform".to_owned()),
        version: made.version.clone(),
        ..About::default()
    }
}

/// The lines of a log that tells of these promotions.
fn lines(made: &[Made], told: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let mut head = Head::new(LOG.to_owned());
    let mut lines = Vec::new();
    let mut add = |entry: Entry| {
        let at = "2026-03-02T20:00:00Z".parse().unwrap();
        let (mut bytes, next) = Line::after(&head, at, "floe-0", entry);
        bytes.push(b'\n');
        lines.push(bytes);
        head = next;
    };
    add(Entry::of(Event::Opened));
    for (at, made) in made.iter().enumerate() {
        if !told(at + 1) {
            continue;
        }
        let mut entry = Entry::of(Event::Intent);
        entry.request = Some(about(made, at + 1));
        add(entry);
        let mut entry = Entry::of(Event::Result);
        entry.request = Some(about(made, at + 1));
        entry.reason = Some("Promoted".to_owned());
        entry.chain = Some(Chain {
            sequence: u64::try_from(made.recorded.sequence).ok(),
            record: Some(made.recorded.record.to_string()),
            referrer: Some(made.recorded.referrer.to_string()),
        });
        add(entry);
    }
    lines
}

impl Setup {
    async fn new() -> Self {
        let registry = RegistryDouble::start(Options::default()).await;
        let key = SigningKey::generate();
        let mut writer = Writer::new(&registry, "platform", &key);
        writer.log = Some(LOG);
        writer.promote(4).await;
        let made = std::mem::take(&mut writer.made);
        let server = ApiServer::start(World::default()).await;
        std::fs::write(server.home.path().join("floe.pub"), key.public().to_pem()).unwrap();
        Self {
            registry,
            server,
            made,
        }
    }

    /// Writes the log as two files in its folder.
    fn write(&self, lines: &[Vec<u8>]) {
        let folder = self.server.home.path().join("logs").join(LOG);
        std::fs::create_dir_all(&folder).unwrap();
        let (one, other) = lines.split_at(4.min(lines.len()));
        std::fs::write(folder.join("000000000001.jsonl"), one.concat()).unwrap();
        std::fs::write(folder.join("000000000005.jsonl"), other.concat()).unwrap();
    }

    async fn verify(&self) -> Ran {
        let repository = self.registry.repository("platform").to_string();
        let all = [
            "audit",
            "verify",
            "prod",
            "--artifact",
            "platform",
            "-n",
            "space",
            "--key",
            "floe.pub",
            "--plain-http",
            "--repository",
            &repository,
            "--log",
            "logs",
        ];
        self.server.platform(&all).await
    }

    async fn log_alone(&self) -> Ran {
        let all = [
            "audit",
            "verify",
            "--log",
            "logs",
            "--log-only",
            "-o",
            "json",
        ];
        self.server.platform(&all).await
    }
}

#[tokio::test]
async fn a_log_and_the_records_of_its_operator_fit() {
    let setup = Setup::new().await;
    setup.write(&lines(&setup.made, |_| true));
    let ran = setup.verify().await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("9 in order, from line 1"), "{ran:?}");
    let ran = setup.log_alone().await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, &report["logs"][0]["lines"]),
        (0, &9.into()),
        "{ran:?}"
    );
}

#[tokio::test]
async fn records_that_were_cut_off_with_their_tags_are_seen_by_the_log() {
    let setup = Setup::new().await;
    setup.write(&lines(&setup.made, |_| true));
    {
        let mut store = setup.registry.store();
        for made in &setup.made[2..] {
            let key = ("platform".to_owned(), made.recorded.referrer.to_string());
            store.manifests.remove(&key).unwrap();
            let tag = format!("{}-prod", made.version);
            store.tags.remove(&("platform".to_owned(), tag)).unwrap();
        }
        let before = setup.made[1].subject.clone();
        store.put("platform", Some("latest-prod"), &before);
    }
    let ran = setup.verify().await;
    assert_eq!(ran.code, 8, "{ran:?}");
    for words in [
        "record 3: the audit log says something else",
        "record 4:",
        "1.0.4 was promoted",
    ] {
        assert!(ran.out.contains(words), "'{words}' in {}", ran.out);
    }
}

#[tokio::test]
async fn a_record_of_which_its_log_does_not_tell_is_found() {
    let setup = Setup::new().await;
    setup.write(&lines(&setup.made, |number| number != 3));
    let ran = setup.verify().await;
    assert_eq!(ran.code, 8, "{ran:?}");
    assert!(
        ran.out
            .contains("record 3: the audit log says something else"),
        "{ran:?}"
    );
    assert!(!ran.out.contains("record 4:"), "{ran:?}");
}

#[tokio::test]
async fn a_changed_log_is_broken_at_its_first_bad_line() {
    let setup = Setup::new().await;
    let whole = lines(&setup.made, |_| true);
    for at in 1..whole.len() - 1 {
        let mut cut = whole.clone();
        cut.remove(at);
        setup.write(&cut);
        let ran = setup.log_alone().await;
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            (ran.code, &report["logs"][0]["lines"]),
            (8, &at.into()),
            "{ran:?}"
        );
        assert!(ran.err.contains("is broken"), "{ran:?}");
    }
    // What is not yet a line was never confirmed to anybody.
    let mut torn = whole.clone();
    torn.push(b"{\"logId\":".to_vec());
    setup.write(&torn);
    let ran = setup.log_alone().await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, &report["logs"][0]["tornBytes"]),
        (0, &9.into()),
        "{ran:?}"
    );
    std::fs::remove_dir_all(setup.server.home.path().join("logs")).unwrap();
    assert_eq!(setup.log_alone().await.code, 2);
}
