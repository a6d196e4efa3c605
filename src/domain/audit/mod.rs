//! Whether the records of an environment are all there and unchanged: the chain of (space, environment, artifact).
//!
//! It is read from its newest record backwards. Each record is signed and names the one before it by what that one
//! says (its identity) and by where it lies. So whoever has the newest record can tell whether an older one is missing,
//! changed or replaced; what was cut off at the newest end only shows beside another source, such as the ledger.

mod compare;
mod content;
mod export;
mod ledger;
mod logs;
mod problem;
#[cfg(test)]
mod tests;
mod trail;

pub use content::{Chain, Content, GateResult, Says, Signed, Stored, Summary};
pub use export::{COLUMNS, csv_line, row};
pub use ledger::{Ledger, LedgerRecord};
pub use logs::Logs;
pub use problem::{Bad, Problem, Remark};
pub use trail::{Beside, Link, Trail, Verdict};
