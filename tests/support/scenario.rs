//! A scenario file as values, and its check.

use std::collections::BTreeMap;
use std::path::Path;

use floe::api::{
    EnvironmentPolicy, EnvironmentPolicySpec, EnvironmentPolicyStatus, LedgerArtifact, LedgerEntry,
    Promotion, PromotionSpec,
};
use floe::domain::artifact::Digest;
use floe::domain::decide::decide;
use floe::domain::decision::Decision;
use floe::domain::gates::{GateOutcome, GateResult, GateState};
use floe::domain::observed::{
    Claim, Observed, ObservedGate, OwnRecord, Source, Stamp, Stated, TagState, TagWrite,
    TargetCopy, Trouble, WaitingSince,
};
use floe::domain::plan::{Plan, Route};
use floe::domain::policy::Environments;
use floe::domain::record::{Recorded, next_sequence};
use floe::domain::replicas::ReplicaState;
use floe::domain::request::Request;
use floe::domain::signature::ObservedSignature;
use floe::domain::verdict::planned_gates;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use libtest_mimic::Failed;
use serde::Deserialize;
use serde_json::Value;

const ARTIFACT: &str = "platform";
const REPOSITORY: &str = "registry.example/team/platform";
const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What is true, and what floe decides then.
pub(crate) struct Scenario {
    observed: Observed,
    now: Timestamp,
    /// The decision that the file expects.
    pub expect: Decision,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    now: Timestamp,
    #[serde(default)]
    policies: BTreeMap<String, Value>,
    promotion: Value,
    #[serde(default)]
    observed: Facts,
    expect: Decision,
}

/// What floe has looked at; what is left out it has not.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Facts {
    stamp: Option<Stamp>,
    plan: Option<PinnedPlan>,
    source: Option<Value>,
    target: Option<String>,
    ledger_compared: Option<bool>,
    upstream_record: Option<bool>,
    signature: Option<SignatureWord>,
    earlier_results: bool,
    gates: BTreeMap<String, Value>,
    target_copy: Option<TargetCopy>,
    replicas: BTreeMap<String, ReplicaState>,
    claim: Option<Value>,
    intent: Option<IntentWord>,
    tag: Option<TagWrite>,
    own_record: Option<OwnRecordWord>,
    record: Option<Digest>,
    latest: bool,
    settled: bool,
    trouble: Option<Trouble>,
    waiting: Option<WaitingSince>,
}

/// The plan in the status; without `route` it is what the policies say today.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PinnedPlan {
    digest: Digest,
    #[serde(default)]
    route: Option<Route>,
    #[serde(default)]
    resolved_at: Option<Timestamp>,
}

/// What the search for a record of the request found; records go by their digest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum OwnRecordWord {
    Ours(Digest),
    Namesake(Digest),
    Absent,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum IntentWord {
    /// Under the policy as it is.
    Stated,
    /// Under the policy as it was before an edit.
    StatedUnderAnEarlierPolicy,
    /// Under the policy as it is, as the first of the chain.
    StatedAsTheFirst,
}

/// What was found out about the signatures of the plan's digest.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
enum SignatureWord {
    /// One counts.
    Verified,
    /// One counted, under the policy as it was before an edit.
    VerifiedUnderAnEarlierPolicy,
    /// None counts, and why.
    Invalid(String),
}

/// Parts of a policy that are not in its spec.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BesidesSpec {
    #[serde(default)]
    ledger: LedgerWord,
    #[serde(default)]
    problem: Option<String>,
}

/// `unread`, or what the ledger holds of the artifact `platform`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum LedgerWord {
    Unread,
    #[serde(untagged)]
    Read(LedgerFacts),
}

