//! Refusals of artifacts that nobody has signed, or the wrong one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::api::{EnvironmentPolicy, Promotion};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, PostParams};
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};

use super::Refusal;
use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::jobs::Wish;
use crate::registries::Kind;
use crate::world::{World, condition, message, reason};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

pub async fn an_artifact_that_nobody_has_signed_is_refused_before_any_job_is_made(rig: Rig) {
    let (world, _) = in_dev(&rig, "Enforce").await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    let refusal = Refusal::from(world).await;
    refusal.world.promote("unsigned", "v1.0.0", "dev").await;
    let words = [digest.as_str(), "nobody has signed it", "cosign sign"];
    let failed = refusal.fails("unsigned", "SignatureInvalid", &words).await;
    assert_eq!(source_verified(&failed), "False");
    sign(&refusal.world, &digest, &KeyPair::generate().unwrap()).await;
    let refusal = Refusal::from(refusal.world).await;
    refusal.world.promote("other-key", "v1.0.0", "dev").await;
    let words = ["not signed with a key of the policy"];
    refusal.fails("other-key", "SignatureInvalid", &words).await;
    assert_eq!(jobs(&refusal.world).await, 0, "a Job was made");
}

pub async fn a_signed_artifact_is_promoted_and_its_record_says_who_signed(rig: Rig) {
    let (world, key) = in_dev(&rig, "Enforce").await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    sign(&world, &digest, &key).await;
    world.promote("one", "v1.0.0", "dev").await;
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
    assert_eq!(source_verified(&ended), "True");
    let by = json!(["key 'cosign.pub' of ConfigMap 'keys'"]);
    let signature = record(&world, &digest).await["predicate"]["signature"].clone();
    let wanted = json!({ "mode": "Enforce", "verified": true, "by": by });
    assert_eq!(signature, wanted);
    let status = json!(ended.status)["signature"].clone();
    assert_eq!((&status["by"], &status["count"]), (&by, &json!(1)));
}

pub async fn an_artifact_that_nobody_has_signed_is_promoted_with_a_warning_where_the_policy_only_warns(
    rig: Rig,
) {
    let (world, _) = in_dev(&rig, "Warn").await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    world.promote("one", "v1.0.0", "dev").await;
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
    assert_eq!(source_verified(&ended), "False");
    let signature = record(&world, &digest).await["predicate"]["signature"].clone();
    let wanted = json!({ "mode": "Warn", "verified": false, "problem": "nobody has signed it" });
    assert_eq!(signature, wanted);
}

pub async fn a_key_that_is_not_there_is_named_and_waited_for(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    world.policy("dev", asks("Enforce", "keys")).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    let refusal = Refusal::from(world).await;
    let key = KeyPair::generate().unwrap();
    refusal.world.promote("one", "v1.0.0", "dev").await;
    let words = ["there is no ConfigMap 'keys'"];
    refusal.waits("one", "CredentialsMissing", &words).await;
    sign(&refusal.world, &digest, &key).await;
    publish_key(&refusal.world, "keys", &key).await;
    let ended = refusal.world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
}

pub async fn a_key_that_the_policy_takes_away_while_gates_run_stops_the_promotion(rig: Rig) {
    let (world, key) = in_dev(&rig, "Enforce").await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    sign(&world, &digest, &key).await;
    world.jobs.wish("policy_compliance", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world.jobs.until_waiting("policy_compliance").await;
    publish_key(&world, "newer-keys", &KeyPair::generate().unwrap()).await;
    let refusal = Refusal::from(world).await;
    let world = &refusal.world;
    world.policy("dev", asks("Enforce", "newer-keys")).await;
    let words = ["not signed with a key of the policy"];
    refusal.fails("one", "SignatureInvalid", &words).await;
}

pub async fn a_secret_with_a_key_that_the_author_may_not_read_is_refused(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    let alice = rig.control_plane.client(Identity::Alice).await;
    let policies: Api<EnvironmentPolicy> = Api::namespaced(alice, &world.namespace);
    let asks = async |name: &str, source: Value, root: Value| {
        let keyless = json!({ "issuer": "https://issuer.example", "identity": "alice" });
        let policy = json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy", "metadata": { "name": name },
            "spec": {
                "artifacts": [{ "name": "platform", "repository": world.reference }],
                "signature": { "mode": "Enforce", "keys": [source], "keyless": [keyless], "trustedRoot": root },
            },
        });
        let policy = serde_json::from_value(policy).expect("a policy");
        let made = policies.create(&PostParams::default(), &policy).await;
        made.map(drop).map_err(|why| why.to_string())
    };
    let of_map = json!({ "configMapName": "keys", "key": "a" });
    let of_secret = json!({ "secretName": "signing", "key": "a" });
    for (source, root) in [(&of_secret, &of_map), (&of_map, &of_secret)] {
        let refused = asks("dev", source.clone(), root.clone()).await.unwrap_err();
        assert!(
            refused.contains("may not get the Secret signing"),
            "{refused}"
        );
    }
    assert_eq!(asks("dev", of_map.clone(), of_map.clone()).await, Ok(()));
}

