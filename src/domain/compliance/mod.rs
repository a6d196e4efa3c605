//! The gate `policy_compliance`: what is wrong with the documents of an artifact.
//!
//! Pure: documents in, findings out. A finding names document, place and rule, and never a value.

mod manifest;
mod node;
mod rule_set;
mod secrets;

pub use floe_gate::{Finding, Severity};
pub use node::Node;
pub use rule_set::{Exception, Rule, RuleSet, RuleSeverity};

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

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Files of the artifact: path and bytes. Files that are no YAML or JSON are not looked at.
    pub files: &'a [(String, Vec<u8>)],
    /// Version that is promoted.
    pub version: &'a str,
    /// Media type of the artifact's manifest.
    pub media_type: &'a str,
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
}

/// Checks the documents of an artifact.
pub fn check(input: &Input<'_>) -> Report {
    let mut findings = Vec::new();
    let (mut documents, mut policies, mut has_manifest) = (0usize, 0usize, false);
    for (path, bytes) in input.files {
        let Some(format) = node::format_of(path) else {
            continue;
        };
        documents += 1;
        let nodes = match parse(format, bytes) {
            Ok(nodes) => nodes,
            Err(message) => {
                findings.push(error("document-parses", path, "", message));
                has_manifest |= path == MANIFEST;
                continue;
            }
        };
        if path == MANIFEST {
            has_manifest = true;
            manifest::check(&nodes, input.version, &mut findings);
        } else if is_policy(path) {
            policies += 1;
            check_policy(path, &nodes, &mut findings);
        }
        secrets::check(path, &nodes, &mut findings);
    }
    if documents > 0 && !has_manifest {
        let message = "there is no manifest.yaml, so its version cannot be compared".to_owned();
        findings.push(Finding {
            severity: Severity::Warning,
            ..error("manifest-form", MANIFEST, "", message)
        });
    }
    if !input.strict {
        for finding in findings
            .iter_mut()
            .filter(|finding| finding.rule == secrets::RULE)
        {
            finding.severity = Severity::Warning;
        }
    }
    findings.sort();
    findings.dedup();
    Report {
        findings,
        note: note(documents, policies, input.media_type),
    }
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

/// The form only: what the rules say is looked at when they can be evaluated.
fn check_policy(path: &str, nodes: &[Node], findings: &mut Vec<Finding>) {
    if !matches!(nodes, [Node::List(_)]) {
        let message = "it must be one YAML list of rules".to_owned();
        findings.push(error("policy-form", path, "", message));
    }
}

fn note(documents: usize, policies: usize, media_type: &str) -> String {
    if documents == 0 {
        return format!("no documents: the artifact ({media_type}) holds no YAML or JSON files");
    }
    let rules = match policies {
        0 => String::new(),
        1 => "; 1 policy file was checked for its form only".to_owned(),
        more => format!("; {more} policy files were checked for their form only"),
    };
    let word = if documents == 1 {
        "document"
    } else {
        "documents"
    };
    format!("{documents} {word} checked{rules}")
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
mod tests;
