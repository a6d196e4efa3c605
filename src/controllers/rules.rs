//! Whether the rules of a policy can be read, found out once for each of its generations.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use kube::ResourceExt as _;

use crate::api::EnvironmentPolicy;
use crate::domain::compliance::unreadable;
use crate::domain::policy::{RULES_PROBLEM, rule_set};
use crate::effects::bounded;
use crate::effects::lock::lock;

/// How long reading the rules of one policy may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Most policies that are remembered: deleted ones are never asked for again.
const MOST: usize = 10_000;

/// Generation, and why the rules cannot be read, when they cannot.
type Known = (i64, Option<String>);

/// What is known of policies, by UID.
#[derive(Default)]
pub(super) struct RuleChecks(Mutex<BTreeMap<String, Known>>);

impl RuleChecks {
    /// Why a rule of this policy cannot be read, when one cannot. Nothing is evaluated, and a policy that
    /// is meant to do harm costs a thread of its own for a moment.
    pub(super) async fn problem(&self, policy: &EnvironmentPolicy) -> Option<String> {
        // An exception without a date is a problem that the environment itself names.
        let rules = rule_set(&policy.spec).ok()?.rules;
        if rules.is_empty() {
            return None;
        }
        let uid = policy.uid().unwrap_or_default();
        let generation = policy.metadata.generation.unwrap_or_default();
        if let Some((_, problem)) = lock(&self.0)
            .get(&uid)
            .filter(|(known, _)| *known == generation)
        {
            return problem.clone();
        }
        match bounded::run(LIMIT, move || unreadable(&rules)).await {
            Ok(why) => {
                let problem = why.map(|why| format!("{RULES_PROBLEM}{why}"));
                let mut known = lock(&self.0);
                if known.len() >= MOST {
                    known.clear();
                }
                known.insert(uid, (generation, problem.clone()));
                problem
            }
            // Nothing is known yet: the next look tries again.
            Err(why) => Some(format!("{RULES_PROBLEM}cannot be read: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PolicyRule;

    fn policy(generation: i64, expression: &str) -> EnvironmentPolicy {
        let mut policy = EnvironmentPolicy::default();
        policy.metadata.uid = Some("u1".to_owned());
        policy.metadata.generation = Some(generation);
        policy.spec.policy_rules = vec![PolicyRule {
            name: "kept".to_owned(),
            severity: None,
            matches: None,
            expression: expression.to_owned(),
            message: "m".to_owned(),
        }];
        policy
    }

    #[tokio::test]
    async fn a_rule_that_cannot_be_read_is_a_problem_until_the_policy_changes() {
        let checks = RuleChecks::default();
        assert_eq!(checks.problem(&policy(1, "manifest.x == 1")).await, None);
        let problem = checks.problem(&policy(2, "manifest.x ==")).await.unwrap();
        assert!(
            problem.starts_with("policyRules 'kept': its expression cannot be read: "),
            "{problem}"
        );
        // The same generation is not read again.
        assert_eq!(checks.problem(&policy(2, "true")).await, Some(problem));
        assert_eq!(checks.problem(&policy(3, "true")).await, None);
    }

    #[tokio::test]
    async fn a_rule_that_is_meant_to_break_the_operator_is_only_a_problem() {
        for (generation, text) in ["(", "[", "!(", "true?"].into_iter().enumerate() {
            let checks = RuleChecks::default();
            let generation = i64::try_from(generation).unwrap();
            let hostile = policy(generation, &text.repeat(2048 / text.len()));
            assert!(checks.problem(&hostile).await.is_some(), "{text}");
        }
        let checks = RuleChecks::default();
        let endless = policy(1, &"1+".repeat(500_000));
        let problem = checks.problem(&endless).await.unwrap();
        assert!(problem.contains("more than 2048 characters"), "{problem}");
    }
}
