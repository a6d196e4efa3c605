//! After the record is written: tags of replicas. Those of required ones come before `latest-<suffix>`, all
//! others in the background of a promotion that has ended well.

use jiff::Timestamp;

use super::SLOW_LOOK;
use super::waiting::replica_in_trouble;
use crate::domain::decision::{Action, Decision, Outcome, Stage, WaitingOn};
use crate::domain::observed::Observed;
use crate::domain::replicas::ReplicaState;

/// The next thing to do at a replica.
enum Next {
    Do(Action),
    LookAt(Timestamp),
    Nothing,
}

/// What has to be done at required replicas before `latest-<suffix>` moves; nothing when they have their tags.
///
/// What is begun is finished: one that fails now is waited for, however long that takes.
pub(super) fn tags_of_required(observed: &Observed, now: Timestamp) -> Option<Decision> {
    let (mut actions, mut under_way, mut failed) = (Vec::new(), Vec::new(), None);
    let replicas = observed.replicas_planned();
    for replica in replicas.iter().filter(|replica| replica.required) {
        let tag = || Action::TagReplica(replica.name.clone());
        match observed.replica_state(&replica.name) {
            ReplicaState::Tagged | ReplicaState::Replicated => {}
            ReplicaState::Pending | ReplicaState::Copied => actions.push(tag()),
            ReplicaState::Failed(failure) if failure.next_try <= now => actions.push(tag()),
            ReplicaState::Failed(failure)
            | ReplicaState::Copying {
                after: Some(failure),
            } => failed = failed.or(Some((replica.name.as_str(), failure))),
            ReplicaState::Copying { after: None } => {
                under_way.push(format!("replica '{}'", replica.name));
            }
        }
    }
    if !actions.is_empty() {
        return Some(Decision::act(Stage::Publishing, actions));
    }
    if let Some(failed) = failed {
        return Some(replica_in_trouble(observed, failed, Stage::Publishing, now));
    }
    (!under_way.is_empty()).then(|| {
        let waiting_on = WaitingOn::Copying { to: under_way };
        Decision::wait(Stage::Publishing, waiting_on, now + SLOW_LOOK)
    })
}

/// It has ended well. Replicas that are not up to date are worked on until they are, unless the request is
/// deleted: then nobody is left to tell.
pub(super) fn promoted(observed: &Observed, now: Timestamp) -> Decision {
    let mut decision = Decision::end(Outcome::Promoted);
    if observed.request.deleted_at.is_some() {
        return decision;
    }
    for replica in observed.replicas_planned() {
        match next(&replica.name, observed.replica_state(&replica.name), now) {
            Next::Do(action) => decision.actions.push(action),
            Next::LookAt(at) => {
                let known = decision.next_look;
                decision.next_look = Some(known.map_or(at, |known| known.min(at)));
            }
            Next::Nothing => {}
        }
    }
    if !decision.actions.is_empty() {
        decision.next_look = None;
    }
    decision
}

fn next(name: &str, state: &ReplicaState, now: Timestamp) -> Next {
    let name = || name.to_owned();
    match state {
        ReplicaState::Pending | ReplicaState::Copied => Next::Do(Action::TagReplica(name())),
        ReplicaState::Failed(failure) if failure.next_try <= now => {
            Next::Do(Action::TagReplica(name()))
        }
        ReplicaState::Failed(failure) => Next::LookAt(failure.next_try),
        ReplicaState::Copying { .. } => Next::LookAt(now + SLOW_LOOK),
        ReplicaState::Tagged => Next::Do(Action::MoveReplicaLatest(name())),
        ReplicaState::Replicated => Next::Nothing,
    }
}
