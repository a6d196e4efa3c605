//! Write slots whose owner has ended or is gone: cleared, after a look at what it has left behind.

use jiff::Timestamp;

use super::context::Context;
use super::error::{Result, api, within};
use super::pass::Stopped;
use crate::api::{ArtifactSource, EnvironmentPolicy, InFlight, LedgerEntry};
use crate::domain::artifact::Digest;
use crate::domain::policy::Environment;
use crate::domain::rebuild::entry_of;
use crate::effects::abandoned_claims::{Standing, clear, standing, take_over};
use crate::effects::credentials::Place;
use crate::effects::{clock, records};

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
        let (client, process) = (&ctx.client, ctx.settings.identity.as_str());
        let (now, named) = (clock::now(), (ledger.name.as_str(), slot));
        let stands = standing(client, space, slot, process, now);
        let due = match api("look at the owner of a claim", stands).await? {
            Standing::InUse(due) => Some(due),
            Standing::Abandoned => {
                let taken = take_over(client, policy, named, process, now);
                Some(api("take an abandoned claim over", Box::pin(taken)).await?)
            }
            Standing::Quiet => {
                let mut sources = policy.spec.artifacts.iter();
                let left = match sources.find(|source| source.name == ledger.name) {
                    Some(source) => left_behind(ctx, environment, (space, source), slot).await,
                    None => Ok(None),
                };
                match Stopped::as_value(left)? {
                    Ok(entry) => {
                        let cleared = clear(client, policy, named, entry.as_ref());
                        api("give an abandoned claim back", Box::pin(cleared)).await?;
                        None
                    }
                    Err(trouble) => {
                        let why = trouble.problem;
                        tracing::warn!(policy = environment.name, why, "an abandoned claim stays");
                        Some(trouble.not_before.unwrap_or(now))
                    }
                }
            }
        };
        next = [next, due].into_iter().flatten().min();
    }
    Ok(next)
}

/// What the ledger is to say of the owner of a slot: an entry, when its record lies beside the artifact.
async fn left_behind(
    ctx: &Context,
    environment: &Environment,
    (space, source): (&str, &ArtifactSource),
    slot: &InFlight,
) -> std::result::Result<Option<LedgerEntry>, Stopped> {
    let repository = environment.artifacts.get(&source.name);
    let Some((repository, digest)) = repository.zip(slot.digest.parse::<Digest>().ok()) else {
        return Ok(None);
    };
    let place = Place::of(source, repository);
    let access = ctx.credentials.access(&ctx.client, space, place).await?;
    let keys = ctx.keys.public(&ctx.client, space);
    let keys = within("read the public keys of records", keys).await??;
    let registry = ctx.registries.open(&access)?;
    let found = records::find(&registry, repository, &digest, &keys)
        .await
        .inspect_err(|_| ctx.credentials.forget(space))?;
    let own = found.iter().find(|found| {
        found.seen.id == slot.uid
            && found.seen.space == space
            && found.seen.target_environment == environment.name
    });
    Ok(own.map(|own| entry_of(&own.recorded, &own.seen)))
}
