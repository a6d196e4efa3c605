//! Everything that went through the proxy, in order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::seen::{Class, Seen, Server};
use crate::wait::{seconds, until};

/// One request.
#[derive(Clone, Debug)]
pub struct Entry {
    pub seen: Seen,
    /// When it came.
    pub at: Instant,
    /// Operator process that sent it.
    pub operator: String,
    /// It reached the server.
    pub forwarded: bool,
    /// What the client got: the status, once it is there.
    pub status: Option<u16>,
    /// What was done to it.
    pub fault: Option<String>,
}

/// The requests of a world.
#[derive(Debug)]
pub struct Trace {
    started: Instant,
    entries: Mutex<Vec<Entry>>,
}

impl Trace {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            entries: Mutex::default(),
        }
    }

    /// Notes a request and gives it its number.
    pub fn begin(&self, seen: Seen, operator: String) -> usize {
        let mut entries = self.entries.lock().expect("no holder panics");
        entries.push(Entry {
            seen,
            at: Instant::now(),
            operator,
            forwarded: false,
            status: None,
            fault: None,
        });
        entries.len() - 1
    }

    /// Notes more about a request.
    pub fn note(&self, number: usize, change: impl FnOnce(&mut Entry)) {
        change(&mut self.entries.lock().expect("no holder panics")[number]);
    }

    /// How many requests there are: a mark for [`Self::since`].
    pub fn mark(&self) -> usize {
        self.entries.lock().expect("no holder panics").len()
    }

    /// The requests that came after the mark.
    pub fn since(&self, mark: usize) -> Vec<Entry> {
        self.entries.lock().expect("no holder panics")[mark..].to_vec()
    }

    /// Waits until nothing but watches and leases has been seen for this long.
    pub async fn until_quiet(&self, quiet: Duration, limit: Duration) {
        until("the operator is quiet", limit, async || {
            let entries = self.entries.lock().expect("no holder panics");
            let mut busy = entries
                .iter()
                .filter(|entry| !matches!(entry.seen.class, Class::Watch | Class::Lease));
            let last = busy.next_back();
            last.is_none_or(|entry| entry.at.elapsed() >= quiet)
                .then_some(())
        })
        .await;
    }

    /// Waits until a request whose key contains this, and that is not this one, was answered with 200.
    pub async fn until_done(&self, key: &str, other_than: usize) {
        let done = |(number, entry): (usize, &Entry)| {
            number != other_than && entry.seen.key.contains(key) && entry.status == Some(200)
        };
        let begun = Instant::now();
        while !self.since(0).iter().enumerate().any(done) {
            assert!(begun.elapsed() < seconds(30), "{key} was never done");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The requests as lines to read, for a test that failed.
    pub fn print(&self) -> String {
        let lines: Vec<String> = self
            .since(0)
            .iter()
            .filter(|entry| entry.seen.class != Class::Lease)
            .map(|entry| {
                let at = entry.at.duration_since(self.started).as_millis();
                let status = entry
                    .status
                    .map_or_else(|| "-".to_owned(), |status| status.to_string());
                let fault = entry
                    .fault
                    .as_deref()
                    .map(|fault| format!("  <= {fault}"))
                    .unwrap_or_default();
                let path = if entry.seen.class.is_effect() {
                    ""
                } else {
                    &entry.seen.path
                };
                format!(
                    "{at:>7} ms {:<10} {status:>4} {} {path}{fault}",
                    entry.operator, entry.seen.key
                )
            })
            .collect();
        lines.join("\n")
    }
}

/// How many requests of each server and class there are.
pub fn counts(entries: &[Entry]) -> BTreeMap<(Server, Class), usize> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        *counts
            .entry((entry.seen.server, entry.seen.class))
            .or_default() += 1;
    }
    counts
}

/// How many requests there are of this server in these classes.
pub fn count(entries: &[Entry], server: Server, classes: &[Class]) -> usize {
    entries
        .iter()
        .filter(|entry| entry.seen.server == server && classes.contains(&entry.seen.class))
        .count()
}
