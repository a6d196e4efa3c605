use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api_server::{ApiServer, Ran, World, policies, run};

const MANIFEST: &str =
    "apiVersion: floe.dev/v1\nkind: Manifest\nmetadata: {name: platform, version: 1.2.3}\n";

/// A home with a folder `platform` of these files, and with no kubeconfig at all.
fn home(files: &[(&str, &str)]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    home
}

async fn validate(home: &TempDir, arguments: &str) -> Ran {
    let words = format!("platform validate {arguments}");
    let words: Vec<&str> = words.split_whitespace().collect();
    run(home.path(), &words).await
}

fn environment(name: &str, spec: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy",
        "metadata": {"name": name},
        "spec": {"aliases": [format!("{name}-alias")], "artifacts": [{"name": "platform", "repository": "REGISTRY/platform"}]},
    });
    for (key, value) in spec.as_object().unwrap() {
        policy["spec"][key] = value.clone();
    }
    policy
}

fn rule(name: &str, expression: &str) -> Value {
    json!({"name": name, "expression": expression, "message": format!("{name} is broken")})
}

#[tokio::test]
async fn good_files_pass_without_a_cluster() {
    let home = home(&[
        ("platform/manifest.yaml", MANIFEST),
        ("platform/a.json", "{}"),
    ]);
    let ran = validate(&home, "platform").await;
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "2 documents checked\n", ""),
    );
}

#[tokio::test]
async fn an_error_is_exit_code_8_and_findings_are_grouped() {
    let own = "- {name: w, severity: warning, expression: 'false', message: mind this}\n";
    let home = home(&[
        ("platform/manifest.yaml", MANIFEST),
        ("platform/policies/own.yaml", own),
        ("platform/db.yaml", "password: hunter2"),
    ]);
    let lenient = validate(&home, "platform").await;
    assert_eq!(lenient.code, 0, "{lenient:?}");
    let strict = validate(&home, "platform --strict --version 1.2.4").await;
    assert_eq!(strict.code, 8, "{strict:?}");
    let lines: Vec<&str> = strict.out.lines().collect();
    assert!(
        lines[0].starts_with("Error: db.yaml#/password: "),
        "{strict:?}"
    );
    assert!(lines[1].starts_with("Error: manifest.yaml#/metadata/version: "));
    assert_eq!(lines[2], "");
    assert_eq!(lines[3], "Warning: (artifact): mind this (w)");
    assert_eq!(
        lines[5],
        "3 documents checked; 1 rule (1 of the artifact's own)"
    );
    assert!(!strict.out.contains("hunter2"));
}

