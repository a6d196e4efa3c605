//! As much of the Kubernetes API as the command line speaks, and the command line itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const PREFIX: &str = "/apis/promotion.floe.dev/v1alpha1/namespaces/space/";
/// Lists of all namespaces.
const EVERYWHERE: &str = "/apis/promotion.floe.dev/v1alpha1/";

const RECORD_KEYS: &str = "/api/v1/namespaces/floe-system/configmaps/floe-record-keys";

/// No command of these tests may take longer.
const LONGEST: Duration = Duration::from_mins(1);

/// What the server holds, and what it does when it is asked.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) policies: Vec<Value>,
    pub(crate) promotions: BTreeMap<String, Value>,
    /// What reading a single policy gives, one after the other; then it is the one of the list.
    pub(crate) policy_reads: Vec<Value>,
    /// Statuses that a watched promotion goes through, one after the other.
    pub(crate) script: Vec<Value>,
    /// A watched promotion is deleted when the script has ended.
    pub(crate) then_deleted: bool,
    /// Answers every request with this method and ending of the path: `(method, ending, code, reason, message)`.
    pub(crate) refusals: Vec<(Method, &'static str, u16, &'static str, &'static str)>,
    /// ConfigMaps of consumers.
    pub(crate) consumers: Vec<Value>,
    /// The public keys of records, by namespace.
    pub(crate) record_keys: Option<Value>,
    /// Bodies of POSTs.
    pub(crate) created: Vec<Value>,
}

/// A server, a kubeconfig for it, and a home without anything in it.
pub(crate) struct ApiServer {
    world: Arc<Mutex<World>>,
    pub(crate) home: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl ApiServer {
    pub(crate) async fn start(world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&world));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let home = tempfile::tempdir().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "space"}}],
        });
        std::fs::write(home.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self { world, home }
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// `floe platform <arguments>`.
    pub(crate) async fn platform(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["platform"];
        all.extend(arguments);
        run(self.home.path(), &all).await
    }
}

/// The binary with nothing in its environment but a home and a kubeconfig.
pub(crate) async fn run(home: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    command
        .args(arguments)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("KUBECONFIG", home.join("kubeconfig"));
    let output = tokio::time::timeout(LONGEST, command.kill_on_drop(true).output());
    let output = output.await.expect("the command hangs").unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A policy whose artifact `platform` lies in this repository.
pub(crate) fn policy(name: &str, promotes_from: &[&str], repository: &str) -> Value {
    let aliases = if name == "prod" {
        json!(["production"])
    } else {
        json!([])
    };
    json!({
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy",
        "metadata": {"name": name, "namespace": "space", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "promotesFrom": promotes_from, "aliases": aliases,
            "artifacts": [{"name": "platform", "repository": repository, "plainHTTP": true}],
        },
        "status": {"observedGeneration": 1, "conditions": [condition("Ready", "True", "Ready", "it can be used")]},
    })
}

/// dev, staging and prod, one after the other.
pub(crate) fn policies(repository: &str) -> Vec<Value> {
    vec![
        policy("dev", &[], repository),
        policy("staging", &["dev"], repository),
        policy("prod", &["staging"], repository),
    ]
}

/// A promotion of `platform` to staging.
pub(crate) fn promotion(name: &str, version: &str, status: &Value) -> Value {
    json!({
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
        "metadata": {"name": name, "namespace": "space", "resourceVersion": "5", "creationTimestamp": "2026-01-02T00:00:00Z"},
        "spec": {"artifact": "platform", "version": version, "from": "dev", "to": "staging", "requestedBy": "alice"},
        "status": status,
    })
}

/// The status of a promotion that has ended.
pub(crate) fn ended(reason: &str, message: &str) -> Value {
    let well = matches!(reason, "Promoted" | "AlreadyPromoted" | "DryRunPassed");
    let (stage, succeeded) = if well {
        ("Succeeded", "True")
    } else {
        ("Failed", "False")
    };
    json!({
        "observedGeneration": 1, "stage": stage, "finishedAt": "2026-01-02T00:01:00Z",
        "conditions": [condition("Succeeded", succeeded, reason, message)],
        "plan": plan(),
        "gateSummary": "✗",
        "gates": [{
            "name": "smoke", "type": "Tests", "outcome": if well { "Passed" } else { "Failed" }, "message": "it said something",
            "specHash": "x", "job": "smoke-job", "startedAt": "2026-01-02T00:00:10Z", "finishedAt": "2026-01-02T00:00:13Z",
            "output": "first line\nlast \u{1b}[31mline",
        }],
    })
}

/// The status of a promotion that waits.
pub(crate) fn waiting(reason: &str, message: &str) -> Value {
    json!({
        "observedGeneration": 1, "stage": "Gating", "plan": plan(),
        "conditions": [condition("Succeeded", "Unknown", reason, message)],
        "waitingOn": {"reason": reason, "message": message, "since": "2026-01-02T00:00:10Z"},
    })
}

fn plan() -> Value {
    json!({
        "artifact": "platform", "from": "dev", "repository": "registry.example/platform", "sourceTag": "1.2.3-dev",
        "digest": digest(), "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "tag": "1.2.3-staging", "latestTag": "latest-staging", "resolvedAt": "2026-01-02T00:00:05Z",
    })
}

pub(crate) fn digest() -> String {
    format!("sha256:{}", "ab".repeat(32))
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-02T00:00:00Z", "observedGeneration": 1,
    })
}

