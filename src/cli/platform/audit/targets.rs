//! From what was typed to the chains that are read.

use std::path::PathBuf;

use kube::ResourceExt as _;

use super::args::ChainArguments;
use crate::api::{ArtifactSource, EnvironmentPolicy};
use crate::cli::ExitCode;
use crate::cli::platform::args::ClusterArguments;
use crate::cli::platform::cluster::{Space, connect};
use crate::cli::platform::failure::{Failure, Result};
use crate::cli::platform::login::access_to;
use crate::cli::platform::overview::in_flow_order;
use crate::cli::platform::request::environment;
use crate::domain::artifact::Repository;
use crate::domain::audit::{Chain, Ledger, Logs, Problem, Signed};
use crate::domain::record::{KeyRing, Recorded};
use crate::effects::audit::{Depth, Others, Source, Verified, limits, verify};
use crate::effects::registry::Registry;

/// The chains that are asked about.
pub(super) struct Targets {
    pub(super) space: String,
    /// The cluster; none when only a registry is asked.
    cluster: Option<Space>,
    pub(super) chains: Vec<Target>,
    keys: KeyRing,
}

/// One chain and where it lies.
pub(super) struct Target {
    pub(super) chain: Chain,
    plain_http: bool,
    suffix: String,
    suffixes: Vec<String>,
    ledger: Option<Ledger>,
}

impl Targets {
    pub(super) async fn of(cluster: &ClusterArguments, arguments: &ChainArguments) -> Result<Self> {
        let keys = match arguments.key.as_slice() {
            [] => None,
            files => Some(read_keys(files).await?),
        };
        if let Some(repository) = &arguments.repository {
            return of_registry(cluster, arguments, repository, keys.unwrap_or_default());
        }
        let space = connect(cluster).await?;
        let keys = match keys {
            Some(keys) => keys,
            None => space.public_keys(&arguments.keys).await?,
        };
        if keys.keys().is_empty() {
            return Err(no_key(&space.namespace, &arguments.keys.operator_namespace));
        }
        let policies = space.list_policies().await?;
        let named = arguments.environments.iter();
        let named: Vec<&EnvironmentPolicy> = named
            .map(|word| environment(&policies, &space.namespace, word))
            .collect::<Result<_>>()?;
        let chosen = if named.is_empty() {
            in_flow_order(&policies)
        } else {
            named
        };
        let suffixes: Vec<String> = policies.iter().map(suffix).collect();
        let mut chains = Vec::new();
        for policy in chosen {
            let wanted = |source: &&ArtifactSource| {
                let name = arguments.artifact.as_ref();
                name.is_none_or(|name| source.name == *name)
            };
            for source in policy.spec.artifacts.iter().filter(wanted) {
                chains.push(Target {
                    chain: Chain {
                        space: space.namespace.clone(),
                        environment: policy.name_any(),
                        artifact: source.name.clone(),
                        repository: parse(&source.repository)?,
                    },
                    plain_http: source.plain_http,
                    suffix: suffix(policy),
                    suffixes: suffixes.clone(),
                    ledger: Some(ledger(policy, &source.name)),
                });
            }
        }
        if let (true, Some(name)) = (chains.is_empty(), &arguments.artifact) {
            return Err(Failure::new(
                ExitCode::InvalidTransition,
                format!("no environment that was asked about has an artifact '{name}'"),
            ));
        }
        Ok(Self {
            space: space.namespace.clone(),
            cluster: Some(space),
            chains,
            keys,
        })
    }

    /// Whether a cluster was asked too.
    pub(super) fn has_ledger(&self) -> bool {
        self.cluster.is_some()
    }