/// `dev` asks for a signature by a key that lies in a ConfigMap; the operator is at work.
async fn in_dev(rig: &Rig, mode: &str) -> (World, KeyPair) {
    let world = World::new(rig, Kind::Referrers).await;
    let key = KeyPair::generate().unwrap();
    publish_key(&world, "keys", &key).await;
    world.policy("dev", asks(mode, "keys")).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    (world, key)
}

/// A policy that asks for a signature by the key in this ConfigMap.
pub fn asks(mode: &str, config_map: &str) -> Value {
    let keys = json!([{ "configMapName": config_map, "key": "cosign.pub" }]);
    json!({ "signature": { "mode": mode, "keys": keys } })
}

/// Puts the public key where a policy can name it.
pub async fn publish_key(world: &World, name: &str, key: &KeyPair) {
    let api: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
    let map =
        json!({ "metadata": { "name": name }, "data": { "cosign.pub": key.public_key_pem() } });
    let map = serde_json::from_value(map).expect("a ConfigMap");
    let made = api.create(&PostParams::default(), &map).await;
    made.expect("make a ConfigMap");
}

/// Signs as cosign does with a key and without a log.
/// Signs a digest in the repository, as cosign does.
pub async fn sign(world: &World, digest: &str, key: &KeyPair) {
    let hash = digest.trim_start_matches("sha256:");
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "subject": [{ "digest": { "sha256": hash } }], "predicate": {},
    })
    .to_string();
    let signed = format!(
        "DSSEv1 {} {IN_TOTO} {} {statement}",
        IN_TOTO.len(),
        statement.len()
    );
    let signature = key.sign(signed.as_bytes()).expect("sign");
    let bundle = json!({
        "mediaType": BUNDLE, "verificationMaterial": { "publicKey": {} },
        "dsseEnvelope": {
            "payload": STANDARD.encode(&statement), "payloadType": IN_TOTO,
            "signatures": [{ "sig": STANDARD.encode(signature) }],
        },
    })
    .to_string();
    let (_, subject) = world
        .repository
        .manifest(digest)
        .await
        .expect("it is there");
    let empty = world.repository.push_blob(b"{}").await;
    let layer = world.repository.push_blob(bundle.as_bytes()).await;
    let referrer = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
        "layers": [{ "mediaType": BUNDLE, "digest": layer, "size": bundle.len() }],
        "subject": { "mediaType": MANIFEST, "digest": digest, "size": subject.len() },
    })
    .to_string();
    let bytes = referrer.into_bytes();
    let at = crate::oci::digest_of(&bytes);
    world.repository.put_manifest(&at, MANIFEST, bytes).await;
}

async fn record(world: &World, digest: &str) -> Value {
    let beside = world.repository.referrers(digest).await;
    let records = beside.iter().map(crate::oci::Referrer::json);
    let mut records = records.filter(|one| one["predicate"]["result"] == "Promoted");
    records.next().expect("a record")
}

async fn jobs(world: &World) -> usize {
    let jobs: Api<Job> = Api::namespaced(world.admin.clone(), &world.namespace);
    let listed = jobs.list(&ListParams::default()).await;
    listed.expect("list Jobs").items.len()
}

fn source_verified(promotion: &Promotion) -> String {
    let status = promotion.status.as_ref().expect("it has a status");
    condition(&status.conditions, "SourceVerified")
}
