//! Write slots that nobody gives back any more: of two operators one can end a request while the other one takes
//! its slot over, and an object can be deleted by force. Nobody else is given such a slot before it is cleared.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Client, ResourceExt as _};

use super::ledger::{WRITE_WINDOW, change, enter, ledger_mut, proven_finished};
use crate::api::{EnvironmentPolicy, InFlight, LedgerArtifact, LedgerEntry};

/// How much longer than it may write a holder has to give its slot back by itself.
const HOLDER_FIRST: SignedDuration = SignedDuration::from_secs(10);
/// How often the owner of an old slot is looked up.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// How a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its owner may be alive; or one that wrote for it. To be looked at again then.
    InUse(Timestamp),
    /// Its owner has ended or is gone. It is taken over first: whoever may be writing for it stops.
    Abandoned,
    /// It was taken over by this process, and nobody can be writing any more.
    Quiet,
}

/// How the slot of a ledger stands. A young slot costs no question.
pub async fn standing(
    client: &Client,
    space: &str,
    slot: &InFlight,
    process: &str,
    now: Timestamp,
) -> kube::Result<Standing> {
    let ours = slot.taken_over && slot.holder == process;
    let patience = if ours {
        SignedDuration::ZERO
    } else {
        HOLDER_FIRST
    };
    let due = slot.since.0 + WRITE_WINDOW + patience;
    if now < due {
        return Ok(Standing::InUse(due));
    }
    if !proven_finished(client, space, slot).await? {
        return Ok(Standing::InUse(now + LOOK_AGAIN));
    }
    Ok(if ours {
        Standing::Quiet
    } else {
        Standing::Abandoned
    })
}

/// Takes the slot over; says from when nobody can be writing under it any more.
pub async fn take_over(
    client: &Client,
    policy: &EnvironmentPolicy,
    (artifact, slot): (&str, &InFlight),
    process: &str,
    now: Timestamp,
) -> kube::Result<Timestamp> {
    edit(client, policy, artifact, slot, |ledger| {
        ledger.in_flight = Some(InFlight {
            holder: process.to_owned(),
            since: Time(now),
            taken_over: true,
            ..slot.clone()
        });
    })
    .await?;
    Ok(now + WRITE_WINDOW)
}

/// Gives the slot back. When its owner had written its record, the ledger gets the entry: it was promoted.
pub async fn clear(
    client: &Client,
    policy: &EnvironmentPolicy,
    (artifact, slot): (&str, &InFlight),
    entry: Option<&LedgerEntry>,
) -> kube::Result<()> {
    edit(client, policy, artifact, slot, |ledger| {
        if let Some(entry) = entry {
            enter(ledger, entry);
        }
        ledger.in_flight = None;
    })
    .await
}

async fn edit(
    client: &Client,
    policy: &EnvironmentPolicy,
    artifact: &str,
    slot: &InFlight,
    mut edit: impl FnMut(&mut LedgerArtifact),
) -> kube::Result<()> {
    let (space, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
    change(client, &space, &name, None, |policy| {
        let found = ledger_mut(policy, artifact);
        let found = found.filter(|found| found.in_flight.as_ref() == Some(slot));
        found.map(&mut edit).is_some()
    })
    .await?;
    Ok(())
}
