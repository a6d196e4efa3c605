//! When floe compares tags with the ledger: on a slow period, and every minute while they differ.
//!
//! A look reads the registry alone. The API server is asked only when there is something new to say.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::runtime::controller::Action as Next;
use kube::runtime::reflector::Store;
use kube::{Resource as _, ResourceExt as _};
use tokio::time::Instant;

use super::context::{Context, Guarded};
use super::error::{Error, Result, api};
use super::ledgers;
use super::pass::{Stopped, trouble};
use crate::api::{
    ArtifactSource, ConditionType, EnvironmentPolicy, LedgerArtifact, find_condition,
};
use crate::domain::artifact::Repository;
use crate::domain::decision::TroubleKind;
use crate::domain::drift::{
    Judged, Look, News, Subject, WantedRecord, judge, records as wanted_records, tags,
};
use crate::domain::observed::Trouble;
use crate::domain::policy::Environment;
use crate::effects::events::{self, Note};
use crate::effects::lock::lock;
use crate::effects::registry::{Registry, RegistryError};
use crate::effects::{clock, drift, ledger, records};
use crate::telemetry::Standing;

/// How soon it is looked at again what is out of sync, unknown, or was being written.
const SOON: Duration = Duration::from_mins(1);
/// How soon a policy is looked at again whose ledger this process has not compared with the registry yet.
const AFTER_THE_START: Duration = Duration::from_secs(1);
/// How long a look at one repository may take.
const LIMIT: Duration = Duration::from_mins(2);
/// Most policies that are remembered: deleted ones are never asked for again.
const MOST: usize = 10_000;

/// When each policy is looked at next, by UID. A process that starts looks at all of them.
#[derive(Default)]
pub(super) struct Looks(Mutex<BTreeMap<String, Due>>);

#[derive(Clone, Copy)]
struct Due {
    /// Generation that was looked at: another one may name other places.
    generation: i64,
    at: Instant,
    /// When records are looked at next, too.
    records_at: Instant,
}

/// A place in which an artifact lies.
struct Spot<'a> {
    source: Cow<'a, ArtifactSource>,
    repository: &'a Repository,
    replica: bool,
    ledger: &'a LedgerArtifact,
}

/// Compares one policy's tags, when that is due.
pub(super) async fn reconcile(
    object: Arc<Guarded<EnvironmentPolicy>>,
    ctx: Arc<Context>,
) -> Result<Next> {
    let Ok(policy) = &object.0 else {
        // The controller of policies says so.
        return Ok(Next::await_change());
    };
    if !can_be_compared(policy) {
        return Ok(Next::await_change());
    }
    // A ledger that was restored from an older copy would make every newer tag look moved.
    if !ledgers::are_compared(&ctx.compared, policy) {
        return Ok(Next::requeue(AFTER_THE_START));
    }
    let uid = policy.uid().unwrap_or_default();
    let generation = policy.metadata.generation.unwrap_or_default();
    let now = clock::instant();
    let known = ctx.looks.due(&uid, generation);
    if let Some(due) = known.filter(|due| due.at > now) {
        return Ok(Next::requeue(due.at - now));
    }
    let with_records = known.is_none_or(|due| due.records_at <= now);
    let environment = Environment::of(policy);
    let looks = look(&ctx, policy, &environment, with_records).await?;
    let judged = store(&ctx, policy, &environment, &looks).await?;
    let period = ctx.settings.drift_period;
    let asked_for = judged.not_before.map(clock::until).unwrap_or_default();
    let wait = if judged.soon {
        SOON.min(period).max(asked_for)
    } else {
        period
    };
    let records_at = match known {
        Some(due) if !with_records => due.records_at,
        _ => now + period,
    };
    let due = Due {
        generation,
        at: clock::instant() + wait,
        records_at,
    };
    ctx.looks.remember(&uid, due);
    if let Some(news) = judged.news {
        events::publish(&ctx.recorder, &policy.object_ref(&()), &note(news)).await;
    }
    ctx.metrics.pass("Drift");
    ctx.went_well(&key(&uid));
    Ok(Next::requeue(wait))
}

