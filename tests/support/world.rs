//! A small world: a registry, policies with ledgers, gate Jobs and statuses, as far as `decide` can tell.
//!
//! It does what an action says, and refuses loudly what must never happen. What is right is written here
//! a second time, in other words: nothing here asks `decide`.

use std::collections::BTreeMap;

use floe::api::{
    ArtifactSource, EnvironmentPolicy, EnvironmentPolicySpec, EnvironmentPolicyStatus, Gate,
    GateType, InFlight, LedgerArtifact, LedgerEntry, OnFailure, VersionOrder,
};
use floe::domain::artifact::Digest;
use floe::domain::decision::{Action, Outcome, TroubleKind};
use floe::domain::gates::{GateOutcome, GateResult, GateState};
use floe::domain::observed::{
    Claim, Observed, ObservedGate, OwnRecord, Receipt, Source, TagState, TagWrite, Trouble,
    WaitingSince,
};
use floe::domain::plan::{Plan, Route};
use floe::domain::policy::Environments;
use floe::domain::request::Request;
use floe::domain::verdict::planned_gates;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How long a process may go on writing after it took the claim (design, section 11).
const WRITE_WINDOW: SignedDuration = SignedDuration::from_secs(10);
const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What happens to one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Fine,
    CrashBefore,
    /// The effect is there, the answer is lost.
    CrashAfter,
    /// The process dies, and its PUT arrives seconds later.
    Late(u8),
    TroubleBefore(TroubleKind),
    TroubleAfter(TroubleKind),
}

/// A gate as its image behaves.
#[derive(Clone, Debug)]
pub struct GateModel {
    pub blocks: bool,
    pub seconds: i64,
    pub outcome: GateOutcome,
    /// Goes up with each edit of the policy.
    pub edition: u32,
}

/// A request, and what its status stores.
#[derive(Clone, Debug)]
pub struct Asked {
    pub request: Request,
    pub plan: Option<Plan>,
    pub intent: Option<String>,
    pub verdicts: BTreeMap<String, ObservedGate>,
    pub waiting: Option<WaitingSince>,
    pub ended: Option<Outcome>,
}

#[derive(Clone, Debug)]
struct Job {
    uid: String,
    gate: String,
    edition: u32,
    digest: Digest,
    spec_hash: String,
    outcome: GateOutcome,
    started: Timestamp,
    ends: Timestamp,
    lost: bool,
}

#[derive(Clone, Debug)]
struct Record {
    uid: String,
    name: String,
    environment: String,
    version: String,
    digest: Digest,
}

/// Everything that a process does not carry in its own memory.
#[derive(Clone, Debug)]
pub struct World {
    pub now: Timestamp,
    /// Process that runs: a crash makes a new one.
    pub process: u32,
    pub to: String,
    pub version_order: VersionOrder,
    pub gates: BTreeMap<String, GateModel>,
    pub tags: BTreeMap<String, Digest>,
    pub asked: Vec<Asked>,
    /// What the ledger of each environment holds.
    pub ledgers: BTreeMap<String, LedgerArtifact>,
    /// PUTs of dead processes that have not arrived.
    pub late: Vec<(Timestamp, usize)>,
    /// Tags that were put, by request.
    pub puts: Vec<(usize, String)>,
    jobs: Vec<Job>,
    records: Vec<Record>,
    generation: i64,
}

impl World {
    pub fn new(to: &str, version_order: VersionOrder) -> Self {
        let ledger = || LedgerArtifact {
            name: "app".to_owned(),
            ..LedgerArtifact::default()
        };
        Self {
            now: "2026-03-02T10:00:00Z".parse().unwrap(),
            process: 0,
            to: to.to_owned(),
            version_order,
            gates: BTreeMap::new(),
            tags: BTreeMap::new(),
            asked: Vec::new(),
            ledgers: ["dev", "prod"]
                .map(|name| (name.to_owned(), ledger()))
                .into(),
            late: Vec::new(),
            puts: Vec::new(),
            jobs: Vec::new(),
            records: Vec::new(),
            generation: 1,
        }
    }

