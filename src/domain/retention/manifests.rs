//! Which manifests may be deleted after the tags, and what that frees.

use std::collections::{BTreeMap, BTreeSet};

use super::why::{Kept, LetGo};
use crate::domain::artifact::{Digest, Tag};

/// A blob that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its digest, of whatever algorithm.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What a manifest consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its own size in bytes.
    pub size: u64,
    /// Manifests in it.
    pub manifests: Vec<Digest>,
    /// Configuration and layers.
    pub blobs: Vec<Part>,
    /// What it is about.
    pub subject: Option<Digest>,
}

/// What refers to a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// All of it.
    pub referrers: Vec<Digest>,
    /// Those of them that are, or may be, records.
    pub records: Vec<Digest>,
}

/// A repository as far as it has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Every tag and what it names.
    pub tags: BTreeMap<Tag, Digest>,
    /// Manifests that were read: all that are tagged, with their parts, and all that may go.
    pub contents: BTreeMap<Digest, Contents>,
    /// Manifests that something names and that are not there.
    pub missing: BTreeSet<Digest>,
    /// What refers to the manifests that may go.
    pub listings: BTreeMap<Digest, Listing>,
    /// The registry lists referrers by itself, and not in tags: it may delete them with their subject.
    pub registry_lists_referrers: bool,
}

/// A manifest that may be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Its digest.
    pub digest: Digest,
    /// Why.
    pub why: LetGo,
    /// Tags that speak of it alone, such as `sha256-….sig`, and go with it.
    pub tags: Vec<Tag>,
}

/// What becomes of the manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestPlan {
    /// Those that may go, each before its parts and before what is about it.
    pub doomed: Vec<Doomed>,
    /// Those that were looked at and stay.
    pub kept: Vec<(Digest, Kept)>,
    /// Bytes of the manifests that may go, and of the blobs that nothing else among what was read names.
    pub freed: u64,
}

/// What becomes of the manifests in `roots` when the tags in `let_go` are gone, and of their parts, and of what
/// refers to them. What is `held` stays with or without a tag; so does whatever something that stays refers to,
/// and what was not read.
pub fn manifest_plan(
    graph: &Graph,
    let_go: &BTreeSet<Tag>,
    roots: &BTreeSet<Digest>,
    held: &BTreeMap<Digest, Kept>,
) -> ManifestPlan {
    let universe = graph.reachable(roots);
    let mut kept = held.clone();
    loop {
        let stays = graph.staying(let_go, &universe, &kept);
        let found: Vec<(Digest, Kept)> = universe
            .iter()
            .filter(|digest| !kept.contains_key(digest))
            .filter_map(|digest| {
                Some((
                    digest.clone(),
                    graph.why_kept(digest, &universe, &kept, &stays)?,
                ))
            })
            .collect();
        if found.is_empty() {
            break;
        }
        kept.extend(found);
    }
    let (stay, doomed): (BTreeSet<Digest>, BTreeSet<Digest>) = universe
        .into_iter()
        .partition(|digest| kept.contains_key(digest));
    kept.retain(|digest, _| stay.contains(digest));
    ManifestPlan {
        freed: graph.freed(&doomed),
        doomed: graph.in_order(roots, &doomed),
        kept: kept.into_iter().collect(),
    }
}

impl ManifestPlan {
    /// Whether this manifest may go.
    pub fn dooms(&self, digest: &Digest) -> bool {
        self.doomed.iter().any(|doomed| doomed.digest == *digest)
    }
}

impl Graph {
    /// What may go when this manifest goes: its parts, what refers to it, and what its own tags name. Where one
    /// of those that refer to it is a record, all of them stay, since they are in one list.
    pub fn leads_to(&self, digest: &Digest) -> Vec<Digest> {
        let listing = self.listings.get(digest);
        let listing = listing.filter(|listing| listing.records.is_empty());
        self.parts(digest)
            .iter()
            .chain(listing.into_iter().flat_map(|listing| &listing.referrers))
            .chain(self.own_tags(digest).map(|(_, named)| named))
            .cloned()
            .collect()
    }

    /// The roots that are there, and everything to which they lead.
    fn reachable(&self, roots: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<Digest> = roots.iter().cloned().collect();
        while let Some(digest) = next.pop() {
            if !self.missing.contains(&digest) && reached.insert(digest.clone()) {
                next.extend(self.leads_to(&digest));
            }
        }
        reached
    }

    fn parts(&self, digest: &Digest) -> &[Digest] {
        self.contents
            .get(digest)
            .map_or(&[], |contents| contents.manifests.as_slice())
    }

    fn carries_record(&self, digest: &Digest) -> Option<&Digest> {
        self.listings.get(digest)?.records.first()
    }

