//! What says that a request was not promoted, where a policy wants it beside the artifact (design, section 9).
//!
//! It has a type of its own and no place in the chain, so that it never stands for a promotion.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Artifact, Gate, STATEMENT_FORM, Signature, Subject, canonical};
use crate::api::{ConditionType, PromotionStatus, find_condition};
use crate::domain::artifact::{Repository, Tag};
use crate::domain::plan::Plan;
use crate::domain::request::Request;

/// Type of the predicate in an environment.
pub fn refusal_type(environment: &str) -> String {
    format!("https://floe.dev/refusal/v1/{environment}")
}

/// A request that was not promoted: an in-toto statement about the digest that was asked for. What is not known is
/// left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefusalStatement {
    /// `https://in-toto.io/Statement/v1`.
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// The digest that was asked for.
    #[schemars(length(equal = 1))]
    pub subject: Vec<Subject>,
    /// `https://floe.dev/refusal/v1/<environment>`.
    pub predicate_type: String,
    /// What was asked for, by whom, and why it was not promoted.
    pub predicate: Refusal,
}

/// What was asked for, by whom, and why it was not promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// UID of the request.
    pub id: String,
    /// Kind of the request.
    pub kind: String,
    /// Name of the request.
    pub name: String,
    /// Namespace of the request.
    pub space: String,
    /// What was to be promoted.
    pub artifact: Artifact,
    /// Where it was to be promoted.
    #[schemars(with = "String")]
    pub repository: Repository,
    /// Tag that was not written.
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Environment from which it came; absent for the first environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_environment: Option<String>,
    /// Environment that it did not enter.
    pub target_environment: String,
    /// Who asked, as the API server authenticated them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// For whom automation asked, as the requester says: it has the right to (verb `act-for`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked for.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub requested_at: Timestamp,
    /// When it had ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub decided_at: Timestamp,
    /// What was found out about the artifact's signatures, when the policy asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// What was checked until then.
    pub gates: Vec<Gate>,
    /// Why it was not promoted, such as `GateFailed`: the reason of the condition `Succeeded`.
    pub result: String,
    /// The same as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The statement about a request that has ended without promotion, as the bytes that are pushed: they follow from
/// the stored status alone. `None` while it has not ended.
pub fn refusal(request: &Request, plan: &Plan, status: &PromotionStatus) -> Option<Vec<u8>> {
    let ended = find_condition(&status.conditions, ConditionType::Succeeded)?;
    let decided_at = status.finished_at.as_ref()?.0;
    let route = &plan.route;
    let predicate = Refusal {
        id: request.uid.clone(),
        kind: "Promotion".to_owned(),
        name: request.name.clone(),
        space: request.space.clone(),
        artifact: Artifact::of(plan),
        repository: route.repository.clone(),
        tag: route.tag.clone(),
        source_environment: route.from.clone(),
        target_environment: route.to.clone(),
        requested_by: request.requested_by.clone(),
        on_behalf_of: request.on_behalf_of.clone(),
        reason: request.reason.clone(),
        requested_at: request.created_at,
        decided_at,
        signature: status.signature.as_ref().map(super::signature),
        gates: status.gates.iter().map(super::gate).collect(),
        result: ended.reason.clone(),
        message: Some(ended.message.clone()).filter(|message| !message.is_empty()),
    };
    Some(canonical(&RefusalStatement {
        statement_type: STATEMENT_FORM.to_owned(),
        subject: vec![Subject::of(&route.repository, &plan.digest)],
        predicate_type: refusal_type(&route.to),
        predicate,
    }))
}
