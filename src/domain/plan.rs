//! From a request to exact names: which tag is read, which tags are written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::artifact::{Digest, Repository, Tag};
use super::names::{InvalidVersion, Version, bare_tag, environment_tag, latest_tag};
use super::policy::{Environment, Environments};
use super::request::Request;
use crate::api::PlanStatus;

/// Which tag is read and which tags are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Artifact.
    pub artifact: String,
    /// Version, as it was published.
    pub version: Version,
    /// Environment it comes from; none for the first one.
    pub from: Option<String>,
    /// Environment it enters.
    pub to: String,
    /// Repository in which the tags are written.
    pub repository: Repository,
    /// Repository from which the artifact is copied first, when it is another one.
    #[serde(default)]
    pub source_repository: Option<Repository>,
    /// Tag that is read.
    pub source_tag: Tag,
    /// Tag that is written once.
    pub tag: Tag,
    /// Tag that moves.
    pub latest_tag: Tag,
}

/// A route and the digest that the source tag named when it was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The names.
    pub route: Route,
    /// The manifest that gates judge and tags name.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// When the source was resolved.
    pub resolved_at: Timestamp,
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No policy of that name.
    Environment(String),
    /// The policy has no such artifact.
    Artifact {
        /// Name that was asked for.
        name: String,
        /// Environment whose policy lacks it.
        environment: String,
    },
    /// The policy cannot be used now.
    Policy {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The environment does not take from there, or the request does not say enough.
    Transition(String),
    /// The version gives no good tag.
    Version(InvalidVersion),
}

impl Route {
    /// Fills in what the request leaves out, and checks the way against the policies.
    pub fn resolve(request: &Request, environments: &Environments) -> Result<Self, NoRoute> {
        let version: Version = request.version.parse().map_err(NoRoute::Version)?;
        let to = usable(environments, &request.to)?;
        let from = upstream(request, to)?;
        let from = from.map(|name| usable(environments, name)).transpose()?;
        let artifact = artifact_name(request, to)?;
        let repository = repository_of(to, &artifact)?;
        let source_repository = from
            .map(|from| repository_of(from, &artifact))
            .transpose()?
            .filter(|source| *source != repository);
        let suffixes = environments.suffixes();
        let source_tag = match from {
            Some(from) => environment_tag(&version, &from.suffix, &suffixes),
            None => bare_tag(&version, &suffixes),
        };
        let no_latest = || NoRoute::Policy {
            name: to.name.clone(),
            problem: format!("suffix '{}' gives no valid tag", to.suffix),
        };
        Ok(Self {
            source_tag: source_tag.map_err(NoRoute::Version)?,
            tag: environment_tag(&version, &to.suffix, &suffixes).map_err(NoRoute::Version)?,
            latest_tag: latest_tag(&to.suffix).ok_or_else(no_latest)?,
            from: from.map(|from| from.name.clone()),
            to: to.name.clone(),
            artifact,
            version,
            repository,
            source_repository,
        })
    }

    /// The repository in which the source tag lies, and from which gates fetch.
    pub fn source(&self) -> &Repository {
        self.source_repository.as_ref().unwrap_or(&self.repository)
    }
}

impl Plan {
    /// The plan that a status holds; `None` when it was written by something that is not floe.
    pub fn of(request: &Request, status: &PlanStatus) -> Option<Self> {
        Some(Self {
            route: Route {
                artifact: status.artifact.clone(),
                version: request.version.parse().ok()?,
                from: status.from.clone(),
                to: request.to.clone(),
                repository: status.repository.parse().ok()?,
                source_repository: match &status.source_repository {
                    Some(source) => Some(source.parse().ok()?),
                    None => None,
                },
                source_tag: status.source_tag.parse().ok()?,
                tag: status.tag.parse().ok()?,
                latest_tag: status.latest_tag.parse().ok()?,
            },
            digest: status.digest.parse().ok()?,
            media_type: status.media_type.clone(),
            resolved_at: status.resolved_at.0,
        })
    }

