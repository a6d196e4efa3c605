//! The copy itself: blobs, then manifests, children before parents and subjects before their
//! referrers, then the lists of referrers and cosign's older tags.

use std::collections::HashMap;

use super::attach;
use super::blob::copy_blob;
use super::graph::{Blob, Graph, Node};
use super::walk::concerns_one_thing;
use super::{
    CopiedItem, CopyOptions, CopyReport, Item, ItemKind, Outcome, Place, side_by_side, tried_again,
};
use crate::domain::artifact::Digest;
use crate::effects::registry::error::{Problem, RegistryError};
use crate::effects::registry::manifest::Reference;
use crate::effects::registry::relay::Halt;

/// What became of blobs and manifests.
type Outcomes = HashMap<Digest, Outcome>;

/// What became of one manifest.
struct Put {
    position: usize,
    outcome: Outcome,
    /// The registry said that it lists it as a referrer.
    indexed: bool,
}

pub(super) async fn copy(
    graph: &Graph,
    from: Place<'_>,
    to: Place<'_>,
    options: &CopyOptions,
) -> Result<CopyReport, RegistryError> {
    let mut outcomes = blobs(graph, from, to, options).await?;
    let unindexed = manifests(graph, to, options, &mut outcomes).await?;
    lists(graph, to, unindexed, &mut outcomes).await?;
    let tagging = |number: usize| tag(graph, to, &graph.tags[number], &outcomes);
    let tags = side_by_side(options.side_by_side, graph.tags.len(), tagging).await?;
    report(graph, outcomes, tags)
}

async fn blobs(
    graph: &Graph,
    from: Place<'_>,
    to: Place<'_>,
    options: &CopyOptions,
) -> Result<Outcomes, RegistryError> {
    let halt = Halt::default();
    let copying = |number: usize| one_blob(from, to, &graph.blobs[number], &halt);
    // Not ended by the first error: the others cancel their uploads first.
    let ended = side_by_side(options.side_by_side, graph.blobs.len(), copying).await?;
    let mut outcomes = Outcomes::new();
    let mut failure: Option<RegistryError> = None;
    for (digest, outcome) in ended {
        match outcome {
            Ok(outcome) => {
                outcomes.insert(digest, outcome);
            }
            // Who was told to end says nothing about the reason.
            Err(error) if matches!(error.problem(), Problem::Local { .. }) => {
                failure.get_or_insert(error);
            }
            Err(error) => {
                let first = failure
                    .as_ref()
                    .is_none_or(|kept| matches!(kept.problem(), Problem::Local { .. }));
                if first {
                    failure = Some(error);
                }
            }
        }
    }
    failure.map_or(Ok(outcomes), Err)
}

type Ended = (Digest, Result<Outcome, RegistryError>);

async fn one_blob(
    from: Place<'_>,
    to: Place<'_>,
    blob: &Blob,
    halt: &Halt,
) -> Result<Ended, RegistryError> {
    let mut outcome = copy_blob(from, to, blob, halt).await;
    outcome = match outcome {
        Err(error) if !blob.core && concerns_one_thing(&error) => Ok(Outcome::LeftOut {
            why: error.to_string(),
        }),
        outcome => outcome,
    };
    if outcome.is_err() {
        halt.now();
    }
    Ok((blob.item.digest.clone(), outcome))
}

/// Writes the manifests, each after what it needs. Returns those with a subject that the registry
/// may not list by itself.
async fn manifests(
    graph: &Graph,
    to: Place<'_>,
    options: &CopyOptions,
    outcomes: &mut Outcomes,
) -> Result<Vec<usize>, RegistryError> {
    let mut waits_for = vec![0_usize; graph.nodes.len()];
    let mut needed_by = vec![Vec::new(); graph.nodes.len()];
    for (position, node) in graph.nodes.iter().enumerate() {
        let subject = node.parts.subject.iter();
        for part in node.parts.manifests.iter().chain(subject) {
            if let Some(needed) = graph.position(&part.digest) {
                waits_for[position] += 1;
                needed_by[needed].push(position);
            }
        }
    }
    let mut unindexed = Vec::new();
    let mut ready: Vec<usize> = (0..graph.nodes.len())
        .filter(|position| waits_for[*position] == 0)
        .collect();
    while !ready.is_empty() {
        let putting = |number: usize| put(graph, to, ready[number], outcomes);
        let written = side_by_side(options.side_by_side, ready.len(), putting).await?;
        ready.clear();
        for Put {
            position,
            outcome,
            indexed,
        } in written
        {
            let node = &graph.nodes[position];
            let there = !matches!(outcome, Outcome::LeftOut { .. });
            if node.parts.subject.is_some() && there && !indexed {
                unindexed.push(position);
            }
            outcomes.insert(node.manifest.digest().clone(), outcome);
            for parent in &needed_by[position] {
                waits_for[*parent] -= 1;
                if waits_for[*parent] == 0 {
                    ready.push(*parent);
                }
            }
        }
    }
    Ok(unindexed)
}

