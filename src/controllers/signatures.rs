//! The signatures of what is promoted: verified before any gate is started.

use super::error::Error;
use super::pass::Pass;
use super::perform::{Done, note_gates_started};
use crate::domain::observed::Receipt;
use crate::domain::policy::SignatureMode;
use crate::effects::signatures::verify_signature;

/// Looks for a signature of the pinned digest that counts.
pub(super) async fn verify(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let environment = pass.observed.environments.get(&plan.route.to);
    let Some(rule) = environment.and_then(|environment| environment.signature.clone()) else {
        return Err(Error::Restless(0).into());
    };
    let registry = pass.source_registry(&plan.route).await?;
    let trust = pass.trust(&rule).await?;
    let repository = plan.route.source();
    let verdict = match pass.ctx.verified.get(repository, &plan.digest, &trust) {
        Some(known) => known,
        None => verify_signature(&registry, repository, &plan.digest, &trust).await?,
    };
    let cache = &pass.ctx.verified;
    cache.insert(repository, &plan.digest, &trust, &verdict);
    match (verdict.problem(), rule.mode) {
        (Some(problem), SignatureMode::Warn) => {
            let text = format!("{}: {problem}", plan.digest);
            pass.note(true, "VerifySignature", "SignatureInvalid", text);
            note_gates_started(pass, &plan);
        }
        (Some(_), SignatureMode::Enforce | SignatureMode::Off) => {}
        (None, _) => note_gates_started(pass, &plan),
    }
    Ok(Receipt::Signature(verdict.observed(rule.digest)))
}
