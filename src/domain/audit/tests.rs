//! A chain of 1,000 records, and every way to take one out, to exchange it or to cut the chain.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::domain::artifact::Digest;
use crate::domain::record::{Recorded, predicate_type};

const LENGTH: i64 = 1000;

/// Records by the manifest that holds them.
#[derive(Clone)]
struct World {
    stored: BTreeMap<Digest, Stored>,
    recorded: Vec<Recorded>,
}

fn chain() -> Chain {
    Chain {
        space: "team".to_owned(),
        environment: "prod".to_owned(),
        artifact: "app".to_owned(),
        repository: "r.example/app".parse().unwrap(),
    }
}

fn key() -> Digest {
    Digest::of(b"key")
}

fn digest(number: i64) -> Digest {
    Digest::of(format!("artifact {number}").as_bytes())
}

fn referrer(payload: &[u8]) -> Digest {
    Digest::of(&[b"manifest of ", payload].concat())
}

/// The statement with this number after `previous`.
fn statement(number: i64, previous: Option<&Recorded>) -> Value {
    let about = digest(number);
    let previous = previous.map(|before| {
        json!({
            "version": format!("1.0.{}", number - 1), "digest": digest(number - 1), "record": before.record,
            "referrer": before.referrer,
        })
    });
    let mut predicate = json!({
        "id": format!("u-{number}"), "kind": "Promotion", "name": format!("p-{number}"), "space": "team",
        "operator": {"version": "0.1.0", "instance": "floe-0"},
        "artifact": {"name": "app", "version": format!("1.0.{number}"), "digest": about},
        "repository": "r.example/app", "tag": format!("1.0.{number}-prod"), "targetEnvironment": "prod",
        "requestedBy": "alice", "requestedAt": "2026-03-02T10:00:00Z", "decidedAt": "2026-03-02T10:00:09Z",
        "gates": [], "policy": {"generation": 1, "digest": "x"}, "sequence": number, "summary": Digest::of(b"summary"),
        "result": "Promoted",
    });
    if let Some(previous) = previous {
        predicate["previous"] = previous;
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate_type("prod"),
        "subject": [{"name": "r.example/app", "digest": {"sha256": about.hex()}}], "predicate": predicate,
    })
}

fn stored(statement: &Value, signer: Option<Digest>) -> (Recorded, Stored) {
    let signed = Signed::read(statement.to_string().into_bytes(), signer);
    let recorded = Recorded {
        record: signed.identity.clone(),
        referrer: referrer(&signed.payload),
        sequence: statement["predicate"]["sequence"].as_i64().unwrap(),
        summary: None,
    };
    (recorded, Stored::Signed(Box::new(signed)))
}

fn world() -> World {
    let mut world = World {
        stored: BTreeMap::new(),
        recorded: Vec::new(),
    };
    for number in 1..=LENGTH {
        let (recorded, stored) = stored(&statement(number, world.recorded.last()), Some(key()));
        world.stored.insert(recorded.referrer.clone(), stored);
        world.recorded.push(recorded);
    }
    world
}

impl World {
    fn at(&self, number: i64) -> &Recorded {
        &self.recorded[usize::try_from(number - 1).unwrap()]
    }

    fn signed(&self, number: i64) -> &Signed {
        match &self.stored[&self.at(number).referrer] {
            Stored::Signed(signed) => signed,
            Stored::Absent | Stored::Damaged(_) | Stored::Foreign => panic!("there is none"),
        }
    }

    fn ledger(&self, head: i64) -> Ledger {
        let records = (1..=head).rev().take(50).map(|number| LedgerRecord {
            recorded: self.at(number).clone(),
            version: format!("1.0.{number}"),
            digest: digest(number).to_string(),
        });
        Ledger {
            head: Some(self.at(head).clone()),
            records: records.collect(),
            ..Ledger::default()
        }
    }

