//! Keys of records: one for each namespace, made once, and what another key has signed counts for nothing.

use std::time::Instant;

use floe::domain::record::{BUNDLE_TYPE, Envelope, KeyRing, PublicKey, SigningKey};
use floe::effects::keys::{self, PUBLIC_KEYS, secret_name};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::harness::Rig;
use crate::main_scenario::three_environments;
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{SOON, World, message, reason};

pub async fn a_record_is_signed_by_the_key_of_its_namespace(rig: Rig) {
    let world = three_environments(&rig, Kind::Distribution).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    world.promote("one", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("one").await), "Promoted");
    let [record] = world.repository.records(&digest).await.try_into().unwrap();
    let envelope = record.envelope();
    let ring = ring(&world).await;
    assert_eq!(ring.signer_of(&envelope), ring.active());
    let annotations = &record.manifest["annotations"];
    assert_eq!(
        annotations["dev.sigstore.bundle.predicateType"],
        "https://floe.dev/promotion/v1/dev"
    );
    // A second promotion, in a process that has read no key yet, signs with the same one.
    world.kill_operators().await;
    world.operator("later").await;
    world.promote("two", "v1.0.0", "staging").await;
    assert_eq!(reason(&world.ended("two").await), "Promoted");
    let signed_by: Vec<_> = world
        .repository
        .records(&digest)
        .await
        .iter()
        .map(|record| ring.signer_of(&record.envelope()).cloned())
        .collect();
    assert_eq!(signed_by, vec![ring.active().cloned(); 2]);
    assert_eq!(self::ring(&world).await, ring);
}

pub async fn a_record_that_a_stranger_has_signed_counts_for_nothing(rig: Rig) {
    let world = three_environments(&rig, Kind::Referrers).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    world.promote("one", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("one").await), "Promoted");
    // Who can push makes the tag of staging, and the record to go with it, as floe would write it.
    let [genuine] = world.repository.records(&digest).await.try_into().unwrap();
    let mut statement: Value = genuine.json();
    statement["predicateType"] = json!("https://floe.dev/promotion/v1/staging");
    statement["predicate"]["targetEnvironment"] = json!("staging");
    statement["predicate"]["tag"] = json!("v1.0.0-staging");
    let key = SigningKey::generate();
    let forged = Envelope::seal(statement.to_string().into_bytes(), &key);
    let bundle = forged.to_bundle(&key.public());
    let blob = world.repository.push_blob(&bundle).await;
    let mut manifest = genuine.manifest.clone();
    manifest["layers"] = json!([{"mediaType": BUNDLE_TYPE, "digest": blob, "size": bundle.len()}]);
    let bytes = manifest.to_string().into_bytes();
    let name = crate::oci::digest_of(&bytes);
    let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
    world
        .repository
        .put_manifest(&name, &media_type, bytes)
        .await;
    world.repository.retag("v1.0.0", "v1.0.0-staging").await;
    assert_eq!(world.repository.records(&digest).await.len(), 2);
    world.promote("two", "v1.0.0", "prod").await;
    let waiting = world
        .until("two", "waits", SOON, |promotion| {
            reason(promotion) == "NotPromotedUpstream"
        })
        .await;
    assert!(
        message(&waiting).contains("staging"),
        "{}",
        message(&waiting)
    );
}

