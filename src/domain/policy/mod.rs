//! Environments: policies as checked values.

pub mod cloud;
mod gate_rule;
mod signature_rule;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::artifact::{Digest, Repository};
use super::names::{Version, latest_tag, suffixes_overlap};
use super::record::Recorded;
use super::replicas::Replica;
use super::retention::Retention;
use crate::api;
pub use crate::api::{OnFailure, RecordRefusals, SignatureMode, Verification, VersionOrder};
pub use gate_rule::{DEFAULT_TIMEOUT_SECONDS, GateRule, rule_set};
pub use signature_rule::{SignatureRule, TrustKind, TrustRef};

/// Most gates whose values the ledger keeps, as the API has it.
const BASELINES_MAX: usize = 32;

/// The environments of one namespace, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environments(BTreeMap<String, Environment>);

/// One environment: its policy, checked, and what its ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Name of the policy.
    pub name: String,
    /// Generation of the policy.
    pub generation: i64,
    /// Hash of the policy's specification.
    pub policy_digest: Digest,
    /// Environments that it takes from.
    pub promotes_from: Vec<String>,
    /// Suffix of its tags.
    pub suffix: String,
    /// Repositories by artifact.
    pub artifacts: BTreeMap<String, Repository>,
    /// Replicas by artifact.
    pub replicas: BTreeMap<String, Vec<Replica>>,
    /// How replicas are proven to be complete.
    pub verification: Verification,
    /// Whose signature an artifact must carry, when the policy says so.
    pub signature: Option<SignatureRule>,
    /// Gates: `policy_compliance` first, then in the policy's order.
    pub gates: Vec<GateRule>,
    /// Whether versions may go down.
    pub version_order: VersionOrder,
    /// Where it stays that a request was not promoted.
    pub record_refusals: RecordRefusals,
    /// Which old versions may be deleted; none: no version.
    pub retention: Option<Retention>,
    /// Why the policy cannot be used, when it cannot.
    pub problem: Option<String>,
    /// Ledger by artifact; an artifact without entry has not been looked up in the registry yet.
    pub ledger: BTreeMap<String, Ledger>,
}

/// What an environment holds of one artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ledger {
    /// The version under `latest-<suffix>`.
    pub current: Option<Entry>,
    /// Completed promotions, the newest first.
    pub history: Vec<Entry>,
    /// The record at the head of the chain, by its identity.
    pub head: Option<Digest>,
    /// Why it is not certain which record is the newest, when it is not.
    pub unproven: Option<String>,
    /// What each gate measured at the last promotion for which it did.
    pub baselines: BTreeMap<String, BTreeMap<String, Decimal>>,
}

/// One completed promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
    /// Name of the request.
    #[serde(default)]
    pub promotion: Option<String>,
    /// UID of the request.
    #[serde(default)]
    pub uid: Option<String>,
    /// Its record.
    #[serde(default)]
    pub audit: Option<Recorded>,
}

impl Environments {
    /// The environments of a namespace from its policies, each checked by itself and against the others.
    ///
    /// `conflicts` names the policies that lost (repository, suffix) to an older one elsewhere in the
    /// cluster, with the sentence that says so.
    pub fn of(policies: &[&api::EnvironmentPolicy], conflicts: &BTreeMap<String, String>) -> Self {
        let mut environments: BTreeMap<String, Environment> = policies
            .iter()
            .map(|policy| Environment::of(policy))
            .map(|environment| (environment.name.clone(), environment))
            .collect();
        for (name, problem) in conflicts {
            if let Some(environment) = environments.get_mut(name) {
                environment.problem.get_or_insert_with(|| problem.clone());
            }
        }
        Self(environments)
    }

    /// The environment of this name.
    pub fn get(&self, name: &str) -> Option<&Environment> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Environment> {
        self.0.values()
    }

    /// Every suffix in use: versions that end in one are refused.
    pub fn suffixes(&self) -> Vec<String> {
        self.0
            .values()
            .map(|environment| environment.suffix.clone())
            .collect()
    }

    /// Names for a message: `dev, prod, staging`, or `none`.
    pub fn names(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        self.0.keys().cloned().collect::<Vec<_>>().join(", ")
    }

