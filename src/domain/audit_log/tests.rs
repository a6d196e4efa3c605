//! What a log shows of what was done to it.

use jiff::Timestamp;

use super::*;
use crate::domain::artifact::Digest;

const LINES: usize = 100;

/// A log of 100 lines, each with its end.
fn log() -> Vec<Vec<u8>> {
    let mut head = Head::new("20260302T100000Z-0123456789abcdef".to_owned());
    let mut lines = Vec::new();
    for number in 0..LINES {
        let event = match number {
            0 => Event::Opened,
            number if number % 2 == 0 => Event::Result,
            _ => Event::Intent,
        };
        let mut entry = Entry::of(event);
        if event != Event::Opened {
            entry.request = Some(about(number));
            entry.decided_at = Some(Timestamp::UNIX_EPOCH);
        }
        if event == Event::Result {
            entry.reason = Some("Promoted".to_owned());
            entry.message = Some("v1.0.0 is in dev".to_owned());
        }
        let (mut bytes, next) = Line::after(&head, Timestamp::UNIX_EPOCH, "floe-0", entry);
        bytes.push(b'\n');
        lines.push(bytes);
        head = next;
    }
    lines
}

fn about(number: usize) -> About {
    About {
        kind: "Promotion".to_owned(),
        name: format!("promotion-{number}"),
        uid: format!("uid-{number}"),
        space: "team".to_owned(),
        environment: "dev".to_owned(),
        artifact: Some("platform".to_owned()),
        version: "v1.0.0".to_owned(),
        digest: Some(Digest::of(b"artifact").to_string()),
        repository: Some("registry.example/team/platform".to_owned()),
        tag: Some("v1.0.0-dev".to_owned()),
        requested_by: Some("alice".to_owned()),
        on_behalf_of: None,
        dry_run: false,
    }
}

fn verified(bytes: &[u8]) -> Result<End, Broken> {
    verified_from(Start::First, bytes)
}

fn verified_from(from: Start, bytes: &[u8]) -> Result<End, Broken> {
    let mut verifier = Verifier::new(from);
    verifier.push(bytes, |_, _| {})?;
    Ok(verifier.end())
}

fn head_of(lines: &[Vec<u8>]) -> Head {
    verified(&lines.concat()).unwrap().head.unwrap()
}

#[test]
fn a_log_that_nobody_has_touched_is_in_order_in_whatever_pieces_it_is_read() {
    let bytes = log().concat();
    for size in [1, 7, 4096, bytes.len()] {
        let mut verifier = Verifier::new(Start::First);
        let mut seen = Vec::new();
        for piece in bytes.chunks(size) {
            let told = verifier.push(piece, |line, digest| {
                seen.push((line.sequence, digest.clone()));
            });
            assert_eq!(told, Ok(()));
        }
        let end = verifier.end();
        assert_eq!(end.lines, 100);
        assert_eq!(end.torn, None);
        let head = end.head.unwrap();
        assert_eq!(
            (head.sequence, head.digest),
            seen.pop().map(|(n, d)| (n, Some(d))).unwrap()
        );
        assert_eq!(seen.len(), 99);
    }
}

#[test]
fn every_line_that_is_taken_out_is_missed() {
    let lines = log();
    for gone in 0..LINES - 1 {
        let mut left = lines.clone();
        left.remove(gone);
        let broken = verified(&left.concat()).unwrap_err();
        assert_eq!(broken.line, gone as u64 + 1, "without line {}", gone + 1);
    }
    // The last one is missed by who knows how the log ended.
    assert_ne!(head_of(&lines[..LINES - 1]), head_of(&lines));
}

#[test]
fn every_two_lines_that_change_places_are_found() {
    let lines = log();
    for one in 0..LINES {
        for other in one + 1..LINES {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            let broken = verified(&swapped.concat()).unwrap_err();
            assert_eq!(broken.line, one as u64 + 1, "{one} for {other}");
        }
    }
}

#[test]
fn a_line_that_is_there_twice_is_found() {
    let lines = log();
    for twice in 0..LINES {
        let mut doubled = lines.clone();
        doubled.insert(twice, lines[twice].clone());
        assert_eq!(
            verified(&doubled.concat()).unwrap_err().line,
            twice as u64 + 2
        );
    }
}