pub async fn a_key_that_was_lost_is_not_made_anew_in_silence(rig: Rig) {
    let world = three_environments(&rig, Kind::Distribution).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    world.promote("one", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("one").await), "Promoted");
    let before = ring(&world).await;
    let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), &world.namespace);
    let name = secret_name(&world.namespace);
    secrets
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    world.kill_operators().await;
    world.operator("later").await;
    world.promote("two", "v1.0.0", "staging").await;
    let waiting = world
        .until("two", "waits", seconds(60), |promotion| {
            reason(promotion) == "SigningKeyMissing"
        })
        .await;
    assert!(message(&waiting).contains(&name), "{}", message(&waiting));
    assert_eq!(world.repository.digest("v1.0.0-staging").await, None);

    // What `floe platform audit key --new` does.
    let made = floe::effects::keys::renew(&world.admin, &world.namespace, &world.namespace).await;
    let ids = |ring: &KeyRing| -> Vec<_> { ring.good().map(PublicKey::id).collect() };
    assert_eq!(ids(&made.unwrap())[1..], ids(&before));
    assert_eq!(reason(&world.ended("two").await), "Promoted");
    let after = ring(&world).await;
    let signers: Vec<_> = world
        .repository
        .records(&digest)
        .await
        .iter()
        .map(|record| {
            let of_dev = record.json()["predicate"]["targetEnvironment"] == "dev";
            let signer = after.signer_of(&record.envelope()).cloned();
            (of_dev, signer)
        })
        .collect();
    for (of_dev, signer) in &signers {
        let expected = after.good().nth(usize::from(*of_dev));
        assert_eq!(signer.as_ref(), expected, "{signers:?}");
    }
    assert_eq!(signers.len(), 2);
    // The Secret that is there is left alone.
    let again = floe::effects::keys::renew(&world.admin, &world.namespace, &world.namespace).await;
    assert!(again.is_err());
    secrets
        .create(&PostParams::default(), &Secret::default())
        .await
        .unwrap_err();
}

pub async fn a_rotated_key_signs_without_a_restart_and_records_of_a_revoked_one_are_signed_anew(
    rig: Rig,
) {
    let world = three_environments(&rig, Kind::Distribution).await;
    world.kill_operators().await;
    let operator = world.start_operator_with("one", false, &["--drift-period=10s"]);
    operator.until_ready(SOON).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    world.promote("one", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("one").await), "Promoted");
    let first = ring(&world).await.active().unwrap().clone();
    let [early] = world.repository.records(&digest).await.try_into().unwrap();

    let space = &world.namespace;
    let rotated = keys::rotate(&world.admin, space, space).await.unwrap();
    let second = rotated.ring.active().unwrap().clone();
    assert_ne!(first, second);
    // The same process takes the new key within a minute; what it signs until then counts, too.
    let rotated_at = Instant::now();
    let signed_by = async |name: &str, version: &str| {
        let digest = world.repository.publish(version, version).await;
        world.promote(name, version, "dev").await;
        assert_eq!(reason(&world.ended(name).await), "Promoted");
        let records = world.repository.records(&digest).await;
        let [record] = records.try_into().unwrap();
        rotated.ring.signer_of(&record.envelope()).cloned()
    };
    assert!(signed_by("meanwhile", "v1.0.1").await.is_some());
    until("a minute is over", seconds(70), async || {
        (rotated_at.elapsed() > seconds(61)).then_some(())
    })
    .await;
    assert_eq!(signed_by("later", "v1.0.2").await, Some(second.clone()));

    let id = first.id();
    let revoked = keys::revoke(&world.admin, space, space, &id, "stolen");
    let ring = revoked.await.unwrap().ring;
    assert_eq!(ring.signer_of(&early.envelope()), None);
    // The same payload, signed with the key that counts; and whoever looks again and again writes it once.
    let again = until("the record is signed anew", seconds(120), async || {
        let records = world.repository.records(&digest).await;
        let good = |record: &crate::oci::Referrer| {
            ring.signer_of(&record.envelope()) == Some(&second)
                && record.envelope().identity() == early.envelope().identity()
        };
        records.iter().any(good).then_some(records)
    })
    .await;
    assert_eq!(again.len(), 2);
    // What the ledger vouches for goes on.
    world.promote("two", "v1.0.0", "staging").await;
    let ended = world.ended("two").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
    assert_eq!(world.repository.records(&digest).await.len(), 3);
}

async fn ring(world: &World) -> KeyRing {
    let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
    let map = until("there are public keys", SOON, async || {
        maps.get_opt(PUBLIC_KEYS).await.ok().flatten()
    })
    .await;
    let data = map.data.unwrap();
    let statements = data.get(&format!("{}.statements", world.namespace));
    let statements = statements.map_or("", String::as_str);
    KeyRing::read(&world.namespace, &data[&world.namespace], statements).unwrap()
}
