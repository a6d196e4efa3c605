//! No secret comes out: each input holds a word of its own, and none of them is found in what people and machines can
//! read: statuses, Events, logs at the most verbose level, metrics, records, output of commands.
//!
//! By design visible: the policy itself with the `env` of its gates (and the Job made from it), and the last lines of
//! a gate that failed, as far as they are not known forms of secrets.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::effects::keys::secret_name;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::jobs::Wish;
use crate::registries::Kind;
use crate::wait::until;
use crate::world::{ARTIFACT, SOON, World, message, reason};

/// What must be found nowhere. Each is long enough to be in nothing by chance.
const SECRETS: &[&str] = &[
    "canary-user-7f3a",
    "canary-password-7f3a",
    "canary-identity-7f3a",
    "canary-bearer-7f3a",
    "canary-service-token-7f3a",
    "canary-realm-query-7f3a",
    "canary-malformed-7f3a",
    "canary-entry-7f3a",
    "canary-authority-7f3a",
    "canary-cosign-key-7f3a",
    "canary-env-7f3a",
    "canary-assigned-7f3a",
    "canary-in-url-7f3a",
    "canary-in-json-7f3a",
    "canary-message-7f3a",
];
/// What a gate says in plain words is shown; that it is found shows that the search finds something.
const SHOWN: &str = "canary-plain-output-7f3a";

/// A registry that lets nobody in, and repeats to everybody what they have sent.
struct Hostile {
    host: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let state = (host.clone(), Arc::clone(&seen));
        let router = Router::new().fallback(answer).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { host, seen }
    }
}

async fn answer(
    State((host, seen)): State<(String, Arc<Mutex<Vec<String>>>)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let sent = headers.get("authorization");
    let sent = sent
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let plain = sent
        .strip_prefix("Basic ")
        .and_then(|text| STANDARD.decode(text).ok());
    let plain = plain.map_or_else(String::new, |bytes| {
        String::from_utf8_lossy(&bytes).into_owned()
    });
    // The password alone: what somebody is called is no secret of floe's, and a registry may say it.
    let password = plain
        .split_once(':')
        .map_or("", |(_, password)| password)
        .to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    seen.lock()
        .unwrap()
        .push(format!("{uri} {sent} {plain} {body}"));
    let words = format!("no: {sent} {password} {}", form(&body, "refresh_token"));
    let refusal = json!({ "errors": [{ "code": "DENIED", "message": words }] }).to_string();
    if uri.path() == "/token" {
        // Who brings an identity token is refused here, everybody else by the registry.
        if body.contains("refresh_token") {
            return (StatusCode::UNAUTHORIZED, refusal).into_response();
        }
        let token = json!({ "token": "canary-service-token-7f3a" }).to_string();
        return (StatusCode::OK, token).into_response();
    }
    if sent.starts_with("Bearer ") {
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let realm =
        format!("Bearer realm=\"http://{host}/token?key=canary-realm-query-7f3a\",service=\"x\"");
    (
        StatusCode::UNAUTHORIZED,
        [("www-authenticate", realm)],
        refusal,
    )
        .into_response()
}

fn form<'a>(body: &'a str, name: &str) -> &'a str {
    let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(key, _)| *key == name)
        .map_or("", |(_, value)| value)
}

