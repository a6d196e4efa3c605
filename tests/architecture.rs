//! Who may know whom, and what must not be said where: read from the sources.
//!
//! The table is that of CONTRIBUTING ("Layers"). The test proves itself on planted violations.

#[path = "support/architecture.rs"]
mod architecture;

use std::path::{Path, PathBuf};

use architecture::violations;

/// Code, with the tests that stand in the same file left out.
const LINES_MAX: usize = 500;
const TEST_LINES_MAX: usize = 650;
#[test]
fn the_sources_keep_to_their_layers() {
    let mut found = Vec::new();
    for (path, source) in sources(&["src"]) {
        found.extend(violations(&path, &source));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let mut found = Vec::new();
    for (path, source) in sources(&["src", "gate/src", "gate/tests", "tests", "e2e"]) {
        found.extend(too_long(&path, &source));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_long_file_is_found() {
    let long = "fn f() {}\n".repeat(LINES_MAX + 1);
    assert!(too_long("src/domain/long.rs", &long).is_some());
    assert!(too_long("tests/long.rs", &long).is_none());
    let with_tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert!(too_long("src/domain/long.rs", &with_tests).is_none());
}

#[test]
fn each_planted_violation_is_found() {
    let missed: Vec<String> = PLANTED
        .iter()
        .map(|(path, source, expected)| (path, source, expected, violations(path, source)))
        .filter(|(.., expected, found)| found.len() != 1 || !found[0].contains(**expected))
        .map(|(path, source, expected, found)| {
            format!("{path}: {source}\n  expected '{expected}', found {found:?}")
        })
        .collect();
    assert!(missed.is_empty(), "\n{}\n", missed.join("\n"));
}

#[test]
fn what_is_allowed_is_not_called_a_violation() {
    for (path, source) in ALLOWED {
        assert_eq!(
            violations(path, source),
            Vec::<String>::new(),
            "{path}: {source}"
        );
    }
}

const PLANTED: &[(&str, &str, &str)] = &[
    (
        "src/api/mod.rs",
        "use crate::domain::names::Version;",
        "api may not use domain",
    ),
    (
        "src/api/gate.rs",
        "fn f() { crate::effects::clock::now(); }",
        "api may not use effects",
    ),
    (
        "src/api/gate.rs",
        "fn f() -> kube::Client { todo!() }",
        "kube::Client",
    ),
    ("src/api/gate.rs", "use std::fs;", "std::fs"),
    (
        "src/domain/names.rs",
        "use crate::api::Promotion;",
        "only the doors of domain may use api",
    ),
    (
        "src/domain/decide/mod.rs",
        "use crate::effects::registry;",
        "domain may not use effects",
    ),
    (
        "src/domain/decide/mod.rs",
        "use super::super::super::effects::clock;",
        "domain may not use effects",
    ),
    (
        "src/domain/plan.rs",
        "use super::super::controllers::Pass;",
        "domain may not use controllers",
    ),
    (
        "src/domain/plan.rs",
        "use crate::{cli, domain::names};",
        "domain may not use cli",
    ),
    (
        "src/domain/plan.rs",
        "mod inner { use super::super::super::cli; }",
        "domain may not use cli",
    ),
    (
        "src/domain/plan.rs",
        "fn f() { assert!(crate::telemetry::on()); }",
        "domain may not use telemetry",
    ),
    ("src/domain/plan.rs", "async fn f() {}", "async"),
    (
        "src/domain/plan.rs",
        "fn f() { let _ = async { 1 }; }",
        "async",
    ),
    ("src/domain/plan.rs", "trait T { async fn f(); }", "async"),
    ("src/domain/plan.rs", "use tokio::time;", "tokio"),
    ("src/domain/plan.rs", "use ::reqwest::Client;", "reqwest"),
    ("src/domain/plan.rs", "extern crate tracing;", "tracing"),
    (
        "src/domain/plan.rs",
        "fn f() { tracing::info!(\"x\"); }",
        "tracing",
    ),
    (
        "src/domain/plan.rs",
        "use oci_client::Reference;",
        "oci_client",
    ),
    (
        "src/domain/plan.rs",
        "fn f(client: &kube::Client) {}",
        "kube::Client",
    ),
    ("src/domain/plan.rs", "use kube::{Api};", "kube::Api"),
    ("src/domain/plan.rs", "use kube as k;", "kube"),
    ("src/domain/plan.rs", "use kube::*;", "kube::*"),
    (
        "src/domain/plan.rs",
        "use std::collections::HashMap;",
        "HashMap",
    ),
    (
        "src/domain/plan.rs",
        "fn f(set: std::collections::HashSet<u8>) {}",
        "HashSet",
    ),
    (
        "src/domain/plan.rs",
        "fn f() { jiff::Timestamp::now(); }",
        "now",
    ),
    (
        "src/domain/plan.rs",
        "fn f() { debug_assert!(Timestamp::now() > x); }",
        "now",
    ),
    ("src/domain/plan.rs", "use std::time::Instant;", "Instant"),
    (
        "src/domain/plan.rs",
        "fn f() { std::env::var(\"X\"); }",
        "std::env",
    ),
    ("src/domain/plan.rs", "use std::{env, fmt};", "std::env"),
    ("src/domain/plan.rs", "fn f() { rand::random(); }", "rand"),
    (
        "src/domain/plan.rs",
        "fn f() { println!(\"x\"); }",
        "println!",
    ),
    (
        "src/effects/clock.rs",
        "use crate::controllers::Pass;",
        "effects may not use controllers",
    ),
    (
        "src/effects/clock.rs",
        "use crate::domain::decide::decide;",
        "effects may not decide",
    ),
    (
        "src/effects/clock.rs",
        "use crate::domain::decision::Stage;",
        "effects may not decide",
    ),
    (
        "src/controllers/pass.rs",
        "use crate::cli::output;",
        "controllers may not use cli",
    ),
    (
        "src/controllers/pass.rs",
        "use crate::web::view;",
        "controllers may not use web",
    ),
    (
        "src/telemetry.rs",
        "use crate::controllers::Pass;",
        "telemetry may not use controllers",
    ),
    (
        "src/cli/args.rs",
        "fn f() { eprintln!(\"x\"); }",
        "eprintln!",
    ),
    (
        "src/cli/args.rs",
        "fn f() { std::process::exit(1); }",
        "process::exit",
    ),
    (
        "src/cli/args.rs",
        "use std::process::exit;",
        "process::exit",
    ),
    (
        "src/unknown/mod.rs",
        "fn f() {}",
        "a layer that the table does not know",
    ),
    (
        "src/effects/notify.rs",
        "struct Slack { webhook_url: String }",
        "'webhook_url' could be printed",
    ),
    (
        "src/effects/registry/auth.rs",
        "enum Kind { Password { user: SecretString, password: Option<String> } }",
        "'password' could be printed",
    ),
    (
        "src/cli/args.rs",
        "struct Arguments { api_token: Vec<u8> }",
        "'api_token' could be printed",
    ),
    (
        "src/controllers/pass.rs",
        "fn f(secret: &SecretString) { secret.expose_secret(); }",
        "only effects may look at a secret",
    ),
    ("src/domain/plan.rs", "use crate::*;", "crate::*"),
    ("src/domain/plan.rs", "this is no Rust", "cannot be read"),
];

const ALLOWED: &[(&str, &str)] = &[
    (
        "src/domain/plan.rs",
        "use crate::api::PlanStatus; use super::names::Version;",
    ),
    (
        "src/domain/policy.rs",
        "fn f() -> kube::core::Duration { x }",
    ),
    (
        "src/domain/decide/mod.rs",
        "use super::super::names; use super::plan; use self::waiting::x;",
    ),
    (
        "src/domain/plan.rs",
        "#[cfg(test)] mod tests { use std::collections::HashMap; fn f() { println!(\"\"); } }",
    ),
    (
        "src/domain/plan_tests.rs",
        "use std::collections::HashMap; async fn f() {}",
    ),
    (
        "src/domain/plan.rs",
        "/// Not async, without tokio.\nfn f() { let text = \"tokio::spawn\"; }",
    ),
    (
        "src/effects/clock.rs",
        "use crate::api::Gate; use crate::domain::observed::Receipt; async fn f() {}",
    ),
    (
        "src/controllers/pass.rs",
        "use crate::{api, domain, effects, telemetry};",
    ),
    ("src/cli/output.rs", "fn f() { println!(\"x\"); }"),
    (
        "src/effects/credentials.rs",
        "struct S { password: SecretString, token_file: PathBuf, secret_name: String, ca_secret: Option<String>, \
         tokens: HashMap<Scope, Token> } fn f() { x.password.expose_secret(); }",
    ),
    (
        "src/cli/operator.rs",
        "use crate::{api, controllers, domain, effects, telemetry};",
    ),
    (
        "src/main.rs",
        "fn main() { std::process::exit(floe::cli::main()); }",
    ),
];

/// What a file is too long by, when it is.
fn too_long(path: &str, source: &str) -> Option<String> {
    let is_test = architecture::is_test_file(path)
        || !(path.starts_with("src") || path.starts_with("gate/src"));
    let lines = if is_test {
        source.lines().count()
    } else {
        architecture::lines_without_tests(source)
    };
    let most = if is_test { TEST_LINES_MAX } else { LINES_MAX };
    (lines > most).then(|| format!("{path}: {lines} lines, at most {most}: split it by concept"))
}

/// Every Rust file below these folders, by its path in the repository.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder can be read");
            waiting.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(root)
                .expect("below the root")
                .to_string_lossy()
                .into_owned();
            found.push((
                name,
                std::fs::read_to_string(&path).expect("a source can be read"),
            ));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no sources found");
    found
}
