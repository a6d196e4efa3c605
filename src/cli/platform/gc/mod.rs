//! `floe platform gc`: shows which old versions may be deleted from the registry, and deletes them when it is told to.

mod look;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;

use super::args::GcArguments;
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::login::access;
use super::present::present;
use super::request::environment;
use crate::api::{ArtifactSource, EnvironmentPolicy};
use crate::cli::{ExitCode, output};
use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::record::KeyRing;
use crate::domain::retention::{
    Contents, Item, ManifestPlan, held, manifest_plan, plan, roots, unexplained,
};
use crate::effects::cleanup::{
    self, Deleted, DoomedTag, Stopped, Unread, delete_manifests, delete_tags,
};
use crate::effects::registry::{ErrorKind, Registry, RegistryError};
use look::{Cluster, look};
use view::{Cleaned, CleanedRepository};

/// A repository and what of it is to be cleaned up.
struct Target {
    repository: Repository,
    source: ArtifactSource,
    /// Environment and artifact.
    chosen: BTreeSet<(String, String)>,
}

/// What is to be deleted in a repository, and what was.
struct Cleaning {
    items: Vec<Item>,
    manifests: ManifestPlan,
    deleted: Deleted,
    cluster: Cluster,
}

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &GcArguments) -> Result<ExitCode> {
    let policies = space.list_policies().await?;
    let targets = targets(&policies, space, arguments)?;
    let mut cleaned = Cleaned::new(&space.namespace, arguments.confirm);
    let mut failure = None;
    for target in &targets {
        match clean(space, target, arguments).await {
            Ok((cleaning, stopped)) => {
                for why in cleaning.cluster.unknown() {
                    output::note(&format!("note: {}: {why}", target.repository));
                    if arguments.confirm && cleaning.cluster.denied {
                        failure.get_or_insert_with(may_not_look);
                    }
                }
                for left in &cleaning.deleted.left {
                    output::note(&format!("note: {}: {left}", target.repository));
                }
                cleaned
                    .repositories
                    .push(CleanedRepository::of(&target.repository, &cleaning));
                if let Some(stopped) = stopped {
                    failure = Some(stopped);
                    break;
                }
            }
            Err(why) => {
                failure = Some(why);
                break;
            }
        }
    }
    if targets.is_empty() || !cleaned.repositories.is_empty() {
        let written = present(&cleaned, arguments.output.format);
        if written != ExitCode::Done {
            return Ok(written);
        }
    }
    failure.map_or(Ok(ExitCode::Done), Err)
}

/// The repositories of the environments that were named, or of all. An environment without retention is said so.
fn targets(
    policies: &[EnvironmentPolicy],
    space: &Space,
    arguments: &GcArguments,
) -> Result<Vec<Target>> {
    let named = arguments.environments.iter();
    let named: Vec<&EnvironmentPolicy> = named
        .map(|word| environment(policies, &space.namespace, word))
        .collect::<Result<_>>()?;
    let chosen = if named.is_empty() {
        policies.iter().collect()
    } else {
        named
    };
    let mut targets: BTreeMap<Repository, Target> = BTreeMap::new();
    let mut found = false;
    for policy in chosen {
        let wanted = |source: &&ArtifactSource| {
            arguments
                .artifact
                .as_ref()
                .is_none_or(|name| source.name == *name)
        };
        let sources: Vec<&ArtifactSource> = policy.spec.artifacts.iter().filter(wanted).collect();
        found |= !sources.is_empty();
        if policy.spec.retention.is_none() {
            output::note(&format!(
                "note: environment '{}' sets no retention, so it keeps everything",
                policy.name_any()
            ));
            continue;
        }
        for source in sources {
            let repository: Repository = source.repository.parse().map_err(|why| {
                Failure::usage(format!("artifact '{}' of the policy: {why}", source.name))
            })?;
            let target = targets.entry(repository.clone()).or_insert_with(|| Target {
                repository,
                source: source.clone(),
                chosen: BTreeSet::new(),
            });
            target
                .chosen
                .insert((policy.name_any(), source.name.clone()));
        }
    }
    if let (false, Some(name)) = (found, &arguments.artifact) {
        return Err(Failure::new(
            ExitCode::InvalidTransition,
            format!("no environment that was asked about has an artifact '{name}'"),
        ));
    }
    Ok(targets.into_values().collect())
}