async fn put(
    graph: &Graph,
    to: Place<'_>,
    position: usize,
    outcomes: &Outcomes,
) -> Result<Put, RegistryError> {
    let node = &graph.nodes[position];
    let left_out = |why| Put {
        position,
        outcome: Outcome::LeftOut { why },
        indexed: false,
    };
    if let Some(why) = lacks(node, outcomes) {
        return Ok(left_out(why));
    }
    // It is written together with its tag, and only then.
    if node.item.kind == ItemKind::LegacyTag && node.parts.subject.is_none() {
        return Ok(Put {
            position,
            outcome: Outcome::Written,
            indexed: true,
        });
    }
    match write(to, node).await {
        Ok((outcome, indexed)) => Ok(Put {
            position,
            outcome,
            indexed,
        }),
        Err(error) if !node.core && concerns_one_thing(&error) => Ok(left_out(error.to_string())),
        Err(error) => Err(error),
    }
}

async fn write(to: Place<'_>, node: &Node) -> Result<(Outcome, bool), RegistryError> {
    let reference = Reference::from(node.manifest.digest());
    let looking = || to.registry.head_manifest(to.repository, &reference);
    if tried_again(looking).await?.is_some() {
        return Ok((Outcome::AlreadyThere, false));
    }
    let writing = || {
        to.registry
            .put_manifest(to.repository, &reference, &node.manifest)
    };
    let receipt = tried_again(writing).await?;
    Ok((Outcome::Written, receipt.subject_indexed))
}

/// Something that a manifest is made of and that is not in the target.
fn lacks(node: &Node, outcomes: &Outcomes) -> Option<String> {
    let mut parts = node.parts.manifests.iter().chain(&node.parts.blobs);
    parts.find_map(|part| match outcomes.get(&part.digest) {
        Some(Outcome::LeftOut { why }) => Some(why.clone()),
        Some(_) => None,
        None => Some(format!("it lists {}, which cannot be read", part.digest)),
    })
}

async fn lists(
    graph: &Graph,
    to: Place<'_>,
    unindexed: Vec<usize>,
    outcomes: &mut Outcomes,
) -> Result<(), RegistryError> {
    let mut groups = attach::by_subject(graph);
    for (subject, nodes) in &mut groups {
        nodes.retain(|node| {
            let position = graph.position(node.manifest.digest());
            position.is_some_and(|position| unindexed.contains(&position))
        });
        if nodes.is_empty() {
            continue;
        }
        let left_out = match tried_again(|| attach::list(to, subject, nodes.clone())).await {
            Ok(unlisted) => {
                let why = "it is there, but the registry does not list it as a referrer";
                unlisted
                    .into_iter()
                    .map(|digest| (digest, why.to_owned()))
                    .collect()
            }
            Err(error) if concerns_one_thing(&error) && nodes.iter().all(|node| !node.core) => {
                let why = format!("it is there, but is not listed as a referrer: {error}");
                let digests = nodes.iter().map(|node| node.manifest.digest().clone());
                digests
                    .map(|digest| (digest, why.clone()))
                    .collect::<Vec<_>>()
            }
            Err(error) => return Err(error),
        };
        for (digest, why) in left_out {
            outcomes.insert(digest, Outcome::LeftOut { why });
        }
    }
    Ok(())
}

async fn tag(
    graph: &Graph,
    to: Place<'_>,
    item: &Item,
    outcomes: &Outcomes,
) -> Result<Outcome, RegistryError> {
    let (Some(tag), Some(node)) = (&item.tag, graph.node(&item.digest)) else {
        let why = "it cannot be read".to_owned();
        return Ok(Outcome::LeftOut { why });
    };
    if let Some(left_out @ Outcome::LeftOut { .. }) = outcomes.get(&item.digest) {
        return Ok(left_out.clone());
    }
    match tried_again(|| attach::write_tag(to, tag, &node.manifest)).await {
        Err(error) if concerns_one_thing(&error) => Ok(Outcome::LeftOut {
            why: error.to_string(),
        }),
        written => written,
    }
}

fn report(
    graph: &Graph,
    mut outcomes: Outcomes,
    tags: Vec<Outcome>,
) -> Result<CopyReport, RegistryError> {
    let mut items = Vec::new();
    let mut add = |item: &Item, outcome| {
        let item = item.clone();
        items.push(CopiedItem { item, outcome });
    };
    let nodes = graph.nodes.iter().map(|node| &node.item);
    let nodes = nodes.filter(|item| item.kind != ItemKind::LegacyTag);
    for item in nodes.chain(graph.blobs.iter().map(|blob| &blob.item)) {
        let left_out = || Outcome::LeftOut {
            why: "it was not reached".to_owned(),
        };
        add(item, outcomes.remove(&item.digest).unwrap_or_else(left_out));
    }
    for (item, outcome) in graph.tags.iter().zip(tags) {
        add(item, outcome);
    }
    for item in &graph.behind {
        let why = match item.kind {
            ItemKind::Subject => "it is what the artifact is attached to, not a part of it",
            _ => "it is fetched from elsewhere, not from registries",
        };
        let why = why.to_owned();
        add(item, Outcome::LeftOut { why });
    }
    for (item, why) in &graph.unreadable {
        let why = why.clone();
        add(item, Outcome::LeftOut { why });
    }
    graph.root().map(|root| CopyReport {
        root: root.clone(),
        items,
    })
}
