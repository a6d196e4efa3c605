use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::api::{ConditionType, EnvironmentPolicyStatus, InFlight, RecordRef, find_condition};
use crate::domain::decision::TroubleKind;
use crate::domain::observed::Trouble;
use crate::domain::retention::Retention;

const REPOSITORY: &str = "registry.example/app";
const SUBJECT: Subject<'static> = Subject {
    space: "team",
    environment: "prod",
    generation: 3,
    suffix: "prod",
    retention: None,
};

fn start() -> Timestamp {
    "2026-03-02T10:00:00Z".parse().unwrap()
}

fn later(minutes: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minutes)
}

fn digest(version: &str) -> Digest {
    Digest::of(version.as_bytes())
}

fn record(version: &str) -> Digest {
    Digest::of(format!("record of {version}").as_bytes())
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn entry(version: &str) -> LedgerEntry {
    LedgerEntry {
        version: version.to_owned(),
        digest: digest(version).to_string(),
        promoted_at: Time(start()),
        by: None,
        promotion: Some(format!("to-{version}")),
        uid: Some(version.to_owned()),
        audit: Some(RecordRef {
            record: Digest::of(version.as_bytes()).to_string(),
            referrer: record(version).to_string(),
            sequence: 1,
            summary: None,
        }),
    }
}

/// The newest version first; it is the current one.
fn ledger(versions: &[&str]) -> LedgerArtifact {
    LedgerArtifact {
        name: "app".to_owned(),
        current: versions.first().map(|version| entry(version)),
        history: versions.iter().map(|version| entry(version)).collect(),
        ..LedgerArtifact::default()
    }
}

fn in_flight() -> InFlight {
    InFlight {
        kind: "Promotion".to_owned(),
        name: "next".to_owned(),
        uid: "next".to_owned(),
        tag: "v3.0.0-prod".to_owned(),
        digest: digest("v3.0.0").to_string(),
        holder: "one".to_owned(),
        since: Time(start()),
        taken_over: false,
    }
}

fn status(ledger: LedgerArtifact) -> EnvironmentPolicyStatus {
    let mut status = EnvironmentPolicyStatus {
        artifacts: vec![ledger],
        ..EnvironmentPolicyStatus::default()
    };
    status.conditions = vec![kept(&status, 3, start())];
    status
}

/// What the tags of this ledger would name if nobody had touched them.
fn honest(ledger: &LedgerArtifact) -> BTreeMap<Tag, Option<Digest>> {
    let wanted = tags(ledger, "prod").into_iter();
    wanted.map(|one| (one.tag, Some(one.digest))).collect()
}

fn look(ledger: &LedgerArtifact, changes: &[(&str, Option<&str>)]) -> Look {
    let mut seen = honest(ledger);
    for (name, version) in changes {
        seen.insert(tag(name), version.map(digest));
    }
    Look {
        artifact: "app".to_owned(),
        repository: REPOSITORY.to_owned(),
        replica: false,
        ledger: ledger.clone(),
        tags: Ok(seen),
        gone: Some(Ok(BTreeSet::new())),
    }
}

fn trouble(problem: &str) -> Trouble {
    Trouble {
        kind: TroubleKind::RegistryUnavailable,
        problem: problem.to_owned(),
        not_before: None,
    }
}

fn in_sync(status: &EnvironmentPolicyStatus) -> Condition {
    find_condition(&status.conditions, ConditionType::TagsInSync)
        .unwrap()
        .clone()
}

/// Reason, status and what the drift list names.
fn shown(judged: &Judged) -> (String, String, Vec<String>) {
    let condition = in_sync(&judged.status);
    let drift = judged.status.artifacts[0].drift.iter();
    let drift = drift
        .map(|one| format!("{} {}", one.reason, one.tag))
        .collect();
    (condition.status, condition.reason, drift)
}

#[test]
fn the_tags_are_latest_then_each_version_once_and_a_current_one_that_fell_out_of_the_history() {
    let mut ledger = ledger(&["v1.1.0", "v1.0.0+build.1"]);
    ledger.history.push(entry("v1.1.0"));
    ledger.history.push(entry("no-version"));
    ledger.current = Some(entry("v1.2.0"));
    let tags: Vec<String> = tags(&ledger, "prod")
        .into_iter()
        .map(|one| format!("{} {}", one.tag, one.version))
        .collect();
    let wanted = [
        "latest-prod v1.2.0",
        "v1.2.0-prod v1.2.0",
        "v1.1.0-prod v1.1.0",
        "v1.0.0_build.1-prod v1.0.0+build.1",
    ];
    assert_eq!(tags, wanted);
}

#[test]
fn each_difference_has_its_reason_and_the_worst_gives_the_condition() {
    type Case<'a> = (
        &'a [(&'a str, Option<&'a str>)],
        &'a str,
        &'a str,
        &'a [&'a str],
    );
    let cases: [Case<'_>; 6] = [
        (&[], "True", "TagsInSync", &[]),
        (
            &[("latest-prod", Some("v1.0.0"))],
            "False",
            "TagMoved",
            &["TagMoved latest-prod"],
        ),
        (
            &[("latest-prod", None)],
            "False",
            "TagMissing",
            &["TagMissing latest-prod"],
        ),
        (
            &[("v1.0.0-prod", Some("strange"))],
            "False",
            "TagMoved",
            &["TagMoved v1.0.0-prod"],
        ),
        (
            &[("latest-prod", None), ("v1.0.0-prod", Some("strange"))],
            "False",
            "TagMoved",
            &["TagMissing latest-prod", "TagMoved v1.0.0-prod"],
        ),
        // A tag that the ledger does not know is not floe's.
        (
            &[("v9.0.0-prod", Some("strange"))],
            "True",
            "TagsInSync",
            &[],
        ),
    ];
    for (changes, status_word, reason, drift) in cases {
        let ledger = ledger(&["v1.1.0", "v1.0.0"]);
        let before = status(ledger.clone());
        let judged = judge(&SUBJECT, &before, &[look(&ledger, changes)], later(1));
        let drift: Vec<String> = drift.iter().map(|&one| one.to_owned()).collect();
        let wanted = (status_word.to_owned(), reason.to_owned(), drift);
        assert_eq!(shown(&judged), wanted, "{changes:?}");
        assert_eq!(judged.soon, status_word == "False", "{changes:?}");
    }
}

