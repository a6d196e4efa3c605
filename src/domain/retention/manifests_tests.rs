//! Which manifests go.

use std::collections::{BTreeMap, BTreeSet};

use super::manifests::{Contents, Graph, Listing, ManifestPlan, Part, manifest_plan};
use super::why::Kept;
use crate::domain::artifact::{Digest, Tag};

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn own_tag(name: &str, ending: &str) -> Tag {
    tag(&format!("{}{ending}", digest(name).referrers_tag()))
}

#[derive(Default)]
struct World {
    graph: Graph,
    let_go: BTreeSet<Tag>,
    roots: BTreeSet<Digest>,
    held: BTreeMap<Digest, Kept>,
}

impl World {
    /// A manifest of 10 bytes with these parts and a blob of its own of 100 bytes.
    fn manifest(mut self, name: &str, parts: &[&str], subject: Option<&str>) -> Self {
        let blob = Part {
            digest: format!("blob of {name}"),
            size: 100,
        };
        let contents = Contents {
            size: 10,
            manifests: parts.iter().map(|part| digest(part)).collect(),
            blobs: vec![blob],
            subject: subject.map(digest),
        };
        self.graph.contents.insert(digest(name), contents);
        self.graph.listings.insert(digest(name), Listing::default());
        if let Some(subject) = subject {
            let listing = self.graph.listings.entry(digest(subject)).or_default();
            listing.referrers.push(digest(name));
            if name.starts_with("record") {
                listing.records.push(digest(name));
            }
        }
        self
    }

    fn tag(mut self, tag: Tag, name: &str) -> Self {
        self.graph.tags.insert(tag, digest(name));
        self
    }

    /// A tag that goes.
    fn old(mut self, text: &str, name: &str) -> Self {
        self.let_go.insert(tag(text));
        self.roots.insert(digest(name));
        self.tag(tag(text), name)
    }

    fn plan(&self) -> ManifestPlan {
        manifest_plan(&self.graph, &self.let_go, &self.roots, &self.held)
    }

    fn doomed(&self) -> Vec<Digest> {
        let plan = self.plan().doomed.into_iter();
        plan.map(|one| one.digest).collect()
    }
}

/// Sorted, as sets are compared.
fn names(names: &[&str]) -> BTreeSet<Digest> {
    names.iter().map(|name| digest(name)).collect()
}

fn set(digests: Vec<Digest>) -> BTreeSet<Digest> {
    digests.into_iter().collect()
}

#[test]
fn a_manifest_without_a_tag_goes_and_one_with_another_tag_stays() {
    let world = World::default()
        .manifest("old", &[], None)
        .manifest("shared", &[], None)
        .old("1.0.0-dev", "old")
        .old("1.1.0-dev", "shared")
        .tag(tag("1.1.0-prod"), "shared");
    assert_eq!(world.doomed(), [digest("old")]);
    assert_eq!(world.plan().freed, 110);
    let why = Kept::Tagged {
        tag: tag("1.1.0-prod"),
    };
    assert_eq!(world.plan().kept, [(digest("shared"), why)]);
}

#[test]
fn an_index_goes_before_its_children_and_a_child_of_something_that_stays_stays() {
    let world = World::default()
        .manifest("index", &["amd64", "arm64"], None)
        .manifest("amd64", &[], None)
        .manifest("arm64", &[], None)
        .manifest("kept index", &["arm64"], None)
        .old("1.0.0-dev", "index")
        .tag(tag("latest-dev"), "kept index");
    assert_eq!(world.doomed(), [digest("index"), digest("amd64")]);
    let parent = digest("kept index");
    assert_eq!(
        world.plan().kept,
        [(digest("arm64"), Kept::PartOf { parent })]
    );
}

#[test]
fn what_is_about_a_deleted_manifest_goes_with_it_and_comes_after_it() {
    let mut world = World::default()
        .manifest("old", &[], None)
        .manifest("sbom", &[], Some("old"))
        .manifest("signature of sbom", &[], Some("sbom"))
        .manifest("cosign", &[], None)
        .old("1.0.0-dev", "old")
        .tag(own_tag("old", ".sig"), "cosign");
    world.graph.registry_lists_referrers = true;
    assert_eq!(world.doomed()[0], digest("old"));
    assert_eq!(
        set(world.doomed()),
        names(&["old", "sbom", "signature of sbom", "cosign"])
    );
    assert_eq!(world.plan().doomed[0].tags, [own_tag("old", ".sig")]);
    // A tag that stays keeps the signature.
    let world = world.tag(tag("keep-me"), "cosign");
    assert!(!world.doomed().contains(&digest("cosign")));
}

