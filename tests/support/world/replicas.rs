//! Copies, in the small world: what is done at a replica, and what must never happen there.

use std::collections::{BTreeMap, BTreeSet};

use floe::api::ReplicaSource;
use floe::domain::decision::{Action, TroubleKind};
use floe::domain::observed::{Observed, Receipt, TargetCopy};
use floe::domain::replicas::{ReplicaFailure, ReplicaReason, ReplicaState, Setback};
use jiff::{SignedDuration, Timestamp};

use super::{Asked, ReplicaModel, World};

/// How long a slow copy takes.
const SLOW: SignedDuration = SignedDuration::from_secs(40);

impl ReplicaModel {
    /// An empty one.
    pub(crate) fn new(required: bool, slow: bool, down: (Timestamp, Timestamp)) -> Self {
        Self {
            required,
            slow,
            down,
            held: BTreeSet::new(),
            tags: BTreeMap::new(),
            begun: BTreeMap::new(),
        }
    }
}

impl Asked {
    /// What the status keeps of how far replicas are: what was under way is due again.
    pub(crate) fn store_replicas(&mut self, observed: &Observed) {
        let kept = |state: &ReplicaState| match state {
            ReplicaState::Copying {
                after: Some(failure),
            } => ReplicaState::Failed(ReplicaFailure {
                next_try: failure.since,
                ..failure.clone()
            }),
            ReplicaState::Copying { after: None } | ReplicaState::Copied => ReplicaState::Pending,
            ReplicaState::Pending
            | ReplicaState::Tagged
            | ReplicaState::Replicated
            | ReplicaState::Failed(_) => state.clone(),
        };
        let stored = observed.replicas.iter();
        self.replicas = stored
            .map(|(name, state)| (name.clone(), kept(state)))
            .collect();
    }
}

impl World {
    pub(super) fn listed(&self) -> impl Iterator<Item = ReplicaSource> {
        self.replicas.iter().map(|(name, model)| ReplicaSource {
            name: name.clone(),
            repository: format!("{name}.example/team/app"),
            required: model.required,
            ..ReplicaSource::default()
        })
    }

    pub(super) fn copy_to_target(&mut self, asked: usize) -> Receipt {
        let digest = self.plan(asked).digest.to_string();
        self.copied.insert(digest);
        Receipt::TargetCopy(TargetCopy::Complete)
    }

    /// Does what is asked at a replica, unless it cannot be reached.
    pub(super) fn at_replica(
        &mut self,
        asked: usize,
        action: &Action,
        name: &str,
        observed: &Observed,
    ) -> Receipt {
        let plan = self.plan(asked);
        let (tag, latest) = (
            plan.route.tag.to_string(),
            plan.route.latest_tag.to_string(),
        );
        let recorded = self.has_record(asked);
        let primary = (
            self.tags.get(&tag).cloned(),
            self.tags.get(&latest).cloned(),
        );
        let is_current =
            self.ledger().current.as_ref().is_some_and(|current| {
                current.uid.as_deref() == Some(&self.asked[asked].request.uid)
            });
        let uid = self.asked[asked].request.uid.clone();
        let before = observed.replica_state(name).failure().cloned();
        let now = self.now;
        let replica = self.replicas.get_mut(name).expect("a replica");
        let told = |state| Receipt::Replica(name.to_owned(), state);
        if (replica.down.0..replica.down.1).contains(&now) {
            let setback = Setback {
                reason: ReplicaReason::Registry(TroubleKind::RegistryUnavailable),
                problem: "down".to_owned(),
                missing: Vec::new(),
                not_before: None,
            };
            let failure = ReplicaFailure::after(before.as_ref(), setback, now);
            return told(ReplicaState::Failed(failure));
        }
        let what = format!("{uid} {action:?}");
        if replica.slow {
            let until = *replica.begun.entry(what.clone()).or_insert(now + SLOW);
            if now < until {
                return told(ReplicaState::Copying { after: before });
            }
        }
        match action {
            Action::CopyToReplica(_) => {
                replica.held.insert(plan.digest.to_string());
                told(ReplicaState::Copied)
            }
            Action::TagReplica(_) => {
                assert!(recorded, "a replica is tagged before the record");
                assert_eq!(primary.0.as_ref(), Some(&plan.digest), "before the primary");
                replica.held.insert(plan.digest.to_string());
                let known = replica.tags.insert(tag, plan.digest.clone());
                assert!(
                    known.is_none_or(|known| known == plan.digest),
                    "a replica's tag is moved"
                );
                told(ReplicaState::Tagged)
            }
            Action::MoveReplicaLatest(_) => {
                assert_eq!(
                    replica.tags.get(&tag),
                    Some(&plan.digest),
                    "latest before the tag"
                );
                if is_current {
                    replica.tags.insert(latest, plan.digest);
                }
                told(ReplicaState::Replicated)
            }
            other => panic!("{other:?} is nothing for a replica"),
        }
    }

    /// No tag is written before the artifact is where it must be.
    pub(super) fn everything_is_copied(&self, asked: usize) {
        let digest = self.plan(asked).digest.to_string();
        assert!(
            !self.another_repository || self.copied.contains(&digest),
            "the tag is written before the artifact is in the repository"
        );
        for (name, replica) in self.replicas.iter().filter(|(_, one)| one.required) {
            assert!(
                replica.held.contains(&digest),
                "the tag is written before the required replica '{name}' holds the digest"
            );
        }
    }

    /// When nothing is on its way any more, `latest` of a replica is what the ledger says, if a request of ours
    /// that nobody deleted has brought it.
    pub(crate) fn latest_of_replicas_follows_the_ledger(&self) {
        let Some(current) = &self.ledger().current else {
            return;
        };
        let ours = |asked: &&Asked| {
            Some(&asked.request.uid) == current.uid.as_ref() && asked.request.deleted_at.is_none()
        };
        let Some(plan) = self
            .asked
            .iter()
            .find(ours)
            .and_then(|asked| asked.plan.as_ref())
        else {
            return;
        };
        for (name, replica) in &self.replicas {
            assert_eq!(
                replica.tags.get(plan.route.latest_tag.as_str()),
                Some(&plan.digest),
                "latest of '{name}' does not follow the ledger"
            );
        }
    }

    /// `latest` does not move before required replicas have their tags.
    pub(super) fn required_replicas_are_tagged(&self, asked: usize) {
        let plan = self.plan(asked);
        for (name, replica) in self.replicas.iter().filter(|(_, one)| one.required) {
            assert_eq!(
                replica.tags.get(plan.route.tag.as_str()),
                Some(&plan.digest),
                "latest is moved before the required replica '{name}' has its tag"
            );
        }
    }
}
