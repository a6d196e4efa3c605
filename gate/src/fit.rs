//! Cuts a summary until it fits into a termination message.

use crate::report::Report;
use crate::summary::{MAX_BYTES, Summary};
use crate::tail::{cut_end, cut_start};

/// Most bytes of a finding's or error's text, so that one of them cannot push out all others.
const MAX_TEXT: usize = 512;
/// Most bytes of the names in a report.
const MAX_NAMES_BYTES: usize = 2048;
/// As many names stay as long as there is more than this many bytes of output.
const NAMES_BEFORE_OUTPUT: usize = 40;
const OUTPUT_BEFORE_NAMES: usize = 600;
/// What the summary may grow by while it is cut: numbers of what was left out.
const GROWTH: usize = 64;

pub(crate) fn to_bytes(summary: &Summary) -> Vec<u8> {
    let mut cut = summary.clone();
    cut_texts(&mut cut);
    cut_report(&mut cut);
    loop {
        let bytes = encoded(&cut);
        let over = bytes.len().saturating_sub(MAX_BYTES);
        if over == 0 {
            return bytes;
        }
        let names = cut.report.as_ref().map_or(0, Report::names);
        let least_output = if names > 0 { OUTPUT_BEFORE_NAMES } else { 0 };
        // Findings may take what the output leaves of them, but one finding says more than the
        // output, so that output gives way before the last of them.
        let several = cut.findings.as_ref().is_some_and(|list| list.len() > 1);
        if !several && names <= NAMES_BEFORE_OUTPUT && cut.output.len() > least_output {
            // A character takes up to six times its bytes in JSON: never cut more than is needed.
            let keep = cut.output.len().saturating_sub(over.div_ceil(6));
            cut_start(&mut cut.output, keep.max(least_output));
        } else if !several && cut.report.as_mut().is_some_and(Report::pop_name) {
            // It says itself that a name was left out.
        } else if cut.findings.as_mut().and_then(Vec::pop).is_some() {
            cut.omitted += 1;
        } else {
            // An error stays an error, whatever it says.
            cut.error = cut.error.map(|_| "…".into());
        }
    }
}

fn cut_texts(cut: &mut Summary) {
    if let Some(error) = &mut cut.error {
        cut_end(error, MAX_TEXT);
    }
    for finding in cut.findings.iter_mut().flatten() {
        for text in [
            &mut finding.rule,
            &mut finding.path,
            &mut finding.pointer,
            &mut finding.message,
        ] {
            cut_end(text, MAX_TEXT);
        }
    }
}

/// Cuts the names in the report. Its numbers are never cut: a finding that is left out would be none.
fn cut_report(cut: &mut Summary) {
    let Some(report) = &mut cut.report else {
        return;
    };
    while report.names_bytes() > MAX_NAMES_BYTES && report.pop_name() {}
    let mut numbers = report.clone();
    while numbers.pop_name() {}
    let least = Summary {
        output: String::new(),
        findings: cut.findings.as_ref().map(|_| Vec::new()),
        report: Some(numbers),
        ..cut.clone()
    };
    if encoded(&least).len() + GROWTH > MAX_BYTES {
        cut.report = None;
        cut.error
            .get_or_insert_with(|| "what the report says does not fit into the result".into());
    }
}

fn encoded(summary: &Summary) -> Vec<u8> {
    serde_json::to_vec(summary).unwrap_or_default()
}
