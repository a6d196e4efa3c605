use std::fmt;
use std::io::{BufReader, Read};

use super::input::Input;
use super::{Format, Report, baseline, grype, infracost, junit, sarif, trivy};

/// Most bytes of a report.
pub const MAX_REPORT_BYTES: u64 = 32 << 20;
/// How much is read at once.
const BUFFER: usize = 64 << 10;

/// What the policy wants to know of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Ids of findings on the list of exceptions.
    pub allow: Vec<String>,
    /// Names of metrics.
    pub metrics: Vec<String>,
}

/// Why bytes are not a report in the format that they should have. It never quotes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadReport(String);

impl BadReport {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for BadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadReport {}

/// Reads a report. It is read strictly, in one pass and in little memory: the container of a gate may
/// have no more than 64 MiB. A document that lacks what makes it a report of this format is refused:
/// that nothing was found must never be a guess.
pub fn read(format: Format, mut from: impl Read, wanted: &Wanted) -> Result<Report, BadReport> {
    let input = match format {
        Format::JUnit => Input::text(&mut from),
        Format::Trivy | Format::Grype | Format::Sarif | Format::Infracost | Format::Baseline => {
            Input::json(&mut from)
        }
    };
    let input = &mut BufReader::with_capacity(BUFFER, input);
    match format {
        Format::JUnit => junit::read(input).map(Report::Tests),
        Format::Trivy => trivy::read(input, &wanted.allow).map(Report::Scan),
        Format::Grype => grype::read(input, &wanted.allow).map(Report::Scan),
        Format::Sarif => sarif::read(input, &wanted.allow).map(Report::Scan),
        Format::Infracost => infracost::read(input).map(Report::Cost),
        Format::Baseline => baseline::read(input, &wanted.metrics).map(Report::Metrics),
    }
}

/// The problem of a report of more than [`MAX_REPORT_BYTES`].
pub fn too_long() -> BadReport {
    BadReport::new(format!("the report has more than {MAX_REPORT_BYTES} bytes"))
}
