//! Which tags of a repository may be deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, Place};
use super::promoted::{Promoted, newest_first, promoted};
use super::why::{Kept, LetGo, Verdict};
use crate::domain::artifact::{Digest, Tag};
use crate::domain::names::{
    Version, latest_tag, version_of_bare_tag, version_of_tag, without_rollback,
};

/// One tag, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The tag.
    pub tag: Tag,
    /// What it names.
    pub digest: Digest,
    /// The environment whose tag it is; none for a bare tag.
    pub environment: Option<String>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of each tag of the chosen environments, and of the bare tags when one of them is a first one;
/// sorted by tag. Other tags are left out: they stay.
pub fn plan(facts: &Facts) -> Vec<Item> {
    let known = Known::of(facts);
    let mut items: BTreeMap<Tag, Item> = facts
        .tags
        .iter()
        .filter_map(|(tag, digest)| known.environment_tag(tag, digest))
        .map(|item| (item.tag.clone(), item))
        .collect();
    let bare: Vec<Item> = facts
        .tags
        .iter()
        .filter_map(|(tag, digest)| known.bare_tag(tag, digest, &items))
        .collect();
    items.extend(bare.into_iter().map(|item| (item.tag.clone(), item)));
    items.into_values().collect()
}

/// Digests whose records have to be read before a plan can say more than "not promoted by floe".
pub fn unexplained(facts: &Facts) -> BTreeSet<Digest> {
    let unexplained = |item: &Item| {
        matches!(
            item.verdict,
            Verdict::Keep(Kept::Unexplained | Kept::NotYetPromoted { .. })
        )
    };
    plan(facts)
        .into_iter()
        .filter(unexplained)
        .map(|item| item.digest)
        .collect()
}

/// Digests that stay with or without a tag: what any environment that uses the repository has in its ledger and
/// does not let go, and what promotions work on.
pub fn held(facts: &Facts) -> BTreeMap<Digest, Kept> {
    let mut held: BTreeMap<Digest, Kept> = BTreeMap::new();
    for (promoted, verdict) in Known::of(facts).verdicts() {
        if let Verdict::Keep(why) = verdict {
            held.entry(promoted.digest).or_insert(why);
        }
    }
    for promotion in &facts.unfinished {
        if let Some(digest) = &promotion.digest {
            let name = promotion.name.clone();
            held.insert(digest.clone(), Kept::Promotion { name });
        }
    }
    let ledgers = facts
        .places
        .iter()
        .filter_map(|place| place.ledger.as_ref());
    for writing in ledgers.filter_map(|ledger| ledger.in_flight.as_ref()) {
        if let Ok(digest) = writing.digest.parse() {
            let (kind, name) = (writing.kind.clone(), writing.name.clone());
            held.insert(digest, Kept::Writing { kind, name });
        }
    }
    held
}

/// Digests whose manifests lose their reason to be there: those of tags that go, and of versions that were let
/// go before, so that a clean-up that was interrupted is finished by the next. None when not all who may use the
/// repository are known.
pub fn roots(facts: &Facts, items: &[Item]) -> BTreeSet<Digest> {
    if facts.cluster_unknown.is_some() {
        return BTreeSet::new();
    }
    let of_tags = items.iter().filter(|item| item.verdict.deletes());
    let of_tags = of_tags.map(|item| item.digest.clone());
    let of_versions = Known::of(facts).verdicts();
    let of_versions = of_versions.filter(|(_, verdict)| verdict.deletes());
    of_tags
        .chain(of_versions.map(|(promoted, _)| promoted.digest))
        .collect()
}

/// The facts, with each environment's versions in order.
struct Known<'a> {
    facts: &'a Facts,
    suffixes: Vec<String>,
    versions: Vec<(&'a Place, Vec<Promoted>)>,
    /// The `latest-*` tag of a digest.
    latest: BTreeMap<&'a Digest, &'a Tag>,
    /// The environments' tags of a version.
    of_version: BTreeMap<semver::Version, Vec<&'a Tag>>,
}

