use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::api::{
    ConditionType, EnvironmentPolicy, OnFailure, PolicyRef, Promotion, ReplicaSource,
    find_condition,
};
use crate::domain::artifact::Digest;
use crate::domain::decision::{FailureReason, Outcome, WaitingOn};
use crate::domain::gates::{GateOutcome, GateResult, GateState};
use crate::domain::observed::{Claim, ObservedGate, Stamp};
use crate::domain::plan::{Plan, Route};
use crate::domain::policy::Environments;
use crate::domain::replicas::{ReplicaFailure, ReplicaReason, ReplicaState, Setback};
use crate::domain::request::Request;
use crate::domain::verdict::planned_gates;

fn policy(gates: &[(&str, Option<OnFailure>)]) -> EnvironmentPolicy {
    let gates: Vec<_> = gates
        .iter()
        .map(|(name, on_failure)| {
            serde_json::json!({
                "name": name, "type": "Tests", "image": "tests:1", "command": ["run"], "onFailure": on_failure,
            })
        })
        .collect();
    serde_json::from_value(serde_json::json!({
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy",
        "metadata": { "name": "dev", "namespace": "platform", "generation": 3 },
        "spec": { "artifacts": [{ "name": "app", "repository": "r.example/app" }], "gates": gates },
        "status": { "observedGeneration": 3, "artifacts": [{ "name": "app" }] },
    }))
    .unwrap()
}

fn observed(policy: &EnvironmentPolicy) -> Observed {
    let promotion: Promotion = serde_json::from_value(serde_json::json!({
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": "p", "namespace": "platform", "uid": "u-1" },
        "spec": { "version": "v1.2.3", "to": "dev" },
    }))
    .unwrap();
    let request = Request::of(&promotion);
    let environments = Environments::of(&[policy], &std::collections::BTreeMap::new());
    let route = Route::resolve(&request, &environments).unwrap();
    let plan = Plan {
        route,
        digest: Digest::of(b"manifest"),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        resolved_at: at(0),
    };
    Observed {
        request,
        environments,
        stamp: Stamp::InForce { since: at(0) },
        plan: Some(plan),
        source: None,
        target: None,
        ledger_compared: true,
        upstream_record: None,
        signature: None,
        earlier_results: false,
        gates: std::collections::BTreeMap::new(),
        claim: Claim::Released,
        target_copy: None,
        replicas: std::collections::BTreeMap::new(),
        intent: None,
        tag: None,
        own_record: None,
        record: None,
        latest: false,
        settled: false,
        trouble: None,
        waiting: None,
    }
}

fn with_results(mut observed: Observed, outcomes: &[GateOutcome]) -> Observed {
    let plan = observed.plan.clone().unwrap();
    let environment = observed.environments.get("dev").unwrap().clone();
    for (gate, outcome) in planned_gates(&environment, &plan.digest)
        .into_iter()
        .zip(outcomes)
    {
        let result = GateResult {
            started_at: Some(at(10)),
            finished_at: Some(at(20)),
            image_digest: Some("tests@sha256:1".to_owned()),
            output: Some("last line".to_owned()),
            ..GateResult::of(
                *outcome,
                "2 of 40 tests failed".to_owned(),
                "j-1".to_owned(),
            )
        };
        let state = GateState::Ended(Box::new(result));
        observed.gates.insert(
            gate.name,
            ObservedGate {
                spec_hash: gate.spec_hash,
                state,
            },
        );
    }
    observed
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_000_000 + second).unwrap()
}

fn condition(status: &PromotionStatus, kind: ConditionType) -> Condition {
    find_condition(&status.conditions, kind).unwrap().clone()
}

fn words(status: &PromotionStatus) -> [String; 4] {
    [
        ConditionType::Ready,
        ConditionType::Reconciling,
        ConditionType::Stalled,
        ConditionType::Succeeded,
    ]
    .map(|kind| condition(status, kind).status)
}

fn busy() -> Decision {
    Decision::wait(
        Stage::Writing,
        WaitingOn::EnvironmentBusy {
            holder: "other".to_owned(),
        },
        at(60),
    )
}

#[test]
fn a_waiting_request_is_in_progress_for_kstatus_and_says_since_when() {
    let observed = observed(&policy(&[]));
    let first = status_of(&PromotionStatus::default(), 1, &observed, &busy(), at(30));
    assert_eq!(words(&first), ["False", "True", "False", "Unknown"]);
    assert_eq!(
        condition(&first, ConditionType::Ready).reason,
        "EnvironmentBusy"
    );
    let later = status_of(&first, 1, &observed, &busy(), at(90));
    assert_eq!(later, first, "nothing new, nothing changed");
    assert_eq!(later.waiting_on.unwrap().since, Time(at(30)));
}