    pub fn edit_policy(&mut self, edit: impl FnOnce(&mut BTreeMap<String, GateModel>)) {
        edit(&mut self.gates);
        self.generation += 1;
    }

    pub fn lose_jobs(&mut self) {
        self.jobs.iter_mut().for_each(|job| job.lost = true);
    }

    /// The ledger of the target is gone, and is rebuilt from tags and records.
    pub fn lose_ledger(&mut self) {
        let latest = self.tags.get(&format!("latest-{}", self.to));
        let entries = self
            .records
            .iter()
            .rev()
            .filter(|record| record.environment == self.to);
        let history: Vec<LedgerEntry> = entries
            .map(|record| entry(&record.version, &record.digest, &record.name, &record.uid))
            .collect();
        let current = history
            .iter()
            .find(|entry| latest.is_some_and(|d| d.as_str() == entry.digest));
        let rebuilt = LedgerArtifact {
            name: "app".to_owned(),
            current: current.cloned(),
            history: history.clone(),
            in_flight: None,
        };
        self.ledgers.insert(self.to.clone(), rebuilt);
    }

    /// Puts a version into an environment as an earlier promotion would have left it.
    pub fn promoted_before(
        &mut self,
        environment: &str,
        version: &str,
        digest: &Digest,
        in_ledger: bool,
    ) {
        let (name, uid) = (format!("before-{version}"), format!("uid-before-{version}"));
        self.tags
            .insert(format!("{version}-{environment}"), digest.clone());
        self.tags
            .insert(format!("latest-{environment}"), digest.clone());
        let entry = entry(version, digest, &name, &uid);
        self.records.push(Record {
            uid,
            name,
            environment: environment.to_owned(),
            version: version.to_owned(),
            digest: digest.clone(),
        });
        if in_ledger && let Some(ledger) = self.ledgers.get_mut(environment) {
            ledger.current = Some(entry.clone());
            ledger.history.insert(0, entry);
        }
    }

    /// PUTs of dead processes arrive.
    pub fn deliver(&mut self) {
        let (due, rest): (Vec<_>, Vec<_>) =
            self.late.drain(..).partition(|(at, _)| *at <= self.now);
        self.late = rest;
        for (_, asked) in due {
            self.put_tag(asked);
        }
    }

    /// When the world changes by itself.
    pub fn next_change(&self) -> Option<Timestamp> {
        let jobs = self.jobs.iter().map(|job| job.ends);
        jobs.chain(self.late.iter().map(|(at, _)| *at))
            .filter(|at| *at > self.now)
            .min()
    }

    pub fn claim_of(&self, asked: usize) -> bool {
        let uid = &self.asked[asked].request.uid;
        self.ledger()
            .in_flight
            .as_ref()
            .is_some_and(|slot| slot.uid == *uid)
    }

    pub fn has_record(&self, asked: usize) -> bool {
        let uid = &self.asked[asked].request.uid;
        self.records.iter().any(|record| record.uid == *uid)
    }

    /// What a fresh process sees before it has asked the registry.
    pub fn observe(&self, asked: usize) -> Observed {
        let Asked {
            request,
            plan,
            intent,
            verdicts,
            waiting,
            ended: _,
        } = self.asked[asked].clone();
        let mut gates: BTreeMap<String, ObservedGate> = self
            .jobs
            .iter()
            .filter(|job| job.uid == request.uid && !job.lost)
            .map(|job| (job.gate.clone(), self.state_of(job)))
            .collect();
        for (name, stored) in verdicts {
            gates.entry(name).or_insert(stored);
        }
        Observed {
            request,
            environments: self.environments(),
            plan,
            source: None,
            target: None,
            upstream_record: None,
            gates,
            claim: Claim::Unasked {
                left_over: self.claim_of(asked),
            },
            intent,
            tag: None,
            own_record: None,
            record: None,
            latest: false,
            settled: false,
            trouble: None,
            waiting,
        }
    }

