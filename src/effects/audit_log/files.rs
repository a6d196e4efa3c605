//! The files of the logs in a folder: `<log>/<number of the first line>.jsonl`, and `<log>/lock`.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::domain::audit_log::{Broken, End, Head, NewestRecords, Start, Torn, Verifier};

/// How files end.
const ENDING: &str = ".jsonl";
/// Held by the process that writes the log.
const LOCK: &str = "lock";
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// A log that this process writes, and no other one.
pub(super) struct OpenLog {
    folder: PathBuf,
    file: File,
    size: u64,
    file_size: u64,
    head: Head,
    _lock: File,
}

/// What was found in the folder.
pub(super) struct Found {
    /// The log in which to go on.
    pub log: OpenLog,
    /// What was cut off from its end.
    pub torn: Option<Torn>,
    /// What its newest lines tell.
    pub told: Told,
    /// Other logs, which are broken.
    pub broken: Vec<BrokenLog>,
}

/// What lines tell.
#[derive(Default)]
pub(super) struct Told {
    /// Those that are told once.
    pub once: Vec<String>,
    /// The records that they know of.
    pub newest: NewestRecords,
}

/// A log in which nobody goes on.
pub(super) struct BrokenLog {
    pub log_id: String,
    pub file: PathBuf,
    pub problem: String,
}

impl fmt::Display for BrokenLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.file_name().unwrap_or_default().display();
        write!(
            f,
            "the log {} is broken in {file}: {}",
            self.log_id, self.problem
        )
    }
}

/// Opens the newest log of the folder that is in order and that no other process writes, or begins a new one.
///
/// Only the two newest files of a log are read: older ones may have been moved to where they are kept.
pub(super) fn open(root: &Path, file_size: u64, new_id: &str) -> io::Result<Found> {
    fs::create_dir_all(root)?;
    let mut ids: Vec<String> = names(root, |kind| kind.is_dir())?;
    // Volumes have folders of their own, such as lost+found.
    ids.retain(|id| is_id(id));
    ids.sort_unstable_by(|one, other| other.cmp(one));
    let mut broken = Vec::new();
    for id in ids {
        let folder = root.join(&id);
        let Some(lock) = lock(&folder)? else {
            continue;
        };
        match go_on(&folder, &id)? {
            Ok(Read {
                path,
                size,
                head,
                torn,
                told,
            }) => {
                let file = OpenOptions::new().append(true).create(true).open(path)?;
                if torn.is_some() {
                    file.set_len(size)?;
                }
                file.sync_all()?;
                sync(&folder)?;
                let log = OpenLog {
                    folder,
                    file,
                    size,
                    file_size,
                    head,
                    _lock: lock,
                };
                return Ok(Found {
                    log,
                    torn,
                    told,
                    broken,
                });
            }
            Err(log) => broken.push(log),
        }
    }
    let folder = root.join(new_id);
    fs::create_dir(&folder)?;
    sync(root)?;
    let taken = || io::Error::other(format!("the new log {new_id} is in use"));
    let lock = lock(&folder)?.ok_or_else(taken)?;
    let head = Head::new(new_id.to_owned());
    let log = OpenLog {
        file: create(&folder, &head)?,
        folder,
        size: 0,
        file_size,
        head,
        _lock: lock,
    };
    Ok(Found {
        log,
        torn: None,
        told: Told::default(),
        broken,
    })
}

impl OpenLog {
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Writes a line and waits until it is on the disk. After an error the log must be opened again.
    pub(super) fn append(&mut self, mut line: Vec<u8>, after: Head) -> io::Result<()> {
        line.push(b'\n');
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.size > 0 && self.size.saturating_add(length) > self.file_size {
            self.file = create(&self.folder, &self.head)?;
            self.size = 0;
        }
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.size += length;
        self.head = after;
        Ok(())
    }
}

/// A log that is in order.
struct Read {
    /// Its newest file.
    path: PathBuf,
    /// How long that is, without what has no end.
    size: u64,
    head: Head,
    torn: Option<Torn>,
    told: Told,
}