    /// The environment that is meant by a name or alias.
    pub fn by_alias<'a>(policies: &'a [api::EnvironmentPolicy], word: &str) -> Option<&'a str> {
        let name_of = |policy: &'a api::EnvironmentPolicy| policy.metadata.name.as_deref();
        policies
            .iter()
            .filter_map(name_of)
            .find(|name| *name == word)
            .or_else(|| {
                policies
                    .iter()
                    .find(|policy| policy.spec.aliases.iter().any(|alias| alias == word))
                    .and_then(name_of)
            })
    }
}

impl Environment {
    /// Whether it takes from there; without a name, whether it takes what was published.
    pub fn takes_from(&self, from: Option<&str>) -> bool {
        match from {
            Some(from) => self.promotes_from.iter().any(|name| name == from),
            None => self.promotes_from.is_empty(),
        }
    }

    /// Every repository in which it writes tags: those of its artifacts, and their replicas.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        let replicas = self.replicas.values().flatten();
        self.artifacts
            .values()
            .chain(replicas.map(|replica| &replica.repository))
    }

    /// What a gate measured at the last promotion of this artifact into the environment.
    pub fn baseline(&self, artifact: &str, gate: &str) -> BTreeMap<String, Decimal> {
        self.ledger
            .get(artifact)
            .and_then(|ledger| ledger.baselines.get(gate))
            .cloned()
            .unwrap_or_default()
    }

    /// Reads one policy and checks what can be checked without the others.
    pub fn of(policy: &api::EnvironmentPolicy) -> Self {
        let spec = &policy.spec;
        let name = policy.metadata.name.clone().unwrap_or_default();
        let suffix = spec.tag_suffix.clone().unwrap_or_else(|| name.clone());
        let mut problem = latest_tag(&suffix)
            .is_none()
            .then(|| format!("suffix '{suffix}' gives no valid tag"));
        let mut artifacts = BTreeMap::new();
        for artifact in &spec.artifacts {
            match artifact.repository.parse() {
                Ok(repository) => {
                    if let Err(why) = cloud::fits(artifact.credentials.as_ref(), &repository) {
                        problem = Some(format!("artifact '{}': {why}", artifact.name));
                    }
                    artifacts.insert(artifact.name.clone(), repository);
                }
                Err(why) => problem = Some(format!("artifact '{}': {why}", artifact.name)),
            }
        }
        let replicas = replicas_of(spec).unwrap_or_else(|why| {
            problem = Some(why);
            BTreeMap::new()
        });
        let mut signature = None;
        match spec.signature.as_ref().map(SignatureRule::of).transpose() {
            Ok(rule) => signature = rule,
            Err(why) => problem = Some(format!("signature: {why}")),
        }
        let verification = spec.verification.unwrap_or_default();
        let asked = signature.as_ref().is_some_and(SignatureRule::asks);
        if verification == Verification::SignatureMatch && !asked {
            let missing = "verification: SignatureMatch needs signature with mode Warn or Enforce: it says whose signatures count";
            problem = Some(missing.to_owned());
        }
        let mut gates = Vec::new();
        match GateRule::policy_compliance(spec) {
            Ok(rule) => gates.push(rule),
            Err(why) => problem = Some(why),
        }
        for gate in &spec.gates {
            match GateRule::of(gate) {
                Ok(rule) => gates.push(rule),
                Err(why) => problem = Some(format!("gate '{}': {why}", gate.name)),
            }
        }
        let retention = spec.retention.as_ref().map(Retention::of).transpose();
        let retention = retention.unwrap_or_else(|why| {
            problem = Some(format!("retention: {why}"));
            None
        });
        Self {
            generation: policy.metadata.generation.unwrap_or_default(),
            policy_digest: digest_of(spec),
            promotes_from: spec.promotes_from.clone(),
            suffix,
            artifacts,
            replicas,
            verification,
            signature,
            gates,
            version_order: spec.version_order.unwrap_or_default(),
            record_refusals: spec.record_refusals.unwrap_or_default(),
            retention,
            problem,
            ledger: policy
                .status
                .iter()
                .flat_map(|status| &status.artifacts)
                .map(|entry| (entry.name.clone(), Ledger::of(entry)))
                .collect(),
            name,
        }
    }
}

