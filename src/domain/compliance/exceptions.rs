use jiff::civil::Date;

use super::rules::NO_DOCUMENT;
use super::{Exception, Finding, Severity};

/// What cannot be accepted: without these, nobody knows what the documents say.
const NEVER: &[&str] = &[
    "document-parses",
    "manifest-form",
    "manifest-version",
    "policy-form",
];

/// Findings that are accepted today become warnings; an exception that has ended is said.
pub(super) fn apply(findings: &mut [Finding], exceptions: &[Exception], today: Date) {
    for finding in findings {
        if NEVER.contains(&finding.rule.as_str()) {
            continue;
        }
        let fitting = exceptions.iter().filter(|one| fits(one, finding));
        // Of several, the one that lasts longest.
        let Some(exception) = fitting.max_by_key(|one| one.expires) else {
            continue;
        };
        let Exception {
            expires, reason, ..
        } = exception;
        let said = if today <= *expires {
            finding.severity = Severity::Warning;
            format!(" (accepted until {expires}: {reason})")
        } else {
            format!(" (its exception ended on {expires})")
        };
        finding.message.push_str(&said);
    }
}

fn fits(exception: &Exception, finding: &Finding) -> bool {
    exception.rule == finding.rule
        && exception.path.as_ref().is_none_or(|pattern| {
            finding.path != NO_DOCUMENT && fits_pattern(pattern, &finding.path)
        })
}

/// `*` stands for any characters.
fn fits_pattern(pattern: &str, path: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == path;
    };
    let Some(mut left) = path.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}
