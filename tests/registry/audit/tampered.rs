//! What is changed in the registry's storage or in the ledger is found, on a registry with and without the referrers
//! API.

use axum::body::Bytes;
use floe::domain::audit::{Problem, Remark};
use floe::domain::record::{Envelope, SigningKey};
use floe::effects::audit::Depth;
use floe::effects::registry::{ManifestType, RawManifest};
use serde_json::{Value, json};

use super::{NAME, Rig, number, problems, sampled};

const LENGTH: usize = 24;

#[tokio::test]
async fn every_record_or_summary_or_blob_that_is_deleted_is_named() {
    for api in [true, false] {
        let rig = Rig::start(api, LENGTH).await;
        let whole = rig.whole();
        for at in 1..=LENGTH {
            let made = rig.at(at);
            rig.take_out(&made.recorded.referrer);
            let verdict = rig.verify(Some(&whole), Depth::Everything).await;
            assert_eq!(problems(&verdict), [(number(at), &Problem::Missing)]);
            assert_eq!(
                verdict.good,
                number(LENGTH - 1),
                "the others are as good as before"
            );
            let alone = rig.verify(None, Depth::Everything).await;
            let bare = matches!(alone.remarks.as_slice(), [Remark::NoRecord { .. }, ..]);
            assert!(bare, "{:?}", alone.remarks);
            rig.restore();

            let blob = (NAME.to_owned(), rig.blob_of(&made.recorded.referrer));
            rig.double.store().blobs.remove(&blob);
            let verdict = rig.verify(Some(&whole), Depth::Chain).await;
            assert_eq!(
                verdict.bad.last().map(|bad| (bad.sequence, &bad.problem)),
                Some((number(at), &Problem::Missing))
            );
            rig.restore();

            rig.take_out(&made.summary);
            let verdict = rig.verify(Some(&whole), Depth::Everything).await;
            assert_eq!(problems(&verdict), []);
            let subject = made.subject.digest().clone();
            assert_eq!(
                verdict.remarks,
                [Remark::NoSummary {
                    sequence: number(at),
                    subject
                }]
            );
            rig.restore();
        }
    }
}

#[tokio::test]
async fn every_exchange_and_every_cut_is_found() {
    for api in [true, false] {
        let rig = Rig::start(api, LENGTH).await;
        let whole = rig.whole();
        for at in 1..LENGTH {
            let blobs = [at, at + 1]
                .map(|at| (NAME.to_owned(), rig.blob_of(&rig.at(at).recorded.referrer)));
            let [one, other] = &blobs;
            {
                let mut store = rig.double.store();
                store
                    .blobs
                    .insert(one.clone(), rig.kept.blobs[other].clone());
                store
                    .blobs
                    .insert(other.clone(), rig.kept.blobs[one].clone());
            }
            let verdict = rig.verify(Some(&whole), Depth::Chain).await;
            let worst = verdict.bad.last().unwrap();
            assert!(matches!(worst.problem, Problem::Damaged(_)), "{worst:?}");
            assert_eq!(
                (worst.sequence, verdict.good),
                (number(at + 1), number(LENGTH - at - 1))
            );
            rig.restore();

            // The oldest ones.
            for gone in 1..=at {
                rig.take_out(&rig.at(gone).recorded.referrer);
            }
            let verdict = rig.verify(Some(&whole), Depth::Everything).await;
            assert_eq!(verdict.bad.last().map(|bad| bad.sequence), Some(number(at)));
            assert_eq!(verdict.good, number(LENGTH - at));
            rig.restore();

            // The newest ones: beside the ledger, and by their tags.
            for gone in at + 1..=LENGTH {
                rig.take_out(&rig.at(gone).recorded.referrer);
            }
            let verdict = rig.verify(Some(&whole), Depth::Everything).await;
            assert_eq!(
                verdict.bad.last().map(|bad| (bad.sequence, &bad.problem)),
                Some((number(LENGTH), &Problem::Missing))
            );
            assert_eq!(verdict.good, number(at));
            let verdict = rig.verify(None, Depth::Everything).await;
            assert_eq!(verdict.good, number(at));
            assert_eq!(
                verdict.remarks.len(),
                LENGTH - at + 1,
                "and latest-prod: {:?}",
                verdict.remarks
            );
            rig.restore();

            let verdict = rig.verify(Some(&rig.ledger(at)), Depth::Everything).await;
            let head = Some(number(at));
            assert_eq!(
                problems(&verdict),
                [(number(LENGTH), &Problem::LedgerBehind(head))]
            );
        }
    }
}

#[tokio::test]
async fn two_hundred_changed_bits_are_all_found() {
    let rig = Rig::start(true, LENGTH).await;
    let whole = rig.whole();
    for (turn, pick) in sampled(200, usize::MAX >> 8).enumerate() {
        let at = pick % LENGTH + 1;
        let made = rig.at(at);
        let (of_summary, of_manifest) = (turn % 4 == 1, turn % 4 == 3);
        let referrer = if of_summary {
            &made.summary
        } else {
            &made.recorded.referrer
        };
        {
            let mut store = rig.double.store();
            let flipped = |bytes: &Bytes| {
                let mut bytes = bytes.to_vec();
                let bit = (pick / LENGTH) % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                Bytes::from(bytes)
            };
            if of_manifest {
                let key = (NAME.to_owned(), referrer.to_string());
                let stored = store.manifests.get_mut(&key).unwrap();
                stored.0 = flipped(&stored.0);
            } else {
                let key = (NAME.to_owned(), rig.blob_of(referrer));
                let stored = store.blobs.get_mut(&key).unwrap();
                *stored = flipped(stored);
            }
        }
        let verdict = rig.verify(Some(&whole), Depth::Everything).await;
        if of_summary {
            assert!(
                matches!(verdict.remarks.as_slice(), [Remark::NoSummary { sequence, .. }] if *sequence == number(at))
            );
            assert_eq!((verdict.good, problems(&verdict)), (number(LENGTH), vec![]));
        } else {
            let [(found, Problem::Damaged(_))] = problems(&verdict)[..] else {
                panic!("{turn}: {:?}", problems(&verdict));
            };
            assert_eq!((found, verdict.good), (number(at), number(LENGTH - 1)));
        }
        rig.restore();
    }
}

