//! The end state of a scenario, without what may differ from run to run: times, UIDs, versions, names of
//! processes, Events and Leases.

use std::collections::{BTreeMap, BTreeSet};

use floe::api::EnvironmentPolicy;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Map, Value, json};

use crate::oci::Repository;
use crate::world::World;

/// Fields that differ from run to run and say nothing.
const DROPPED: [&str; 8] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "lastTransitionTime",
    "jobUid",
    "job",
    "id",
];
/// Fields that name an operator process.
const PROCESSES: [&str; 5] = [
    "operatorInstance",
    "operatorLog",
    "instance",
    "log",
    "holder",
];

/// Objects, tags, records and Jobs as JSON that two runs can be compared by.
pub async fn end_state(world: &World) -> Value {
    let promotions = world
        .promotions()
        .list(&ListParams::default())
        .await
        .expect("list promotions");
    let policies = world
        .policies()
        .list(&ListParams::default())
        .await
        .expect("list policies");
    let jobs: Api<Job> = Api::namespaced(world.admin.clone(), &world.namespace);
    let jobs = jobs.list(&ListParams::default()).await.expect("list Jobs");
    let (tags, records) = contents(&world.repository).await;
    let second = match world.second_reference() {
        Some(_) => {
            let (tags, records) = contents(&world.second().repository).await;
            json!({ "tags": tags, "records": records })
        }
        None => Value::Null,
    };
    // Each gate of each promotion once: a second set of Jobs would have other names.
    let mut set_of_jobs: Vec<String> = jobs
        .items
        .iter()
        .map(|job| {
            let owner = job
                .owner_references()
                .first()
                .map(|owner| owner.name.clone())
                .unwrap_or_default();
            format!(
                "{owner}/{}",
                job.labels()
                    .get(floe::api::LABEL_GATE)
                    .cloned()
                    .unwrap_or_default()
            )
        })
        .collect();
    set_of_jobs.sort();
    let state = json!({
        "promotions": promotions.items, "policies": without_looks(policies.items), "jobs": set_of_jobs, "tags": tags, "records": records,
        "second": second,
    });
    let keep: Vec<&str> = tags.values().map(String::as_str).collect();
    mask(
        state,
        &[
            (&world.namespace, "<namespace>"),
            (&world.reference, "<repository>"),
            (world.second_reference().unwrap_or("<none>"), "<second>"),
        ],
        &keep,
    )
}

/// An operator that starts compares the tags; whether one has started on the way differs. What it has found does not:
/// no crash may leave a tag that the ledger does not explain.
fn without_looks(mut policies: Vec<EnvironmentPolicy>) -> Vec<EnvironmentPolicy> {
    for status in policies
        .iter_mut()
        .filter_map(|policy| policy.status.as_mut())
    {
        status
            .conditions
            .retain(|one| one.type_ != "TagsInSync" || one.status == "False");
    }
    policies
}

/// The tags of a repository, and the records on each of their digests.
async fn contents(
    repository: &Repository,
) -> (BTreeMap<String, String>, BTreeMap<String, Vec<Value>>) {
    let tags = repository.tag_map().await;
    let mut records = BTreeMap::new();
    for digest in tags.values().collect::<BTreeSet<_>>() {
        let mut payloads = Vec::new();
        for referrer in repository.referrers(digest).await {
            payloads.push(referrer.json());
        }
        payloads.sort_by_key(|record| {
            // Without the registry, whose port is another one in each run.
            let tag = record["predicate"]["resourceUri"].as_str();
            let tag = tag.and_then(|tag| tag.split_once('/'));
            (
                record["predicateType"].to_string(),
                record["predicate"]["name"].to_string(),
                tag.map(|(_, tag)| tag.to_owned()),
            )
        });
        records.insert(digest.clone(), payloads);
    }
    (tags, records)
}

/// Replaces what differs from run to run; these digests stay.
fn mask(value: Value, words: &[(&str, &str)], keep: &[&str]) -> Value {
    match value {
        Value::Object(fields) => {
            let masked = fields
                .into_iter()
                .filter(|(name, _)| !DROPPED.contains(&name.as_str()))
                .map(|(name, field)| {
                    let process = PROCESSES.contains(&name.as_str());
                    let field = if process {
                        json!("<process>")
                    } else {
                        mask(field, words, keep)
                    };
                    (name, field)
                });
            Value::Object(masked.collect::<Map<_, _>>())
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| mask(item, words, keep))
            .collect(),
        Value::String(text) => {
            let text = words
                .iter()
                .fold(text, |text, (word, mask)| text.replace(word, mask));
            Value::String(mask_text(&text, keep))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Times, and digests of what holds times (records, policies with an address), are masked.
fn mask_text(text: &str, keep: &[&str]) -> String {
    if text.len() >= 20 && text.parse::<k8s_openapi::jiff::Timestamp>().is_ok() {
        return "<time>".to_owned();
    }
    if text.len() == 64 && text.chars().all(|digit| digit.is_ascii_hexdigit()) {
        let kept = keep.iter().any(|digest| digest.ends_with(text));
        return if kept { text } else { "<digest>" }.to_owned();
    }
    let mut parts = text.split("sha256:");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hex: String = part.chars().take_while(char::is_ascii_hexdigit).collect();
        let kept = keep
            .iter()
            .any(|digest| digest.strip_prefix("sha256:") == Some(&hex));
        masked.push_str("sha256:");
        masked.push_str(if kept { &hex } else { "<digest>" });
        masked.push_str(&part[hex.len()..]);
    }
    masked
}

/// Where two states differ, as lines to read; empty when they do not.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", expected, found, &mut lines);
    lines
}

fn compare(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            for name in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
                let side =
                    |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or(Value::Null);
                compare(&format!("{path}.{name}"), &side(one), &side(other), lines);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}[{index}]"), one, other, lines);
            }
        }
        _ if expected != found => lines.push(format!("{path}: {expected} became {found}")),
        _ => {}
    }
}
