use serde_json::json;

use super::super::tests::{checked, input};
use super::super::*;

const MANIFEST_TEXT: &str = "\
apiVersion: floe.dev/v1
kind: Manifest
metadata: {name: platform, version: 1.2.3}
governance: {data_retention_days: 90, public: false, owner: null, ratio: 0.5, secret_word: Zq7value}
";

fn rule(name: &str, expression: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        severity: RuleSeverity::Error,
        matches: None,
        expression: expression.to_owned(),
        message: format!("{name} is broken"),
    }
}

fn with_rules(files: &[(&str, &str)], rules: Vec<Rule>) -> Report {
    let mut input = input(files);
    input.rules.rules = rules;
    checked(input)
}

/// What one rule says of an artifact that has only a manifest.
fn said(expression: &str) -> Vec<String> {
    let files = [("manifest.yaml", MANIFEST_TEXT)];
    let report = with_rules(&files, vec![rule("r", expression)]);
    report
        .findings
        .into_iter()
        .map(|finding| {
            assert_eq!(finding.severity, Severity::Error);
            assert_eq!((finding.rule.as_str(), finding.pointer.as_str()), ("r", ""));
            finding.message
        })
        .collect()
}

#[test]
fn rules_that_hold_find_nothing() {
    for expression in [
        "true",
        "manifest.governance.data_retention_days >= 90",
        "manifest.governance.data_retention_days == 90.0",
        "manifest.governance.ratio < 1.0",
        "manifest.governance.owner == null",
        "!manifest.governance.public",
        "!has(manifest.plugins)",
        "artifact.name == 'platform' && artifact.version == 'v1.2.3' && artifact.digest == 'sha256:d1'",
        "artifact.mediaType == 'application/x' && artifact.annotations.team == 'data'",
        "environment.name == 'prod' && environment.from == 'staging'",
        "size(documents) == 1 && documents[0].path == 'manifest.yaml'",
        "documents.all(d, d.content.metadata.name.matches('^[a-z]+$'))",
        // A macro's own variable is not the document of which rules speak.
        "documents.all(document, document.path == 'manifest.yaml')",
        "type(manifest.governance.data_retention_days) == int && type(manifest) == map",
        "timestamp('2026-11-25T00:00:00Z') < timestamp('2026-11-26T00:00:00Z')",
        "size('ä') == 1",
        "'a' in ['a'] && 'governance' in manifest",
    ] {
        assert_eq!(said(expression), Vec::<String>::new(), "{expression}");
    }
}

#[test]
fn a_rule_that_does_not_hold_is_a_finding_with_its_message_about_the_artifact() {
    let files = [("manifest.yaml", MANIFEST_TEXT)];
    let report = with_rules(
        &files,
        vec![rule(
            "keep-a-year",
            "manifest.governance.data_retention_days >= 365",
        )],
    );
    assert!(!report.passed());
    assert_eq!(
        report.lines().collect::<Vec<_>>(),
        ["Error: (artifact): keep-a-year is broken (keep-a-year)"]
    );
    assert_eq!(report.note, "1 document checked; 1 rule");
}

#[test]
fn a_rule_that_speaks_of_document_names_each_document_that_breaks_it() {
    let files = [
        ("manifest.yaml", MANIFEST_TEXT),
        ("models/a.yaml", "owner: me"),
        ("models/b.yaml", "owner: me\n---\nname: b"),
        ("models/c.json", "{}"),
    ];
    let mut owned = rule("owned", "has(document.content.owner)");
    owned.matches = Some("document.path.startsWith('models/')".to_owned());
    let report = with_rules(&files, vec![owned]);
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.path.as_str(), finding.message.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("models/b.yaml", "owned is broken (document 2 of the file)"),
            ("models/c.json", "owned is broken")
        ]
    );
}

#[test]
fn a_match_alone_that_speaks_of_document_is_enough() {
    let mut none = rule("none", "false");
    none.matches = Some("document.path == 'x.yaml'".to_owned());
    let report = with_rules(
        &[("manifest.yaml", MANIFEST_TEXT), ("x.yaml", "a: 1")],
        vec![none],
    );
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].path, "x.yaml");
}

#[test]
fn a_rule_whose_match_does_not_hold_is_not_evaluated() {
    let mut other = rule("other", "manifest.nothing.there");
    other.matches = Some("environment.name == 'dev'".to_owned());
    let report = with_rules(&[("manifest.yaml", MANIFEST_TEXT)], vec![other]);
    assert_eq!(report.findings, []);
}

