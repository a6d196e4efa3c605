//! What a report says, held against what it may say.

use std::collections::BTreeMap;

use floe_gate::report::{Cost, Count, Counts, Format, Level, Metrics, Report, Scan, Tests};
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::report::{MetricRule, ReportRules};
use super::state::Found;

/// Name under which the cost of a month is remembered.
const MONTHLY_COST: &str = "monthlyCost";
/// Most ids that a message names; all that are known are in the result.
const MAX_NAMED: usize = 5;

/// What a report comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compared {
    /// It says nothing that it may not say.
    pub(super) passed: bool,
    /// The same in words.
    pub(super) message: String,
    /// Its numbers.
    pub(super) found: Found,
}

/// Compares a report with its rules. `baseline` holds the values of the last promotion, `day` decides which
/// exceptions still hold.
///
/// # Errors
/// The report says nothing that could be compared: a sentence that says what is missing.
pub(super) fn compare(
    report: &Report,
    rules: &ReportRules,
    baseline: &BTreeMap<String, Decimal>,
    day: Date,
) -> Result<Compared, String> {
    match (report, rules.format) {
        (Report::Scan(scan), Format::Trivy | Format::Grype | Format::Sarif) => {
            Ok(findings(scan, rules, day))
        }
        (Report::Tests(tests), Format::JUnit) => tested(tests),
        (Report::Cost(cost), Format::Infracost) => costs(cost, rules, baseline),
        (Report::Metrics(metrics), Format::Baseline) => measured(metrics, rules, baseline),
        (Report::Scan(_) | Report::Tests(_) | Report::Cost(_) | Report::Metrics(_), format) => {
            Err(format!("its report is not in the format {format}"))
        }
    }
}

/// Findings by severity. An exception that has ended counts no more.
fn findings(scan: &Scan, rules: &ReportRules, day: Date) -> Compared {
    let (mut counts, mut allowed, mut ended) = (scan.counts, 0u64, Vec::new());
    for one in &scan.allowed {
        if rules.allow.get(&one.id).is_some_and(|last| day <= *last) {
            allowed = allowed.saturating_add(one.count.total);
        } else {
            let of = counts.of_mut(one.level);
            of.total = of.total.saturating_add(one.count.total);
            of.unfixed = of.unfixed.saturating_add(one.count.unfixed);
            ended.push(one.id.clone());
        }
    }
    let counted = |count: Count| {
        let ignored = if rules.ignore_unfixed {
            count.unfixed
        } else {
            0
        };
        count.total.saturating_sub(ignored)
    };
    let over = |level: Level| {
        let (found, most) = (counted(counts.of(level)), *rules.limits.get(&level)?);
        (found > most).then(|| format!("{found} {} (at most {most})", level.as_str()))
    };
    let too_many: Vec<String> = Level::ALL.into_iter().filter_map(over).collect();
    ended.dedup();
    let ids: Vec<String> = ended
        .iter()
        .chain(scan.ids.iter().map(|found| &found.id))
        .cloned()
        .collect();
    let unfixed = Level::ALL
        .into_iter()
        .map(|level| counts.of(level).unfixed)
        .fold(0, u64::saturating_add);
    let passed = too_many.is_empty();
    let mut message = vec![if passed {
        listed(&counts)
    } else {
        // Only those of the severities that are too many; the ids that were left out are the least severe.
        let of_these = scan.ids.iter().filter(|found| over(found.level).is_some());
        let of_these: Vec<String> = ended
            .iter()
            .chain(of_these.map(|found| &found.id))
            .cloned()
            .collect();
        let all = of_these.len() == ids.len();
        let named = named(&of_these, if all { scan.omitted } else { 0 });
        format!("too many findings: {}{named}", too_many.join(", "))
    }];
    if rules.ignore_unfixed && unfixed > 0 {
        message.push(format!("{unfixed} without a fix are not counted"));
    }
    if allowed > 0 {
        message.push(format!("{allowed} allowed"));
    }
    if !ended.is_empty() {
        message.push(format!("the exception for {} has ended", ended.join(", ")));
    }
    let numbers = Level::ALL
        .into_iter()
        .map(|level| (level.as_str(), counts.of(level).total))
        .chain([("unfixed", unfixed), ("allowed", allowed)]);
    Compared {
        passed,
        message: message.join("; "),
        found: Found {
            counts: numbers.map(|(name, n)| (name.to_owned(), n)).collect(),
            ids,
            omitted: scan.omitted,
            ..Found::default()
        },
    }
}

/// `2 high, 7 low findings`, or `no findings`.
fn listed(counts: &Counts) -> String {
    let some: Vec<String> = Level::ALL
        .into_iter()
        .filter(|level| counts.of(*level).total > 0)
        .map(|level| format!("{} {}", counts.of(level).total, level.as_str()))
        .collect();
    if some.is_empty() {
        "no findings".to_owned()
    } else {
        format!("{} findings", some.join(", "))
    }
}

/// `: CVE-1, CVE-2 and 7 more`.
fn named(ids: &[String], omitted: u64) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let first = ids.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>();
    let left = (ids.len() - first.len()) as u64 + omitted;
    let more = if left > 0 {
        format!(" and {left} more")
    } else {
        String::new()
    };
    format!(": {}{more}", first.join(", "))
}

