//! The record of a promotion: an in-toto statement about the promoted digest.
//!
//! Its bytes follow from the object and its status alone, never from the clock, so that a retry or a
//! second operator writes the same bytes (design, section 9).

mod chain;
mod envelope;
mod key_statement;
mod keys;
mod refusal;
mod ring;
mod statement;
mod vsa;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::artifact::Digest;
use super::observed::OwnRecord;
use super::plan::Plan;
use super::request::Request;
use crate::api::{
    GateStatus, Intent, PlannedReplica, PromotionStatus, SignatureMode, SignatureStatus,
};
pub use chain::{FoundRecord, Recorded, next_sequence};
pub use envelope::{BUNDLE_TYPE, Envelope, NotAnEnvelope, STATEMENT_TYPE};
pub use key_statement::{
    KeyStatement, REVOCATION_TYPE, ROTATION_TYPE, Revocation, Rotation, rotation_without_former,
};
pub use keys::{NotAKey, PublicKey, SigningKey};
pub use refusal::{Refusal, RefusalStatement, refusal, refusal_type};
pub use ring::{BadRing, KeyRing, KeyState, KeyUse, RingKey, Signer};
pub use statement::{
    Artifact, Gate, Operator, Policy, Predicate, Previous, Replica, Signature, Statement, Subject,
};
pub use vsa::{VSA_TYPE, summary};

/// What a statement says it is (in-toto, `statement.md`).
const STATEMENT_FORM: &str = "https://in-toto.io/Statement/v1";

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
    /// Its number in the chain.
    pub sequence: i64,
    /// The promotion before it.
    #[serde(default)]
    pub previous: Option<Previous>,
    /// The summary beside it: the digest of its payload.
    pub summary: String,
    /// What its gates measured.
    #[serde(default)]
    pub gates: Vec<SeenGate>,
}

/// What a gate of a record measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenGate {
    /// Its name.
    pub name: String,
    /// Value by name.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
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
    let predicate = Predicate {
        id: request.uid.clone(),
        kind: "Promotion".to_owned(),
        name: request.name.clone(),
        space: request.space.clone(),
        operator: Operator {
            version: intent.operator_version.clone(),
            instance: intent.operator_instance.clone(),
            log: intent.operator_log.clone(),
        },
        artifact: Artifact::of(plan),
        repository: route.repository.clone(),
        tag: route.tag.clone(),
        source_environment: route.from.clone(),
        target_environment: route.to.clone(),
        requested_by: request.requested_by.clone(),
        on_behalf_of: request.on_behalf_of.clone(),
        reason: request.reason.clone(),
        requested_at: request.created_at,
        decided_at: intent.decided_at.0,
        signature: status.signature.as_ref().map(signature),
        gates: status.gates.iter().map(gate).collect(),
        policy: Policy {
            generation: intent.policy.generation,
            digest: intent.policy.digest.clone(),
        },
        sequence: intent.sequence,
        previous: intent.previous.as_ref().map(|before| Previous {
            version: before.version.clone(),
            digest: before.digest.clone(),
            record: before.record.clone(),
            referrer: before.referrer.clone(),
        }),
        replicas: intent.replicas.iter().map(replica).collect(),
        summary: Digest::of(&summary(
            &request.space,
            plan,
            status,
            intent,
            &route.repository,
        ))
        .to_string(),
        result: "Promoted".to_owned(),
    };
    let statement = Statement {
        statement_type: STATEMENT_FORM.to_owned(),
        subject: vec![Subject::of(&route.repository, &plan.digest)],
        predicate_type: predicate_type(&route.to),
        predicate,
    };
    canonical(&statement)
}

