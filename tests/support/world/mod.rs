//! A small world: a registry, policies with ledgers, gate Jobs and statuses, as far as `decide` can tell.
//!
//! It does what an action says, and refuses loudly what must never happen. What is right is written here
//! a second time, in other words: nothing here asks `decide`.

mod effects;
mod replicas;

use std::collections::{BTreeMap, BTreeSet};

use floe::api::{
    ArtifactSource, EnvironmentPolicy, EnvironmentPolicySpec, EnvironmentPolicyStatus, Gate,
    GateType, LedgerArtifact, LedgerEntry, OnFailure, Signature, SignatureMode, TrustSource,
    VersionOrder,
};
use floe::domain::artifact::Digest;
use floe::domain::decision::{Outcome, TroubleKind};
use floe::domain::gates::GateOutcome;
use floe::domain::observed::{Claim, Observed, ObservedGate, Stamp, Stated, WaitingSince};
use floe::domain::plan::{Plan, Route};
use floe::domain::policy::Environments;
use floe::domain::record::{Recorded, next_sequence};
use floe::domain::replicas::ReplicaState;
use floe::domain::request::Request;
use floe::domain::signature::ObservedSignature;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What happens to one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
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
pub(crate) struct GateModel {
    pub blocks: bool,
    /// A result Passed counts again for other requests, for an hour.
    pub cached: bool,
    pub seconds: i64,
    pub outcome: GateOutcome,
    /// Goes up with each edit of the policy.
    pub edition: u32,
}

/// A request, and what its status stores.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub request: Request,
    pub plan: Option<Plan>,
    pub intent: Option<Stated>,
    pub verdicts: BTreeMap<String, ObservedGate>,
    pub replicas: BTreeMap<String, ReplicaState>,
    pub signature: Option<ObservedSignature>,
    pub waiting: Option<WaitingSince>,
    pub ended: Option<Outcome>,
    /// It has ended and is no longer looked at.
    pub over: bool,
}

/// A replica, and how it behaves.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaModel {
    pub required: bool,
    /// A copy takes longer than a pass.
    pub slow: bool,
    /// It cannot be reached between these times.
    pub down: (Timestamp, Timestamp),
    /// What it holds.
    pub held: BTreeSet<String>,
    /// Its tags.
    pub tags: BTreeMap<String, Digest>,
    /// Slow copies that were begun, and until when they take.
    begun: BTreeMap<String, Timestamp>,
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
    sequence: i64,
    after: Option<Digest>,
}

impl Record {
    fn recorded(&self) -> Recorded {
        let of = |part: &str| Digest::of(format!("{} {part}", self.uid).as_bytes());
        Recorded {
            record: of("record"),
            referrer: of("referrer"),
            sequence: self.sequence,
            summary: None,
        }
    }

    fn entry(&self) -> LedgerEntry {
        LedgerEntry {
            version: self.version.clone(),
            digest: self.digest.to_string(),
            promoted_at: Time(Timestamp::UNIX_EPOCH),
            by: None,
            promotion: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            audit: Some(self.recorded().to_api()),
        }
    }
}

/// Everything that a process does not carry in its own memory.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub now: Timestamp,
    /// Process that runs: a crash makes a new one.
    pub process: u32,
    pub to: String,
    pub version_order: VersionOrder,
    pub gates: BTreeMap<String, GateModel>,
    /// Number of the key whose signature the policy asks for.
    pub key: Option<u32>,
    /// Keys with which everything is signed.
    pub signed_with: BTreeSet<u32>,
    pub tags: BTreeMap<String, Digest>,
    pub asked: Vec<Asked>,
    /// Whether the API server writes down who asks.
    pub stamp: Stamp,
    /// What the ledger of each environment holds.
    pub ledgers: BTreeMap<String, LedgerArtifact>,
    /// PUTs of dead processes that have not arrived.
    pub late: Vec<(Timestamp, usize)>,
    /// Tags that were put, by request.
    pub puts: Vec<(usize, String)>,
    /// The environment has another repository than the one it takes from.
    pub another_repository: bool,
    /// What was copied into that other repository.
    pub copied: BTreeSet<String>,
    /// Replicas of the environment.
    pub replicas: BTreeMap<String, ReplicaModel>,
    jobs: Vec<Job>,
    records: Vec<Record>,
    generation: i64,
}

