use floe_gate::redact::redact;
use floe_gate::tail::cut_end;
use floe_gate::{Finding, Severity, Summary};
use jiff::Timestamp;

use super::facts::ContainerState;
use super::report::day_of;
use super::state::{Found, GateOutcome, Terms};
use super::thresholds::{Compared, compare};

/// Most bytes of a text that the cluster wrote, inside one of our messages.
const MAX_FOREIGN: usize = 400;
/// Most findings that a message names; all of them are in the result.
const MAX_NAMED: usize = 3;

/// From this exit code on, a command was ended, or could not be started (shell convention: 126, 127, 128 + n).
const FIRST_CODE_OF_TROUBLE: i32 = 126;

/// What the end of the gate's container says.
pub(super) struct Verdict {
    pub(super) outcome: GateOutcome,
    pub(super) message: String,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) output: Option<String>,
    pub(super) found: Found,
}

impl Verdict {
    pub(super) fn of(outcome: GateOutcome, message: String, finished: Option<Timestamp>) -> Self {
        Self {
            outcome,
            message,
            started_at: None,
            finished_at: finished,
            output: None,
            found: Found::default(),
        }
    }
}

/// What a container that has ended says; nothing for one that has not.
pub(super) fn verdict_of(state: &ContainerState, terms: &Terms<'_>) -> Option<Verdict> {
    let ContainerState::Terminated {
        exit_code,
        reason,
        message,
        finished_at,
        ..
    } = state
    else {
        return None;
    };
    let error = |message: String| Verdict::of(GateOutcome::Error, message, *finished_at);
    if reason == "OOMKilled" {
        return Some(error(
            "the command ran out of memory and was killed; raise the gate's resources.memory"
                .into(),
        ));
    }
    let said = message.as_deref().unwrap_or_default();
    Some(match Summary::parse(said.as_bytes()) {
        Ok(summary) => by_summary(&summary, *exit_code, *finished_at, terms),
        // Other reasons come from the node: it could not run the container, and says why.
        Err(_) if !matches!(reason.as_str(), "" | "Completed" | "Error") => error(format!(
            "the container could not be run ({reason}: {})",
            foreign(said)
        )),
        Err(_) if said.is_empty() => error(format!(
            "it ended with exit code {exit_code}, but handed over no result"
        )),
        Err(why) => error(format!(
            "it ended with exit code {exit_code}, but its result cannot be read: {why}"
        )),
    })
}

fn by_summary(
    summary: &Summary,
    exit_code: i32,
    finished_at: Option<Timestamp>,
    terms: &Terms<'_>,
) -> Verdict {
    let (outcome, message, found) = match said(summary, exit_code, finished_at, terms) {
        Ok(said) => said,
        Err(error) => (GateOutcome::Error, error, Found::default()),
    };
    Verdict {
        outcome,
        message,
        started_at: summary.started_at.parse().ok(),
        finished_at,
        output: (outcome != GateOutcome::Passed).then(|| redact_lines(&summary.output)),
        found,
    }
}

/// What a summary says; the error is why it says nothing.
fn said(
    summary: &Summary,
    exit_code: i32,
    finished_at: Option<Timestamp>,
    terms: &Terms<'_>,
) -> Result<(GateOutcome, String, Found), String> {
    let contradicts = |how: &str| format!("its result contradicts itself: {how}");
    if summary.exit_code != exit_code {
        return Err(contradicts(&format!(
            "the container exited with {exit_code}, its summary says {}",
            summary.exit_code
        )));
    }
    if let Some(error) = &summary.error {
        return Err(foreign(error));
    }
    if summary.timed_out {
        // One text for every time-out, so that people and alerts can look for it.
        let message = format!(
            "the command ran longer than its limit of {} s and was stopped",
            terms.limits.timeout_seconds
        );
        return Ok((GateOutcome::TimedOut, message, Found::default()));
    }
    match (terms.report, &summary.report) {
        (Some(rules), Some(report)) => {
            // The report carries no time of its own, and a Pod whose end is unknown proves no day.
            let ended = finished_at.ok_or("its node does not say when it ended")?;
            let compared = compare(report, rules, terms.baseline, day_of(ended))?;
            by_report(compared, exit_code, &rules.exit_codes)
        }
        (Some(_), None) => Err("its result lacks the report that the gate asks for".to_owned()),
        (None, Some(_)) => Err(contradicts("it holds a report that nobody asked for")),
        (None, None) => by_exit_code(summary, exit_code).map_err(|how| contradicts(&how)),
    }
}

