//! Refusals of the registry, and of the way to it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Refusal, artifact};
use crate::certificates::Authority;
use crate::harness::Rig;
use crate::jobs::Wish;
use crate::proxy::{Fault, Front, Moment, Seen, Server};
use crate::registries::Kind;
use crate::wait::seconds;
use crate::world::{SOON, World, message, reason, stage};

fn to_registry(seen: &Seen, _: &str) -> bool {
    seen.server == Server::Registry
}

pub async fn a_registry_that_is_down_is_waited_for(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = &refusal.world;
    world
        .proxy
        .faults
        .always(Fault::Cut(Moment::Before), to_registry);
    world.promote("one", "v1.0.0", "dev").await;
    world.waits("one", "RegistryUnavailable").await;
    world.proxy.faults.clear();
    assert_eq!(reason(&world.ended("one").await), "Promoted");
}

pub async fn a_registry_that_is_down_for_an_hour_fails_the_promotion(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    refusal
        .world
        .proxy
        .faults
        .always(Fault::Cut(Moment::Before), to_registry);
    refusal.world.promote("one", "v1.0.0", "dev").await;
    refusal
        .waits_then_fails("one", "RegistryUnavailable", 60, &["127.0.0.1"])
        .await;
}

pub async fn a_registry_that_goes_down_in_the_middle_of_the_writes_is_waited_for(rig: Rig) {
    for key in [
        "PUT manifests/v1.0.0-dev",
        "POST blobs/upload",
        "PUT manifests/sha256",
        "PUT manifests/latest-dev",
    ] {
        for moment in [Moment::Before, Moment::After] {
            let refusal = Refusal::in_dev(&rig, json!({})).await;
            let world = &refusal.world;
            // One more than the client tries by itself.
            world
                .proxy
                .faults
                .nth(0, 6, Fault::Cut(moment), move |seen, _| {
                    seen.key.contains(key)
                });
            world.promote("one", "v1.0.0", "dev").await;
            let ended = world
                .until("one", "ended", seconds(60), crate::world::is_over)
                .await;
            assert_eq!(
                reason(&ended),
                "Promoted",
                "cut {moment:?} {key}: {}",
                message(&ended)
            );
            let tags = world.repository.tag_map().await;
            assert_eq!(tags["v1.0.0-dev"], tags["v1.0.0"]);
            assert_eq!(tags["latest-dev"], tags["v1.0.0"]);
            assert_eq!(
                world.repository.records(&tags["v1.0.0"]).await.len(),
                1,
                "cut {moment:?} {key}"
            );
        }
    }
}

pub async fn a_registry_that_says_401_is_asked_seldom_and_then_given_up(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let denied = Fault::registry_error(401, "UNAUTHORIZED")
        .with_header("www-authenticate", "Basic realm=\"rig\"");
    refusal.world.proxy.faults.always(denied, to_registry);
    refusal.world.promote("one", "v1.0.0", "dev").await;
    refusal
        .waits_then_fails("one", "RegistryDenied", 10, &["127.0.0.1"])
        .await;
    let asked = refusal
        .world
        .proxy
        .trace
        .since(0)
        .into_iter()
        .filter(|entry| entry.fault.is_some())
        .count();
    assert!(
        asked <= 12,
        "a registry that says no was asked {asked} times"
    );
}

pub async fn a_registry_that_says_429_is_asked_again_when_it_wants_to_be(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = &refusal.world;
    let busy = Fault::registry_error(429, "TOOMANYREQUESTS").with_header("retry-after", "4");
    world.proxy.faults.once(busy, to_registry);
    let mark = world.proxy.trace.mark();
    world.promote("one", "v1.0.0", "dev").await;
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
    let asked: Vec<_> = world
        .proxy
        .trace
        .since(mark)
        .into_iter()
        .filter(|entry| to_registry(&entry.seen, ""))
        .collect();
    let pause = asked[1].at.duration_since(asked[0].at);
    assert!(pause >= seconds(4), "asked again after {pause:?}");
}

