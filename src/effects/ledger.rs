//! The ledger in the status of an EnvironmentPolicy: the write slot and the completed promotions.
//!
//! Every write carries the resourceVersion that was read: whoever loses reads again.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ListParams, PostParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client};

use crate::api::{Baseline, EnvironmentPolicy, InFlight, LedgerArtifact, LedgerEntry, Promotion};
use crate::domain::policy::baselines_after;

/// How long a claim's holder may go on writing after it read the claim (design, section 11).
pub const WRITE_WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// How much longer another process waits before it takes a slot over only to give it back.
const HOLDER_FIRST: SignedDuration = SignedDuration::from_secs(2);
/// Completed promotions that the ledger keeps.
const HISTORY: usize = 50;
/// Tries when somebody else changes the status at the same moment.
const TRIES: u32 = 5;

/// A request for the write slot.
#[derive(Clone, Debug)]
pub struct ClaimRequest<'a> {
    /// Namespace of policy and promotion.
    pub space: &'a str,
    /// Name of the policy.
    pub environment: &'a str,
    /// Artifact.
    pub artifact: &'a str,
    /// What the slot would say.
    pub slot: InFlight,
}

/// What came of asking for the write slot.
#[derive(Debug)]
pub struct Asked {
    /// The policies of the namespace at that moment; the environment's own as it was written.
    pub policies: Vec<EnvironmentPolicy>,
    /// Whose the slot is.
    pub claimed: Claimed,
}

/// Whose the write slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Ours.
    Held,
    /// Ours, but not before this time: an earlier holder may still be writing.
    Inherited(Timestamp),
    /// Of another promotion.
    Busy(String),
    /// The policy or its ledger is not there.
    NoLedger,
}