#[test]
fn a_warning_is_shown_and_does_not_fail() {
    let mut warning = rule("w", "false");
    warning.severity = RuleSeverity::Warning;
    let report = with_rules(&[("manifest.yaml", MANIFEST_TEXT)], vec![warning]);
    assert!(report.passed());
    assert_eq!(report.findings[0].severity, Severity::Warning);
}

#[test]
fn what_cannot_be_evaluated_is_an_error_whatever_the_severity_and_says_why() {
    for (expression, why) in [
        ("manifest.nothing == 1", "fails: there is no key 'nothing'"),
        (
            "manifest.metadata.name.x == 1",
            "fails: a value of type string has no keys",
        ),
        (
            "!manifest.governance.owner.x",
            "fails: a value of type null has no keys",
        ),
        (
            "!has(manifest.governance.owner.x)",
            "fails: a value of type null has no keys",
        ),
        (
            "manifest.metadata.name > 1",
            "fails: '>' does not work on string and int",
        ),
        (
            "manifest.metadata.name + 1 == 1",
            "fails: '+' does not work on string and int",
        ),
        (
            "manifest.governance.owner.all(x, true)",
            "fails: only lists and maps",
        ),
        (
            "manifest[manifest.governance.secret_word]",
            "fails: there is no such key",
        ),
        (
            "int(manifest.governance.secret_word) == 1",
            "fails: 'int' cannot be used",
        ),
        (
            "'a'.matches(manifest.governance.secret_word + '(')",
            "fails: 'matches' cannot be used",
        ),
        (
            "documents[7].path == ''",
            "fails: a list has fewer elements",
        ),
        ("1 / 0 == 1", "fails: it divides by zero"),
        (
            "9223372036854775807 + 1 > 0",
            "fails: a number becomes too large",
        ),
        (
            "[1, 'a'].all(x, x > 0)",
            "fails: '>' does not work on string and int",
        ),
        (
            "lower('a') == 'a'",
            "fails: 'lower' is neither a variable nor a function",
        ),
        (
            "Thing{a: 1} == 1",
            "fails: a value has a type that does not fit",
        ),
        ("manifest.governance.secret_word", "gives string, not bool"),
        ("manifest", "gives map, not bool"),
        ("1", "gives int, not bool"),
        (
            "enviroment.name == 'prod'",
            "cannot be read: 'enviroment' is no variable",
        ),
        (
            "true || password",
            "cannot be read: 'password' is no variable",
        ),
        ("1 +", "cannot be read: "),
        ("", "cannot be read: "),
        ("'unended", "cannot be read: "),
    ] {
        for part in ["expression", "match"] {
            let mut rule = rule("r", expression);
            rule.severity = RuleSeverity::Warning;
            if part == "match" {
                rule.matches = Some(std::mem::replace(&mut rule.expression, "true".to_owned()));
            }
            let report = with_rules(&[("manifest.yaml", MANIFEST_TEXT)], vec![rule]);
            assert_eq!(report.findings.len(), 1, "{expression}");
            let Finding {
                severity,
                path,
                message,
                ..
            } = &report.findings[0];
            assert_eq!((*severity, path.as_str()), (Severity::Error, "(artifact)"));
            let wanted = format!("the rule could not be evaluated: its {part} {why}");
            assert!(message.starts_with(&wanted), "{expression}: {message}");
            assert!(!message.contains("Zq7"), "{expression}: {message}");
        }
    }
}

#[test]
fn one_bad_rule_does_not_hide_another() {
    let rules = vec![
        rule("a", "1 +"),
        rule("b", "manifest.x"),
        rule("c", "false"),
        rule("d", "true"),
    ];
    let report = with_rules(&[("manifest.yaml", MANIFEST_TEXT)], rules);
    let names: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(report.note, "1 document checked; 4 rules");
}

#[test]
fn what_is_too_long_or_nests_too_deep_is_refused_before_it_is_read() {
    let long = format!("true{}", " ".repeat(2045));
    assert!(said(&long)[0].contains("its expression has more than 2048 characters"));
    assert_eq!(said(&long[..2048]), Vec::<String>::new());
    let deep = |depth: usize| "(".repeat(depth) + "true" + &")".repeat(depth);
    assert!(said(&deep(65))[0].contains("nests deeper than 64 brackets"));
    assert_eq!(said(&deep(64)), Vec::<String>::new());
    let mut long_match = rule("r", "true");
    long_match.matches = Some(format!("true{}", " ".repeat(1021)));
    let report = with_rules(&[("manifest.yaml", MANIFEST_TEXT)], vec![long_match]);
    assert!(
        report.findings[0]
            .message
            .contains("its match has more than 1024 characters")
    );
}