/// The report decides when the command says that it has done its work; otherwise the gate has not passed.
fn by_report(
    compared: Compared,
    exit_code: i32,
    complete: &[i32],
) -> Result<(GateOutcome, String, Found), String> {
    let Compared {
        passed,
        message,
        found,
    } = compared;
    if exit_code >= FIRST_CODE_OF_TROUBLE {
        return Err(format!(
            "the command exited with {exit_code}: it did not come to its end, so its report counts for nothing"
        ));
    }
    if exit_code != 0 && !complete.contains(&exit_code) {
        let message = format!("the command exited with {exit_code}; its report: {message}");
        return Ok((GateOutcome::Failed, message, found));
    }
    let outcome = if passed {
        GateOutcome::Passed
    } else {
        GateOutcome::Failed
    };
    Ok((outcome, message, found))
}

fn by_exit_code(summary: &Summary, exit_code: i32) -> Result<(GateOutcome, String, Found), String> {
    let findings = summary.findings.as_deref().unwrap_or_default();
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    if exit_code == 0 && (errors > 0 || summary.omitted > 0 && findings.is_empty()) {
        return Err(format!("exit code 0, but {errors} findings are errors"));
    }
    let found = Found {
        findings: findings.iter().map(ToString::to_string).collect(),
        omitted: summary.omitted,
        ..Found::default()
    };
    Ok(if exit_code == 0 {
        (
            GateOutcome::Passed,
            passed_message(summary, findings),
            found,
        )
    } else {
        (
            GateOutcome::Failed,
            failed_message(summary, findings),
            found,
        )
    })
}

fn passed_message(summary: &Summary, findings: &[Finding]) -> String {
    let note = summary.output.lines().next_back().unwrap_or_default();
    match findings {
        // floe's own check ends with one line that says what it looked at.
        [] if summary.findings.is_some() && !note.is_empty() => foreign(note),
        [] => "passed".to_owned(),
        _ => format!("passed with {}", named(findings, summary.omitted)),
    }
}

fn failed_message(summary: &Summary, findings: &[Finding]) -> String {
    if !findings.is_empty() {
        return named(findings, summary.omitted);
    }
    let exit_code = summary.exit_code;
    match summary
        .output
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
    {
        Some(last) => format!("the command exited with {exit_code}: {}", foreign(last)),
        None => format!("the command exited with {exit_code} and printed nothing"),
    }
}

/// `5 findings: a.yaml#/x: ... (rule); ... and 2 more`.
fn named(findings: &[Finding], omitted: u64) -> String {
    let total = findings.len() as u64 + omitted;
    let mut first: Vec<String> = findings
        .iter()
        .take(MAX_NAMED)
        .map(|f| foreign(&f.to_string()))
        .collect();
    let left = total - first.len() as u64;
    if left > 0 {
        first.push(format!("and {left} more"));
    }
    let word = if total == 1 { "finding" } else { "findings" };
    format!("{total} {word}: {}", first.join("; "))
}

/// Why the artifact could not be fetched, when the container that fetches it failed.
pub(super) fn fetch_failure(state: &ContainerState) -> Option<String> {
    match state {
        ContainerState::Waiting { .. }
        | ContainerState::Running { .. }
        | ContainerState::Terminated { exit_code: 0, .. } => None,
        ContainerState::Terminated {
            exit_code,
            reason,
            message,
            ..
        } => {
            let said = message
                .as_deref()
                .map(foreign)
                .filter(|text| !text.is_empty());
            let why = match (reason.as_str(), said) {
                ("OOMKilled", _) => "it ran out of memory".to_owned(),
                (_, Some(said)) => said,
                (reason, None) => format!("exit code {exit_code} {reason}"),
            };
            Some(format!(
                "the artifact could not be fetched: {}",
                why.trim_end()
            ))
        }
    }
}

/// ` (Reason: message)`, or nothing.
pub(super) fn with_reason(reason: Option<&str>, message: Option<&str>) -> String {
    let parts: Vec<String> = [reason, message]
        .into_iter()
        .flatten()
        .map(foreign)
        .filter(|text| !text.is_empty())
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(": "))
    }
}

/// A text that the cluster or a command wrote, on one line, without secrets, and not too long.
pub(super) fn foreign(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let mut line = redact(&words.join(" "));
    cut_end(&mut line, MAX_FOREIGN);
    line
}

fn redact_lines(text: &str) -> String {
    text.lines().map(redact).collect::<Vec<_>>().join("\n")
}
