//! What a gate hands back to the operator, and what must never be in it.
//!
//! A gate runs in an image that floe does not know. Its result travels in the termination message of
//! its container: at most 4,096 bytes, which Kubernetes keeps in the Pod's status. [`Summary`] is
//! that message. It is read strictly: what is not exactly a summary is no result, and no result is
//! never a pass.

mod fit;
pub mod redact;
pub mod report;
pub mod rfc3339;
pub mod secrets;
mod summary;
pub mod tail;

pub use summary::{Finding, MAX_BYTES, NotASummary, Severity, Summary};
