//! Which tags go: tables, and what holds for all facts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::facts::{Facts, Place, Unfinished};
use super::plan::{Item, held, plan, roots, unexplained};
use super::why::Verdict;
use super::{Pins, Retention};
use crate::api::{InFlight, LedgerArtifact, LedgerEntry};
use crate::domain::artifact::{Digest, Tag};
use crate::domain::record::{Seen, SeenArtifact};

fn day(day: i64) -> Timestamp {
    Timestamp::from_second(day * 86_400).unwrap()
}

fn digest(version: &str) -> Digest {
    Digest::of(version.as_bytes())
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn entry(version: &str, promoted: i64) -> LedgerEntry {
    LedgerEntry {
        version: version.to_owned(),
        digest: digest(version).to_string(),
        promoted_at: Time(day(promoted)),
        by: None,
        promotion: None,
        uid: None,
        audit: None,
    }
}

/// Versions with the day on which each was promoted, the current one first.
fn ledger(versions: &[(&str, i64)]) -> LedgerArtifact {
    let history: Vec<LedgerEntry> = versions.iter().map(|(v, at)| entry(v, *at)).collect();
    LedgerArtifact {
        name: "app".to_owned(),
        current: history.first().cloned(),
        history,
        ..LedgerArtifact::default()
    }
}

fn keep(last: usize) -> Retention {
    Retention {
        keep_last: last,
        keep_for: None,
        protect: Vec::new(),
    }
}

fn place(environment: &str, versions: &[(&str, i64)]) -> Place {
    Place {
        name: environment.to_owned(),
        space: "space".to_owned(),
        environment: environment.to_owned(),
        artifact: "app".to_owned(),
        suffix: environment.to_owned(),
        first: environment == "dev",
        chosen: true,
        retention: Some(keep(2)),
        problem: None,
        ledger: Some(ledger(versions)),
    }
}

/// Four versions in dev, of which prod has had two: each with its tags.
fn facts() -> Facts {
    let in_dev = [("1.3.0", 40), ("1.2.0", 30), ("1.1.0", 20), ("1.0.0", 10)];
    let in_prod = [("1.1.0", 25), ("1.0.0", 15)];
    let mut tags = BTreeMap::new();
    for (version, _) in in_dev {
        tags.insert(tag(version), digest(version));
        tags.insert(tag(&format!("{version}-dev")), digest(version));
    }
    for (version, _) in in_prod {
        tags.insert(tag(&format!("{version}-prod")), digest(version));
    }
    tags.insert(tag("latest-dev"), digest("1.3.0"));
    tags.insert(tag("latest-prod"), digest("1.1.0"));
    tags.insert(tag("unrelated"), digest("unrelated"));
    Facts {
        now: day(100),
        tags,
        places: vec![place("dev", &in_dev), place("prod", &in_prod)],
        ..Facts::default()
    }
}

fn seen(version: &str, environment: &str, decided: i64) -> Seen {
    Seen {
        id: "uid".to_owned(),
        kind: "Promotion".to_owned(),
        name: "name".to_owned(),
        space: "space".to_owned(),
        artifact: SeenArtifact {
            name: "app".to_owned(),
            version: version.to_owned(),
            digest: digest(version),
        },
        tag: format!("{version}-{environment}"),
        target_environment: environment.to_owned(),
        requested_by: None,
        decided_at: day(decided),
        sequence: 1,
        previous: None,
        summary: String::new(),
        gates: Vec::new(),
    }
}

fn unfinished(version: &str, digest: Option<Digest>) -> Unfinished {
    Unfinished {
        name: "promotion".to_owned(),
        version: version.to_owned(),
        digest,
    }
}

fn deleted(facts: &Facts) -> Vec<String> {
    let items = plan(facts).into_iter();
    items
        .filter(|item| item.verdict.deletes())
        .map(|item| item.tag.to_string())
        .collect()
}

/// Why this tag stays or goes; `Unlisted` when the plan does not speak of it.
fn reason(facts: &Facts, wanted: &str) -> &'static str {
    let items = plan(facts);
    let item = items.iter().find(|item| item.tag.as_str() == wanted);
    item.map_or("Unlisted", |item| item.verdict.reason())
}

