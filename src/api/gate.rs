use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A check that runs as a Kubernetes Job before a version enters the environment.
///
/// The Job's Pod first fetches the artifact by digest into `$FLOE_ARTIFACT_DIR`, then runs `command`
/// in `image`. Exit code 0 is Passed, any other is Failed, unless `report` says more. A gate that could not
/// be run is Error, one that exceeded `timeout` is TimedOut; neither of them passes.
///
/// The command finds these environment variables: `FLOE_ARTIFACT`, `FLOE_VERSION`, `FLOE_DIGEST`,
/// `FLOE_REFERENCE` (repository@digest), `FLOE_FROM`, `FLOE_TO`, `FLOE_PROMOTION`, `FLOE_ARTIFACT_DIR`;
/// with `report` also `FLOE_REPORT`, with `layout` also `FLOE_LAYOUT_DIR`, with `credentials` also
/// `DOCKER_CONFIG`. `$(NAME)` in `command`, `args` and `env` is replaced by Kubernetes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || (duration(self.timeout) >= duration('30s') && duration(self.timeout) <= duration('1h'))")
        .message("timeout must be from 30s to 1h"),
    validation = Rule::new("!has(self.startTimeout) || (duration(self.startTimeout) >= duration('30s') && duration(self.startTimeout) <= duration('1h'))")
        .message("startTimeout must be from 30s to 1h"),
    validation = Rule::new("!has(self.cacheFor) || (duration(self.cacheFor) >= duration('1m') && duration(self.cacheFor) <= duration('720h'))")
        .message("cacheFor must be from 1m to 720h"),
    validation = Rule::new("!has(self.cacheFor) || !has(self.thresholds) || !(has(self.thresholds.monthlyIncrease) || (has(self.thresholds.metrics) && self.thresholds.metrics.exists(m, has(m.maxIncreasePercent) || has(m.maxDecreasePercent))))")
        .message("a result that was compared with the last promotion cannot count again: leave cacheFor out"),
    validation = Rule::new("self.type != 'SecurityScan' || (has(self.report) && self.report.format in ['Trivy', 'Grype', 'Sarif'])")
        .message("a SecurityScan needs a report in the format Trivy, Grype or Sarif"),
    validation = Rule::new("self.type != 'CostAnalysis' || (has(self.report) && self.report.format == 'Infracost')")
        .message("a CostAnalysis needs a report in the format Infracost"),
    validation = Rule::new("self.type != 'PerformanceBaseline' || (has(self.report) && self.report.format == 'Baseline')")
        .message("a PerformanceBaseline needs a report in the format Baseline"),
    validation = Rule::new("self.type != 'Tests' || !has(self.report) || self.report.format == 'JUnit'")
        .message("the report of Tests is in the format JUnit"),
    validation = Rule::new("!has(self.report) || self.report.format != 'Infracost' || (has(self.thresholds) && (has(self.thresholds.monthlyCost) || has(self.thresholds.monthlyIncrease)))")
        .message("a report of costs needs thresholds.monthlyCost or thresholds.monthlyIncrease"),
    validation = Rule::new("!has(self.report) || self.report.format != 'Baseline' || (has(self.thresholds) && has(self.thresholds.metrics) && self.thresholds.metrics.size() > 0)")
        .message("a report of measurements needs thresholds.metrics"),
    validation = Rule::new("!has(self.thresholds) || !(has(self.thresholds.critical) || has(self.thresholds.high) || has(self.thresholds.medium) || has(self.thresholds.low) || has(self.thresholds.unknown) || has(self.thresholds.ignoreUnfixed) || has(self.thresholds.allow)) || (has(self.report) && self.report.format in ['Trivy', 'Grype', 'Sarif'])")
        .message("thresholds for findings need a report in the format Trivy, Grype or Sarif"),
    validation = Rule::new("!has(self.thresholds) || !(has(self.thresholds.monthlyCost) || has(self.thresholds.monthlyIncrease)) || (has(self.report) && self.report.format == 'Infracost')")
        .message("thresholds for costs need a report in the format Infracost"),
    validation = Rule::new("!has(self.thresholds) || !has(self.thresholds.metrics) || (has(self.report) && self.report.format == 'Baseline')")
        .message("thresholds.metrics need a report in the format Baseline"),
)]
pub struct Gate {
    /// Name of the gate, unique in the policy: lower-case letters, digits and `-`, at most 40 characters.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// What kind of check it is: it names the gate in the record, decides which reports fit, and whether a
    /// failure blocks. The mandatory gate `policy_compliance` is not listed here: it runs in every environment.
    #[serde(rename = "type")]
    pub gate_type: GateType,
    /// Image in which the command runs. Name it by digest to be sure what judged the artifact.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Program and its first arguments. It is started directly, not through a shell, and must be given:
    /// the image's own entry point is not used.
    #[schemars(length(min = 1, max = 32), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Further arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Further environment variables. Names that start with `FLOE_` belong to floe and are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// What happens when the gate does not pass: `Block` fails the promotion, `Warn` lets it go on and shows
    /// the outcome as Warned. A gate that could not be run (Error) or was too slow (TimedOut) is Warned in
    /// the same way. Default: `Warn` for CostAnalysis and PerformanceBaseline, `Block` for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How long the command may run, from its start, as in `90s` or `10m`. From 30s to 1h, default 5m.
    /// Then it gets TERM, and KILL after 5 more seconds, and the gate is TimedOut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub timeout: Option<String>,
    /// How long the Pod may take to start (scheduling, pulling the image, fetching the artifact).
    /// From 30s to 1h, default 5m. Then the gate is Error. An image that cannot be pulled is Error after 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub start_timeout: Option<String>,
    /// How often the command is run again when it fails, from 0 (default) to 5, with a growing pause from 10 s
    /// on between the tries. A Pod that was evicted or whose node was drained does not count as a try. A
    /// command that ran too long, that the image does not have, or whose report says no is not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5))]
    pub retries: Option<i32>,
    /// The report that the command writes. What it says is shown in status and record, and compared with
    /// `thresholds`. A report that is missing or cannot be read is an Error, whatever the exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportSpec>,
    /// What the report may say at most. Findings: without `thresholds`, no critical and no high one. Tests:
    /// none may fail, and at least one must have run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// How long a result Passed counts again for the same digest, in the same environment, under the same
    /// specification of the gate, as in `12h`: another Promotion then does not run the gate again. From 1m
    /// to 720h, from the end of the command, and not beyond the last day of an exception. Not together with
    /// thresholds that compare with the last promotion. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub cache_for: Option<String>,
    /// Also write the artifact as an OCI image layout into `$FLOE_LAYOUT_DIR`, at most 2 GiB: what scanners
    /// of images read. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub layout: bool,
    /// Registry credentials for the command, as `$DOCKER_CONFIG/config.json`. Default: none; the artifact is
    /// fetched without giving the command any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<GateCredentials>,
    /// User id under which the command runs, not 0. Default 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
    /// Memory and processor time for the command. Default: 100m and 128Mi requested, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A Secret with registry credentials for a command.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateCredentials {
    /// Secret of type `kubernetes.io/dockerconfigjson` in the policy's namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub secret_name: String,
}

