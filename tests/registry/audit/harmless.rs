//! What anybody with push rights can add without changing the verdict on good records.

use std::collections::BTreeSet;

use axum::body::Bytes;
use floe::domain::record::{BUNDLE_TYPE, Envelope, SigningKey};
use floe::effects::audit::Depth;
use floe::effects::registry::ErrorKind;
use p256::ecdsa::Signature;
use serde_json::{Value, json};

use super::{NAME, Rig, problems};
use crate::double::{Lie, On};
use crate::records::Writer;

async fn still_whole(rig: &Rig) {
    for ledger in [Some(rig.whole()), None] {
        let verdict = rig.verify(ledger.as_ref(), Depth::Everything).await;
        assert_eq!(
            (verdict.good, problems(&verdict)),
            (super::number(rig.made.len()), vec![])
        );
        assert_eq!(verdict.remarks, []);
    }
}

fn changed(bundle: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(bundle).unwrap();
    change(&mut value);
    value.to_string().into_bytes()
}

/// The other signature that the same key has made of the same bytes: s → n − s.
fn mirrored(bundle: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    changed(bundle, |value| {
        let sig = &mut value["dsseEnvelope"]["signatures"][0]["sig"];
        let der = STANDARD.decode(sig.as_str().unwrap()).unwrap();
        let signature = Signature::from_der(&der).unwrap();
        let (r, s) = signature.split_scalars();
        let mirrored = Signature::from_scalars(r, -s).unwrap();
        assert_ne!(mirrored.to_der().as_bytes(), der);
        *sig = STANDARD.encode(mirrored.to_der().as_bytes()).into();
    })
}

#[tokio::test]
async fn copies_in_another_wrapping_are_the_same_record() {
    for api in [true, false] {
        let rig = Rig::start(api, 5).await;
        for made in &rig.made {
            let bundle = rig.bundle_of(&made.recorded.referrer);
            let parsed: Value = serde_json::from_slice(&bundle).unwrap();
            let copies = [
                mirrored(&bundle),
                serde_json::to_vec_pretty(&parsed).unwrap(),
                changed(&bundle, |value| {
                    value["verificationMaterial"] = json!({"publicKey": {"hint": "other"}});
                }),
                bundle.to_vec(),
            ];
            let identities: BTreeSet<_> = copies
                .iter()
                .map(|copy| Envelope::open(copy).unwrap().identity())
                .collect();
            assert_eq!(identities.len(), 1);
            for (at, copy) in copies.iter().enumerate() {
                rig.attach(NAME, &made.subject, copy, &at.to_string());
            }
        }
        still_whole(&rig).await;
        // And any of the copies will do when the one that was named is gone.
        for made in &rig.made {
            rig.take_out(&made.recorded.referrer);
        }
        let verdict = rig.verify(Some(&rig.whole()), Depth::Everything).await;
        assert_eq!((verdict.good, problems(&verdict)), (5, vec![]));
    }
}

#[tokio::test]
async fn a_thousand_foreign_referrers_change_nothing_and_too_many_make_it_unknown() {
    for api in [true, false] {
        let mut rig = Rig::start(api, 3).await;
        let other = SigningKey::generate();
        let subject = rig.at(3).subject.clone();
        for at in 0..1000 {
            let bundle = match at % 3 {
                0 => format!("garbage {at}").into_bytes(),
                1 => json!({"mediaType": BUNDLE_TYPE, "at": at})
                    .to_string()
                    .into_bytes(),
                _ => {
                    let theirs = Envelope::seal(rig.envelope_of(3).payload().to_vec(), &other);
                    theirs.to_bundle(&other.public())
                }
            };
            rig.attach(NAME, &subject, &bundle, &at.to_string());
        }
        still_whole(&rig).await;

        let mut access = rig.double.access();
        access.limits = floe::effects::registry::Limits::default();
        access.limits.referrers = 1000;
        rig.client = floe::effects::registry::Registry::new(&access).unwrap();
        let verified = rig
            .read(&rig.chain(), Some(&rig.whole()), Depth::Everything)
            .await;
        assert!(
            verified
                .unknown
                .iter()
                .any(|error| error.kind() == ErrorKind::TooLarge)
        );
        assert_eq!((verified.verdict.good, verified.verdict.bad), (3, vec![]));
        let alone = rig.read(&rig.chain(), None, Depth::Chain).await;
        assert!(!alone.unknown.is_empty());
    }
}