pub async fn a_certificate_that_is_not_trusted_stops_until_the_policy_names_its_authority(
    rig: Rig,
) {
    let world = World::new(&rig, Kind::Referrers).await;
    let (authority, stranger) = (
        Authority::new("of the registry"),
        Authority::new("of somebody else"),
    );
    let front = tls_front(&world, &authority).await;
    let repository = format!("{}/team/platform", front.address);
    let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), &world.namespace);
    for (name, ca) in [("right-ca", &authority), ("wrong-ca", &stranger)] {
        let secret = json!({ "metadata": { "name": name }, "stringData": { "ca.crt": ca.pem() } });
        let secret: Secret = serde_json::from_value(secret).unwrap();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }
    world
        .policy(
            "dev",
            json!({ "artifacts": [artifact(&repository, &json!({ "caSecretName": "right-ca" }))] }),
        )
        .await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    world.repository.publish("v1.0.0", "first").await;
    let refusal = Refusal::from(world).await;
    for (name, secret) in [
        ("unnamed", json!({})),
        ("wrong", json!({ "caSecretName": "wrong-ca" })),
    ] {
        refusal
            .world
            .policy(
                "dev",
                json!({ "artifacts": [artifact(&repository, &secret)] }),
            )
            .await;
        refusal.world.promote(name, "v1.0.0", "dev").await;
        refusal
            .waits_then_fails(name, "RegistryUntrusted", 10, &["127.0.0.1"])
            .await;
    }
    refusal.world.promote("one", "v1.0.0", "dev").await;
    refusal
        .waits("one", "RegistryUntrusted", &["caSecretName"])
        .await;
    let mended =
        json!({ "artifacts": [artifact(&repository, &json!({ "caSecretName": "right-ca" }))] });
    refusal.world.policy("dev", mended).await;
    let ended = refusal
        .world
        .until("one", "ended", seconds(60), crate::world::is_over)
        .await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
}

pub async fn a_missing_secret_is_named_and_waited_for(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = &refusal.world;
    let credentials = json!({ "plainHTTP": true, "credentials": { "secretName": "login" } });
    world
        .policy(
            "dev",
            json!({ "artifacts": [artifact(&world.reference, &credentials)] }),
        )
        .await;
    world.promote("one", "v1.0.0", "dev").await;
    refusal
        .waits("one", "CredentialsMissing", &["'login'", &world.namespace])
        .await;
    let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), &world.namespace);
    let malformed = secret("login", &json!({ "auths": 7 }));
    secrets
        .create(&PostParams::default(), &malformed)
        .await
        .unwrap();
    let said = world
        .until("one", "told of the malformed Secret", SOON, |promotion| {
            !message(promotion).contains("there is no Secret")
        })
        .await;
    assert_eq!(reason(&said), "CredentialsMissing", "{}", message(&said));
    let host = world.reference.split('/').next().unwrap();
    let good = secret(
        "login",
        &json!({ "auths": { host: { "username": "floe", "password": "hunter2" } } }),
    );
    secrets
        .replace("login", &PostParams::default(), &good)
        .await
        .unwrap();
    let ended = world
        .until("one", "ended", seconds(60), crate::world::is_over)
        .await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
    let shown = format!(
        "{} {}",
        world.proxy.trace.print(),
        serde_json::to_string(&ended).unwrap()
    );
    assert!(!shown.contains("hunter2"), "the password can be read");
}

pub async fn a_manifest_over_4_mib_is_refused(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": crate::oci::digest_of(b"{}"), "size": 2 },
        "layers": [], "annotations": { "padding": "x".repeat(4 * 1024 * 1024) },
    });
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let world = &refusal.world;
    world
        .repository
        .put_manifest("v5.0.0", media_type, manifest.to_string().into_bytes())
        .await;
    let refusal = Refusal::from(refusal.world).await;
    refusal.world.promote("one", "v5.0.0", "dev").await;
    refusal.fails("one", "ArtifactUnsupported", &["4"]).await;
}

pub async fn a_source_tag_that_moved_while_gates_ran_is_refused(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = refusal.world;
    let was = world.repository.digest("v1.0.0").await.unwrap();
    world.jobs.wish("policy_compliance", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world
        .until("one", "gating", SOON, |promotion| {
            stage(promotion) == "Gating"
        })
        .await;
    world.jobs.until_waiting("policy_compliance").await;
    let found = world.repository.publish("v1.0.0", "moved").await;
    let refusal = Refusal::from(world).await;
    refusal
        .world
        .jobs
        .end("policy_compliance", &Wish::Pass)
        .await;
    refusal
        .fails("one", "SourceMoved", &["'v1.0.0'", &was, &found])
        .await;
}

fn secret(name: &str, config: &Value) -> Secret {
    let secret = json!({
        "metadata": { "name": name }, "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": config.to_string() },
    });
    serde_json::from_value(secret).expect("a Secret")
}

/// The registry behind TLS with a certificate of this authority.
async fn tls_front(world: &World, authority: &Authority) -> Front {
    let pair = authority.for_loopback();
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS has versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key fits");
    world
        .another_registry_front(Some(TlsAcceptor::from(Arc::new(config))))
        .await
}