/// Kind of check.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateType {
    /// A test suite, judged by its exit code and, with `report`, by its JUnit XML.
    Tests,
    /// A scanner for vulnerabilities or faults, judged by its report.
    SecurityScan,
    /// An estimate of costs, judged by its report.
    CostAnalysis,
    /// A measurement, judged by its report: against fixed limits, and against the last promotion.
    PerformanceBaseline,
    /// Any other check.
    Custom,
}

/// What a gate that did not pass does to the promotion.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// The promotion fails.
    Block,
    /// The promotion goes on; the outcome is Warned.
    Warn,
}

/// The report that a command writes to `$FLOE_REPORT`: one file of at most 32 MiB.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportSpec {
    /// How it is written.
    pub format: ReportFormat,
    /// Further exit codes, from 1 to 125, with which the command says that it has done its work and that the
    /// report decides, such as 1 of a scanner that has found something. Default: only 0. With any other exit
    /// code the gate has not passed, whatever the report says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(range(min = 1, max = 125)), extend("x-kubernetes-list-type" = "set"))]
    pub exit_codes: Vec<i32>,
}

/// How a report is written.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportFormat {
    /// JUnit XML, as pytest, go-junit-report, Maven and many others write it.
    JUnit,
    /// `trivy --format json`, schema version 2.
    Trivy,
    /// `grype --output json`.
    Grype,
    /// SARIF 2.1.0. The severity of a result is its `security-severity` (9 and above is critical, 7 high, 4
    /// medium, else low); without one, `error` is high, `warning` medium, `note` low. Suppressed results count.
    Sarif,
    /// `infracost breakdown` or `diff` with `--format json`.
    Infracost,
    /// floe's own JSON: `{"metrics": {"p95_ms": 231.5}}`, at most 256 metrics.
    Baseline,
}

