//! Keys of records: one for each namespace, made once, and what another key has signed counts for nothing.

use floe::domain::record::{BUNDLE_TYPE, Envelope, KeyRing, SigningKey};
use floe::effects::keys::{PUBLIC_KEYS, secret_name};
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
    assert_eq!(ring.signer_of(&envelope), ring.keys().first());
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
    assert_eq!(signed_by, vec![ring.keys().first().cloned(); 2]);
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
    assert_eq!(made.unwrap().keys()[1..], *before.keys());
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
        let expected = &after.keys()[usize::from(*of_dev)];
        assert_eq!(signer.as_ref(), Some(expected), "{signers:?}");
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

async fn ring(world: &World) -> KeyRing {
    let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
    let map = until("there are public keys", SOON, async || {
        maps.get_opt(PUBLIC_KEYS).await.ok().flatten()
    })
    .await;
    KeyRing::from_pem(&map.data.unwrap()[&world.namespace]).unwrap()
}