#[test]
fn no_text_of_the_longest_kind_overflows_the_stack() {
    let repeated = |start: &str, part: &str, end: &str| {
        let times = (2048 - start.len() - end.len()) / part.len();
        format!("{start}{}{end}", part.repeat(times))
    };
    for text in [
        repeated("", "(", ""),
        repeated("", "[", ""),
        repeated("", "!(", ""),
        repeated("1", "+1", " > 0"),
        repeated("1", "<1", ""),
        repeated("", "!", "true"),
        repeated("", "-", "1 > 0"),
        repeated("manifest", ".a", ""),
        repeated("manifest", "[0]", ""),
        repeated("manifest", ".a()", ""),
        repeated("", "true ? true : ", "true"),
        repeated("", "true ? ", "true"),
        repeated("true", "||true", ""),
        repeated("true", "&&true||true", ""),
        repeated("[1]", ".map(x, x)", ""),
        repeated("", "[1].all(x, ", "true"),
        repeated("", "')", ""),
        repeated("", "\"a", ""),
        repeated("", "?:", ""),
        repeated("[", "1,", "]"),
    ] {
        // Some hold, others are errors; what counts is that they end.
        let found = said(&text);
        assert!(found.len() <= 1, "{text:.40}: {found:?}");
    }
}

#[test]
fn a_thousand_documents_are_checked_by_rules_of_both_kinds() {
    let names: Vec<String> = (0..999)
        .map(|index| format!("models/{index}.yaml"))
        .collect();
    let mut files = vec![("manifest.yaml", MANIFEST_TEXT)];
    files.extend(
        names
            .iter()
            .map(|name| (name.as_str(), "owner: me\nlayers: [a, b, c]\n")),
    );
    let rules = vec![
        rule(
            "each",
            "document.path == 'manifest.yaml' || document.content.owner == 'me'",
        ),
        rule(
            "all",
            "documents.filter(d, has(d.content.owner)).all(d, size(d.content.layers) == 3)",
        ),
    ];
    let report = with_rules(&files, rules);
    assert_eq!(report.findings, []);
    assert_eq!(report.note, "1000 documents checked; 2 rules");
}

#[test]
fn without_documents_the_rules_that_speak_of_them_are_left_out() {
    let rules = || {
        vec![
            rule("digest", "artifact.digest == 'other'"),
            rule("each", "document.path == ''"),
            rule("all", "size(documents) > 0"),
            rule("manifest", "manifest.x == 1"),
        ]
    };
    let report = with_rules(&[("app.bin", "x")], rules());
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].rule, "digest");
    assert_eq!(
        report.note,
        "no documents: the artifact (application/x) holds no YAML or JSON files; 4 rules, 3 left out that speak of documents"
    );

    let mut required = input(&[("app.bin", "x")]);
    required.rules.rules = rules();
    required.rules.require_manifest = true;
    let report = checked(required);
    let names: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect();
    assert_eq!(names, ["all", "digest", "manifest", "manifest-form"]);
}

#[test]
fn a_required_manifest_that_is_not_there_is_an_error() {
    for files in [&[][..], &[("a.yaml", "a: 1")]] {
        let mut input = input(files);
        input.rules.require_manifest = true;
        let report = checked(input);
        assert_eq!(report.findings.len(), 1);
        assert_eq!(report.findings[0].rule, "manifest-form");
        assert!(!report.passed());
    }
}

#[test]
fn rules_of_the_artifact_run_beside_those_of_the_environment_even_under_the_same_name() {
    let files = [
        ("manifest.yaml", MANIFEST_TEXT),
        (
            "policies/a.yaml",
            "- {name: same, expression: 'false', message: of the artifact}\n- {name: good, expression: 'true', message: m}\n",
        ),
        (
            "policies/b.yml",
            "- {name: bad, expression: 1 +, message: m}\n",
        ),
    ];
    let report = with_rules(&files, vec![rule("same", "false")]);
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| format!("{}#{} {}", finding.path, finding.pointer, finding.message))
        .collect();
    assert_eq!(found[1], "(artifact)# of the artifact");
    assert_eq!(found[2], "(artifact)# same is broken");
    // One that cannot be read is shown where it stands.
    assert!(found[0].starts_with("policies/b.yml#/0/expression the rule could not be"));
    assert_eq!(
        report.note,
        "3 documents checked; 4 rules (3 of the artifact's own)"
    );
}