async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default();
    let mut world = world.lock().unwrap();
    let refusal = world
        .refusals
        .iter()
        .find(|(method, ending, ..)| *method == parts.method && path.ends_with(ending));
    if let Some((.., code, reason, message)) = refusal {
        let name = if message.contains("could not find") {
            ""
        } else {
            "named"
        };
        return refuse(*code, reason, message, name);
    }
    if path == "/api/v1/configmaps" && query.contains("labelSelector=promotion.floe.dev%2Fconsumer")
    {
        return list(&world.consumers);
    }
    if path == RECORD_KEYS {
        return match &world.record_keys {
            Some(keys) => reply(
                200,
                &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "floe-record-keys"}, "data": keys}),
            ),
            None => refuse(404, "NotFound", "configmaps not found", "floe-record-keys"),
        };
    }
    match path.strip_prefix(EVERYWHERE) {
        Some("environmentpolicies") => return list(&world.policies),
        Some("promotions") => return list(&world.promotions.values().cloned().collect::<Vec<_>>()),
        _ => {}
    }
    let Some(what) = path.strip_prefix(PREFIX) else {
        return refuse(
            404,
            "NotFound",
            "the server could not find the requested resource",
            "",
        );
    };
    match (&parts.method, what.split_once('/')) {
        (&Method::GET, None) if what == "environmentpolicies" => list(&world.policies),
        (&Method::GET, None) if query.contains("watch=true") => watch(&mut world, query),
        (&Method::GET, None) => {
            let name = selected(query);
            let items = world.promotions.iter();
            let items = items.filter(|(key, _)| name.as_ref().is_none_or(|name| name == *key));
            list(&items.map(|(_, item)| item.clone()).collect::<Vec<_>>())
        }
        (&Method::GET, Some(("environmentpolicies", name))) => read_policy(&mut world, name),
        (&Method::GET, Some((_, name))) => match world.promotions.get(name) {
            Some(found) => reply(200, found),
            None => refuse(404, "NotFound", "promotions not found", name),
        },
        (&Method::POST, None) => create(&mut world, &body),
        _ => refuse(
            405,
            "MethodNotAllowed",
            "the command line does not do this",
            "",
        ),
    }
}

fn read_policy(world: &mut World, name: &str) -> Response {
    if !world.policy_reads.is_empty() {
        return reply(200, &world.policy_reads.remove(0));
    }
    let mut policies = world.policies.iter();
    match policies.find(|policy| policy["metadata"]["name"] == name) {
        Some(found) => reply(200, found),
        None => refuse(404, "NotFound", "environmentpolicies not found", name),
    }
}

fn create(world: &mut World, body: &Bytes) -> Response {
    let mut object: Value = serde_json::from_slice(body).unwrap();
    world.created.push(object.clone());
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    if world.promotions.contains_key(&name) {
        return refuse(409, "AlreadyExists", "promotions already exists", &name);
    }
    object["metadata"]["namespace"] = "space".into();
    object["metadata"]["resourceVersion"] = "1".into();
    object["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z".into();
    object["spec"]["requestedBy"] = "alice".into();
    object["status"] = json!({"observedGeneration": -1});
    world.promotions.insert(name, object.clone());
    reply(201, &object)
}

fn watch(world: &mut World, query: &str) -> Response {
    let Some(name) = selected(query) else {
        return refuse(400, "BadRequest", "only one object is watched", "");
    };
    let Some(object) = world.promotions.get(&name).cloned() else {
        return refuse(410, "Expired", "gone", &name);
    };
    let mut lines = Vec::new();
    let mut event = |kind: &str, object: &Value| {
        lines.push(format!("{}\n", json!({"type": kind, "object": object})));
    };
    for (version, status) in world.script.iter().enumerate() {
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = (100 + version).to_string().into();
        object["status"] = status.clone();
        event("MODIFIED", &object);
    }
    if world.then_deleted {
        event("DELETED", &object);
    }
    let lines = futures::stream::iter(lines.into_iter().map(Ok::<_, Infallible>));
    // A watch stays open.
    Response::new(Body::from_stream(lines.chain(futures::stream::pending())))
}

fn selected(query: &str) -> Option<String> {
    let (_, rest) = query.split_once("fieldSelector=metadata.name%3D")?;
    Some(rest.split('&').next().unwrap_or_default().to_owned())
}

fn list(items: &[Value]) -> Response {
    reply(
        200,
        &json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "50"}, "items": items}),
    )
}

fn refuse(code: u16, reason: &str, message: &str, name: &str) -> Response {
    let details = if name.is_empty() {
        json!({})
    } else {
        json!({"name": name})
    };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
        "message": message, "details": details,
    });
    reply(code, &status)
}

fn reply(code: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
        .headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    response
}
