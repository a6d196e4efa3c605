//! floe's own format of measured values: `{"metrics": {"NAME": NUMBER}}`, and nothing else.

use std::collections::BTreeSet;
use std::fmt;

use rust_decimal::Decimal;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Metrics;
use super::input::Buffered;
use super::json::{Object, parse, rounded};
use super::read::BadReport;

/// Most metrics of a report.
const MAX_METRICS: usize = 256;
/// Most bytes of a metric's name.
const MAX_NAME_BYTES: usize = 63;

pub(super) fn read(input: &mut Buffered<'_>, wanted: &[String]) -> Result<Metrics, BadReport> {
    let mut document = Document {
        wanted,
        names: BTreeSet::new(),
        metrics: None,
        problem: None,
    };
    let parsed = parse("baseline", input, &mut document);
    if let Some(problem) = document.problem {
        return Err(BadReport::new(problem));
    }
    parsed?;
    document
        .metrics
        .ok_or_else(|| BadReport::new("the report is no baseline: it has no metrics"))
}

struct Document<'w> {
    wanted: &'w [String],
    names: BTreeSet<String>,
    metrics: Option<Metrics>,
    problem: Option<String>,
}

/// A number of JSON as decimal.
struct Number(Decimal);

impl Object for Document<'_> {
    const FIELDS: &'static [&'static str] = &["metrics"];
    const CLOSED: bool = true;

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        _: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        self.metrics = Some(map.next_value_seed(&mut *self)?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Document<'_> {
    type Value = Metrics;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Metrics, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Document<'_> {
    type Value = Metrics;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of numbers")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Metrics, M::Error> {
        let mut metrics = Metrics::default();
        while let Some(name) = map.next_key::<String>()? {
            let Number(value) = map.next_value()?;
            let problem = if !is_name(&name) {
                "the name of a metric is not allowed".to_owned()
            } else if self.names.contains(&name) {
                "the report has a metric twice".to_owned()
            } else if self.names.len() == MAX_METRICS {
                format!("the report has more than {MAX_METRICS} metrics")
            } else {
                if self.wanted.contains(&name) {
                    metrics.values.insert(name.clone(), value);
                }
                self.names.insert(name);
                continue;
            };
            self.problem = Some(problem);
            return Err(M::Error::custom("a metric is not allowed"));
        }
        Ok(metrics)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;

        impl Visitor<'_> for AnyNumber {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Decimal, E> {
                Ok(number.into())
            }

            fn visit_i64<E>(self, number: i64) -> Result<Decimal, E> {
                Ok(number.into())
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Decimal, E> {
                Decimal::try_from(number).map_err(|_| E::custom("the number is too large"))
            }
        }

        deserializer
            .deserialize_any(AnyNumber)
            .map(rounded)
            .map(Self)
    }
}

/// `[A-Za-z0-9_][A-Za-z0-9_.:/()-]{0,62}`.
fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().next().is_some_and(is_word)
        && name.len() <= MAX_NAME_BYTES
        && name
            .bytes()
            .all(|byte| is_word(byte) || b".:/()-".contains(&byte))
}
