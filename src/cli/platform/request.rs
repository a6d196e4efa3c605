//! From what was typed to the Promotion that is asked for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;

use super::failure::{Failure, Result};
use crate::api::{EnvironmentPolicy, Promotion, PromotionSpec};
use crate::cli::ExitCode;
use crate::domain::artifact::Digest;
use crate::domain::names::{Version, dry_run_name, promotion_name};
use crate::domain::plan::{NoRoute, Route};
use crate::domain::policy::{Environments, conflicts};
use crate::domain::request::Request;

/// What was typed.
#[derive(Clone, Debug, Default)]
pub(super) struct Typed<'a> {
    pub(super) artifact: Option<&'a str>,
    pub(super) version: &'a str,
    pub(super) from: Option<&'a str>,
    pub(super) to: &'a str,
    pub(super) digest: Option<&'a str>,
    pub(super) dry_run: bool,
    pub(super) reason: Option<&'a str>,
    pub(super) on_behalf_of: Option<&'a str>,
    pub(super) name: Option<&'a str>,
}

/// A Promotion that is asked for, and its name for the first try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) spec: PromotionSpec,
}

/// Fills in what was left out, and refuses what can only fail: then nothing is created.
pub(super) fn asked(
    policies: &[EnvironmentPolicy],
    namespace: &str,
    typed: &Typed<'_>,
) -> Result<Asked> {
    let version: Version = typed
        .version
        .parse()
        .map_err(|why| Failure::usage(format!("{why}")))?;
    if let Some(digest) = typed.digest {
        digest
            .parse::<Digest>()
            .map_err(|why| Failure::usage(format!("--digest: {why}")))?;
    }
    let to = environment(policies, namespace, typed.to)?;
    let from = match typed.from {
        Some(word) => Some(environment(policies, namespace, word)?.name_any()),
        None => sole_upstream(to)?,
    };
    let artifact = artifact(to, typed.artifact)?;
    let spec = PromotionSpec {
        artifact: Some(artifact.clone()),
        version: typed.version.to_owned(),
        from,
        to: to.name_any(),
        digest: typed.digest.map(str::to_owned),
        dry_run: typed.dry_run,
        reason: typed.reason.map(str::to_owned),
        requested_by: None,
        on_behalf_of: typed.on_behalf_of.map(str::to_owned),
        abort: None,
    };
    refuse_dead_ends(policies, namespace, &spec)?;
    let name = typed.name.map_or_else(
        || promotion_name(&artifact, &version, &spec.to),
        str::to_owned,
    );
    let name = if typed.dry_run {
        dry_run_name(&name)
    } else {
        name
    };
    Ok(Asked { name, spec })
}

/// The policy of the environment with this name or alias.
pub(super) fn environment<'a>(
    policies: &'a [EnvironmentPolicy],
    namespace: &str,
    word: &str,
) -> Result<&'a EnvironmentPolicy> {
    Environments::by_alias(policies, word)
        .and_then(|name| policies.iter().find(|policy| policy.name_any() == name))
        .ok_or_else(|| {
            let mut names: Vec<String> = policies.iter().map(ResourceExt::name_any).collect();
            names.sort();
            let there = if names.is_empty() {
                "it has no EnvironmentPolicies; create them, or name another namespace with -n"
                    .to_owned()
            } else {
                format!("there is: {}", names.join(", "))
            };
            Failure::new(
                ExitCode::InvalidTransition,
                format!("there is no environment '{word}' in namespace '{namespace}' ({there})"),
            )
        })
}

/// The artifact that is meant: the one that was named, or the only one.
pub(super) fn artifact(policy: &EnvironmentPolicy, typed: Option<&str>) -> Result<String> {
    let listed: Vec<&str> = policy
        .spec
        .artifacts
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    match (typed, listed.as_slice()) {
        (Some(name), listed) if listed.contains(&name) => Ok(name.to_owned()),
        (Some(name), listed) => Err(Failure::new(
            ExitCode::InvalidTransition,
            format!(
                "environment '{}' has no artifact '{name}' (it has: {})",
                policy.name_any(),
                listed.join(", ")
            ),
        )),
        (None, [only]) => Ok((*only).to_owned()),
        (None, several) => Err(Failure::usage(format!(
            "environment '{}' has several artifacts: name one of {}",
            policy.name_any(),
            several.join(", ")
        ))),
    }
}

/// Whether this object asks for the same as `spec`: what one of them leaves open is no difference, nor
/// are reason and requester.
pub(super) fn same_request(existing: &Promotion, spec: &PromotionSpec) -> bool {
    let there = &existing.spec;
    let plan = existing
        .status
        .as_ref()
        .and_then(|status| status.plan.as_ref());
    let differ = |one: Option<&String>, other: Option<&String>| matches!((one, other), (Some(one), Some(other)) if one != other);
    let digest = there
        .digest
        .as_ref()
        .or_else(|| plan.map(|plan| &plan.digest));
    there.version == spec.version
        && there.to == spec.to
        && there.dry_run == spec.dry_run
        && !differ(there.artifact.as_ref(), spec.artifact.as_ref())
        && !differ(there.from.as_ref(), spec.from.as_ref())
        && !differ(digest, spec.digest.as_ref())
}

/// The environment from which this one takes, when there is one; several must be chosen from.
pub(super) fn sole_upstream(to: &EnvironmentPolicy) -> Result<Option<String>> {
    match to.spec.promotes_from.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        several => Err(Failure::usage(format!(
            "environment '{}' takes from several environments: say which one with --from ({})",
            to.name_any(),
            several.join(", ")
        ))),
    }
}

fn refuse_dead_ends(
    policies: &[EnvironmentPolicy],
    namespace: &str,
    spec: &PromotionSpec,
) -> Result<()> {
    let here: Vec<&EnvironmentPolicy> = policies.iter().collect();
    let lost: BTreeMap<String, String> = conflicts(&here)
        .into_iter()
        .map(|((_, name), sentence)| (name, sentence))
        .collect();
    let request = Request {
        space: namespace.to_owned(),
        name: String::new(),
        uid: String::new(),
        artifact: spec.artifact.clone(),
        version: spec.version.clone(),
        from: spec.from.clone(),
        to: spec.to.clone(),
        expected_digest: None,
        dry_run: spec.dry_run,
        reason: None,
        requested_by: None,
        on_behalf_of: None,
        abort: None,
        created_at: Timestamp::UNIX_EPOCH,
        deleted_at: None,
    };
    match Route::resolve(&request, &Environments::of(&here, &lost)) {
        // A policy that cannot be used can be mended while the Promotion waits for it.
        Ok(_) | Err(NoRoute::Policy { .. }) => Ok(()),
        Err(NoRoute::Version(why)) => Err(Failure::usage(format!(
            "{why}: publish it under another version"
        ))),
        Err(NoRoute::Transition(why)) => Err(Failure::new(ExitCode::InvalidTransition, why)),
        Err(NoRoute::Environment(name)) => Err(Failure::new(
            ExitCode::InvalidTransition,
            format!("there is no environment '{name}' in namespace '{namespace}'"),
        )),
        Err(NoRoute::Artifact { name, environment }) => Err(Failure::new(
            ExitCode::InvalidTransition,
            format!("environment '{environment}' has no artifact '{name}'"),
        )),
    }
}
