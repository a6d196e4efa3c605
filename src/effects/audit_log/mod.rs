//! The audit log of this process: each line is on the disk before anybody goes on.
//!
//! One thread writes, so that a disk that hangs holds up nobody but who waits for it, and that no longer than the
//! time limit. Whatever fails lets go of the log; the next line opens it again, and looks at it again.

mod files;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::domain::audit_log::{ChainName, Entry, Event, Head, Line, NewestRecords, Promoted};
use crate::effects::lock::lock;
use files::{BrokenLog, OpenLog};

/// How long a line may take.
pub const LIMIT: Duration = Duration::from_secs(5);
/// Lines that may wait for the disk.
const QUEUE: usize = 64;
/// Lines that are told once and remembered as told.
const REMEMBERED: usize = 4096;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder for the logs of operators; a file in it is ended before it grows over `file_size` bytes.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Largest size of a file.
        file_size: u64,
    },
    /// Standard output alone: each line as the value of `floeAuditLog`. What collects it must keep it.
    Stdout,
}

/// A line is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The log that it is in.
    pub log_id: String,
    /// Logs in the same place that are broken.
    pub broken_logs: Vec<String>,
}

/// Why a line cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The system refused.
    #[error("the audit log cannot be written: {0}")]
    Refused(String),
    /// It took too long.
    #[error("the audit log was not written within {} s", LIMIT.as_secs())]
    TooSlow,
    /// The thread that writes has ended.
    #[error("the audit log is not written any more: start the operator again")]
    Ended,
}

/// The audit log of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditLog {
    requests: mpsc::Sender<Request>,
    newest: Arc<Mutex<NewestRecords>>,
}

/// What the thread is asked for.
#[derive(Debug)]
struct Request {
    /// The line; without it the log is opened.
    entry: Option<Entry>,
    at: Timestamp,
    answer: oneshot::Sender<Result<Written, Unwritable>>,
}

impl AuditLog {
    /// Starts the thread. The log is opened with the first line, or by [`Self::open`].
    pub fn start(place: Place, operator: String) -> io::Result<Self> {
        let (requests, mut asked) = mpsc::channel::<Request>(QUEUE);
        let newest = Arc::<Mutex<NewestRecords>>::default();
        let mut writer = Writer {
            place,
            operator,
            open: None,
            broken: Vec::new(),
            told: None,
            newest: Arc::clone(&newest),
        };
        std::thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || {
                while let Some(Request { entry, at, answer }) = asked.blocking_recv() {
                    // Nobody waits for it any more: it will be asked for again.
                    if !answer.is_closed() {
                        drop(answer.send(writer.write(entry, at)));
                    }
                }
            })?;
        Ok(Self { requests, newest })
    }

    /// Opens the log when it is not open, which also shows whether it can be written.
    pub async fn open(&self, at: Timestamp) -> Result<Written, Unwritable> {
        self.ask(None, at).await
    }

    /// Writes a line, unless it is told already.
    pub async fn write(&self, entry: Entry, at: Timestamp) -> Result<Written, Unwritable> {
        self.ask(Some(entry), at).await
    }

    /// The newest promotion of a chain that the log knows of, once it is open: as far back as its two newest files go.
    pub fn newest(&self, chain: &ChainName) -> Option<Promoted> {
        lock(&self.newest).of(chain).cloned()
    }

    async fn ask(&self, entry: Option<Entry>, at: Timestamp) -> Result<Written, Unwritable> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            let request = Request { entry, at, answer };
            let sent = self.requests.send(request).await;
            sent.map_err(|_| Unwritable::Ended)?;
            answered.await.map_err(|_| Unwritable::Ended)?
        };
        tokio::time::timeout(LIMIT, asked)
            .await
            .map_err(|_| Unwritable::TooSlow)?
    }
}

/// What the thread holds.
struct Writer {
    place: Place,
    operator: String,
    open: Option<Open>,
    broken: Vec<BrokenLog>,
    /// Absent until the log was opened for the first time.
    told: Option<Told>,
    newest: Arc<Mutex<NewestRecords>>,
}

/// A log that is open.
enum Open {
    Files(Box<OpenLog>),
    Stdout(Head),
}