impl<'a> Known<'a> {
    fn of(facts: &'a Facts) -> Self {
        let versions = facts.places.iter().map(|place| {
            let recorded = facts.records.values().flatten();
            let recorded = recorded.filter(|seen| place.is_of(seen));
            let recorded = recorded.filter_map(|seen| {
                Some(Promoted {
                    version: seen.artifact.version.parse().ok()?,
                    digest: seen.artifact.digest.clone(),
                    at: seen.decided_at,
                })
            });
            let ledger = place.ledger.iter().flat_map(promoted);
            (place, newest_first(ledger.chain(recorded).collect()))
        });
        let suffixes = facts.places.iter().map(|place| place.suffix.clone());
        let latest = facts.tags.iter();
        let latest = latest.filter(|(tag, _)| tag.as_str().starts_with("latest-"));
        let mut known = Self {
            facts,
            suffixes: suffixes.collect(),
            versions: versions.collect(),
            latest: latest.map(|(tag, digest)| (digest, tag)).collect(),
            of_version: BTreeMap::new(),
        };
        for tag in facts.tags.keys() {
            if let Some(version) = known.version_of(tag) {
                let tags = known.of_version.entry(version.without_build());
                tags.or_default().push(tag);
            }
        }
        known
    }

    /// What becomes of each version that is known to have been promoted.
    fn verdicts(self) -> impl Iterator<Item = (Promoted, Verdict)> {
        let verdicts: Vec<(Promoted, Verdict)> = self
            .versions
            .iter()
            .flat_map(|(place, versions)| versions.iter().map(move |one| (*place, versions, one)))
            .map(|(place, versions, one)| {
                let verdict = self.of_version(place, versions, &one.version, &one.digest);
                (one.clone(), verdict)
            })
            .collect();
        verdicts.into_iter()
    }

    /// What becomes of a tag, when it is one of a chosen environment.
    fn environment_tag(&self, tag: &Tag, digest: &Digest) -> Option<Item> {
        let owners = self.versions.iter().filter_map(|(place, versions)| {
            if latest_tag(&place.suffix).as_ref() == Some(tag) {
                return Some((*place, Verdict::Keep(Kept::LatestTag)));
            }
            let plain = without_rollback(tag)?;
            let version = version_of_tag(&plain, &place.suffix, &self.suffixes)?;
            Some((*place, self.of_version(place, versions, &version, digest)))
        });
        // Two environments with one suffix cannot both own a tag: it goes only when both let it go.
        let (place, verdict) = owners
            .filter(|(place, _)| place.chosen || place.problem.is_none())
            .min_by_key(|(_, verdict)| verdict.deletes())?;
        place.chosen.then(|| Item {
            tag: tag.clone(),
            digest: digest.clone(),
            environment: Some(place.environment.clone()),
            verdict,
        })
    }

    fn of_version(
        &self,
        place: &Place,
        versions: &[Promoted],
        version: &Version,
        digest: &Digest,
    ) -> Verdict {
        if let Some(kept) = place.keeps_all() {
            return Verdict::Keep(kept);
        }
        if let Some(kept) = self.in_use(version, digest) {
            return Verdict::Keep(kept);
        }
        let Some(index) = versions.iter().position(|known| known.version == *version) else {
            return Verdict::Keep(Kept::Unexplained);
        };
        let promoted = &versions[index];
        if promoted.digest != *digest {
            let promoted = promoted.digest.clone();
            return Verdict::Keep(Kept::Moved { promoted });
        }
        place
            .retention
            .as_ref()
            .map_or(Verdict::Keep(Kept::Unexplained), |retention| {
                retention.verdict(index, promoted, self.facts.now)
            })
    }

