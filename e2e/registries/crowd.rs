//! A writer that knows no rules at the same list of referrers: cosign, again and again.

use std::collections::BTreeSet;

use floe::domain::artifact::Digest;
use floe::domain::drift::WantedRecord;
use floe::domain::record::SigningKey;
use floe::effects::drift::gone;
use floe::effects::records::{Document, write};
use floe::effects::registry::Reference;
use serde_json::json;

use crate::made::image;
use crate::programs::Programs;
use crate::registries::Kind;
use crate::stand::{Stand, Way, tag};

const NAME: &str = "team/app";
/// How often cosign writes.
const ROUNDS: usize = 200;
/// Records of ours that are written while it does; all together the list stays under a thousand entries.
const IN_A_ROUND: usize = 3;

#[tokio::test]
async fn beside_cosign_nothing_of_ours_is_lost_and_cosign_never_fails_because_of_us() {
    // Without the referrers API: the list is a tag, which everybody replaces as a whole.
    let stand = Stand::start(Way::open(Kind::Distribution)).await;
    let programs = Programs::for_stands(&[&stand]);
    let keys = ["generate-key-pair", "--output-key-prefix=cosign"];
    programs.ok("cosign", &keys).await;
    programs.write("predicate.json", "{}");
    let made = image(&stand.by_hand(NAME), "crowded").await;
    let digest: Digest = made.digest.parse().unwrap();
    let reference = format!("{}/{NAME}@{digest}", stand.host);
    let (client, repository) = (stand.client(), stand.repository(NAME));
    let by_digest = Reference::from(&digest);
    let subject = client.get_manifest(&repository, &by_digest).await;
    let (subject, key) = (subject.unwrap().unwrap(), SigningKey::generate());

    let mut ours = Vec::new();
    for round in 0..ROUNDS {
        let attest = [
            "attest",
            "--yes",
            "--key=cosign.key",
            "--signing-config=signing-config.json",
            "--type=https://example.com/note",
            "--predicate=predicate.json",
        ];
        let theirs = programs.cosign(&attest, &reference);
        let writes = async {
            for number in 0..IN_A_ROUND {
                let statement = json!({
                    "_type": "https://in-toto.io/Statement/v1",
                    "subject": [{ "name": NAME, "digest": { "sha256": digest.hex() } }],
                    "predicateType": "https://floe.dev/promotion/v1/dev",
                    "predicate": { "round": round, "number": number },
                });
                let document = Document {
                    statement: statement.to_string().into_bytes(),
                    predicate_type: "https://floe.dev/promotion/v1/dev".to_owned(),
                };
                let written = write(&client, &repository, &subject, &[document], &key, &[]).await;
                ours.push(written.unwrap().remove(0).referrer);
            }
        };
        let (ended, ()) = futures::join!(theirs, writes);
        assert!(ended.status.success(), "round {round}: {}", ended.stderr);
    }

    let listed = async || {
        let entries = client.referrers(&repository, &digest).await.unwrap();
        let listed: BTreeSet<Digest> = entries.into_iter().map(|entry| entry.digest).collect();
        listed
    };
    let before = listed().await;
    let dropped = ours.iter().filter(|record| !before.contains(record));
    println!(
        "of {} records cosign had dropped {} from the list",
        ours.len(),
        dropped.count()
    );
    // What the comparison of tags with the ledger does every half hour.
    let wanted: Vec<WantedRecord> = ours
        .iter()
        .map(|record| WantedRecord {
            tag: tag("v1.0.0-dev"),
            version: "v1.0.0".to_owned(),
            subject: digest.clone(),
            record: record.clone(),
        })
        .collect();
    let missing = gone(&client, &repository, &wanted).await.unwrap();
    assert_eq!(missing, BTreeSet::new());
    let after = listed().await;
    for record in &ours {
        assert!(after.contains(record), "{record} is lost");
    }
}
