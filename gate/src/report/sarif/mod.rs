//! SARIF 2.1.0 (OASIS). A result's severity may stand at its rule, and rules may stand behind the
//! results: so the results of a run are counted by what they name, and judged at the run's end.

mod rules;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess};

use self::rules::{Named, Properties, Rules, Tool, level};

use crate::report::input::Buffered;
use crate::report::json::{Into, Items, List, Object, Strict, each, parse};
use crate::report::read::BadReport;
use crate::report::tally::Tally;
use crate::report::{Count, Scan};

/// The only version that is known.
const VERSION: &str = "2.1.0";
/// About how many bytes the different results of one run may take in memory, and its rules as many.
const MAX_BYTES: usize = 16 << 20;
const TOO_MANY: &str = "the report has too many different rules";
/// About how many bytes one of them takes beside its texts.
const ENTRY_BYTES: usize = 128;

pub(super) fn read(input: &mut Buffered<'_>, allow: &[String]) -> Result<Scan, BadReport> {
    let mut document = Document {
        tally: Tally::new(allow),
        version: None,
        runs: 0,
        problem: None,
    };
    parse("SARIF", input, &mut document)?;
    match (document.version.as_deref(), document.problem) {
        (None, _) => Err(BadReport::new("the report is no SARIF: it has no version")),
        (Some(VERSION), Some(problem)) => Err(BadReport::new(problem)),
        (Some(VERSION), None) if document.runs == 0 => {
            Err(BadReport::new("the report is no SARIF: it has no runs"))
        }
        (Some(VERSION), None) => Ok(document.tally.finish()),
        (Some(_), _) => Err(BadReport::new(format!(
            "the report's version of SARIF is not known, only {VERSION}"
        ))),
    }
}

struct Document<'l> {
    tally: Tally<'l>,
    version: Option<String>,
    runs: u64,
    problem: Option<&'static str>,
}

/// One run of a tool.
#[derive(Default)]
struct Run {
    rules: Rules,
    results: BTreeMap<Named, u64>,
    has_tool: bool,
    has_results: bool,
    bytes: usize,
    /// Why the results cannot be counted.
    problem: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    rule: Option<Strict<RuleReference>>,
    kind: Option<String>,
    level: Option<String>,
    baseline_state: Option<String>,
    properties: Option<Strict<Properties>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleReference {
    id: Option<String>,
    index: Option<i64>,
    tool_component: Option<Strict<ComponentReference>>,
}

#[derive(Deserialize)]
struct ComponentReference {
    index: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: Option<bool>,
}

impl Object for Document<'_> {
    const FIELDS: &'static [&'static str] = &["version", "runs"];

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        if name == "version" {
            self.version = Some(map.next_value()?);
        } else {
            map.next_value_seed(Items(self))?;
        }
        Ok(())
    }
}

impl List for &mut Document<'_> {
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<Option<()>, S::Error> {
        let mut run = Run::default();
        let read = seq.next_element_seed(Into(&mut run))?;
        if read.is_some() {
            if !run.has_tool {
                return Err(S::Error::missing_field("tool"));
            }
            self.runs += 1;
            if run.rules.is_full() {
                run.problem = Some(TOO_MANY);
            } else if !run.has_results {
                run.problem = Some("the tool has judged nothing: a run has no results");
            }
            self.problem = self.problem.or(run.problem);
            run.count(&mut self.tally);
        }
        Ok(read)
    }
}

impl Object for Run {
    const FIELDS: &'static [&'static str] = &[
        "tool",
        "results",
        "invocations",
        "externalPropertyFileReferences",
    ];

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        match name {
            "tool" => {
                let mut tool = Tool::new(&mut self.rules);
                map.next_value_seed(Into(&mut tool))?;
                self.has_tool = tool.has_driver();
            }
            "results" => {
                self.has_results = map.next_value_seed(each(|result| self.add(result)))?;
            }
            "invocations" => {
                map.next_value_seed(each(|invocation: Invocation| {
                    if invocation.execution_successful == Some(false) {
                        self.problem = Some("the tool says that it did not succeed");
                    }
                }))?;
            }
            _ => {
                if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                    self.problem = Some("the report has parts in other files");
                }
            }
        }
        Ok(())
    }
}

impl Run {
    /// Takes in a result, unless it says that nothing is wrong. One that is suppressed counts: whoever made
    /// the artifact may have suppressed it, and exceptions are the policy's.
    fn add(&mut self, result: SarifResult) {
        let is_no_problem = matches!(
            result.kind.as_deref(),
            Some("pass" | "notApplicable" | "informational")
        );
        if is_no_problem || result.baseline_state.as_deref() == Some("absent") {
            return;
        }
        let Strict(reference) = result.rule.unwrap_or_default();
        let component = match reference.tool_component {
            None => Some(0),
            Some(Strict(component)) => component
                .index
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| index.checked_add(1)),
        };
        let index = [result.rule_index, reference.index]
            .into_iter()
            .flatten()
            .find_map(|index| usize::try_from(index).ok());
        let named = Named {
            rule: result.rule_id.or(reference.id),
            place: component.zip(index),
            severity: result
                .properties
                .and_then(|Strict(properties)| properties.severity()),
            level: result.level.as_deref().map(level),
        };
        let bytes = ENTRY_BYTES + named.rule.as_ref().map_or(0, String::len);
        if let Some(count) = self.results.get_mut(&named) {
            *count += 1;
        } else if self.bytes + bytes <= MAX_BYTES {
            self.bytes += bytes;
            self.results.insert(named, 1);
        } else {
            self.problem = Some(TOO_MANY);
        }
    }

    fn count(self, tally: &mut Tally<'_>) {
        let rules = self.rules.by_id();
        for (named, total) in self.results {
            let (id, level) = rules.judge(&named);
            tally.add_all(id, level, Count { total, unfixed: 0 });
        }
    }
}
