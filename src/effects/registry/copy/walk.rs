//! Finds everything that belongs to an artifact: first what it is made of, then, level by level,
//! what is attached to any of that, and what those are made of.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::graph::{Graph, Node, Wanted};
use super::{CopyOptions, Item, ItemKind, Place, side_by_side, tried_again};
use crate::domain::artifact::{Digest, Tag};
use crate::domain::graph;
use crate::effects::registry::error::{ErrorKind, Problem, RegistryError};
use crate::effects::registry::manifest::{ManifestType, Reference};

/// Indexes within indexes, and referrers of referrers, that are followed.
const MOST_LEVELS: u64 = 64;

enum Read {
    Node(Box<Node>),
    Unreadable(Item, String),
    /// It is listed where it does not belong; it may be listed rightly elsewhere.
    Stranger(Item, String),
    /// There is no such tag.
    Nothing,
}

struct Walk<'a> {
    place: Place<'a>,
    side_by_side: usize,
    /// All tags of the repository, once they were listed.
    tags: Option<HashSet<Tag>>,
    /// The registry answered that it has no referrers API.
    no_api: AtomicBool,
}

/// The graph of `root` in `place`.
pub(super) async fn walk(
    place: Place<'_>,
    root: &Digest,
    options: &CopyOptions,
) -> Result<Graph, RegistryError> {
    let mut walk = Walk {
        place,
        side_by_side: options.side_by_side,
        tags: None,
        no_api: AtomicBool::new(false),
    };
    let mut graph = Graph::default();
    graph.asked.insert(root.clone());
    walk.read(&mut graph, root, vec![Wanted::root(root)])
        .await?;
    if options.attached {
        let mut first = 0;
        for level in 0.. {
            let last = graph.nodes.len();
            if first == last {
                break;
            }
            if level > MOST_LEVELS {
                let problem = Problem::TooLarge {
                    what: "the chain of referrers",
                    limit: MOST_LEVELS,
                    unit: "levels",
                };
                return Err(walk.error(root, problem));
            }
            if level == 1 {
                walk.list_tags().await?;
            }
            let wanted = walk.attached(&mut graph, first..last).await?;
            walk.read(&mut graph, root, wanted).await?;
            first = last;
        }
    }
    graph.note_subjects();
    let Graph {
        unreadable,
        positions,
        ..
    } = &mut graph;
    let mut seen = HashSet::new();
    unreadable.retain(|(item, _)| {
        !positions.contains_key(&item.digest) && seen.insert(item.digest.clone())
    });
    Ok(graph)
}

