use serde_json::json;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn plan() -> Plan {
    serde_json::from_value(json!({
        "route": {
            "artifact": "app", "version": "v1.2.3", "to": "dev", "repository": "r.example/app",
            "sourceTag": "v1.2.3", "tag": "v1.2.3-dev", "latestTag": "latest-dev",
        },
        "digest": Digest::of(b"manifest"), "mediaType": "m", "resolvedAt": "2026-03-02T10:00:00Z",
    }))
    .unwrap()
}

fn result() -> GateResult {
    GateResult {
        started_at: Some(at("2026-03-02T10:00:01.5Z")),
        finished_at: Some(at("2026-03-02T10:01:13Z")),
        found: Found {
            counts: [("critical".to_owned(), 1), ("allowed".to_owned(), 2)].into(),
            ids: vec!["CVE-2024-1".to_owned()],
            findings: vec!["orders.unique failed".to_owned()],
            omitted: 3,
            values: [("p95_ms".to_owned(), "231.50".parse().unwrap())].into(),
        },
        attempts: 2,
        ..GateResult::of(GateOutcome::Failed, "m".to_owned(), "u".to_owned())
    }
}

fn blank(name: &str) -> GateStatus {
    serde_json::from_value(json!({
        "name": name, "type": "Tests", "outcome": "Running", "specHash": "h", "job": "j",
    }))
    .unwrap()
}

fn stored(result: &GateResult, name: &str) -> GateStatus {
    let gate = with_found(blank(name), &result.found);
    ended(gate, result, OnFailure::Block)
}

#[test]
fn everything_that_a_result_says_is_stored_and_read_back() {
    let gate = stored(&result(), "unit");
    assert_eq!(gate.duration.as_deref(), Some("71s"));
    assert_eq!(gate.values["p95_ms"], "231.5");
    assert_eq!((gate.omitted, gate.attempts), (Some(3), Some(2)));
    let read = stored_result(&gate).unwrap();
    assert_eq!(read.state, GateState::Ended(Box::new(result())));
}

#[test]
fn more_than_the_api_accepts_is_cut_and_counted() {
    let mut result = result();
    result.found.ids = (0..200).map(|n| format!("CVE-2024-{n}")).collect();
    let gate = stored(&result, "unit");
    assert_eq!((gate.ids.len(), gate.omitted), (IDS_MAX, Some(3 + 72)));
}

fn promotion(name: &str, to: &str, digest: &str, ended: &str) -> Promotion {
    let mut result = result();
    result.outcome = GateOutcome::Passed;
    result.finished_at = Some(at(ended));
    let mut plan = plan().to_status();
    plan.digest = digest.to_owned();
    let mut promotion: Promotion = serde_json::from_value(json!({
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion", "metadata": { "name": name },
        "spec": { "version": "v1.2.3", "to": to },
    }))
    .unwrap();
    promotion.status = Some(PromotionStatus {
        plan: Some(plan),
        gates: vec![stored(&result, "unit")],
        ..PromotionStatus::default()
    });
    promotion
}

fn found(promotions: &[Promotion]) -> Option<String> {
    let mut results = earlier_results(promotions, &plan());
    match results.remove("unit")?.state {
        GateState::Ended(result) => Some(result.reused?.from),
        GateState::Running { .. } => None,
    }
}

#[test]
fn of_earlier_results_for_the_same_digest_and_environment_the_latest_is_taken() {
    let digest = plan().digest.to_string();
    let one = promotion("one", "dev", &digest, "2026-03-01T10:00:00Z");
    let two = promotion("two", "dev", &digest, "2026-03-01T11:00:00Z");
    assert_eq!(found(&[two.clone(), one.clone()]).as_deref(), Some("two"));
    assert_eq!(found(&[one.clone(), two]).as_deref(), Some("two"));
    let elsewhere = promotion("prod", "prod", &digest, "2026-03-01T12:00:00Z");
    let other = promotion("other", "dev", "sha256:00", "2026-03-01T12:00:00Z");
    assert_eq!(found(&[elsewhere, other, one]).as_deref(), Some("one"));
}

#[test]
fn a_result_that_counted_again_names_the_promotion_that_reached_it() {
    let mut second = promotion(
        "second",
        "dev",
        plan().digest.as_str(),
        "2026-03-01T10:00:00Z",
    );
    let gate = &mut second.status.as_mut().unwrap().gates[0];
    gate.reused_from = Some("first".to_owned());
    assert_eq!(found(&[second]).as_deref(), Some("first"));
}