#[test]
fn what_is_beyond_keep_last_goes_and_a_bare_tag_goes_after_the_last_environment() {
    let facts = facts();
    // 1.0.0 is within the last two of prod, so its bare tag stays; 1.1.0 is current in prod.
    assert_eq!(deleted(&facts), ["1.0.0-dev"]);
    for (tag, why) in [
        ("1.3.0-dev", "Current"),
        ("1.2.0-dev", "KeepLast"),
        ("1.1.0-dev", "Current"),
        ("1.1.0-prod", "Current"),
        ("1.0.0-prod", "KeepLast"),
        ("1.0.0-dev", "Old"),
        ("1.0.0", "StillInUse"),
        ("1.2.0", "KeepLast"),
        ("latest-dev", "LatestTag"),
        ("unrelated", "Unlisted"),
    ] {
        assert_eq!(reason(&facts, tag), why, "{tag}");
    }
}

#[test]
fn a_bare_tag_stays_while_an_environment_has_another_build_of_its_version() {
    let mut facts = facts();
    facts.places = vec![
        place("dev", &[("1.3.0", 40), ("1.2.0", 30), ("1.0.0+a", 10)]),
        place("prod", &[("1.1.0", 25), ("1.0.0+b", 15)]),
    ];
    for gone in ["1.0.0", "1.0.0-dev", "1.0.0-prod"] {
        facts.tags.remove(&tag(gone));
    }
    for (name, version) in [
        ("1.0.0_a", "1.0.0+a"),
        ("1.0.0_a-dev", "1.0.0+a"),
        ("1.0.0_b-prod", "1.0.0+b"),
    ] {
        facts.tags.insert(tag(name), digest(version));
    }
    for (tag, why) in [
        ("1.0.0_a-dev", "Old"),
        ("1.0.0_b-prod", "KeepLast"),
        ("1.0.0_a", "StillInUse"),
    ] {
        assert_eq!(reason(&facts, tag), why, "{tag}");
    }
}

#[test]
fn a_version_that_every_environment_lets_go_loses_all_of_its_tags_also_those_of_rollbacks() {
    let mut facts = facts();
    facts.places[1].retention = Some(keep(1));
    for rollback in ["1.0.0-prod-rollback", "1.0.0-prod-rollback-2"] {
        facts.tags.insert(tag(rollback), digest("1.0.0"));
    }
    let gone = [
        "1.0.0",
        "1.0.0-dev",
        "1.0.0-prod",
        "1.0.0-prod-rollback",
        "1.0.0-prod-rollback-2",
    ];
    assert_eq!(deleted(&facts), gone);
    assert!(roots(&facts, &plan(&facts)).contains(&digest("1.0.0")));
    // Only dev was asked about: prod's tags stay, and with them the bare one.
    facts.places[1].chosen = false;
    assert_eq!(deleted(&facts), ["1.0.0-dev"]);
    assert_eq!(reason(&facts, "1.0.0-prod"), "Unlisted");
}

