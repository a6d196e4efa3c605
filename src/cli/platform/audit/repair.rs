//! `floe platform audit repair`: says which record is the newest, where the operator cannot tell.

use kube::ResourceExt as _;
use serde::Serialize;

use super::args::AuditRepairArguments;
use crate::api::{EnvironmentPolicy, LedgerArtifact};
use crate::cli::platform::cluster::Space;
use crate::cli::platform::failure::{Failure, Result};
use crate::cli::platform::present::{Present, policy_name, present};
use crate::cli::platform::request::environment;
use crate::cli::{ExitCode, output};

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Doubts {
    namespace: String,
    environment: String,
    artifacts: Vec<Doubt>,
}

/// An artifact of which it is not certain what was promoted last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Doubt {
    artifact: String,
    repository: String,
    /// What does not fit together.
    problem: String,
    /// The newest record that the ledger knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_head: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_sequence: Option<i64>,
    /// The record that somebody says is the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<String>,
}

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &AuditRepairArguments) -> Result<ExitCode> {
    let policies = space.list_policies().await?;
    let policy = environment(&policies, &space.namespace, &arguments.environment)?;
    let doubts = doubts(policy, arguments.artifact.as_deref());
    let Some(record) = &arguments.accept else {
        let shown = Doubts {
            namespace: space.namespace.clone(),
            environment: policy.name_any(),
            artifacts: doubts,
        };
        return Ok(present(&shown, arguments.output.format));
    };
    let [doubt] = doubts.as_slice() else {
        let names: Vec<&str> = doubts.iter().map(|doubt| doubt.artifact.as_str()).collect();
        return Err(Failure::usage(if names.is_empty() {
            format!(
                "the ledger of '{}' is in no doubt: there is nothing to accept",
                policy.name_any()
            )
        } else {
            format!(
                "name one of the artifacts {} with --artifact",
                names.join(", ")
            )
        }));
    };
    let mut artifacts = policy.spec.artifacts.clone();
    for source in &mut artifacts {
        if source.name == doubt.artifact {
            source.accepted_record = Some(record.clone());
        }
    }
    space.accept_records(policy, &artifacts).await?;
    output::note(&format!(
        "{record} is accepted as the newest record of '{}' in '{}'; the operator goes on once it has found it in the registry or in its audit log. A policy that lies in Git needs acceptedRecord there too until then",
        doubt.artifact,
        policy.name_any()
    ));
    Ok(ExitCode::Done)
}

fn doubts(policy: &EnvironmentPolicy, artifact: Option<&str>) -> Vec<Doubt> {
    let ledgers = policy.status.iter().flat_map(|status| &status.artifacts);
    ledgers
        .filter(|ledger| artifact.is_none_or(|name| ledger.name == name))
        .filter_map(|ledger| doubt(policy, ledger))
        .collect()
}

fn doubt(policy: &EnvironmentPolicy, ledger: &LedgerArtifact) -> Option<Doubt> {
    let mut sources = policy.spec.artifacts.iter();
    let source = sources.find(|source| source.name == ledger.name)?;
    let head = ledger.audit.as_ref();
    Some(Doubt {
        artifact: ledger.name.clone(),
        repository: source.repository.clone(),
        problem: ledger.unproven.clone()?,
        ledger_head: head.map(|head| head.record.clone()),
        ledger_sequence: head.map(|head| head.sequence),
        accepted: source.accepted_record.clone(),
    })
}

impl Present for Doubts {
    fn text(&self, _wide: bool) -> String {
        let (namespace, environment) = (&self.namespace, &self.environment);
        if self.artifacts.is_empty() {
            return format!("The ledger of '{environment}' is in no doubt.\n");
        }
        let mut text = String::new();
        for doubt in &self.artifacts {
            let Doubt {
                artifact,
                repository,
                problem,
                ..
            } = doubt;
            let head = match (doubt.ledger_sequence, &doubt.ledger_head) {
                (Some(sequence), Some(head)) => format!("record {sequence}, {head}"),
                _ => "no record".to_owned(),
            };
            let accepted = doubt.accepted.as_ref().map_or_else(String::new, |record| {
                format!("  accepted  {record}, which is not the newest one in the registry or in the audit log\n")
            });
            text.extend([format!(
                "Nothing is promoted into '{environment}' of artifact '{artifact}':\n  problem   {problem}\n  ledger    {head}\n{accepted}\
                 See which records there are, in the registry and in the operators' audit logs:\n  \
                 floe platform audit key -n {namespace} --pem > floe.pub\n  \
                 floe platform audit list {environment} --artifact {artifact} -n {namespace} --key floe.pub --repository {repository}\n\
                 Then say which one is the newest:\n  \
                 floe platform audit repair {environment} --artifact {artifact} -n {namespace} --accept sha256:...\n"
            )]);
        }
        text
    }

    fn names(&self) -> Vec<String> {
        vec![policy_name(&self.environment)]
    }
}
