//! Counts findings, and keeps as many of their ids as a summary may show.

use std::collections::{BTreeMap, BTreeSet};

use super::{Allowed, Count, Counts, FoundId, Level, Scan};
use crate::secrets::known_form;

/// Most bytes of an id.
pub(super) const MAX_ID_BYTES: usize = 64;
/// Most different ids of one severity that are held in memory.
const MAX_HELD: usize = 10_000;
/// Most ids that are handed on; a summary has room for fewer.
const MAX_IDS: usize = 100;

/// Findings so far.
pub(super) struct Tally<'a> {
    allow: &'a [String],
    counts: Counts,
    ids: BTreeMap<Level, BTreeSet<String>>,
    /// Findings whose id could not be held.
    beyond: u64,
    allowed: BTreeMap<(&'a str, Level), Count>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(allow: &'a [String]) -> Self {
        Self {
            allow,
            counts: Counts::default(),
            ids: BTreeMap::new(),
            beyond: 0,
            allowed: BTreeMap::new(),
        }
    }

    /// Adds one finding.
    pub(super) fn add(&mut self, id: &str, level: Level, unfixed: bool) {
        let unfixed = unfixed.into();
        self.add_all(id, level, Count { total: 1, unfixed });
    }

    /// Adds findings that have all the same id, which may be empty.
    pub(super) fn add_all(&mut self, id: &str, level: Level, count: Count) {
        // Compared as it stands: two ids may look the same once they are cleaned.
        if let Some(known) = self
            .allow
            .iter()
            .find(|known| !id.is_empty() && *known == id)
        {
            *self.allowed.entry((known, level)).or_default() += count;
            return;
        }
        *self.counts.of_mut(level) += count;
        if id.is_empty() {
            return;
        }
        let held = self.ids.entry(level).or_default();
        let id = clean(id, MAX_ID_BYTES, false);
        if held.len() < MAX_HELD {
            held.insert(id);
        } else if !held.contains(&id) {
            self.beyond += count.total;
        }
    }

    pub(super) fn finish(self) -> Scan {
        let mut seen = BTreeSet::new();
        let mut ids = Vec::new();
        for (level, held) in self.ids {
            for id in held {
                if !seen.contains(&id) {
                    if ids.len() < MAX_IDS {
                        ids.push(FoundId {
                            level,
                            id: id.clone(),
                        });
                    }
                    seen.insert(id);
                }
            }
        }
        Scan {
            counts: self.counts,
            omitted: (seen.len() - ids.len()) as u64 + self.beyond,
            ids,
            allowed: self
                .allowed
                .into_iter()
                .map(|((id, level), count)| Allowed {
                    id: id.to_owned(),
                    level,
                    count,
                })
                .collect(),
        }
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.unfixed += other.unfixed;
    }
}

/// The severity that scanners call so.
pub(super) fn severity(word: &str) -> Level {
    match word.to_ascii_lowercase().as_str() {
        "critical" => Level::Critical,
        "high" => Level::High,
        "medium" => Level::Medium,
        "low" | "negligible" => Level::Low,
        _ => Level::Unknown,
    }
}

/// Whether the text may be shown as it is: it comes from a report, and goes to terminals and browsers.
pub(super) fn is_clean(text: &str, max: usize, spaces: bool) -> bool {
    text.len() <= max && text.chars().all(|character| is_shown(character, spaces))
}

/// The text with `?` for what is not shown, cut at this many bytes.
pub(super) fn clean(text: &str, max: usize, spaces: bool) -> String {
    if known_form(text).is_some() {
        return crate::redact::REDACTED.to_owned();
    }
    let mut clean = String::new();
    for character in text.chars() {
        let character = if is_shown(character, spaces) {
            character
        } else {
            '?'
        };
        if clean.len() + character.len_utf8() > max {
            break;
        }
        clean.push(character);
    }
    clean
}

fn is_shown(character: char, spaces: bool) -> bool {
    character.is_ascii_graphic() || character.is_alphanumeric() || (spaces && character == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_several_severities_is_listed_with_the_worst() {
        let mut tally = Tally::new(&[]);
        tally.add("CVE-2", Level::Low, false);
        tally.add("CVE-2", Level::High, true);
        tally.add("CVE-1", Level::Low, true);
        tally.add("", Level::Low, false);
        let scan = tally.finish();
        let listed: Vec<_> = scan
            .ids
            .iter()
            .map(|found| (found.level, found.id.as_str()))
            .collect();
        assert_eq!(listed, [(Level::High, "CVE-2"), (Level::Low, "CVE-1")]);
        assert_eq!(
            scan.counts.low,
            Count {
                total: 3,
                unfixed: 1
            }
        );
        assert_eq!(scan.omitted, 0);
    }

    #[test]
    fn ids_on_the_list_are_counted_apart_and_only_when_they_are_exactly_the_same() {
        let allow = ["CVE-1".to_owned(), String::new()];
        let mut tally = Tally::new(&allow);
        for id in ["CVE-1", "CVE-1", "CVE-1 ", "cve-1", "CVE-11", ""] {
            tally.add(id, Level::High, false);
        }
        let scan = tally.finish();
        assert_eq!(scan.counts.high.total, 4);
        assert_eq!(scan.allowed.len(), 1);
        assert_eq!(scan.allowed[0].count.total, 2);
    }

    #[test]
    fn many_ids_are_counted_and_a_hundred_of_the_worst_are_listed() {
        let mut tally = Tally::new(&[]);
        for n in 0..12_000 {
            tally.add(&format!("LOW-{n}"), Level::Low, false);
        }
        tally.add("CVE-1", Level::Critical, false);
        let scan = tally.finish();
        assert_eq!(scan.ids[0].id, "CVE-1");
        assert_eq!((scan.ids.len(), scan.omitted), (100, 11_901));
        assert_eq!(scan.counts.low.total, 12_000);
    }

    #[test]
    fn ids_become_printable_and_short() {
        assert_eq!(clean("a b\n\u{1b}[1m\u{202e}ä", 64, false), "a?b??[1m?ä");
        assert_eq!(clean("a b\tc", 64, true), "a b?c");
        assert_eq!(clean(&"ä".repeat(50), 63, false), "ä".repeat(31));
        let token = format!("ghp_{}", "a1B2".repeat(9));
        assert_eq!(clean(&token, 64, false), "[redacted]");
        assert!(
            is_clean("a b", 3, true) && !is_clean("a b", 3, false) && !is_clean("abc", 2, true)
        );
    }
}
