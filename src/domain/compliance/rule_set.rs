use serde::{Deserialize, Serialize};

/// What PolicyCompliance checks besides its own rules: rules and exceptions of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RuleSet {
    /// Rules of the environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Findings that are accepted for a time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
    /// An artifact without manifest.yaml is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_manifest: bool,
}

/// A rule in CEL, from an environment or from the artifact's own `policies/*.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// How bad it is when it is broken.
    #[serde(default)]
    pub severity: RuleSeverity,
    /// When it applies; always, when absent.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// What must be true.
    pub expression: String,
    /// What is wrong when it is not.
    pub message: String,
}

/// How bad it is when a rule is broken, as rules are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleSeverity {
    /// The gate fails.
    #[default]
    Error,
    /// It is only shown.
    Warning,
}

/// A finding that is accepted for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exception {
    /// Name of the rule.
    pub rule: String,
    /// Pattern of the document's path (`*` stands for any characters); any document, and none, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it is accepted.
    pub reason: String,
    /// Last day on which it is accepted, in UTC.
    pub expires: jiff::civil::Date,
}