    /// Walks to the end; what lies at a manifest may be taken over by `instead`. `found` lies beside tags.
    fn walk(
        &self,
        ledger: Option<&Ledger>,
        instead: &BTreeMap<Digest, Stored>,
        found: &[i64],
    ) -> Verdict {
        let mut trail = Trail::new(chain());
        if let Some(ledger) = ledger {
            trail.start(ledger);
        }
        self.walk_on(&mut trail, instead);
        for number in found {
            trail.found(self.signed(*number), &self.at(*number).referrer);
        }
        self.walk_on(&mut trail, instead);
        if let Some(ledger) = ledger {
            trail.compare_ledger(ledger);
        }
        trail.verdict()
    }

    fn walk_on(&self, trail: &mut Trail, instead: &BTreeMap<Digest, Stored>) {
        while trail.next().is_some() || trail.resume() {
            let Some(link) = trail.next().cloned() else {
                return;
            };
            let referrer = &link.recorded.referrer;
            let there = instead.get(referrer).or_else(|| self.stored.get(referrer));
            trail.step(there.unwrap_or(&Stored::Absent));
        }
    }
}

fn problems(verdict: &Verdict) -> Vec<(i64, Problem)> {
    let bad = verdict.bad.iter();
    bad.map(|bad| (bad.sequence, bad.problem.clone())).collect()
}

fn none() -> BTreeMap<Digest, Stored> {
    BTreeMap::new()
}

#[test]
fn a_whole_chain_is_good_from_the_ledger_and_from_what_lies_beside_a_tag() {
    let world = world();
    for verdict in [
        world.walk(Some(&world.ledger(LENGTH)), &none(), &[]),
        world.walk(None, &none(), &[LENGTH]),
        world.walk(Some(&world.ledger(LENGTH)), &none(), &[1, 500, LENGTH]),
        world.walk(None, &none(), &[500, LENGTH]),
    ] {
        assert_eq!((verdict.good, problems(&verdict)), (LENGTH, vec![]));
        let (number, record, _) = verdict.head.unwrap();
        assert_eq!((number, &record), (LENGTH, &world.at(LENGTH).record));
    }
}

#[test]
fn every_record_that_is_taken_out_is_named() {
    let world = world();
    let ledger = world.ledger(LENGTH);
    for number in 1..=LENGTH {
        let gone = BTreeMap::from([(world.at(number).referrer.clone(), Stored::Absent)]);
        let verdict = world.walk(Some(&ledger), &gone, &[]);
        let mut expected = vec![(number, Problem::Missing)];
        if number > 1 {
            expected.insert(0, (number - 1, Problem::Unreached(number - 1, 1)));
        }
        assert_eq!(problems(&verdict), expected);
        assert_eq!(verdict.good, LENGTH - number);
        let missing = verdict.bad.last().unwrap();
        assert_eq!(missing.record.as_ref(), Some(&world.at(number).record));
        assert_eq!(missing.named_at.is_some(), number < LENGTH);
    }
    // The rest is found again where its version's tag is still there.
    for number in (2..=LENGTH).step_by(83) {
        let gone = BTreeMap::from([(world.at(number).referrer.clone(), Stored::Absent)]);
        let verdict = world.walk(Some(&ledger), &gone, &[number - 1]);
        assert_eq!(problems(&verdict), [(number, Problem::Missing)]);
        assert_eq!(verdict.good, LENGTH - 1);
    }
}

#[test]
fn every_exchange_of_two_neighbours_is_found_at_the_newer_one() {
    let world = world();
    let ledger = world.ledger(LENGTH);
    for number in 1..LENGTH {
        let (older, newer) = (world.at(number), world.at(number + 1));
        let exchanged = BTreeMap::from([
            (
                older.referrer.clone(),
                world.stored[&newer.referrer].clone(),
            ),
            (
                newer.referrer.clone(),
                world.stored[&older.referrer].clone(),
            ),
        ]);
        let verdict = world.walk(Some(&ledger), &exchanged, &[]);
        let worst = verdict.bad.last().unwrap();
        assert_eq!(worst.problem, Problem::OtherRecord(older.record.clone()));
        assert_eq!(
            (worst.sequence, verdict.good),
            (number + 1, LENGTH - number - 1)
        );
    }
}

