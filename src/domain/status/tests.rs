use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::api::{
    ConditionType, EnvironmentPolicy, OnFailure, PolicyRef, Promotion, find_condition,
};
use crate::domain::artifact::Digest;
use crate::domain::decision::{FailureReason, Outcome, WaitingOn};
use crate::domain::gates::{GateOutcome, GateResult, GateState};
use crate::domain::observed::{Claim, ObservedGate, Stamp};
use crate::domain::plan::{Plan, Route};
use crate::domain::policy::Environments;
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
        upstream_record: None,
        earlier_results: false,
        gates: std::collections::BTreeMap::new(),
        claim: Claim::Released,
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
    observed.record = Some(Digest::of(b"record"));
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
        previous: None,
        operator_version: "0".to_owned(),
        operator_instance: "a".to_owned(),
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
