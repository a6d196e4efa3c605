//! Trivy's JSON. Licences are not counted: what they are called severe for is no defect.

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, SeqAccess};

use super::Scan;
use super::input::Buffered;
use super::json::{Into, Items, List, Object, each, parse};
use super::read::BadReport;
use super::tally::{Tally, severity};

/// The only version of the schema that is known.
const SCHEMA: u64 = 2;

pub(super) fn read(input: &mut Buffered<'_>, allow: &[String]) -> Result<Scan, BadReport> {
    let mut tally = Tally::new(allow);
    let mut document = Document {
        tally: &mut tally,
        schema: None,
        results: 0,
    };
    parse("Trivy JSON", input, &mut document)?;
    let bad = |reason: String| Err(BadReport::new(reason));
    match (document.schema, document.results) {
        (None, _) => bad("the report is no Trivy JSON: it has no SchemaVersion".into()),
        (Some(SCHEMA), 0) => bad("Trivy has scanned nothing: the report has no Results".into()),
        (Some(SCHEMA), _) => Ok(tally.finish()),
        (Some(other), _) => bad(format!(
            "Trivy's schema version {other} is not known, only {SCHEMA}"
        )),
    }
}

struct Document<'a, 'l> {
    tally: &'a mut Tally<'l>,
    schema: Option<u64>,
    results: u64,
}

/// One scanned thing: an image's packages, a lock file.
struct Target<'a, 'l> {
    tally: &'a mut Tally<'l>,
    named: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    severity: Option<String>,
    fixed_version: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Misconfiguration {
    #[serde(rename = "ID")]
    id: Option<String>,
    /// The longer id of older versions.
    #[serde(rename = "AVDID")]
    avd_id: Option<String>,
    severity: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    #[serde(rename = "RuleID")]
    id: String,
    severity: Option<String>,
}

impl Object for Document<'_, '_> {
    const FIELDS: &'static [&'static str] = &["SchemaVersion", "Results"];

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        if name == "SchemaVersion" {
            self.schema = Some(map.next_value()?);
        } else {
            map.next_value_seed(Items(self))?;
        }
        Ok(())
    }
}

impl List for &mut Document<'_, '_> {
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<Option<()>, S::Error> {
        let mut target = Target {
            tally: self.tally,
            named: false,
        };
        let read = seq.next_element_seed(Into(&mut target))?;
        if read.is_some() {
            if !target.named {
                return Err(S::Error::missing_field("Target"));
            }
            self.results += 1;
        }
        Ok(read)
    }
}

impl Object for Target<'_, '_> {
    const FIELDS: &'static [&'static str] =
        &["Target", "Vulnerabilities", "Misconfigurations", "Secrets"];

    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        let tally = &mut *self.tally;
        match name {
            "Vulnerabilities" => {
                map.next_value_seed(each(|found: Vulnerability| {
                    tally.add(
                        &found.id,
                        level(found.severity.as_deref()),
                        found.is_unfixed(),
                    );
                }))?;
            }
            "Misconfigurations" => {
                map.next_value_seed(each(|found: Misconfiguration| {
                    if found.status.as_deref() != Some("PASS") {
                        let mut ids = [found.id, found.avd_id].into_iter().flatten();
                        let id = ids.find(|id| !id.is_empty()).unwrap_or_default();
                        tally.add(&id, level(found.severity.as_deref()), false);
                    }
                }))?;
            }
            "Secrets" => {
                map.next_value_seed(each(|found: Secret| {
                    tally.add(&found.id, level(found.severity.as_deref()), false);
                }))?;
            }
            _ => {
                map.next_value::<String>()?;
                self.named = true;
            }
        }
        Ok(())
    }
}

impl Vulnerability {
    /// Both must say so: a policy may let pass what nobody has fixed.
    fn is_unfixed(&self) -> bool {
        self.fixed_version.as_deref().is_none_or(str::is_empty)
            && self.status.as_deref() != Some("fixed")
    }
}

fn level(word: Option<&str>) -> super::Level {
    severity(word.unwrap_or_default())
}
