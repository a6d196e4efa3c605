//! What `floe platform repair` would do, and what it has done.

use kube::ResourceExt as _;
use serde::Serialize;

use super::args::RepairArguments;
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::login::access;
use super::present::{Present, policy_name, table};
use super::words::{or_dash, short_digest};
use crate::api::{
    ArtifactSource, ConditionType, EnvironmentPolicy, LedgerArtifact, find_condition,
};
use crate::cli::ExitCode;
use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::drift::{Difference, Kind, Rules, differences, sentence, tags};
use crate::domain::policy::Environment;
use crate::effects::registry::{RawManifest, Reference, Registry};
use crate::effects::{clock, drift};

/// The answer of `floe platform repair`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    pub(super) namespace: String,
    /// Environments whose tags were compared.
    pub(super) compared: Vec<String>,
    pub(super) repairs: Vec<Repair>,
}

/// One tag that does not name what it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Repair {
    pub(super) environment: String,
    pub(super) artifact: String,
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) version: String,
    /// `TagMoved` or `TagMissing`.
    pub(super) reason: String,
    /// What the tag named when the plan was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<String>,
    /// What it should name.
    pub(super) expected: String,
    pub(super) outcome: Outcome,
    /// Why it was not put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// What became of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Outcome {
    /// Nothing was written yet.
    Planned,
    /// The tag names again what it should.
    Restored,
    /// The manifest that it should name is gone.
    DigestGone,
    /// Ledger or registry changed meanwhile.
    Overtaken,
    /// The registry or the cluster did not let it happen.
    Failed,
}

/// A repair with what is needed to carry it out.
pub(super) struct Planned {
    pub(super) repair: Repair,
    pub(super) registry: Registry,
    pub(super) repository: Repository,
    pub(super) tag: Tag,
    /// What the tag gets; nothing when it is gone.
    pub(super) manifest: Option<RawManifest>,
    pub(super) code: ExitCode,
}

/// All of them.
pub(super) struct Plan {
    namespace: String,
    compared: Vec<String>,
    pub(super) planned: Vec<Planned>,
    /// What could not be compared, and why.
    blocked: Vec<Failure>,
}

/// Compares the tags of these environments with their ledgers.
pub(super) async fn plan(
    space: &Space,
    policies: &[&EnvironmentPolicy],
    arguments: &RepairArguments,
) -> Result<Plan> {
    let mut plan = Plan {
        namespace: space.namespace.clone(),
        compared: Vec::new(),
        planned: Vec::new(),
        blocked: Vec::new(),
    };
    for policy in policies {
        let sources = policy.spec.artifacts.iter();
        let named = |source: &&ArtifactSource| {
            arguments
                .artifact
                .as_ref()
                .is_none_or(|name| *name == source.name)
        };
        for source in sources.filter(named) {
            match comparable(policy, source) {
                Ok(ledger) => {
                    let replicas = source.replicas.iter();
                    let replicas = replicas.map(|replica| (replica.as_source(&source.name), true));
                    for (source, replica) in
                        std::iter::once((source.clone(), false)).chain(replicas)
                    {
                        let compared = compare(policy, &source, replica, ledger, arguments).await?;
                        plan.planned.extend(compared);
                    }
                    if plan.compared.last() != Some(&policy.name_any()) {
                        plan.compared.push(policy.name_any());
                    }
                }
                Err(failure) => plan.blocked.push(failure),
            }
        }
    }
    if plan.compared.is_empty() && plan.blocked.is_empty() {
        return Err(no_such_artifact(&plan.namespace, arguments));
    }
    Ok(plan)
}

/// What the ledger says that this tag must name.
pub(super) fn wanted_tag(
    policy: &EnvironmentPolicy,
    ledger: &LedgerArtifact,
    tag: &Tag,
) -> Option<Digest> {
    let wanted = tags(ledger, &Environment::of(policy).suffix);
    let wanted = wanted.into_iter().find(|wanted| wanted.tag == *tag);
    wanted.map(|wanted| wanted.digest)
}

