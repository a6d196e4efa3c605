//! cosign and floe agree on whose records count: before and after a rotation, and after a revocation.

use floe::domain::artifact::Digest;
use floe::domain::drift::WantedRecord;
use floe::domain::record::{
    KeyRing, KeyStatement, PublicKey, Revocation, Rotation, SigningKey, refusal_type,
};
use floe::effects::records::{Document, find, sign_again, write};
use floe::effects::registry::Reference;
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use serde_json::json;

use crate::made::image;
use crate::programs::Programs;
use crate::registries::Kind;
use crate::stand::{Stand, Way, tag};

const NAME: &str = "team/app";
const TYPE: &str = "https://floe.dev/promotion/v1/prod";

#[tokio::test]
async fn cosign_accepts_records_of_each_key_and_those_of_a_revoked_one_signed_anew() {
    for kind in [Kind::Distribution, Kind::Referrers] {
        records_of_two_keys(kind).await;
    }
}

async fn records_of_two_keys(kind: Kind) {
    let stand = Stand::start(Way::open(kind)).await;
    let programs = Programs::for_stands(&[&stand]);
    let (first, second) = (SigningKey::generate(), SigningKey::generate());
    for (name, key) in [("first", &first), ("second", &second)] {
        programs.write(&format!("{name}.pub"), &key.public().to_pem());
    }
    let (client, repository) = (stand.client(), stand.repository(NAME));
    let mut records = Vec::new();
    for (marker, key) in [("before", &first), ("after", &second)] {
        let made = image(&stand.by_hand(NAME), marker).await;
        let digest: Digest = made.digest.parse().unwrap();
        let subject = client
            .get_manifest(&repository, &Reference::from(&digest))
            .await;
        let subject = subject.unwrap().unwrap();
        let document = Document {
            statement: statement(&digest, TYPE),
            predicate_type: TYPE.to_owned(),
        };
        let written = write(&client, &repository, &subject, &[document], key, &[]).await;
        let [record] = written.unwrap().try_into().unwrap();
        records.push(WantedRecord {
            tag: tag("v1.0.0-prod"),
            version: "v1.0.0".to_owned(),
            subject: digest,
            record: record.referrer,
        });
    }
    let accepts = async |key: &str, subject: &Digest| {
        let reference = format!("{}/{NAME}@{subject}", stand.host);
        let key = format!("--key={key}.pub");
        let kind = format!("--type={TYPE}");
        let arguments = ["verify-attestation", &key, &kind, "--insecure-ignore-tlog"];
        programs
            .cosign(&arguments, &reference)
            .await
            .status
            .success()
    };
    let [before, after] = [&records[0].subject, &records[1].subject];
    for (key, subject, expected) in [
        ("first", before, true),
        ("first", after, false),
        ("second", before, false),
        ("second", after, true),
    ] {
        assert_eq!(accepts(key, subject).await, expected, "{key} {subject}");
    }

    // The statements are such that cosign can check them, with the DER of the key that they are about.
    let at = "2026-03-02T10:00:00Z".parse().unwrap();
    let rotation = Rotation::signed("team", &first, &second.public(), at);
    let revocation = Revocation {
        space: "team".to_owned(),
        key: first.public().id(),
        revoked_at: at,
        reason: "stolen".to_owned(),
    };
    let revocation = revocation.sealed_by(&second);
    for (statement, kind, about, by, stranger) in [
        (&rotation, "rotation", second.public(), "first", "second"),
        (&revocation, "revocation", first.public(), "second", "first"),
    ] {
        std::fs::write(programs.file("key.der"), der(&about)).unwrap();
        programs.write("statement.json", &statement.bundle);
        assert!(says(&programs, kind, by).await, "{kind}");
        assert!(!says(&programs, kind, stranger).await, "{kind}");
    }

    let pem = second.public().to_pem() + &first.public().to_pem();
    let lines = |statements: &[&KeyStatement]| -> String {
        let bundles = statements
            .iter()
            .map(|statement| statement.bundle.clone() + "\n");
        bundles.collect()
    };
    let rotated = KeyRing::read("team", &pem, &lines(&[&rotation])).unwrap();
    let again = sign_again(&client, &repository, &records, &rotated, &second).await;
    assert_eq!(again.unwrap(), 0, "a retired key counts");
    let ring = KeyRing::read("team", &pem, &lines(&[&rotation, &revocation])).unwrap();
    let counted = async || find(&client, &repository, before, &ring).await.unwrap();
    assert_eq!(counted().await, []);
    for expected in [1, 0] {
        let again = sign_again(&client, &repository, &records, &ring, &second).await;
        assert_eq!(again.unwrap(), expected);
    }
    assert_eq!(counted().await.len(), 1);
    assert!(accepts("second", before).await);
    assert!(accepts("second", after).await);
}

