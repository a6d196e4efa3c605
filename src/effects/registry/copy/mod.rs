//! Copies a whole artifact from one repository to another, and proves that it is there: index,
//! child manifests, configs, layers, referrers at any depth, and cosign's older tags
//! `sha256-<hex>.sig|.att|.sbom`.
//!
//! Everything goes by digest, byte by byte, children before parents. No tag of the artifact is
//! written here: that is for the caller, after [`missing_from`] found nothing.

mod attach;
mod blob;
mod graph;
mod proof;
mod run;
mod walk;

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::error::RegistryError;
use super::manifest::RawManifest;
use super::{Registry, pace};
use crate::domain::artifact::{Digest, Repository, Tag};

/// Tries of one request or transfer in all, when connections break off.
const MOST_TRIES: u32 = 3;

/// Longest wait that a registry may ask for between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Between the second try and the third.
const PAUSE: Duration = Duration::from_millis(300);

/// A repository, and the client with the credentials for it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Client of the registry in which the repository lies.
    pub registry: &'a Registry,
    /// The repository.
    pub repository: &'a Repository,
}

/// How much is copied, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// Whether what others attached comes along: referrers and cosign's older tags. Without, only
    /// the root with everything that it is made of.
    pub attached: bool,
    /// Transfers side by side. Default 3, as containerd has it: each takes about 1 MiB of memory, and more of them are no
    /// faster.
    pub side_by_side: usize,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            attached: true,
            side_by_side: 3,
        }
    }
}

/// What a thing is in the graph of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// Index or Docker list: the root, or a child.
    Index,
    /// Manifest: the root, or a child of an index.
    Manifest,
    /// Config, layer, or another entry that is no manifest.
    Blob,
    /// A layer that is not distributed with the artifact but fetched from its `urls`: never
    /// copied, and not missing.
    ForeignLayer,
    /// Manifest whose subject is another one of the graph: signature, SBOM, record.
    Referrer,
    /// Manifest that one of cosign's older tags names (`sha256-<hex>.sig`, `.att`, `.sbom`).
    LegacyTag,
    /// What the root itself is attached to: not part of it, so never copied, and not missing.
    Subject,
}

/// One thing of the graph. Everything is listed once, under the first that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, as the one that names it says.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// What a referrer is (`artifactType`, or the type of its config).
    pub artifact_type: Option<String>,
    /// The manifest that lists it, that it is attached to, or that the tag is about; `None` for
    /// the root.
    pub of: Option<Digest>,
    /// The tag of a [`ItemKind::LegacyTag`].
    pub tag: Option<Tag>,
}

/// What became of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sent to the target by this copy.
    Written,
    /// Mounted from a repository of the same registry: not sent.
    Mounted,
    /// It was there before.
    AlreadyThere,
    /// It is not in the target now.
    LeftOut {
        /// Why, for people.
        why: String,
    },
}

/// One thing, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedItem {
    /// The thing.
    pub item: Item,
    /// What became of it.
    pub outcome: Outcome,
}

/// The root and everything that it is made of are in the target, seen there by digest. What is
/// attached to them is there as far as `items` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyReport {
    /// The root, to be tagged now.
    pub root: RawManifest,
    /// Everything, each with its outcome; the root first.
    pub items: Vec<CopiedItem>,
}

/// The graph of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The root.
    pub root: RawManifest,
    /// Everything, parents before children; the root first.
    pub items: Vec<Item>,
    /// What is listed in the source but cannot be read there, with the reason: dangling entries,
    /// kinds that floe does not know. Never part of the root itself.
    pub unreadable: Vec<(Item, String)>,
}

/// A thing of the source's graph that the other place does not have, or does not list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The thing.
    pub item: Item,
    /// What was seen, for people.
    pub why: String,
}

impl ItemKind {
    /// The kind in one word, for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Index => "Index",
            Self::Manifest => "Manifest",
            Self::Blob => "Blob",
            Self::ForeignLayer => "ForeignLayer",
            Self::Referrer => "Referrer",
            Self::LegacyTag => "LegacyTag",
            Self::Subject => "Subject",
        }
    }

    /// Whether things of this kind are part of an artifact's graph but never copied.
    pub fn stays_behind(self) -> bool {
        matches!(self, Self::ForeignLayer | Self::Subject)
    }
}

impl Outcome {
    /// The outcome in one word, for tables and JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Written => "Written",
            Self::Mounted => "Mounted",
            Self::AlreadyThere => "AlreadyThere",
            Self::LeftOut { .. } => "LeftOut",
        }
    }
}