#[test]
fn a_failed_request_is_stalled_so_that_nobody_waits_for_it() {
    let failed = Decision::end(Outcome::Failed(FailureReason::Aborted));
    let before = status_of(
        &PromotionStatus::default(),
        1,
        &observed(&policy(&[])),
        &busy(),
        at(30),
    );
    let status = status_of(&before, 1, &observed(&policy(&[])), &failed, at(40));
    assert_eq!(words(&status), ["False", "False", "True", "False"]);
    assert_eq!(condition(&status, ConditionType::Stalled).reason, "Aborted");
    assert_eq!(status.finished_at, Some(Time(at(40))));
    assert_eq!(status.waiting_on, None);
    assert_eq!(condition(&status, ConditionType::Promoted).status, "False");
}

#[test]
fn a_succeeded_request_is_ready_and_names_tags_and_record() {
    let mut observed = with_results(observed(&policy(&[])), &[GateOutcome::Passed]);
    observed.record = Some(Recorded {
        record: Digest::of(b"record"),
        referrer: Digest::of(b"referrer"),
        sequence: 7,
        summary: None,
    });
    let status = status_of(
        &PromotionStatus::default(),
        1,
        &observed,
        &Decision::end(Outcome::Promoted),
        at(40),
    );
    assert_eq!(words(&status), ["True", "False", "False", "True"]);
    for fact in [
        ConditionType::SourceVerified,
        ConditionType::GatesPassed,
        ConditionType::Promoted,
        ConditionType::Recorded,
    ] {
        assert_eq!(condition(&status, fact).status, "True", "{fact:?}");
    }
    assert_eq!(
        status.audit.unwrap().record,
        Digest::of(b"record").to_string()
    );
}

#[test]
fn a_transition_keeps_its_time_until_the_condition_changes() {
    let observed = observed(&policy(&[]));
    let waiting = status_of(&PromotionStatus::default(), 1, &observed, &busy(), at(30));
    let done = status_of(
        &waiting,
        1,
        &observed,
        &Decision::end(Outcome::AlreadyPromoted),
        at(50),
    );
    assert_eq!(
        condition(&done, ConditionType::Ready).last_transition_time,
        Time(at(50))
    );
    assert_eq!(
        condition(&done, ConditionType::Stalled).last_transition_time,
        Time(at(30))
    );
}

#[test]
fn a_gate_that_only_warns_is_warned_and_keeps_what_it_was() {
    let policy = policy(&[("unit", None), ("slow", Some(OnFailure::Warn))]);
    let outcomes = [
        GateOutcome::Passed,
        GateOutcome::Failed,
        GateOutcome::TimedOut,
    ];
    let observed = with_results(observed(&policy), &outcomes);
    let status = status_of(&PromotionStatus::default(), 1, &observed, &busy(), at(30));
    assert_eq!(status.gate_summary.as_deref(), Some("✓✗!"));
    assert_eq!(
        status.gates[2].message.as_deref(),
        Some("TimedOut: 2 of 40 tests failed")
    );
    let stored = stored_results(&status);
    let outcome_of = |name: &str| match &stored[name].state {
        GateState::Ended(result) => result.outcome,
        GateState::Running { .. } => panic!("{name} has ended"),
    };
    assert_eq!(outcome_of("policy_compliance"), GateOutcome::Passed);
    assert_eq!(outcome_of("unit"), GateOutcome::Failed);
    assert_eq!(outcome_of("slow"), GateOutcome::TimedOut);
    let again = Observed {
        gates: stored,
        ..observed
    };
    let repeated = status_of(&status, 1, &again, &busy(), at(90));
    assert_eq!(
        repeated.gates, status.gates,
        "reading a status back and writing it changes nothing"
    );
}

#[test]
fn what_the_record_says_of_the_gates_stays_when_the_policy_changes_after_the_tag() {
    let before_edit = with_results(
        observed(&policy(&[("unit", None)])),
        &[GateOutcome::Passed, GateOutcome::Passed],
    );
    let intent = Intent {
        decided_at: Time(at(30)),
        policy: PolicyRef {
            generation: 3,
            digest: "sha256:0".to_owned(),
        },
        sequence: 1,
        previous: None,
        operator_version: "0".to_owned(),
        operator_instance: "a".to_owned(),
        replicas: Vec::new(),
    };
    let stated = with_intent(&PromotionStatus::default(), 1, &before_edit, intent, at(30));
    assert_eq!(stated.gates.len(), 2);
    let after_edit = observed(&policy(&[("other", None)]));
    let recording = Decision::act(Stage::Recording, Vec::new());
    assert_eq!(
        status_of(&stated, 1, &after_edit, &recording, at(60)).gates,
        stated.gates
    );
}

#[test]
fn new_words_for_the_same_wait_are_no_material_difference() {
    let observed = observed(&policy(&[]));
    let one = status_of(&PromotionStatus::default(), 1, &observed, &busy(), at(30));
    let other = Decision::wait(
        Stage::Writing,
        WaitingOn::EnvironmentBusy {
            holder: "third".to_owned(),
        },
        at(60),
    );
    let reworded = status_of(&one, 1, &observed, &other, at(31));
    assert_ne!(one, reworded);
    assert!(!differs_materially(&one, &reworded));
    let ended = status_of(
        &one,
        1,
        &observed,
        &Decision::end(Outcome::Promoted),
        at(31),
    );
    assert!(differs_materially(&one, &ended));
}

