//! Whether a place has all of a graph.

use super::attach::{by_subject, differs, held, unlisted};
use super::walk::{Graph, Node};
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
    let nodes = graph.nodes.iter();
    let manifests = nodes.filter(|node| node.item.kind != ItemKind::LegacyTag);
    let looking = manifests.map(|node| manifest(to, &node.item));
    let mut all = side_by_side(at_once, looking).await?;
    let looking = graph.blobs.iter().map(|found| blob(to, &found.item));
    all.extend(side_by_side(at_once, looking).await?);
    let looking = graph.tags.iter().map(|item| tag(to, graph, item));
    all.extend(side_by_side(at_once, looking).await?);
    let mut all: Vec<Missing> = all.into_iter().flatten().collect();

    let lost = |node: &&Node| {
        let digest = node.manifest.digest();
        !all.iter().any(|missing| missing.item.digest == *digest)
    };
    let groups: Vec<(Digest, Vec<&Node>)> = by_subject(graph)
        .into_iter()
        .map(|(subject, nodes)| (subject, nodes.into_iter().filter(lost).collect()))
        .collect();
    let looking = groups
        .into_iter()
        .filter(|(_, nodes)| !nodes.is_empty())
        .map(|(subject, nodes)| lists(to, subject, nodes));
    let unlisted = side_by_side(at_once, looking).await?;
    all.extend(unlisted.into_iter().flatten());
    Ok(all)
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
    subject: Digest,
    nodes: Vec<&Node>,
) -> Result<Vec<Missing>, RegistryError> {
    let (absent, _) = unlisted(to, &subject, nodes).await?;
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
