//! `floe platform publish`: packs files, pushes them, and promotes them into the first environment.

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::args::PublishArguments;
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::files::{collect, refused};
use super::login::access;
use super::present::{Present, present, promotion_name};
use super::promote::carry_out;
use super::request::{Typed, artifact, asked, environment};
use super::view::PromotionView;
use super::wait::Until;
use crate::api::{ArtifactSource, EnvironmentPolicy};
use crate::cli::{ExitCode, output};
use crate::domain::artifact::{Repository, Tag};
use crate::domain::layout::{PackOptions, Packed, pack};
use crate::domain::names::{Version, bare_tag};
use crate::domain::policy::Environments;
use crate::effects::registry::{
    ManifestType, RawManifest, Reference, Registry, TagReceipt, TagRefusal,
};

/// Blobs that are pushed side by side.
const SIDE_BY_SIDE: usize = 8;

/// The answer of `floe platform publish`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Published {
    pub(super) artifact: String,
    pub(super) version: String,
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) digest: String,
    pub(super) files: usize,
    /// The tag had this digest before; nothing was pushed.
    pub(super) already_there: bool,
    /// The way into the first environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) promotion: Option<PromotionView>,
}

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &PublishArguments) -> Result<ExitCode> {
    let version: Version = arguments
        .version
        .parse()
        .map_err(|why| Failure::usage(format!("--version: {why}")))?;
    let packed = packed(arguments).await?;
    let policies = space.list_policies().await?;
    let policy = first_environment(&policies, &space.namespace, arguments)?;
    let artifact = artifact(policy, arguments.artifact.as_deref())?;
    let source = source(policy, &artifact)?;
    let target = Target {
        repository: source
            .repository
            .parse()
            .map_err(|why| Failure::usage(format!("artifact '{artifact}' of the policy: {why}")))?,
        tag: tag(&policies, &version)?,
    };
    let access = access(source, &target.repository, &arguments.registry)?;
    let already_there = push(&Registry::new(&access)?, &target, &packed).await?;
    let mut published = Published {
        version: arguments.version.clone(),
        repository: target.repository.to_string(),
        tag: target.tag.to_string(),
        digest: packed.digest.to_string(),
        files: packed.files,
        already_there,
        promotion: None,
        artifact,
    };
    output::note(&published.sentence());
    if arguments.no_promote {
        return Ok(present(&published, arguments.output.format));
    }

    let typed = Typed {
        artifact: Some(&published.artifact),
        version: &arguments.version,
        to: &policy.name_any(),
        digest: Some(&published.digest),
        reason: arguments.request.reason.as_deref(),
        on_behalf_of: arguments.request.on_behalf_of.as_deref(),
        name: arguments.request.name.as_deref(),
        ..Typed::default()
    };
    let asked = asked(&policies, &space.namespace, &typed)?;
    let carried_out = carry_out(space, &asked, &arguments.wait, Until::Ended).await?;
    published.promotion = Some(carried_out.view.clone());
    let written = present(&published, arguments.output.format);
    Ok(carried_out.exit(written))
}

impl Published {
    fn sentence(&self) -> String {
        let Self {
            repository,
            tag,
            digest,
            files,
            already_there,
            ..
        } = self;
        let word = if *files == 1 { "file" } else { "files" };
        if *already_there {
            format!("{repository}:{tag} is there already with these {files} {word}: {digest}")
        } else {
            format!("{repository}:{tag} published with {files} {word}: {digest}")
        }
    }
}

impl Present for Published {
    fn text(&self, wide: bool) -> String {
        match &self.promotion {
            Some(promotion) => promotion.text(wide),
            None => format!("{}@{}\n", self.repository, self.digest),
        }
    }

    fn names(&self) -> Vec<String> {
        let promotion = self.promotion.iter();
        promotion.map(|view| promotion_name(&view.name)).collect()
    }
}

struct Target {
    repository: Repository,
    tag: Tag,
}

struct PackedFiles {
    packed: Packed,
    files: usize,
}

impl std::ops::Deref for PackedFiles {
    type Target = Packed;
    fn deref(&self) -> &Packed {
        &self.packed
    }
}

async fn packed(arguments: &PublishArguments) -> Result<PackedFiles> {
    let options = PackOptions {
        version: arguments.version.clone(),
        revision: arguments.revision.clone(),
        source: arguments.source.clone(),
        created: created(arguments)?,
    };
    let paths = arguments.paths.clone();
    let working = tokio::task::spawn_blocking(move || {
        let collected = collect(&paths)?;
        for path in &collected.left_out {
            output::note(&format!("left out: {}", path.display()));
        }
        let files = collected.files.len();
        let packed = pack(collected.files, &options).map_err(|why| refused(&why))?;
        Ok(PackedFiles { packed, files })
    });
    working
        .await
        .map_err(|error| Failure::new(ExitCode::Unexpected, format!("packing ended: {error}")))?
}