/// What no repair brings back.
pub(super) fn missing_records(policy: &EnvironmentPolicy) -> Vec<String> {
    let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    let drift = ledgers.flat_map(|ledger| &ledger.drift);
    drift
        .filter(|drift| drift.reason == Kind::RecordMissing.as_str())
        .map(|drift| {
            format!(
                "{}: it cannot be made again; bring it back from a backup of the registry",
                sentence(drift)
            )
        })
        .collect()
}

impl Plan {
    /// Tags that would be written.
    pub(super) fn to_write(&self) -> usize {
        self.planned
            .iter()
            .filter(|planned| planned.repair.outcome == Outcome::Planned)
            .count()
    }

    /// For the user.
    pub(super) fn shown(&self) -> Shown {
        Shown {
            namespace: self.namespace.clone(),
            compared: self.compared.clone(),
            repairs: self
                .planned
                .iter()
                .map(|planned| planned.repair.clone())
                .collect(),
        }
    }

    /// How the command ends: by what went wrong first.
    pub(super) fn code(&self) -> ExitCode {
        let of_repairs = self.planned.iter().map(|planned| planned.code);
        of_repairs
            .chain(self.blocked.iter().map(|failure| failure.code))
            .find(|code| *code != ExitCode::Done)
            .unwrap_or(ExitCode::Done)
    }

    /// Why tags were not put back.
    pub(super) fn complaints(&self) -> Vec<String> {
        let of_repairs = self.planned.iter().filter_map(|planned| {
            let Repair {
                repository,
                tag,
                message,
                ..
            } = &planned.repair;
            let message = message.as_ref()?;
            Some(format!("{repository}:{tag} was not put back: {message}"))
        });
        of_repairs
            .chain(self.blocked.iter().map(ToString::to_string))
            .collect()
    }
}

impl Present for Shown {
    fn text(&self, wide: bool) -> String {
        let environments = self.compared.join(", ");
        if self.repairs.is_empty() && self.compared.is_empty() {
            return "Nothing was compared.\n".to_owned();
        }
        if self.repairs.is_empty() {
            return format!(
                "The tags of {environments} name what the ledger says: there is nothing to repair.\n"
            );
        }
        let mut header = vec![
            "ENVIRONMENT",
            "ARTIFACT",
            "TAG",
            "NAMED",
            "SHOULD NAME",
            "VERSION",
            "REPAIR",
        ];
        if wide {
            header.push("REPOSITORY");
        }
        let digest = |digest: Option<&str>| {
            if wide {
                or_dash(digest)
            } else {
                short_digest(digest)
            }
        };
        let rows = self.repairs.iter().map(|repair| {
            let mut cells = vec![
                repair.environment.clone(),
                repair.artifact.clone(),
                repair.tag.clone(),
                digest(repair.found.as_deref()),
                digest(Some(&repair.expected)),
                repair.version.clone(),
                repair.words().to_owned(),
            ];
            if wide {
                cells.push(repair.repository.clone());
            }
            cells
        });
        table(&header, rows.collect())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .repairs
            .iter()
            .map(|repair| policy_name(&repair.environment))
            .collect();
        names.dedup();
        names
    }
}

impl Repair {
    fn of(
        policy: &EnvironmentPolicy,
        source: &ArtifactSource,
        difference: &Difference,
        there: bool,
    ) -> Self {
        let expected = difference.expected.to_string();
        let message = (!there).then(|| {
            format!(
                "its manifest {}@{expected} is gone from the registry: push it there again with this very digest \
                 (from a backup, or from the repository of another environment), then give the command again",
                source.repository
            )
        });
        Self {
            environment: policy.name_any(),
            artifact: source.name.clone(),
            repository: source.repository.clone(),
            tag: difference.tag.to_string(),
            version: difference.version.clone(),
            reason: difference.kind.as_str().to_owned(),
            found: difference.found.as_ref().map(Digest::to_string),
            expected,
            outcome: if there {
                Outcome::Planned
            } else {
                Outcome::DigestGone
            },
            message,
        }
    }

