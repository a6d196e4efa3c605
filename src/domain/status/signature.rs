//! What the status says of the artifact's signatures, and what is read back from it.

use super::shortened;
use crate::api::{PromotionStatus, SignatureStatus};
use crate::domain::observed::Observed;
use crate::domain::signature::ObservedSignature;

/// The verdict on the signatures that the environment's policy asks for; none while nobody has looked, or when it
/// asks for none.
pub(super) fn signature_of(
    before: &PromotionStatus,
    observed: &Observed,
) -> Option<SignatureStatus> {
    let plan = observed.plan.as_ref()?;
    let Some(environment) = observed.environments.get(&plan.route.to) else {
        return before.signature.clone();
    };
    let rule = environment.signature.as_ref().filter(|rule| rule.asks())?;
    let known = observed.signature.as_ref()?;
    (known.rule == rule.digest).then(|| SignatureStatus {
        mode: rule.mode,
        verified: known.verified,
        by: known.by.clone(),
        count: known.count,
        message: known.problem.as_deref().map(shortened),
        rule: known.rule.to_string(),
    })
}

/// What an earlier pass has found out.
pub fn stored_signature(status: &PromotionStatus) -> Option<ObservedSignature> {
    let stored = status.signature.as_ref()?;
    Some(ObservedSignature {
        rule: stored.rule.parse().ok()?,
        verified: stored.verified,
        by: stored.by.clone(),
        count: stored.count,
        problem: stored.message.clone(),
    })
}