#[tokio::test]
async fn records_of_other_environments_namespaces_and_repositories_are_passed_over() {
    let rig = Rig::start(true, 4).await;
    for (name, space, environment, artifact) in [
        (NAME, "space", "dev", "platform"),
        (NAME, "other", "prod", "platform"),
        (NAME, "space", "prod", "web"),
        ("team/copy", "space", "prod", "platform"),
    ] {
        let mut writer = Writer::new(&rig.double, "team/elsewhere", &rig.key);
        (writer.space, writer.environment, writer.artifact) = (space, environment, artifact);
        writer.repository = rig.double.repository(name);
        writer.promote(6).await;
        // Beside the digests of the chain, as a copy.
        for made in &writer.made[..4] {
            let key = (name.to_owned(), made.recorded.referrer.to_string());
            let manifest: Value =
                serde_json::from_slice(&rig.double.store().manifests[&key].0).unwrap();
            let blob = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
            let bundle: Bytes = rig.double.store().blobs[&(name.to_owned(), blob)].clone();
            rig.attach(NAME, &made.subject, &bundle, environment);
        }
        rig.double.store().tags = rig.kept.tags.clone();
    }
    still_whole(&rig).await;
}

#[tokio::test]
async fn a_chain_that_was_copied_elsewhere_counts_for_nothing_there() {
    let rig = Rig::start(true, 3).await;
    for made in &rig.made {
        let bundle = rig.bundle_of(&made.recorded.referrer);
        rig.double.seed(
            "copy/app",
            Some(&format!("{}-prod", made.version)),
            &made.version,
        );
        rig.attach("copy/app", &made.subject, &bundle, "copy");
    }
    let mut chain = rig.chain();
    chain.repository = rig.double.repository("copy/app");
    let verdict = rig.read(&chain, None, Depth::Everything).await.verdict;
    assert_eq!((verdict.good, verdict.head), (0, None));
    assert_eq!(
        verdict.remarks.len(),
        3,
        "tags without a record: {:?}",
        verdict.remarks
    );
    let mut chain = rig.chain();
    chain.space = "other".to_owned();
    let verdict = rig.read(&chain, None, Depth::Everything).await.verdict;
    assert_eq!(verdict.good, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown_and_never_fine_and_never_missing() {
    let rig = Rig::start(true, 4).await;
    let second = rig.at(2).recorded.referrer.to_string();
    for (part, lie, kind) in [
        (second.clone(), Lie::status(500), ErrorKind::Unavailable),
        (second.clone(), Lie::status(403), ErrorKind::Denied),
        (second, Lie::ResetBefore, ErrorKind::Unavailable),
        (
            "/blobs/".to_owned(),
            Lie::status(500),
            ErrorKind::Unavailable,
        ),
        (
            "/referrers/".to_owned(),
            Lie::status(500),
            ErrorKind::Unavailable,
        ),
        (
            "/tags/".to_owned(),
            Lie::status(500),
            ErrorKind::Unavailable,
        ),
        (
            "/manifests/1.0.2-prod".to_owned(),
            Lie::status(403),
            ErrorKind::Denied,
        ),
    ] {
        let on = On::next(axum::http::Method::GET, part.clone()).always();
        rig.double.lie(on, lie.clone());
        rig.double.lie(
            On::next(axum::http::Method::HEAD, part.clone()).always(),
            lie,
        );
        let verified = rig
            .read(&rig.chain(), Some(&rig.whole()), Depth::Everything)
            .await;
        assert_eq!(
            verified
                .unknown
                .first()
                .map(floe::effects::registry::RegistryError::kind),
            Some(kind),
            "{part}"
        );
        assert_eq!(verified.verdict.bad, [], "{part}");
        rig.double.tell_the_truth();
    }
    still_whole(&rig).await;
}