/// By way of a map that is sorted by key: the bytes do not depend on the order of fields in the source.
fn canonical(statement: &impl Serialize) -> Vec<u8> {
    serde_json::to_value(statement)
        .map(|value| value.to_string())
        .unwrap_or_default()
        .into_bytes()
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
pub fn own(found: &[FoundRecord], request: &Request) -> OwnRecord {
    let same_name = |seen: &Seen| {
        seen.kind == "Promotion" && seen.space == request.space && seen.name == request.name
    };
    if let Some(ours) = found.iter().find(|found| found.seen.id == request.uid) {
        return OwnRecord::Ours(ours.recorded.clone());
    }
    found
        .iter()
        .find(|found| same_name(&found.seen))
        .map_or(OwnRecord::Absent, |found| {
            OwnRecord::Namesake(found.recorded.clone())
        })
}

/// Whether one of the records says that this version entered the environment.
pub fn promoted_into(
    found: &[FoundRecord],
    space: &str,
    artifact: &str,
    version: &str,
    environment: &str,
) -> bool {
    found.iter().any(|FoundRecord { seen, .. }| {
        seen.space == space
            && seen.target_environment == environment
            && seen.artifact.name == artifact
            && seen.artifact.version == version
    })
}

fn replica(planned: &PlannedReplica) -> Replica {
    Replica {
        name: planned.name.clone(),
        repository: planned.repository.clone(),
        required: planned.required,
    }
}

fn signature(found: &SignatureStatus) -> Signature {
    let mode = match found.mode {
        SignatureMode::Off => "Off",
        SignatureMode::Warn => "Warn",
        SignatureMode::Enforce => "Enforce",
    };
    Signature {
        mode: mode.to_owned(),
        verified: found.verified,
        by: found.by.clone(),
        problem: found.message.clone(),
    }
}

fn gate(gate: &GateStatus) -> Gate {
    let warned = gate.outcome == "Warned";
    Gate {
        name: gate.name.clone(),
        gate_type: gate.gate_type.clone(),
        outcome: gate.outcome.clone(),
        on_failure: warned.then(|| "Warn".to_owned()),
        summary: gate.message.clone(),
        counts: gate.counts.clone(),
        ids: gate.ids.clone(),
        findings: gate.findings.clone(),
        omitted: gate.omitted,
        values: gate.values.clone(),
        attempts: gate.attempts.filter(|attempts| *attempts > 1),
        reused_from: gate.reused_from.clone(),
        image: gate.image.clone(),
        image_digest: gate.image_digest.clone(),
        job: gate.job_uid.clone(),
        started_at: gate.started_at.as_ref().map(|time| time.0),
        finished_at: gate.finished_at.as_ref().map(|time| time.0),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::{PolicyRef, Promotion};
    use crate::domain::plan::Route;

    pub(super) fn made() -> (Request, Plan, PromotionStatus, Intent) {
        let promotion: Promotion = serde_json::from_value(json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
            "metadata": {
                "name": "p", "namespace": "platform", "uid": "u-1", "creationTimestamp": "2026-03-02T10:00:00Z",
            },
            "spec": { "version": "v1.2.3", "from": "dev", "to": "staging", "requestedBy": "alice" },
        }))
        .unwrap();
        let plan = Plan {
            route: Route {
                artifact: "app".to_owned(),
                version: "v1.2.3".parse().unwrap(),
                from: Some("dev".to_owned()),
                to: "staging".to_owned(),
                repository: "r.example/app".parse().unwrap(),
                source_repository: None,
                source_tag: "v1.2.3-dev".parse().unwrap(),
                tag: "v1.2.3-staging".parse().unwrap(),
                latest_tag: "latest-staging".parse().unwrap(),
            },
            digest: Digest::of(b"manifest"),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            resolved_at: "2026-03-02T10:00:01Z".parse().unwrap(),
        };
        let intent = Intent {
            decided_at: Time("2026-03-02T10:00:09Z".parse().unwrap()),
            policy: PolicyRef {
                generation: 3,
                digest: Digest::of(b"policy").to_string(),
            },
            sequence: 1,
            previous: None,
            operator_version: "0.1.0".to_owned(),
            operator_instance: "floe-0".to_owned(),
            operator_log: Some("20260302T100000Z-0123456789abcdef".to_owned()),
            replicas: vec![PlannedReplica {
                name: "west".to_owned(),
                repository: "west.example/app".to_owned(),
                required: true,
            }],
        };
        (
            Request::of(&promotion),
            plan,
            PromotionStatus::default(),
            intent,
        )
    }

    fn at(referrer: &Digest, seen: Seen) -> FoundRecord {
        let recorded = Recorded {
            record: Digest::of(referrer.as_str().as_bytes()),
            referrer: referrer.clone(),
            sequence: seen.sequence,
            summary: None,
        };
        FoundRecord { recorded, seen }
    }

    #[test]
    fn the_same_promotion_always_gives_the_same_bytes() {
        let (request, plan, status, intent) = made();
        assert_eq!(
            statement(&request, &plan, &status, &intent),
            statement(&request, &plan, &status, &intent)
        );
    }

    #[test]
    fn a_record_holds_no_null_and_is_read_back() {
        let (request, plan, status, intent) = made();
        let bytes = statement(&request, &plan, &status, &intent);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(!text.contains("null"), "{text}");
        let typed: Statement = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(typed.predicate.gates.len(), status.gates.len());
        assert_eq!(typed.predicate.replicas.len(), intent.replicas.len());
        let seen = read(&bytes, &plan.digest).unwrap();
        assert_eq!(
            (seen.id.as_str(), seen.requested_by.as_deref()),
            ("u-1", Some("alice"))
        );
        assert_eq!(
            (
                seen.target_environment.as_str(),
                seen.artifact.version.as_str()
            ),
            ("staging", "v1.2.3")
        );
    }

    #[test]
    fn a_record_of_another_digest_or_of_the_type_of_another_environment_is_none() {
        let (request, plan, status, intent) = made();
        let bytes = statement(&request, &plan, &status, &intent);
        assert_eq!(read(&bytes, &Digest::of(b"other")), None);
        let forged = String::from_utf8(bytes)
            .unwrap()
            .replace("/v1/staging", "/v1/prod");
        assert_eq!(read(forged.as_bytes(), &plan.digest), None);
        assert_eq!(read(b"{}", &plan.digest), None);
        assert_eq!(read(b"not json", &plan.digest), None);
    }

    #[test]
    fn a_request_finds_its_own_record_before_one_of_its_name() {
        let (request, plan, status, intent) = made();
        let seen = read(&statement(&request, &plan, &status, &intent), &plan.digest).unwrap();
        let (mine, other) = (Digest::of(b"mine"), Digest::of(b"other"));
        let namesake = Seen {
            id: "u-0".to_owned(),
            ..seen.clone()
        };
        let found = [at(&other, namesake), at(&mine, seen)];
        let recorded = |found: &FoundRecord| found.recorded.clone();
        assert_eq!(own(&found, &request), OwnRecord::Ours(recorded(&found[1])));
        let namesake = OwnRecord::Namesake(recorded(&found[0]));
        assert_eq!(own(&found[..1], &request), namesake);
        assert_eq!(own(&[], &request), OwnRecord::Absent);
        let elsewhere = Request {
            space: "team-b".to_owned(),
            uid: "u-2".to_owned(),
            ..request
        };
        assert_eq!(own(&found, &elsewhere), OwnRecord::Absent);
    }

    #[test]
    fn a_record_proves_its_own_environment_space_artifact_and_version_only() {
        let (request, plan, status, intent) = made();
        let seen = read(&statement(&request, &plan, &status, &intent), &plan.digest).unwrap();
        let found = [at(&Digest::of(b"mine"), seen)];
        assert!(promoted_into(
            &found, "platform", "app", "v1.2.3", "staging"
        ));
        for (space, artifact, version, environment) in [
            ("other", "app", "v1.2.3", "staging"),
            ("platform", "web", "v1.2.3", "staging"),
            ("platform", "app", "v1.2.4", "staging"),
            ("platform", "app", "v1.2.3", "prod"),
        ] {
            assert!(!promoted_into(
                &found,
                space,
                artifact,
                version,
                environment
            ));
        }
    }
}
