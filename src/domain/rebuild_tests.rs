use jiff::Timestamp;

use super::*;
use crate::domain::policy::Ledger;
use crate::domain::record::{Previous, SeenArtifact};

/// The record with this number, behind the one of the number before it; decisions may have been taken in another
/// order.
fn seen(version: &str, environment: &str, sequence: i64) -> FoundRecord {
    let digest = Digest::of(version.as_bytes());
    let artifact = SeenArtifact {
        name: "app".to_owned(),
        version: version.to_owned(),
        digest,
    };
    let previous = (sequence > 1).then(|| Previous {
        version: "v0".to_owned(),
        digest: String::new(),
        record: record(sequence - 1).to_string(),
        referrer: String::new(),
    });
    let seen = Seen {
        id: format!("uid-{version}-{sequence}"),
        kind: "Promotion".to_owned(),
        name: format!("app-{version}"),
        space: "platform".to_owned(),
        artifact,
        tag: format!("{version}-{environment}"),
        target_environment: environment.to_owned(),
        requested_by: Some("alice".to_owned()),
        decided_at: Timestamp::from_second(100 - sequence).unwrap(),
        sequence,
        previous,
        summary: String::new(),
        gates: Vec::new(),
    };
    let recorded = Recorded {
        record: record(sequence),
        referrer: Digest::of(seen.name.as_bytes()),
        sequence,
        summary: None,
    };
    FoundRecord { recorded, seen }
}

fn record(sequence: i64) -> Digest {
    Digest::of(format!("record {sequence}").as_bytes())
}

fn found(version: &str, records: Vec<FoundRecord>) -> Found {
    Found {
        version: version.parse().unwrap(),
        digest: Digest::of(version.as_bytes()),
        records,
    }
}

fn rebuilt(found: &[Found], latest: Option<&str>) -> LedgerArtifact {
    accepting(found, latest, None)
}

fn accepting(found: &[Found], latest: Option<&str>, accepted: Option<&Digest>) -> LedgerArtifact {
    with_sources(found, latest, accepted, None, ledger)
}

/// What comes of a ledger that was there before, beside what the registry shows.
fn restoring(
    known: &LedgerArtifact,
    found: &[Found],
    latest: &str,
    accepted: Option<&Digest>,
) -> LedgerArtifact {
    with_sources(found, Some(latest), accepted, None, |sources| {
        restored(known, sources)
    })
}

