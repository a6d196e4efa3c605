//! One gate as a block of text: what came out, its numbers, what it found, where to look.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::view::GateView;
use super::words::span;
use crate::domain::status::sign;

/// Most ids and findings that are shown without `-o wide`.
const SHOWN: usize = 8;

/// The block; `wide` adds images and Jobs of gates that passed, and everything that was found.
pub(super) fn lines(gate: &GateView, widest: usize, wide: bool) -> Vec<String> {
    let time = gate
        .duration()
        .map(|duration| format!(" in {}", span(duration)))
        .unwrap_or_default();
    let mut lines = vec![format!(
        "  {} {:<widest$}  {}{time}{}",
        sign(&gate.outcome),
        gate.name,
        gate.outcome,
        how(gate)
    )];
    let quiet = gate.outcome == "Passed" && !wide;
    let mut inner = |text: String| lines.push(format!("      {text}"));
    for line in gate.message.iter().flat_map(|message| message.lines()) {
        inner(line.to_owned());
    }
    if let Some(numbers) = numbers(&gate.counts) {
        inner(format!("counts {numbers}"));
    }
    if let Some(values) = numbers(&gate.values) {
        inner(format!("values {values}"));
    }
    let most = if wide { usize::MAX } else { SHOWN };
    if !gate.ids.is_empty() {
        let shown: Vec<&str> = gate.ids.iter().take(most).map(String::as_str).collect();
        inner(format!(
            "ids {}{}",
            shown.join(", "),
            more(gate, gate.ids.len(), shown.len())
        ));
    }
    if !quiet {
        for finding in gate.findings.iter().take(most) {
            inner(format!("- {finding}"));
        }
        let shown = gate.findings.len().min(most);
        let more = more(gate, gate.findings.len(), shown);
        if shown > 0 && !more.is_empty() {
            inner(format!("-{more}"));
        }
        inner(format!("{} Job {}", gate.gate_type, gate.job));
        if let Some(image) = &gate.image {
            inner(format!("image {image}"));
        }
    }
    for line in gate.output.iter().flat_map(|output| output.lines()) {
        inner(format!("| {line}"));
    }
    lines
}

/// ` on try 2`, or whose result it is.
fn how(gate: &GateView) -> String {
    match (&gate.reused_from, gate.attempts) {
        (Some(from), _) => format!(", as in Promotion '{from}'"),
        (None, Some(attempts)) if attempts > 1 => format!(" on try {attempts}"),
        (None, _) => String::new(),
    }
}

/// `critical 1, high 5`; numbers that are 0 say nothing.
fn numbers(of: &BTreeMap<String, impl Display>) -> Option<String> {
    let some: Vec<String> = of
        .iter()
        .map(|(name, number)| (name, number.to_string()))
        .filter(|(_, number)| number != "0")
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    (!some.is_empty()).then(|| some.join(", "))
}

fn more(gate: &GateView, known: usize, shown: usize) -> String {
    let omitted = usize::try_from(gate.omitted.unwrap_or_default()).unwrap_or_default();
    match known - shown + omitted {
        0 => String::new(),
        left => format!(" and {left} more"),
    }
}
