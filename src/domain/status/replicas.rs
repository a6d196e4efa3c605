//! Replicas in the status: how far each is, as people read it, and read back as states.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::shortened;
use crate::api::{PromotionStatus, ReplicaStatus};
use crate::domain::decision::{Decision, Outcome};
use crate::domain::observed::Observed;
use crate::domain::replicas::{Replica, ReplicaFailure, ReplicaReason, ReplicaState};

/// Most missing items that the API accepts, and the longest of them.
const MISSING_MAX: usize = 16;
const MISSING_LENGTH: usize = 512;

/// The replicas of a promotion after a decision.
pub(super) fn replicas_of(
    before: &PromotionStatus,
    observed: &Observed,
    decision: &Decision,
    now: Timestamp,
) -> Vec<ReplicaStatus> {
    match &decision.outcome {
        Some(Outcome::AlreadyPromoted | Outcome::DryRunPassed) => Vec::new(),
        Some(Outcome::Promoted | Outcome::Failed(_)) | None => observed
            .replicas_planned()
            .into_iter()
            .map(|replica| entry(before, observed, replica, now))
            .collect(),
    }
}

fn entry(
    before: &PromotionStatus,
    observed: &Observed,
    replica: &Replica,
    now: Timestamp,
) -> ReplicaStatus {
    let state = observed.replica_state(&replica.name);
    let failure = state.failure();
    let known = before.replicas.iter().find(|known| {
        known.name == replica.name
            && known.state == state.as_str()
            && known.last_error.is_some() == failure.is_some()
    });
    let ours = observed.plan.as_ref().map(|plan| plan.digest.to_string());
    let digest = match (state, failure.map(|failure| &failure.reason)) {
        (ReplicaState::Tagged | ReplicaState::Replicated, _) => ours,
        (_, Some(ReplicaReason::TagTaken { found })) => Some(found.to_string()),
        _ => None,
    };
    let since = failure
        .map(|failure| failure.since)
        .or_else(|| known.map(|known| known.since.0))
        .unwrap_or(now);
    ReplicaStatus {
        name: replica.name.clone(),
        repository: replica.repository.to_string(),
        required: replica.required,
        state: state.as_str().to_owned(),
        digest,
        missing: failure.map(missing).unwrap_or_default(),
        reason: failure.map(|failure| failure.reason.as_str().to_owned()),
        last_error: failure.map(|failure| shortened(&failure.problem)),
        since: Time(since),
        next_try: match state {
            ReplicaState::Failed(failure) => Some(Time(failure.next_try)),
            ReplicaState::Pending
            | ReplicaState::Copying { .. }
            | ReplicaState::Copied
            | ReplicaState::Tagged
            | ReplicaState::Replicated => None,
        },
    }
}

fn missing(failure: &ReplicaFailure) -> Vec<String> {
    let cut = |item: &String| item.chars().take(MISSING_LENGTH).collect();
    failure.missing.iter().take(MISSING_MAX).map(cut).collect()
}

/// How far replicas were when the status was written. What was under way then is to be done again, and what a
/// replica held without tags is to be seen again.
pub fn stored_replicas(status: &PromotionStatus) -> BTreeMap<String, ReplicaState> {
    let named = |replica: &ReplicaStatus| (replica.name.clone(), stored(replica));
    status.replicas.iter().map(named).collect()
}

fn stored(replica: &ReplicaStatus) -> ReplicaState {
    match (replica.state.as_str(), &replica.last_error) {
        ("Tagged", _) => ReplicaState::Tagged,
        ("Replicated", _) => ReplicaState::Replicated,
        ("Failed" | "Copying", Some(problem)) => {
            let found = replica.digest.as_ref().and_then(|text| text.parse().ok());
            let word = replica.reason.as_deref().unwrap_or_default();
            ReplicaState::Failed(ReplicaFailure {
                reason: ReplicaReason::of(word, found),
                problem: problem.clone(),
                missing: replica.missing.clone(),
                since: replica.since.0,
                // A try that was under way is due at once.
                next_try: replica.next_try.as_ref().unwrap_or(&replica.since).0,
            })
        }
        _ => ReplicaState::Pending,
    }
}

