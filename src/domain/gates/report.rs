use std::collections::BTreeMap;

use floe_gate::report::{Format, Level};
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The report that a gate asks for, and what it may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportRules {
    /// How it is written.
    pub format: Format,
    /// Exit codes besides 0 with which the report decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit_codes: Vec<i32>,
    /// Most findings of each severity; any number of those that are not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<Level, u64>,
    /// Findings without a fix are not counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_unfixed: bool,
    /// Findings that are accepted for a time: id and last day.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allow: BTreeMap<String, Date>,
    /// Most that it may cost a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_cost: Option<Decimal>,
    /// Most that the cost of a month may grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_increase: Option<Decimal>,
    /// Limits of measured values, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricRule>,
}

impl ReportRules {
    /// Whether a result depends on what was promoted before.
    pub fn compares_with_last_promotion(&self) -> bool {
        let relative = |rule: &MetricRule| {
            rule.max_increase_percent.is_some() || rule.max_decrease_percent.is_some()
        };
        self.monthly_increase.is_some() || self.metrics.values().any(relative)
    }

    /// Whether the same exceptions hold at both times.
    pub fn same_exceptions(&self, then: Timestamp, now: Timestamp) -> bool {
        let (then, now) = (day_of(then), day_of(now));
        self.allow
            .values()
            .all(|last| (then <= *last) == (now <= *last))
    }
}

/// The day in UTC: exceptions end with one.
pub(super) fn day_of(time: Timestamp) -> Date {
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Limits of one measured value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MetricRule {
    /// Highest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Decimal>,
    /// Lowest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Decimal>,
    /// Most above the value of the last promotion, in percent of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_increase_percent: Option<u32>,
    /// Most below the value of the last promotion, in percent of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_decrease_percent: Option<u32>,
}