#[tokio::test]
async fn another_key_and_another_content_are_found() {
    for api in [true, false] {
        let mut rig = Rig::start(api, 6).await;
        let other = SigningKey::generate();
        // The head, signed anew: the ledger may even name it.
        let theirs = Envelope::seal(rig.envelope_of(6).payload().to_vec(), &other);
        let referrer = rig.attach(
            NAME,
            &rig.at(6).subject,
            &theirs.to_bundle(&other.public()),
            "theirs",
        );
        let verdict = rig.verify(Some(&rig.whole()), Depth::Everything).await;
        assert_eq!(
            (verdict.good, problems(&verdict)),
            (6, vec![]),
            "beside ours it is nothing"
        );
        rig.take_out(&rig.at(6).recorded.referrer.clone());
        let verdict = rig.verify(Some(&rig.whole()), Depth::Everything).await;
        assert_eq!(verdict.bad.first().map(|bad| bad.sequence), Some(6));
        let ours = std::mem::replace(&mut rig.made[5].recorded.referrer, referrer);
        let verdict = rig.verify(Some(&rig.whole()), Depth::Everything).await;
        assert_eq!(problems(&verdict), [(6, &Problem::UnknownKey)]);
        rig.made[5].recorded.referrer = ours;
        rig.restore();

        // Somebody else's words under somebody else's key, named by the ledger.
        let mut words: Value = serde_json::from_slice(rig.envelope_of(6).payload()).unwrap();
        words["predicate"]["requestedBy"] = "mallory".into();
        let theirs = Envelope::seal(words.to_string().into_bytes(), &other);
        let referrer = rig.attach(
            NAME,
            &rig.at(6).subject,
            &theirs.to_bundle(&other.public()),
            "theirs",
        );
        let mut ledger = rig.whole();
        let head = ledger.head.as_mut().unwrap();
        (head.referrer, head.record) = (referrer, theirs.identity());
        let verdict = rig.verify(Some(&ledger), Depth::Everything).await;
        assert!(
            problems(&verdict).contains(&(6, &Problem::UnknownKey)),
            "{:?}",
            problems(&verdict)
        );
    }
}

#[tokio::test]
async fn a_second_record_with_the_same_number_is_a_fork() {
    for api in [true, false] {
        let mut rig = Rig::start(api, 3).await;
        let double = &rig.double;
        let mut writer = crate::records::Writer::new(double, NAME, &rig.key);
        writer.made = rig.made[..2].to_vec();
        let fork = writer.next("mallory").await;
        assert_ne!(fork.recorded.record, rig.at(3).recorded.record);
        rig.keep();
        for ledger in [Some(rig.whole()), None] {
            let verdict = rig.verify(ledger.as_ref(), Depth::Everything).await;
            let [(3, Problem::Fork(records))] = &problems(&verdict)[..] else {
                panic!("{:?}", problems(&verdict));
            };
            assert_eq!(records.len(), 2);
        }
    }
}

#[tokio::test]
async fn an_emptied_fallback_tag_and_moved_tags_are_told() {
    let rig = Rig::start(false, 5).await;
    let subject = rig.at(2).subject.clone();
    let empty =
        json!({"schemaVersion": 2, "mediaType": ManifestType::OciIndex.as_str(), "manifests": []});
    let empty = RawManifest::new(empty.to_string().into_bytes(), ManifestType::OciIndex);
    let tag = subject.digest().referrers_tag().to_string();
    rig.double.store().put(NAME, Some(&tag), &empty);
    let verdict = rig.verify(Some(&rig.whole()), Depth::Everything).await;
    assert_eq!(
        (verdict.good, problems(&verdict)),
        (5, vec![]),
        "records are read by digest"
    );
    let about = || subject.digest().clone();
    let unlisted = Remark::Unlisted {
        sequence: 2,
        subject: about(),
    };
    let bare = Remark::NoSummary {
        sequence: 2,
        subject: about(),
    };
    assert_eq!(verdict.remarks, [unlisted, bare]);
    rig.restore();

    let other = rig.at(1).subject.clone();
    rig.double.store().put(NAME, Some("1.0.4-prod"), &other);
    let verdict = rig.verify(Some(&rig.whole()), Depth::Everything).await;
    let moved = Remark::TagMoved {
        sequence: 4,
        tag: "1.0.4-prod".to_owned(),
        found: other.digest().clone(),
        expected: rig.at(4).subject.digest().clone(),
    };
    assert_eq!(
        (problems(&verdict), verdict.remarks.as_slice()),
        (vec![], [moved].as_slice())
    );
    rig.restore();

    let stranger = rig.double.seed(NAME, Some("9.9.9-prod"), "stranger");
    let verdict = rig.verify(Some(&rig.whole()), Depth::Everything).await;
    let bare = Remark::NoRecord {
        tag: "9.9.9-prod".to_owned(),
        digest: stranger.digest().clone(),
    };
    assert_eq!(verdict.remarks, [bare]);
}
