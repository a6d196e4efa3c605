//! The records of a pax header (POSIX.1-2017, pax, "pax Extended Header"): `<length> <key>=<value>\n`.

use super::unpack::ArchiveError;

/// Most bytes of one pax header.
const MAX_BYTES: usize = 64 << 10;

/// What a pax header says about the next entry, as far as floe looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaxRecords {
    /// Path, in place of the entry's own.
    pub path: Option<Vec<u8>>,
    /// Size, in place of the entry's own.
    pub size: Option<u64>,
    /// Whether the entry's bytes are a map of holes and data.
    pub sparse: bool,
}

impl PaxRecords {
    /// Most bytes of one header; a longer one is refused without being read.
    pub const MAX_BYTES: usize = MAX_BYTES;

    /// Reads the records; times, owners and extended attributes are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let mut found = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (key, value, after) = record(rest)
                .ok_or_else(|| ArchiveError::Broken("a pax header cannot be read".to_owned()))?;
            rest = after;
            match key {
                b"path" => found.path = Some(value.to_owned()),
                b"size" => found.size = Some(size(value)?),
                key if key.starts_with(b"GNU.sparse.") => found.sparse = true,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether it says nothing that changes which bytes go where.
    pub fn is_harmless(&self) -> bool {
        *self == Self::default()
    }
}

/// Key and value of the first record, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let length = number(&bytes[..blank])?;
    let line = bytes.get(blank + 1..length)?;
    let (newline, line) = line.split_last()?;
    let equals = line.iter().position(|byte| *byte == b'=')?;
    (*newline == b'\n').then_some((&line[..equals], &line[equals + 1..], &bytes[length..]))
}

fn number(digits: &[u8]) -> Option<usize> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    text.parse().ok()
}

fn size(value: &[u8]) -> Result<u64, ArchiveError> {
    let parsed = number(value).and_then(|size| u64::try_from(size).ok());
    parsed.ok_or_else(|| ArchiveError::Broken("the size in a pax header is no number".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_size_are_read_and_the_rest_is_passed_over() {
        let records = PaxRecords::parse(
            b"16 path=a\nb=c/d\n20 mtime=1432668921\n9 size=7\n30 SCHILY.xattr.user.x=\0\x01\n\xff=\n\n",
        )
        .unwrap();
        assert_eq!(records.path.as_deref(), Some(b"a\nb=c/d".as_slice()));
        assert_eq!((records.size, records.sparse), (Some(7), false));
        assert!(!records.is_harmless());
        assert!(
            PaxRecords::parse(b"18 comment=abcdef\n")
                .unwrap()
                .is_harmless()
        );
        let sparse = PaxRecords::parse(b"22 GNU.sparse.major=1\n").unwrap();
        assert!(sparse.sparse && !sparse.is_harmless());
    }

    #[test]
    fn records_that_cannot_be_read_are_refused() {
        for bytes in [
            b"path=a\n".as_slice(),
            b"9 path=ab\n",
            b"99999999999999999999999 path=a\n",
            b"+9 path=a\n",
            b"0 path=a\n",
            b"2 \n",
            b"1 path=a\n",
            b"8 path\n\n\n",
            b" ",
            b"9 size=x\n",
            b"10 size=-1\n",
        ] {
            let parsed = PaxRecords::parse(bytes);
            assert!(
                matches!(parsed, Err(ArchiveError::Broken(_))),
                "{:?} {parsed:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
