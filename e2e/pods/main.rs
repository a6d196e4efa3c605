//! floe as a stranger runs it: image and chart on a real cluster, gates as real Pods, a real registry.
//!
//! `e2e/run` brings up what is needed and runs this. Plain `cargo test` does not. Each test has a namespace
//! of its own under the restricted Pod Security Standard, and waits for conditions by watches, never by sleeping.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do, and these tests measure, print and read their environment"
)]

mod alone;
mod api;
mod audit_log;
mod baseline;
mod gates;
mod images;
mod main_job;
mod nodes;
mod policy_compliance;
mod quota;
mod registry;
mod requested_by;
mod results;
mod retries;
mod reuse;
mod scanner;
mod space;
mod strangers;
mod waiting;
