//! The corpus of the fuzzer (`gate/fuzz/corpus`), and small changes of it, on the stable compiler.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod fuzzed;

use std::fs;
use std::path::Path;

/// At most so many places of a file are changed: this runs with every test.
const PLACES: usize = 100;

/// Every file, cut at many places and with many of its bytes changed.
fn run_all(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        run(&bytes);
        let step = (bytes.len() / PLACES).max(1);
        for at in (0..bytes.len()).step_by(step) {
            run(&bytes[..at]);
            let mut changed = bytes.clone();
            for flip in [0x01, 0x10, 0x80] {
                changed[at] = bytes[at] ^ flip;
                run(&changed);
            }
        }
    }
    assert!(files > 0);
}

#[test]
fn no_report_of_the_corpus_breaks_its_reader() {
    run_all("report", fuzzed::report);
}

#[test]
fn no_summary_of_the_corpus_breaks_its_reader() {
    run_all("summary", fuzzed::summary);
}
