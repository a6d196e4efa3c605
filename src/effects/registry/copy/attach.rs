//! What is attached, in the target: lists of referrers that the target does not keep by itself,
//! and cosign's older tags, which are lists as well.

use std::collections::BTreeMap;

use super::graph::{Graph, Node};
use super::{Outcome, Place, tried_again};
use crate::domain::artifact::{Digest, Tag};
use crate::domain::graph::{self, Holds};
use crate::effects::registry::error::{Problem, RegistryError, TagRefusal};
use crate::effects::registry::manifest::{Descriptor, RawManifest, Reference};
use crate::effects::registry::referrers::describe;
use crate::effects::registry::tags::TagReceipt;

/// The manifests with a subject, by subject.
pub(super) fn by_subject(graph: &Graph) -> BTreeMap<Digest, Vec<&Node>> {
    let mut groups = BTreeMap::<Digest, Vec<&Node>>::new();
    for node in &graph.nodes {
        if let Some(subject) = &node.parts.subject {
            groups.entry(subject.digest.clone()).or_default().push(node);
        }
    }
    groups
}

/// Which of these manifests the place does not list as referrers of `subject`, and whether it
/// keeps that list by itself.
pub(super) async fn unlisted<'a>(
    place: Place<'_>,
    subject: &Digest,
    nodes: Vec<&'a Node>,
) -> Result<(Vec<&'a Node>, bool), RegistryError> {
    let listing = || place.registry.list_referrers(place.repository, subject);
    let listed = tried_again(listing).await?;
    let is_listed = |node: &&Node| {
        let digest = node.manifest.digest();
        listed.entries.iter().any(|entry| entry.digest == *digest)
    };
    let absent = nodes.into_iter().filter(|node| !is_listed(node)).collect();
    Ok((absent, listed.by_registry))
}

/// Makes the target list these manifests, which are there, as referrers of `subject`: one write of
/// the fallback tag for all of them. Returns those that it still does not list.
pub(super) async fn list(
    to: Place<'_>,
    subject: &Digest,
    nodes: Vec<&Node>,
) -> Result<Vec<Digest>, RegistryError> {
    let _turn = to
        .registry
        .inner
        .shared
        .lock_subject(to.repository, subject)
        .await;
    let (absent, by_registry) = unlisted(to, subject, nodes).await?;
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    if !by_registry {
        let entries: Vec<Descriptor> = absent
            .iter()
            .filter_map(|node| describe(&node.manifest).ok())
            .map(|(entry, _)| entry)
            .collect();
        to.registry
            .add_to_fallback(to.repository, subject, &entries)
            .await?;
        return Ok(Vec::new());
    }
    // Registries list a referrer when it is written; these were written before they did so.
    for node in &absent {
        let reference = Reference::from(node.manifest.digest());
        let writing = || {
            to.registry
                .put_manifest(to.repository, &reference, &node.manifest)
        };
        tried_again(writing).await?;
    }
    let (absent, _) = unlisted(to, subject, absent).await?;
    let digest = |node: &Node| node.manifest.digest().clone();
    Ok(absent.into_iter().map(digest).collect())
}

/// Lets the older tag of the target name this manifest, unless that would lose something that only
/// the target has.
pub(super) async fn write_tag(
    to: Place<'_>,
    tag: &Tag,
    manifest: &RawManifest,
) -> Result<Outcome, RegistryError> {
    let found = match to.registry.tag(to.repository, tag, manifest).await {
        Ok(TagReceipt::Written) => return Ok(Outcome::Written),
        Ok(TagReceipt::AlreadyThere) => return Ok(Outcome::AlreadyThere),
        Err(TagRefusal::Registry(error)) => return Err(error),
        Err(TagRefusal::Taken { found, .. }) => found,
    };
    match held(to, tag, &found, manifest).await? {
        Holds::More => Ok(Outcome::AlreadyThere),
        Holds::Less => {
            to.registry.move_tag(to.repository, tag, manifest).await?;
            Ok(Outcome::Written)
        }
        Holds::Other => Ok(Outcome::LeftOut {
            why: differs(tag, &found),
        }),
    }
}

/// What the target's tag, which names `found`, holds in comparison with `manifest`.
pub(super) async fn held(
    to: Place<'_>,
    tag: &Tag,
    found: &Digest,
    manifest: &RawManifest,
) -> Result<Holds, RegistryError> {
    let reference = Reference::from(found);
    let reading = || to.registry.get_manifest(to.repository, &reference);
    let there = tried_again(reading).await?.ok_or_else(|| {
        let place = format!("{}:{tag}", to.repository);
        let why = format!("it names {found}, which is not there");
        RegistryError::new("read the tag", place, Problem::unreadable(why))
    })?;
    Ok(graph::compare(manifest.bytes(), there.bytes()))
}

pub(super) fn differs(tag: &Tag, found: &Digest) -> String {
    format!(
        "the target's tag '{tag}' names {found}, which holds something that the source's does not: neither \
         replaces the other (sign or attest again in one place, then copy)"
    )
}
