//! Infracost's JSON.

use std::fmt;
use std::str::FromStr as _;

use rust_decimal::Decimal;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Cost;
use super::input::Buffered;
use super::json::{Object, Strict, each, parse, rounded};
use super::read::BadReport;
use super::travel::is_currency;

pub(super) fn read(input: &mut Buffered<'_>) -> Result<Cost, BadReport> {
    let mut document = Document::default();
    parse("Infracost JSON", input, &mut document)?;
    document.judge()
}

#[derive(Default)]
struct Document {
    version: Option<String>,
    currency: Option<String>,
    total: Option<String>,
    past: Option<String>,
    is_diff: bool,
    projects: u64,
    has_errors: bool,
    unsupported: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    infracost_command: Option<String>,
}

#[derive(Deserialize)]
struct Project {
    name: String,
    metadata: Option<Strict<ProjectMetadata>>,
}

#[derive(Deserialize)]
struct ProjectMetadata {
    errors: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    unsupported_resource_counts: Option<Sum>,
}

/// All numbers of an object together.
struct Sum(u64);

impl Object for Document {
    const FIELDS: &'static [&'static str] = &[
        "version",
        "currency",
        "totalMonthlyCost",
        "pastTotalMonthlyCost",
        "metadata",
        "projects",
        "summary",
    ];

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        match name {
            "version" => self.version = Some(map.next_value()?),
            "currency" => self.currency = Some(map.next_value()?),
            "totalMonthlyCost" => self.total = map.next_value()?,
            "pastTotalMonthlyCost" => self.past = map.next_value()?,
            "metadata" => {
                let metadata = map.next_value::<Option<Strict<Metadata>>>()?;
                let command = metadata.and_then(|Strict(metadata)| metadata.infracost_command);
                self.is_diff = command.as_deref() == Some("diff");
            }
            "projects" => {
                map.next_value_seed(each(|Project { name, metadata }: Project| {
                    // Read only because every project has one.
                    drop(name);
                    self.projects += 1;
                    let errors = metadata.and_then(|Strict(metadata)| metadata.errors);
                    self.has_errors |= errors.is_some_and(|errors| !errors.is_empty());
                }))?;
            }
            _ => {
                let summary = map.next_value::<Option<Strict<Summary>>>()?;
                let counts =
                    summary.and_then(|Strict(summary)| summary.unsupported_resource_counts);
                self.unsupported = counts.map_or(0, |Sum(sum)| sum);
            }
        }
        Ok(())
    }
}

impl Document {
    fn judge(self) -> Result<Cost, BadReport> {
        let bad = |reason: &str| Err(BadReport::new(reason));
        let (Some(_), Some(currency)) = (self.version, self.currency) else {
            return bad("the report is no Infracost JSON: it has no version or no currency");
        };
        if !is_currency(&currency) {
            return bad("the report's currency is not three capital letters");
        }
        if self.projects == 0 {
            return bad("Infracost has looked at nothing: the report has no projects");
        }
        // What was not priced would cost nothing.
        if self.has_errors {
            return bad("Infracost reports errors for a project");
        }
        let Some(total) = self.total else {
            return bad("the report has no totalMonthlyCost");
        };
        let past_monthly = self
            .past
            .map(|past| amount(&past))
            .transpose()?
            .filter(|past| self.is_diff || !past.is_zero());
        Ok(Cost {
            unpriced: self.unsupported,
            currency,
            monthly: amount(&total)?,
            past_monthly,
        })
    }
}

fn amount(text: &str) -> Result<Decimal, BadReport> {
    // rust_decimal also takes a sign and underscores.
    Some(text)
        .filter(|text| {
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
        .and_then(|text| Decimal::from_str(text).ok())
        .map(rounded)
        .ok_or_else(|| BadReport::new("a monthly cost in the report is no amount of money"))
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;

        impl<'de> Visitor<'de> for Counts {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of counts")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<u64, M::Error> {
                let mut sum = 0_u64;
                while let Some((IgnoredAny, count)) = map.next_entry()? {
                    sum = sum.saturating_add(count);
                }
                Ok(sum)
            }
        }

        deserializer.deserialize_map(Counts).map(Self)
    }
}