#[test]
fn the_message_says_what_moved_from_what_to_what_and_what_to_run() {
    let ledger = ledger(&["v1.1.0", "v1.0.0"]);
    let changes = [("latest-prod", Some("v1.0.0")), ("v1.0.0-prod", None)];
    let before = status(ledger.clone());
    let judged = judge(&SUBJECT, &before, &[look(&ledger, &changes)], later(1));
    let (new, old) = (digest("v1.1.0").to_string(), digest("v1.0.0").to_string());
    let wanted = format!(
        "latest-prod in {REPOSITORY} names {} instead of {} (v1.1.0); \
         v1.0.0-prod in {REPOSITORY} is gone; it should name {} (v1.0.0); \
         run: floe platform repair prod -n team",
        &old[..19],
        &new[..19],
        &old[..19],
    );
    assert_eq!(in_sync(&judged.status).message, wanted);
    let news = judged.news.unwrap();
    assert_eq!(
        (news.warning, news.reason, news.text),
        (true, "TagMoved", wanted)
    );
    let drift = &judged.status.artifacts[0].drift[0];
    assert_eq!((&drift.expected, drift.found.as_ref()), (&new, Some(&old)));
}

#[test]
fn the_same_look_again_changes_nothing_and_tells_nothing() {
    let ledger = ledger(&["v1.1.0", "v1.0.0"]);
    for changes in [&[][..], &[("latest-prod", Some("v1.0.0"))]] {
        let look = look(&ledger, changes);
        let first = judge(
            &SUBJECT,
            &status(ledger.clone()),
            std::slice::from_ref(&look),
            later(1),
        );
        let second = judge(&SUBJECT, &first.status, &[look], later(2));
        assert_eq!(second.status, first.status);
        assert_eq!(second.news, None);
    }
}

