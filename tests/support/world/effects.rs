//! What an action does to the world, and what must never happen.

use std::collections::BTreeMap;

use floe::api::InFlight;
use floe::domain::decision::{Action, TroubleKind};
use floe::domain::gates::{GateOutcome, GateResult, GateState};
use floe::domain::observed::{
    Claim, Observed, ObservedGate, OwnRecord, Receipt, Source, Stated, TagState, TagWrite, Trouble,
};
use floe::domain::plan::Plan;
use floe::domain::record::{Recorded, next_sequence};
use floe::domain::request::Request;
use floe::domain::signature::ObservedSignature;
use floe::domain::verdict::{counting_again, planned_gates};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Fate, Job, MEDIA_TYPE, Record, World};

/// How long a process may go on writing after it took the claim (design, section 11).
const WRITE_WINDOW: SignedDuration = SignedDuration::from_secs(10);
impl World {
    /// Does one thing; `None` is a crash.
    pub(crate) fn perform(
        &mut self,
        asked: usize,
        action: &Action,
        observed: &Observed,
        fate: Fate,
    ) -> Option<Receipt> {
        self.never(asked, action, observed);
        if *action == Action::WriteTag && self.refuses_tag(asked).is_none() {
            self.every_gate_has_passed(asked);
            self.is_signed();
        }
        let at_registry = asks_registry(action);
        match fate {
            Fate::CrashBefore => {
                self.process += 1;
                return None;
            }
            Fate::Late(seconds) if *action == Action::WriteTag => {
                if self.refuses_tag(asked).is_none() {
                    let arrives = self.now + SignedDuration::from_secs(i64::from(seconds));
                    self.late.push((arrives, asked));
                }
                self.process += 1;
                return None;
            }
            Fate::TroubleBefore(kind) if at_registry => return Some(trouble(kind)),
            _ => {}
        }
        let receipt = self.apply(asked, action, observed);
        match fate {
            Fate::CrashAfter => {
                self.process += 1;
                None
            }
            Fate::TroubleAfter(kind) if at_registry => Some(trouble(kind)),
            _ => Some(receipt),
        }
    }

    /// What must never happen, whatever led to it.
    fn never(&self, asked: usize, action: &Action, observed: &Observed) {
        let uid = &self.asked[asked].request.uid;
        let dry_run = self.asked[asked].request.dry_run;
        let reads = matches!(
            action,
            Action::ReadSource
                | Action::ReadTarget
                | Action::FindUpstreamRecord
                | Action::FindOwnRecord
                | Action::VerifySignature
                | Action::FindEarlierResults
        );
        let harmless = reads || matches!(action, Action::PinPlan | Action::StartGate(_));
        assert!(!dry_run || harmless, "a dry run does {action:?}");
        let behind_the_end = matches!(action, Action::TagReplica(_) | Action::MoveReplicaLatest(_));
        assert!(
            self.asked[asked].ended.is_none() || behind_the_end,
            "an ended request does {action:?}"
        );
        if matches!(action, Action::StartGate(_)) {
            self.is_signed();
        }
        match action {
            Action::StateIntent
            | Action::WriteTag
            | Action::WriteRecord
            | Action::MoveLatest
            | Action::Settle => {
                assert!(self.claim_of(asked), "{action:?} without claim");
                assert_eq!(
                    observed.claim,
                    Claim::Held,
                    "{action:?} without having asked for the claim"
                );
                let ours = &self.ledger().in_flight;
                let ours = ours
                    .as_ref()
                    .is_some_and(|slot| slot.holder == self.process.to_string());
                assert!(ours, "{action:?} under the claim of an earlier process");
                assert!(
                    self.late.is_empty(),
                    "{action:?} while an earlier process may write"
                );
            }
            _ => {}
        }
        let plan = || self.asked[asked].plan.as_ref().expect("a plan");
        let recorded = || {
            self.records
                .iter()
                .filter(|record| record.uid == *uid)
                .count()
        };
        match action {
            Action::PinPlan => {
                assert!(self.asked[asked].plan.is_none(), "the plan is pinned twice");
            }
            Action::WriteTag => {
                assert!(self.asked[asked].intent.is_some(), "a tag without intent");
            }
            Action::WriteRecord => {
                assert_eq!(
                    self.tags.get(plan().route.tag.as_str()),
                    Some(&plan().digest),
                    "record before tag"
                );
                assert_eq!(recorded(), 0, "a second record");
            }
            Action::MoveLatest => {
                assert_eq!(recorded(), 1, "latest before the record");
                self.required_replicas_are_tagged(asked);
            }
            Action::MoveReplicaLatest(_) => {
                let ledger = self.ledger();
                let mut known = ledger.current.iter().chain(&ledger.history);
                assert!(
                    known.any(|entry| entry.uid.as_deref() == Some(uid)),
                    "latest of a replica before the ledger"
                );
            }
            Action::Settle => assert_eq!(
                self.tags.get(plan().route.latest_tag.as_str()),
                Some(&plan().digest),
                "the ledger before latest"
            ),
            _ => {}
        }
    }

