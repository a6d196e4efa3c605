use jiff::civil::{Date, date};

use super::exceptions::apply;
use super::{Exception, Finding, Severity, error};

fn finding(rule: &str, path: &str) -> Finding {
    error(rule, path, "", "wrong".to_owned())
}

fn exception(rule: &str, path: Option<&str>, expires: Date) -> Exception {
    Exception {
        rule: rule.to_owned(),
        path: path.map(str::to_owned),
        reason: "known".to_owned(),
        expires,
    }
}

fn applied(finding: &Finding, exceptions: &[Exception], today: Date) -> Finding {
    let mut findings = [finding.clone()];
    apply(&mut findings, exceptions, today);
    let [finding] = findings;
    finding
}

#[test]
fn an_exception_counts_until_the_end_of_its_last_day() {
    let last = date(2026, 12, 31);
    let exceptions = [exception("r", None, last)];
    let found = finding("r", "a.yaml");
    for today in [date(2026, 11, 25), last] {
        let accepted = applied(&found, &exceptions, today);
        assert_eq!(accepted.severity, Severity::Warning);
        assert_eq!(accepted.message, "wrong (accepted until 2026-12-31: known)");
    }
    let after = applied(&found, &exceptions, date(2027, 1, 1));
    assert_eq!(after.severity, Severity::Error);
    assert_eq!(after.message, "wrong (its exception ended on 2026-12-31)");
}

#[test]
fn of_several_exceptions_the_longest_counts() {
    let exceptions = [
        exception("r", None, date(2026, 1, 1)),
        exception("r", Some("a.*"), date(2027, 1, 1)),
        exception("r", None, date(2026, 6, 1)),
    ];
    let accepted = applied(&finding("r", "a.yaml"), &exceptions, date(2026, 11, 25));
    assert_eq!(accepted.severity, Severity::Warning);
}

#[test]
fn an_exception_fits_its_rule_and_its_path() {
    let today = date(2026, 11, 25);
    for (pattern, path, fits) in [
        (None, "a.yaml", true),
        (None, "(artifact)", true),
        (Some("*"), "a.yaml", true),
        (Some("*"), "(artifact)", false),
        (Some("a.yaml"), "a.yaml", true),
        (Some("a.yaml"), "b/a.yaml", false),
        (Some("models/*"), "models/deep/a.yaml", true),
        (Some("models/*"), "other/models/a.yaml", false),
        (Some("*.yaml"), "a.yml", false),
        (Some("m*/*.yaml"), "models/a.yaml", true),
        (Some("a*a"), "a", false),
        (Some("a*b*c"), "a-b-c", true),
        (Some("a*b*c"), "a-c-b", false),
        (Some("**"), "a.yaml", true),
        (Some("a.yam?"), "a.yaml", false),
    ] {
        let exceptions = [exception("r", pattern, today)];
        let accepted = applied(&finding("r", path), &exceptions, today);
        assert_eq!(
            accepted.severity == Severity::Warning,
            fits,
            "{pattern:?} {path}"
        );
    }
    let other = [exception("other", None, today)];
    assert_eq!(
        applied(&finding("r", "a.yaml"), &other, today),
        finding("r", "a.yaml")
    );
}

#[test]
fn what_says_that_documents_cannot_be_understood_is_never_accepted() {
    let today = date(2026, 11, 25);
    for rule in [
        "document-parses",
        "manifest-form",
        "manifest-version",
        "policy-form",
    ] {
        let found = finding(rule, "a.yaml");
        assert_eq!(
            applied(&found, &[exception(rule, None, today)], today),
            found
        );
    }
}