    /// Does one thing; `None` is a crash.
    pub fn perform(
        &mut self,
        asked: usize,
        action: &Action,
        observed: &Observed,
        fate: Fate,
    ) -> Option<Receipt> {
        self.never(asked, action, observed);
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
        );
        let harmless = reads || matches!(action, Action::PinPlan | Action::StartGate(_));
        assert!(!dry_run || harmless, "a dry run does {action:?}");
        assert!(
            self.asked[asked].ended.is_none(),
            "an ended request does {action:?}"
        );
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
                assert!(self.asked[asked].plan.is_none(), "the plan is pinned twice")
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
            Action::MoveLatest => assert_eq!(recorded(), 1, "latest before the record"),
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
            Action::StartGate(name) => self.start(asked, name),
            Action::Claim => {
                let claim = self.claim(asked);
                Receipt::Claim(claim, self.environments())
            }
            Action::ReleaseClaim => {
                let claim = self.release(asked);
                Receipt::Claim(claim, self.environments())
            }
            Action::StateIntent => {
                let policy = self.policy_digest();
                self.asked[asked].intent = Some(policy.clone());
                self.asked[asked].verdicts = observed.gates.clone();
                Receipt::Intent(policy)
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

    fn source(&self, observed: &Observed) -> Source {
        let tag = self.route(observed).source_tag.to_string();
        self.tags
            .get(&tag)
            .map_or(Source::Absent, |digest| Source::Manifest {
                digest: digest.clone(),
                media_type: MEDIA_TYPE.to_owned(),
            })
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

    fn state_of(&self, job: &Job) -> ObservedGate {
        let state = if self.now < job.ends {
            GateState::Running {
                since: job.started,
                doing: "running".to_owned(),
                look_again_at: Some(job.ends),
            }
        } else {
            GateState::Ended(GateResult {
                outcome: job.outcome,
                message: "message".to_owned(),
                started_at: None,
                finished_at: None,
                image_digest: None,
                output: None,
                findings: Vec::new(),
                job_uid: "job".to_owned(),
            })
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
        if let Some(slot) = self.ledger().in_flight.as_ref().filter(|_| ours) {
            let until = slot.since.0 + WRITE_WINDOW;
            if now < until && (slot.holder != process || slot.taken_over) {
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

    /// The irreversible act.
    fn put_tag(&mut self, asked: usize) {
        let plan = self.plan(asked);
        let tag = plan.route.tag.to_string();
        let stranger = self
            .tags
            .get(&tag)
            .is_some_and(|found| *found != plan.digest);
        assert!(
            !stranger || !self.late.is_empty() || self.puts.is_empty(),
            "a tag is moved"
        );
        let uid = &self.asked[asked].request.uid;
        for (name, gate) in &self.gates {
            let judged = self.jobs.iter().any(|job| {
                let same = job.uid == *uid && job.gate == *name && job.edition == gate.edition;
                let good = !gate.blocks || job.outcome == GateOutcome::Passed;
                same && good && job.digest == plan.digest && job.ends <= self.now
            });
            assert!(
                judged,
                "the tag is written before gate '{name}' passed on the digest"
            );
        }
        let before = self
            .puts
            .iter()
            .filter(|(_, written)| *written == tag)
            .count();
        assert_eq!(before, 0, "the tag is written twice");
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
            (Some(ours), _) => OwnRecord::Ours(Digest::of(ours.uid.as_bytes())),
            (None, Some(other)) => OwnRecord::Namesake(Digest::of(other.uid.as_bytes())),
            (None, None) => OwnRecord::Absent,
        }
    }

    fn write_record(&mut self, asked: usize) -> Digest {
        let plan = self.plan(asked);
        let Request { uid, name, .. } = self.asked[asked].request.clone();
        let digest = Digest::of(uid.as_bytes());
        let (environment, version) = (self.to.clone(), plan.route.version.to_string());
        self.records.push(Record {
            uid,
            name,
            environment,
            version,
            digest: plan.digest,
        });
        digest
    }

    fn settle(&mut self, asked: usize) {
        let plan = self.plan(asked);
        let Request { uid, name, .. } = self.asked[asked].request.clone();
        let entry = entry(plan.route.version.as_str(), &plan.digest, &name, &uid);
        let ledger = self.ledger_mut();
        ledger.in_flight = None;
        ledger.history.retain(|known| known.uid != entry.uid);
        ledger.history.insert(0, entry.clone());
        ledger.current = Some(entry);
    }

    fn plan(&self, asked: usize) -> Plan {
        self.asked[asked].plan.clone().expect("a plan")
    }

    fn route(&self, observed: &Observed) -> Route {
        let planned = observed.plan.as_ref().map(|plan| plan.route.clone());
        planned.unwrap_or_else(|| {
            Route::resolve(&observed.request, &self.environments()).expect("a route")
        })
    }

    fn ledger(&self) -> &LedgerArtifact {
        &self.ledgers[&self.to]
    }

    fn ledger_mut(&mut self) -> &mut LedgerArtifact {
        self.ledgers.get_mut(&self.to).expect("a ledger")
    }

    fn policy_digest(&self) -> String {
        self.environments()
            .get(&self.to)
            .expect("a policy")
            .policy_digest
            .to_string()
    }

    fn environments(&self) -> Environments {
        let policies: Vec<EnvironmentPolicy> = ["dev", "prod"].map(|name| self.policy(name)).into();
        Environments::of(&policies.iter().collect::<Vec<_>>(), &BTreeMap::new())
    }

    fn policy(&self, name: &str) -> EnvironmentPolicy {
        let target = name == self.to;
        let gates = self
            .gates
            .iter()
            .filter(|(gate, _)| target && *gate != "policy_compliance");
        let spec = EnvironmentPolicySpec {
            promotes_from: if name == "dev" {
                Vec::new()
            } else {
                vec!["dev".to_owned()]
            },
            artifacts: vec![ArtifactSource {
                name: "app".to_owned(),
                repository: "registry.example/team/app".to_owned(),
                ..ArtifactSource::default()
            }],
            gates: gates.map(|(name, model)| gate(name, model)).collect(),
            version_order: target.then_some(self.version_order),
            ..EnvironmentPolicySpec::default()
        };
        let mut policy = EnvironmentPolicy::new(name, spec);
        policy.metadata.generation = Some(self.generation);
        policy.status = Some(EnvironmentPolicyStatus {
            artifacts: vec![self.ledgers[name].clone()],
            ..EnvironmentPolicyStatus::default()
        });
        policy
    }
}

fn gate(name: &str, model: &GateModel) -> Gate {
    Gate {
        name: name.to_owned(),
        gate_type: GateType::Tests,
        image: format!("gate:{}", model.edition),
        command: vec!["run".to_owned()],
        args: Vec::new(),
        env: Vec::new(),
        on_failure: Some(if model.blocks {
            OnFailure::Block
        } else {
            OnFailure::Warn
        }),
        timeout: None,
        start_timeout: None,
        run_as_user: None,
        resources: None,
    }
}

fn entry(version: &str, digest: &Digest, name: &str, uid: &str) -> LedgerEntry {
    LedgerEntry {
        version: version.to_owned(),
        digest: digest.to_string(),
        promoted_at: Time(Timestamp::UNIX_EPOCH),
        by: None,
        promotion: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        record: None,
    }
}

fn asks_registry(action: &Action) -> bool {
    match action {
        Action::ReadSource
        | Action::ReadTarget
        | Action::FindUpstreamRecord
        | Action::WriteTag
        | Action::FindOwnRecord
        | Action::WriteRecord
        | Action::MoveLatest => true,
        Action::PinPlan
        | Action::StartGate(_)
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
