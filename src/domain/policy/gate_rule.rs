//! Gates of an environment: what the policy writes, as checked values.

use std::collections::BTreeMap;

use floe_gate::report::{Format, Level};
use jiff::civil::Date;
use rust_decimal::Decimal;

use crate::api::{self, OnFailure};
use crate::domain::compliance::{Exception, Rule, RuleSet, RuleSeverity};
use crate::domain::gates::{
    EnvVar, GateKind, GateSpec, MetricRule, POLICY_COMPLIANCE, ReportRules,
};

/// How long a gate's command may run, and its Pod may take to start, when the policy does not say: 5 minutes.
pub const DEFAULT_TIMEOUT_SECONDS: u32 = 300;
/// Limits of `timeout` and `startTimeout`, in seconds, and of `cacheFor`.
const TIMEOUTS: std::ops::RangeInclusive<u64> = 30..=3600;
const CACHE: std::ops::RangeInclusive<u64> = 60..=2_592_000;
/// Most that a gate may be run again.
const RETRIES_MAX: u32 = 5;

/// A gate of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateRule {
    /// Its name.
    pub name: String,
    /// What runs.
    pub spec: GateSpec,
    /// What it does when it does not pass.
    pub on_failure: OnFailure,
    /// How long its Pod may take to start, in seconds.
    pub start_timeout_seconds: u32,
    /// How long a result Passed counts again, in seconds; none: never.
    pub cache_for_seconds: Option<u32>,
}

impl GateRule {
    /// The gate that runs in every environment and always blocks.
    ///
    /// # Errors
    /// An exception whose last day is no date.
    pub(super) fn policy_compliance(policy: &api::EnvironmentPolicySpec) -> Result<Self, String> {
        Ok(Self {
            name: POLICY_COMPLIANCE.to_owned(),
            spec: GateSpec::policy_compliance(DEFAULT_TIMEOUT_SECONDS, rule_set(policy)?),
            on_failure: OnFailure::Block,
            start_timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
            cache_for_seconds: None,
        })
    }

    /// # Errors
    /// A value that is none, or outside its bounds: a sentence that says which.
    pub(super) fn of(gate: &api::Gate) -> Result<Self, String> {
        let env = gate.env.iter().map(|var| EnvVar {
            name: var.name.clone(),
            value: var.value.clone(),
        });
        let resources = gate.resources.clone().unwrap_or_default();
        let kind = kind(gate.gate_type);
        let report = report(gate)?;
        let relative = report
            .as_ref()
            .is_some_and(ReportRules::compares_with_last_promotion);
        if relative && gate.cache_for.is_some() {
            return Err("a result that was compared with the last promotion cannot count again: leave cacheFor out".to_owned());
        }
        Ok(Self {
            name: gate.name.clone(),
            spec: GateSpec {
                kind,
                image: gate.image.clone(),
                command: gate.command.clone(),
                args: gate.args.clone(),
                env: env.collect(),
                timeout_seconds: timeout("timeout", gate.timeout.as_deref())?,
                retries: retries(gate.retries)?,
                report,
                layout: gate.layout,
                credentials_secret: gate
                    .credentials
                    .as_ref()
                    .map(|credentials| credentials.secret_name.clone()),
                rules: RuleSet::default(),
                run_as_user: gate.run_as_user,
                cpu: resources.cpu,
                memory: resources.memory,
            },
            on_failure: gate.on_failure.unwrap_or_else(|| default_on_failure(kind)),
            start_timeout_seconds: timeout("startTimeout", gate.start_timeout.as_deref())?,
            cache_for_seconds: gate
                .cache_for
                .as_deref()
                .map(|text| seconds("cacheFor", text, &CACHE, "from 1m to 720h"))
                .transpose()?,
        })
    }
}

/// What an environment asks of the documents of an artifact.
///
/// # Errors
/// An exception whose last day is no date.
pub fn rule_set(policy: &api::EnvironmentPolicySpec) -> Result<RuleSet, String> {
    let exceptions = policy.policy_exceptions.iter().map(|one| {
        let expires = day("policyExceptions", &one.expires)?;
        Ok(Exception {
            rule: one.rule.clone(),
            path: one.path.clone(),
            reason: one.reason.clone(),
            expires,
        })
    });
    Ok(RuleSet {
        rules: policy.policy_rules.iter().map(rule).collect(),
        exceptions: exceptions.collect::<Result<_, String>>()?,
        require_manifest: policy.require_manifest,
    })
}

fn kind(of: api::GateType) -> GateKind {
    match of {
        api::GateType::Tests => GateKind::Tests,
        api::GateType::SecurityScan => GateKind::SecurityScan,
        api::GateType::CostAnalysis => GateKind::CostAnalysis,
        api::GateType::PerformanceBaseline => GateKind::PerformanceBaseline,
        api::GateType::Custom => GateKind::Custom,
    }
}