/// Plans, and with `--confirm` deletes. What stopped it comes with what was done by then.
async fn clean(
    space: &Space,
    target: &Target,
    arguments: &GcArguments,
) -> Result<(Cleaning, Option<Failure>)> {
    let repository = &target.repository;
    let access = access(&target.source, repository, &arguments.registry)?;
    let registry = Registry::new(&access)?;
    let (mut facts, cluster) = look(space, &registry, target).await?;
    let keys = keys(space, arguments).await;
    facts.records = cleanup::records(&registry, repository, &unexplained(&facts), &keys).await?;
    let items = plan(&facts);
    let roots = roots(&facts, &items);
    let known = BTreeMap::new();
    let graph = cleanup::graph(&registry, repository, facts.tags.clone(), &roots, known).await?;
    let doomed = items.iter().filter(|item| item.verdict.deletes());
    let let_go: BTreeSet<Tag> = doomed.map(|item| item.tag.clone()).collect();
    let mut cleaning = Cleaning {
        manifests: manifest_plan(&graph, &let_go, &roots, &held(&facts)),
        items,
        deleted: Deleted::default(),
        cluster,
    };
    if !arguments.confirm {
        return Ok((cleaning, None));
    }

    let deleted = &mut cleaning.deleted;
    let goes = |item: &&Item| item.verdict.deletes();
    let tags = cleaning.items.iter().filter(goes).map(|item| DoomedTag {
        tag: item.tag.clone(),
        digest: item.digest.clone(),
        manifest_goes: cleaning.manifests.dooms(&item.digest),
    });
    let tags: Vec<DoomedTag> = tags.collect();
    if let Err(why) = delete_tags(&registry, repository, &tags, &facts.tags, deleted).await {
        return Ok((cleaning, Some(why.into())));
    }
    if cleaning.manifests.doomed.is_empty() {
        return Ok((cleaning, None));
    }
    let again = Again {
        space,
        registry: &registry,
        target,
        roots: &roots,
        contents: graph.contents,
        keys,
    };
    let stopped = again.delete_manifests(&mut cleaning).await;
    Ok((cleaning, stopped.err()))
}

/// The second half of a clean-up, when the tags are gone.
struct Again<'a> {
    space: &'a Space,
    registry: &'a Registry,
    target: &'a Target,
    roots: &'a BTreeSet<Digest>,
    contents: BTreeMap<Digest, Contents>,
    keys: KeyRing,
}

impl Again<'_> {
    /// Deletes manifests as planned, after another look: nothing goes that was not planned, nor what is used by
    /// now.
    async fn delete_manifests(self, cleaning: &mut Cleaning) -> Result<()> {
        let repository = &self.target.repository;
        let (mut facts, cluster) = look(self.space, self.registry, self.target).await?;
        if cluster.unknown().next().is_some() {
            cleaning.cluster = cluster;
            return Ok(());
        }
        let unexplained = unexplained(&facts);
        facts.records =
            cleanup::records(self.registry, repository, &unexplained, &self.keys).await?;
        let tags = facts.tags.clone();
        let graph =
            cleanup::graph(self.registry, repository, tags, self.roots, self.contents).await?;
        let now = manifest_plan(&graph, &BTreeSet::new(), self.roots, &held(&facts));
        let mut doomed = now.doomed;
        doomed.retain(|one| cleaning.manifests.dooms(&one.digest));
        let deleted = &mut cleaning.deleted;
        delete_manifests(self.registry, repository, &doomed, &facts.tags, deleted).await?;
        Ok(())
    }
}

/// The keys that may have signed records. Without them no record counts, and what only records explain is kept.
async fn keys(space: &Space, arguments: &GcArguments) -> KeyRing {
    match space.public_keys(&arguments.keys).await {
        Ok(keys) => keys,
        Err(why) => {
            output::note(&format!(
                "note: {why}; versions that only records know are kept"
            ));
            KeyRing::default()
        }
    }
}

fn may_not_look() -> Failure {
    Failure::new(
        ExitCode::NotAuthorized,
        "not everything was looked at (see above), so what may be used there was kept; ask for a ClusterRole that \
         lists EnvironmentPolicies, Promotions and ConfigMaps in all namespaces",
    )
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Registry(error) if error.kind() != ErrorKind::Unsupported => {
                of_registry(&error)
            }
            Unread::Registry(_) | Unread::Malformed { .. } | Unread::TooMany { .. } => Self::new(
                ExitCode::Unexpected,
                format!("{unread}: what it consists of is not known, so nothing is deleted there"),
            ),
        }
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Registry(error) => of_registry(&error),
            Stopped::ManifestLost { .. } | Stopped::TakesManifests { .. } => {
                Self::new(ExitCode::Unexpected, stopped.to_string())
            }
        }
    }
}

fn of_registry(error: &RegistryError) -> Failure {
    match error.kind() {
        ErrorKind::Denied => {
            let host = error.subject().split('/').next().unwrap_or_default();
            Failure::new(
                ExitCode::NotAuthorized,
                format!(
                    "{error}; log in with an account that may read and delete there: docker login {host}"
                ),
            )
        }
        ErrorKind::Unsupported => Failure::new(
            ExitCode::Unexpected,
            format!(
                "{error}; nothing else was tried. Switch deletion on in the registry, or delete what the plan shows \
                 with the registry's own tools"
            ),
        ),
        ErrorKind::Unavailable => Failure::new(
            ExitCode::Unexpected,
            format!("{error}; the same command can be given again"),
        ),
        _ => Failure::new(
            ExitCode::Unexpected,
            format!("{error}; nothing else was tried"),
        ),
    }
}