fn created(arguments: &PublishArguments) -> Result<Option<Timestamp>> {
    let epoch = arguments.source_date_epoch.map(|seconds| {
        Timestamp::from_second(seconds)
            .map_err(|why| Failure::usage(format!("SOURCE_DATE_EPOCH: {why}")))
    });
    Ok(arguments.created.or(epoch.transpose()?))
}

/// The environment that takes what is published: the one that was named, or the only one.
fn first_environment<'a>(
    policies: &'a [EnvironmentPolicy],
    namespace: &str,
    arguments: &PublishArguments,
) -> Result<&'a EnvironmentPolicy> {
    if let Some(word) = &arguments.to {
        let policy = environment(policies, namespace, word)?;
        if !policy.spec.promotes_from.is_empty() {
            return Err(Failure::new(
                ExitCode::InvalidTransition,
                format!(
                    "environment '{}' takes versions from {}, not from publish: publish into a first environment, then promote",
                    policy.name_any(),
                    policy.spec.promotes_from.join(", ")
                ),
            ));
        }
        return Ok(policy);
    }
    let takes = |policy: &&EnvironmentPolicy| {
        policy.spec.promotes_from.is_empty()
            && arguments.artifact.as_ref().is_none_or(|name| {
                policy
                    .spec
                    .artifacts
                    .iter()
                    .any(|source| source.name == *name)
            })
    };
    let firsts: Vec<&EnvironmentPolicy> = policies.iter().filter(takes).collect();
    match firsts.as_slice() {
        [only] => Ok(*only),
        [] => {
            let named = arguments.artifact.as_ref();
            let what = named.map_or_else(|| "an artifact".to_owned(), |name| format!("'{name}'"));
            Err(Failure::new(
                ExitCode::InvalidTransition,
                format!(
                    "namespace '{namespace}' has no first environment that takes {what}: an EnvironmentPolicy \
                     without promotesFrom that lists it (another namespace is named with -n)"
                ),
            ))
        }
        several => Err(Failure::usage(format!(
            "there are several first environments: say which one with --to ({})",
            several
                .iter()
                .map(|policy| policy.name_any())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn source<'a>(policy: &'a EnvironmentPolicy, artifact: &str) -> Result<&'a ArtifactSource> {
    let mut sources = policy.spec.artifacts.iter();
    sources
        .find(|source| source.name == artifact)
        .ok_or_else(|| {
            let message = format!(
                "environment '{}' has no artifact '{artifact}'",
                policy.name_any()
            );
            Failure::new(ExitCode::InvalidTransition, message)
        })
}

fn tag(policies: &[EnvironmentPolicy], version: &Version) -> Result<Tag> {
    let here: Vec<&EnvironmentPolicy> = policies.iter().collect();
    let environments = Environments::of(&here, &std::collections::BTreeMap::new());
    bare_tag(version, &environments.suffixes())
        .map_err(|why| Failure::usage(format!("--version: {why}")))
}

/// Blobs first, then the manifest under the tag. `true` when the tag had this digest before.
async fn push(registry: &Registry, target: &Target, packed: &Packed) -> Result<bool> {
    let Target { repository, tag } = target;
    let there = registry
        .head_manifest(repository, &Reference::Tag(tag.clone()))
        .await?;
    match there {
        Some(head) if head.digest == packed.digest => return Ok(true),
        Some(head) => {
            let (tag, found) = (tag.clone(), head.digest);
            return Err(TagRefusal::Taken { tag, found }.into());
        }
        None => {}
    }
    let pushing = packed
        .blobs
        .iter()
        .map(|blob| push_blob(registry, repository, &blob.bytes));
    futures::stream::iter(pushing)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect::<Vec<()>>()
        .await?;
    let manifest = RawManifest::new(packed.manifest.clone(), ManifestType::OciManifest);
    let receipt = registry.tag(repository, tag, &manifest).await?;
    Ok(matches!(receipt, TagReceipt::AlreadyThere))
}

async fn push_blob(registry: &Registry, repository: &Repository, bytes: &[u8]) -> Result<()> {
    registry.push_blob(repository, bytes.to_vec()).await?;
    Ok(())
}
