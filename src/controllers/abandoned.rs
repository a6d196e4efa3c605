//! Write slots whose owner has ended or is gone: cleared, after a look at what it has left behind.

use jiff::{SignedDuration, Timestamp};

use super::audit_log;
use super::context::Context;
use super::error::{Result, api};
use super::pass::Stopped;
use crate::api::{EnvironmentPolicy, InFlight, LedgerEntry};
use crate::domain::artifact::Digest;
use crate::domain::policy::Environment;
use crate::domain::rebuild::entry_of;
use crate::effects::abandoned_claims::{Standing, clear, standing, take_over};
use crate::effects::{clock, records};

/// How soon a claim is looked at again that could not be cleared.
const RETRY: SignedDuration = SignedDuration::from_secs(15);

/// Clears what can be cleared; says when the next look is due.
pub(super) async fn clear_abandoned(
    ctx: &Context,
    policy: &EnvironmentPolicy,
    environment: &Environment,
    space: &str,
) -> Result<Option<Timestamp>> {
    let mut next: Option<Timestamp> = None;
    let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    for ledger in ledgers {
        let Some(slot) = &ledger.in_flight else {
            continue;
        };
        let claim = Claim {
            ctx,
            policy,
            environment,
            space,
            artifact: &ledger.name,
            slot,
        };
        let due = match Stopped::as_value(claim.go_on().await)? {
            Ok(due) => due,
            Err(trouble) => {
                let why = trouble.problem;
                tracing::warn!(policy = environment.name, why, "an abandoned claim stays");
                Some(trouble.not_before.unwrap_or_else(|| clock::now() + RETRY))
            }
        };
        next = [next, due].into_iter().flatten().min();
    }
    Ok(next)
}

/// A write slot that is taken.
struct Claim<'a> {
    ctx: &'a Context,
    policy: &'a EnvironmentPolicy,
    environment: &'a Environment,
    space: &'a str,
    artifact: &'a str,
    slot: &'a InFlight,
}

impl Claim<'_> {
    /// One step towards clearing it; says when the next is due.
    async fn go_on(&self) -> std::result::Result<Option<Timestamp>, Stopped> {
        let (client, process) = (&self.ctx.client, self.ctx.settings.identity.as_str());
        let (now, named) = (clock::now(), (self.artifact, self.slot));
        let stands = standing(client, self.space, self.slot, process, now);
        match api("look at the owner of a claim", stands).await? {
            Standing::InUse(due) => Ok(Some(due)),
            Standing::Abandoned => {
                let place = (self.space, self.environment.name.as_str(), self.artifact);
                audit_log::abandoned(self.ctx, place, self.slot).await?;
                let taken = take_over(client, self.policy, named, process, now);
                let quiet = api("take an abandoned claim over", Box::pin(taken)).await?;
                Ok(Some(quiet))
            }
            Standing::Quiet => {
                let entry = self.left_behind().await?;
                let cleared = clear(client, self.policy, named, entry.as_ref());
                api("give an abandoned claim back", Box::pin(cleared)).await?;
                Ok(None)
            }
        }
    }

    /// What the ledger is to say of the owner: an entry, when its record lies beside the artifact.
    async fn left_behind(&self) -> std::result::Result<Option<LedgerEntry>, Stopped> {
        let (ctx, space) = (self.ctx, self.space);
        let mut sources = self.policy.spec.artifacts.iter();
        let source = sources.find(|source| source.name == self.artifact);
        let repository = self.environment.artifacts.get(self.artifact);
        let digest = self.slot.digest.parse::<Digest>().ok();
        let (Some(source), Some(repository), Some(digest)) = (source, repository, digest) else {
            return Ok(None);
        };
        let registry = ctx.registry(space, source, repository).await?;
        let keys = ctx.public_keys(space).await?;
        let found = records::find(&registry, repository, &digest, &keys)
            .await
            .inspect_err(|_| ctx.credentials.forget(space))?;
        let own = found.iter().find(|found| {
            found.seen.id == self.slot.uid
                && found.seen.space == space
                && found.seen.target_environment == self.environment.name
        });
        Ok(own.map(|own| entry_of(&own.recorded, &own.seen)))
    }
}