impl Default for LedgerWord {
    fn default() -> Self {
        Self::Read(LedgerFacts::default())
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LedgerFacts {
    current: Option<EntryFacts>,
    history: Option<Vec<EntryFacts>>,
    #[serde(default)]
    unproven: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFacts {
    version: String,
    digest: String,
    #[serde(default)]
    promotion: Option<String>,
    #[serde(default)]
    uid: Option<String>,
    /// Its record, under this number.
    #[serde(default)]
    sequence: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GateFacts {
    /// Outcome of a gate that has ended.
    #[serde(default)]
    outcome: Option<GateOutcome>,
    #[serde(default)]
    message: Option<String>,
    /// What a gate that has not ended is doing.
    #[serde(default)]
    running: Option<String>,
    #[serde(default)]
    look_again_at: Option<Timestamp>,
    /// The result is of the gate as it was before the policy was edited.
    #[serde(default)]
    before_the_edit: bool,
}

impl Scenario {
    /// Reads a file: unknown keys, unknown words and contradictions are errors.
    pub(crate) fn read(path: &Path) -> Result<Self, Failed> {
        let text = std::fs::read_to_string(path)?;
        let raw: Value = serde_saphyr::from_str(&text)?;
        let file: File = serde_json::from_value(long_digests(raw))?;
        let environments = environments(&file.policies)?;
        let request = request(file.promotion)?;
        let observed = file
            .observed
            .into_observed(request, environments, file.now)?;
        Ok(Self {
            observed,
            now: file.now,
            expect: file.expect,
        })
    }

    /// Compares the whole decision.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        let decided = decide(&self.observed, self.now);
        if decided == self.expect {
            return Ok(());
        }
        let shown = |decision: &Decision| serde_json::to_string_pretty(decision);
        Err(format!(
            "expected {}\n\ndecided {}",
            shown(&self.expect)?,
            shown(&decided)?
        )
        .into())
    }
}

impl Facts {
    fn into_observed(
        self,
        request: Request,
        environments: Environments,
        now: Timestamp,
    ) -> Result<Observed, Failed> {
        let plan = self
            .plan
            .map(|pinned| pinned.plan(&request, &environments, now))
            .transpose()?;
        let to = environments.get(&request.to);
        let ledger = to.and_then(|environment| environment.ledger.get(ARTIFACT));
        let before = ledger.and_then(|ledger| ledger.newest_before(&request.uid));
        let before = before.map(|(_, head)| head);
        let stated = to.map_or_else(Stated::default, |environment| Stated {
            policy: environment.policy_digest.to_string(),
            sequence: next_sequence(before),
            after: before.map(|before| before.record.clone()),
            replicas: environment.replicas_of(ARTIFACT).to_vec(),
        });
        let rule = to.and_then(|environment| environment.signature.as_ref());
        let signature = self
            .signature
            .map(|word| word.observed(rule.map(|rule| rule.digest.clone())));
        let gates = self
            .gates
            .into_iter()
            .map(|(name, facts)| {
                let digest = plan.as_ref().map(|plan| &plan.digest);
                let planned = to.zip(digest).and_then(|(environment, digest)| {
                    planned_gates(environment, digest)
                        .into_iter()
                        .find(|gate| gate.name == name)
                });
                let hash = planned.map_or_else(|| "no such gate".to_owned(), |gate| gate.spec_hash);
                Ok((name, observed_gate(facts, hash, now)?))
            })
            .collect::<Result<_, Failed>>()?;
        Ok(Observed {
            source: self.source.map(source).transpose()?,
            target: self.target.as_deref().map(target).transpose()?,
            claim: self
                .claim
                .map_or(Ok(Claim::Unasked { left_over: false }), claim)?,
            intent: self.intent.map(|word| match word {
                IntentWord::Stated => stated,
                IntentWord::StatedUnderAnEarlierPolicy => Stated {
                    policy: "sha256:earlier".to_owned(),
                    replicas: Vec::new(),
                    ..stated
                },
                IntentWord::StatedAsTheFirst => Stated {
                    sequence: 1,
                    after: None,
                    ..stated
                },
            }),
            target_copy: self.target_copy,
            replicas: self.replicas,
            ledger_compared: self.ledger_compared.unwrap_or(true),
            upstream_record: self.upstream_record,
            signature,
            earlier_results: self.earlier_results,
            tag: self.tag,
            own_record: self.own_record.map(OwnRecordWord::observed),
            record: self.record.map(recorded),
            latest: self.latest,
            settled: self.settled,
            trouble: self.trouble,
            waiting: self.waiting,
            stamp: self.stamp.unwrap_or(Stamp::InForce {
                since: Timestamp::UNIX_EPOCH,
            }),
            request,
            environments,
            plan,
            gates,
        })
    }
}

/// The record under this digest, the first of its chain.
fn recorded(digest: Digest) -> Recorded {
    Recorded {
        record: digest.clone(),
        referrer: digest,
        sequence: 1,
        summary: None,
    }
}

impl OwnRecordWord {
    fn observed(self) -> OwnRecord {
        match self {
            Self::Ours(digest) => OwnRecord::Ours(recorded(digest)),
            Self::Namesake(digest) => OwnRecord::Namesake(recorded(digest)),
            Self::Absent => OwnRecord::Absent,
        }
    }
}

impl SignatureWord {
    fn observed(self, rule: Option<Digest>) -> ObservedSignature {
        let earlier = Digest::of(b"an earlier rule");
        let (rule, problem) = match self {
            Self::Verified => (rule.unwrap_or(earlier), None),
            Self::VerifiedUnderAnEarlierPolicy => (earlier, None),
            Self::Invalid(problem) => (rule.unwrap_or(earlier), Some(problem)),
        };
        ObservedSignature {
            rule,
            verified: problem.is_none(),
            by: Vec::new(),
            count: i64::from(problem.is_none()),
            problem,
        }
    }
}

impl PinnedPlan {
    fn plan(
        self,
        request: &Request,
        environments: &Environments,
        now: Timestamp,
    ) -> Result<Plan, Failed> {
        let route = match self.route {
            Some(route) => route,
            None => Route::resolve(request, environments)
                .map_err(|why| format!("the plan needs a route of its own: {why:?}"))?,
        };
        Ok(Plan {
            route,
            digest: self.digest,
            media_type: MEDIA_TYPE.to_owned(),
            resolved_at: self.resolved_at.unwrap_or(now),
        })
    }
}

fn environments(policies: &BTreeMap<String, Value>) -> Result<Environments, Failed> {
    let mut conflicts = BTreeMap::new();
    let mut objects = Vec::new();
    for (name, facts) in policies {
        let mut facts = facts.as_object().cloned().unwrap_or_default();
        let mut besides = serde_json::Map::new();
        for key in ["ledger", "problem"] {
            besides.extend(facts.remove(key).map(|value| (key.to_owned(), value)));
        }
        let besides: BesidesSpec = serde_json::from_value(Value::Object(besides))?;
        facts
            .entry("artifacts")
            .or_insert(serde_json::json!([{ "name": ARTIFACT, "repository": REPOSITORY }]));
        let spec: EnvironmentPolicySpec = serde_json::from_value(Value::Object(facts))?;
        conflicts.extend(besides.problem.map(|problem| (name.clone(), problem)));
        let mut policy = EnvironmentPolicy::new(name, spec);
        policy.metadata.generation = Some(1);
        policy.status = Some(EnvironmentPolicyStatus {
            artifacts: besides.ledger.into_status(),
            ..EnvironmentPolicyStatus::default()
        });
        objects.push(policy);
    }
    Ok(Environments::of(
        &objects.iter().collect::<Vec<_>>(),
        &conflicts,
    ))
}

impl LedgerWord {
    /// A ledger without `history` has the current version in it.
    fn into_status(self) -> Vec<LedgerArtifact> {
        let Self::Read(LedgerFacts {
            current,
            history,
            unproven,
        }) = self
        else {
            return Vec::new();
        };
        let history = history.unwrap_or_else(|| current.iter().cloned().collect());
        vec![LedgerArtifact {
            name: ARTIFACT.to_owned(),
            current: current.map(EntryFacts::into_status),
            history: history.into_iter().map(EntryFacts::into_status).collect(),
            audit: None,
            unproven,
            baselines: Vec::new(),
            in_flight: None,
            drift: Vec::new(),
        }]
    }
}

impl EntryFacts {
    fn into_status(self) -> LedgerEntry {
        let audit = self.sequence.map(|sequence| Recorded {
            sequence,
            ..recorded(Digest::of(self.version.as_bytes()))
        });
        LedgerEntry {
            audit: audit.as_ref().map(Recorded::to_api),
            version: self.version,
            digest: self.digest,
            promoted_at: Time(Timestamp::UNIX_EPOCH),
            by: None,
            promotion: self.promotion,
            uid: self.uid,
        }
    }
}

fn request(promotion: Value) -> Result<Request, Failed> {
    let Value::Object(mut facts) = promotion else {
        return Err("promotion must be a map".into());
    };
    let mut besides = |key: &str| {
        facts
            .remove(key)
            .and_then(|value| value.as_str().map(str::to_owned))
    };
    let (name, uid) = (besides("name"), besides("uid"));
    let (created_at, deleted_at) = (besides("createdAt"), besides("deletedAt"));
    facts.entry("requestedBy").or_insert("alice".into());
    let spec: PromotionSpec = serde_json::from_value(Value::Object(facts))?;
    let mut object = Promotion::new(&name.unwrap_or_else(|| "release".to_owned()), spec);
    object.metadata.uid = Some(uid.unwrap_or_else(|| "uid-of-release".to_owned()));
    object.metadata.namespace = Some("team".to_owned());
    object.metadata.creation_timestamp = created_at.map(|at| at.parse().map(Time)).transpose()?;
    object.metadata.deletion_timestamp = deleted_at.map(|at| at.parse().map(Time)).transpose()?;
    Ok(Request::of(&object))
}

/// A digest is a manifest; everything else is written out.
fn source(value: Value) -> Result<Source, Failed> {
    match value.as_str() {
        Some(digest) if digest.starts_with("sha256:") => Ok(Source::Manifest {
            digest: digest.parse()?,
            media_type: MEDIA_TYPE.to_owned(),
        }),
        _ => Ok(serde_json::from_value(value)?),
    }
}

fn target(word: &str) -> Result<TagState, Failed> {
    match word {
        "absent" => Ok(TagState::Absent),
        digest => Ok(TagState::Names(digest.parse()?)),
    }
}

/// `leftOver` is what an earlier pass may have left; everything else is written out.
fn claim(value: Value) -> Result<Claim, Failed> {
    match value.as_str() {
        Some("leftOver") => Ok(Claim::Unasked { left_over: true }),
        _ => Ok(serde_json::from_value(value)?),
    }
}

/// A gate is an outcome word, `Running`, or a map with more.
fn observed_gate(value: Value, spec_hash: String, now: Timestamp) -> Result<ObservedGate, Failed> {
    let value = match value {
        Value::String(word) if word == "Running" => serde_json::json!({ "running": "running" }),
        Value::String(word) => serde_json::json!({ "outcome": word }),
        other => other,
    };
    let facts: GateFacts = serde_json::from_value(value)?;
    let state = match (facts.outcome, facts.running) {
        (Some(outcome), None) => GateState::Ended(Box::new(GateResult::of(
            outcome,
            facts.message.unwrap_or_else(|| format!("{outcome:?}")),
            "uid-of-job".to_owned(),
        ))),
        (None, Some(doing)) => GateState::Running {
            since: now,
            doing,
            look_again_at: facts.look_again_at,
        },
        (Some(_), Some(_)) | (None, None) => {
            return Err("a gate has either an outcome or is running".into());
        }
    };
    let spec_hash = if facts.before_the_edit {
        "before the edit".to_owned()
    } else {
        spec_hash
    };
    Ok(ObservedGate { spec_hash, state })
}

/// Digests may be abbreviated: `sha256:aaa` stands for `sha256:aaa000…`, also inside sentences.
fn long_digests(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(long_digests_in(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(long_digests).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, long_digests(value)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn long_digests_in(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut long = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.chars().take_while(char::is_ascii_hexdigit).count();
        long.push_str("sha256:");
        long.push_str(&part[..digits]);
        long.extend(std::iter::repeat_n('0', 64_usize.saturating_sub(digits)));
        long.push_str(&part[digits..]);
    }
    long
}