/// Reads the newest files of a log. The error is that of the system: then nobody knows what is in it.
fn go_on(folder: &Path, id: &str) -> io::Result<Result<Read, BrokenLog>> {
    let mut files: Vec<(u64, PathBuf)> = names(folder, |kind| kind.is_file())?
        .into_iter()
        .filter_map(|name| {
            let number = name.strip_suffix(ENDING)?.parse().ok()?;
            Some((number, folder.join(name)))
        })
        .collect();
    files.sort_unstable();
    let newest = files.split_off(files.len().saturating_sub(2));
    let Some((first, path)) = newest.first().zip(newest.last()).map(|(a, b)| (a.0, &b.1)) else {
        // Its process has ended before the first line.
        let head = Head::new(id.to_owned());
        return Ok(Ok(Read {
            path: path_of(folder, &head),
            size: 0,
            head,
            torn: None,
            told: Told::default(),
        }));
    };
    let broken = |file: &Path, problem: String| {
        Ok(Err(BrokenLog {
            log_id: id.to_owned(),
            file: file.to_owned(),
            problem,
        }))
    };
    let start = if first == 1 { Start::First } else { Start::Any };
    let mut verifier = Verifier::new(start);
    let mut told = Told::default();
    let mut length = 0;
    for (number, file) in &newest {
        if !verifier.is_at_end_of_line() {
            return broken(
                file,
                "the file before it ends in the middle of a line".to_owned(),
            );
        }
        let mut begins_with = None;
        match feed(&mut verifier, file, &mut told, &mut begins_with)? {
            Ok(read) => length = read,
            Err(why) => return broken(file, why.to_string()),
        }
        if begins_with.is_some_and(|sequence| sequence != *number) {
            return broken(
                file,
                "its name is not the number of its first line".to_owned(),
            );
        }
    }
    let End { head, torn, .. } = verifier.end();
    let head = match head {
        Some(head) if head.log_id == id => head,
        Some(head) => return broken(path, format!("it is a file of the log {}", head.log_id)),
        None if first == 1 => Head::new(id.to_owned()),
        None => return broken(path, "the lines before it are gone".to_owned()),
    };
    Ok(Ok(Read {
        path: path.clone(),
        size: length - torn.as_ref().map_or(0, |torn| torn.bytes),
        head,
        torn,
        told,
    }))
}

/// Feeds a file, and says how long it is.
fn feed(
    verifier: &mut Verifier,
    file: &Path,
    told: &mut Told,
    begins_with: &mut Option<u64>,
) -> io::Result<Result<u64, Broken>> {
    let mut file = File::open(file)?;
    let mut piece = vec![0; PIECE];
    let mut length = 0;
    loop {
        let read = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(Ok(length));
        };
        length += u64::try_from(read).unwrap_or(u64::MAX);
        let pushed = verifier.push(bytes, |line, _| {
            begins_with.get_or_insert(line.sequence);
            told.once.extend(line.told_once());
            told.newest.line(line);
        });
        if let Err(broken) = pushed {
            return Ok(Err(broken));
        }
    }
}

/// The lock of a log; `None` while another process has it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(why)) => Err(why),
    }
}

/// The file that the line after this head begins.
fn create(folder: &Path, head: &Head) -> io::Result<File> {
    let path = path_of(folder, head);
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(path)?;
    file.sync_all()?;
    sync(folder)?;
    Ok(file)
}

fn path_of(folder: &Path, head: &Head) -> PathBuf {
    folder.join(format!("{:012}{ENDING}", head.sequence + 1))
}

/// `20260302T100000Z-0123456789abcdef`: see `new_id`.
fn is_id(name: &str) -> bool {
    let parts = name.split_once("Z-");
    parts.is_some_and(|(time, chance)| {
        let digits = |text: &str, wanted: fn(u8) -> bool| text.bytes().all(wanted);
        time.len() == 15
            && digits(time, |byte| byte.is_ascii_digit() || byte == b'T')
            && chance.len() == 16
            && digits(chance, |byte| byte.is_ascii_hexdigit())
    })
}

/// What was made or removed in the folder is on the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn names(folder: &Path, wanted: impl Fn(fs::FileType) -> bool) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if wanted(entry.file_type()?)
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}
