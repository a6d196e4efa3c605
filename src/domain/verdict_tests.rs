use serde_json::json;

use super::*;
use crate::domain::gates::GateSpec;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn gate(cache_for_seconds: Option<u32>) -> PlannedGate {
    let spec: GateSpec = serde_json::from_value(json!({
        "kind": "SecurityScan", "image": "i:1", "timeoutSeconds": 300,
        "report": { "format": "Trivy", "allow": { "CVE-2024-1": "2026-03-01" } },
    }))
    .unwrap();
    PlannedGate {
        name: "cves".to_owned(),
        spec_hash: spec_hash(&spec, &Digest::of(b"artifact")),
        spec,
        on_failure: OnFailure::Block,
        start_timeout_seconds: 300,
        cache_for_seconds,
    }
}

/// Whether a result of this outcome, with this hash, that ended then, counts again at noon of the first of March.
fn counts(gate: &PlannedGate, outcome: GateOutcome, spec_hash: &str, ended: Option<&str>) -> bool {
    counts_at(gate, outcome, spec_hash, ended, at("2026-03-01T12:00:00Z"))
}

fn counts_at(
    gate: &PlannedGate,
    outcome: GateOutcome,
    spec_hash: &str,
    ended: Option<&str>,
    now: Timestamp,
) -> bool {
    let result = GateResult {
        finished_at: ended.map(at),
        ..GateResult::of(outcome, "m".to_owned(), "job".to_owned())
    };
    let earlier = ObservedGate {
        spec_hash: spec_hash.to_owned(),
        state: GateState::Ended(Box::new(result)),
    };
    let earlier = BTreeMap::from([(gate.name.clone(), earlier)]);
    !counting_again(std::slice::from_ref(gate), &earlier, now).is_empty()
}

#[test]
fn a_result_passed_counts_again_until_its_time_is_over() {
    let gate = gate(Some(3600));
    let passed = |ended: &str| counts(&gate, GateOutcome::Passed, &gate.spec_hash, Some(ended));
    assert!(passed("2026-03-01T11:59:59Z"));
    assert!(passed("2026-03-01T11:00:01Z"));
    assert!(!passed("2026-03-01T11:00:00Z"), "exactly an hour ago");
    assert!(!passed("2026-03-01T12:00:01Z"), "in the future");
}

#[test]
fn no_other_outcome_specification_or_gate_counts_again() {
    let cached = gate(Some(3600));
    let recently = Some("2026-03-01T11:59:00Z");
    for outcome in [
        GateOutcome::Failed,
        GateOutcome::Error,
        GateOutcome::TimedOut,
    ] {
        assert!(
            !counts(&cached, outcome, &cached.spec_hash, recently),
            "{outcome:?}"
        );
    }
    assert!(!counts(
        &cached,
        GateOutcome::Passed,
        "sha256:other",
        recently
    ));
    assert!(!counts(
        &cached,
        GateOutcome::Passed,
        &cached.spec_hash,
        None
    ));
    let plain = gate(None);
    assert!(!counts(
        &plain,
        GateOutcome::Passed,
        &plain.spec_hash,
        recently
    ));
}

#[test]
fn a_result_does_not_outlive_an_exception_that_it_used() {
    let gate = gate(Some(86_400));
    let counts = |now: &str| {
        let ended = Some("2026-03-01T23:00:00Z");
        counts_at(&gate, GateOutcome::Passed, &gate.spec_hash, ended, at(now))
    };
    assert!(counts("2026-03-01T23:59:59Z"));
    assert!(
        !counts("2026-03-02T00:00:00Z"),
        "its last day was the first of March"
    );
}
