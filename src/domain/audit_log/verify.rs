//! Whether a log is whole: fed piece by piece, it keeps one line in memory.

use super::line::{Head, LINE_MAX, Line, NotALine, Torn};
use crate::domain::artifact::Digest;

/// Where the lines begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first line of a log.
    First,
    /// With any line: older files may lie elsewhere.
    Any,
}

/// Looks at the lines of one log, in their order.
#[derive(Debug)]
pub struct Verifier {
    from: Start,
    /// The line that has not ended yet.
    rest: Vec<u8>,
    head: Option<Head>,
    lines: u64,
}

/// The first line that is wrong, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Broken {
    /// Number of the line among those that were read, from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] NotALine),
    /// It has no end where there should be one.
    #[error("it is longer than {LINE_MAX} bytes")]
    TooLong,
    /// It belongs to another log.
    #[error("it belongs to the log {found}, and the lines before to {expected}")]
    OtherLog {
        /// The log of the lines before.
        expected: String,
        /// The log of this line.
        found: String,
    },
    /// Lines are missing before it, or are there twice.
    #[error(
        "it has the number {found} where {expected} should be: lines were taken out, added or moved"
    )]
    OutOfOrder {
        /// The number that comes next.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// The line before it was changed, or another one was put in its place.
    #[error("it does not name the line before it, which was changed or replaced")]
    NotTheLineBefore,
}

/// How the lines end when nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The last line; absent when there was none.
    pub head: Option<Head>,
    /// How many lines there were.
    pub lines: u64,
    /// What follows the last line without being one: it was never confirmed to anybody.
    pub torn: Option<Torn>,
}

impl Verifier {
    /// Before the first line.
    pub fn new(from: Start) -> Self {
        Self {
            from,
            rest: Vec::new(),
            head: None,
            lines: 0,
        }
    }

    /// Takes in the next bytes, and tells of each line that is in order.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut seen: impl FnMut(&Line, &Digest),
    ) -> Result<(), Broken> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = bytes.split_at(end);
            self.keep(head)?;
            let line = std::mem::take(&mut self.rest);
            self.line(&line, &mut seen)?;
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.keep(bytes)
    }

    /// Whether the bytes so far end with the end of a line.
    pub fn is_at_end_of_line(&self) -> bool {
        self.rest.is_empty()
    }

    /// After the last byte.
    pub fn end(self) -> End {
        let torn = (!self.rest.is_empty()).then(|| Torn {
            bytes: u64::try_from(self.rest.len()).unwrap_or(u64::MAX),
            digest: Digest::of(&self.rest),
        });
        End {
            head: self.head,
            lines: self.lines,
            torn,
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.rest.len() + bytes.len() >= LINE_MAX {
            return Err(self.broken(Problem::TooLong));
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, bytes: &[u8], seen: &mut impl FnMut(&Line, &Digest)) -> Result<(), Broken> {
        let line = Line::read(bytes).map_err(|why| self.broken(why.into()))?;
        let Line {
            log_id,
            sequence,
            previous,
            ..
        } = &line;
        let expected = match (&self.head, self.from) {
            (Some(head), _) => head.clone(),
            (None, Start::First) => Head::new(log_id.clone()),
            (None, Start::Any) => Head {
                log_id: log_id.clone(),
                sequence: sequence.saturating_sub(1),
                digest: previous.clone(),
            },
        };
        if *log_id != expected.log_id {
            return Err(self.broken(Problem::OtherLog {
                expected: expected.log_id,
                found: log_id.clone(),
            }));
        }
        if *sequence != expected.sequence + 1 {
            return Err(self.broken(Problem::OutOfOrder {
                expected: expected.sequence + 1,
                found: *sequence,
            }));
        }
        if *previous != expected.digest || (*sequence == 1) != previous.is_none() {
            return Err(self.broken(Problem::NotTheLineBefore));
        }
        let digest = Digest::of(bytes);
        seen(&line, &digest);
        self.lines += 1;
        self.head = Some(Head {
            log_id: line.log_id,
            sequence: line.sequence,
            digest: Some(digest),
        });
        Ok(())
    }

    fn broken(&self, problem: Problem) -> Broken {
        Broken {
            line: self.lines + 1,
            problem,
        }
    }
}
