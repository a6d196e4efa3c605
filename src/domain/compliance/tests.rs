use std::fmt::Write as _;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const MANIFEST_TEXT: &str = r#"
apiVersion: floe.dev/v1
kind: Manifest
metadata:
  name: acme-platform
  version: "1.2.3"
  owner: platform@acme.example
plugins: {orchestrator: dagster}
governance:
  data_retention_days: 90
  quality_gates: {minimum_test_coverage: 80.5}
artifacts:
  registry: {uri: "oci://registry.acme.example"}
unknown_section: {kept: true}
"#;

pub(super) fn input(files: &[(&str, &str)]) -> Input {
    let files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    Input {
        files: files.collect(),
        subject: Subject {
            artifact: "platform".to_owned(),
            version: Some("v1.2.3".to_owned()),
            digest: "sha256:d1".to_owned(),
            media_type: "application/x".to_owned(),
            annotations: [("team".to_owned(), "data".to_owned())].into(),
            environment: "prod".to_owned(),
            from: Some("staging".to_owned()),
        },
        rules: RuleSet::default(),
        today: date(2026, 11, 25),
        strict: true,
    }
}

/// Checks as the gate does: on a thread with a large stack.
pub(super) fn checked(input: Input) -> Report {
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    thread.spawn(move || check(&input)).unwrap().join().unwrap()
}

fn report(files: &[(&str, &str)]) -> Report {
    checked(input(files))
}

/// Rules and pointers of what is wrong with one document.
fn wrong(path: &str, text: &str) -> Vec<(String, String)> {
    let mut files = vec![(path, text)];
    if path != MANIFEST {
        files.push((MANIFEST, MANIFEST_TEXT));
    }
    report(&files)
        .findings
        .into_iter()
        .map(|finding| (finding.rule, finding.pointer))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(rule, pointer)| ((*rule).to_owned(), (*pointer).to_owned()))
        .collect()
}

#[test]
fn a_good_artifact_has_no_findings() {
    let report = report(&[
        (MANIFEST, MANIFEST_TEXT),
        (
            "policies/retention.yaml",
            "- {name: x, severity: error, expression: 'true', message: m}\n",
        ),
        (
            "schemas/a.json",
            r#"{"type": "object", "n": 1.5, "list": [null, true]}"#,
        ),
        ("many.yml", "a: 1\n---\nb: 2\n"),
        ("README.md", "password: hunter2"),
    ]);
    assert_eq!(report.findings, []);
    assert!(report.passed());
    assert_eq!(
        report.note,
        "4 documents checked; 1 rule (1 of the artifact's own)"
    );
}

#[test]
fn an_artifact_without_documents_passes_and_says_so() {
    let report = report(&[("app.bin", "\u{0}")]);
    assert!(report.passed() && report.findings.is_empty());
    assert!(report.note.starts_with("no documents"), "{}", report.note);
}

#[test]
fn documents_without_manifest_are_a_warning() {
    let report = report(&[("a.yaml", "a: 1")]);
    assert!(report.passed());
    assert_eq!(report.findings[0].severity, Severity::Warning);
}

#[test]
fn documents_that_do_not_parse_are_refused() {
    let deep_json = "[".repeat(200) + &"]".repeat(200);
    let deep_yaml = "[".repeat(100) + &"]".repeat(100);
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let line = vec![format!("*a{}", level - 1); 9].join(", ");
            writeln!(text, "a{level}: &a{level} [{line}]").unwrap();
        }
        text
    };
    let long = format!("a: {}", "x".repeat(MAX_DOCUMENT_BYTES));
    for (path, text, reason) in [
        ("a.yaml", "a: [1", "not well-formed YAML"),
        ("a.yaml", "a: 1\na: 2", "has a key twice (line 2"),
        ("a.yaml", "x: {a: 1, a: 2}", "has a key twice"),
        ("a.yml", "a: b: c", "not well-formed YAML"),
        ("a.yaml", "a: *nobody", "alias"),
        ("a.yaml", "ok: 1\n---\nbad: [", "not well-formed YAML"),
        ("a.yaml", &bomb, "too large"),
        ("a.yaml", &deep_yaml, "too deep"),
        ("a.yaml", &long, "bytes"),
        ("a.json", r#"{"a": 1, "a": 2}"#, "a key twice"),
        ("a.json", r#"{"a": NaN}"#, "not well-formed JSON"),
        ("a.json", "{} {}", "not well-formed JSON"),
        ("a.json", "", "not well-formed JSON"),
        ("a.json", "a: 1", "not well-formed JSON"),
        ("a.json", &deep_json, "too deep"),
    ] {
        let report = report(&[(MANIFEST, MANIFEST_TEXT), (path, text)]);
        let found: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| finding.rule == "document-parses")
            .collect();
        assert_eq!(found.len(), 1, "{path} {:.80}: {:?}", text, report.findings);
        assert_eq!(found[0].path, path);
        assert!(
            found[0].message.contains(reason),
            "{:.80}: {}",
            text,
            found[0].message
        );
        assert!(!report.passed());
    }
    let mut binary = input(&[]);
    binary.files = vec![("a.yaml".to_owned(), vec![0xff])];
    let report = checked(binary);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.message.contains("UTF-8"))
    );
}