impl Ledger {
    /// Reads the ledger of one artifact; an entry with an unreadable digest is left out.
    pub fn of(status: &api::LedgerArtifact) -> Self {
        Self {
            current: status.current.as_ref().and_then(Entry::of),
            history: status.history.iter().filter_map(Entry::of).collect(),
            head: status
                .audit
                .as_ref()
                .and_then(|head| head.record.parse().ok()),
            unproven: status.unproven.clone(),
            baselines: status
                .baselines
                .iter()
                .map(|one| (one.gate.clone(), values_of(&one.values)))
                .collect(),
        }
    }

    /// The completed promotion of this version by an object of this name.
    pub fn namesake(&self, name: &str, version: &str) -> Option<&Entry> {
        self.history
            .iter()
            .find(|entry| entry.promotion.as_deref() == Some(name) && entry.version == version)
    }

    /// The object of this UID has been promoted, to its end.
    ///
    /// A ledger that was rebuilt from records knows also of a promotion that was interrupted between its
    /// record and `latest`: that one is newer than the current entry, and is still to be finished.
    pub fn has(&self, uid: &str) -> bool {
        let is = |one: &Entry| one.uid.as_deref() == Some(uid);
        let Some(current) = &self.current else {
            return false;
        };
        let since = self.history.iter().position(|entry| entry == current);
        is(current) || self.history[since.unwrap_or_default()..].iter().any(is)
    }

    /// The promotion with the newest record, of another object than this one: what its record comes behind. Of two
    /// with one number, as after a fork, the one at the head of the chain.
    pub fn newest_before(&self, uid: &str) -> Option<(&Entry, &Recorded)> {
        self.history
            .iter()
            .chain(&self.current)
            .filter(|entry| entry.uid.as_deref() != Some(uid))
            .filter_map(|entry| Some((entry, entry.audit.as_ref()?)))
            .max_by_key(|(_, recorded)| {
                let is_head = self.head.as_ref() == Some(&recorded.record);
                (recorded.sequence, is_head)
            })
    }

    /// The newest entry of this version.
    pub fn of_version(&self, version: &Version) -> Option<&Entry> {
        self.current
            .iter()
            .chain(&self.history)
            .find(|entry| entry.version == version.as_str())
    }
}

/// What gates have measured last, after a promotion that measured this: a gate that measured nothing this time
/// keeps what it measured before.
pub fn baselines_after(known: &[api::Baseline], measured: &[api::Baseline]) -> Vec<api::Baseline> {
    let again = |old: &&api::Baseline| measured.iter().any(|new| new.gate == old.gate);
    let kept = known.iter().filter(|old| !again(old));
    measured
        .iter()
        .chain(kept)
        .take(BASELINES_MAX)
        .cloned()
        .collect()
}

/// Values as the API writes them; one that is no number is left out, as if it had never been measured.
pub(super) fn values_of(written: &BTreeMap<String, String>) -> BTreeMap<String, Decimal> {
    written
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.parse().ok()?)))
        .collect()
}

impl Entry {
    fn of(status: &api::LedgerEntry) -> Option<Self> {
        Some(Self {
            version: status.version.clone(),
            digest: status.digest.parse().ok()?,
            promotion: status.promotion.clone(),
            uid: status.uid.clone(),
            audit: status.audit.as_ref().and_then(Recorded::of),
        })
    }
}

/// The replicas of a policy by artifact. A repository may hold the tags of one thing only: those of a replica
/// would meet the tags of another artifact, which have the same names.
fn replicas_of(
    spec: &api::EnvironmentPolicySpec,
) -> Result<BTreeMap<String, Vec<Replica>>, String> {
    let mut taken: BTreeMap<Repository, String> = BTreeMap::new();
    for artifact in &spec.artifacts {
        // What is wrong with the repository itself is said elsewhere.
        if let Ok(repository) = artifact.repository.parse() {
            taken.insert(repository, format!("artifact '{}'", artifact.name));
        }
    }
    let mut all = BTreeMap::new();
    for artifact in &spec.artifacts {
        let mut replicas: Vec<Replica> = Vec::new();
        for source in &artifact.replicas {
            let what = format!("replica '{}' of artifact '{}'", source.name, artifact.name);
            let repository: Repository = source
                .repository
                .parse()
                .map_err(|why| format!("{what}: {why}"))?;
            cloud::fits(source.credentials.as_ref(), &repository)
                .map_err(|why| format!("{what}: {why}"))?;
            if replicas.iter().any(|known| known.name == source.name) {
                return Err(format!("{what} is listed twice"));
            }
            if let Some(owner) = taken.insert(repository.clone(), what.clone()) {
                return Err(format!(
                    "{what} lies in {repository}, which is also the repository of {owner}: give it one of its own"
                ));
            }
            replicas.push(Replica {
                name: source.name.clone(),
                repository,
                required: source.required,
            });
        }
        if !replicas.is_empty() {
            all.insert(artifact.name.clone(), replicas);
        }
    }
    Ok(all)
}

