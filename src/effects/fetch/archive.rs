//! Takes archives apart. Which entries may come out, and how much, is decided in `domain::layout`.
//!
//! Blocking: run it off the runtime's threads.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, Header};

use super::FetchError;
use super::place::{Part, make_folders};
use crate::domain::layout::{ArchiveError, ArchiveLayer, Flow, PaxRecords, Placed, Unpacking};

/// Most bytes of a GNU long name; paths are bounded further.
const MAX_LONG_NAME: usize = 4096;
const BUFFER: usize = 32 << 10;

/// An archive that was downloaded, and its bytes found to be those of its digest.
pub(super) struct Downloaded {
    pub(super) layer: ArchiveLayer,
    pub(super) file: File,
}

/// Unpacks all archives into `out`: first each is read to its end, so that of a refused one nothing is
/// ever written.
pub(super) fn unpack_all(
    archives: &mut [Downloaded],
    unpacking: &Unpacking,
    out: &Path,
) -> Result<usize, FetchError> {
    let (mut checked, mut written) = (unpacking.clone(), unpacking.clone());
    let mut files = 0;
    for archive in &mut *archives {
        files += read(archive, &mut checked, None)?;
    }
    for archive in archives {
        read(archive, &mut written, Some(out))?;
    }
    Ok(files)
}

/// Reads an archive to its end, and writes its files when there is a place for them.
fn read(
    archive: &mut Downloaded,
    unpacking: &mut Unpacking,
    out: Option<&Path>,
) -> Result<usize, FetchError> {
    let Downloaded { layer, file } = archive;
    let failed = |error: Failure| error.about(layer);
    file.rewind().map_err(|error| failed(error.into()))?;
    let packed = BufReader::with_capacity(BUFFER, &*file);
    let unpacked: Box<dyn Read + '_> = if layer.gzip {
        Box::new(MultiGzDecoder::new(packed))
    } else {
        Box::new(packed)
    };
    let mut tar = Archive::new(Counted {
        inner: unpacked,
        flow: unpacking.flow(layer.size),
    });
    let files = read_entries(&mut tar, layer, unpacking, out).map_err(failed)?;
    let mut counted = tar.into_inner();
    read_end(&mut counted).map_err(failed)?;
    unpacking.add_flow(&counted.flow);
    Ok(files)
}

fn read_entries(
    tar: &mut Archive<impl Read>,
    layer: &ArchiveLayer,
    unpacking: &mut Unpacking,
    out: Option<&Path>,
) -> Result<usize, Failure> {
    let mut ahead = Ahead::default();
    let mut files = 0;
    // Raw: the crate would read long names without bound, and follow sparse maps.
    for entry in tar.entries()?.raw(true) {
        let mut entry = entry?;
        if ahead.take(&mut entry)? {
            continue;
        }
        let name = std::mem::take(&mut ahead).name(entry.header())?;
        let kind = entry.header().entry_type().as_byte();
        let size = entry.header().entry_size()?;
        match unpacking.entry(layer, kind, &name, size)? {
            Placed::File(path, size) => {
                files += 1;
                write(&mut entry, &path, size, out)?;
            }
            Placed::Folder(path) => {
                if let Some(out) = out {
                    make_folders(out, &path)?;
                }
            }
            Placed::Root => {}
        }
    }
    if ahead.is_pending() {
        return Err(broken("it ends after a long name"));
    }
    Ok(files)
}

fn write(
    entry: &mut Entry<'_, impl Read>,
    path: &str,
    size: u64,
    out: Option<&Path>,
) -> Result<(), Failure> {
    let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
    let part = out.map(|out| Part::create(out, path)).transpose()?;
    let mut left = size;
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let length = entry.read(&mut buffer)?;
        if length == 0 {
            return Err(broken("it ends in the middle of a file"));
        }
        left = left.saturating_sub(length as u64);
        if let Some(part) = &part {
            part.write(&buffer[..length])?;
        }
    }
    match part {
        Some(part) => Ok(part.finish(executable)?),
        None => Ok(()),
    }
}

/// After its last entry an archive has zeros, and nothing else; gzip checks its sums there.
fn read_end(rest: &mut impl Read) -> Result<(), Failure> {
    let mut rest = BufReader::with_capacity(BUFFER, rest);
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(broken("it goes on after its end"));
        }
        let length = bytes.len();
        rest.consume(length);
    }
}

/// What the headers before an entry say about it.
#[derive(Default)]
struct Ahead {
    long_name: Option<Vec<u8>>,
    pax: Option<PaxRecords>,
}

impl Ahead {
    /// Whether the entry is only about the next one.
    fn take(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<bool, Failure> {
        let twice = match entry.header().entry_type().as_byte() {
            b'L' => {
                let mut name = read_bounded(entry, MAX_LONG_NAME)?;
                let end = name.iter().position(|byte| *byte == 0);
                name.truncate(end.unwrap_or(name.len()));
                self.long_name.replace(name).is_some()
            }
            b'x' => {
                let records = read_bounded(entry, PaxRecords::MAX_BYTES)?;
                let records = PaxRecords::parse(&records)?;
                self.pax.replace(records).is_some()
            }
            b'g' => {
                let records = read_bounded(entry, PaxRecords::MAX_BYTES)?;
                if !PaxRecords::parse(&records)?.is_harmless() {
                    return Err(broken(
                        "a global pax header gives all entries one path or size",
                    ));
                }
                false
            }
            _ => return Ok(false),
        };
        if twice {
            return Err(broken("two headers are about one entry"));
        }
        Ok(true)
    }

    fn is_pending(&self) -> bool {
        self.long_name.is_some() || self.pax.is_some()
    }

    /// The name of the entry that follows. Where programs would read different things, none is right.
    fn name(self, header: &Header) -> Result<Vec<u8>, Failure> {
        let PaxRecords { path, size, sparse } = self.pax.unwrap_or_default();
        if sparse {
            return Err(broken("it has a sparse file"));
        }
        if let Some(size) = size
            && size != header.entry_size()?
        {
            return Err(broken("an entry has two sizes"));
        }
        match (self.long_name, path) {
            (Some(_), Some(_)) => Err(broken("an entry has two names")),
            (Some(name), None) | (None, Some(name)) => Ok(name),
            (None, None) => Ok(header.path_bytes().into_owned()),
        }
    }
}

fn read_bounded(entry: &mut Entry<'_, impl Read>, most: usize) -> Result<Vec<u8>, Failure> {
    let size = entry.header().entry_size()?;
    if size > most as u64 {
        return Err(broken("it has a name or a pax header that is too long"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(broken("it ends in the middle of a name"));
    }
    Ok(bytes)
}

/// Counts what it reads, before anybody sees it.
struct Counted<R> {
    inner: R,
    flow: Flow,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.flow.take(length).map_err(io::Error::other)?;
        Ok(length)
    }
}

/// Why reading an archive ends early.
enum Failure {
    Refused(ArchiveError),
    Elsewhere(FetchError),
}

impl Failure {
    fn about(self, layer: &ArchiveLayer) -> FetchError {
        match self {
            Self::Refused(error) => FetchError::Archive {
                digest: layer.digest.clone(),
                error,
            },
            Self::Elsewhere(error) => error,
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::Refused(error)
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Elsewhere(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.downcast::<ArchiveError>() {
            Ok(refused) => Self::Refused(refused),
            Err(error) => {
                Self::Refused(ArchiveError::Broken(format!("it cannot be read: {error}")))
            }
        }
    }
}

fn broken(why: &str) -> Failure {
    Failure::Refused(ArchiveError::Broken(why.to_owned()))
}