/// Costs and speed are advice unless the policy says otherwise (design, section 6).
fn default_on_failure(kind: GateKind) -> OnFailure {
    match kind {
        GateKind::CostAnalysis | GateKind::PerformanceBaseline => OnFailure::Warn,
        GateKind::PolicyCompliance
        | GateKind::Tests
        | GateKind::SecurityScan
        | GateKind::Custom => OnFailure::Block,
    }
}

fn rule(of: &api::PolicyRule) -> Rule {
    Rule {
        name: of.name.clone(),
        severity: match of.severity.unwrap_or_default() {
            api::RuleSeverity::Error => RuleSeverity::Error,
            api::RuleSeverity::Warning => RuleSeverity::Warning,
        },
        matches: of.matches.clone(),
        expression: of.expression.clone(),
        message: of.message.clone(),
    }
}

fn report(gate: &api::Gate) -> Result<Option<ReportRules>, String> {
    let Some(report) = &gate.report else {
        return Ok(None);
    };
    let format = format(report.format);
    let scans = matches!(format, Format::Trivy | Format::Grype | Format::Sarif);
    let thresholds = match &gate.thresholds {
        Some(thresholds) => thresholds.clone(),
        // No word about findings: the worst two kinds of them are not accepted.
        None if scans => api::Thresholds {
            critical: Some(0),
            high: Some(0),
            ..api::Thresholds::default()
        },
        None => api::Thresholds::default(),
    };
    let api::Thresholds {
        critical,
        high,
        medium,
        low,
        unknown,
        ignore_unfixed,
        allow,
        monthly_cost,
        monthly_increase,
        metrics,
    } = &thresholds;
    let limits = [critical, high, medium, low, unknown];
    let limits = Level::ALL
        .into_iter()
        .zip(limits)
        .filter_map(|(level, most)| {
            let most = u64::try_from((*most)?).unwrap_or_default();
            Some((level, most))
        });
    let allow = allow
        .iter()
        .map(|one| Ok((one.id.clone(), day("thresholds.allow", &one.expires)?)));
    let metrics = metrics
        .iter()
        .map(|one| Ok((one.name.clone(), metric(one)?)));
    Ok(Some(ReportRules {
        format,
        exit_codes: report.exit_codes.clone(),
        limits: limits.collect(),
        ignore_unfixed: *ignore_unfixed,
        allow: allow.collect::<Result<_, String>>()?,
        monthly_cost: number("thresholds.monthlyCost", monthly_cost.as_deref())?,
        monthly_increase: number("thresholds.monthlyIncrease", monthly_increase.as_deref())?,
        metrics: metrics.collect::<Result<BTreeMap<_, _>, String>>()?,
    }))
}

fn format(of: api::ReportFormat) -> Format {
    match of {
        api::ReportFormat::JUnit => Format::JUnit,
        api::ReportFormat::Trivy => Format::Trivy,
        api::ReportFormat::Grype => Format::Grype,
        api::ReportFormat::Sarif => Format::Sarif,
        api::ReportFormat::Infracost => Format::Infracost,
        api::ReportFormat::Baseline => Format::Baseline,
    }
}

fn metric(of: &api::MetricLimit) -> Result<MetricRule, String> {
    let field = |name: &str| format!("thresholds.metrics '{}': {name}", of.name);
    let percent = |value: Option<i32>| value.map(|value| u32::try_from(value).unwrap_or_default());
    Ok(MetricRule {
        max: number(&field("max"), of.max.as_deref())?,
        min: number(&field("min"), of.min.as_deref())?,
        max_increase_percent: percent(of.max_increase_percent),
        max_decrease_percent: percent(of.max_decrease_percent),
    })
}

fn retries(of: Option<i32>) -> Result<u32, String> {
    let retries = of.unwrap_or_default();
    u32::try_from(retries)
        .ok()
        .filter(|retries| *retries <= RETRIES_MAX)
        .ok_or_else(|| format!("retries {retries} must be from 0 to {RETRIES_MAX}"))
}

fn day(field: &str, text: &str) -> Result<Date, String> {
    text.parse()
        .map_err(|_| format!("{field}: '{text}' is no day such as 2026-12-31"))
}

fn number(field: &str, text: Option<&str>) -> Result<Option<Decimal>, String> {
    text.map(|text| {
        text.parse()
            .map_err(|_| format!("{field}: '{text}' is no decimal number"))
    })
    .transpose()
}

fn timeout(field: &str, text: Option<&str>) -> Result<u32, String> {
    text.map_or(Ok(DEFAULT_TIMEOUT_SECONDS), |text| {
        seconds(field, text, &TIMEOUTS, "from 30s to 1h")
    })
}

fn seconds(
    field: &str,
    text: &str,
    bounds: &std::ops::RangeInclusive<u64>,
    words: &str,
) -> Result<u32, String> {
    let parsed = text
        .parse::<kube::core::Duration>()
        .map_err(|why| format!("{field} '{text}': {why}"))?;
    let seconds = std::time::Duration::from(parsed).as_secs();
    match u32::try_from(seconds) {
        Ok(number) if !parsed.is_negative() && bounds.contains(&seconds) => Ok(number),
        Ok(_) | Err(_) => Err(format!("{field} '{text}' must be {words}")),
    }
}