    fn words(&self) -> &'static str {
        let moves = self.tag.starts_with("latest-");
        match self.outcome {
            Outcome::Planned if self.found.is_none() => "write again",
            Outcome::Planned if moves => "move back",
            Outcome::Planned => "SET BACK: somebody has overwritten a write-once tag",
            Outcome::Restored => "done",
            Outcome::DigestGone => "cannot: the digest is gone",
            Outcome::Overtaken => "not done: it changed meanwhile",
            Outcome::Failed => "failed",
        }
    }
}

/// The ledger of an artifact, when its tags can be compared with it.
fn comparable<'a>(
    policy: &'a EnvironmentPolicy,
    source: &ArtifactSource,
) -> Result<&'a LedgerArtifact> {
    let name = policy.name_any();
    let status = policy.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice());
    let valid = find_condition(conditions.unwrap_or_default(), ConditionType::Valid);
    if let Some(invalid) = valid.filter(|valid| valid.status == "False") {
        return Err(Failure::new(
            ExitCode::InvalidTransition,
            format!(
                "environment '{name}' is left alone: {}: {}; mend its policy first",
                invalid.reason, invalid.message
            ),
        ));
    }
    let ledger = status
        .iter()
        .flat_map(|status| &status.artifacts)
        .find(|ledger| ledger.name == source.name)
        .ok_or_else(|| {
            Failure::new(
                ExitCode::Unexpected,
                format!(
                    "environment '{name}' has no ledger of '{}' yet, so nobody knows what its tags should name; \
                     see why: kubectl describe fenv {name}",
                    source.name
                ),
            )
        })?;
    match &ledger.in_flight {
        Some(slot) => Err(Failure::new(
            ExitCode::Waiting,
            format!(
                "environment '{name}' is left alone: promotion '{}' writes there at this moment; \
                 give the command again when it has ended",
                slot.name
            ),
        )),
        None => Ok(ledger),
    }
}

async fn compare(
    policy: &EnvironmentPolicy,
    source: &ArtifactSource,
    replica: bool,
    ledger: &LedgerArtifact,
    arguments: &RepairArguments,
) -> Result<Vec<Planned>> {
    let repository: Repository = source.repository.parse().map_err(|why| {
        Failure::usage(format!("artifact '{}' of the policy: {why}", source.name))
    })?;
    let registry = Registry::new(&access(source, &repository, &arguments.registry)?)?;
    let environment = Environment::of(policy);
    let names = tags(ledger, &environment.suffix)
        .into_iter()
        .map(|wanted| wanted.tag);
    let seen = drift::named(&registry, &repository, names).await?;
    let mut planned = Vec::new();
    let rules = Rules {
        suffix: &environment.suffix,
        retention: environment.retention.as_ref(),
        replica,
    };
    for difference in differences(ledger, rules, &seen, clock::now()) {
        let reference = Reference::from(&difference.expected);
        let manifest = registry.get_manifest(&repository, &reference).await?;
        let there = manifest.is_some();
        planned.push(Planned {
            repair: Repair::of(policy, source, &difference, there),
            registry: registry.clone(),
            repository: repository.clone(),
            tag: difference.tag,
            manifest,
            code: if there {
                ExitCode::Done
            } else {
                ExitCode::NotPromoted
            },
        });
    }
    Ok(planned)
}

fn no_such_artifact(namespace: &str, arguments: &RepairArguments) -> Failure {
    let message = match &arguments.artifact {
        Some(artifact) => format!("none of these environments has an artifact '{artifact}'"),
        None => format!(
            "namespace '{namespace}' has no EnvironmentPolicies; name another namespace with -n"
        ),
    };
    Failure::new(ExitCode::InvalidTransition, message)
}
