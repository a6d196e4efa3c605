//! Grype's JSON. Matches that its own configuration ignores are not counted, as Grype does not.

use serde::Deserialize;
use serde::de::MapAccess;

use super::Scan;
use super::input::Buffered;
use super::json::{Object, Strict, each, parse};
use super::read::BadReport;
use super::tally::{Tally, severity};

pub(super) fn read(input: &mut Buffered<'_>, allow: &[String]) -> Result<Scan, BadReport> {
    let mut document = Document {
        tally: Tally::new(allow),
        has_matches: false,
        tool: None,
    };
    parse("Grype JSON", input, &mut document)?;
    let bad = |reason: &str| {
        Err(BadReport::new(format!(
            "the report is no Grype JSON: {reason}"
        )))
    };
    if document.tool.as_deref() != Some("grype") {
        return bad("its descriptor does not name grype");
    }
    if !document.has_matches {
        return bad("it has no matches");
    }
    Ok(document.tally.finish())
}

struct Document<'l> {
    tally: Tally<'l>,
    has_matches: bool,
    tool: Option<String>,
}

#[derive(Deserialize)]
struct Match {
    vulnerability: Strict<Vulnerability>,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: String,
    severity: Option<String>,
    fix: Option<Strict<Fix>>,
}

#[derive(Deserialize)]
struct Fix {
    state: String,
}

#[derive(Deserialize)]
struct Descriptor {
    name: String,
}

impl Object for Document<'_> {
    const FIELDS: &'static [&'static str] = &["matches", "descriptor"];

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        if name == "descriptor" {
            let Strict(Descriptor { name }) = map.next_value()?;
            self.tool = Some(name);
            return Ok(());
        }
        self.has_matches = map.next_value_seed(each(|found: Match| {
            let Strict(found) = found.vulnerability;
            // Where nothing is said about a fix, there may be one.
            let unfixed = found.fix.is_some_and(|Strict(fix)| fix.state != "fixed");
            let level = severity(found.severity.as_deref().unwrap_or_default());
            self.tally.add(&found.id, level, unfixed);
        }))?;
        Ok(())
    }
}