    fn apply(&mut self, asked: usize, action: &Action, observed: &Observed) -> Receipt {
        match action {
            Action::ReadSource => Receipt::Source(self.source(observed)),
            Action::ReadTarget => {
                let tag = self.route(observed).tag.to_string();
                let named = self.tags.get(&tag).cloned();
                Receipt::Target(named.map_or(TagState::Absent, TagState::Names))
            }
            Action::FindUpstreamRecord => {
                let route = self.route(observed);
                Receipt::UpstreamRecord(self.records.iter().any(|record| {
                    Some(&record.environment) == route.from.as_ref()
                        && record.version == route.version.as_str()
                }))
            }
            Action::PinPlan => {
                let Some(Source::Manifest { digest, media_type }) = &observed.source else {
                    panic!("a plan without source");
                };
                let plan = Plan {
                    route: self.route(observed),
                    digest: digest.clone(),
                    media_type: media_type.clone(),
                    resolved_at: self.now,
                };
                self.asked[asked].plan = Some(plan.clone());
                Receipt::Pinned(plan)
            }
            Action::VerifySignature => Receipt::Signature(self.verdict_on_signature()),
            Action::FindEarlierResults => Receipt::EarlierResults(self.earlier_results(asked)),
            Action::StartGate(name) => self.start(asked, name),
            Action::CopyToTarget => self.copy_to_target(asked),
            Action::CopyToReplica(name)
            | Action::TagReplica(name)
            | Action::MoveReplicaLatest(name) => self.at_replica(asked, action, name, observed),
            Action::Claim => {
                let claim = self.claim(asked);
                Receipt::Claim(claim, self.environments())
            }
            Action::ReleaseClaim => {
                let claim = self.release(asked);
                Receipt::Claim(claim, self.environments())
            }
            Action::StateIntent => {
                let environments = self.environments();
                let environment = environments.get(&self.to).expect("a policy");
                let uid = &self.asked[asked].request.uid;
                let ledger = environment.ledger.get("app").expect("a ledger");
                let before = ledger.newest_before(uid).map(|(_, head)| head);
                let stated = Stated {
                    policy: environment.policy_digest.to_string(),
                    sequence: next_sequence(before),
                    after: before.map(|before| before.record.clone()),
                    replicas: environment.replicas_of("app").to_vec(),
                };
                self.asked[asked].intent = Some(stated.clone());
                self.asked[asked].verdicts = observed.gates.clone();
                self.asked[asked].signature.clone_from(&observed.signature);
                Receipt::Intent(stated)
            }
            Action::WriteTag => Receipt::Tag(self.write_tag(asked)),
            Action::FindOwnRecord => Receipt::OwnRecord(self.own_record(asked)),
            Action::WriteRecord => Receipt::Record(self.write_record(asked)),
            Action::MoveLatest => {
                let plan = self.plan(asked);
                self.tags
                    .insert(plan.route.latest_tag.to_string(), plan.digest);
                Receipt::Latest
            }
            Action::Settle => {
                self.settle(asked);
                Receipt::Settled
            }
        }
    }

    /// Nothing is written without the signature that the policy asks for, nor is a gate started.
    fn is_signed(&self) {
        let good = self.key.is_none_or(|key| self.signed_with.contains(&key));
        assert!(good, "without the signature that the policy asks for");
    }

    fn verdict_on_signature(&self) -> ObservedSignature {
        let environments = self.environments();
        let environment = environments.get(&self.to).expect("a policy");
        let rule = environment.signature.as_ref().expect("it asks for one");
        let verified = self.key.is_some_and(|key| self.signed_with.contains(&key));
        ObservedSignature {
            rule: rule.digest.clone(),
            verified,
            by: Vec::new(),
            count: i64::from(verified),
            problem: (!verified).then(|| "nobody has signed it".to_owned()),
        }
    }

    fn source(&self, observed: &Observed) -> Source {
        let tag = self.route(observed).source_tag.to_string();
        self.tags
            .get(&tag)
            .map_or(Source::Absent, |digest| Source::Manifest {
                digest: digest.clone(),
                media_type: MEDIA_TYPE.to_owned(),
            })
    }