#[tokio::test]
async fn a_refusal_stands_for_no_promotion_neither_for_cosign_nor_for_floe() {
    for kind in [Kind::Distribution, Kind::Referrers] {
        let stand = Stand::start(Way::open(kind)).await;
        let programs = Programs::for_stands(&[&stand]);
        let key = SigningKey::generate();
        programs.write("floe.pub", &key.public().to_pem());
        let (client, repository) = (stand.client(), stand.repository(NAME));
        let made = image(&stand.by_hand(NAME), "refused").await;
        let digest: Digest = made.digest.parse().unwrap();
        let wanted = Reference::from(&digest);
        let subject = client.get_manifest(&repository, &wanted).await;
        let refusal = refusal_type("prod");
        let document = Document {
            statement: statement(&digest, &refusal),
            predicate_type: refusal.clone(),
        };
        let subject = subject.unwrap().unwrap();
        let written = write(&client, &repository, &subject, &[document], &key, &[]).await;
        written.unwrap();
        let ring = KeyRing::read("team", &key.public().to_pem(), "").unwrap();
        let found = find(&client, &repository, &digest, &ring).await;
        assert_eq!(found.unwrap(), []);
        let reference = format!("{}/{NAME}@{digest}", stand.host);
        for (kind, expected) in [(refusal.as_str(), true), (TYPE, false)] {
            let kind = format!("--type={kind}");
            let arguments = ["verify-attestation", "--key=floe.pub", &kind];
            let arguments = [&arguments[..], &["--insecure-ignore-tlog"]].concat();
            let verified = programs.cosign(&arguments, &reference).await;
            assert_eq!(verified.status.success(), expected, "{kind}");
        }
    }
}

/// Whether cosign believes that this key has made the statement about `key.der`.
async fn says(programs: &Programs, kind: &str, key: &str) -> bool {
    let (key, kind) = (
        format!("--key={key}.pub"),
        format!("--type=https://floe.dev/key-{kind}/v1"),
    );
    let arguments = [
        "verify-blob-attestation",
        &key,
        &kind,
        "--bundle=statement.json",
        "--insecure-ignore-tlog",
        "key.der",
    ];
    programs.run("cosign", &arguments).await.status.success()
}

fn der(key: &PublicKey) -> Vec<u8> {
    let key = p256::PublicKey::from_public_key_pem(&key.to_pem()).unwrap();
    key.to_public_key_der().unwrap().as_bytes().to_vec()
}

/// As much of a record as is read again, of this type.
fn statement(digest: &Digest, kind: &str) -> Vec<u8> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": NAME, "digest": { "sha256": digest.hex() } }],
        "predicateType": kind,
        "predicate": {
            "id": "u", "kind": "Promotion", "name": "p", "space": "team", "tag": "v1.0.0-prod",
            "artifact": { "name": "app", "version": "v1.0.0", "digest": digest },
            "targetEnvironment": "prod", "decidedAt": "2026-03-02T10:00:00Z", "sequence": 1,
            "summary": "sha256:00",
        },
    });
    statement.to_string().into_bytes()
}