#[test]
fn a_difference_keeps_since_when_and_another_one_in_its_place_is_news() {
    let ledger = ledger(&["v1.1.0", "v1.0.0"]);
    let moved = |to| look(&ledger, &[("latest-prod", Some(to))]);
    let first = judge(
        &SUBJECT,
        &status(ledger.clone()),
        &[moved("v1.0.0")],
        later(1),
    );
    let both = look(
        &ledger,
        &[("latest-prod", Some("v1.0.0")), ("v1.1.0-prod", None)],
    );
    let second = judge(&SUBJECT, &first.status, &[both], later(2));
    let drift = &second.status.artifacts[0].drift;
    assert_eq!((drift[0].since.0, drift[1].since.0), (later(1), later(2)));
    let news = second.news.unwrap();
    assert_eq!(
        (news.action.as_str(), news.reason),
        ("v1.1.0-prod", "TagMissing")
    );
    assert_eq!(in_sync(&second.status).last_transition_time.0, later(1));
    let third = judge(&SUBJECT, &second.status, &[moved("strange")], later(3));
    assert_eq!(third.status.artifacts[0].drift[0].since.0, later(3));
    assert_eq!(third.news.unwrap().action, "latest-prod");
    let mended = judge(&SUBJECT, &third.status, &[look(&ledger, &[])], later(4));
    assert_eq!(shown(&mended), ("True".into(), "TagsInSync".into(), vec![]));
    let news = mended.news.unwrap();
    assert_eq!((news.warning, news.reason), (false, "TagsInSync"));
    assert!(!mended.soon);
}

#[test]
fn a_promotion_that_came_in_between_explains_every_difference() {
    let (old, new) = (ledger(&["v1.0.0"]), ledger(&["v1.1.0", "v1.0.0"]));
    let claimed = |ledger: &LedgerArtifact| LedgerArtifact {
        in_flight: Some(in_flight()),
        ..ledger.clone()
    };
    for (what, read_before, read_after, latest) in [
        (
            "it was settled after the registry was read",
            &old,
            &new,
            "v1.0.0",
        ),
        (
            "it was settled before the registry was read",
            &old,
            &new,
            "v1.1.0",
        ),
        ("it holds the claim since", &old, &claimed(&old), "v1.1.0"),
        ("it held the claim before", &claimed(&old), &old, "v1.1.0"),
    ] {
        let before = status(read_after.clone());
        let mut look = look(read_before, &[("latest-prod", Some(latest))]);
        let judged = judge(&SUBJECT, &before, std::slice::from_ref(&look), later(1));
        assert_eq!(judged.status, before, "{what}");
        assert_eq!((judged.news, judged.soon), (None, true), "{what}");
        // The same with a ledger that did not change is a difference, unless it is none.
        look.ledger = old.clone();
        let judged = judge(&SUBJECT, &status(old.clone()), &[look], later(1));
        assert_eq!(
            in_sync(&judged.status).status == "False",
            latest == "v1.1.0",
            "{what}"
        );
    }
}

#[test]
fn a_promotion_in_flight_keeps_the_earlier_answer() {
    let ledger = ledger(&["v1.1.0", "v1.0.0"]);
    let moved = look(&ledger, &[("latest-prod", Some("v1.0.0"))]);
    let drifted = judge(&SUBJECT, &status(ledger.clone()), &[moved], later(1)).status;
    let mut busy = drifted.clone();
    busy.artifacts[0].in_flight = Some(in_flight());
    let judged = judge(&SUBJECT, &busy, &[look(&busy.artifacts[0], &[])], later(2));
    assert_eq!(judged.status, busy);
    assert_eq!(judged.news, None);
}