#[test]
fn the_form_of_the_artifacts_rules_is_checked_key_by_key() {
    let good = "name: a, expression: 'true', message: m";
    for (text, pointer) in [
        (
            "[{name: a, expression: 'true', message: m, extra: 1}]",
            "/0",
        ),
        ("[text]", "/0"),
        ("[{expression: 'true', message: m}]", "/0/name"),
        ("[{name: A, expression: 'true', message: m}]", "/0/name"),
        ("[{name: -a, expression: 'true', message: m}]", "/0/name"),
        ("[{name: 1, expression: 'true', message: m}]", "/0/name"),
        ("[{name: a, message: m}]", "/0/expression"),
        ("[{name: a, expression: true, message: m}]", "/0/expression"),
        ("[{name: a, expression: 'true'}]", "/0/message"),
        (
            "[{name: a, expression: 'true', message: ' '}]",
            "/0/message",
        ),
        (&format!("[{{{good}, match: true}}]"), "/0/match"),
        (&format!("[{{{good}, severity: fatal}}]"), "/0/severity"),
        (&format!("[{{{good}}}, {{{good}}}]"), "/1/name"),
        (
            &format!(
                "[{{name: a, expression: 'true', message: {}}}]",
                "m".repeat(513)
            ),
            "/0/message",
        ),
    ] {
        let report = with_rules(
            &[("manifest.yaml", MANIFEST_TEXT), ("policies/a.yaml", text)],
            Vec::new(),
        );
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|finding| {
                (
                    finding.rule.as_str(),
                    finding.path.as_str(),
                    finding.pointer.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [("policy-form", "policies/a.yaml", pointer)],
            "{text:.80}"
        );
    }
    // Two files of one artifact must not share a name either.
    let one = format!("[{{{good}}}]");
    let files = [
        ("manifest.yaml", MANIFEST_TEXT),
        ("policies/a.yaml", one.as_str()),
        ("policies/b.yaml", &one),
    ];
    assert_eq!(
        with_rules(&files, Vec::new()).findings[0].path,
        "policies/b.yaml"
    );
}

#[test]
fn an_artifact_brings_at_most_256_rules_along() {
    let rules = |count: usize| {
        let list = (0..count).map(
            |index| json!({"name": format!("r{index}"), "expression": "true", "message": "m"}),
        );
        list.collect::<serde_json::Value>().to_string()
    };
    let report = |text: &str| {
        with_rules(
            &[("manifest.yaml", MANIFEST_TEXT), ("policies/a.yaml", text)],
            Vec::new(),
        )
    };
    assert_eq!(report(&rules(256)).findings, []);
    let found = report(&rules(300)).findings;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].rule.as_str(), found[0].pointer.as_str()),
        ("policy-form", "/256")
    );
}

#[test]
fn the_version_of_the_manifest_is_taken_as_given_when_none_is_promoted() {
    let mut any = input(&[("manifest.yaml", MANIFEST_TEXT)]);
    any.subject.version = None;
    any.rules.rules = vec![rule("r", "artifact.version == '1.2.3'")];
    assert_eq!(checked(any).findings, []);
    assert_eq!(
        version_in(MANIFEST_TEXT.as_bytes()).as_deref(),
        Some("1.2.3")
    );
    assert_eq!(version_in(b"metadata: {version: 1.2}"), None);
}

#[test]
fn rules_that_cannot_be_read_are_known_without_an_artifact() {
    let unreadable = |expression: &str| {
        let rules = [rule("good", "true"), rule("bad", expression)];
        std::thread::Builder::new()
            .stack_size(256 << 20)
            .spawn(move || super::super::unreadable(&rules))
            .unwrap()
            .join()
            .unwrap()
    };
    assert_eq!(unreadable("manifest.x > 1"), None);
    let why = unreadable("manifest.x >").unwrap();
    assert!(
        why.starts_with("'bad': its expression cannot be read: "),
        "{why}"
    );
}