/// What to do after a look that failed.
#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub(super) fn after_error(
    object: Arc<Guarded<EnvironmentPolicy>>,
    error: &Error,
    ctx: Arc<Context>,
) -> Next {
    ctx.metrics.failed_pass("Drift", error.category());
    let wait = ctx.back_off(&key(&object.uid().unwrap_or_default()));
    tracing::warn!(policy = object.name_any(), %error, ?wait, "comparing the tags failed and is tried again");
    Next::requeue(wait)
}

/// How the condition `TagsInSync` of each policy stands, for metrics.
pub(super) fn standings(policies: &Store<Guarded<EnvironmentPolicy>>) -> Vec<Standing> {
    let standing = |policy: &EnvironmentPolicy| {
        let conditions = &policy.status.as_ref()?.conditions;
        let condition = find_condition(conditions, ConditionType::TagsInSync)?;
        Some(Standing {
            namespace: policy.namespace().unwrap_or_default(),
            environment: policy.name_any(),
            status: condition.status.clone(),
        })
    };
    let all = policies.state();
    let readable = all.iter().filter_map(|guard| guard.0.as_ref().ok());
    readable.filter_map(standing).collect()
}

/// The policy is valid as it is now: the tags of one that lost them to another policy are not its own.
fn can_be_compared(policy: &EnvironmentPolicy) -> bool {
    let Some(status) = &policy.status else {
        return false;
    };
    let valid = find_condition(&status.conditions, ConditionType::Valid);
    policy.metadata.deletion_timestamp.is_none()
        && Some(status.observed_generation) == policy.metadata.generation
        && valid.is_some_and(|valid| valid.status == "True")
}

async fn look(
    ctx: &Context,
    policy: &EnvironmentPolicy,
    environment: &Environment,
    with_records: bool,
) -> Result<Vec<Look>> {
    let mut looks = Vec::new();
    for spot in spots(policy, environment) {
        looks.push(look_into(ctx, policy, environment, &spot, with_records).await?);
    }
    Ok(looks)
}

/// Where the artifacts of a policy lie, as far as its ledger is known; each before its replicas.
fn spots<'a>(policy: &'a EnvironmentPolicy, environment: &'a Environment) -> Vec<Spot<'a>> {
    let mut spots = Vec::new();
    let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    for ledger in ledgers {
        let mut sources = policy.spec.artifacts.iter();
        let Some(source) = sources.find(|source| source.name == ledger.name) else {
            continue;
        };
        let primary = environment.artifacts.get(&ledger.name);
        spots.extend(primary.map(|repository| Spot {
            source: Cow::Borrowed(source),
            repository,
            replica: false,
            ledger,
        }));
        for replica in environment.replicas.get(&ledger.name).into_iter().flatten() {
            let mut sources = source.replicas.iter();
            let reached = sources.find(|one| one.name == replica.name);
            spots.extend(reached.map(|reached| Spot {
                source: Cow::Owned(reached.as_source(&ledger.name)),
                repository: &replica.repository,
                replica: true,
                ledger,
            }));
        }
    }
    spots
}

async fn look_into(
    ctx: &Context,
    policy: &EnvironmentPolicy,
    environment: &Environment,
    spot: &Spot<'_>,
    with_records: bool,
) -> Result<Look> {
    let Spot {
        source,
        repository,
        replica,
        ledger,
    } = spot;
    let space = policy.namespace().unwrap_or_default();
    let mut seen = Look {
        artifact: ledger.name.clone(),
        repository: repository.to_string(),
        replica: *replica,
        ledger: (*ledger).clone(),
        tags: Ok(BTreeMap::new()),
        gone: None,
    };
    let wanted = tags(ledger, &environment.suffix);
    // A promotion that writes explains every difference.
    if wanted.is_empty() || ledger.in_flight.is_some() {
        return Ok(seen);
    }
    let opened = ctx.registry(&space, source, repository).await;
    let registry = match Stopped::as_value(opened)? {
        Ok(registry) => registry,
        Err(trouble) => {
            seen.tags = Err(trouble);
            return Ok(seen);
        }
    };
    let wanted = wanted.into_iter().map(|wanted| wanted.tag);
    seen.tags = within(drift::named(&registry, repository, wanted), repository).await;
    // A replica gets its records with the next copy.
    if with_records && !replica && seen.tags.is_ok() {
        let retention = environment.retention.as_ref();
        let wanted = wanted_records(ledger, &environment.suffix, retention, clock::now());
        seen.gone = Some(within(drift::gone(&registry, repository, &wanted), repository).await);
        if !wanted.is_empty() {
            sign_again(ctx, &space, &registry, repository, &wanted).await?;
        }
    }
    if seen.tags.is_err() || matches!(seen.gone, Some(Err(_))) {
        ctx.credentials.forget(&space);
    }
    Ok(seen)
}