#[test]
fn a_log_cut_off_anywhere_is_a_torn_tail_or_ends_earlier_than_it_did() {
    let lines = log();
    let bytes = lines.concat();
    let whole = head_of(&lines);
    for length in 0..bytes.len() {
        // What comes before the line in which it is cut is in order: it is enough to begin there.
        let from = line_of(&bytes, length);
        let tail = &bytes[from..length];
        let end = verified_from(Start::Any, tail).unwrap();
        assert_ne!(end.head.as_ref(), Some(&whole), "cut at {length}");
        match end.torn {
            None => assert!(tail.is_empty(), "cut at {length}"),
            Some(torn) => {
                assert_eq!(torn.digest, Digest::of(tail));
                assert_eq!(torn.bytes, tail.len() as u64);
            }
        }
    }
    for kept in 0..LINES {
        let end = verified(&lines[..kept].concat()).unwrap();
        assert_eq!(end.lines, kept as u64);
        assert_ne!(end.head, Some(whole.clone()));
    }
}

#[test]
fn every_single_bit_that_flips_is_found_or_leaves_a_torn_tail() {
    let lines = log();
    let bytes = lines.concat();
    let whole = head_of(&lines);
    let mut torn = 0;
    for at in 0..bytes.len() {
        // All bits of the last line, one of each byte before: each costs a look at the whole log.
        let last = at >= bytes.len() - lines[LINES - 1].len();
        let bits = if last { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            // What comes before the line with the flip is in order: it is enough to begin there.
            let from = line_of(&bytes, at);
            match verified_from(Start::Any, &flipped[from..]) {
                Err(_) => {}
                Ok(end) => {
                    assert!(end.torn.is_some(), "bit {bit} of byte {at} was not found");
                    assert_ne!(end.head, Some(whole.clone()));
                    torn += 1;
                }
            }
        }
    }
    assert_eq!(
        torn, 8,
        "only the end of the last line can become a torn tail"
    );
}

/// Where the line that holds this byte begins.
fn line_of(bytes: &[u8], at: usize) -> usize {
    let before = bytes[..at].iter().rposition(|byte| *byte == b'\n');
    before.map_or(0, |end| end + 1)
}

#[test]
fn a_change_with_a_new_check_sum_is_found_by_the_next_line() {
    let lines = log();
    for changed in 0..LINES - 1 {
        let text = lines[changed].strip_suffix(b"\n").unwrap();
        let Line {
            sequence,
            previous,
            at,
            operator,
            event,
            request,
            ..
        } = Line::read(text).unwrap();
        let head = Head {
            log_id: "20260302T100000Z-0123456789abcdef".to_owned(),
            sequence: sequence - 1,
            digest: previous,
        };
        let forged = Entry {
            request: request.map(|about| About {
                requested_by: Some("mallory".to_owned()),
                ..about
            }),
            message: Some("forged".to_owned()),
            ..Entry::of(event)
        };
        let (mut bytes, _) = Line::after(&head, at, &operator, forged);
        bytes.push(b'\n');
        let mut with = lines.clone();
        with[changed] = bytes;
        let broken = verified(&with.concat()).unwrap_err();
        assert_eq!(
            broken,
            Broken {
                line: changed as u64 + 2,
                problem: Problem::NotTheLineBefore
            }
        );
    }
}

#[test]
fn a_line_of_another_log_is_found() {
    let mut lines = log();
    let head = Head {
        log_id: "other".to_owned(),
        ..head_of(&lines)
    };
    let (mut bytes, _) = Line::after(
        &head,
        Timestamp::UNIX_EPOCH,
        "floe-0",
        Entry::of(Event::Opened),
    );
    bytes.push(b'\n');
    lines.push(bytes);
    let broken = verified(&lines.concat()).unwrap_err();
    assert!(
        matches!(broken.problem, Problem::OtherLog { .. }),
        "{broken}"
    );
}

#[test]
fn a_log_may_be_read_from_a_later_file_but_not_from_its_middle_as_a_whole() {
    let lines = log();
    let later = lines[40..].concat();
    assert_eq!(
        verified_from(Start::Any, &later).unwrap().head,
        Some(head_of(&lines))
    );
    assert_eq!(
        verified(&later).unwrap_err(),
        Broken {
            line: 1,
            problem: Problem::OutOfOrder {
                expected: 1,
                found: 41
            }
        }
    );
}