impl Writer {
    fn write(&mut self, entry: Option<Entry>, at: Timestamp) -> Result<Written, Unwritable> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open(at).map_err(|why| self.refused(&why))?,
        };
        let known = entry.as_ref().and_then(|entry| entry.told_once(at));
        let is_told = |told: &Told| known.as_ref().is_some_and(|key| told.has(key));
        if let Some(entry) = entry
            && !self.told.as_ref().is_some_and(is_told)
        {
            let mut newest = NewestRecords::default();
            newest.entry(&entry);
            // Whatever fails, the log stays closed: how much of the line is on the disk is seen when it is opened.
            open.append(entry, at, &self.operator)
                .map_err(|why| self.refused(&why))?;
            lock(&self.newest).extend(newest);
            if let (Some(told), Some(key)) = (&mut self.told, known) {
                told.add(key);
            }
        }
        let written = Written {
            log_id: open.head().log_id.clone(),
            broken_logs: self.broken.iter().map(|log| log.log_id.clone()).collect(),
        };
        self.open = Some(open);
        Ok(written)
    }

    /// Opens the log, and says in it who goes on from here.
    fn open(&mut self, at: Timestamp) -> io::Result<Open> {
        let mut opened = Entry::of(Event::Opened);
        let mut open = match &self.place {
            Place::Stdout => {
                self.told.get_or_insert_default();
                Open::Stdout(Head::new(new_id(at)))
            }
            Place::Folder { path, file_size } => {
                let found = files::open(path, *file_size, &new_id(at))?;
                let mut open = Open::Files(Box::new(found.log));
                // A line that failed in this process may be there and not be safe: it is written once more.
                self.told.get_or_insert_with(|| Told::of(found.told.once));
                lock(&self.newest).extend(found.told.newest);
                if let Some(torn) = found.torn {
                    tracing::warn!(
                        log = open.head().log_id,
                        bytes = torn.bytes,
                        "the last line of the audit log had no end and was cut off"
                    );
                    let mut entry = Entry::of(Event::Torn);
                    entry.torn = Some(torn);
                    open.append(entry, at, &self.operator)?;
                }
                opened.broken_logs = found.broken.iter().map(|log| log.log_id.clone()).collect();
                opened.message = found.broken.first().map(ToString::to_string);
                for log in &found.broken {
                    tracing::error!(
                        log = log.log_id,
                        file = %log.file.display(),
                        problem = log.problem,
                        goes_on_in = open.head().log_id,
                        "THE AUDIT LOG IS BROKEN: it is left as it is, and floe goes on in another one; find out who changed it"
                    );
                }
                self.broken = found.broken;
                open
            }
        };
        open.append(opened, at, &self.operator)?;
        tracing::info!(log = open.head().log_id, "the audit log is open");
        Ok(open)
    }

    fn refused(&self, why: &io::Error) -> Unwritable {
        Unwritable::Refused(match &self.place {
            Place::Folder { path, .. } => format!("{}: {why}", path.display()),
            Place::Stdout => format!("standard output: {why}"),
        })
    }
}

impl Open {
    fn head(&self) -> &Head {
        match self {
            Self::Files(log) => log.head(),
            Self::Stdout(head) => head,
        }
    }

    fn append(&mut self, entry: Entry, at: Timestamp, operator: &str) -> io::Result<()> {
        let (line, after) = Line::after(self.head(), at, operator, entry);
        match self {
            Self::Files(log) => log.append(line, after),
            Self::Stdout(head) => {
                let mut out = io::stdout().lock();
                out.write_all(&[br#"{"floeAuditLog":"#, line.as_slice(), b"}\n"].concat())?;
                out.flush()?;
                *head = after;
                Ok(())
            }
        }
    }
}

/// What is told already, as far back as it is remembered.
#[derive(Debug, Default)]
struct Told {
    keys: BTreeSet<String>,
    in_order: VecDeque<String>,
}

impl Told {
    fn of(keys: Vec<String>) -> Self {
        let mut told = Self::default();
        for key in keys {
            told.add(key);
        }
        told
    }

    fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    fn add(&mut self, key: String) {
        if self.keys.insert(key.clone()) {
            self.in_order.push_back(key);
        }
        if self.in_order.len() > REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }
}

/// A name that no other log has: the time, so that names sort by age, and 64 bits by chance.
fn new_id(at: Timestamp) -> String {
    // The keys of the standard library's hashes come from the system's source of randomness.
    let chance = std::hash::RandomState::new().build_hasher().finish();
    format!("{}-{chance:016x}", at.strftime("%Y%m%dT%H%M%SZ"))
}