impl World {
    pub(crate) fn new(to: &str, version_order: VersionOrder) -> Self {
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
            key: None,
            signed_with: BTreeSet::new(),
            tags: BTreeMap::new(),
            asked: Vec::new(),
            stamp: Stamp::InForce {
                since: Timestamp::UNIX_EPOCH,
            },
            ledgers: ["dev", "prod"]
                .map(|name| (name.to_owned(), ledger()))
                .into(),
            late: Vec::new(),
            puts: Vec::new(),
            another_repository: false,
            copied: BTreeSet::new(),
            replicas: BTreeMap::new(),
            jobs: Vec::new(),
            records: Vec::new(),
            generation: 1,
        }
    }

    /// The policy asks for the signature of another key.
    pub(crate) fn change_key(&mut self, signed: bool) {
        let key = self.key.map_or(0, |key| key + 1);
        self.edit_policy(|_| {});
        self.key = Some(key);
        if signed {
            self.signed_with.insert(key);
        }
    }

    pub(crate) fn edit_policy(&mut self, edit: impl FnOnce(&mut BTreeMap<String, GateModel>)) {
        edit(&mut self.gates);
        self.generation += 1;
    }

    pub(crate) fn lose_jobs(&mut self) {
        self.jobs.iter_mut().for_each(|job| job.lost = true);
    }

    /// The ledger of the target is gone, and is rebuilt from tags and records.
    pub(crate) fn lose_ledger(&mut self) {
        let latest = self.tags.get(&format!("latest-{}", self.to));
        let entries = self
            .records
            .iter()
            .rev()
            .filter(|record| record.environment == self.to);
        let history: Vec<LedgerEntry> = entries.map(Record::entry).collect();
        let current = history
            .iter()
            .find(|entry| latest.is_some_and(|d| d.as_str() == entry.digest));
        let rebuilt = LedgerArtifact {
            name: "app".to_owned(),
            current: current.cloned(),
            audit: history.first().and_then(|entry| entry.audit.clone()),
            unproven: None,
            history: history.clone(),
            baselines: Vec::new(),
            in_flight: None,
            drift: Vec::new(),
        };
        self.ledgers.insert(self.to.clone(), rebuilt);
    }

    /// Puts a version into an environment as an earlier promotion would have left it.
    pub(crate) fn promoted_before(
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
        let newest = self.newest_record(environment).map(Record::recorded);
        let record = Record {
            uid,
            name,
            environment: environment.to_owned(),
            version: version.to_owned(),
            digest: digest.clone(),
            sequence: next_sequence(newest.as_ref()),
            after: newest.map(|newest| newest.record),
        };
        let entry = record.entry();
        self.records.push(record);
        if in_ledger && let Some(ledger) = self.ledgers.get_mut(environment) {
            ledger.current = Some(entry.clone());
            ledger.history.insert(0, entry);
        }
    }

    /// PUTs of dead processes arrive.
    pub(crate) fn deliver(&mut self) {
        let (due, rest): (Vec<_>, Vec<_>) =
            self.late.drain(..).partition(|(at, _)| *at <= self.now);
        self.late = rest;
        for (_, asked) in due {
            self.put_tag(asked);
        }
    }

    /// When the world changes by itself.
    pub(crate) fn next_change(&self) -> Option<Timestamp> {
        let jobs = self.jobs.iter().map(|job| job.ends);
        let copies = self.replicas.values().flat_map(|one| one.begun.values());
        jobs.chain(self.late.iter().map(|(at, _)| *at))
            .chain(copies.copied())
            .filter(|at| *at > self.now)
            .min()
    }

    pub(crate) fn claim_of(&self, asked: usize) -> bool {
        let uid = &self.asked[asked].request.uid;
        self.ledger()
            .in_flight
            .as_ref()
            .is_some_and(|slot| slot.uid == *uid)
    }

    /// The record of an environment that was written last.
    fn newest_record(&self, environment: &str) -> Option<&Record> {
        let mut records = self.records.iter().rev();
        records.find(|record| record.environment == environment)
    }

    /// Each record names the one before it, and none is missing.
    pub(crate) fn chain_holds(&self) {
        let of_target = |record: &&Record| record.environment == self.to;
        let mut before: Option<Recorded> = None;
        for record in self.records.iter().filter(of_target) {
            assert_eq!(
                record.sequence,
                next_sequence(before.as_ref()),
                "a gap or a fork"
            );
            let named = before.as_ref().map(|before| &before.record);
            assert_eq!(record.after.as_ref(), named, "it names another record");
            before = Some(record.recorded());
        }
    }

    /// The decision is stored, and the first tag names the digest, whoever has put it there.
    pub(crate) fn is_begun(&self, asked: usize) -> bool {
        let Asked { plan, intent, .. } = &self.asked[asked];
        let Some((plan, _)) = plan.as_ref().zip(intent.as_ref()) else {
            return false;
        };
        self.tags.get(plan.route.tag.as_str()) == Some(&plan.digest)
    }

    pub(crate) fn has_record(&self, asked: usize) -> bool {
        let uid = &self.asked[asked].request.uid;
        self.records.iter().any(|record| record.uid == *uid)
    }

    /// What a fresh process sees before it has asked the registry.
    pub(crate) fn observe(&self, asked: usize) -> Observed {
        let Asked {
            request,
            plan,
            intent,
            verdicts,
            replicas,
            signature,
            waiting,
            ended,
            over: _,
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
            stamp: self.stamp.clone(),
            plan,
            source: None,
            target: None,
            ledger_compared: true,
            upstream_record: None,
            signature,
            earlier_results: false,
            gates,
            claim: Claim::Unasked {
                left_over: self.claim_of(asked),
            },
            intent,
            target_copy: None,
            replicas,
            tag: None,
            own_record: None,
            record: None,
            latest: false,
            settled: ended == Some(Outcome::Promoted),
            trouble: None,
            waiting,
        }
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
                repository: if target && self.another_repository {
                    "elsewhere.example/team/app".to_owned()
                } else {
                    "registry.example/team/app".to_owned()
                },
                replicas: self.listed().filter(|_| target).collect(),
                ..ArtifactSource::default()
            }],
            gates: gates.map(|(name, model)| gate(name, model)).collect(),
            signature: self.key.filter(|_| target).map(signature),
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

fn signature(key: u32) -> Signature {
    Signature {
        mode: SignatureMode::Enforce,
        keys: vec![TrustSource {
            config_map_name: Some("keys".to_owned()),
            key: format!("{key}.pub"),
            ..TrustSource::default()
        }],
        ..Signature::default()
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
        retries: None,
        report: None,
        thresholds: None,
        cache_for: model.cached.then(|| "1h".to_owned()),
        layout: false,
        credentials: None,
        run_as_user: None,
        resources: None,
    }
}
