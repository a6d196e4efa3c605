//! The Job of a gate, as Kubernetes sees it: built from a request, and read back as facts. Building and reading are pure:
//! starting and watching Jobs is the controllers' side.

mod alike;
mod build;
mod facts;
mod pod;
mod start;
mod volumes;

pub use build::build_job;
pub use facts::facts_of;
pub use start::{Started, start};