#[test]
fn whatever_may_be_in_use_keeps_its_version() {
    type Change = fn(&mut Facts);
    let changes: [(&str, Change); 14] = [
        ("NoRetention", |facts| facts.places[0].retention = None),
        ("PolicyInvalid", |facts| {
            facts.places[0].problem = Some("why".to_owned());
        }),
        ("LedgerUnknown", |facts| facts.places[0].ledger = None),
        ("Current", |facts| {
            facts.places[1].ledger.as_mut().unwrap().current = Some(entry("1.0.0", 15));
        }),
        ("Current", |facts| {
            let mut other = entry("9.9.9", 15);
            other.digest = digest("1.0.0").to_string();
            facts.places[1].ledger.as_mut().unwrap().current = Some(other);
        }),
        ("Latest", |facts| {
            // An environment that this user cannot see.
            facts.tags.insert(tag("latest-secret"), digest("1.0.0"));
        }),
        ("InFlight", |facts| {
            let writing = InFlight {
                kind: "Promotion".to_owned(),
                name: "p".to_owned(),
                uid: "u".to_owned(),
                tag: "1.0.0-prod".to_owned(),
                digest: digest("another").to_string(),
                holder: "h".to_owned(),
                since: Time(day(99)),
                taken_over: false,
            };
            facts.places[1].ledger.as_mut().unwrap().in_flight = Some(writing);
        }),
        ("Promotion", |facts| {
            facts.unfinished.push(unfinished("v1.0.0", None));
        }),
        ("Promotion", |facts| {
            facts
                .unfinished
                .push(unfinished("7.0.0", Some(digest("1.0.0"))));
        }),
        ("Pinned", |facts| {
            facts
                .pins
                .add("team/app", Some("platform: {version: '~1.0.0'}"));
        }),
        ("PinsUnknown", |facts| facts.pins.add("team/app", None)),
        ("Protected", |facts| {
            let rules = vec!["1.0.*".parse().unwrap()];
            facts.places[0].retention.as_mut().unwrap().protect = rules;
        }),
        ("KeepFor", |facts| {
            facts.places[0].retention.as_mut().unwrap().keep_for =
                Some(jiff::SignedDuration::from_hours(24 * 91));
        }),
        ("Moved", |facts| {
            facts.tags.insert(tag("1.0.0-dev"), digest("strange"));
        }),
    ];
    for (why, change) in changes {
        let mut facts = facts();
        change(&mut facts);
        assert_eq!(reason(&facts, "1.0.0-dev"), why);
        assert_eq!(deleted(&facts), Vec::<String>::new(), "{why}");
    }
}

#[test]
fn keep_for_ends_on_its_day() {
    let mut facts = facts();
    // 1.0.0 was promoted into dev 90 days ago.
    facts.places[0].retention.as_mut().unwrap().keep_for =
        Some(jiff::SignedDuration::from_hours(24 * 90));
    assert_eq!(deleted(&facts), ["1.0.0-dev"]);
}

#[test]
fn what_the_ledger_no_longer_knows_goes_only_with_a_record_that_says_it_was_promoted() {
    let mut facts = facts();
    facts.tags.insert(tag("0.9.0-dev"), digest("0.9.0"));
    facts.tags.insert(tag("0.9.0"), digest("0.9.0"));
    assert_eq!(reason(&facts, "0.9.0-dev"), "NotPromotedByFloe");
    assert_eq!(reason(&facts, "0.9.0"), "NotYetPromoted");
    assert!(unexplained(&facts).contains(&digest("0.9.0")));
    let record = |record: Seen| BTreeMap::from([(digest("0.9.0"), vec![record])]);
    for strange in [
        seen("0.9.0", "prod", 5),
        seen("0.8.0", "dev", 5),
        Seen {
            space: "other".to_owned(),
            ..seen("0.9.0", "dev", 5)
        },
    ] {
        facts.records = record(strange);
        assert_eq!(reason(&facts, "0.9.0-dev"), "NotPromotedByFloe");
    }
    facts.records = record(seen("0.9.0", "dev", 5));
    assert_eq!(deleted(&facts), ["0.9.0", "0.9.0-dev", "1.0.0-dev"]);
    // The record counts in the order, too.
    facts.records = record(seen("0.9.0", "dev", 60));
    assert_eq!(reason(&facts, "0.9.0-dev"), "KeepLast");
}