/// Status, reason and message of the condition `Replicated`; nothing without replicas.
pub(super) fn replicated(
    replicas: &[ReplicaStatus],
    failed: bool,
) -> Option<(&'static str, &str, String)> {
    if replicas.is_empty() {
        return None;
    }
    let in_trouble: Vec<&ReplicaStatus> = replicas
        .iter()
        .filter(|replica| replica.last_error.is_some())
        .collect();
    if let Some(first) = in_trouble.first() {
        let sentences: Vec<String> = in_trouble.iter().map(|replica| sentence(replica)).collect();
        let reason = first.reason.as_deref().unwrap_or("RegistryUnavailable");
        return Some(("False", reason, sentences.join("; ")));
    }
    let open: Vec<String> = replicas
        .iter()
        .filter(|replica| replica.state != "Replicated")
        .map(|replica| format!("'{}' is {}", replica.name, replica.state))
        .collect();
    Some(if open.is_empty() {
        let names: Vec<String> = replicas
            .iter()
            .map(|replica| format!("'{}'", replica.name))
            .collect();
        let message = format!(
            "everything was found in every replica by digest: {}",
            names.join(", ")
        );
        ("True", "Done", message)
    } else if failed {
        ("False", "NotReached", "nothing was promoted".to_owned())
    } else {
        ("Unknown", "NotYet", open.join(", "))
    })
}

fn sentence(replica: &ReplicaStatus) -> String {
    let mut parts = vec![format!(
        "'{}' ({}): {}",
        replica.name,
        replica.repository,
        replica.last_error.as_deref().unwrap_or_default()
    )];
    if !replica.missing.is_empty() {
        parts.push(format!(", lacks {}", replica.missing.join(", ")));
    }
    if let Some(at) = &replica.next_try {
        let at = at.0.strftime("%Y-%m-%d %H:%M:%S UTC");
        parts.push(format!("; floe tries again at {at}"));
    }
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::TroubleKind;

    fn status(state: &str, last_error: Option<&str>) -> ReplicaStatus {
        ReplicaStatus {
            name: "west".to_owned(),
            repository: "west.example/app".to_owned(),
            required: false,
            state: state.to_owned(),
            digest: None,
            missing: Vec::new(),
            reason: last_error.map(|_| "RegistryDenied".to_owned()),
            last_error: last_error.map(str::to_owned),
            since: Time("2026-03-02T10:00:00Z".parse().unwrap()),
            next_try: None,
        }
    }

    #[test]
    fn what_was_under_way_is_done_again_and_remembers_what_went_wrong() {
        let read = |replica: ReplicaStatus| stored(&replica);
        assert_eq!(read(status("Copying", None)), ReplicaState::Pending);
        assert_eq!(read(status("Copied", None)), ReplicaState::Pending);
        assert_eq!(read(status("Tagged", None)), ReplicaState::Tagged);
        let ReplicaState::Failed(failure) = read(status("Copying", Some("401"))) else {
            panic!("it has failed before");
        };
        assert_eq!(
            failure.reason,
            ReplicaReason::Registry(TroubleKind::RegistryDenied)
        );
        assert_eq!(failure.next_try, failure.since, "it is due");
    }

    #[test]
    fn the_condition_is_true_only_when_every_replica_has_everything() {
        let said = |replicas: &[ReplicaStatus]| {
            replicated(replicas, false).map(|(status, reason, _)| (status, reason.to_owned()))
        };
        assert_eq!(said(&[]), None);
        let (done, open) = (status("Replicated", None), status("Tagged", None));
        let word = |status, reason: &str| Some((status, reason.to_owned()));
        assert_eq!(said(std::slice::from_ref(&done)), word("True", "Done"));
        assert_eq!(said(&[done.clone(), open]), word("Unknown", "NotYet"));
        let failing = status("Failed", Some("401"));
        assert_eq!(said(&[done, failing]), word("False", "RegistryDenied"));
    }
}
