//! What every report must be, whatever its format: not too long, text, and not built to exhaust its reader.

use std::io::{self, BufReader, Read};

use super::read::{BadReport, MAX_REPORT_BYTES, too_long};

/// Deepest nesting of JSON. The parser skips unknown values without a limit of its own.
const MAX_DEPTH: u32 = 64;
/// Most bytes of one text in JSON: the parser holds a text that it needs in memory, up to three times.
const MAX_TEXT: u32 = 4 << 20;

/// How all formats read.
pub(super) type Buffered<'a> = BufReader<Input<'a>>;

/// Passes bytes on, and fails with a [`BadReport`] inside of the error at what no report may have.
pub(super) struct Input<'a> {
    from: &'a mut dyn Read,
    bytes: u64,
    /// What was not checked yet to be UTF-8; at the end of a piece, the start of a character.
    unchecked: Vec<u8>,
    nesting: Option<Nesting>,
}

/// Where in a JSON text the last byte was. It need not be well-formed: the parser sees to that.
#[derive(Default)]
struct Nesting {
    depth: u32,
    in_text: bool,
    escaped: bool,
    text: u32,
}

impl<'a> Input<'a> {
    /// Any text.
    pub(super) fn text(from: &'a mut dyn Read) -> Self {
        Self {
            from,
            bytes: 0,
            unchecked: Vec::new(),
            nesting: None,
        }
    }

    /// Text of which the nesting is bounded as JSON.
    pub(super) fn json(from: &'a mut dyn Read) -> Self {
        Self {
            nesting: Some(Nesting::default()),
            ..Self::text(from)
        }
    }

    fn check(&mut self, piece: &[u8]) -> Result<(), BadReport> {
        if piece.is_empty() && self.bytes == 0 {
            return Err(BadReport::new("the report is empty"));
        }
        self.bytes += piece.len() as u64;
        if self.bytes > MAX_REPORT_BYTES {
            return Err(too_long());
        }
        self.unchecked.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&self.unchecked) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() && !piece.is_empty() => error.valid_up_to(),
            Err(_) => return Err(BadReport::new("the report is not UTF-8 text")),
        };
        self.unchecked.drain(..whole);
        self.nesting
            .as_mut()
            .map_or(Ok(()), |nesting| nesting.check(piece))
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.check(&buffer[..count]).map_err(io::Error::other)?;
        Ok(count)
    }
}

impl Nesting {
    fn check(&mut self, piece: &[u8]) -> Result<(), BadReport> {
        for &byte in piece {
            if self.in_text {
                self.text += 1;
                if self.text > MAX_TEXT {
                    return Err(BadReport::new(format!(
                        "a text in the report has more than {MAX_TEXT} bytes"
                    )));
                }
                self.in_text = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => (self.in_text, self.text) = (true, 0),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if self.depth > MAX_DEPTH {
                return Err(BadReport::new(format!(
                    "the report is nested deeper than {MAX_DEPTH} levels"
                )));
            }
        }
        Ok(())
    }
}

/// The reason inside of an error of [`Input`], or that of the system.
pub(super) fn cannot_read(error: &io::Error) -> BadReport {
    error
        .get_ref()
        .and_then(|reason| reason.downcast_ref::<BadReport>())
        .cloned()
        .unwrap_or_else(|| BadReport::new(format!("the report cannot be read: {}", error.kind())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn problem(bytes: &[u8]) -> Option<String> {
        let mut read = Vec::new();
        let whole = Input::json(&mut &*bytes).read_to_end(&mut read);
        let mut read_in_pieces = Vec::new();
        let in_pieces = Input::json(&mut Drip(bytes)).read_to_end(&mut read_in_pieces);
        let reason = |error| cannot_read(&error).to_string();
        let whole = whole.map_err(reason).err();
        assert_eq!(whole, in_pieces.map_err(reason).err());
        whole
    }

    #[test]
    fn text_passes_however_it_is_cut_into_pieces() {
        assert_eq!(problem("{\"ä\": \"€🦀 \\\" [[[\"}".as_bytes()), None);
    }

    #[test]
    fn what_is_no_text_or_ends_inside_a_character_is_refused() {
        for bytes in [&b"\"\xff\""[..], b"\"\xe2\x82\"", b"\"\xf0\x9f\xa6"] {
            assert!(problem(bytes).unwrap().contains("UTF-8"), "{bytes:?}");
        }
        assert!(problem(b"").unwrap().contains("empty"));
    }

    #[test]
    fn deep_nesting_and_long_texts_are_refused() {
        assert_eq!(problem("[".repeat(64).as_bytes()), None);
        assert!(
            problem("[".repeat(65).as_bytes())
                .unwrap()
                .contains("64 levels")
        );
        assert_eq!(problem("[]".repeat(100).as_bytes()), None);
        let text = format!("\"{}\"", "x".repeat(4 << 20));
        assert!(problem(text.as_bytes()).unwrap().contains("4194304"));
    }
}
