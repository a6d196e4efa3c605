//! Before a tag is written: the artifact must be in the environment's own repository, and whole in every
//! replica that is required.

use jiff::Timestamp;

use super::waiting::replica_in_trouble;
use super::{SLOW_LOOK, fail, give_back};
use crate::domain::decision::{Action, Decision, FailureReason, Stage, WaitingOn};
use crate::domain::observed::{Observed, TagState, TargetCopy};
use crate::domain::plan::Plan;
use crate::domain::policy::Environment;
use crate::domain::replicas::{Replica, ReplicaFailure, ReplicaReason, ReplicaState};

/// What has to be copied before the claim is taken; nothing when all of it is there.
///
/// Not under the claim: a copy may take long, and others want to write meanwhile.
pub(super) fn copying(
    plan: &Plan,
    environment: &Environment,
    observed: &Observed,
    now: Timestamp,
) -> Option<Decision> {
    let work = Work::of(plan, environment, observed, now);
    if work.is_done() {
        return None;
    }
    // What is begun is finished: everything was there when the tag was written.
    if observed.intent.is_some() {
        match &observed.target {
            None => return Some(Decision::act(Stage::Copying, vec![Action::ReadTarget])),
            Some(TagState::Names(digest)) if *digest == plan.digest => return None,
            Some(TagState::Names(_) | TagState::Absent) => {}
        }
    }
    Some(give_back(observed).unwrap_or_else(|| work.decide(plan, observed, now)))
}

/// What is to be done, what is under way, and what has failed.
#[derive(Default)]
struct Work<'a> {
    start: Vec<Action>,
    under_way: Vec<String>,
    failed: Vec<(&'a Replica, &'a ReplicaFailure)>,
}

impl<'a> Work<'a> {
    fn of(
        plan: &Plan,
        environment: &'a Environment,
        observed: &'a Observed,
        now: Timestamp,
    ) -> Self {
        let mut work = Self::default();
        if plan.route.source_repository.is_some() {
            match observed.target_copy {
                None => work.start.push(Action::CopyToTarget),
                Some(TargetCopy::Copying) => work.under_way.push(plan.route.repository.to_string()),
                Some(TargetCopy::Complete) => {}
            }
        }
        let listed = environment.replicas_of(&plan.route.artifact);
        for replica in listed.iter().filter(|replica| replica.required) {
            let start = || Action::CopyToReplica(replica.name.clone());
            match observed.replica_state(&replica.name) {
                ReplicaState::Copied | ReplicaState::Tagged | ReplicaState::Replicated => {}
                ReplicaState::Pending => work.start.push(start()),
                ReplicaState::Failed(failure) if failure.next_try <= now => {
                    work.start.push(start());
                }
                ReplicaState::Failed(failure)
                | ReplicaState::Copying {
                    after: Some(failure),
                } => work.failed.push((replica, failure)),
                ReplicaState::Copying { after: None } => {
                    work.under_way.push(format!("replica '{}'", replica.name));
                }
            }
        }
        work
    }

    fn is_done(&self) -> bool {
        self.start.is_empty() && self.under_way.is_empty() && self.failed.is_empty()
    }

    fn decide(self, plan: &Plan, observed: &Observed, now: Timestamp) -> Decision {
        if !self.start.is_empty() {
            return Decision::act(Stage::Copying, self.start);
        }
        let taken = self
            .failed
            .iter()
            .find_map(|(replica, failure)| match &failure.reason {
                ReplicaReason::TagTaken { found } => Some((replica, found)),
                ReplicaReason::Registry(_)
                | ReplicaReason::Incomplete
                | ReplicaReason::SignatureInvalid => None,
            });
        if let Some((replica, found)) = taken {
            let tag = format!("{}:{}", replica.repository, plan.route.tag);
            let found = found.clone();
            return fail(observed, FailureReason::TagTaken { tag, found });
        }
        if let Some((replica, failure)) = self.failed.first() {
            return replica_in_trouble(observed, (&replica.name, failure), Stage::Copying, now);
        }
        let waiting_on = WaitingOn::Copying { to: self.under_way };
        Decision::wait(Stage::Copying, waiting_on, now + SLOW_LOOK)
    }
}