#[test]
fn every_cut_is_found_at_the_old_end_and_beside_the_ledger_at_the_new_end() {
    let world = world();
    let ledger = world.ledger(LENGTH);
    let mut gone = none();
    for cut in 1..LENGTH {
        gone.insert(world.at(cut).referrer.clone(), Stored::Absent);
        let verdict = world.walk(Some(&ledger), &gone, &[]);
        let worst = verdict.bad.last().unwrap();
        assert_eq!((worst.sequence, &worst.problem), (cut, &Problem::Missing));
        assert_eq!(verdict.good, LENGTH - cut);
    }
    for cut in (1..LENGTH).step_by(7) {
        let gone: BTreeMap<Digest, Stored> = (cut + 1..=LENGTH)
            .map(|number| (world.at(number).referrer.clone(), Stored::Absent))
            .collect();
        let verdict = world.walk(Some(&world.ledger(LENGTH)), &gone, &[cut]);
        assert!(
            verdict
                .bad
                .iter()
                .any(|bad| bad.sequence == LENGTH && bad.problem == Problem::Missing)
        );
        assert_eq!(verdict.good, cut);
    }
}

#[test]
fn a_ledger_from_an_older_copy_is_found_whatever_its_age() {
    let world = world();
    for age in (1..LENGTH).step_by(7) {
        let verdict = world.walk(Some(&world.ledger(age)), &none(), &[LENGTH]);
        assert_eq!(
            problems(&verdict),
            [(LENGTH, Problem::LedgerBehind(Some(age)))]
        );
        assert_eq!(verdict.good, LENGTH, "the records are as good as before");
    }
    let verdict = world.walk(Some(&Ledger::default()), &none(), &[LENGTH]);
    assert_eq!(problems(&verdict), [(LENGTH, Problem::LedgerBehind(None))]);
    // A promotion that has written its record and not yet its ledger is no trouble; two records are.
    let writing = |age: i64| Ledger {
        writing: Some("p".to_owned()),
        ..world.ledger(age)
    };
    assert_eq!(
        problems(&world.walk(Some(&writing(LENGTH - 1)), &none(), &[LENGTH])),
        []
    );
    assert_ne!(
        problems(&world.walk(Some(&writing(LENGTH - 2)), &none(), &[LENGTH])),
        []
    );
}

#[test]
fn every_edit_of_the_ledger_is_found() {
    let world = world();
    let whole = world.ledger(LENGTH);
    for at in 0..50 {
        let edits: [fn(&mut LedgerRecord); 3] = [
            |listed| listed.version = "9.9.9".to_owned(),
            |listed| listed.digest = Digest::of(b"other").to_string(),
            |listed| listed.recorded.record = Digest::of(b"other"),
        ];
        for edit in edits {
            let mut ledger = whole.clone();
            edit(&mut ledger.records[at]);
            let verdict = world.walk(Some(&ledger), &none(), &[]);
            let number = LENGTH - i64::try_from(at).unwrap();
            assert!(
                matches!(problems(&verdict).as_slice(), [(found, Problem::LedgerDiffers { .. })] if *found == number)
            );
        }
    }
    let mut ledger = world.ledger(LENGTH);
    ledger.head.as_mut().unwrap().record = Digest::of(b"other");
    assert!(!world.walk(Some(&ledger), &none(), &[LENGTH]).bad.is_empty());
    let mut ledger = world.ledger(LENGTH);
    ledger.head.as_mut().unwrap().sequence = LENGTH + 1;
    assert!(!world.walk(Some(&ledger), &none(), &[LENGTH]).bad.is_empty());
}

#[test]
fn another_signature_takes_one_record_away_and_no_other() {
    let world = world();
    for number in (1..=LENGTH).step_by(7) {
        let Recorded { referrer, .. } = world.at(number);
        let mut signed = world.signed(number).clone();
        signed.signer = None;
        let resigned = BTreeMap::from([(referrer.clone(), Stored::Signed(Box::new(signed)))]);
        let verdict = world.walk(Some(&world.ledger(LENGTH)), &resigned, &[]);
        let unknown: Vec<_> = problems(&verdict)
            .into_iter()
            .filter(|(_, problem)| *problem == Problem::UnknownKey)
            .collect();
        assert_eq!(unknown, [(number, Problem::UnknownKey)]);
        assert_eq!(verdict.good, LENGTH - 1);
        assert!(problems(&verdict).iter().all(|(at, _)| *at == number));
    }
}

