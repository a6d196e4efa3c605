//! Cleaning up a repository: reads what is in it, and deletes what it is told to, with a look before and after
//! each step.

mod deletion;
mod survey;

pub use deletion::{Deleted, DoomedTag, Stopped, delete_manifests, delete_tags};
pub use survey::{Unread, graph, records, tags};