#[tokio::test]
async fn rules_and_exceptions_come_from_a_file_of_policies() {
    let prod = json!({
        "promotesFrom": ["staging"],
        "policyRules": [
            rule("where", "environment.name == 'prod' && environment.from == 'staging' && artifact.name == 'platform'"),
            rule("broken", "manifest.metadata.name == 'other'"),
            rule("old", "false"),
        ],
        "policyExceptions": [
            {"rule": "broken", "reason": "known", "expires": "2999-12-31"},
            {"rule": "old", "reason": "known", "expires": "2020-01-01"},
        ],
    });
    let objects = [
        environment("dev", &json!({})),
        json!({"kind": "Other"}),
        environment("prod", &prod),
    ];
    let text = objects.map(|object| object.to_string()).join("\n---\n");
    let home = home(&[("platform/manifest.yaml", MANIFEST), ("env.yaml", &text)]);
    for name in ["prod", "prod-alias"] {
        let arguments = format!("platform --policy env.yaml --env {name} -o json");
        let ran = validate(&home, &arguments).await;
        assert_eq!(ran.code, 8, "{ran:?}");
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(said["passed"], false);
        assert_eq!(said["environment"], "prod");
        let findings = said["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 2, "{said}");
        assert_eq!(
            findings[0]["message"],
            "old is broken (its exception ended on 2020-01-01)"
        );
        assert_eq!(findings[1]["severity"], "Warning");
        assert_eq!(
            findings[1]["message"],
            "broken is broken (accepted until 2999-12-31: known)"
        );
    }
    assert_eq!(
        validate(&home, "platform --policy env.yaml --env dev")
            .await
            .code,
        0
    );
    for (arguments, said) in [
        (
            "platform --policy env.yaml",
            "say which one with --env (dev, prod)",
        ),
        (
            "platform --policy env.yaml --env test",
            "there is no environment 'test'",
        ),
        ("platform --policy none.yaml", "cannot read 'none.yaml'"),
        (
            "platform --policy platform/manifest.yaml",
            "there is no EnvironmentPolicy in",
        ),
        ("platform --version latest", "--version"),
        ("nothing", "cannot read 'nothing'"),
    ] {
        let ran = validate(&home, arguments).await;
        assert_eq!(ran.code, 2, "{arguments}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments}: {ran:?}");
    }
}

#[tokio::test]
async fn rules_come_from_the_cluster_for_an_environment_without_a_file() {
    let mut policies = policies("registry.example/platform");
    policies[2]["spec"]["policyRules"] = json!([rule("broken", "false")]);
    let server = ApiServer::start(World {
        policies,
        ..World::default()
    })
    .await;
    let folder = server.home.path().join("platform");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("manifest.yaml"), MANIFEST).unwrap();
    let ran = server
        .platform(&["validate", "platform", "--env", "production"])
        .await;
    assert_eq!(ran.code, 8, "{ran:?}");
    assert!(
        ran.out
            .contains("Error: (artifact): broken is broken (broken)"),
        "{ran:?}"
    );
    let ran = server
        .platform(&["validate", "platform", "--env", "dev"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    // Without a cluster, an environment cannot be looked up.
    let ran = validate(
        &home(&[("platform/manifest.yaml", MANIFEST)]),
        "platform --env prod",
    )
    .await;
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[tokio::test]
async fn the_digest_is_that_of_publish() {
    let home = home(&[("platform/manifest.yaml", MANIFEST)]);
    let ran = validate(&home, "platform --version 1.2.3 -o json").await;
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let files = vec![floe::domain::layout::SourceFile {
        path: "manifest.yaml".to_owned(),
        bytes: MANIFEST.into(),
    }];
    let options = floe::domain::layout::PackOptions {
        version: "1.2.3".to_owned(),
        ..Default::default()
    };
    let packed = floe::domain::layout::pack(files, &options).unwrap();
    assert_eq!(said["digest"], packed.digest.as_str());
    // The version of manifest.yaml is the one, when none is given.
    let ran = validate(&home, "platform -o json").await;
    let same: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(same["digest"], said["digest"]);
}

/// Four loops over forty elements take hours without a bound.
#[tokio::test]
async fn rules_that_take_too_long_are_an_error_and_never_a_pass() {
    let list: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let list = format!("[{}]", list.join(","));
    let bomb = ["a", "b", "c", "d", "e", "f"]
        .iter()
        .fold("true".to_owned(), |inner, name| {
            format!("{list}.all({name}, {inner})")
        });
    let own = format!("- {{name: bomb, expression: '{bomb}', message: m}}\n");
    let home = home(&[
        ("platform/manifest.yaml", MANIFEST),
        ("platform/policies/own.yaml", &own),
    ]);
    let ran = validate(&home, "platform").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.out, "");
    assert!(
        ran.err.contains("the rules took longer than 20 s"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn the_demo_keeps_its_own_rules_and_those_of_its_environments() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/demo");
    let arguments = format!(
        "{demo}/platform --strict --version 1.2.3 --env prod --policy {demo}/environments.yaml"
    );
    let ran = validate(&home(&[]), &arguments).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("4 documents checked; "), "{ran:?}");
}