#[test]
fn every_changed_bit_of_a_payload_is_found() {
    let world = world();
    let number = LENGTH - 10;
    let payload = world.signed(number).payload.clone();
    let ledger = world.ledger(LENGTH);
    for bit in 0..payload.len() * 8 {
        let mut changed = payload.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // Even when whoever did it could sign.
        let signed = Stored::Signed(Box::new(Signed::read(changed, Some(key()))));
        let changed = BTreeMap::from([(world.at(number).referrer.clone(), signed)]);
        let verdict = world.walk(Some(&ledger), &changed, &[]);
        let worst = verdict.bad.last().unwrap();
        assert!(
            matches!(worst.problem, Problem::OtherRecord(_)),
            "bit {bit}"
        );
        assert_eq!((worst.sequence, verdict.good), (number, 10));
    }
}

#[test]
fn two_good_records_with_one_number_are_a_fork() {
    let mut world = world();
    let mut other = statement(LENGTH, Some(world.at(LENGTH - 1)));
    other["predicate"]["requestedBy"] = "mallory".into();
    let (recorded, stored) = stored(&other, Some(key()));
    let Stored::Signed(signed) = &stored else {
        panic!()
    };
    let signed = signed.clone();
    world.stored.insert(recorded.referrer.clone(), stored);
    let mut trail = Trail::new(chain());
    trail.start(&world.ledger(LENGTH));
    world.walk_on(&mut trail, &none());
    trail.found(&signed, &recorded.referrer);
    world.walk_on(&mut trail, &none());
    let verdict = trail.verdict();
    let [(LENGTH, Problem::Fork(records))] = &problems(&verdict)[..] else {
        panic!("{:?}", problems(&verdict));
    };
    assert!(records.contains(&recorded.record) && records.contains(&world.at(LENGTH).record));

    // The one that the chain names is gone, and another one has its number.
    let gone = BTreeMap::from([(world.at(LENGTH).referrer.clone(), Stored::Absent)]);
    let (newest, above) = self::stored(&statement(LENGTH + 1, Some(world.at(LENGTH))), Some(key()));
    world.stored.insert(newest.referrer.clone(), above);
    let mut trail = Trail::new(chain());
    trail.start(&Ledger {
        head: Some(newest),
        ..Ledger::default()
    });
    world.walk_on(&mut trail, &gone);
    trail.found(&signed, &recorded.referrer);
    world.walk_on(&mut trail, &gone);
    let verdict = trail.verdict();
    let kinds = problems(&verdict);
    assert!(kinds.contains(&(LENGTH, Problem::Missing)), "{kinds:?}");
    assert!(
        kinds
            .iter()
            .any(|(_, problem)| matches!(problem, Problem::Fork(_))),
        "{kinds:?}"
    );
}

type Change = fn(&mut Value);

