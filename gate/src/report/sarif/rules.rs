//! The rules of a run, and how severe a result is by them.

use std::collections::BTreeMap;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ENTRY_BYTES, MAX_BYTES};
use crate::report::Level;
use crate::report::json::{Into, Items, List, Object, Strict, each};

/// As many parts of an id are left away to find its rule.
const MAX_ID_PARTS: usize = 8;

/// What a result says of itself; results that say the same are counted together.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    /// Id of its rule.
    pub(super) rule: Option<String>,
    /// Component and index of its rule; component 0 is the tool's driver.
    pub(super) place: Option<(usize, usize)>,
    /// Of its own security severity.
    pub(super) severity: Option<Level>,
    /// Of its own level.
    pub(super) level: Option<Level>,
}

/// Rules by component; component 0 is the tool's driver, the others are its extensions.
#[derive(Default)]
pub(super) struct Rules {
    components: BTreeMap<usize, Vec<Rule>>,
    bytes: usize,
    full: bool,
}

/// The same, with those of one id found together.
pub(super) struct RulesById<'r> {
    components: &'r BTreeMap<usize, Vec<Rule>>,
    by_id: Vec<&'r Rule>,
}

/// Reads the rules of `tool`.
pub(super) struct Tool<'r> {
    rules: &'r mut Rules,
    has_driver: bool,
    extensions: usize,
}

/// The part of a property bag that says how severe a security problem is.
#[derive(Default, Deserialize)]
pub(super) struct Properties {
    #[serde(rename = "security-severity")]
    severity: Option<SecuritySeverity>,
}

/// From 0 to 10, as number or as text.
struct SecuritySeverity(Level);

struct Rule {
    id: String,
    severity: Option<Level>,
    level: Option<Level>,
}

struct Component<'r> {
    rules: &'r mut Rules,
    index: usize,
    named: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    id: String,
    default_configuration: Option<Strict<Configuration>>,
    properties: Option<Strict<Properties>>,
}

#[derive(Deserialize)]
struct Configuration {
    level: Option<String>,
}

/// The severity of a level of SARIF.
pub(super) fn level(word: &str) -> Level {
    match word {
        "error" => Level::High,
        "warning" => Level::Medium,
        "note" => Level::Low,
        _ => Level::Unknown,
    }
}

impl Rules {
    /// Whether there were too many to hold.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn by_id(&self) -> RulesById<'_> {
        let mut by_id: Vec<&Rule> = self.components.values().flatten().collect();
        by_id.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        RulesById {
            components: &self.components,
            by_id,
        }
    }

    fn add(&mut self, component: usize, rule: Rule) {
        self.bytes += ENTRY_BYTES + rule.id.len();
        self.full |= self.bytes > MAX_BYTES;
        if !self.full {
            self.components.entry(component).or_default().push(rule);
        }
    }
}

impl RulesById<'_> {
    /// Id and severity of these results. Where they name more than one rule, the worst counts.
    pub(super) fn judge<'n>(&'n self, named: &'n Named) -> (&'n str, Level) {
        let by_place = named
            .place
            .and_then(|(component, index)| self.components.get(&component)?.get(index));
        let by_id = named.rule.as_deref().map(|id| self.with_id(id));
        let level = by_id
            .unwrap_or_default()
            .iter()
            .copied()
            .chain(by_place)
            .map(|rule| named.level_by(Some(rule)))
            .min()
            .unwrap_or_else(|| named.level_by(None));
        let id = named
            .rule
            .as_deref()
            .or_else(|| by_place.map(|rule| rule.id.as_str()));
        (id.unwrap_or_default(), level)
    }

    /// The rules with this id. An id such as `CA1000/1` may name a part of the rule `CA1000`.
    fn with_id(&self, mut id: &str) -> &[&Rule] {
        for _ in 0..MAX_ID_PARTS {
            let from = self.by_id.partition_point(|rule| rule.id.as_str() < id);
            let until = self.by_id.partition_point(|rule| rule.id.as_str() <= id);
            if from < until {
                return &self.by_id[from..until];
            }
            match id.rsplit_once('/') {
                Some((whole, _)) => id = whole,
                None => break,
            }
        }
        &[]
    }
}

impl Named {
    fn level_by(&self, rule: Option<&Rule>) -> Level {
        self.severity
            .or_else(|| rule?.severity)
            .or(self.level)
            .or_else(|| rule?.level)
            // SARIF 2.1.0, 3.27.10: a result without level is a warning.
            .unwrap_or(Level::Medium)
    }
}

impl Properties {
    pub(super) fn severity(self) -> Option<Level> {
        self.severity.map(|SecuritySeverity(level)| level)
    }
}

impl<'r> Tool<'r> {
    pub(super) fn new(rules: &'r mut Rules) -> Self {
        Self {
            rules,
            has_driver: false,
            extensions: 0,
        }
    }

    pub(super) fn has_driver(&self) -> bool {
        self.has_driver
    }

    fn component(&mut self, index: usize) -> Component<'_> {
        Component {
            rules: self.rules,
            index,
            named: false,
        }
    }
}

impl Object for Tool<'_> {
    const FIELDS: &'static [&'static str] = &["driver", "extensions"];

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        if name == "driver" {
            let mut driver = self.component(0);
            map.next_value_seed(Into(&mut driver))?;
            self.has_driver = driver.named;
        } else {
            map.next_value_seed(Items(self))?;
        }
        Ok(())
    }
}

impl List for &mut Tool<'_> {
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<Option<()>, S::Error> {
        self.extensions += 1;
        let mut extension = self.component(self.extensions);
        seq.next_element_seed(Into(&mut extension))
    }
}

impl Object for Component<'_> {
    const FIELDS: &'static [&'static str] = &["name", "rules"];

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        if name == "name" {
            map.next_value::<String>()?;
            self.named = true;
        } else {
            map.next_value_seed(each(|rule: Descriptor| {
                let configuration = rule.default_configuration;
                let rule = Rule {
                    id: rule.id,
                    severity: rule
                        .properties
                        .and_then(|Strict(properties)| properties.severity()),
                    level: configuration
                        .and_then(|Strict(configuration)| configuration.level)
                        .as_deref()
                        .map(level),
                };
                self.rules.add(self.index, rule);
            }))?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for SecuritySeverity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Score;

        impl Visitor<'_> for Score {
            type Value = f64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, number: f64) -> Result<f64, E> {
                Ok(number)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
                u32::try_from(number).map(f64::from).map_err(E::custom)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
                text.parse().map_err(E::custom)
            }
        }

        let score = deserializer.deserialize_any(Score)?;
        // What GitHub's code scanning takes these numbers for.
        Ok(Self(match score {
            9.0..=10.0 => Level::Critical,
            7.0..9.0 => Level::High,
            4.0..7.0 => Level::Medium,
            0.0 => Level::Unknown,
            0.0..4.0 => Level::Low,
            _ => return Err(D::Error::custom("not from 0 to 10")),
        }))
    }
}