/// Records that a revoked key has signed get a signature that counts. Where that fails it is tried with the next look:
/// for floe itself the ledger vouches for them.
async fn sign_again(
    ctx: &Context,
    space: &str,
    registry: &Registry,
    repository: &Repository,
    wanted: &[WantedRecord],
) -> Result<()> {
    let signing = async {
        let ring = ctx.public_keys(space).await?;
        if !ring.has_revoked() {
            return Ok::<_, Stopped>(0);
        }
        let key = ctx.signing_key(space).await?;
        let again = records::sign_again(registry, repository, wanted, &ring, &key);
        let again = within(again, repository).await;
        again.map_err(Stopped::Trouble)
    };
    match Stopped::as_value(signing.await)? {
        Ok(0) => {}
        Ok(count) => {
            tracing::info!(%repository, count, "signed records anew whose key was revoked");
        }
        Err(trouble) => tracing::warn!(
            %repository,
            problem = trouble.problem,
            "cannot sign records anew whose key was revoked"
        ),
    }
    Ok(())
}

async fn within<T>(
    looking: impl Future<Output = Result<T, RegistryError>>,
    repository: &Repository,
) -> Result<T, Trouble> {
    match tokio::time::timeout(LIMIT, looking).await {
        Ok(seen) => seen.map_err(|error| trouble(&error)),
        Err(_) => Err(Trouble {
            kind: TroubleKind::RegistryUnavailable,
            problem: format!(
                "looking through {repository} took longer than {} s",
                LIMIT.as_secs()
            ),
            not_before: None,
        }),
    }
}

/// Judges by the ledger at hand, and where that gives something new, once more by the ledger as it is now: a promotion
/// may have come in between. Only then something is written.
async fn store(
    ctx: &Context,
    policy: &EnvironmentPolicy,
    environment: &Environment,
    looks: &[Look],
) -> Result<Judged> {
    let space = policy.namespace().unwrap_or_default();
    let subject = Subject {
        space: &space,
        environment: &environment.name,
        generation: environment.generation,
        suffix: &environment.suffix,
        retention: environment.retention.as_ref(),
    };
    let now = clock::now();
    let before = policy.status.clone().unwrap_or_default();
    let mut judged = judge(&subject, &before, looks, now);
    if judged.status == before {
        return Ok(judged);
    }
    let mut written = false;
    let name = &environment.name;
    let change = ledger::change(&ctx.client, &space, name, None, |fresh| {
        written = false;
        let Some(before) = fresh.status.clone().filter(|_| can_be_compared(fresh)) else {
            return false;
        };
        if fresh.metadata.generation != policy.metadata.generation {
            return false;
        }
        judged = judge(&subject, &before, looks, now);
        written = judged.status != before;
        fresh.status = Some(judged.status.clone());
        written
    });
    api("store what was seen of the tags", Box::pin(change)).await?;
    if !written {
        judged.news = None;
    }
    Ok(judged)
}

fn note(news: News) -> Note {
    Note {
        warning: news.warning,
        action: news.action,
        reason: news.reason.to_owned(),
        text: news.text,
    }
}

/// Failed looks are counted apart from failed passes over the same policy.
fn key(uid: &str) -> String {
    format!("drift-{uid}")
}

impl Looks {
    fn due(&self, uid: &str, generation: i64) -> Option<Due> {
        let due = lock(&self.0).get(uid).copied();
        due.filter(|due| due.generation == generation)
    }

    fn remember(&self, uid: &str, due: Due) {
        let mut known = lock(&self.0);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(uid.to_owned(), due);
    }
}