fn with_sources(
    found: &[Found],
    latest: Option<&str>,
    accepted: Option<&Digest>,
    logged: Option<&Promoted>,
    look: impl Fn(&Sources<'_>) -> LedgerArtifact,
) -> LedgerArtifact {
    let latest = latest.map(|version| Digest::of(version.as_bytes()));
    look(&Sources {
        space: "platform",
        environment: "prod",
        artifact: "app",
        found,
        latest: latest.as_ref(),
        accepted: accepted.map(Digest::as_str),
        logged,
    })
}

/// v1.1.0, v1.2.0, ... promoted one after the other.
fn line(count: i64) -> Vec<Found> {
    (1..=count)
        .map(|number| {
            let version = format!("v1.{number}.0");
            found(&version, vec![seen(&version, "prod", number)])
        })
        .collect()
}

fn head(ledger: &LedgerArtifact) -> i64 {
    ledger.audit.as_ref().map_or(0, |audit| audit.sequence)
}

/// The record that the one of the next promotion will name.
fn goes_on_behind(ledger: &LedgerArtifact) -> Digest {
    let ledger = Ledger::of(ledger);
    let (_, before) = ledger.newest_before("another").unwrap();
    before.record.clone()
}

#[test]
fn versions_of_the_environment_come_highest_first_and_other_tags_are_left_out() {
    let tags = [
        "v1.2.0-prod",
        "v1.10.0-prod",
        "latest-prod",
        "v1.2.0",
        "v1.2.0-dev",
        "v2.0.0-prod-rollback",
    ];
    let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let suffixes = ["dev".to_owned(), "prod".to_owned()];
    let names: Vec<String> = versions(&tags, "prod", &suffixes)
        .into_iter()
        .map(|(version, _)| version.to_string())
        .collect();
    assert_eq!(names, ["v1.10.0", "v1.2.0"]);
}

#[test]
fn the_ledger_is_what_the_records_say_newest_first() {
    let found = [
        found(
            "v1.1.0",
            vec![
                seen("v1.1.0", "prod", 3),
                seen("v1.1.0", "prod", 1),
                seen("v1.1.0", "dev", 40),
            ],
        ),
        found("v1.0.0", vec![seen("v1.0.0", "prod", 2)]),
        found("v0.9.0", Vec::new()),
        found("v0.8.0", vec![seen("v0.8.0", "dev", 1)]),
    ];
    let ledger = rebuilt(&found, Some("v1.1.0"));
    let history: Vec<&str> = ledger
        .history
        .iter()
        .map(|entry| entry.version.as_str())
        .collect();
    assert_eq!(
        history,
        ["v1.1.0", "v1.0.0"],
        "without a record of this environment it was not promoted"
    );
    assert_eq!(
        ledger.history[0].uid.as_deref(),
        Some("uid-v1.1.0-3"),
        "the newest record of a version counts"
    );
    assert_eq!((head(&ledger), &ledger.unproven), (3, &None));
    assert_eq!(ledger.current.unwrap().version, "v1.1.0");
}

#[test]
fn a_latest_tag_that_no_record_explains_gives_no_current_version() {
    let found = [found("v1.0.0", vec![seen("v1.0.0", "prod", 1)])];
    for latest in [None, Some("stranger")] {
        let ledger = rebuilt(&found, latest);
        assert_eq!((ledger.current, ledger.unproven), (None, None));
    }
    let elsewhere = Sources {
        space: "other-space",
        environment: "prod",
        artifact: "app",
        found: &found,
        latest: None,
        accepted: None,
        logged: None,
    };
    assert!(ledger(&elsewhere).history.is_empty());
}

#[test]
fn a_promotion_that_was_interrupted_before_latest_leaves_no_doubt() {
    assert_eq!(rebuilt(&line(3), Some("v1.3.0")).unproven, None);
    let interrupted = rebuilt(&line(3), Some("v1.2.0"));
    assert_eq!((head(&interrupted), interrupted.unproven), (3, None));
    assert_eq!(interrupted.current.unwrap().version, "v1.2.0");
}

#[test]
fn records_that_do_not_fit_together_are_said_and_one_can_be_accepted() {
    let mut forked = line(3);
    let mut other = seen("v1.4.0", "prod", 3);
    other.recorded.record = Digest::of(b"a fork");
    forked.push(found("v1.4.0", vec![other]));
    let mut strange = line(3);
    strange[2].records[0].seen.previous.as_mut().unwrap().record = record(9).to_string();
    for (what, found, latest, says) in [
        ("fork", &forked, Some("v1.3.0"), "two records with number 3"),
        (
            "previous",
            &strange,
            Some("v1.3.0"),
            "record 3 does not name record 2",
        ),
        (
            "latest is two behind",
            &line(3),
            Some("v1.1.0"),
            "the newest record is number 3 of v1.3.0",
        ),
        ("no latest", &line(3), None, "something without a record"),
    ] {
        let ledger = rebuilt(found, latest);
        let problem = ledger.unproven.unwrap_or_default();
        assert!(problem.contains(says), "{what}: {problem}");
        let accepted = accepting(found, latest, Some(&record(3)));
        assert_eq!(goes_on_behind(&accepted), record(3), "{what}");
        let audit = accepted.audit.unwrap();
        assert_eq!(
            (audit.record, accepted.unproven),
            (record(3).to_string(), None),
            "{what}"
        );
        let stale = accepting(found, latest, Some(&record(2)));
        assert!(
            stale.unproven.is_some(),
            "{what}: an older record is not the newest"
        );
    }
}

#[test]
fn a_record_that_was_wrapped_again_is_no_second_one() {
    let mut found = line(2);
    let mut again = found[1].records[0].clone();
    again.recorded.referrer = Digest::of(b"another wrapping");
    found[1].records.push(again);
    assert_eq!(rebuilt(&found, Some("v1.2.0")).unproven, None);
}

#[test]
fn a_ledger_from_an_older_copy_catches_up_when_the_records_lead_back_to_it() {
    let known = rebuilt(&line(2), Some("v1.2.0"));
    let all = line(5);
    let shown =
        |found: &[Found], accepted: Option<&Digest>| restoring(&known, found, "v1.5.0", accepted);
    let caught_up = shown(&all, None);
    assert_eq!((head(&caught_up), &caught_up.unproven), (5, &None));
    assert_eq!(caught_up.current.unwrap().version, "v1.5.0");

    let gap = [&all[..3], &all[4..]].concat();
    let doubtful = shown(&gap, None);
    assert_eq!(head(&doubtful), 2, "it stays as it was");
    assert!(
        doubtful
            .unproven
            .unwrap()
            .contains("not all records between them")
    );
    let accepted = shown(&gap, Some(&record(5)));
    assert_eq!((head(&accepted), accepted.unproven), (5, None));
}

#[test]
fn a_registry_that_is_behind_the_ledger_changes_nothing() {
    let known = LedgerArtifact {
        unproven: Some("as long as the registry was restored".to_owned()),
        ..rebuilt(&line(5), Some("v1.5.0"))
    };
    let kept = restoring(&known, &line(3), "v1.3.0", None);
    assert_eq!((head(&kept), kept.unproven), (5, None));
}

#[test]
fn another_record_under_the_number_of_the_ledger_is_said() {
    let known = rebuilt(&line(2), Some("v1.2.0"));
    let mut found = line(2);
    found[1].records[0].recorded.record = Digest::of(b"a fork");
    let doubtful = restoring(&known, &found, "v1.2.0", None);
    assert!(
        doubtful
            .unproven
            .unwrap()
            .contains("the ledger knows record 2 as")
    );
}

/// What a log tells of a promotion with this number.
fn told(sequence: i64) -> Promoted {
    let FoundRecord { recorded, seen } = seen("v1.9.0", "prod", sequence);
    Promoted {
        version: seen.artifact.version,
        digest: seen.artifact.digest.to_string(),
        decided_at: seen.decided_at,
        requested_by: seen.requested_by,
        name: seen.name,
        uid: seen.id,
        recorded,
    }
}

/// What comes of the ledger and the registry of two promotions, beside a log that was told of this record last.
fn beside_the_log(
    sequence: i64,
    content: &Digest,
    accepted: Option<&Digest>,
) -> [LedgerArtifact; 2] {
    let mut logged = told(sequence);
    logged.recorded.record = content.clone();
    let known = rebuilt(&line(2), Some("v1.2.0"));
    let look = |look: &dyn Fn(&Sources<'_>) -> LedgerArtifact| {
        with_sources(&line(2), Some("v1.2.0"), accepted, Some(&logged), look)
    };
    [look(&ledger), look(&|sources| restored(&known, sources))]
}

#[test]
fn a_log_that_tells_no_more_than_ledger_and_registry_leaves_no_doubt() {
    for number in [1, 2] {
        for ledger in beside_the_log(number, &record(number), None) {
            assert_eq!((head(&ledger), ledger.unproven), (2, None), "{number}");
        }
    }
}

#[test]
fn a_log_that_knows_better_than_ledger_and_registry_is_said_and_a_record_can_be_accepted() {
    let other = Digest::of(b"a fork");
    for (number, logged, says) in [
        (3, record(3), "the audit log ends with record 3"),
        (2, other, "the audit log knows record 2 as"),
    ] {
        for ledger in beside_the_log(number, &logged, None) {
            let problem = ledger.unproven.unwrap_or_default();
            assert!(problem.contains(says), "{problem}");
            assert!(problem.contains(logged.as_str()), "{problem}");
        }
        for accepted in [&record(2), &logged] {
            for ledger in beside_the_log(number, &logged, Some(accepted)) {
                assert_eq!(&goes_on_behind(&ledger), accepted);
                let audit = ledger.audit.unwrap();
                assert_eq!(
                    (&audit.record, ledger.unproven),
                    (&accepted.to_string(), None)
                );
            }
        }
        let stale = beside_the_log(number, &logged, Some(&record(1)));
        assert!(stale.iter().all(|ledger| ledger.unproven.is_some()));
    }
}

#[test]
fn a_log_that_knows_of_promotions_leaves_an_empty_registry_in_doubt() {
    let logged = told(1);
    let empty = with_sources(&[], None, None, Some(&logged), ledger);
    let problem = empty.unproven.unwrap_or_default();
    assert!(
        problem.contains("neither ledger nor registry have any"),
        "{problem}"
    );
}

#[test]
fn of_more_versions_than_are_read_the_newest_lead_back_to_the_ledger_or_leave_it_in_doubt() {
    let all = line(60);
    let read = &all[all.len() - VERSIONS_MAX..];
    for (had, leads_back) in [(60, true), (20, true), (10, true), (9, false)] {
        let known = rebuilt(&line(had), Some(&format!("v1.{had}.0")));
        let shown = restoring(&known, read, "v1.60.0", None);
        let wanted = if leads_back { 60 } else { had };
        assert_eq!(
            (head(&shown), shown.unproven.is_none()),
            (wanted, leads_back)
        );
    }
}
