//! The operators' audit logs, read from files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::cli::ExitCode;
use crate::cli::platform::failure::{Failure, Result};
use crate::domain::audit::Logs;
use crate::domain::audit_log::{LINE_MAX, Line, Start, Verifier};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Folders below the one that was named: the operator keeps one for each log.
const DEPTH: usize = 2;

/// One log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogReport {
    /// Its name; of a file whose first line cannot be read, that of the file.
    log: String,
    files: usize,
    /// Lines that are in order.
    lines: u64,
    /// Number of the first line that is here: more than 1 when older files are elsewhere.
    first: u64,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// What follows the last line without being one; it was never confirmed to anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    torn_bytes: Option<u64>,
}

impl LogReport {
    pub(super) fn code(&self) -> ExitCode {
        match self.problem {
            Some(_) => ExitCode::GateFailed,
            None => ExitCode::Done,
        }
    }

    pub(super) fn complaint(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        Some(format!("the audit log {} is broken: {problem}", self.log))
    }

    pub(super) fn block(&self) -> String {
        let mut text = format!("\naudit log {}\n", self.log);
        text.extend([format!(
            "  lines     {} in order, from line {}\n",
            self.lines, self.first
        )]);
        if self.first > 1 {
            text.push_str("  note      older lines are in files that were not named\n");
        }
        if let Some(bytes) = self.torn_bytes {
            text.extend([format!(
                "  note      {bytes} bytes at its end are no line: it was being written\n"
            )]);
        }
        if let Some(problem) = &self.problem {
            text.extend([format!("  broken    {problem}\n")]);
            text.push_str("  next      compare with a copy of the log outside of the cluster; lines after it prove nothing\n");
        }
        text
    }
}

/// Reads all files, each log from its first line on.
pub(super) async fn read(paths: &[PathBuf]) -> Result<(Logs, Vec<LogReport>)> {
    let mut logs = Logs::default();
    let mut reports = Vec::new();
    let mut by_log: BTreeMap<String, Vec<(u64, PathBuf)>> = BTreeMap::new();
    let files = files(paths).await?;
    if files.is_empty() && !paths.is_empty() {
        return Err(Failure::usage(
            "there is no file *.jsonl of an audit log in what --log names",
        ));
    }
    for file in files {
        match first_line(&file).await? {
            Some(Ok(line)) => {
                let of_log = by_log.entry(line.log_id).or_default();
                of_log.push((line.sequence, file));
            }
            Some(Err(why)) => reports.push(LogReport {
                log: file.display().to_string(),
                files: 1,
                lines: 0,
                first: 1,
                problem: Some(format!("line 1: {why}")),
                torn_bytes: None,
            }),
            None => {}
        }
    }
    for (log, mut files) in by_log {
        files.sort();
        reports.push(read_log(log, &files, &mut logs).await?);
    }
    Ok((logs, reports))
}

async fn read_log(log: String, files: &[(u64, PathBuf)], logs: &mut Logs) -> Result<LogReport> {
    let first = files.first().map_or(1, |(first, _)| *first);
    let start = if first == 1 { Start::First } else { Start::Any };
    let mut report = LogReport {
        log,
        files: files.len(),
        lines: 0,
        first,
        problem: None,
        torn_bytes: None,
    };
    let mut verifier = Verifier::new(start);
    let mut buffer = vec![0; CHUNK];
    for (_, path) in files {
        let mut file = open(path).await?;
        loop {
            let count = file
                .read(&mut buffer)
                .await
                .map_err(|error| unreadable(path, &error))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            let pushed = verifier.push(bytes, |line, _| {
                report.lines += 1;
                logs.line(line);
            });
            if let Err(broken) = pushed {
                report.problem = Some(format!("{}: {}", path.display(), broken));
                return Ok(report);
            }
        }
    }
    report.torn_bytes = verifier.end().torn.map(|torn| torn.bytes);
    Ok(report)
}

/// The files of audit logs in these places.
async fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, usize)> = paths.iter().map(|path| (path.clone(), 0)).collect();
    while let Some((path, depth)) = open.pop() {
        let cannot = |error: std::io::Error| unreadable(&path, &error);
        if !tokio::fs::metadata(&path).await.map_err(cannot)?.is_dir() {
            let is_log = path.extension().is_some_and(|ending| ending == "jsonl");
            if depth == 0 || is_log {
                found.push(path);
            }
            continue;
        }
        if depth > DEPTH {
            continue;
        }
        let mut entries = tokio::fs::read_dir(&path).await.map_err(cannot)?;
        while let Some(entry) = entries.next_entry().await.map_err(cannot)? {
            open.push((entry.path(), depth + 1));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The first line of a file, when there is one.
async fn first_line(path: &Path) -> Result<Option<std::result::Result<Line, String>>> {
    let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(open(path).await?).take(most);
    let mut bytes = Vec::new();
    let count = reader
        .read_until(b'\n', &mut bytes)
        .await
        .map_err(|error| unreadable(path, &error))?;
    if count == 0 {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Ok(Some(Err("it has no end".to_owned())));
    }
    Ok(Some(Line::read(&bytes).map_err(|not| not.to_string())))
}

async fn open(path: &Path) -> Result<File> {
    File::open(path)
        .await
        .map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read '{}': {error}", path.display()))
}