/// What a report may say at most.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Thresholds {
    /// Critical findings that are accepted. Default: any number, when another threshold is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub critical: Option<i32>,
    /// High findings that are accepted. Default: any number, when another threshold is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub high: Option<i32>,
    /// Medium findings that are accepted. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub medium: Option<i32>,
    /// Low findings that are accepted. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub low: Option<i32>,
    /// Findings of unknown severity that are accepted. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub unknown: Option<i32>,
    /// Do not count findings for which the report says that there is no fix yet. Default false. SARIF does
    /// not speak of fixes, so there all count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_unfixed: bool,
    /// Findings that are accepted for a time, by id. They are not counted, and are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub allow: Vec<AllowedFinding>,
    /// Most that it may cost a month, as a decimal number in the report's currency, such as `"1200.50"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"))]
    pub monthly_cost: Option<String>,
    /// Most that the cost of a month may grow, as a decimal number in the report's currency: against what the
    /// report itself compares with, else against the last version promoted into the environment, else from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"))]
    pub monthly_increase: Option<String>,
    /// Limits of measured values. A value that the report does not have is an Error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metrics: Vec<MetricLimit>,
}

/// A finding that is accepted for a time.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedFinding {
    /// Its id, exactly as the report has it, such as `CVE-2024-3094` or the id of a SARIF rule.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^\s\x00-\x1f\x7f]+$"))]
    pub id: String,
    /// Why it is accepted.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
    /// Last day on which it is accepted, as `2026-12-31`, in UTC. From the day after, it counts.
    #[schemars(length(max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub expires: String,
}

/// Limits of one measured value. At least one of them is needed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.max) || has(self.min) || has(self.maxIncreasePercent) || has(self.maxDecreasePercent)")
        .message("a metric needs max, min, maxIncreasePercent or maxDecreasePercent")
)]
pub struct MetricLimit {
    /// Name of the value in the report.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_.:/()-]*$")
    )]
    pub name: String,
    /// Highest value that is accepted, as a decimal number, such as `"250"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$"))]
    pub max: Option<String>,
    /// Lowest value that is accepted, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$"))]
    pub min: Option<String>,
    /// Most that the value may be above that of the last version promoted into the environment, in percent of
    /// it. Without an earlier value it is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub max_increase_percent: Option<i32>,
    /// Most that the value may be below that of the last version promoted into the environment, in percent of
    /// it. Without an earlier value it is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_decrease_percent: Option<i32>,
}

/// One environment variable with a literal value.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!self.name.startsWith('FLOE_')").message("names that start with FLOE_ belong to floe")
)]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")
    )]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Memory and processor time, as Kubernetes quantities.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Processor time requested, such as `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?m?$"))]
    pub cpu: Option<String>,
    /// Memory requested, and the limit above which the command is killed, such as `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|k|M|G)?$")
    )]
    pub memory: Option<String>,
}
