//! Rules as files: `tests/scenarios/<a sentence>.yaml` holds what is true, and what floe decides then.
//!
//! The form of a file is described in `tests/scenarios/README.md`. Each file is a test of its own.

#[path = "support/scenario.rs"]
mod scenario;
#[path = "support/variants.rs"]
mod variants;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use scenario::Scenario;

fn main() -> ExitCode {
    let files = scenario_files();
    let mut trials: Vec<Trial> = files
        .iter()
        .map(|(name, path)| {
            let path = path.clone();
            Trial::test(name.clone(), move || Scenario::read(&path)?.check())
        })
        .collect();
    trials.push(Trial::test(
        "every_variant_occurs_in_an_expected_decision",
        move || every_variant_occurs(&files),
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Files by name, which is the name of the test.
fn scenario_files() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(&folder).expect("tests/scenarios can be read");
    entries
        .map(|entry| entry.expect("tests/scenarios can be read").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name, path)
        })
        .collect()
}

fn every_variant_occurs(files: &BTreeMap<String, PathBuf>) -> Result<(), Failed> {
    let mut expected = Vec::new();
    for path in files.values() {
        expected.push(Scenario::read(path)?.expect);
    }
    let missing = variants::missing_from(&expected);
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("no scenario expects: {}", missing.join(", ")).into())
}
