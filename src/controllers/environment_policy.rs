//! When floe works on an EnvironmentPolicy: checks it, and rebuilds a ledger that is missing.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt as _;
use kube::runtime::controller::Action as Next;

use super::context::{Context, Guarded};
use super::environments;
use super::error::{Error, Result, api, within};
use super::pass::{Stopped, trouble};
use crate::api::{
    ArtifactSource, ConditionType, EnvironmentPolicy, EnvironmentPolicyStatus, LedgerArtifact,
    find_condition,
};
use crate::domain::artifact::{Digest, Repository};
use crate::domain::decision::TroubleKind;
use crate::domain::names::latest_tag;
use crate::domain::observed::Trouble;
use crate::domain::policy::Environment;
use crate::domain::rebuild::{Found, ledger, versions};
use crate::domain::record::KeyRing;
use crate::effects::credentials::Place;
use crate::effects::keys::NoKey;
use crate::effects::registry::{Reference, Registry};
use crate::effects::{abandoned_claims, clock, ledger as ledgers, records};

/// How often a policy in trouble is looked at again.
const RETRY: Duration = Duration::from_secs(15);
/// How soon at the earliest it is looked at again.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);
/// How often a healthy policy is looked at without a change.
const SLOW_LOOK: Duration = Duration::from_hours(1);

/// Brings the status of one policy up to date.
pub(super) async fn reconcile(
    object: Arc<Guarded<EnvironmentPolicy>>,
    ctx: Arc<Context>,
) -> Result<Next> {
    let policy = match &object.0 {
        Ok(policy) => policy,
        Err(malformed) => {
            let name = malformed.metadata.name.as_deref().unwrap_or_default();
            tracing::error!(
                policy = name,
                error = malformed.error,
                "the object is malformed and is left alone"
            );
            return Ok(Next::await_change());
        }
    };
    if policy.metadata.deletion_timestamp.is_some() {
        return Ok(Next::await_change());
    }
    let environment = Environment::of(policy);
    let space = policy.namespace().unwrap_or_default();
    let problem = environment
        .problem
        .clone()
        .or_else(|| environments::conflict_of(&ctx.stores.policies, &space, &environment.name));
    let problem = match problem {
        Some(problem) => Some(problem),
        None => ctx.rule_checks.problem(policy).await,
    };
    let health = match &problem {
        Some(problem) => Health {
            problem: Some(("PolicyInvalid", problem.clone())),
            valid: false,
            rebuilt: Vec::new(),
        },
        None => rebuild_missing(&ctx, policy, &environment, &space).await?,
    };
    let name = policy.name_any();
    let stored = ledgers::change(&ctx.client, &space, &name, Some(policy.clone()), |policy| {
        let generation = policy.metadata.generation.unwrap_or_default();
        let before = policy.status.clone().unwrap_or_default();
        let after = status_after(&before, generation, &health);
        let changed = policy.status.as_ref() != Some(&after);
        policy.status = Some(after);
        changed
    });
    api("store the policy's status", stored).await?;
    let given_back = abandoned_claims::give_back(&ctx.client, policy, clock::now());
    let next_claim = api("give an abandoned claim back", given_back).await?;
    ctx.metrics.pass("EnvironmentPolicy");
    ctx.went_well(&policy.uid().unwrap_or_default());
    let look = if health.problem.is_some() {
        RETRY
    } else {
        SLOW_LOOK
    };
    Ok(Next::requeue(next_claim.map_or(look, |at| {
        look.min(clock::until(at).max(SHORTEST_LOOK))
    })))
}

/// What to do after a pass that failed.
#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub(super) fn after_error(
    object: Arc<Guarded<EnvironmentPolicy>>,
    error: &Error,
    ctx: Arc<Context>,
) -> Next {
    ctx.metrics
        .failed_pass("EnvironmentPolicy", error.category());
    let wait = ctx.back_off(&object.uid().unwrap_or_default());
    tracing::warn!(policy = object.name_any(), %error, ?wait, "the pass failed and is tried again");
    Next::requeue(wait)
}