#[test]
fn replicas_are_told_of_and_read_back_as_they_were_stored() {
    let mut policy = policy(&[]);
    policy.spec.artifacts[0].replicas = ["east", "west"]
        .map(|name| ReplicaSource {
            name: name.to_owned(),
            repository: format!("{name}.example/app"),
            ..ReplicaSource::default()
        })
        .into();
    let mut observed = observed(&policy);
    let setback = Setback {
        reason: ReplicaReason::Incomplete,
        problem: "1 of its parts cannot be found there".to_owned(),
        missing: vec!["Blob sha256:1: 404".to_owned()],
        not_before: None,
    };
    let failure = ReplicaFailure::after(None, setback, at(10));
    let failed = ReplicaState::Failed(failure.clone());
    observed.replicas = [
        ("east".to_owned(), ReplicaState::Replicated),
        ("west".to_owned(), failed.clone()),
    ]
    .into();
    let promoted = Decision::end(Outcome::Promoted);
    let status = status_of(&PromotionStatus::default(), 1, &observed, &promoted, at(10));
    let condition = find_condition(&status.conditions, ConditionType::Replicated).unwrap();
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_str()),
        ("False", "Incomplete")
    );
    assert!(
        condition.message.contains("lacks Blob sha256:1"),
        "{condition:?}"
    );
    let ready = find_condition(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(ready.status, "True", "the promotion stands");
    let stored = stored_replicas(&status);
    assert_eq!(stored["east"], ReplicaState::Replicated);
    assert_eq!(stored["west"], failed);
    // A new try keeps in mind since when it has failed.
    observed.replicas.insert(
        "west".to_owned(),
        ReplicaState::Copying {
            after: Some(failure.clone()),
        },
    );
    let trying = status_of(&status, 1, &observed, &promoted, at(20));
    let west = &trying.replicas[1];
    assert_eq!((west.state.as_str(), west.since.0), ("Copying", at(10)));
    observed
        .replicas
        .insert("west".to_owned(), ReplicaState::Replicated);
    let healed = status_of(&trying, 1, &observed, &promoted, at(30));
    let condition = find_condition(&healed.conditions, ConditionType::Replicated).unwrap();
    assert_eq!(condition.status, "True");
    assert_eq!(healed.replicas[1].last_error, None);
    let without = status_of(
        &healed,
        1,
        &observed,
        &Decision::end(Outcome::AlreadyPromoted),
        at(40),
    );
    assert!(without.replicas.is_empty());
    assert!(find_condition(&without.conditions, ConditionType::Replicated).is_none());
}

#[test]
fn what_the_signatures_say_is_shown_read_back_and_kept_once_the_record_says_it() {
    let asks = |mode: &str, key: &str| {
        let mut policy = policy(&[]);
        policy.spec.signature = serde_json::from_value(serde_json::json!({
            "mode": mode, "keys": [{ "configMapName": "keys", "key": key }],
        }))
        .unwrap();
        observed(&policy)
    };
    let said = |observed: &Observed, before: &PromotionStatus, stage: Stage| {
        let decision = Decision::act(stage, Vec::new());
        status_of(before, 1, observed, &decision, at(30))
    };
    let verified = |status: &PromotionStatus| {
        let shown = condition(status, ConditionType::SourceVerified);
        (shown.status, shown.reason)
    };
    let (yes, no) = ("True".to_owned(), "False".to_owned());
    let mut observed = asks("Warn", "a.pub");
    let first = said(&observed, &PromotionStatus::default(), Stage::Gating);
    assert_eq!(
        verified(&first),
        ("Unknown".to_owned(), "NotYet".to_owned())
    );
    let environment = observed.environments.get("dev").unwrap();
    let rule = environment.signature.as_ref().unwrap().digest.clone();
    let mut verdict = crate::domain::signature::Verdict::default();
    observed.signature = Some(verdict.observed(rule.clone()));
    let bad = said(&observed, &first, Stage::Gating);
    assert_eq!(verified(&bad), (no, "SignatureInvalid".to_owned()));
    assert_eq!(stored_signature(&bad), observed.signature);
    verdict.counts("alice".to_owned());
    observed.signature = Some(verdict.observed(rule));
    let intent = Intent {
        decided_at: Time(at(20)),
        policy: PolicyRef {
            generation: 3,
            digest: String::new(),
        },
        sequence: 1,
        previous: None,
        replicas: Vec::new(),
        operator_version: String::new(),
        operator_instance: String::new(),
    };
    let good = with_intent(&bad, 1, &observed, intent, at(25));
    assert_eq!(verified(&good), (yes, "Done".to_owned()));
    let mut changed = asks("Enforce", "b.pub");
    changed.signature.clone_from(&observed.signature);
    let gating = said(&changed, &good, Stage::Gating);
    assert_eq!(gating.signature, None, "a verdict under other keys");
    let recording = said(&changed, &good, Stage::Recording);
    assert_eq!(recording.signature, good.signature);
}
