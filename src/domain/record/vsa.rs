//! The short form of a record for tools that know nothing of floe: a SLSA verification summary attestation (VSA)
//! about one tag (SLSA 1.1, "Verification Summary Attestation").

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{STATEMENT_FORM, Subject, canonical};
use crate::api::{Intent, PromotionStatus};
use crate::domain::artifact::Repository;
use crate::domain::plan::Plan;

/// Type of the predicate, the same for all who verify.
pub const VSA_TYPE: &str = "https://slsa.dev/verification_summary/v1";

/// Who verified. A consumer compares this with what they trust, together with the key.
const VERIFIER: &str = "https://floe.dev/operator";

/// The artifact's documents hold to the rules of the environment's policy and to its own.
const COMPLIANT: &str = "FLOE_POLICY_COMPLIANT";
/// Every gate of the environment has passed; a gate that only warned takes this away.
const GATES: &str = "FLOE_GATES_PASSED";
/// A signature that the policy asks for counted.
const SIGNED: &str = "FLOE_SIGNATURE_VERIFIED";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    form: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    verifier: Verifier,
    time_verified: Timestamp,
    resource_uri: String,
    policy: Policy,
    verification_result: String,
    verified_levels: Vec<String>,
    slsa_version: String,
}

#[derive(Serialize, Deserialize)]
struct Verifier {
    id: String,
    version: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Policy {
    uri: String,
    digest: BTreeMap<String, String>,
}

/// The summary for the tag of this promotion in `repository`: the environment's own, or that of a replica.
/// Like the record, its bytes follow from plan and status alone.
pub fn summary(
    space: &str,
    plan: &Plan,
    status: &PromotionStatus,
    intent: &Intent,
    repository: &Repository,
) -> Vec<u8> {
    let route = &plan.route;
    let policy_digest = intent.policy.digest.rsplit(':').next().unwrap_or_default();
    let statement = Statement {
        form: STATEMENT_FORM.to_owned(),
        subject: vec![Subject::of(repository, &plan.digest)],
        predicate_type: VSA_TYPE.to_owned(),
        predicate: Predicate {
            verifier: Verifier {
                id: VERIFIER.to_owned(),
                version: BTreeMap::from([("floe".to_owned(), intent.operator_version.clone())]),
            },
            time_verified: intent.decided_at.0,
            resource_uri: format!("{repository}:{}", route.tag),
            policy: Policy {
                uri: format!("floe:{space}/environmentpolicies/{}", route.to),
                digest: BTreeMap::from([("sha256".to_owned(), policy_digest.to_owned())]),
            },
            verification_result: "PASSED".to_owned(),
            verified_levels: levels(status),
            slsa_version: "1.1".to_owned(),
        },
    };
    canonical(&statement)
}

fn levels(status: &PromotionStatus) -> Vec<String> {
    let all_passed = status.gates.iter().all(|gate| gate.outcome == "Passed");
    let signed = status
        .signature
        .as_ref()
        .is_some_and(|signature| signature.verified);
    [(COMPLIANT, true), (GATES, all_passed), (SIGNED, signed)]
        .into_iter()
        .filter(|(_, reached)| *reached)
        .map(|(level, _)| level.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::made;
    use super::*;

    fn made_summary(change: impl FnOnce(&mut PromotionStatus)) -> Value {
        let (request, plan, mut status, intent) = made();
        change(&mut status);
        let repository = &plan.route.repository;
        let bytes = summary(&request.space, &plan, &status, &intent, repository);
        serde_json::from_slice(&bytes).unwrap()
    }

    fn levels_of(summary: &Value) -> Vec<&str> {
        let levels = summary["predicate"]["verifiedLevels"].as_array().unwrap();
        levels.iter().filter_map(Value::as_str).collect()
    }

    fn gates(outcomes: &[&str]) -> Vec<crate::api::GateStatus> {
        let gate = |outcome: &&str| json!({ "name": outcome.to_lowercase(), "type": "Custom", "outcome": outcome, "specHash": "x", "job": "x" });
        let gates: Value = outcomes.iter().map(gate).collect();
        serde_json::from_value(gates).unwrap()
    }

    #[test]
    fn it_speaks_of_the_tag_that_was_written() {
        let summary = made_summary(|_| {});
        assert_eq!(summary["predicateType"], VSA_TYPE);
        let predicate = &summary["predicate"];
        assert_eq!(predicate["resourceUri"], "r.example/app:v1.2.3-staging");
        assert_eq!(predicate["verificationResult"], "PASSED");
        assert_eq!(predicate["timeVerified"], "2026-03-02T10:00:09Z");
        assert_eq!(
            predicate["policy"]["uri"],
            "floe:platform/environmentpolicies/staging"
        );
        assert_eq!(
            predicate["policy"]["digest"]["sha256"]
                .as_str()
                .unwrap()
                .len(),
            64
        );
    }

    #[test]
    fn a_level_is_only_there_when_it_was_reached() {
        let all = made_summary(|status| status.gates = gates(&["Passed", "Passed"]));
        assert_eq!(levels_of(&all), [COMPLIANT, GATES]);
        let warned = made_summary(|status| status.gates = gates(&["Passed", "Warned"]));
        assert_eq!(levels_of(&warned), [COMPLIANT]);
        let signature =
            |verified: bool| json!({ "mode": "Warn", "verified": verified, "rule": "r" });
        for (verified, wanted) in [
            (true, vec![COMPLIANT, GATES, SIGNED]),
            (false, vec![COMPLIANT, GATES]),
        ] {
            let summary = made_summary(|status| {
                status.signature = serde_json::from_value(signature(verified)).unwrap();
            });
            assert_eq!(levels_of(&summary), wanted);
        }
        assert!(
            !all.to_string().contains("SLSA_"),
            "nothing that was not proven"
        );
    }
}