struct Health {
    problem: Option<(&'static str, String)>,
    valid: bool,
    rebuilt: Vec<LedgerArtifact>,
}

async fn rebuild_missing(
    ctx: &Context,
    policy: &EnvironmentPolicy,
    environment: &Environment,
    space: &str,
) -> Result<Health> {
    let mut health = Health {
        problem: None,
        valid: true,
        rebuilt: Vec::new(),
    };
    for source in policy
        .spec
        .artifacts
        .iter()
        .filter(|source| !environment.ledger.contains_key(&source.name))
    {
        match rebuild(ctx, source, environment, space).await? {
            Ok(rebuilt) => {
                tracing::info!(
                    policy = environment.name,
                    artifact = source.name,
                    versions = rebuilt.history.len(),
                    "read the ledger from the registry"
                );
                health.rebuilt.push(rebuilt);
            }
            Err(trouble) => health.problem = Some((trouble.kind.as_str(), trouble.problem)),
        }
    }
    Ok(health)
}

/// Reads one artifact's ledger from the registry; the inner error is the registry's.
async fn rebuild(
    ctx: &Context,
    source: &ArtifactSource,
    environment: &Environment,
    space: &str,
) -> Result<Result<LedgerArtifact, Trouble>> {
    let Some(repository) = environment.artifacts.get(&source.name) else {
        return Ok(Ok(LedgerArtifact {
            name: source.name.clone(),
            ..LedgerArtifact::default()
        }));
    };
    let access = match ctx
        .credentials
        .access(&ctx.client, space, Place::of(source, repository))
        .await
    {
        Ok(access) => access,
        Err(why) => {
            return match Stopped::from(why) {
                Stopped::Trouble(trouble) => Ok(Err(trouble)),
                Stopped::Error(error) => Err(error),
            };
        }
    };
    let suffixes = environments::cached(&ctx.stores.policies, space).suffixes();
    let keys = ctx.keys.public(&ctx.client, space);
    let keys = match within("read the public keys of records", keys).await? {
        Ok(keys) => keys,
        Err(NoKey::Missing(problem)) => {
            return Ok(Err(Trouble {
                kind: TroubleKind::SigningKeyMissing,
                problem,
                not_before: None,
            }));
        }
        Err(NoKey::Api { action, source }) => return Err(Error::Api { action, source }),
    };
    let read = async {
        let registry = ctx.registries.open(&access)?;
        let (found, latest) = read(&registry, repository, environment, &suffixes, &keys).await?;
        Ok(ledger(
            &source.name,
            space,
            &environment.name,
            &found,
            latest.as_ref(),
        ))
    };
    Ok(read
        .await
        .map_err(|error: crate::effects::registry::RegistryError| {
            ctx.credentials.forget(space);
            trouble(&error)
        }))
}

async fn read(
    registry: &Registry,
    repository: &Repository,
    environment: &Environment,
    suffixes: &[String],
    keys: &KeyRing,
) -> Result<(Vec<Found>, Option<Digest>), crate::effects::registry::RegistryError> {
    let tags = registry.list_tags(repository).await?;
    let mut found = Vec::new();
    for (version, tag) in versions(&tags, &environment.suffix, suffixes) {
        let Some(head) = registry
            .head_manifest(repository, &Reference::from(&tag))
            .await?
        else {
            continue;
        };
        let records = records::find(registry, repository, &head.digest, keys).await?;
        found.push(Found {
            version,
            digest: head.digest,
            records,
        });
    }
    let latest_tag = latest_tag(&environment.suffix).filter(|latest| tags.contains(latest));
    let latest = match latest_tag {
        Some(tag) => registry
            .head_manifest(repository, &Reference::from(&tag))
            .await?
            .map(|head| head.digest),
        None => None,
    };
    Ok((found, latest))
}

fn status_after(
    before: &EnvironmentPolicyStatus,
    generation: i64,
    health: &Health,
) -> EnvironmentPolicyStatus {
    let now = Time(clock::now());
    let mut status = before.clone();
    for rebuilt in &health.rebuilt {
        if status
            .artifacts
            .iter()
            .all(|known| known.name != rebuilt.name)
        {
            status.artifacts.push(rebuilt.clone());
        }
    }
    let problem = health
        .problem
        .as_ref()
        .map(|(reason, message)| (*reason, message.as_str()));
    let (reason, message) =
        problem.unwrap_or(("PolicyAccepted", "promotions into this environment can run"));
    let bad = problem.is_some();
    let waits = bad && health.valid;
    let said = |kind: ConditionType, holds: bool, reason: &str, message: &str| {
        let word = if holds { "True" } else { "False" };
        let unchanged =
            find_condition(&before.conditions, kind).filter(|known| known.status == word);
        Condition {
            type_: kind.as_str().to_owned(),
            status: word.to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(1000).collect(),
            observed_generation: Some(generation),
            last_transition_time: unchanged
                .map_or_else(|| now.clone(), |known| known.last_transition_time.clone()),
        }
    };
    let valid_message = if health.valid {
        "the policy makes sense by itself and beside the others"
    } else {
        message
    };
    status.conditions = vec![
        said(ConditionType::Ready, !bad, reason, message),
        said(ConditionType::Reconciling, waits, reason, message),
        said(
            ConditionType::Stalled,
            bad && !health.valid,
            reason,
            message,
        ),
        said(
            ConditionType::Valid,
            health.valid,
            if health.valid {
                "PolicyAccepted"
            } else {
                reason
            },
            valid_message,
        ),
    ];
    status.observed_generation = generation;
    status
}