#[test]
fn a_published_version_that_may_still_be_promoted_stays() {
    let mut facts = facts();
    facts.tags.insert(tag("2.0.0"), digest("2.0.0"));
    assert_eq!(reason(&facts, "2.0.0"), "NotYetPromoted");
    // Another namespace takes bare tags from the same repository, and has not had 1.0.0.
    facts.places[1].retention = Some(keep(1));
    let elsewhere = Place {
        name: "elsewhere/test".to_owned(),
        space: "elsewhere".to_owned(),
        chosen: false,
        first: true,
        ..place("test", &[])
    };
    facts.places.push(elsewhere);
    assert_eq!(deleted(&facts), ["1.0.0-dev", "1.0.0-prod"]);
    assert_eq!(reason(&facts, "1.0.0"), "NotChosen");
}

#[test]
fn without_a_look_at_the_whole_cluster_bare_tags_and_manifests_stay() {
    let mut facts = facts();
    facts.places[1].retention = Some(keep(1));
    facts.cluster_unknown = Some("you may not".to_owned());
    assert_eq!(deleted(&facts), ["1.0.0-dev", "1.0.0-prod"]);
    assert_eq!(reason(&facts, "1.0.0"), "ClusterUnknown");
    assert!(roots(&facts, &plan(&facts)).is_empty());
}

#[test]
fn a_tag_that_two_environments_claim_stays_unless_one_of_them_is_invalid() {
    let mut facts = facts();
    let mut twin = place("dev", &[("5.0.0", 1)]);
    twin.space = "elsewhere".to_owned();
    twin.chosen = false;
    facts.places.push(twin);
    assert_eq!(deleted(&facts), Vec::<String>::new());
    facts.places[2].problem = Some("the tags belong to the older policy".to_owned());
    assert_eq!(deleted(&facts), ["1.0.0-dev"]);
}

#[test]
fn what_a_ledger_holds_and_does_not_let_go_is_held_without_a_tag() {
    let mut facts = facts();
    facts.tags.clear();
    let held = held(&facts);
    for version in ["1.3.0", "1.2.0", "1.1.0", "1.0.0"] {
        assert!(held.contains_key(&digest(version)), "{version}");
    }
    facts.places[1].retention = Some(keep(1));
    assert!(!super::held(&facts).contains_key(&digest("1.0.0")));
    assert!(
        roots(&facts, &[]).contains(&digest("1.0.0")),
        "an interrupted clean-up goes on"
    );
    facts
        .unfinished
        .push(unfinished("7.0.0", Some(digest("1.0.0"))));
    assert!(super::held(&facts).contains_key(&digest("1.0.0")));
}

const VERSIONS: [&str; 6] = ["0.9.0", "1.0.0", "1.1.0", "1.2.0-rc.1", "1.2.0", "v2.0.0"];

