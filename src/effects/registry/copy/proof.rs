//! Whether a place has all of a graph.

use super::attach::{by_subject, differs, held, unlisted};
use super::graph::{Graph, Node};
use super::{CopyOptions, Item, ItemKind, Missing, Place, side_by_side, tried_again};
use crate::domain::artifact::Digest;
use crate::domain::graph::Holds;
use crate::effects::registry::error::RegistryError;
use crate::effects::registry::manifest::Reference;

/// What of the graph is not in `to`.
pub(super) async fn missing(
    graph: &Graph,
    to: Place<'_>,
    options: &CopyOptions,
) -> Result<Vec<Missing>, RegistryError> {
    let at_once = options.side_by_side;
    let nodes: Vec<&Node> = graph
        .nodes
        .iter()
        .filter(|node| node.item.kind != ItemKind::LegacyTag)
        .collect();
    let looking = |number: usize| manifest(to, &nodes[number].item);
    let mut all = side_by_side(at_once, nodes.len(), looking).await?;
    let looking = |number: usize| blob(to, &graph.blobs[number].item);
    all.extend(side_by_side(at_once, graph.blobs.len(), looking).await?);
    let looking = |number: usize| tag(to, graph, &graph.tags[number]);
    all.extend(side_by_side(at_once, graph.tags.len(), looking).await?);
    let mut all: Vec<Missing> = all.into_iter().flatten().collect();

    let groups = listable(graph, &all);
    let looking = |number: usize| lists(to, &groups[number].0, &groups[number].1);
    let unlisted = side_by_side(at_once, groups.len(), looking).await?;
    all.extend(unlisted.into_iter().flatten());
    Ok(all)
}

/// What has a subject and is there, by subject.
fn listable<'a>(graph: &'a Graph, missing: &[Missing]) -> Vec<(Digest, Vec<&'a Node>)> {
    let is_there = |node: &&Node| {
        let digest = node.manifest.digest();
        !missing.iter().any(|missing| missing.item.digest == *digest)
    };
    by_subject(graph)
        .into_iter()
        .map(|(subject, nodes)| (subject, nodes.into_iter().filter(is_there).collect()))
        .filter(|(_, nodes): &(_, Vec<_>)| !nodes.is_empty())
        .collect()
}

async fn manifest(to: Place<'_>, item: &Item) -> Result<Option<Missing>, RegistryError> {
    let reference = Reference::from(&item.digest);
    let looking = || to.registry.head_manifest(to.repository, &reference);
    let there = tried_again(looking).await?.is_some();
    Ok((!there).then(|| not_there(item)))
}

async fn blob(to: Place<'_>, item: &Item) -> Result<Option<Missing>, RegistryError> {
    let looking = || to.registry.blob_exists(to.repository, &item.digest);
    let there = tried_again(looking).await?;
    Ok((!there).then(|| not_there(item)))
}

async fn tag(to: Place<'_>, graph: &Graph, item: &Item) -> Result<Option<Missing>, RegistryError> {
    let (Some(tag), Some(node)) = (&item.tag, graph.node(&item.digest)) else {
        return Ok(None);
    };
    let reference = Reference::from(tag);
    let looking = || to.registry.head_manifest(to.repository, &reference);
    let Some(head) = tried_again(looking).await? else {
        return Ok(Some(not_there(item)));
    };
    if node.manifest.has(&head.digest) {
        return Ok(None);
    }
    let why = match held(to, tag, &head.digest, &node.manifest).await? {
        Holds::More => return Ok(None),
        Holds::Less => format!("the tag names {}, which holds less", head.digest),
        Holds::Other => differs(tag, &head.digest),
    };
    Ok(Some(Missing {
        item: item.clone(),
        why,
    }))
}

async fn lists(
    to: Place<'_>,
    subject: &Digest,
    nodes: &[&Node],
) -> Result<Vec<Missing>, RegistryError> {
    let (absent, _) = unlisted(to, subject, nodes.to_vec()).await?;
    let missing = |node: &Node| Missing {
        item: node.item.clone(),
        why: format!("it is there, but the registry does not list it as a referrer of {subject}"),
    };
    Ok(absent.into_iter().map(missing).collect())
}

fn not_there(item: &Item) -> Missing {
    Missing {
        item: item.clone(),
        why: "it is not there".to_owned(),
    }
}
