//! Who uses a repository: from the objects of the cluster.

use super::plan::{Place, Unfinished};
use crate::api::{self, ConditionType, find_condition};
use crate::domain::artifact::Repository;
use crate::domain::policy::{Environment, conflicts};

/// The environments among these policies that have an artifact in the repository. `space` is the user's own
/// namespace; `chosen` says which environments of it, and which of their artifacts, are to be cleaned up.
pub fn places(
    policies: &[api::EnvironmentPolicy],
    repository: &Repository,
    space: &str,
    chosen: impl Fn(&str, &str) -> bool,
) -> Vec<Place> {
    let lost = conflicts(&policies.iter().collect::<Vec<_>>());
    let mut places = Vec::new();
    for policy in policies {
        let environment = Environment::of(policy);
        let namespace = policy.metadata.namespace.clone().unwrap_or_default();
        let status = policy.status.as_ref();
        let problem = environment
            .problem
            .or_else(|| {
                lost.get(&(namespace.clone(), environment.name.clone()))
                    .cloned()
            })
            .or_else(|| {
                let valid = find_condition(&status?.conditions, ConditionType::Valid)?;
                (valid.status == "False").then(|| valid.message.clone())
            });
        let here = environment.artifacts.iter();
        for (artifact, _) in here.filter(|(_, other)| *other == repository) {
            let own = namespace == space;
            let ledgers = status.into_iter().flat_map(|status| &status.artifacts);
            places.push(Place {
                name: named(&namespace, &environment.name, space),
                space: namespace.clone(),
                environment: environment.name.clone(),
                artifact: artifact.clone(),
                suffix: environment.suffix.clone(),
                first: environment.promotes_from.is_empty(),
                chosen: own && chosen(&environment.name, artifact),
                retention: environment.retention.clone(),
                problem: problem.clone(),
                ledger: ledgers
                    .into_iter()
                    .find(|ledger| ledger.name == *artifact)
                    .cloned(),
            });
        }
    }
    places
}

/// The promotions that have not ended and may use the repository of these places.
pub fn unfinished(
    promotions: &[api::Promotion],
    places: &[Place],
    repository: &Repository,
    space: &str,
) -> Vec<Unfinished> {
    let unended = promotions.iter().filter(|promotion| {
        let succeeded = promotion
            .status
            .as_ref()
            .and_then(|status| find_condition(&status.conditions, ConditionType::Succeeded));
        succeeded.is_none_or(|condition| condition.status == "Unknown")
    });
    let found = unended.filter_map(|promotion| {
        let namespace = promotion.metadata.namespace.as_deref().unwrap_or_default();
        let plan = promotion
            .status
            .as_ref()
            .and_then(|status| status.plan.as_ref());
        let here = match plan {
            Some(plan) => plan.repository == repository.as_str(),
            None => places.iter().any(|place| place.space == namespace),
        };
        let name = promotion.metadata.name.as_deref().unwrap_or_default();
        let digest = plan
            .map(|plan| &plan.digest)
            .or(promotion.spec.digest.as_ref());
        here.then(|| Unfinished {
            name: named(namespace, name, space),
            version: promotion.spec.version.clone(),
            digest: digest.and_then(|digest| digest.parse().ok()),
        })
    });
    found.collect()
}

fn named(namespace: &str, name: &str, space: &str) -> String {
    if namespace == space {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}