#[test]
fn a_record_and_everything_in_its_list_outlive_the_manifest_where_the_list_is_a_tag() {
    let world = World::default()
        .manifest("old", &[], None)
        .manifest("record", &[], Some("old"))
        .manifest("sbom", &[], Some("old"))
        .manifest("list", &["record", "sbom"], None)
        .manifest("cosign", &[], None)
        .old("1.0.0-dev", "old")
        .tag(own_tag("old", ""), "list")
        .tag(own_tag("old", ".att"), "cosign");
    assert_eq!(world.doomed(), [digest("old"), digest("cosign")]);
    assert_eq!(world.plan().doomed[0].tags, [own_tag("old", ".att")]);
}

#[test]
fn a_manifest_with_a_record_stays_where_the_registry_keeps_the_list() {
    let mut world = World::default()
        .manifest("old", &[], None)
        .manifest("record", &[], Some("old"))
        .old("1.0.0-dev", "old");
    world.graph.registry_lists_referrers = true;
    let record = digest("record");
    assert_eq!(world.doomed(), []);
    assert_eq!(
        world.plan().kept,
        [(digest("old"), Kept::CarriesRecord { record })]
    );
}

#[test]
fn a_list_without_a_record_goes_with_what_is_in_it() {
    let world = World::default()
        .manifest("old", &[], None)
        .manifest("sbom", &[], Some("old"))
        .manifest("list", &["sbom"], None)
        .old("1.0.0-dev", "old")
        .tag(own_tag("old", ""), "list");
    assert_eq!(
        world.doomed(),
        [digest("old"), digest("list"), digest("sbom")]
    );
}

#[test]
fn what_is_held_stays_without_a_tag_and_so_do_its_parts_and_what_is_about_it() {
    let mut world = World::default()
        .manifest("index", &["amd64"], None)
        .manifest("amd64", &[], None)
        .manifest("sbom", &[], Some("index"))
        .old("1.0.0-dev", "index");
    assert_eq!(world.doomed().len(), 3);
    let environment = "prod".to_owned();
    world
        .held
        .insert(digest("index"), Kept::Current { environment });
    assert_eq!(world.doomed(), []);
}

#[test]
fn what_was_not_read_stays_and_what_is_not_there_is_no_matter() {
    let mut world = World::default()
        .manifest("old", &[], None)
        .old("1.0.0-dev", "old")
        .old("0.9.0-dev", "gone");
    world.graph.missing.insert(digest("gone"));
    assert_eq!(world.doomed(), [digest("old")]);
    world.graph.listings.clear();
    assert_eq!(world.doomed(), []);
}

#[test]
fn what_freed_counts_is_named_by_nothing_else() {
    let mut world = World::default()
        .manifest("old", &[], None)
        .manifest("kept", &[], None)
        .old("1.0.0-dev", "old")
        .tag(tag("latest-dev"), "kept");
    let shared = Part {
        digest: "shared".to_owned(),
        size: 1000,
    };
    for name in ["old", "kept"] {
        let contents = world.graph.contents.get_mut(&digest(name)).unwrap();
        contents.blobs.push(shared.clone());
    }
    assert_eq!(world.plan().freed, 110);
}

proptest::proptest! {
    /// Any graph of eight manifests: what a tag that stays reaches is never deleted, and nothing is deleted
    /// before what contains it.
    #[test]
    fn nothing_that_a_staying_tag_reaches_is_deleted(
        parts in proptest::collection::vec((0_usize..8, 0_usize..8), 0..12),
        subjects in proptest::collection::vec((0_usize..8, 0_usize..8), 0..4),
        staying in proptest::collection::vec(0_usize..8, 0..3),
        going in proptest::collection::vec(0_usize..8, 1..5),
        by_registry in proptest::bool::ANY,
    ) {
        let name = |number: usize| format!("m{number}");
        // Digests are acyclic: a manifest names only those with a higher number as parts, and lower as subject.
        let parts_of = |one: usize| -> Vec<usize> {
            parts.iter().filter(|(from, to)| *from == one && to > from).map(|(_, to)| *to).collect()
        };
        let mut world = World::default();
        for number in 0..8 {
            let named: Vec<String> = parts_of(number).into_iter().map(name).collect();
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            let subject = subjects.iter().find(|(from, to)| *from == number && to < from && !parts_of(*to).contains(from));
            let subject = subject.map(|(_, to)| name(*to));
            world = world.manifest(&name(number), &named, subject.as_deref());
        }
        for (index, number) in staying.iter().enumerate() {
            world = world.tag(tag(&format!("stay-{index}")), &name(*number));
        }
        for (index, number) in going.iter().enumerate() {
            world = world.old(&format!("go-{index}"), &name(*number));
        }
        world.graph.registry_lists_referrers = by_registry;
        let doomed = world.doomed();
        let mut reached = staying.clone();
        while let Some(number) = reached.pop() {
            proptest::prop_assert!(!doomed.contains(&digest(&name(number))));
            reached.extend(parts_of(number));
        }
        for number in 0..8 {
            let place = |number: usize| doomed.iter().position(|one| *one == digest(&name(number)));
            for part in parts_of(number) {
                if let (Some(whole), Some(part)) = (place(number), place(part)) {
                    proptest::prop_assert!(whole < part);
                }
            }
        }
    }
}