    /// As the status stores it.
    pub fn to_status(&self) -> PlanStatus {
        let Route {
            artifact,
            version: _,
            from,
            to: _,
            repository,
            source_repository,
            source_tag,
            tag,
            latest_tag,
        } = &self.route;
        PlanStatus {
            artifact: artifact.clone(),
            from: from.clone(),
            repository: repository.to_string(),
            source_repository: source_repository.as_ref().map(Repository::to_string),
            source_tag: source_tag.to_string(),
            digest: self.digest.to_string(),
            media_type: self.media_type.clone(),
            tag: tag.to_string(),
            latest_tag: latest_tag.to_string(),
            resolved_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.resolved_at),
        }
    }
}

fn usable<'a>(environments: &'a Environments, name: &str) -> Result<&'a Environment, NoRoute> {
    let environment = environments
        .get(name)
        .ok_or_else(|| NoRoute::Environment(name.to_owned()))?;
    match &environment.problem {
        Some(problem) => Err(NoRoute::Policy {
            name: name.to_owned(),
            problem: problem.clone(),
        }),
        None => Ok(environment),
    }
}

/// The environment it comes from: named and allowed, or the only one there is.
fn upstream<'a>(request: &'a Request, to: &'a Environment) -> Result<Option<&'a str>, NoRoute> {
    let listed = to.promotes_from.join(", ");
    match (&request.from, to.promotes_from.as_slice()) {
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only)),
        (None, _) => Err(NoRoute::Transition(format!(
            "'{}' takes from several environments ({listed}): say in spec.from which one is meant",
            to.name
        ))),
        (Some(from), []) => Err(NoRoute::Transition(format!(
            "'{}' is a first environment: it takes what was published, not what is in '{from}' (leave spec.from out)",
            to.name
        ))),
        (Some(from), several) if several.contains(from) => Ok(Some(from)),
        (Some(from), _) => Err(NoRoute::Transition(format!(
            "'{}' does not take from '{from}'; it takes from {listed}",
            to.name
        ))),
    }
}

fn artifact_name(request: &Request, to: &Environment) -> Result<String, NoRoute> {
    if let Some(name) = &request.artifact {
        return Ok(name.clone());
    }
    let mut names = to.artifacts.keys();
    match (names.next(), names.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => Err(NoRoute::Transition(format!(
            "'{}' has several artifacts ({}): say in spec.artifact which one is meant",
            to.name,
            to.artifacts.keys().cloned().collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn repository_of(environment: &Environment, artifact: &str) -> Result<Repository, NoRoute> {
    environment
        .artifacts
        .get(artifact)
        .cloned()
        .ok_or_else(|| NoRoute::Artifact {
            name: artifact.to_owned(),
            environment: environment.name.clone(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_from_the_status_as_it_was_written() {
        let promotion = crate::api::Promotion::new(
            "release",
            crate::api::PromotionSpec {
                version: "v1.2.3+b".to_owned(),
                to: "prod".to_owned(),
                ..crate::api::PromotionSpec::default()
            },
        );
        let request = Request::of(&promotion);
        let plan = Plan {
            route: Route {
                artifact: "app".to_owned(),
                version: "v1.2.3+b".parse().unwrap(),
                from: Some("dev".to_owned()),
                to: "prod".to_owned(),
                repository: "registry.example/team/app".parse().unwrap(),
                source_repository: Some("staging.example/team/app".parse().unwrap()),
                source_tag: "v1.2.3_b-dev".parse().unwrap(),
                tag: "v1.2.3_b-prod".parse().unwrap(),
                latest_tag: "latest-prod".parse().unwrap(),
            },
            digest: Digest::of(b"manifest"),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            resolved_at: "2026-03-02T10:00:00Z".parse().unwrap(),
        };
        let status = plan.to_status();
        assert_eq!(Plan::of(&request, &status), Some(plan));
        let strange = PlanStatus {
            digest: "sha256:short".to_owned(),
            ..status
        };
        assert_eq!(Plan::of(&request, &strange), None);
    }
}
