//! The form of a record, as a type: its JSON Schema in the documentation is made from it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::plan::Plan;

/// The record of a promotion: an in-toto statement about the promoted digest. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// `https://in-toto.io/Statement/v1`.
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// The promoted digest.
    #[schemars(length(equal = 1))]
    pub subject: Vec<Subject>,
    /// `https://floe.dev/promotion/v1/<environment>`.
    pub predicate_type: String,
    /// What was promoted, by whom, and what was checked.
    pub predicate: Predicate,
}

/// What the statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The repository.
    pub name: String,
    /// `sha256`: the digest of the manifest, as hexadecimal digits.
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    pub(super) fn of(repository: &Repository, digest: &Digest) -> Self {
        Self {
            name: repository.to_string(),
            digest: BTreeMap::from([("sha256".to_owned(), digest.hex().to_owned())]),
        }
    }
}

/// What was promoted, by whom, and what was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Predicate {
    /// UID of the request.
    pub id: String,
    /// Kind of the request.
    pub kind: String,
    /// Name of the request.
    pub name: String,
    /// Namespace of the request.
    pub space: String,
    /// The operator that took the decision.
    pub operator: Operator,
    /// What was promoted.
    pub artifact: Artifact,
    /// Where it lies.
    #[schemars(with = "String")]
    pub repository: Repository,
    /// Tag that was written.
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Environment from which it came; absent for the first environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_environment: Option<String>,
    /// Environment that it entered.
    pub target_environment: String,
    /// Who asked, as the API server authenticated them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// For whom automation asked, as the requester says: it has the right to (verb `act-for`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked for.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub requested_at: Timestamp,
    /// When all gates had passed and the decision was taken.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub decided_at: Timestamp,
    /// What was found out about the artifact's signatures, when the policy asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// What was checked.
    pub gates: Vec<Gate>,
    /// The policy that was in force.
    pub policy: Policy,
    /// Number of this record in the chain of space, environment and artifact, from 1, without gaps.
    pub sequence: i64,
    /// The promotion into the environment before this one, and its record; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Other repositories that get the artifact and this record as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<Replica>,
    /// The SLSA verification summary beside this record: SHA-256 of its payload.
    pub summary: String,
    /// `Promoted`.
    pub result: String,
}

/// The operator that took the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Its version.
    pub version: String,
    /// Name of its process.
    pub instance: String,
    /// Its audit log, in which the decision is a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// What was promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of its manifest.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// Media type of its manifest.
    pub media_type: String,
}

impl Artifact {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            name: plan.route.artifact.clone(),
            version: plan.route.version.to_string(),
            digest: plan.digest.clone(),
            media_type: plan.media_type.clone(),
        }
    }
}

/// What was found out about the artifact's signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// `Enforce`, or `Warn`: then it was promoted also without a signature that counts.
    pub mode: String,
    /// At least one signature counted.
    pub verified: bool,
    /// Keys and identities whose signatures counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// Why none counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One gate, and what came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// `PolicyCompliance`, `Tests`, `SecurityScan`, `CostAnalysis`, `PerformanceBaseline` or `Custom`.
    #[serde(rename = "type")]
    pub gate_type: String,
    /// `Passed` or `Warned`; in a refusal also `Failed`, `Error`, `TimedOut` or `Running`.
    pub outcome: String,
    /// `Warn`, for a gate that did not pass and only warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    /// What came out, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What its report counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, i64>,
    /// Ids of what it found, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// What is wrong, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// How many more ids or findings there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted: Option<i64>,
    /// What its report measured, as decimal numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// How often it was run, when more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// The Promotion whose result counted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_from: Option<String>,
    /// Image in which it ran, as the policy names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Digest of that image, as the node reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// UID of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// When the command started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
}

/// The policy that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its generation.
    pub generation: i64,
    /// SHA-256 of its specification as canonical JSON.
    pub digest: String,
}

/// Another repository that gets the artifact and this record as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// The repository.
    pub repository: String,
    /// Nothing was tagged before it held the artifact.
    pub required: bool,
}

/// The promotion into the environment before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: String,
    /// Its record: SHA-256 of the payload that was signed. Bundle and manifest around it can be made anew by
    /// anybody who can push, and then say the same.
    pub record: String,
    /// Digest of the referrer manifest that holds that record.
    pub referrer: String,
}