/// Policies that lose to an older one: by namespace and name, with the sentence that says to whom.
///
/// Two rules (design, section 5): suffixes in a namespace may not overlap, and a (repository, suffix)
/// belongs to the oldest policy in the cluster. Of two that were made in the same second, the one whose
/// `namespace/name` sorts first is the older.
pub fn conflicts(policies: &[&api::EnvironmentPolicy]) -> BTreeMap<(String, String), String> {
    let mut by_age: Vec<&api::EnvironmentPolicy> = policies.to_vec();
    by_age.sort_by_key(|policy| age_key(policy));
    let mut lost = BTreeMap::new();
    for (index, younger) in by_age.iter().enumerate() {
        let winner = by_age[..index]
            .iter()
            .filter(|older| !lost.contains_key(&key(older)))
            .find_map(|older| conflict(older, younger));
        if let Some(sentence) = winner {
            lost.insert(key(younger), sentence);
        }
    }
    lost
}

fn conflict(older: &api::EnvironmentPolicy, younger: &api::EnvironmentPolicy) -> Option<String> {
    let (of_older, of_younger) = (Environment::of(older), Environment::of(younger));
    let same_space = older.metadata.namespace == younger.metadata.namespace;
    if same_space && suffixes_overlap(&of_older.suffix, &of_younger.suffix) {
        return Some(format!(
            "tag suffix '{}' overlaps with '{}' of the older policy '{}': give it another tagSuffix",
            of_younger.suffix, of_older.suffix, of_older.name
        ));
    }
    if of_older.suffix != of_younger.suffix {
        return None;
    }
    let shared = of_younger
        .repositories()
        .find(|one| of_older.repositories().any(|other| other == *one))?;
    Some(format!(
        "the tags '*-{}' of repository '{shared}' belong to the older policy '{}' in namespace '{}'",
        of_younger.suffix,
        of_older.name,
        older.metadata.namespace.as_deref().unwrap_or_default()
    ))
}