    /// What becomes of a bare tag, when a chosen environment takes bare tags: it goes after the last tag of its
    /// version, once each first environment has had the version and lets it go.
    fn bare_tag(&self, tag: &Tag, digest: &Digest, items: &BTreeMap<Tag, Item>) -> Option<Item> {
        let firsts = || self.versions.iter().filter(|(place, _)| place.first);
        if !firsts().any(|(place, _)| place.chosen) || items.contains_key(tag) {
            return None;
        }
        let version = version_of_bare_tag(tag, &self.suffixes)?;
        let verdict = self
            .bare_tag_stays(&version, digest, items)
            .map_or(Verdict::Delete(LetGo::Unused), Verdict::Keep);
        Some(Item {
            tag: tag.clone(),
            digest: digest.clone(),
            environment: None,
            verdict,
        })
    }

    fn bare_tag_stays(
        &self,
        version: &Version,
        digest: &Digest,
        items: &BTreeMap<Tag, Item>,
    ) -> Option<Kept> {
        if let Some(why) = &self.facts.cluster_unknown {
            return Some(Kept::ClusterUnknown { why: why.clone() });
        }
        if let Some(kept) = self.in_use(version, digest) {
            return Some(kept);
        }
        let firsts = self.versions.iter().filter(|(place, _)| place.first);
        for (place, versions) in firsts {
            match self.of_version(place, versions, version, digest) {
                Verdict::Delete(_) => {}
                Verdict::Keep(Kept::Unexplained) => {
                    let environment = place.name.clone();
                    return Some(Kept::NotYetPromoted { environment });
                }
                Verdict::Keep(kept) => return Some(kept),
            }
        }
        let tags = self.of_version.get(&version.without_build());
        let mut tags = tags.into_iter().flatten();
        let stays = |tag: &&&Tag| !items.get(**tag).is_some_and(|item| item.verdict.deletes());
        tags.find(stays).map(|tag| Kept::StillIn {
            tag: (*tag).clone(),
        })
    }

    /// Who uses this version or digest at this moment, whatever retention says. Everything that a ledger says
    /// to be in use is asked here.
    fn in_use(&self, version: &Version, digest: &Digest) -> Option<Kept> {
        let same = |other: &str, named: Option<&str>| {
            named == Some(digest.as_str())
                || other
                    .parse::<Version>()
                    .is_ok_and(|other| other.precedence(version).is_eq())
        };
        for place in &self.facts.places {
            let Some(ledger) = &place.ledger else {
                continue;
            };
            if let Some(current) = &ledger.current
                && same(&current.version, Some(&current.digest))
            {
                let environment = place.name.clone();
                return Some(Kept::Current { environment });
            }
            if let Some(writing) = &ledger.in_flight
                && (writing.digest == digest.as_str() || self.is_tag_of(&writing.tag, version))
            {
                return Some(Kept::Writing {
                    kind: writing.kind.clone(),
                    name: writing.name.clone(),
                });
            }
        }
        if let Some(&tag) = self.latest.get(digest) {
            return Some(Kept::Latest { tag: tag.clone() });
        }
        let unfinished = self
            .facts
            .unfinished
            .iter()
            .find(|one| same(&one.version, one.digest.as_ref().map(Digest::as_str)));
        if let Some(promotion) = unfinished {
            let name = promotion.name.clone();
            return Some(Kept::Promotion { name });
        }
        if let Some(why) = &self.facts.pins.unknown {
            return Some(Kept::PinsUnknown { why: why.clone() });
        }
        self.facts.pins.of(version).map(|pin| Kept::Pinned {
            consumer: pin.consumer.clone(),
            pin: pin.constraint.to_string(),
        })
    }

    fn is_tag_of(&self, tag: &str, version: &Version) -> bool {
        let tag = tag.parse().ok();
        let other = tag.and_then(|tag| self.version_of(&tag));
        other.is_some_and(|other| other.precedence(version).is_eq())
    }

    /// The version of any environment's tag.
    fn version_of(&self, tag: &Tag) -> Option<Version> {
        let plain = without_rollback(tag)?;
        self.suffixes
            .iter()
            .find_map(|suffix| version_of_tag(&plain, suffix, &self.suffixes))
    }
}
