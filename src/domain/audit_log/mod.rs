//! The audit log of an operator: lines that each name the one before by its hash.
//!
//! Its form is `docs/reference/audit-log.schema.json`, one JSON object a line. A file is a stretch of a log; the
//! files of a log, one after the other, are the log.

mod line;
mod newest;
#[cfg(test)]
mod tests;
mod verify;

pub use line::{About, Chain, Entry, Event, Head, LINE_MAX, Line, NotALine, Torn};
pub use newest::{ChainName, NewestRecords, Promoted};
pub use verify::{Broken, End, Problem, Start, Verifier};