    /// What the Jobs of other requests have come to, as far as it counts again.
    fn earlier_results(&self, asked: usize) -> BTreeMap<String, ObservedGate> {
        let plan = self.plan(asked);
        let environments = self.environments();
        let environment = environments.get(&self.to).expect("a policy");
        let uid = &self.asked[asked].request.uid;
        let others = self.jobs.iter().filter(|job| job.uid != *uid && !job.lost);
        let earlier: BTreeMap<String, ObservedGate> = others
            .filter(|job| job.digest == plan.digest)
            .map(|job| (job.gate.clone(), self.state_of(job)))
            .collect();
        counting_again(
            &planned_gates(environment, &plan.digest),
            &earlier,
            self.now,
        )
    }

    fn start(&mut self, asked: usize, name: &str) -> Receipt {
        let plan = self.plan(asked);
        let environments = self.environments();
        let environment = environments.get(&self.to).expect("a policy");
        let planned = planned_gates(environment, &plan.digest);
        let gate = planned
            .into_iter()
            .find(|gate| gate.name == name)
            .expect("a gate of the policy");
        let model = &self.gates[name];
        let uid = self.asked[asked].request.uid.clone();
        let again = self.jobs.iter().position(|job| {
            job.uid == uid && job.spec_hash == gate.spec_hash && job.gate == name && !job.lost
        });
        let at = again.unwrap_or_else(|| {
            self.jobs.push(Job {
                uid,
                gate: name.to_owned(),
                edition: model.edition,
                digest: plan.digest,
                spec_hash: gate.spec_hash,
                outcome: model.outcome,
                started: self.now,
                ends: self.now + SignedDuration::from_secs(model.seconds),
                lost: false,
            });
            self.jobs.len() - 1
        });
        Receipt::Gate(name.to_owned(), self.state_of(&self.jobs[at]))
    }

    pub(super) fn state_of(&self, job: &Job) -> ObservedGate {
        let state = if self.now < job.ends {
            GateState::Running {
                since: job.started,
                doing: "running".to_owned(),
                look_again_at: Some(job.ends),
            }
        } else {
            GateState::Ended(Box::new(GateResult {
                finished_at: Some(job.ends),
                ..GateResult::of(job.outcome, "message".to_owned(), "job".to_owned())
            }))
        };
        ObservedGate {
            spec_hash: job.spec_hash.clone(),
            state,
        }
    }

    /// The claim goes to who is first; an heir waits until the dead cannot write any more.
    fn claim(&mut self, asked: usize) -> Claim {
        let uid = self.asked[asked].request.uid.clone();
        let (process, now) = (self.process.to_string(), self.now);
        let owner_ended = |slot: &InFlight| {
            self.asked
                .iter()
                .any(|one| one.request.uid == slot.uid && one.ended.is_some())
        };
        let (claim, taken_over) = match &self.ledger().in_flight {
            None => (Claim::Held, false),
            Some(slot) if slot.uid != uid && !owner_ended(slot) => {
                return Claim::Busy {
                    holder: slot.name.clone(),
                };
            }
            Some(slot) => {
                let until = slot.since.0 + WRITE_WINDOW;
                let same = slot.uid == uid && slot.holder == process;
                match (same, now < until) {
                    (true, true) if slot.taken_over => return Claim::Inherited { until },
                    (true, _) => return Claim::Held,
                    (false, true) => return Claim::Inherited { until },
                    (false, false) => (
                        Claim::Inherited {
                            until: now + WRITE_WINDOW,
                        },
                        true,
                    ),
                }
            }
        };
        let slot = InFlight {
            kind: "Promotion".to_owned(),
            name: self.asked[asked].request.name.clone(),
            uid,
            tag: String::new(),
            digest: String::new(),
            holder: process,
            since: Time(now),
            taken_over,
        };
        self.ledger_mut().in_flight = Some(slot);
        claim
    }

    fn release(&mut self, asked: usize) -> Claim {
        assert!(self.asked[asked].plan.is_some(), "a claim without plan");
        let (process, now) = (self.process.to_string(), self.now);
        let ours = self.claim_of(asked);
        if let Some(slot) = self.ledger_mut().in_flight.as_mut().filter(|_| ours) {
            if slot.holder != process {
                (slot.holder, slot.since, slot.taken_over) = (process, Time(now), true);
            }
            let until = slot.since.0 + WRITE_WINDOW;
            if slot.taken_over && now < until {
                return Claim::Inherited { until };
            }
            self.ledger_mut().in_flight = None;
        }
        Claim::Released
    }

    /// HEAD of source and target, then PUT.
    fn write_tag(&mut self, asked: usize) -> TagWrite {
        self.refuses_tag(asked).unwrap_or_else(|| {
            self.put_tag(asked);
            TagWrite::Written
        })
    }

