//! The record of a promotion: an in-toto statement about the promoted digest.
//!
//! Its bytes follow from the object and its status alone, never from the clock, so that a retry or a
//! second operator writes the same bytes (design, section 9).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::artifact::Digest;
use super::observed::OwnRecord;
use super::plan::Plan;
use super::request::Request;
use crate::api::{GateStatus, Intent, OnFailure, PromotionStatus};

/// Media type of the statement, and artifact type of the referrer that holds it (in-toto, `envelope.md`).
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// Type of the predicate in an environment. One for each environment: a record of dev never stands for prod.
pub fn predicate_type(environment: &str) -> String {
    format!("https://floe.dev/promotion/v1/{environment}")
}

/// Who wrote the record, and what is in it, as far as floe reads records again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// UID of the request.
    pub id: String,
    /// Kind of the request.
    pub kind: String,
    /// Name of the request.
    pub name: String,
    /// Namespace of the request.
    pub space: String,
    /// Artifact.
    pub artifact: SeenArtifact,
    /// Tag that was written.
    pub tag: String,
    /// Environment that it entered.
    pub target_environment: String,
    /// Who asked.
    #[serde(default)]
    pub requested_by: Option<String>,
    /// When the decision was taken.
    pub decided_at: Timestamp,
}

/// The artifact of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenArtifact {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
}

/// The statement about a promotion whose intent is stated, as the bytes that are pushed.
pub fn statement(
    request: &Request,
    plan: &Plan,
    status: &PromotionStatus,
    intent: &Intent,
) -> Vec<u8> {
    let route = &plan.route;
    let mut predicate = json!({
        "id": request.uid,
        "kind": "Promotion",
        "name": request.name,
        "space": request.space,
        "operator": { "version": intent.operator_version, "instance": intent.operator_instance },
        "artifact": {
            "name": route.artifact, "version": route.version.as_str(),
            "digest": plan.digest, "mediaType": plan.media_type,
        },
        "repository": route.repository,
        "tag": route.tag,
        "sourceEnvironment": route.from,
        "targetEnvironment": route.to,
        "requestedBy": request.requested_by,
        "reason": request.reason,
        "requestedAt": request.created_at,
        "decidedAt": intent.decided_at.0,
        "gates": status.gates.iter().map(gate).collect::<Vec<_>>(),
        "policy": { "generation": intent.policy.generation, "digest": intent.policy.digest },
        "previous": intent.previous,
        "result": "Promoted",
    });
    without_nulls(&mut predicate);
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": route.repository, "digest": { "sha256": plan.digest.hex() } }],
        "predicateType": predicate_type(&route.to),
        "predicate": predicate,
    });
    statement.to_string().into_bytes()
}

/// The predicate of a statement of ours about this digest; `None` when it is anything else.
pub fn read(statement: &[u8], about: &Digest) -> Option<Seen> {
    let statement: Value = serde_json::from_slice(statement).ok()?;
    let subjects = statement.get("subject")?.as_array()?;
    let speaks_of = |subject: &Value| {
        subject.pointer("/digest/sha256").and_then(Value::as_str) == Some(about.hex())
    };
    let seen: Seen = serde_json::from_value(statement.get("predicate")?.clone()).ok()?;
    let expected_type = predicate_type(&seen.target_environment);
    let genuine = subjects.iter().any(speaks_of)
        && seen.artifact.digest == *about
        && statement.get("predicateType")?.as_str() == Some(&expected_type);
    genuine.then_some(seen)
}

/// Which of the records found on a digest is the request's own.
pub fn own(found: &[(Digest, Seen)], request: &Request) -> OwnRecord {
    let same_name = |seen: &Seen| {
        seen.kind == "Promotion" && seen.space == request.space && seen.name == request.name
    };
    if let Some((digest, _)) = found.iter().find(|(_, seen)| seen.id == request.uid) {
        return OwnRecord::Ours(digest.clone());
    }
    found
        .iter()
        .find(|(_, seen)| same_name(seen))
        .map_or(OwnRecord::Absent, |(digest, _)| {
            OwnRecord::Namesake(digest.clone())
        })
}

/// Whether one of the records says that this version entered the environment.
pub fn promoted_into(
    found: &[(Digest, Seen)],
    space: &str,
    artifact: &str,
    version: &str,
    environment: &str,
) -> bool {
    found.iter().any(|(_, seen)| {
        seen.space == space
            && seen.target_environment == environment
            && seen.artifact.name == artifact
            && seen.artifact.version == version
    })
}

fn gate(gate: &GateStatus) -> Value {
    json!({
        "name": gate.name,
        "type": gate.gate_type,
        "outcome": gate.outcome,
        "onFailure": if gate.outcome == "Warned" { Some(OnFailure::Warn) } else { None },
        "summary": gate.message,
        "image": gate.image,
        "imageDigest": gate.image_digest,
        "job": gate.job_uid,
        "startedAt": gate.started_at,
        "finishedAt": gate.finished_at,
    })
}

/// Leaves out what is not known: a record holds no null and no placeholder.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