#[test]
fn honest_yaml_parses() {
    for text in [
        "",
        "# only a comment\n",
        "base: &base {a: 1}\nother: {<<: *base, b: 2}\nthird: *base\n",
        "1: one\ntrue: yes\nnull: x\n3.5: y\n",
        "x: .inf\ny: .nan\nz: 1e999\n",
        "block: |\n  text\n  more\nfolded: >-\n  a\n  b\n",
        "tagged: !custom value\nset: !!set {a, b}\nbinary: !!binary aGVsbG8=\n",
        "a: 1\n...\n---\nb: 2\n",
        "octal: 0o17\nhex: 0xff\nbig: 123456789012345678901234567890\n",
        "quoted: \"\\u00e4\"\n",
    ] {
        assert_eq!(wrong("x.yaml", text), pairs(&[]), "{text}");
    }
}

#[test]
fn the_manifest_is_checked_key_by_key() {
    let rule = "manifest-form";
    for (from, to, pointer) in [
        ("floe.dev/v1", "floe.dev/v2", "/apiVersion"),
        ("apiVersion: floe.dev/v1\n", "", "/apiVersion"),
        ("kind: Manifest", "kind: Config", "/kind"),
        ("name: acme-platform", "name: ''", "/metadata/name"),
        ("  name: acme-platform\n", "", "/metadata/name"),
        ("  version: \"1.2.3\"\n", "", "/metadata/version"),
        ("version: \"1.2.3\"", "version: 1.2", "/metadata/version"),
        ("version: \"1.2.3\"", "version: [1]", "/metadata/version"),
        (
            "owner: platform@acme.example",
            "owner: [a]",
            "/metadata/owner",
        ),
        ("{orchestrator: dagster}", "dagster", "/plugins"),
        (
            "data_retention_days: 90",
            "data_retention_days: -1",
            "/governance/data_retention_days",
        ),
        (
            "data_retention_days: 90",
            "data_retention_days: 1.5",
            "/governance/data_retention_days",
        ),
        (
            "data_retention_days: 90",
            "data_retention_days: 'x'",
            "/governance/data_retention_days",
        ),
        (
            "80.5",
            "101",
            "/governance/quality_gates/minimum_test_coverage",
        ),
        (
            "80.5",
            "many",
            "/governance/quality_gates/minimum_test_coverage",
        ),
        (
            "{minimum_test_coverage: 80.5}",
            "1",
            "/governance/quality_gates",
        ),
        (
            "{uri: \"oci://registry.acme.example\"}",
            "x",
            "/artifacts/registry",
        ),
    ] {
        assert!(MANIFEST_TEXT.contains(from), "{from}");
        let text = MANIFEST_TEXT.replacen(from, to, 1);
        assert_eq!(
            wrong(MANIFEST, &text),
            pairs(&[(rule, pointer)]),
            "{from} -> {to}"
        );
    }
    for text in ["", "[]", "text", "a: 1\n---\nb: 1"] {
        assert_eq!(wrong(MANIFEST, text), pairs(&[(rule, "")]), "{text:?}");
    }
    let without_metadata = "apiVersion: floe.dev/v1\nkind: Manifest\n";
    assert_eq!(
        wrong(MANIFEST, without_metadata),
        pairs(&[(rule, "/metadata")])
    );
}

#[test]
fn the_version_must_fit_up_to_a_leading_v() {
    for (written, fits) in [
        ("1.2.3", true),
        ("v1.2.3", true),
        ("1.2.4", false),
        ("vv1.2.3", false),
        ("1.2.3-rc.1", false),
    ] {
        let text = MANIFEST_TEXT.replace("\"1.2.3\"", &format!("\"{written}\""));
        let expected: &[(&str, &str)] = if fits {
            &[]
        } else {
            &[("manifest-version", "/metadata/version")]
        };
        assert_eq!(wrong(MANIFEST, &text), pairs(expected), "{written}");
    }
}

#[test]
fn policies_must_be_lists() {
    assert_eq!(wrong("policies/a.yaml", "[]"), pairs(&[]));
    for text in ["name: x", "", "- a\n---\n- b", "text"] {
        assert_eq!(
            wrong("policies/a.yaml", text),
            pairs(&[("policy-form", "")]),
            "{text:?}"
        );
    }
    // Only files directly in the folder, and only YAML, are policies.
    assert_eq!(wrong("policies/deep/a.yaml", "name: x"), pairs(&[]));
    assert_eq!(wrong("policies/a.json", "{}"), pairs(&[]));
}

