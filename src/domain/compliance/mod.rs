//! The gate `policy_compliance`: what is wrong with the documents of an artifact.
//!
//! Pure: documents in, findings out. A finding names document, place and rule, and never a value.

mod exceptions;
mod manifest;
mod node;
mod note;
mod rule_set;
mod rules;
mod secrets;
mod subject;

use jiff::civil::Date;

use self::note::Counts;
use self::rules::{Document, Facts, OwnRules, Rules, Source};
pub use floe_gate::{Finding, Severity};
pub use node::Node;
pub use rule_set::{Exception, Rule, RuleSet, RuleSeverity};
pub use rules::unreadable;
pub use subject::{Subject, annotations_of};

/// Path of the platform manifest in the artifact.
pub const MANIFEST: &str = "manifest.yaml";
/// Folder with the artifact's own rules.
const POLICIES: &str = "policies/";
/// Most bytes of one document: a longer one is refused, not read in part.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;

/// Whether a file with this path is a document, and is checked.
pub fn is_document(path: &str) -> bool {
    node::format_of(path).is_some()
}

/// What is checked, by what.
#[derive(Clone, Debug)]
pub struct Input {
    /// Files of the artifact: path and bytes. Files that are no YAML or JSON are not looked at.
    pub files: Vec<(String, Vec<u8>)>,
    /// The artifact and where it goes.
    pub subject: Subject,
    /// Rules and exceptions of the environment.
    pub rules: RuleSet,
    /// The day on which exceptions must not have ended, in UTC.
    pub today: Date,
    /// Literal secrets are errors, not warnings. The gate is always strict.
    pub strict: bool,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Everything that is wrong: errors first, then by path and place.
    pub findings: Vec<Finding>,
    /// What was looked at, in one sentence.
    pub note: String,
}

impl Report {
    /// Whether no finding is an error.
    pub fn passed(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != Severity::Error)
    }

    /// The findings, a line each.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.findings.iter().map(line)
    }
}

/// A finding as logs and people see it.
pub fn line(finding: &Finding) -> String {
    format!("{:?}: {finding}", finding.severity)
}

/// Checks the documents of an artifact.
///
/// Only a thread with a large stack and a time limit may do so, because of the rules.
pub fn check(input: &Input) -> Report {
    let mut findings = Vec::new();
    let files = read(&input.files, &mut findings);
    let version = input.subject.version.as_deref();
    let mut own = OwnRules::default();
    for file in &files {
        if file.path == MANIFEST {
            manifest::check(&file.nodes, version, &mut findings);
        } else if is_policy(file.path) {
            rules::read(file.path, &file.nodes, &mut own, &mut findings);
        }
        secrets::check(file.path, &file.nodes, &mut findings);
    }
    let count = count(&input.files);
    findings.extend(missing_manifest(input, count));
    if !input.strict {
        for finding in findings
            .iter_mut()
            .filter(|finding| finding.rule == secrets::RULE)
        {
            finding.severity = Severity::Warning;
        }
    }
    let left_out = check_rules(input, &files, &own, &mut findings);
    exceptions::apply(&mut findings, &input.rules.exceptions, input.today);
    findings.sort();
    findings.dedup();
    let counts = Counts {
        documents: count,
        rules: input.rules.rules.len() + own.len(),
        own: own.len(),
        left_out,
    };
    Report {
        findings,
        note: counts.note(&input.subject.media_type),
    }
}

/// A file that could be read.
struct File<'a> {
    path: &'a str,
    nodes: Vec<Node>,
}

fn read<'a>(files: &'a [(String, Vec<u8>)], findings: &mut Vec<Finding>) -> Vec<File<'a>> {
    let mut read = Vec::new();
    for (path, bytes) in files {
        let Some(format) = node::format_of(path) else {
            continue;
        };
        match parse(format, bytes) {
            Ok(nodes) => read.push(File { path, nodes }),
            Err(message) => findings.push(error("document-parses", path, "", message)),
        }
    }
    // Rules see the documents in one order, wherever they come from.
    read.sort_by(|one, other| one.path.cmp(other.path));
    read
}

/// Evaluates the rules of both, and says how many were left out.
fn check_rules(
    input: &Input,
    files: &[File<'_>],
    own: &OwnRules,
    findings: &mut Vec<Finding>,
) -> usize {
    let of_environment = input
        .rules
        .rules
        .iter()
        .map(|rule| Source { rule, at: None });
    let mut rules = Rules::read(of_environment.chain(own.sources()), findings);
    let none = count(&input.files) == 0 && !input.rules.require_manifest;
    let left_out = if none { rules.leave_out_documents() } else { 0 };
    let documents: Vec<Document<'_>> = files
        .iter()
        .flat_map(|file| {
            file.nodes.iter().enumerate().map(|(index, node)| Document {
                path: file.path,
                node,
                which: which(&file.nodes, index),
            })
        })
        .collect();
    let manifest = files
        .iter()
        .find(|file| file.path == MANIFEST)
        .and_then(|file| match file.nodes.as_slice() {
            [only] => Some(only),
            _ => None,
        });
    let version = input.subject.version.as_deref();
    let facts = Facts {
        subject: &input.subject,
        version: version
            .or_else(|| manifest_version(manifest?))
            .unwrap_or_default(),
        documents: &documents,
        manifest,
    };
    rules.check(&facts, findings);
    left_out
}

/// The version that a manifest.yaml gives, when it is the only document of that file.
pub fn version_in(manifest: &[u8]) -> Option<String> {
    let nodes = parse(node::Format::Yaml, manifest).ok()?;
    let [only] = nodes.as_slice() else {
        return None;
    };
    manifest_version(only).map(str::to_owned)
}

fn manifest_version(manifest: &Node) -> Option<&str> {
    match manifest.get("metadata")?.get("version")? {
        Node::Text(version) => Some(version),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::List(_) | Node::Map(_) => None,
    }
}

/// How many files are documents, whether they can be read or not.
fn count(files: &[(String, Vec<u8>)]) -> usize {
    files.iter().filter(|(path, _)| is_document(path)).count()
}

fn missing_manifest(input: &Input, documents: usize) -> Option<Finding> {
    if input.files.iter().any(|(path, _)| path == MANIFEST) {
        return None;
    }
    if input.rules.require_manifest {
        let message = "there is no manifest.yaml, and the environment requires one".to_owned();
        return Some(error("manifest-form", MANIFEST, "", message));
    }
    let message = "there is no manifest.yaml, so its version cannot be compared".to_owned();
    (documents > 0).then(|| Finding {
        severity: Severity::Warning,
        ..error("manifest-form", MANIFEST, "", message)
    })
}

fn parse(format: node::Format, bytes: &[u8]) -> Result<Vec<Node>, String> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(format!("it has more than {MAX_DOCUMENT_BYTES} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    node::parse(format, text)
}

fn is_policy(path: &str) -> bool {
    path.strip_prefix(POLICIES)
        .is_some_and(|name| !name.contains('/'))
        && node::format_of(path) == Some(node::Format::Yaml)
}

fn error(rule: &str, path: &str, pointer: &str, message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        rule: rule.to_owned(),
        path: path.to_owned(),
        pointer: pointer.to_owned(),
        message,
    }
}

/// Where the n-th of several documents of a file is meant; nothing for the only one.
fn which(nodes: &[Node], index: usize) -> String {
    if nodes.len() > 1 {
        format!(" (document {} of the file)", index + 1)
    } else {
        String::new()
    }
}

#[cfg(test)]
mod exceptions_tests;
#[cfg(test)]
mod tests;
