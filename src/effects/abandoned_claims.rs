//! Write slots that nobody gives back any more: of two operators one can end a request while the other one takes
//! its slot over. The next promotion would take such a slot; until then it would say what is not true.

use jiff::{SignedDuration, Timestamp};
use kube::{Client, ResourceExt as _};

use super::ledger::{WRITE_WINDOW, change, ledger_mut, proven_finished};
use crate::api::EnvironmentPolicy;

/// How much longer than it may write a holder has to give its slot back by itself.
const HOLDER_FIRST: SignedDuration = SignedDuration::from_secs(10);

/// Gives back the slots of requests that have ended or are gone, once their holder cannot write any more. Says
/// when the next one may be due. Without an old slot it asks nobody anything.
pub async fn give_back(
    client: &Client,
    policy: &EnvironmentPolicy,
    now: Timestamp,
) -> kube::Result<Option<Timestamp>> {
    let (space, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
    let mut next: Option<Timestamp> = None;
    let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    for ledger in ledgers {
        let Some(slot) = &ledger.in_flight else {
            continue;
        };
        let due = slot.since.0 + WRITE_WINDOW + HOLDER_FIRST;
        if now < due {
            next = [next, Some(due)].into_iter().flatten().min();
        } else if proven_finished(client, &space, slot).await? {
            change(client, &space, &name, None, |policy| {
                let found = ledger_mut(policy, &ledger.name);
                match found.filter(|found| found.in_flight.as_ref() == Some(slot)) {
                    Some(found) => {
                        found.in_flight = None;
                        true
                    }
                    None => false,
                }
            })
            .await?;
        }
    }
    Ok(next)
}
