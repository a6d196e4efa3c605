//! What a request is: its class, and a name for its effect that is the same in every run.

use hyper::Method;
use serde_json::Value;

/// Which server the request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The API server.
    Api,
    /// The registry.
    Registry,
    /// Another registry: of a replica, or of an environment that has one of its own.
    Second,
}

/// What a request costs and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Changes nothing.
    Read,
    /// A read that stays open.
    Watch,
    /// Changes something.
    Write,
    /// Tells a story (Event): a change, but only a view.
    Event,
    /// Leader election.
    Lease,
    /// A write that the API server only rehearses.
    DryRun,
    /// A question in the form of a write (`subjectaccessreviews`).
    Review,
}

/// A request as the proxy sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub server: Server,
    /// Path and query.
    pub path: String,
    pub class: Class,
    /// The same in every run of a scenario: names that depend on UIDs, digests and upload ids are masked.
    pub key: String,
}

impl Class {
    /// Something is different after it: crash sweeps stop before and after each of these.
    pub fn is_effect(self) -> bool {
        matches!(self, Self::Write | Self::Event)
    }
}

impl Seen {
    /// Reads a request.
    pub fn new(server: Server, method: &Method, path: &str, body: &[u8]) -> Self {
        let (class, key) = match server {
            Server::Api => api(method, path, body),
            Server::Registry => registry("registry", method, path),
            Server::Second => registry("second", method, path),
        };
        Self {
            server,
            path: path.to_owned(),
            class,
            key,
        }
    }
}

fn registry(which: &str, method: &Method, path: &str) -> (Class, String) {
    let class = if is_read(method) {
        Class::Read
    } else {
        Class::Write
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let masked = if let Some(at) = path.find("/blobs/uploads/") {
        let mounted = if query.contains("mount=") {
            "mount"
        } else {
            "upload"
        };
        format!("{}/blobs/{mounted}", &path[..at])
    } else {
        path.split('/')
            .map(mask_digest)
            .collect::<Vec<_>>()
            .join("/")
    };
    // The repository is the test's own choice and says nothing.
    let word = ["/manifests/", "/blobs/", "/referrers/", "/tags/"]
        .iter()
        .find_map(|word| masked.find(word));
    let tail = word.map_or(masked.as_str(), |at| &masked[at + 1..]);
    (class, format!("{which} {method} {tail}"))
}

/// `sha256:…` and the fallback tag `sha256-…` in place of digests.
fn mask_digest(part: &str) -> &str {
    let is_digest = |prefix: &str| {
        part.strip_prefix(prefix)
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if is_digest("sha256:") {
        "sha256:…"
    } else if is_digest("sha256-") {
        "sha256-…"
    } else {
        part
    }
}

fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// The parts of an API server's path.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    resource: &'a str,
    name: &'a str,
    subresource: &'a str,
}

fn target(path: &str) -> Target<'_> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let prefix = if parts.first() == Some(&"api") { 2 } else { 3 };
    parts.drain(..prefix.min(parts.len()));
    if parts.len() > 2 && parts[0] == "namespaces" {
        parts.drain(..2);
    }
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    Target {
        resource: part(0),
        name: part(1),
        subresource: part(2),
    }
}

fn api(method: &Method, path: &str, body: &[u8]) -> (Class, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let on = target(path);
    let has = |wanted: &str| query.split('&').any(|pair| pair.starts_with(wanted));
    let class = if on.resource == "leases" {
        Class::Lease
    } else if is_read(method) {
        if has("watch=1") || has("watch=true") {
            Class::Watch
        } else {
            Class::Read
        }
    } else if on.resource.ends_with("reviews") {
        Class::Review
    } else if has("dryRun") {
        Class::DryRun
    } else if on.resource == "events" {
        Class::Event
    } else {
        Class::Write
    };
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    (class, format!("{method} {}", describe(&on, &body)))
}

fn describe(on: &Target<'_>, body: &Value) -> String {
    let named = |detail: String| {
        let subresource = if on.subresource.is_empty() {
            String::new()
        } else {
            format!("/{}", on.subresource)
        };
        let name = if on.resource == "events" { "" } else { on.name };
        [
            format!("{}{subresource}", on.resource),
            name.to_owned(),
            detail,
        ]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
    };
    match (on.resource, on.subresource) {
        ("jobs", _) => {
            let gate = body["metadata"]["labels"][floe::api::LABEL_GATE]
                .as_str()
                .unwrap_or("…");
            format!("jobs of gate {gate}")
        }
        ("pods", _) => "pods".to_owned(),
        ("events", _) => named(format!(
            "{} of {}",
            text(&body["reason"]),
            text(&involved(body)["name"])
        )),
        ("promotions", "status") => named(promotion_status(&body["status"])),
        ("environmentpolicies", "status") => named(policy_status(&body["status"])),
        _ => named(metadata(body)),
    }
}

fn involved(event: &Value) -> &Value {
    if event["regarding"].is_null() {
        &event["involvedObject"]
    } else {
        &event["regarding"]
    }
}

/// The facts in a Promotion's status that tell one write from another.
fn promotion_status(status: &Value) -> String {
    let mut words = vec![text(&status["stage"])];
    let ended = status["gates"].as_array().map_or(0, |gates| {
        gates
            .iter()
            .filter(|gate| gate["outcome"] != "Running")
            .count()
    });
    words.push(format!("gates:{ended}"));
    for part in ["plan", "intent", "audit"] {
        if !status[part].is_null() {
            words.push(part.to_owned());
        }
    }
    for replica in status["replicas"].as_array().into_iter().flatten() {
        words.push(format!(
            "{}:{}",
            text(&replica["name"]),
            text(&replica["state"])
        ));
    }
    if let Some(reason) = status["waitingOn"]["reason"].as_str() {
        words.push(format!("waits:{reason}"));
    }
    words.join(" ")
}

/// The same of a policy's status: who holds which write slot, and how long the history is.
fn policy_status(status: &Value) -> String {
    let ready = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["type"] == "Ready");
    let mut words: Vec<String> = ready
        .map(|one| format!("ready:{}", text(&one["status"])))
        .into_iter()
        .collect();
    for artifact in status["artifacts"].as_array().into_iter().flatten() {
        let history = artifact["history"].as_array().map_or(0, Vec::len);
        words.push(format!("history:{history}"));
        if let Some(holder) = artifact["inFlight"]["name"].as_str() {
            let taken_over = artifact["inFlight"]["takenOver"] == true;
            words.push(format!(
                "{}:{holder}",
                if taken_over { "taken-over" } else { "claim" }
            ));
        }
    }
    words.join(" ")
}

/// What a write of an object itself, or of its metadata, changes.
fn metadata(body: &Value) -> String {
    if let Some(operations) = body.as_array() {
        let paths: Vec<String> = operations
            .iter()
            .map(|one| format!("{} {}", text(&one["op"]), text(&one["path"])))
            .collect();
        return paths.join(", ");
    }
    let metadata = &body["metadata"];
    let mut words = Vec::new();
    if let Some(labels) = metadata["labels"].as_object() {
        words.extend(labels.keys().map(|label| format!("label:{label}")));
    }
    match &metadata["finalizers"] {
        Value::Array(list) if list.is_empty() => words.push("finalizers:none".to_owned()),
        Value::Array(_) => words.push("finalizers:some".to_owned()),
        Value::Null if metadata.get("finalizers").is_some() => {
            words.push("finalizers:none".to_owned());
        }
        _ => {}
    }
    words.join(" ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}
