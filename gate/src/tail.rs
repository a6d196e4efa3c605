//! The last lines of an output of any length, in bounded memory.

use std::collections::VecDeque;

use crate::redact::Redactor;

/// Most lines that are kept.
pub const MAX_LINES: usize = 20;
/// Most bytes that are kept, line ends included.
pub const MAX_OUTPUT_BYTES: usize = 1536;
/// Most bytes of one line; the rest of the line is dropped and `…` stands for it.
const MAX_LINE_BYTES: usize = 512;

/// Which output a piece belongs to. Lines of the two mix in the tail, but never inside a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Keeps the last lines of what it is given, without known secrets.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    out: Unfinished,
    err: Unfinished,
}

/// A line of which the end has not come yet.
#[derive(Debug, Default)]
struct Unfinished {
    bytes: Vec<u8>,
    overlong: bool,
    redactor: Redactor,
}

impl Tail {
    /// Takes the next bytes of an output, which may end anywhere.
    pub fn push(&mut self, stream: Stream, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let line = {
                let unfinished = self.unfinished(stream);
                unfinished.extend(&bytes[..end]);
                unfinished.end()
            };
            self.keep(line);
            bytes = &bytes[end + 1..];
        }
        self.unfinished(stream).extend(bytes);
    }

    /// The kept lines, joined by line ends.
    pub fn finish(mut self) -> String {
        for stream in [Stream::Out, Stream::Err] {
            let unfinished = self.unfinished(stream);
            if !unfinished.bytes.is_empty() {
                let line = unfinished.end();
                self.keep(line);
            }
        }
        Vec::from(self.lines).join("\n")
    }

    fn unfinished(&mut self, stream: Stream) -> &mut Unfinished {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn keep(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_OUTPUT_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len() + 1;
        }
    }
}

impl Unfinished {
    fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES.saturating_sub(self.bytes.len());
        self.overlong |= bytes.len() > room;
        self.bytes.extend(&bytes[..bytes.len().min(room)]);
    }

    fn end(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut line = self.redactor.line(&printable(&text));
        cut_end(&mut line, MAX_LINE_BYTES);
        if self.overlong && !line.ends_with('…') {
            line.push('…');
        }
        self.bytes.clear();
        self.overlong = false;
        line
    }
}

/// The text without terminal colours and other control characters: it is shown in status and Events.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' && characters.peek() == Some(&'[') {
            characters.next();
            // A control sequence ends with a character from '@' to '~' (ECMA-48, 5.4).
            while characters
                .next()
                .is_some_and(|next| !('@'..='~').contains(&next))
            {}
        } else if character == '\t' {
            printable.push(' ');
        } else if !character.is_control() {
            printable.push(character);
        }
    }
    printable
}

/// Cuts the text to this many bytes at a character's border; `…` stands for what was cut.
pub fn cut_end(text: &mut String, max: usize) {
    if text.len() > max {
        let keep = floor_boundary(text, max.saturating_sub('…'.len_utf8()));
        text.truncate(keep);
        text.push('…');
    }
}

/// Keeps the last bytes of the text, from a character's border on.
pub fn cut_start(text: &mut String, max: usize) {
    let mut from = text.len().saturating_sub(max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.drain(..from);
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail_of(pieces: &[&[u8]]) -> String {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.push(Stream::Out, piece);
        }
        tail.finish()
    }

    #[test]
    fn only_the_last_lines_stay() {
        let output: String = (1..=100)
            .map(|n| format!("line {n}"))
            .collect::<Vec<_>>()
            .join("\n");
        let kept = tail_of(&[output.as_bytes()]);
        assert_eq!(kept.lines().count(), MAX_LINES);
        assert!(kept.starts_with("line 81\n") && kept.ends_with("line 100"));
    }

    #[test]
    fn lines_may_come_in_pieces_and_without_end() {
        assert_eq!(
            tail_of(&[b"one\ntw", b"o", b"\n\nthree"]),
            "one\ntwo\n\nthree"
        );
    }

    #[test]
    fn lines_of_two_outputs_do_not_mix() {
        let mut tail = Tail::default();
        tail.push(Stream::Out, b"out ");
        tail.push(Stream::Err, b"err ");
        tail.push(Stream::Out, b"1\nout");
        tail.push(Stream::Err, b"1\n");
        assert_eq!(tail.finish(), "out 1\nerr 1\nout");
    }

    #[test]
    fn ten_megabytes_in_one_line_stay_bounded() {
        let kept = tail_of(&[&vec![b'x'; 10 << 20], b"\nlast\n"]);
        assert!(kept.len() <= MAX_OUTPUT_BYTES);
        assert!(kept.ends_with("…\nlast"));
    }

    #[test]
    fn bytes_that_are_no_text_and_colours_become_readable() {
        assert_eq!(
            tail_of(&[b"\x1b[1;31mbad\x1b[0m \xff\xfe\tend\r\n"]),
            "bad \u{fffd}\u{fffd} end"
        );
    }

    #[test]
    fn cutting_keeps_whole_characters() {
        for max in 0..12 {
            let (mut end, mut start) = ("äöüß".repeat(3), "äöüß".repeat(3));
            cut_end(&mut end, max.max(3));
            cut_start(&mut start, max);
            assert!(end.len() <= max.max(3) && start.len() <= max);
        }
    }
}