#[test]
fn what_cannot_be_asked_is_unknown_and_keeps_what_was_known() {
    let ledger = ledger(&["v1.1.0", "v1.0.0"]);
    let moved = look(&ledger, &[("latest-prod", Some("v1.0.0"))]);
    let drifted = judge(&SUBJECT, &status(ledger.clone()), &[moved], later(1)).status;
    let mut down = look(&ledger, &[]);
    down.tags = Err(trouble("connection refused"));
    down.gone = None;
    let unknown = judge(&SUBJECT, &drifted, std::slice::from_ref(&down), later(2));
    let condition = in_sync(&unknown.status);
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_str()),
        ("Unknown", "RegistryUnavailable")
    );
    assert!(condition.message.contains("connection refused"));
    assert!(condition.message.contains("latest-prod"), "{condition:?}");
    assert_eq!(condition.last_transition_time.0, later(2));
    assert_eq!(
        unknown.status.artifacts[0].drift,
        drifted.artifacts[0].drift
    );
    assert_eq!((&unknown.news, unknown.soon), (&None, true));
    // The same trouble in other words, later: nothing new.
    down.tags = Err(trouble("timed out"));
    let still = judge(&SUBJECT, &unknown.status, &[down], later(3));
    assert_eq!(still.status, unknown.status);
    let mut busy = still.status.clone();
    busy.artifacts[0].in_flight = Some(in_flight());
    let judged = judge(&SUBJECT, &busy, &[look(&busy.artifacts[0], &[])], later(3));
    assert_eq!(
        judged.status, busy,
        "a promotion makes nothing more certain"
    );
    let back = judge(&SUBJECT, &still.status, &[look(&ledger, &[])], later(4));
    assert_eq!(in_sync(&back.status).status, "True");
    assert_eq!(back.news.unwrap().reason, "TagsInSync");
}

#[test]
fn a_difference_in_one_place_counts_also_while_another_one_cannot_be_asked() {
    let ledger = ledger(&["v1.1.0"]);
    let moved = look(&ledger, &[("latest-prod", Some("v1.0.0"))]);
    let mut down = look(&ledger, &[]);
    down.repository = "other.example/app".to_owned();
    down.tags = Err(trouble("down"));
    let judged = judge(
        &SUBJECT,
        &status(ledger.clone()),
        &[down.clone(), moved],
        later(1),
    );
    assert_eq!(in_sync(&judged.status).reason, "TagMoved");
    let judged = judge(
        &SUBJECT,
        &judged.status,
        &[down, look(&ledger, &[])],
        later(2),
    );
    assert_eq!(in_sync(&judged.status).reason, "RegistryUnavailable");
    assert!(judged.status.artifacts[0].drift.is_empty());
}

#[test]
fn a_record_that_is_gone_is_reported_until_a_look_at_records_says_otherwise() {
    let ledger = ledger(&["v1.1.0", "v1.0.0"]);
    let mut seen = look(&ledger, &[]);
    seen.gone = Some(Ok(BTreeSet::from([record("v1.0.0")])));
    let gone = judge(&SUBJECT, &status(ledger.clone()), &[seen], later(1));
    let wanted = ["RecordMissing v1.0.0-prod".to_owned()].to_vec();
    assert_eq!(
        shown(&gone),
        ("False".into(), "RecordMissing".into(), wanted)
    );
    assert!(in_sync(&gone.status).message.contains("from a backup"));
    assert!(
        !gone.soon,
        "no repair brings it back, so nothing is to be expected soon"
    );
    let mut tags_only = look(&ledger, &[]);
    tags_only.gone = None;
    let still = judge(
        &SUBJECT,
        &gone.status,
        std::slice::from_ref(&tags_only),
        later(2),
    );
    assert_eq!(still.status, gone.status);
    tags_only.gone = Some(Err(trouble("too many")));
    let unknown = judge(&SUBJECT, &gone.status, &[tags_only], later(3));
    assert_eq!(in_sync(&unknown.status).status, "Unknown");
    assert_eq!(
        unknown.status.artifacts[0].drift,
        gone.status.artifacts[0].drift
    );
    let back = judge(&SUBJECT, &gone.status, &[look(&ledger, &[])], later(4));
    assert_eq!(in_sync(&back.status).status, "True");
}

#[test]
fn nothing_to_compare_is_not_called_in_sync_before_something_was() {
    let empty = ledger(&[]);
    let before = status(empty.clone());
    assert_eq!(in_sync(&before).reason, NOT_COMPARED);
    let judged = judge(&SUBJECT, &before, &[look(&empty, &[])], later(1));
    assert_eq!(judged.status, before);
    assert!(!judged.soon);
}