prop_compose! {
    /// Any state of two environments, with any tags, uses and rules.
    fn any_facts()(
        promoted in proptest::collection::vec((0..VERSIONS.len(), 0_i64..90), 0..10),
        promoted_on in proptest::collection::vec((0..VERSIONS.len(), 0_i64..90), 0..10),
        tags in proptest::collection::vec((0..VERSIONS.len(), 0_usize..4), 0..24),
        keep_last in 1_usize..4,
        keep_days in proptest::option::of(1_i64..90),
        protect in proptest::option::of(0..VERSIONS.len()),
        pin in proptest::option::of(0..VERSIONS.len()),
        busy in proptest::option::of(0..VERSIONS.len()),
        whole in any::<bool>(),
        chosen in any::<(bool, bool)>(),
    ) -> Facts {
        let ledger = |list: &[(usize, i64)]| {
            let mut list: Vec<(&str, i64)> = list.iter().map(|(v, at)| (VERSIONS[*v], *at)).collect();
            list.sort_by_key(|(_, at)| -at);
            list
        };
        let retention = Retention {
            keep_last,
            keep_for: keep_days.map(|days| jiff::SignedDuration::from_hours(24 * days)),
            protect: protect.map(|v| VERSIONS[v].parse().unwrap()).into_iter().collect(),
        };
        let mut places = vec![place("dev", &ledger(&promoted)), place("prod", &ledger(&promoted_on))];
        (places[0].chosen, places[1].chosen) = chosen;
        for place in &mut places {
            place.retention = Some(retention.clone());
        }
        let named = tags.iter().map(|(v, kind)| {
            let version = VERSIONS[*v];
            let name = match kind {
                0 => version.to_owned(),
                1 => format!("{version}-dev"),
                2 => format!("{version}-prod"),
                _ => format!("{version}-prod-rollback"),
            };
            (tag(&name), digest(version))
        });
        let mut pins = Pins::default();
        if let Some(pin) = pin {
            pins.add("team/app", Some(&format!("platform: {{version: '{}'}}", VERSIONS[pin])));
        }
        Facts {
            now: day(100),
            tags: named.collect(),
            places,
            unfinished: busy.map(|v| unfinished(VERSIONS[v], None)).into_iter().collect(),
            pins,
            cluster_unknown: (!whole).then(|| "why".to_owned()),
            ..Facts::default()
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_facts_nothing_that_is_used_or_protected_is_deleted(facts in any_facts()) {
        for Item { tag, digest: named, environment, verdict } in plan(&facts) {
            if !verdict.deletes() {
                continue;
            }
            prop_assert!(!tag.as_str().starts_with("latest-"));
            prop_assert_eq!(&facts.tags[&tag], &named);
            let version = VERSIONS.iter().find(|version| digest(version) == named).unwrap();
            for place in &facts.places {
                let ledger = place.ledger.as_ref().unwrap();
                prop_assert!(ledger.current.as_ref().is_none_or(|current| current.digest != named.as_str()));
                if environment.as_deref() != Some(place.environment.as_str()) {
                    continue;
                }
                prop_assert!(place.chosen);
                let retention = place.retention.as_ref().unwrap();
                prop_assert!(retention.protect.iter().all(|rule| !rule.covers(&version.parse().unwrap())));
                let newest = ledger.history.iter().filter(|entry| entry.version == *version);
                let newest = newest.map(|entry| entry.promoted_at.0).max().unwrap();
                let mut newer: Vec<&str> = ledger.history.iter()
                    .filter(|entry| entry.version != *version && entry.promoted_at.0 >= newest)
                    .map(|entry| entry.version.as_str()).collect();
                newer.sort_unstable();
                newer.dedup();
                prop_assert!(newer.len() >= retention.keep_last, "{} of {:?}", version, newer);
                if let Some(keep_for) = retention.keep_for {
                    prop_assert!(facts.now.duration_since(newest) >= keep_for);
                }
            }
            prop_assert!(facts.unfinished.iter().all(|one| one.version != *version));
            prop_assert!(facts.pins.known.iter().all(|pin| !pin.constraint.covers(&version.parse().unwrap())));
            if environment.is_none() {
                prop_assert!(facts.cluster_unknown.is_none());
            }
        }
    }

    #[test]
    fn the_order_of_the_facts_does_not_matter(facts in any_facts()) {
        let mut turned = facts.clone();
        turned.places.reverse();
        for place in &mut turned.places {
            place.ledger.as_mut().unwrap().history.reverse();
        }
        let outcome = |facts: &Facts| -> Vec<(Tag, bool)> {
            plan(facts).into_iter().map(|item| (item.tag, matches!(item.verdict, Verdict::Delete(_)))).collect()
        };
        prop_assert_eq!(outcome(&facts), outcome(&turned));
    }

    #[test]
    fn a_second_run_deletes_nothing_more(facts in any_facts()) {
        let mut after = facts.clone();
        for tag in deleted(&facts) {
            after.tags.remove(&tag.parse::<Tag>().unwrap());
        }
        prop_assert_eq!(deleted(&after), Vec::<String>::new());
    }
}
