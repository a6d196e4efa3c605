//! Who uses a repository: from the objects of the cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::why::Kept;
use super::{Pins, Retention};
use crate::api::{self, ConditionType, LedgerArtifact, find_condition};
use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::policy::{Environment, conflicts};
use crate::domain::record::Seen;

/// What is known about one repository and everybody who uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// Every tag and what it names.
    pub tags: BTreeMap<Tag, Digest>,
    /// Every environment that has an artifact in the repository.
    pub places: Vec<Place>,
    /// Records found on digests that no ledger explains.
    pub records: BTreeMap<Digest, Vec<Seen>>,
    /// Promotions that have not ended.
    pub unfinished: Vec<Unfinished>,
    /// What consumers use.
    pub pins: Pins,
    /// Why not all environments and promotions of the cluster are in here, when they are not.
    pub cluster_unknown: Option<String>,
}

/// An artifact of an environment that lies in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// How messages call the environment: with its namespace when that is another one.
    pub name: String,
    /// Namespace.
    pub space: String,
    /// Environment.
    pub environment: String,
    /// Artifact.
    pub artifact: String,
    /// Suffix of its tags.
    pub suffix: String,
    /// It takes what was published, under bare tags.
    pub first: bool,
    /// Its tags are asked about; those of the others stay.
    pub chosen: bool,
    /// What it keeps; none: everything.
    pub retention: Option<Retention>,
    /// Why its policy cannot be used, when it cannot.
    pub problem: Option<String>,
    /// What it holds; none when the operator has not said it yet.
    pub ledger: Option<LedgerArtifact>,
}

/// A promotion that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its name, with its namespace when that is another one.
    pub name: String,
    /// Version that it promotes.
    pub version: String,
    /// Digest that it promotes, once it is known.
    pub digest: Option<Digest>,
}

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

impl Place {
    /// Why no version of it may go, whatever its age.
    pub(super) fn keeps_all(&self) -> Option<Kept> {
        let environment = self.name.clone();
        if !self.chosen {
            return Some(Kept::NotChosen { environment });
        }
        if let Some(problem) = &self.problem {
            let problem = problem.clone();
            return Some(Kept::Unusable {
                environment,
                problem,
            });
        }
        if self.retention.is_none() {
            return Some(Kept::NoRetention { environment });
        }
        if self.ledger.is_none() {
            return Some(Kept::LedgerUnknown { environment });
        }
        None
    }

    /// Whether a record speaks of this artifact in this environment.
    pub(super) fn is_of(&self, seen: &Seen) -> bool {
        seen.space == self.space
            && seen.target_environment == self.environment
            && seen.artifact.name == self.artifact
    }
}