    /// The tags that speak of this manifest alone and go with it: the list of what refers to it, unless a
    /// record is in it, and signatures, attestations and SBOMs in cosign's older form.
    fn own_tags(&self, digest: &Digest) -> impl Iterator<Item = (&Tag, &Digest)> {
        let list = digest.referrers_tag();
        let list_goes = self.carries_record(digest).is_none();
        let endings = ["", ".sig", ".att", ".sbom"].into_iter();
        endings
            .filter(move |ending| list_goes || !ending.is_empty())
            .filter_map(move |ending| {
                let tag: Tag = format!("{list}{ending}").parse().ok()?;
                self.tags.get_key_value(&tag)
            })
    }

    /// Manifests that tags name which stay, and their parts at any depth, with the reason.
    fn staying(
        &self,
        let_go: &BTreeSet<Tag>,
        universe: &BTreeSet<Digest>,
        kept: &BTreeMap<Digest, Kept>,
    ) -> BTreeMap<Digest, Kept> {
        let going = universe.iter().filter(|digest| !kept.contains_key(digest));
        let going_tags: BTreeSet<&Tag> = going
            .flat_map(|digest| self.own_tags(digest))
            .map(|(tag, _)| tag)
            .collect();
        let mut stays: BTreeMap<Digest, Kept> = BTreeMap::new();
        let mut next: Vec<(Digest, Kept)> = self
            .tags
            .iter()
            .filter(|(tag, _)| !let_go.contains(tag) && !going_tags.contains(tag))
            .map(|(tag, digest)| (digest.clone(), Kept::Tagged { tag: tag.clone() }))
            .chain(
                kept.iter()
                    .map(|(digest, why)| (digest.clone(), why.clone())),
            )
            .collect();
        next.reverse();
        while let Some((digest, why)) = next.pop() {
            if stays.contains_key(&digest) {
                continue;
            }
            for part in self.parts(&digest) {
                let parent = digest.clone();
                next.push((part.clone(), Kept::PartOf { parent }));
            }
            stays.insert(digest, why);
        }
        stays
    }

    fn why_kept(
        &self,
        digest: &Digest,
        universe: &BTreeSet<Digest>,
        kept: &BTreeMap<Digest, Kept>,
        stays: &BTreeMap<Digest, Kept>,
    ) -> Option<Kept> {
        if let Some(why) = stays.get(digest) {
            return Some(why.clone());
        }
        let (Some(contents), Some(_)) = (self.contents.get(digest), self.listings.get(digest))
        else {
            let why = "it was not read".to_owned();
            return Some(Kept::GraphUnknown { why });
        };
        if let Some(subject) = &contents.subject
            && (kept.contains_key(subject)
                || stays.contains_key(subject)
                || !universe.contains(subject))
        {
            let subject = subject.clone();
            return Some(Kept::About { subject });
        }
        if self.registry_lists_referrers
            && let Some(record) = self.carries_record(digest)
        {
            let record = record.clone();
            return Some(Kept::CarriesRecord { record });
        }
        None
    }

    fn freed(&self, doomed: &BTreeSet<Digest>) -> u64 {
        let mut blobs: BTreeMap<&str, u64> = BTreeMap::new();
        let mut bytes = 0;
        for contents in doomed.iter().filter_map(|digest| self.contents.get(digest)) {
            bytes += contents.size;
            blobs.extend(
                contents
                    .blobs
                    .iter()
                    .map(|blob| (blob.digest.as_str(), blob.size)),
            );
        }
        for (_, contents) in self
            .contents
            .iter()
            .filter(|(digest, _)| !doomed.contains(digest))
        {
            for blob in &contents.blobs {
                blobs.remove(blob.digest.as_str());
            }
        }
        bytes + blobs.values().sum::<u64>()
    }

    /// Nothing before what contains it, nor before what it is about.
    fn in_order(&self, roots: &BTreeSet<Digest>, doomed: &BTreeSet<Digest>) -> Vec<Doomed> {
        let mut owners: BTreeMap<Digest, &Digest> = BTreeMap::new();
        for owner in doomed {
            for owned in self.leads_to(owner) {
                owners.entry(owned).or_insert(owner);
            }
        }
        let why = |digest: &Digest| match owners.get(digest) {
            Some(&to) if !roots.contains(digest) => LetGo::BelongsTo { to: to.clone() },
            _ => LetGo::Untagged,
        };
        let mut left = doomed.clone();
        let mut order = Vec::new();
        while !left.is_empty() {
            let later: BTreeSet<Digest> = left.iter().flat_map(|one| self.leads_to(one)).collect();
            let (later, now): (BTreeSet<Digest>, BTreeSet<Digest>) =
                left.into_iter().partition(|digest| later.contains(digest));
            // Digests cannot go round in circles; if they seem to, nothing more is deleted.
            if now.is_empty() {
                break;
            }
            order.extend(now.into_iter().map(|digest| Doomed {
                why: why(&digest),
                tags: self.own_tags(&digest).map(|(tag, _)| tag.clone()).collect(),
                digest,
            }));
            left = later;
        }
        order
    }
}