/// Asks for the write slot: one LIST of the namespace's policies, and one write when the slot was free.
pub async fn claim(
    client: &Client,
    request: &ClaimRequest<'_>,
    now: Timestamp,
) -> kube::Result<Asked> {
    let mut tries = 0;
    loop {
        let mut policies = list(client, request.space).await?;
        let position = policies
            .iter()
            .position(|policy| policy.metadata.name.as_deref() == Some(request.environment));
        let slot = position.and_then(|at| ledger_mut(&mut policies[at], request.artifact));
        let (Some(at), Some(slot)) = (position, slot) else {
            return Ok(Asked {
                policies,
                claimed: Claimed::NoLedger,
            });
        };
        let claimed = match standing(request, slot.in_flight.as_ref(), now) {
            Standing::Free => Claimed::Held,
            Standing::TakeOver => Claimed::Inherited(now + WRITE_WINDOW),
            Standing::Settled(claimed) => return Ok(Asked { policies, claimed }),
        };
        let taken_over = claimed != Claimed::Held;
        slot.in_flight = Some(InFlight {
            taken_over,
            ..request.slot.clone()
        });
        match replace_status(client, request.space, &policies[at]).await {
            Ok(written) => {
                policies[at] = written;
                return Ok(Asked { policies, claimed });
            }
            Err(error) if is_conflict(&error) && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Gives the write slot back, when it is ours.
///
/// Another process may have found the slot to be its own a moment ago, and still be writing. Then this one takes
/// it over first, and the answer says from when it may be given back: whoever comes next writes at once.
pub async fn release(
    client: &Client,
    request: &ClaimRequest<'_>,
    now: Timestamp,
) -> kube::Result<Option<Timestamp>> {
    let mut not_before = None;
    change(client, request.space, request.environment, None, |policy| {
        let Some(ledger) = ledger_mut(policy, request.artifact) else {
            return false;
        };
        let slot = ledger.in_flight.as_ref();
        let Some(slot) = slot.filter(|slot| slot.uid == request.slot.uid) else {
            return false;
        };
        if slot.holder != request.slot.holder {
            // The holder may be alive and give it back itself: two that take it from each other never end.
            let holder_had_time = slot.since.0 + WRITE_WINDOW + HOLDER_FIRST;
            if now < holder_had_time {
                not_before = Some(holder_had_time);
                return false;
            }
            not_before = Some(now + WRITE_WINDOW);
            ledger.in_flight = Some(InFlight {
                taken_over: true,
                ..request.slot.clone()
            });
            return true;
        }
        let heir_waits_until = slot.since.0 + WRITE_WINDOW;
        if slot.taken_over && now < heir_waits_until {
            not_before = Some(heir_waits_until);
            return false;
        }
        ledger.in_flight = None;
        true
    })
    .await?;
    Ok(not_before)
}

/// Enters a completed promotion and gives the write slot back. `known` is the policy as it was last written,
/// which saves reading it.
///
/// Returns false when the slot has gone to another promotion: then nothing was entered.
pub async fn settle(
    client: &Client,
    space: &str,
    (environment, artifact): (&str, &str),
    known: Option<EnvironmentPolicy>,
    entry: LedgerEntry,
    measured: Vec<Baseline>,
) -> kube::Result<bool> {
    let mut entered = false;
    change(client, space, environment, known, |policy| {
        let Some(ledger) = ledger_mut(policy, artifact) else {
            return false;
        };
        if ledger.in_flight.as_ref().map(|slot| &slot.uid) != entry.uid.as_ref() {
            entered = ledger.history.iter().any(|known| known.uid == entry.uid);
            return false;
        }
        enter(ledger, &entry);
        ledger.in_flight = None;
        ledger.current = Some(entry.clone());
        ledger.baselines = baselines_after(&ledger.baselines, &measured);
        entered = true;
        true
    })
    .await?;
    Ok(entered)
}

/// Enters a promotion whose record is written: its record is the head of the chain. It need not be the current one.
pub(super) fn enter(ledger: &mut LedgerArtifact, entry: &LedgerEntry) {
    // A ledger that was rebuilt from records may have it.
    ledger.history.retain(|known| known.uid != entry.uid);
    ledger.history.insert(0, entry.clone());
    ledger.history.truncate(HISTORY);
    if entry.audit.is_some() {
        ledger.audit.clone_from(&entry.audit);
    }
}

/// Applies a change to a policy's status under its resourceVersion, and once more after each conflict.
/// The closure says whether there is anything to write.
pub async fn change(
    client: &Client,
    space: &str,
    name: &str,
    mut known: Option<EnvironmentPolicy>,
    mut edit: impl FnMut(&mut EnvironmentPolicy) -> bool,
) -> kube::Result<Option<EnvironmentPolicy>> {
    let api: Api<EnvironmentPolicy> = Api::namespaced(client.clone(), space);
    let mut tries = 0;
    loop {
        let mut policy = match known.take() {
            Some(policy) => policy,
            None => match api.get_opt(name).await? {
                Some(policy) => policy,
                None => return Ok(None),
            },
        };
        if !edit(&mut policy) {
            return Ok(Some(policy));
        }
        match replace_status(client, space, &policy).await {
            Ok(written) => return Ok(Some(written)),
            Err(error) if is_conflict(&error) && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Somebody else has changed the object since it was read.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

enum Standing {
    Free,
    TakeOver,
    Settled(Claimed),
}

fn standing(request: &ClaimRequest<'_>, slot: Option<&InFlight>, now: Timestamp) -> Standing {
    let Some(slot) = slot else {
        return Standing::Free;
    };
    let may_write_until = slot.since.0 + WRITE_WINDOW;
    if slot.uid == request.slot.uid {
        let same_holder = slot.holder == request.slot.holder;
        return match (same_holder, now < may_write_until) {
            (true, true) if slot.taken_over => {
                Standing::Settled(Claimed::Inherited(may_write_until))
            }
            (true, _) => Standing::Settled(Claimed::Held),
            (false, true) => Standing::Settled(Claimed::Inherited(may_write_until)),
            (false, false) => Standing::TakeOver,
        };
    }
    // Also when its owner is gone: it is cleared only after a look at what the owner has left behind.
    Standing::Settled(Claimed::Busy(slot.name.clone()))
}

/// The owner of a slot is gone, is another object of that name, or has ended.
pub(super) async fn proven_finished(
    client: &Client,
    space: &str,
    slot: &InFlight,
) -> kube::Result<bool> {
    let promotions: Api<Promotion> = Api::namespaced(client.clone(), space);
    let Some(owner) = promotions.get_opt(&slot.name).await? else {
        return Ok(true);
    };
    let ended = owner
        .status
        .as_ref()
        .is_some_and(|status| status.finished_at.is_some());
    Ok(owner.metadata.uid.as_deref() != Some(&slot.uid) || ended)
}

/// All policies of a namespace that can be read, from a quorum of etcd.
async fn list(client: &Client, space: &str) -> kube::Result<Vec<EnvironmentPolicy>> {
    let api: Api<DeserializeGuard<EnvironmentPolicy>> = Api::namespaced(client.clone(), space);
    let list = api.list(&ListParams::default()).await?;
    Ok(list
        .items
        .into_iter()
        .filter_map(|guard| guard.0.ok())
        .collect())
}

async fn replace_status(
    client: &Client,
    space: &str,
    policy: &EnvironmentPolicy,
) -> kube::Result<EnvironmentPolicy> {
    let api: Api<EnvironmentPolicy> = Api::namespaced(client.clone(), space);
    let name = policy.metadata.name.clone().unwrap_or_default();
    api.replace_status(&name, &PostParams::default(), policy)
        .await
}

pub(super) fn ledger_mut<'a>(
    policy: &'a mut EnvironmentPolicy,
    artifact: &str,
) -> Option<&'a mut LedgerArtifact> {
    policy
        .status
        .as_mut()?
        .artifacts
        .iter_mut()
        .find(|entry| entry.name == artifact)
}

/// The write slot of a promotion.
pub fn slot_of(
    name: &str,
    uid: &str,
    tag: &str,
    digest: &str,
    holder: &str,
    now: Timestamp,
) -> InFlight {
    InFlight {
        kind: "Promotion".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
        holder: holder.to_owned(),
        since: Time(now),
        taken_over: false,
    }
}