    /// Reads one chain, and tells of each good record, the newest first.
    pub(super) async fn read(
        &self,
        target: &Target,
        arguments: &ChainArguments,
        depth: Depth,
        logs: Option<&Logs>,
        mut each: impl FnMut(&Signed, &Recorded),
    ) -> Result<Verified> {
        let Target {
            chain,
            plain_http,
            suffix,
            suffixes,
            ledger: known,
        } = target;
        if let Some(why) = known.as_ref().and_then(|ledger| ledger.unreadable.as_ref()) {
            return Err(Failure::new(
                ExitCode::Unexpected,
                format!(
                    "the ledger of environment '{}' cannot be read: {why}",
                    chain.environment
                ),
            ));
        }
        let (ca, folder) = (&arguments.registry.ca, &arguments.registry.docker_config);
        let repository = &chain.repository;
        let mut access = access_to(repository, *plain_http, ca.as_deref(), folder.as_deref())?;
        access.limits = limits();
        let registry = Registry::new(&access)?;
        let source = Source {
            registry: &registry,
            keys: &self.keys,
            suffix,
            suffixes,
        };
        let verified = verify(
            &source,
            chain,
            &Others {
                ledger: known.as_ref(),
                logs,
            },
            depth,
            &mut each,
        )
        .await;
        let behind = |verified: &Verified| {
            let mut bad = verified.verdict.bad.iter();
            bad.any(|bad| matches!(bad.problem, Problem::LedgerBehind(_)))
        };
        let Some(space) = self.cluster.as_ref().filter(|_| behind(&verified)) else {
            return Ok(verified);
        };
        // A promotion may have ended since the ledger was read.
        let policy = space.policy(&chain.environment).await?;
        let now = policy.map(|policy| ledger(&policy, &chain.artifact));
        if now.is_none() || now == *known {
            return Ok(verified);
        }
        Ok(verify(
            &source,
            chain,
            &Others {
                ledger: now.as_ref(),
                logs,
            },
            depth,
            &mut |_, _| (),
        )
        .await)
    }
}

fn of_registry(
    cluster: &ClusterArguments,
    arguments: &ChainArguments,
    repository: &str,
    keys: KeyRing,
) -> Result<Targets> {
    let [environment] = arguments.environments.as_slice() else {
        return Err(Failure::usage(
            "with --repository one ENVIRONMENT is read: records of each have their own chain",
        ));
    };
    let (Some(artifact), Some(space)) = (&arguments.artifact, &cluster.namespace) else {
        return Err(Failure::usage(
            "with --repository no cluster is asked, so say with --namespace (-n) whose records these are",
        ));
    };
    let suffix = arguments.suffix.as_ref().unwrap_or(environment).clone();
    let target = Target {
        chain: Chain {
            space: space.clone(),
            environment: environment.clone(),
            artifact: artifact.clone(),
            repository: parse(repository)?,
        },
        plain_http: arguments.plain_http,
        suffixes: vec![suffix.clone()],
        suffix,
        ledger: None,
    };
    Ok(Targets {
        space: space.clone(),
        cluster: None,
        chains: vec![target],
        keys,
    })
}

async fn read_keys(files: &[PathBuf]) -> Result<KeyRing> {
    let mut pem = String::new();
    for file in files {
        let cannot = |why: String| {
            Failure::usage(format!(
                "cannot read the key in '{}': {why}",
                file.display()
            ))
        };
        let text = tokio::fs::read_to_string(file)
            .await
            .map_err(|error| cannot(error.to_string()))?;
        let ring = KeyRing::from_pem(&text).map_err(|not| cannot(not.to_string()))?;
        if ring.keys().is_empty() {
            return Err(cannot("there is none in it".to_owned()));
        }
        pem.push_str(text.trim());
        pem.push('\n');
    }
    KeyRing::from_pem(&pem).map_err(|not| Failure::usage(format!("cannot read the keys: {not}")))
}

fn no_key(space: &str, operator_namespace: &str) -> Failure {
    Failure::new(
        ExitCode::Unexpected,
        format!(
            "namespace '{space}' has no key yet, as far as namespace '{operator_namespace}' knows, so nothing in it can \
             be proven: it gets one with its first promotion (is the operator elsewhere? --operator-namespace; or name \
             a file with the key: --key)"
        ),
    )
}

fn ledger(policy: &EnvironmentPolicy, artifact: &str) -> Ledger {
    let mut ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    ledgers
        .find(|ledger| ledger.name == artifact)
        .map(Ledger::of)
        .unwrap_or_default()
}

fn suffix(policy: &EnvironmentPolicy) -> String {
    let suffix = policy.spec.tag_suffix.clone();
    suffix.unwrap_or_else(|| policy.name_any())
}

fn parse(repository: &str) -> Result<Repository> {
    repository
        .parse()
        .map_err(|why| Failure::usage(format!("repository '{repository}': {why}")))
}