#[expect(clippy::too_many_lines, reason = "one world with everything in it")]
pub async fn no_secret_comes_out_of_what_people_and_machines_can_read(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    let hostile = Hostile::start().await;
    let operator = world.start_operator_with("one", false, &["--log=trace", "--drift-period=10s"]);
    operator.until_ready(SOON).await;

    let own_host = world.reference.split('/').next().unwrap().to_owned();
    let auths = |host: &str, entry: Value| json!({ "auths": { host: entry } }).to_string();
    let login = json!({ "username": "canary-user-7f3a", "password": "canary-password-7f3a" });
    for (name, key, value) in [
        ("pull", ".dockerconfigjson", auths(&own_host, login.clone())),
        ("denied", ".dockerconfigjson", auths(&hostile.host, login)),
        (
            "identity",
            ".dockerconfigjson",
            auths(
                &hostile.host,
                json!({ "identitytoken": "canary-identity-7f3a" }),
            ),
        ),
        (
            "bearer",
            ".dockerconfigjson",
            auths(
                &hostile.host,
                json!({ "registrytoken": "canary-bearer-7f3a" }),
            ),
        ),
        (
            "malformed",
            ".dockerconfigjson",
            auths(&own_host, json!(["canary-malformed-7f3a"])),
        ),
        (
            "entry",
            ".dockerconfigjson",
            auths(&own_host, json!({ "auth": "canary-entry-7f3a" })),
        ),
        ("authority", "ca.crt", "canary-authority-7f3a".to_owned()),
        ("key", "cosign.pub", "canary-cosign-key-7f3a".to_owned()),
    ] {
        let kind = if key == ".dockerconfigjson" {
            "kubernetes.io/dockerconfigjson"
        } else {
            "Opaque"
        };
        let secret =
            json!({ "metadata": { "name": name }, "type": kind, "stringData": { key: value } });
        let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), &world.namespace);
        let secret = serde_json::from_value(secret).unwrap();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }
    let own = format!("{own_host}/team/platform");
    let place = |repository: &str, more: Value| {
        let mut place = json!({ "name": ARTIFACT, "repository": repository });
        place
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "artifacts": [place] })
    };
    let by = |secret: &str| json!({ "plainHTTP": true, "credentials": { "secretName": secret } });
    let gate = |name: &str| {
        json!({
            "name": name, "type": "Custom", "image": "rig.invalid/tests:1", "command": ["/bin/test"],
            "env": [{ "name": "API_TOKEN", "value": "canary-env-7f3a" }],
        })
    };
    let mut dev = place(&own, by("pull"));
    dev["gates"] = json!([gate("gate-1")]);
    world.policy("dev", dev).await;
    world.policy_ready("dev").await;
    let nowhere = format!("{}/team/platform", crate::process::free_address());
    let theirs = format!("{}/team/platform", hostile.host);
    let mut signed = place(&own, json!({ "plainHTTP": true }));
    signed["signature"] =
        json!({ "mode": "Enforce", "keys": [{ "secretName": "key", "key": "cosign.pub" }] });
    let failing = [
        ("denied", place(&theirs, by("denied")), "RegistryDenied"),
        ("identity", place(&theirs, by("identity")), "RegistryDenied"),
        ("bearer", place(&theirs, by("bearer")), "RegistryDenied"),
        (
            "malformed",
            place(&own, by("malformed")),
            "CredentialsMissing",
        ),
        ("entry", place(&own, by("entry")), "CredentialsMissing"),
        (
            "authority",
            place(&own, json!({ "caSecretName": "authority" })),
            "RegistryUntrusted",
        ),
        ("nowhere", place(&nowhere, by("pull")), "CredentialsMissing"),
        (
            "down",
            place(&nowhere, json!({ "plainHTTP": true })),
            "RegistryUnavailable",
        ),
        ("signed", signed, "CredentialsMissing"),
    ];
    for version in ["v1.0.0", "v1.1.0", "v1.2.0"] {
        world.repository.publish(version, version).await;
    }
    for (name, _, _) in &failing {
        // The ledger is known, so that the promotion itself comes to the trouble.
        world
            .policy(name, place(&own, json!({ "plainHTTP": true })))
            .await;
        world.policy_ready(name).await;
    }
    for (name, policy, _) in &failing {
        world.policy(name, policy.clone()).await;
        world.promote(name, "v1.0.0", name).await;
    }
    for (name, _, expected) in &failing {
        world.waits(name, expected).await;
    }

    world.promote("good", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("good").await), "Promoted");
    let said = format!(
        "password=canary-assigned-7f3a {{\"token\": \"canary-in-json-7f3a\"}} https://me:canary-in-url-7f3a@r.example/x {SHOWN}"
    );
    world.jobs.wish("gate-1", Wish::Fail(said));
    world.promote("bad", "v1.1.0", "dev").await;
    let bad = world.ended("bad").await;
    assert_eq!(reason(&bad), "GateFailed", "{}", message(&bad));
    let forged = "{\"version\":1,\"secret\":\"canary-message-7f3a\"}".to_owned();
    world.jobs.wish("gate-1", Wish::Says(forged));
    world.promote("unreadable", "v1.2.0", "dev").await;
    let unreadable = world.ended("unreadable").await;
    assert_ne!(reason(&unreadable), "Promoted");

    // What was sent was sent: the canaries have been where they belong.
    let seen = hostile.seen.lock().unwrap().join("\n");
    for sent in [
        "canary-user-7f3a",
        "canary-password-7f3a",
        "canary-identity-7f3a",
        "canary-bearer-7f3a",
        "canary-service-token-7f3a",
        "canary-realm-query-7f3a",
    ] {
        assert!(seen.contains(sent), "{sent} was never sent");
    }
    let readable = everything(&world, &operator.log_text()).await;
    assert!(
        readable
            .iter()
            .any(|(place, text)| place == "Promotions" && text.contains(SHOWN)),
        "the search finds nothing"
    );
    let private = private_key(&world).await;
    let mut found = Vec::new();
    for (place, text) in &readable {
        assert!(!text.is_empty(), "nothing to search in {place}");
        for secret in SECRETS
            .iter()
            .copied()
            .chain(private.iter().map(String::as_str))
        {
            let encoded = STANDARD.encode(secret);
            // Without what depends on the bytes behind it.
            let encoded = &encoded[..encoded.len() - 4];
            for form in [secret, encoded] {
                if let Some(at) = text.find(form) {
                    let from = text[..at]
                        .char_indices()
                        .rev()
                        .nth(200)
                        .map_or(0, |(at, _)| at);
                    found.push(format!(
                        "{place}: {form}\n  …{}",
                        &text[from..at + form.len()]
                    ));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// All that can be read, by where.
async fn everything(world: &World, log: &str) -> Vec<(String, String)> {
    let list = ListParams::default();
    let mut promotions = world.promotions().list(&list).await.unwrap().items;
    for promotion in &mut promotions {
        promotion.metadata.managed_fields = None;
    }
    // A policy is what its author wrote; what floe says of it is its status.
    let policies = world.policies().list(&list).await.unwrap().items;
    let statuses: Vec<_> = policies.iter().map(|policy| &policy.status).collect();
    let events: Api<Event> = Api::namespaced(world.admin.clone(), &world.namespace);
    let events = events.list(&list).await.unwrap().items;
    let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
    let maps = maps.list(&list).await.unwrap().items;
    let digest = world.repository.digest("v1.0.0-dev").await.unwrap();
    let records = world.repository.referrers(&digest).await;
    assert_eq!(records.len(), 2, "the record and its summary");
    let mut record = String::new();
    for one in &records {
        record.push_str(&one.manifest.to_string());
        record.push_str(&String::from_utf8_lossy(&one.payload));
        record.push_str(&one.json().to_string());
    }
    let metrics = format!("http://{}/metrics", world.health());
    let metrics = until("there are metrics", SOON, async || {
        reqwest::get(&metrics).await.ok()?.text().await.ok()
    })
    .await;
    let mut all = vec![
        ("Promotions".to_owned(), text(&promotions)),
        ("statuses of policies".to_owned(), text(&statuses)),
        ("Events".to_owned(), text(&events)),
        ("ConfigMaps".to_owned(), text(&maps)),
        ("record".to_owned(), record),
        ("metrics".to_owned(), metrics),
        ("log".to_owned(), log.to_owned()),
    ];
    let own = format!("--operator-namespace={}", world.namespace);
    for words in [
        &["status", "-o", "wide"][..],
        &["status", "-o", "json"],
        &["list", "-o", "json"],
        &["promote", "status", "bad", "-o", "json"],
        &["promote", "status", "denied"],
        &["audit", "key", "-o", "wide", &own],
        &["audit", "key", "-o", "json", &own],
    ] {
        all.push((words.join(" "), command(world, words).await));
    }
    all
}

/// What a command says on both channels.
async fn command(world: &World, words: &[&str]) -> String {
    let control_plane = &world.rig.control_plane;
    let kubeconfig = world.folder.join("kubeconfig-canary");
    let content = control_plane.kubeconfig(&control_plane.url, Identity::Admin);
    std::fs::write(&kubeconfig, content.to_string()).expect("write a file");
    let output = Command::new(env!("CARGO_BIN_EXE_floe"))
        .arg("platform")
        .args(words)
        .args(["-n", &world.namespace])
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .env_clear()
        .env("HOME", &world.folder)
        .kill_on_drop(true)
        .output()
        .await
        .expect("run floe");
    let [out, err] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(out.len() > 20, "{words:?}: {err}");
    out + &err
}

/// The lines of the private key of records.
async fn private_key(world: &World) -> Vec<String> {
    let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), &world.namespace);
    let secret = secrets.get(&secret_name(&world.namespace)).await.unwrap();
    let pem = secret.data.unwrap().remove("record.key").unwrap().0;
    let pem = String::from_utf8(pem).unwrap();
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    // The first line begins with the name of the algorithm, like that of each public key.
    let lines: Vec<String> = lines.skip(1).map(str::to_owned).collect();
    assert!(!lines.is_empty());
    lines
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("it is JSON")
}
