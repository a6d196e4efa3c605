use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule that the documents of an artifact must keep, in CEL.
///
/// The same form stands in the artifact's own `policies/*.yaml`. Variables: `documents` (list of
/// `{path, content}`, one for each YAML or JSON document), `manifest` (content of `manifest.yaml`, or null),
/// `artifact` (`name`, `version`, `digest`, `mediaType`, `annotations`), `environment` (`name`, `from`).
/// A rule that speaks of `document` is evaluated once for each document, as `document` with `path` and
/// `content`, and a violation names it; any other rule is evaluated once, and a violation names `(artifact)`.
/// Whole numbers are `int`, others `double`. The standard functions and macros of CEL can be used.
///
/// A rule that cannot be evaluated is an error, whatever its severity: `has(manifest.governance.owner)` asks
/// whether a key is there. All rules together may take 20 seconds. For an artifact without documents, the
/// rules that speak of `documents`, `document` or `manifest` are left out, unless `requireManifest` is set.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyRule {
    /// Name of the rule, as findings and exceptions show it: lower-case letters, digits and `-`.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// `error` (default) fails the gate, `warning` is only shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<RuleSeverity>,
    /// When the rule applies: a CEL expression of at most 1024 characters that gives a bool, such as
    /// `environment.name == 'prod'` or `document.path.startsWith('models/')`. Default: always.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub matches: Option<String>,
    /// What must be true: a CEL expression of at most 2048 characters that gives a bool.
    #[schemars(length(min = 1, max = 2048))]
    pub expression: String,
    /// What is wrong when it is not true, and what to do.
    #[schemars(length(min = 1, max = 512))]
    pub message: String,
}

/// How bad it is when a rule is broken.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleSeverity {
    /// The gate fails.
    #[default]
    Error,
    /// It is shown, and the gate passes.
    Warning,
}

/// A finding of `policy_compliance` that is accepted for a time.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyException {
    /// Name of the rule, as the finding shows it: one of `policyRules`, of the artifact's own, or
    /// `literal-secret`. An exception for `document-parses`, `manifest-form`, `manifest-version` or
    /// `policy-form` is without effect.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub rule: String,
    /// Path of the document; `*` stands for any characters. Default: any document, and findings that name
    /// none, which no pattern fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub path: Option<String>,
    /// Why it is accepted.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
    /// Last day on which it is accepted, as `2026-12-31`, in UTC. From the day after, it counts.
    #[schemars(length(max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub expires: String,
}
