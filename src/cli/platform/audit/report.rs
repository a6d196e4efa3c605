//! The answer of `floe platform audit verify`.

use jiff::Timestamp;
use serde::Serialize;

use super::logs::LogReport;
use crate::cli::ExitCode;
use crate::cli::platform::present::{Present, policy_name, table};
use crate::cli::platform::words::{dash, short_digest};
use crate::domain::audit::{Bad, Chain, Verdict};
use crate::effects::audit::Verified;
use crate::effects::registry::{ErrorKind, RegistryError};

/// Findings that are shown for one chain to people; JSON has all of them.
const SHOWN: usize = 20;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    pub(super) chains: Vec<ChainReport>,
    /// The operators' audit logs that were read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) logs: Vec<LogReport>,
    /// What this answer rests on, and what it cannot show.
    pub(super) proves: String,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChainReport {
    environment: String,
    artifact: String,
    repository: String,
    pub(super) verdict: Word,
    /// Good records.
    records: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<Newest>,
    /// When the oldest good record was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// What is wrong, the first record of the chain first.
    findings: Vec<Finding>,
    /// Why not everything could be read.
    unknown: Vec<String>,
    #[serde(skip)]
    denied: bool,
}

/// How it stands with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Word {
    /// All records are there, genuine and as they were written.
    Verified,
    /// Something is not as it should be.
    Broken,
    /// Not everything could be read.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Newest {
    sequence: i64,
    record: String,
    decided_at: Timestamp,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    /// Number of the record; absent for what is no record's fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<String>,
    message: String,
    /// When the record was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<Timestamp>,
    /// When the record after it was decided: it was still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    named_at: Option<Timestamp>,
    advice: String,
}

impl ChainReport {
    pub(super) fn of(chain: &Chain, verified: &Verified) -> Self {
        let Verdict {
            good,
            head,
            first_at,
            bad,
            remarks,
        } = &verified.verdict;
        let mut findings: Vec<Finding> = bad.iter().map(Finding::of).collect();
        findings.extend(remarks.iter().map(|remark| Finding {
            sequence: None,
            record: None,
            referrer: None,
            message: remark.to_string(),
            decided_at: None,
            named_at: None,
            advice: remark.advice().to_owned(),
        }));
        let verdict = match (findings.is_empty(), verified.unknown.is_empty()) {
            (false, _) => Word::Broken,
            (true, false) => Word::Unknown,
            (true, true) => Word::Verified,
        };
        Self {
            environment: chain.environment.clone(),
            artifact: chain.artifact.clone(),
            repository: chain.repository.to_string(),
            verdict,
            records: *good,
            newest: head.as_ref().map(|(sequence, record, decided_at)| Newest {
                sequence: *sequence,
                record: record.to_string(),
                decided_at: *decided_at,
            }),
            since: *first_at,
            findings,
            unknown: verified.unknown.iter().map(ToString::to_string).collect(),
            denied: verified.unknown.iter().any(is_denied),
        }
    }

    /// A chain of which nothing could be read.
    pub(super) fn unread(chain: &Chain, why: &str, denied: bool) -> Self {
        Self {
            environment: chain.environment.clone(),
            artifact: chain.artifact.clone(),
            repository: chain.repository.to_string(),
            verdict: Word::Unknown,
            records: 0,
            newest: None,
            since: None,
            findings: Vec::new(),
            unknown: vec![why.to_owned()],
            denied,
        }
    }

    /// In one line, what is not verified.
    pub(super) fn complaint(&self) -> Option<String> {
        let name = format!("{}/{}", self.environment, self.artifact);
        let first = self.findings.first().map(|finding| &finding.message);
        match self.verdict {
            Word::Verified => None,
            Word::Broken => Some(format!(
                "{name} is broken: {}",
                first.cloned().unwrap_or_default()
            )),
            Word::Unknown => Some(format!(
                "{name} is unknown, for not everything could be read: {}; give the command again",
                self.unknown.first().cloned().unwrap_or_default()
            )),
        }
    }