fn tested(tests: &Tests) -> Result<Compared, String> {
    let Tests {
        tests: all,
        failures,
        errors,
        skipped,
        failed,
        omitted,
    } = tests;
    if *all == 0 {
        return Err("its report names no test: nothing was tested".to_owned());
    }
    if skipped >= all {
        return Err(format!("all {all} tests were skipped: nothing was tested"));
    }
    let bad = failures.saturating_add(*errors);
    let message = if bad == 0 {
        format!("{all} tests, {skipped} skipped")
    } else {
        format!("{bad} of {all} tests failed{}", named(failed, *omitted))
    };
    let counts = [
        ("tests", all),
        ("failures", failures),
        ("errors", errors),
        ("skipped", skipped),
    ];
    Ok(Compared {
        passed: bad == 0,
        message,
        found: Found {
            counts: counts.map(|(name, n)| (name.to_owned(), *n)).into(),
            findings: failed.iter().map(|name| format!("{name} failed")).collect(),
            omitted: *omitted,
            ..Found::default()
        },
    })
}

fn costs(
    cost: &Cost,
    rules: &ReportRules,
    baseline: &BTreeMap<String, Decimal>,
) -> Result<Compared, String> {
    let (currency, monthly) = (&cost.currency, cost.monthly);
    let past = cost
        .past_monthly
        .or_else(|| baseline.get(MONTHLY_COST).copied())
        .unwrap_or_default();
    let more = monthly
        .checked_sub(past)
        .ok_or("its report has costs that are no sensible numbers")?;
    let too_much = [
        (rules.monthly_cost, monthly, "a month"),
        (rules.monthly_increase, more, "more a month"),
    ]
    .into_iter()
    .filter_map(|(most, is, what)| {
        let most = most.filter(|most| is > *most)?;
        Some(format!("{} {currency} {what} (at most {most})", money(is)))
    })
    .collect::<Vec<_>>();
    let mut message = if too_much.is_empty() {
        let sign = if more < Decimal::ZERO { "less" } else { "more" };
        let change = money(more.abs());
        format!(
            "{} {currency} a month, {change} {sign} than before",
            money(monthly)
        )
    } else {
        format!("too expensive: {}", too_much.join(", "))
    };
    if cost.unpriced > 0 {
        let resources = cost.unpriced;
        message = format!("{message}; {resources} resources without a known price are not in it");
    }
    Ok(Compared {
        passed: too_much.is_empty(),
        message,
        found: Found {
            values: BTreeMap::from([(MONTHLY_COST.to_owned(), monthly)]),
            ..Found::default()
        },
    })
}

fn money(amount: Decimal) -> Decimal {
    amount.round_dp(2)
}

fn measured(
    metrics: &Metrics,
    rules: &ReportRules,
    baseline: &BTreeMap<String, Decimal>,
) -> Result<Compared, String> {
    let (mut wrong, mut right, mut values) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (name, rule) in &rules.metrics {
        let value = *metrics
            .values
            .get(name)
            .ok_or_else(|| format!("its report has no value '{name}'"))?;
        values.insert(name.clone(), value);
        let before = baseline.get(name).copied();
        let broken = broken_limits(name, value, before, rule)
            .ok_or_else(|| format!("'{name}' is no sensible number to compare"))?;
        if broken.is_empty() {
            let first = rule.max_increase_percent.or(rule.max_decrease_percent);
            right.push(match (before, first) {
                (Some(before), _) => format!("{name} {value} (was {before})"),
                (None, Some(_)) => format!("{name} {value} (nothing to compare with yet)"),
                (None, None) => format!("{name} {value}"),
            });
        }
        wrong.extend(broken);
    }
    Ok(Compared {
        passed: wrong.is_empty(),
        message: if wrong.is_empty() {
            right.join(", ")
        } else {
            wrong.join("; ")
        },
        found: Found {
            values,
            ..Found::default()
        },
    })
}

/// One sentence for each limit that the value breaks; `None` when the numbers are too large to compare.
fn broken_limits(
    name: &str,
    value: Decimal,
    before: Option<Decimal>,
    rule: &MetricRule,
) -> Option<Vec<String>> {
    let MetricRule {
        max,
        min,
        max_increase_percent,
        max_decrease_percent,
    } = rule;
    let mut broken = Vec::new();
    if let Some(max) = max.filter(|max| value > *max) {
        broken.push(format!("{name} is {value}, at most {max} is accepted"));
    }
    if let Some(min) = min.filter(|min| value < *min) {
        broken.push(format!("{name} is {value}, at least {min} is accepted"));
    }
    if let Some(before) = before {
        let part = |percent: u32| {
            let whole = before.abs().checked_mul(Decimal::from(percent))?;
            whole.checked_div(Decimal::ONE_HUNDRED)
        };
        if let Some(percent) = max_increase_percent
            && value > before.checked_add(part(*percent)?)?
        {
            broken.push(format!(
                "{name} is {value}, more than {percent} % above {before} of the last promotion"
            ));
        }
        if let Some(percent) = max_decrease_percent
            && value < before.checked_sub(part(*percent)?)?
        {
            broken.push(format!(
                "{name} is {value}, more than {percent} % below {before} of the last promotion"
            ));
        }
    }
    Some(broken)
}

#[cfg(test)]
#[path = "thresholds_tests.rs"]
mod tests;