#[test]
fn a_line_without_end_is_refused_before_memory_is_full() {
    let mut verifier = Verifier::new(Start::First);
    let mut fed = 0;
    let broken = loop {
        match verifier.push(&[b'x'; 1000], |_, _| {}) {
            Ok(()) => fed += 1000,
            Err(broken) => break broken,
        }
    };
    assert_eq!(broken.problem, Problem::TooLong);
    assert!(fed < LINE_MAX);
}

#[test]
fn what_is_too_long_is_cut_and_the_line_fits() {
    let long = || "\u{1}".repeat(5000);
    let some = || Some(long());
    let mut entry = Entry::of(Event::Result);
    entry.request = Some(About {
        kind: long(),
        name: long(),
        uid: long(),
        space: long(),
        environment: long(),
        artifact: some(),
        version: long(),
        digest: some(),
        repository: some(),
        tag: some(),
        requested_by: some(),
        on_behalf_of: some(),
        dry_run: true,
    });
    entry.reason = some();
    entry.message = some();
    entry.chain = Some(Chain {
        sequence: Some(u64::MAX),
        record: some(),
        referrer: some(),
    });
    entry.broken_logs = vec![long(); 100];
    let (bytes, _) = Line::after(&Head::new("log".to_owned()), Timestamp::MAX, &long(), entry);
    assert!(bytes.len() < LINE_MAX, "{}", bytes.len());
    assert!(Line::read(&bytes).is_ok());
}

#[test]
fn an_unknown_field_is_no_line() {
    let text = String::from_utf8(log().remove(0)).unwrap();
    let more = text.trim_end().replacen('{', r#"{"more":1,"#, 1);
    assert!(matches!(
        Line::read(more.as_bytes()),
        Err(NotALine::Form(_))
    ));
}

#[test]
fn an_intent_a_take_over_and_an_end_are_told_once_each() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let told = |event, second| {
        let mut entry = Entry::of(event);
        entry.request = Some(about(1));
        entry.decided_at = Some(at(second));
        entry.told_once(at(second))
    };
    assert_eq!(told(Event::Intent, 1), told(Event::Intent, 1));
    assert_ne!(told(Event::Intent, 1), told(Event::Intent, 2));
    assert_eq!(told(Event::Result, 1), told(Event::Result, 2));
    assert_ne!(told(Event::Result, 1), told(Event::Intent, 1));
    assert_eq!(told(Event::TakeOver, 1), told(Event::TakeOver, 1));
    assert_ne!(told(Event::TakeOver, 1), told(Event::TakeOver, 2));
    assert_eq!(Entry::of(Event::Opened).told_once(at(1)), None);
}

#[test]
fn the_newest_record_of_a_chain_is_that_of_the_promotion_told_last() {
    let told = |event, reason: &str, number, dev: &str| {
        let mut entry = Entry::of(event);
        entry.request = Some(About {
            environment: dev.to_owned(),
            ..about(1)
        });
        entry.reason = Some(reason.to_owned());
        entry.decided_at = Some(Timestamp::UNIX_EPOCH);
        entry.chain = Some(Chain {
            sequence: Some(number),
            record: Some(Digest::of(&number.to_be_bytes()).to_string()),
            referrer: Some(Digest::of(b"referrer").to_string()),
        });
        entry
    };
    let mut newest = NewestRecords::default();
    for entry in [
        told(Event::Result, "Promoted", 7, "dev"),
        // Accepted at a lower number, and gone on from there.
        told(Event::Result, "Promoted", 4, "dev"),
        told(Event::Intent, "Promoted", 8, "dev"),
        told(Event::Result, "AlreadyPromoted", 9, "dev"),
        told(Event::Result, "Promoted", 2, "prod"),
        Entry::of(Event::Opened),
    ] {
        newest.entry(&entry);
    }
    let number = |environment: &str, repository: &str| {
        let name = ChainName {
            space: "team".to_owned(),
            environment: environment.to_owned(),
            artifact: "platform".to_owned(),
            repository: repository.to_owned(),
        };
        newest.of(&name).map(|newest| newest.recorded.sequence)
    };
    let repository = "registry.example/team/platform";
    assert_eq!(number("dev", repository), Some(4));
    assert_eq!(number("prod", repository), Some(2));
    assert_eq!(number("staging", repository), None);
    assert_eq!(number("dev", "registry.example/moved"), None);
}