    /// How the command ends because of it.
    pub(super) fn code(&self) -> ExitCode {
        match self.verdict {
            Word::Verified => ExitCode::Done,
            Word::Broken => ExitCode::GateFailed,
            Word::Unknown if self.denied => ExitCode::NotAuthorized,
            Word::Unknown => ExitCode::Unexpected,
        }
    }

    fn block(&self) -> String {
        let mut text = format!(
            "\n{}/{} in {}\n",
            self.environment, self.artifact, self.repository
        );
        for finding in self.findings.iter().take(SHOWN) {
            text.push_str(&finding.block());
        }
        if let Some(more) = self.findings.len().checked_sub(SHOWN + 1) {
            text.extend([format!(
                "  and {} more: -o json shows all of them\n",
                more + 1
            )]);
        }
        for why in &self.unknown {
            text.extend([format!("  unknown: {why}\n")]);
        }
        text
    }
}

impl Finding {
    fn of(bad: &Bad) -> Self {
        Self {
            sequence: Some(bad.sequence),
            record: bad.record.as_ref().map(ToString::to_string),
            referrer: bad.referrer.as_ref().map(ToString::to_string),
            message: format!("record {}: {}", bad.sequence, bad.problem),
            decided_at: bad.decided_at,
            named_at: bad.named_at,
            advice: bad.problem.advice().to_owned(),
        }
    }

    fn block(&self) -> String {
        let mut lines = vec![format!("  {}", self.message)];
        if let Some(record) = &self.record {
            lines.push(format!("    record    {record}"));
        }
        if let Some(referrer) = &self.referrer {
            lines.push(format!("    manifest  {referrer}"));
        }
        if let Some(at) = self.decided_at {
            lines.push(format!("    decided   {at}"));
        }
        if let Some(at) = self.named_at {
            lines.push(format!(
                "    since     later than {at}, when the record after it named it"
            ));
        }
        lines.push(format!("    next      {}", self.advice));
        lines.join("\n") + "\n"
    }
}

impl Report {
    /// How the command ends: what is broken comes before what is unknown.
    pub(super) fn code(&self) -> ExitCode {
        let chains = self.chains.iter().map(ChainReport::code);
        let logs = self.logs.iter().map(LogReport::code);
        let codes: Vec<ExitCode> = chains.chain(logs).collect();
        [
            ExitCode::GateFailed,
            ExitCode::NotAuthorized,
            ExitCode::Unexpected,
        ]
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(ExitCode::Done)
    }
}

impl Present for Report {
    fn text(&self, wide: bool) -> String {
        if self.chains.is_empty() && self.logs.is_empty() {
            return format!("Namespace {} has no environments.\n", self.namespace);
        }
        let digest = |text: &str| {
            if wide {
                text.to_owned()
            } else {
                short_digest(Some(text))
            }
        };
        let rows = self.chains.iter().map(|chain| {
            let newest = chain.newest.as_ref();
            vec![
                chain.environment.clone(),
                chain.artifact.clone(),
                format!("{:?}", chain.verdict),
                chain.records.to_string(),
                newest.map_or_else(dash, |newest| {
                    format!("#{} {}", newest.sequence, digest(&newest.record))
                }),
                newest.map_or_else(dash, |newest| newest.decided_at.to_string()),
                chain.findings.len().to_string(),
            ]
        });
        let header = [
            "ENVIRONMENT",
            "ARTIFACT",
            "VERDICT",
            "GOOD RECORDS",
            "NEWEST",
            "DECIDED",
            "FINDINGS",
        ];
        let mut text = String::new();
        if !self.chains.is_empty() {
            text = table(&header, rows.collect());
        }
        for chain in self
            .chains
            .iter()
            .filter(|chain| chain.verdict != Word::Verified)
        {
            text.push_str(&chain.block());
        }
        for log in &self.logs {
            text.push_str(&log.block());
        }
        text.extend([format!("\n{}\n", self.proves)]);
        text
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .chains
            .iter()
            .map(|chain| policy_name(&chain.environment))
            .collect();
        names.dedup();
        names
    }
}

fn is_denied(error: &RegistryError) -> bool {
    matches!(error.kind(), ErrorKind::Denied | ErrorKind::NoCredentials)
}
