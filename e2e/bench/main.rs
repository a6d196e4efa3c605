//! Measures `floe registry` beside crane, regctl and skopeo, and beside the least that the work can cost.
//! `e2e/bench/run` runs it and writes the tables of docs/benchmarks.md.

#![expect(unreachable_pub, reason = "a program has no outside")]
#![expect(
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measurement may fail; it counts and prints, has a clock, and waits"
)]

#[path = "../rig/oci.rs"]
#[expect(dead_code, reason = "the rig needs more of it")]
mod oci;
#[path = "../rig/process.rs"]
#[expect(dead_code, reason = "the rig needs more of it")]
mod process;
#[path = "../rig/registries.rs"]
#[expect(dead_code, reason = "the rig needs more of it")]
mod registries;
#[path = "../rig/wait.rs"]
mod wait;

mod artifacts;
mod behaviour;
mod cost;
mod floor;
mod machine;
mod place;
mod programs;
mod proxy;
mod report;
mod statistics;
mod warm;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().expect("start tokio");
    if arguments.first().is_some_and(|first| first == "floor") {
        // The least that the work can cost is measured as a process too: this one.
        runtime.block_on(floor::run(&arguments[1..]));
        return ExitCode::SUCCESS;
    }
    let report = runtime.block_on(measure_all());
    println!("{report}");
    ExitCode::SUCCESS
}

async fn measure_all() -> String {
    let before = machine::load();
    let place = place::Place::start().await;
    let mut report = report::Report::default();
    eprintln!("bench: requests");
    cost::requests(&place, &mut report).await;
    eprintln!("bench: times");
    cost::times(&place, &mut report).await;
    eprintln!("bench: memory");
    cost::memory(&place, &mut report).await;
    eprintln!("bench: warm");
    report.warm = warm::measure(&place).await;
    eprintln!("bench: what is carried, and what is refused");
    report.behaviour = behaviour::look(&place).await;
    report.machine = machine::describe(&before, &place).await;
    report.to_string()
}