#[test]
fn literal_values_under_secret_keys_are_refused() {
    for text in [
        "password: hunter2",
        "DB_PASSWORD: hunter2",
        "passwd: x",
        "clientSecret: x",
        "token: x",
        "apiKey: x",
        "api_key: x",
        "access-key: x",
        "private_key: x",
        "credentials: x",
        "password: 12345",
        "password: yes",
        "tokens: [a]",
        "password: ' '",
        "password: prefix-${NAME}",
        "password: ${NAME:-hunter2}",
        "password: '{{ a }} b {{ c }}'",
        "password: 'vault:'",
        "password: !vault hunter2",
    ] {
        let found = wrong("a.yaml", &format!("x:\n  {text}\n"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].0, "literal-secret", "{text}");
        assert!(found[0].1.starts_with("/x/"), "{text}: {found:?}");
    }
}

#[test]
fn references_and_keys_that_only_point_are_allowed() {
    for text in [
        "password: ${DB_PASSWORD}",
        "password: '{{ .Values.password }}'",
        "password: vault:secret/data/db#password",
        "password: ref+awsssm://path",
        "password: ''",
        "password:",
        "password: {secretKeyRef: {name: db, key: password}}",
        "password: {existingSecret: db}",
        "credentials: {valueFrom: {secretKeyRef: {name: db, key: x}}}",
        "existingSecret: db",
        "token_url: https://id.example/token",
        "tokenEndpoint: https://id.example/token",
        "secretName: db",
        "imagePullSecrets: [{name: pull}]",
        "automountServiceAccountToken: false",
        "tokens: []",
        "password_policy: strict",
    ] {
        assert_eq!(
            wrong("a.yaml", &format!("x:\n  {text}\n")),
            pairs(&[]),
            "{text}"
        );
    }
}

#[test]
fn values_in_a_known_form_are_refused_under_every_key() {
    for value in [
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        format!("ghp_{}", "a1B2".repeat(9)),
        format!("glpat-{}", "a1B2".repeat(5)),
        "xoxb-123456789012-abcdef".to_owned(),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".to_owned(),
        "\"-----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n-----END RSA PRIVATE KEY-----\"".to_owned(),
    ] {
        for key in ["note", "password", "token_url"] {
            let found = wrong("a.yaml", &format!("{key}: {value}\n"));
            assert_eq!(
                found,
                pairs(&[("literal-secret", &format!("/{key}"))]),
                "{key}: {value}"
            );
        }
    }
}

#[test]
fn literal_secrets_are_only_warnings_when_not_strict() {
    let strict = input(&[("a.yaml", "password: hunter2")]);
    let lenient = Input {
        strict: false,
        ..strict.clone()
    };
    assert!(checked(lenient).passed());
    assert!(!checked(strict).passed());
}

#[test]
fn a_finding_names_its_place_as_json_pointer_and_its_document() {
    let text = "a: 1\n---\nlist:\n- 'x/y': {'a~b': {password: hunter2}}\n";
    let report = report(&[(MANIFEST, MANIFEST_TEXT), ("a.yaml", text)]);
    assert_eq!(report.findings[0].pointer, "/list/0/x~1y/a~0b/password");
    assert!(
        report.findings[0].message.contains("document 2"),
        "{}",
        report.findings[0].message
    );
}

proptest! {
    #[test]
    fn findings_never_print_the_value(value in "[a-zA-Z0-9%&*!?:{}\\[\\]'\"|> #-]{6,40}", broken in any::<bool>()) {
        let token = format!("Zq7{value}");
        let end = if broken { "\n  - [" } else { "" };
        let quoted = serde_json::to_string(&token).unwrap();
        for text in [
            format!("password: {token}{end}"),
            format!("password: {quoted}{end}"),
            format!("{{\"secret\": {quoted}{end}}}"),
            format!("a: &a {quoted}\ntoken: *a\ntoken: *a{end}"),
            format!("metadata: {{version: {quoted}}}\napiVersion: {quoted}\nkind: {quoted}"),
        ] {
            for path in ["a.yaml", "a.json", MANIFEST, "policies/a.yaml"] {
                let printed = format!("{:?}", report(&[(path, text.as_str())]));
                prop_assert!(!printed.contains(&token), "{printed}");
                prop_assert!(!printed.contains("Zq7"), "{printed}");
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for path in ["a.yaml", "a.json", MANIFEST, "policies/a.yaml"] {
            let mut any = input(&[]);
            any.files = vec![(path.to_owned(), bytes.clone())];
            checked(any);
        }
    }
}