#[test]
fn what_belongs_to_another_chain_counts_for_nothing_beside_and_is_wrong_within() {
    let world = world();
    let changes: [(&str, Change); 6] = [
        ("namespace", |s| s["predicate"]["space"] = "other".into()),
        ("environment", |s| {
            s["predicate"]["targetEnvironment"] = "dev".into();
            s["predicateType"] = predicate_type("dev").into();
        }),
        ("artifact", |s| {
            s["predicate"]["artifact"]["name"] = "web".into();
        }),
        ("repository", |s| {
            s["predicate"]["repository"] = "r.example/copy".into();
        }),
        ("version", |s| {
            s["predicate"]["artifact"]["version"] = "2.0.0".into();
        }),
        ("digest", |s| {
            s["predicate"]["artifact"]["digest"] = Digest::of(b"x").to_string().into();
            s["subject"][0]["digest"]["sha256"] = Digest::of(b"x").hex().into();
        }),
    ];
    for (what, change) in changes {
        let mut other = statement(3, Some(world.at(2)));
        change(&mut other);
        let (recorded, stored) = stored(&other, Some(key()));
        let Stored::Signed(signed) = &stored else {
            panic!()
        };
        if !matches!(what, "version" | "digest") {
            let mut trail = Trail::new(chain());
            trail.found(signed, &recorded.referrer);
            assert!(!trail.resume(), "{what}");
        }
        let mut within = world.clone();
        let (head, above) = self::stored(&statement(4, Some(&recorded)), Some(key()));
        within.stored.insert(recorded.referrer.clone(), stored);
        within.stored.insert(head.referrer.clone(), above);
        let ledger = Ledger {
            head: Some(head),
            ..Ledger::default()
        };
        let verdict = within.walk(Some(&ledger), &none(), &[]);
        let [(3, Problem::Elsewhere { what: found, .. })] = &problems(&verdict)[..] else {
            panic!("{what}: {:?}", problems(&verdict));
        };
        assert_eq!((*found, verdict.good), (what, 3));
    }
}

#[test]
fn numbers_and_names_have_to_fit() {
    let world = world();
    let expect = |change: fn(&mut Value), expected: &Problem| {
        let mut head = statement(3, Some(world.at(2)));
        change(&mut head);
        let (mut recorded, stored) = stored(&head, Some(key()));
        recorded.sequence = 3;
        let ledger = Ledger {
            head: Some(recorded.clone()),
            ..Ledger::default()
        };
        let instead = BTreeMap::from([(recorded.referrer, stored)]);
        let verdict = world.walk(Some(&ledger), &instead, &[]);
        assert!(
            problems(&verdict).contains(&(3, expected.clone())),
            "{:?}",
            problems(&verdict)
        );
    };
    expect(
        |s| s["predicate"]["sequence"] = 4.into(),
        &Problem::OtherNumber(4),
    );
    expect(
        |s| {
            s["predicate"].as_object_mut().unwrap().remove("previous");
        },
        &Problem::NoPrevious,
    );
    let mut first = statement(1, None);
    first["predicate"]["previous"] =
        statement(3, Some(world.at(2)))["predicate"]["previous"].clone();
    let (recorded, stored) = stored(&first, Some(key()));
    let instead = BTreeMap::from([(recorded.referrer.clone(), stored)]);
    let ledger = Ledger {
        head: Some(recorded),
        ..Ledger::default()
    };
    let verdict = world.walk(Some(&ledger), &instead, &[]);
    assert_eq!(problems(&verdict), [(1, Problem::PreviousOfFirst)]);
}

#[test]
fn cells_are_quoted_and_formulas_are_not_run() {
    let line = csv_line(["a", "b,c", "d\"e", "f\ng", "", "\u{1b}[31m"]);
    assert_eq!(line, "a,\"b,c\",\"d\"\"e\",\"f\ng\",,\u{fffd}[31m\r\n");
    for formula in [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        " =1",
        "\n=1",
        "\u{ff1d}1",
    ] {
        let line = csv_line([formula]);
        assert!(line.trim_start_matches('"').starts_with('\''), "{line:?}");
    }
    assert_eq!(csv_line(["1=1", "a-b"]), "1=1,a-b\r\n");
}

#[test]
fn a_row_has_a_cell_for_each_column() {
    let world = world();
    let signed = world.signed(2);
    let cells = row(signed.promotion().unwrap(), world.at(2), signed);
    let cell = |name: &str| &cells[COLUMNS.iter().position(|column| *column == name).unwrap()];
    assert_eq!(cell("sequence"), "2");
    assert_eq!(cell("previousRecord"), world.at(1).record.as_str());
    assert_eq!(cell("record"), world.at(2).record.as_str());
    assert_eq!(cell("requestedBy"), "alice");
    assert_eq!(cell("signedBy"), key().as_str());
    let names: std::collections::BTreeSet<_> = COLUMNS.iter().collect();
    assert_eq!(names.len(), COLUMNS.len());
}
