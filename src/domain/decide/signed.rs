//! Before any gate: whether the artifact carries a signature that counts.

use super::fail;
use crate::domain::decision::{Action, Decision, FailureReason, Stage};
use crate::domain::observed::Observed;
use crate::domain::plan::Plan;
use crate::domain::policy::{Environment, SignatureMode};

/// What is to be done before gates may run; nothing when the policy is content.
///
/// A verdict counts for the keys and identities under which it was reached: when the policy names others now, the
/// signatures are looked at again.
pub(super) fn unsigned(
    plan: &Plan,
    environment: &Environment,
    observed: &Observed,
) -> Option<Decision> {
    let rule = environment.signature.as_ref().filter(|rule| rule.asks())?;
    let known = observed.signature.as_ref();
    let Some(known) = known.filter(|known| known.rule == rule.digest) else {
        return Some(Decision::act(Stage::Gating, vec![Action::VerifySignature]));
    };
    match (known.verified, rule.mode) {
        (true, _) | (false, SignatureMode::Warn | SignatureMode::Off) => None,
        (false, SignatureMode::Enforce) => {
            let digest = plan.digest.clone();
            let problem = known.problem.clone().unwrap_or_default();
            Some(fail(
                observed,
                FailureReason::SignatureInvalid { digest, problem },
            ))
        }
    }
}