impl Walk<'_> {
    fn error(&self, root: &Digest, problem: Problem) -> RegistryError {
        let subject = format!("{}@{root}", self.place.repository);
        RegistryError::new("read the graph of", subject, problem)
    }

    /// Reads these manifests, and what they list, and so on.
    async fn read(
        &self,
        graph: &mut Graph,
        root: &Digest,
        mut wanted: Vec<Wanted>,
    ) -> Result<(), RegistryError> {
        let mut level = 0;
        while !wanted.is_empty() {
            level += 1;
            if level > MOST_LEVELS {
                let problem = Problem::TooLarge {
                    what: "the index",
                    limit: MOST_LEVELS,
                    unit: "levels",
                };
                return Err(self.error(root, problem));
            }
            graph.reads += wanted.len() as u64;
            graph
                .check_size()
                .map_err(|problem| self.error(root, problem))?;
            let reading = |number: usize| self.fetch(&wanted[number]);
            let read = side_by_side(self.side_by_side, wanted.len(), reading).await?;
            wanted = Vec::new();
            for read in read {
                match read {
                    Read::Node(node) => wanted.extend(graph.add(*node)),
                    Read::Unreadable(item, why) => graph.unreadable.push((item, why)),
                    Read::Stranger(item, why) => {
                        graph.asked.remove(&item.digest);
                        graph.unreadable.push((item, why));
                    }
                    Read::Nothing => {}
                }
                graph
                    .check_size()
                    .map_err(|problem| self.error(root, problem))?;
            }
        }
        Ok(())
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Read, RegistryError> {
        let Place {
            registry,
            repository,
        } = self.place;
        let core = wanted.core;
        let found = tried_again(|| registry.get_manifest(repository, &wanted.reference)).await;
        let error = |problem| {
            let place = super::super::named(repository, &wanted.reference);
            RegistryError::new("read the manifest", place, problem)
        };
        let read = match found {
            Ok(Some(manifest)) => {
                let bytes = manifest.bytes();
                let is_manifest = |kind: &str| kind.parse::<ManifestType>().is_ok();
                graph::parts(bytes, manifest.media_type().is_index(), is_manifest)
                    .map(|parts| (manifest, parts))
                    .map_err(|why| error(Problem::unsupported(why)))
            }
            Ok(None) if matches!(wanted.reference, Reference::Tag(_)) => return Ok(Read::Nothing),
            Ok(None) => Err(error(Problem::Refused {
                status: 404,
                code: "MANIFEST_UNKNOWN".to_owned(),
                message: "it is not there".to_owned(),
            })),
            Err(error) => Err(error),
        };
        match read {
            Ok((manifest, parts)) => {
                let subject = parts.subject.as_ref().map(|subject| &subject.digest);
                if wanted.kind == ItemKind::Referrer && subject != wanted.of.as_ref() {
                    let why = "it is listed as a referrer but does not name that subject";
                    return Ok(match wanted.clone().unread() {
                        Some(item) => Read::Stranger(item, why.to_owned()),
                        None => Read::Nothing,
                    });
                }
                let item = wanted.clone().into_item(&manifest, &parts);
                Ok(Read::Node(Box::new(Node {
                    item,
                    manifest,
                    parts,
                    core,
                })))
            }
            Err(error) if !core && concerns_one_thing(&error) => {
                Ok(unreadable(wanted.clone(), &error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// The tags of the repository, so that the many manifests that are attached need no request
    /// for each tag that is not there. Where they cannot be listed, each is asked for.
    async fn list_tags(&mut self) -> Result<(), RegistryError> {
        let Place {
            registry,
            repository,
        } = self.place;
        match tried_again(|| registry.list_tags(repository)).await {
            Ok(tags) => self.tags = Some(tags.into_iter().collect()),
            Err(error) if error.kind() == ErrorKind::Denied || concerns_one_thing(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What is attached to these nodes and was not asked for yet.
    async fn attached(
        &self,
        graph: &mut Graph,
        nodes: std::ops::Range<usize>,
    ) -> Result<Vec<Wanted>, RegistryError> {
        let digests: Vec<Digest> = graph.nodes[nodes]
            .iter()
            .map(|node| node.manifest.digest().clone())
            .collect();
        let listing = |number: usize| self.attached_to(&digests[number]);
        let lists = side_by_side(self.side_by_side, digests.len(), listing).await?;
        let mut all = Vec::new();
        for wanted in lists.into_iter().flatten() {
            match &wanted.reference {
                Reference::Digest(digest) if !graph.asked.insert(digest.clone()) => {}
                Reference::Digest(_) if wanted.media_type.parse::<ManifestType>().is_err() => {
                    let why = format!("floe does not carry '{}'", wanted.media_type);
                    if let Some(item) = wanted.unread() {
                        graph.unreadable.push((item, why));
                    }
                }
                Reference::Digest(_) | Reference::Tag(_) => all.push(wanted),
            }
        }
        Ok(all)
    }

    async fn attached_to(&self, digest: &Digest) -> Result<Vec<Wanted>, RegistryError> {
        let Place {
            registry,
            repository,
        } = self.place;
        let may_have = |tag: &Tag| self.tags.as_ref().is_none_or(|tags| tags.contains(tag));
        let mut wanted: Vec<Wanted> = graph::legacy_tags(digest)
            .into_iter()
            .filter(may_have)
            .map(|tag| Wanted::legacy(tag, digest))
            .collect();
        if self.no_api.load(Ordering::Relaxed) && !may_have(&digest.referrers_tag()) {
            return Ok(wanted);
        }
        let listed = tried_again(|| registry.list_referrers(repository, digest)).await?;
        self.no_api.store(!listed.by_registry, Ordering::Relaxed);
        wanted.extend(listed.entries.into_iter().map(|entry| Wanted {
            kind: ItemKind::Referrer,
            reference: Reference::Digest(entry.digest),
            media_type: entry.media_type,
            size: entry.size,
            artifact_type: entry.artifact_type,
            of: Some(digest.clone()),
            core: false,
        }));
        Ok(wanted)
    }
}

fn unreadable(wanted: Wanted, why: &str) -> Read {
    let why = why.to_owned();
    match wanted.unread() {
        Some(item) => Read::Unreadable(item, why),
        None => Read::Nothing,
    }
}

/// Whether an error says something about one thing only, so that the others can go on: not that a
/// registry is away, or does not let us.
pub(super) fn concerns_one_thing(error: &RegistryError) -> bool {
    match error.kind() {
        ErrorKind::Unreadable
        | ErrorKind::TooLarge
        | ErrorKind::Unsupported
        | ErrorKind::NotWhatWasWritten
        | ErrorKind::StillThere
        | ErrorKind::Refused => true,
        ErrorKind::Unavailable
        | ErrorKind::Denied
        | ErrorKind::NoCredentials
        | ErrorKind::Untrusted
        | ErrorKind::Local => false,
    }
}
