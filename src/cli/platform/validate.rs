//! `floe platform validate`: what the gate `policy_compliance` will say, before anything is published.

use std::path::{Path, PathBuf};

use kube::ResourceExt as _;
use serde::Serialize;

use super::args::{ClusterArguments, ValidateArguments};
use super::cluster::connect;
use super::failure::{Failure, Result};
use super::files::{collect, refused};
use super::present::{Present, present};
use super::request::{artifact, environment, sole_upstream};
use crate::api::EnvironmentPolicy;
use crate::cli::{ExitCode, output};
use crate::domain::compliance::{
    self, Finding, Input, MANIFEST, Report, RuleSet, Severity, Subject,
};
use crate::domain::layout::{MANIFEST_TYPE, PackOptions, pack};
use crate::domain::names::Version;
use crate::domain::policy::{Environments, rule_set};
use crate::effects::bounded::{self, RULES_LIMIT};
use crate::effects::clock;

/// The answer of `floe platform validate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Validated {
    passed: bool,
    /// Digest that the artifact will have, when it is published with this version and nothing else.
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    findings: Vec<Finding>,
    note: String,
}

/// What the environment says.
#[derive(Default)]
struct Target {
    rules: RuleSet,
    environment: String,
    artifact: String,
    from: Option<String>,
}

/// Runs the command.
pub(super) async fn run(
    cluster: &ClusterArguments,
    arguments: &ValidateArguments,
) -> Result<ExitCode> {
    if let Some(version) = &arguments.version {
        version
            .parse::<Version>()
            .map_err(|why| Failure::usage(format!("--version: {why}")))?;
    }
    let target = target(cluster, arguments).await?;
    let environment = Some(target.environment.clone()).filter(|name| !name.is_empty());
    let input = input(arguments, target)?;
    let digest = input.subject.digest.clone();
    let report = bounded::run(RULES_LIMIT, move || compliance::check(&input))
        .await
        .map_err(|why| Failure::new(ExitCode::Unexpected, why.to_string()))?;
    let passed = report.passed();
    let Report { findings, note } = report;
    let validated = Validated {
        passed,
        digest,
        environment,
        findings,
        note,
    };
    let written = present(&validated, arguments.output.format);
    Ok(if passed || written != ExitCode::Done {
        written
    } else {
        ExitCode::GateFailed
    })
}

impl Present for Validated {
    fn text(&self, _wide: bool) -> String {
        let mut text = String::new();
        for severity in [Severity::Error, Severity::Warning] {
            let group = self.findings.iter().filter(|one| one.severity == severity);
            let before = text.len();
            for finding in group {
                text.push_str(&compliance::line(finding));
                text.push('\n');
            }
            if text.len() > before {
                text.push('\n');
            }
        }
        text + &self.note + "\n"
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The files as publish would pack them, and what is checked in them.
fn input(arguments: &ValidateArguments, target: Target) -> Result<Input> {
    let collected = collect(&arguments.paths)?;
    for path in &collected.left_out {
        output::note(&format!("left out: {}", path.display()));
    }
    let documents = collected
        .files
        .iter()
        .filter(|file| compliance::is_document(&file.path));
    let files: Vec<(String, Vec<u8>)> = documents
        .map(|file| (file.path.clone(), file.bytes.clone()))
        .collect();
    let manifest = files.iter().find(|(path, _)| path == MANIFEST);
    let version = arguments
        .version
        .clone()
        .or_else(|| compliance::version_in(&manifest?.1));
    let options = PackOptions {
        version: version.unwrap_or_default(),
        ..PackOptions::default()
    };
    let packed = pack(collected.files, &options).map_err(|why| refused(&why))?;
    Ok(Input {
        files,
        subject: Subject {
            artifact: target.artifact,
            version: arguments.version.clone(),
            digest: packed.digest.to_string(),
            media_type: MANIFEST_TYPE.to_owned(),
            annotations: compliance::annotations_of(&packed.manifest),
            environment: target.environment,
            from: target.from,
        },
        rules: target.rules,
        today: clock::today(),
        strict: arguments.strict,
    })
}

async fn target(cluster: &ClusterArguments, arguments: &ValidateArguments) -> Result<Target> {
    if !arguments.policy.is_empty() {
        let mut policies = Vec::new();
        for path in &arguments.policy {
            policies.extend(policies_in(path)?);
        }
        let policy = chosen(&policies, &arguments.policy, arguments.env.as_deref())?;
        return Target::of(policy, arguments);
    }
    if let Some(word) = &arguments.env {
        let space = connect(cluster).await?;
        let policies = space.list_policies().await?;
        return Target::of(environment(&policies, &space.namespace, word)?, arguments);
    }
    Ok(Target {
        artifact: arguments.artifact.clone().unwrap_or_default(),
        from: arguments.from.clone(),
        ..Target::default()
    })
}

impl Target {
    fn of(policy: &EnvironmentPolicy, arguments: &ValidateArguments) -> Result<Self> {
        let name = policy.name_any();
        Ok(Self {
            rules: rule_set(&policy.spec)
                .map_err(|why| Failure::usage(format!("EnvironmentPolicy '{name}': {why}")))?,
            artifact: artifact(policy, arguments.artifact.as_deref())?,
            from: match &arguments.from {
                Some(from) => Some(from.clone()),
                None => sole_upstream(policy)?,
            },
            environment: name,
        })
    }
}

/// The policies in a file; objects of other kinds are none of ours.
fn policies_in(path: &Path) -> Result<Vec<EnvironmentPolicy>> {
    let wrong = |why: String| Failure::usage(format!("cannot read '{}': {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple_with_options(&text, options)
        .map_err(|error| wrong(error.to_string()))?;
    objects
        .into_iter()
        .filter(|object| {
            object.get("kind").and_then(serde_json::Value::as_str) == Some("EnvironmentPolicy")
        })
        .map(|object| serde_json::from_value(object).map_err(|error| wrong(error.to_string())))
        .collect()
}

fn chosen<'a>(
    policies: &'a [EnvironmentPolicy],
    paths: &[PathBuf],
    word: Option<&str>,
) -> Result<&'a EnvironmentPolicy> {
    let mut names: Vec<String> = policies.iter().map(kube::ResourceExt::name_any).collect();
    names.sort();
    let place: Vec<String> = paths
        .iter()
        .map(|path| format!("'{}'", path.display()))
        .collect();
    let (names, place) = (names.join(", "), place.join(", "));
    match (word, policies) {
        (_, []) => Err(Failure::usage(format!(
            "there is no EnvironmentPolicy in {place}"
        ))),
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::usage(format!(
            "there are several EnvironmentPolicies in {place}: say which one with --env ({names})"
        ))),
        (Some(word), _) => Environments::by_alias(policies, word)
            .and_then(|name| policies.iter().find(|policy| policy.name_any() == name))
            .ok_or_else(|| {
                Failure::usage(format!(
                    "there is no environment '{word}' in {place} (there is: {names})"
                ))
            }),
    }
}