impl CopyReport {
    /// What should be in the target and is not: never anything that stays behind by nature
    /// ([`ItemKind::stays_behind`]).
    pub fn lost(&self) -> impl Iterator<Item = (&Item, &str)> {
        self.items
            .iter()
            .filter_map(|copied| match &copied.outcome {
                Outcome::LeftOut { why } if !copied.item.kind.stays_behind() => {
                    Some((&copied.item, why.as_str()))
                }
                _ => None,
            })
    }

    /// Bytes that this copy sent.
    pub fn bytes_written(&self) -> u64 {
        let written = self
            .items
            .iter()
            .filter(|copied| copied.outcome == Outcome::Written);
        written.map(|copied| copied.item.size).sum()
    }
}

/// Copies the artifact `root` of `from` into `to`: what is there already is not sent again.
///
/// # Errors
/// Whenever the root or anything that it is made of is not completely in the target, and whenever
/// a registry is not there, does not let us, or cannot be believed. `Refused` with code
/// `MANIFEST_UNKNOWN` when the source does not have the root; `Unreadable` when bytes of the
/// source do not have their digest (nothing of them is completed in the target). What only
/// *attached* things lack (the target takes no referrers, a referrer is broken) is no error but
/// [`Outcome::LeftOut`].
pub async fn copy_graph(
    from: Place<'_>,
    to: Place<'_>,
    root: &Digest,
    options: &CopyOptions,
) -> Result<CopyReport, RegistryError> {
    let graph = walk::walk(from, root, options).await?;
    run::copy(&graph, from, to, options).await
}

/// What of the artifact `root`, as it is in `from` now, is not in `to`: looked up by digest, and
/// referrers and cosign's older tags also in the target's lists. Empty = `to` has all of it.
///
/// # Errors
/// As [`tree`], for either place: unknown is never "there".
pub async fn missing_from(
    from: Place<'_>,
    to: Place<'_>,
    root: &Digest,
    options: &CopyOptions,
) -> Result<Vec<Missing>, RegistryError> {
    let graph = walk::walk(from, root, options).await?;
    proof::missing(&graph, to, options).await
}

/// The whole graph of the artifact `root` in `place`.
///
/// # Errors
/// As reading its manifests and lists; `TooLarge` for graphs that are too deep or too wide.
pub async fn tree(
    place: Place<'_>,
    root: &Digest,
    options: &CopyOptions,
) -> Result<Tree, RegistryError> {
    let graph = walk::walk(place, root, options).await?;
    let root = graph.root()?.clone();
    let nodes = graph.nodes.into_iter().map(|node| node.item);
    let nodes = nodes.filter(|item| item.kind != ItemKind::LegacyTag);
    let blobs = graph.blobs.into_iter().map(|blob| blob.item);
    Ok(Tree {
        root,
        items: nodes
            .chain(graph.tags)
            .chain(blobs)
            .chain(graph.behind)
            .collect(),
        unreadable: graph.unreadable,
    })
}

/// Does so many pieces of work side by side, at most `at_once` at a time; the first error ends all.
/// The results are in the order of the work. Work goes by number because a closure that takes
/// references could not be held by a task.
async fn side_by_side<T, F: Future<Output = Result<T, RegistryError>>>(
    at_once: usize,
    pieces: usize,
    work: impl Fn(usize) -> F,
) -> Result<Vec<T>, RegistryError> {
    let mut running = FuturesUnordered::new();
    let mut done = Vec::with_capacity(pieces);
    let mut next = 0;
    loop {
        while next < pieces && running.len() < at_once.max(1) {
            running.push(numbered(next, work(next)));
            next += 1;
        }
        match running.next().await {
            Some((number, result)) => done.push((number, result?)),
            None => break,
        }
    }
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

async fn numbered<F: Future>(number: usize, work: F) -> (usize, F::Output) {
    (number, work.await)
}

/// Does it again, a few times, when a registry was not there or the connection broke off: all of
/// what is done here may be done twice. A wait that the registry asks for is kept when it is short.
async fn tried_again<T, F: Future<Output = Result<T, RegistryError>>>(
    mut work: impl FnMut() -> F,
) -> Result<T, RegistryError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match work().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if tries >= MOST_TRIES || !error.is_transient() {
            return Err(error);
        }
        match error.retry_after() {
            Some(wait) if wait > LONGEST_WAIT => return Err(error),
            Some(wait) => pace::wait(wait).await,
            None if tries > 1 => pace::wait(PAUSE).await,
            None => {}
        }
    }
}