#[test]
fn what_the_policy_no_longer_names_is_no_difference_any_more() {
    let ledger = ledger(&["v1.1.0"]);
    let moved = look(&ledger, &[("latest-prod", Some("v1.0.0"))]);
    let drifted = judge(&SUBJECT, &status(ledger), &[moved], later(1)).status;
    let judged = judge(&SUBJECT, &drifted, &[], later(2));
    assert_eq!(shown(&judged), ("True".into(), "TagsInSync".into(), vec![]));
}

#[test]
fn the_list_and_the_message_are_bounded_and_say_how_many_there_are() {
    let versions: Vec<String> = (0..50).rev().map(|n| format!("v1.{n}.0")).collect();
    let names: Vec<&str> = versions.iter().map(String::as_str).collect();
    let ledger = ledger(&names);
    let mut seen = look(&ledger, &[]);
    seen.tags = Ok(honest(&ledger).into_keys().map(|tag| (tag, None)).collect());
    let judged = judge(&SUBJECT, &status(ledger), &[seen], later(1));
    let drift = &judged.status.artifacts[0].drift;
    assert_eq!(drift.len(), 20);
    assert_eq!(
        (drift[0].tag.as_str(), drift[1].tag.as_str()),
        ("latest-prod", "v1.49.0-prod")
    );
    let message = in_sync(&judged.status).message;
    assert!(message.contains("and 48 more; run:"), "{message}");
}

#[test]
fn the_registry_is_not_asked_before_it_wants_to_be() {
    let ledger = ledger(&["v1.1.0"]);
    let mut busy = look(&ledger, &[]);
    busy.tags = Err(Trouble {
        not_before: Some(later(9)),
        ..trouble("429")
    });
    let judged = judge(&SUBJECT, &status(ledger), &[busy], later(1));
    assert_eq!(judged.not_before, Some(later(9)));
}

#[test]
fn what_retention_lets_go_may_be_missing_but_not_moved_and_never_what_is_current() {
    let ledger = ledger(&["v1.2.0", "v1.1.0", "v1.0.0"]);
    let retention = Retention {
        keep_last: 2,
        keep_for: None,
        protect: Vec::new(),
    };
    let subject = Subject {
        retention: Some(&retention),
        ..SUBJECT
    };
    for (changes, wanted) in [
        (&[("v1.0.0-prod", None)][..], &[][..]),
        (
            &[("v1.0.0-prod", Some("strange"))],
            &["TagMoved v1.0.0-prod"],
        ),
        (&[("v1.1.0-prod", None)], &["TagMissing v1.1.0-prod"]),
        (
            &[("v1.2.0-prod", None), ("latest-prod", None)],
            &["TagMissing latest-prod", "TagMissing v1.2.0-prod"],
        ),
    ] {
        let judged = judge(
            &subject,
            &status(ledger.clone()),
            &[look(&ledger, changes)],
            later(1),
        );
        assert_eq!(shown(&judged).2, wanted, "{changes:?}");
    }
}

#[test]
fn a_replica_may_be_behind_and_a_stranger_in_it_is_seen() {
    let ledger = ledger(&["v1.1.0", "v1.0.0"]);
    for (changes, wanted) in [
        (
            &[("latest-prod", Some("v1.0.0")), ("v1.1.0-prod", None)][..],
            &[][..],
        ),
        (&[("latest-prod", None)], &[]),
        (
            &[("latest-prod", Some("strange"))],
            &["TagMoved latest-prod"],
        ),
        (
            &[("v1.0.0-prod", Some("v1.1.0"))],
            &["TagMoved v1.0.0-prod"],
        ),
    ] {
        let mut replica = look(&ledger, changes);
        replica.repository = "replica.example/app".to_owned();
        replica.replica = true;
        let looks = [look(&ledger, &[]), replica];
        let judged = judge(&SUBJECT, &status(ledger.clone()), &looks, later(1));
        assert_eq!(shown(&judged).2, wanted, "{changes:?}");
        let drift = &judged.status.artifacts[0].drift;
        assert!(
            drift
                .iter()
                .all(|one| one.repository == "replica.example/app")
        );
    }
}