fn key(policy: &api::EnvironmentPolicy) -> (String, String) {
    let meta = &policy.metadata;
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

fn age_key(policy: &api::EnvironmentPolicy) -> (jiff::Timestamp, (String, String)) {
    let created = policy
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(jiff::Timestamp::MAX, |time| time.0);
    (created, key(policy))
}

/// How a problem with the rules of a policy begins.
pub const RULES_PROBLEM: &str = "policyRules ";

/// The problem with its rules that the operator has found in this very generation of the policy, and written
/// into its status: rules are read once, under bounds of their own, and not in every pass.
pub fn problem_of_rules(policy: &api::EnvironmentPolicy) -> Option<String> {
    let conditions = &policy.status.as_ref()?.conditions;
    let valid = api::find_condition(conditions, api::ConditionType::Valid)?;
    let of_today = valid.observed_generation == policy.metadata.generation;
    let found = valid.status == "False" && of_today && valid.message.starts_with(RULES_PROBLEM);
    found.then(|| valid.message.clone())
}

/// SHA-256 of a policy's specification as JSON with sorted keys.
pub fn digest_of(spec: &api::EnvironmentPolicySpec) -> Digest {
    let canonical = serde_json::to_value(spec)
        .map(|value| value.to_string())
        .unwrap_or_default();
    Digest::of(canonical.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(generation: i64, message: &str) -> api::EnvironmentPolicy {
        serde_json::from_value(json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy",
            "metadata": { "name": "dev", "generation": 2 },
            "spec": { "artifacts": [{ "name": "app", "repository": "r.example/app" }] },
            "status": { "observedGeneration": generation, "conditions": [{
                "type": "Valid", "status": "False", "reason": "PolicyInvalid", "message": message,
                "observedGeneration": generation, "lastTransitionTime": "2026-03-02T10:00:00Z",
            }] },
        }))
        .unwrap()
    }

    fn baseline(gate: &str, value: &str) -> api::Baseline {
        api::Baseline {
            gate: gate.to_owned(),
            values: BTreeMap::from([("p95_ms".to_owned(), value.to_owned())]),
        }
    }

    #[test]
    fn a_gate_that_measured_nothing_keeps_what_it_measured_before() {
        let known = [baseline("load", "1"), baseline("size", "2")];
        let after = baselines_after(&known, &[baseline("load", "3")]);
        assert_eq!(after, [baseline("load", "3"), baseline("size", "2")]);
        let many: Vec<_> = (0..40).map(|n| baseline(&format!("g{n}"), "1")).collect();
        let after = baselines_after(&many, &[baseline("load", "3")]);
        assert_eq!(
            (after.len(), &after[0]),
            (BASELINES_MAX, &baseline("load", "3"))
        );
    }

    fn with_replicas(artifacts: &serde_json::Value) -> api::EnvironmentPolicy {
        serde_json::from_value(json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy",
            "metadata": { "name": "prod", "namespace": "team" }, "spec": { "artifacts": artifacts },
        }))
        .unwrap()
    }

    #[test]
    fn a_repository_holds_the_tags_of_one_artifact_or_replica_only() {
        let problem = |artifacts| Environment::of(&with_replicas(&artifacts)).problem;
        let replica =
            |name: &str, repository: &str| json!({ "name": name, "repository": repository });
        let app = |replicas: Vec<serde_json::Value>| json!({ "name": "app", "repository": "r.example/app", "replicas": replicas });
        assert_eq!(
            problem(json!([app(vec![
                replica("a", "a.example/app"),
                replica("b", "b.example/app")
            ])])),
            None
        );
        let same = problem(json!([app(vec![replica("a", "r.example/app")])])).unwrap();
        assert_eq!(
            same,
            "replica 'a' of artifact 'app' lies in r.example/app, which is also the repository of artifact 'app': give it one of its own"
        );
        let twice = json!([app(vec![
            replica("a", "a.example/app"),
            replica("b", "a.example/app")
        ])]);
        assert!(
            problem(twice)
                .unwrap()
                .contains("repository of replica 'a'")
        );
        let named_twice = json!([app(vec![
            replica("a", "a.example/app"),
            replica("a", "b.example/app")
        ])]);
        assert!(problem(named_twice).unwrap().contains("is listed twice"));
        let of_another = json!([
            app(vec![replica("a", "r.example/web")]),
            { "name": "web", "repository": "r.example/web" },
        ]);
        assert!(problem(of_another).unwrap().contains("artifact 'web'"));
    }

    #[test]
    fn the_older_policy_owns_a_repository_also_as_a_replica() {
        let policy = |name: &str, space: &str, created: &str, artifacts| {
            let mut policy = with_replicas(&artifacts);
            policy.metadata.name = Some(name.to_owned());
            policy.metadata.namespace = Some(space.to_owned());
            policy.metadata.creation_timestamp = Some(
                k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created.parse().unwrap()),
            );
            policy
        };
        let older = policy(
            "prod",
            "team",
            "2026-03-01T00:00:00Z",
            json!([{
                "name": "app", "repository": "r.example/app",
                "replicas": [{ "name": "west", "repository": "west.example/app" }],
            }]),
        );
        let younger = policy(
            "prod",
            "other",
            "2026-03-02T00:00:00Z",
            json!([
                { "name": "app", "repository": "west.example/app" },
            ]),
        );
        let lost = conflicts(&[&younger, &older]);
        let sentence = &lost[&("other".to_owned(), "prod".to_owned())];
        assert!(
            sentence.contains(
                "'west.example/app' belong to the older policy 'prod' in namespace 'team'"
            ),
            "{sentence}"
        );
        assert_eq!(lost.len(), 1);
    }

    #[test]
    fn a_problem_with_rules_is_known_from_the_status_of_the_same_generation() {
        let message = "policyRules 'a': its expression cannot be read";
        assert_eq!(
            problem_of_rules(&judged(2, message)).as_deref(),
            Some(message)
        );
        assert_eq!(
            problem_of_rules(&judged(1, message)),
            None,
            "it was changed since"
        );
        assert_eq!(
            problem_of_rules(&judged(2, "tag suffix 'a' overlaps")),
            None
        );
    }
}
