//! CONTRIBUTING.md names a test for each refusal: they exist. Seeded bugs still fit the sources.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::path::Path;

/// Where tests are: functions in Rust files, and scenario files.
const FOLDERS: [&str; 7] = [
    "src",
    "tests",
    "gate/src",
    "gate/tests",
    "e2e/pods",
    "e2e/registries",
    "e2e/rig",
];

#[test]
fn every_test_that_is_named_for_a_refusal_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let named = named(&text);
    assert!(named.len() > 30, "the table is read: {named:?}");
    let mut known = BTreeSet::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut known);
    }
    let missing: Vec<_> = named.iter().filter(|name| !known.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "CONTRIBUTING.md names tests that are not there: {missing:?}"
    );
}

#[test]
fn a_row_without_a_test_is_found() {
    let rows =
        "## Each refusal and its test\n| refused | tests |\n|---|---|\n| a | `one`, `two` |\n";
    assert_eq!(named(rows), ["one", "two"]);
    let bare = std::panic::catch_unwind(|| named(&format!("{rows}| b | |\n")));
    assert!(bare.is_err());
}

#[test]
fn every_seeded_bug_can_still_be_planted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(root.join("e2e/seeded-bugs")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let patches: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "patch"))
        .collect();
    assert!(patches.len() > 10, "{patches:?}");
    for patch in patches {
        let mut apply = std::process::Command::new("git");
        apply.args(["apply", "--check"]).arg(&patch);
        let applied = apply.current_dir(root).output().unwrap();
        assert!(applied.status.success(), "{patch:?}: {applied:?}");
    }
}

/// The names in the second column of the table of refusals.
fn named(text: &str) -> Vec<String> {
    let (_, section) = text.split_once("## Each refusal and its test").unwrap();
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    rows.flat_map(|row| {
        let tests = row.split('|').nth(2).unwrap_or_default();
        let names: Vec<String> = tests
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        assert!(!names.is_empty(), "no test in: {row}");
        names
    })
    .collect()
}

fn collect(folder: &Path, known: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, known);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            known.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            known.extend(functions(&text));
        }
    }
}

fn functions(text: &str) -> impl Iterator<Item = String> {
    text.split("fn ").skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('(')?;
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            .then(|| name.to_owned())
    })
}
