//! What a summary must know of the report that it carries: what may be left out, and what cannot be.

use super::junit::MAX_NAME_BYTES;
use super::tally::{MAX_ID_BYTES, is_clean};
use super::{Count, Level, Report};

impl Report {
    /// How many names it has: of findings, or of tests.
    pub(crate) fn names(&self) -> usize {
        match self {
            Self::Scan(scan) => scan.ids.len(),
            Self::Tests(tests) => tests.failed.len(),
            Self::Cost(_) | Self::Metrics(_) => 0,
        }
    }

    /// How many bytes the names take.
    pub(crate) fn names_bytes(&self) -> usize {
        match self {
            Self::Scan(scan) => serde_json::to_vec(&scan.ids),
            Self::Tests(tests) => serde_json::to_vec(&tests.failed),
            Self::Cost(_) | Self::Metrics(_) => Ok(Vec::new()),
        }
        .map_or(0, |bytes| bytes.len())
    }

    /// Leaves out the last name, and counts it as omitted. False when there is none.
    pub(crate) fn pop_name(&mut self) -> bool {
        let (popped, omitted) = match self {
            Self::Scan(scan) => (scan.ids.pop().is_some(), &mut scan.omitted),
            Self::Tests(tests) => (tests.failed.pop().is_some(), &mut tests.omitted),
            Self::Cost(_) | Self::Metrics(_) => return false,
        };
        *omitted += u64::from(popped);
        popped
    }

    /// Whether [`read`](super::read()) could say so.
    pub(crate) fn is_sound(&self) -> bool {
        let is_count = |count: Count| count.unfixed <= count.total;
        match self {
            Self::Scan(scan) => {
                Level::ALL
                    .into_iter()
                    .all(|level| is_count(scan.counts.of(level)))
                    && scan.allowed.iter().all(|allowed| is_count(allowed.count))
                    && scan
                        .ids
                        .iter()
                        .all(|found| is_clean(&found.id, MAX_ID_BYTES, false))
            }
            Self::Tests(tests) => {
                let parts = [tests.failures, tests.errors, tests.skipped];
                parts
                    .into_iter()
                    .try_fold(0_u64, u64::checked_add)
                    .is_some_and(|sum| sum <= tests.tests)
                    && tests
                        .failed
                        .iter()
                        .all(|name| is_clean(name, MAX_NAME_BYTES, true))
            }
            Self::Cost(cost) => is_currency(&cost.currency),
            Self::Metrics(_) => true,
        }
    }
}

/// Three capital letters.
pub(super) fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