    /// Why nothing is put, when the tag is asked for.
    fn refuses_tag(&self, asked: usize) -> Option<TagWrite> {
        let plan = self.plan(asked);
        match self.tags.get(plan.route.tag.as_str()) {
            Some(found) if *found == plan.digest => return Some(TagWrite::AlreadyThere),
            Some(other) => return Some(TagWrite::Taken(other.clone())),
            None => {}
        }
        let source = self.tags.get(plan.route.source_tag.as_str()).cloned();
        (source.as_ref() != Some(&plan.digest)).then_some(TagWrite::SourceMoved(source))
    }

    /// Asked of the Jobs, at the moment at which the PUT leaves.
    fn every_gate_has_passed(&self, asked: usize) {
        let (uid, digest) = (&self.asked[asked].request.uid, self.plan(asked).digest);
        for (name, gate) in &self.gates {
            let judged = self.jobs.iter().any(|job| {
                let ours = job.uid == *uid || gate.cached && job.outcome == GateOutcome::Passed;
                let same = ours && job.gate == *name && job.edition == gate.edition;
                let good = !gate.blocks || job.outcome == GateOutcome::Passed;
                same && good && job.digest == digest && job.ends <= self.now
            });
            assert!(
                judged,
                "the tag is written before gate '{name}' passed on the digest"
            );
        }
    }

    /// The irreversible act.
    pub(super) fn put_tag(&mut self, asked: usize) {
        let plan = self.plan(asked);
        let tag = plan.route.tag.to_string();
        let stranger = self
            .tags
            .get(&tag)
            .is_some_and(|found| *found != plan.digest);
        assert!(!stranger, "a tag is moved");
        let before = self
            .puts
            .iter()
            .filter(|(_, written)| *written == tag)
            .count();
        assert_eq!(before, 0, "the tag is written twice");
        self.everything_is_copied(asked);
        self.puts.push((asked, tag.clone()));
        self.tags.insert(tag, plan.digest);
    }

    fn own_record(&self, asked: usize) -> OwnRecord {
        let Request { uid, name, .. } = &self.asked[asked].request;
        let version = self.plan(asked).route.version;
        let of_this =
            |record: &&Record| record.environment == self.to && record.version == version.as_str();
        let mut records = self.records.iter().filter(of_this);
        let ours = records.clone().find(|record| record.uid == *uid);
        let mut namesake = || records.find(|record| record.name == *name);
        match (ours, namesake()) {
            (Some(ours), _) => OwnRecord::Ours(ours.recorded()),
            (None, Some(other)) => OwnRecord::Namesake(other.recorded()),
            (None, None) => OwnRecord::Absent,
        }
    }

    fn write_record(&mut self, asked: usize) -> Recorded {
        let plan = self.plan(asked);
        let Request { uid, name, .. } = self.asked[asked].request.clone();
        let intent = self.asked[asked].intent.clone().expect("an intent");
        let (environment, version) = (self.to.clone(), plan.route.version.to_string());
        let record = Record {
            uid,
            name,
            environment,
            version,
            digest: plan.digest,
            sequence: intent.sequence,
            after: intent.after,
        };
        let recorded = record.recorded();
        self.records.push(record);
        self.chain_holds();
        recorded
    }

    fn settle(&mut self, asked: usize) {
        let uid = &self.asked[asked].request.uid;
        let mut records = self.records.iter();
        let own = records.find(|record| record.uid == *uid).expect("a record");
        let entry = own.entry();
        let ledger = self.ledger_mut();
        ledger.in_flight = None;
        ledger.history.retain(|known| known.uid != entry.uid);
        ledger.history.insert(0, entry.clone());
        ledger.audit.clone_from(&entry.audit);
        ledger.current = Some(entry);
    }
}

fn asks_registry(action: &Action) -> bool {
    match action {
        Action::ReadSource
        | Action::ReadTarget
        | Action::FindUpstreamRecord
        | Action::CopyToTarget
        | Action::VerifySignature
        | Action::WriteTag
        | Action::FindOwnRecord
        | Action::WriteRecord
        | Action::MoveLatest => true,
        Action::PinPlan
        | Action::FindEarlierResults
        | Action::StartGate(_)
        | Action::CopyToReplica(_)
        | Action::TagReplica(_)
        | Action::MoveReplicaLatest(_)
        | Action::Claim
        | Action::ReleaseClaim
        | Action::StateIntent
        | Action::Settle => false,
    }
}

fn trouble(kind: TroubleKind) -> Receipt {
    Receipt::Trouble(Trouble {
        kind,
        problem: "no".to_owned(),
        not_before: None,
    })
}
