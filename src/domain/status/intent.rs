//! What the record will say, fixed before the first tag is written.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{Intent, PlannedReplica, PolicyRef, Previous, PromotionStatus};
use crate::domain::artifact::Digest;
use crate::domain::observed::{Observed, Stated, TagState};
use crate::domain::plan::Plan;
use crate::domain::policy::{Environment, Ledger};
use crate::domain::record::{Recorded, next_sequence};
use crate::domain::replicas::Replica;

/// The operator that takes the decision.
#[derive(Clone, Copy, Debug)]
pub struct Decider<'a> {
    /// Its version.
    pub version: &'a str,
    /// Its process.
    pub instance: &'a str,
    /// Its audit log.
    pub log: &'a str,
}

/// The intent of a promotion that holds the claim. A decision that is begun, because its first tag is there, stays
/// as it is but for its place in the chain, which is the one behind what the ledger holds now.
pub fn intent(
    before: &PromotionStatus,
    plan: &Plan,
    observed: &Observed,
    environment: &Environment,
    decider: Decider<'_>,
    now: Timestamp,
) -> Intent {
    let ledger = environment.ledger.get(&plan.route.artifact);
    let newest = ledger.and_then(|ledger| ledger.newest_before(&observed.request.uid));
    let sequence = next_sequence(newest.map(|(_, head)| head));
    let previous = newest.map(|(entry, head)| Previous {
        version: entry.version.clone(),
        digest: entry.digest.to_string(),
        record: head.record.to_string(),
        referrer: head.referrer.to_string(),
    });
    let begun = observed.target == Some(TagState::Names(plan.digest.clone()));
    if let Some(stated) = before.intent.as_ref().filter(|_| begun) {
        return Intent {
            sequence,
            previous,
            ..stated.clone()
        };
    }
    Intent {
        decided_at: Time(now),
        policy: PolicyRef {
            generation: environment.generation,
            digest: environment.policy_digest.to_string(),
        },
        sequence,
        previous,
        operator_version: decider.version.to_owned(),
        operator_instance: decider.instance.to_owned(),
        operator_log: Some(decider.log.to_owned()),
        replicas: environment
            .replicas_of(&plan.route.artifact)
            .iter()
            .map(planned)
            .collect(),
    }
}

/// The intent as decisions need it. A replica that cannot be read is none of ours.
pub fn stated(status: &PromotionStatus) -> Option<Stated> {
    let intent = status.intent.as_ref()?;
    let replica = |planned: &PlannedReplica| {
        Some(Replica {
            name: planned.name.clone(),
            repository: planned.repository.parse().ok()?,
            required: planned.required,
        })
    };
    let before = intent.previous.as_ref();
    Some(Stated {
        policy: intent.policy.digest.clone(),
        sequence: intent.sequence,
        after: before.and_then(|before| before.record.parse().ok()),
        replicas: intent.replicas.iter().filter_map(replica).collect(),
    })
}

impl Stated {
    /// Whether this is still the place of the request's record in the chain: right behind what the ledger holds.
    pub fn follows(&self, ledger: &Ledger, uid: &str) -> bool {
        let head: Option<&Recorded> = ledger.newest_before(uid).map(|(_, head)| head);
        let record: Option<&Digest> = head.map(|head| &head.record);
        self.sequence == next_sequence(head) && self.after.as_ref() == record
    }
}

fn planned(replica: &Replica) -> PlannedReplica {
    PlannedReplica {
        name: replica.name.clone(),
        repository: replica.repository.to_string(),
        required: replica.required,
    }
}
