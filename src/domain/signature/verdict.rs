//! What all that was found beside an artifact comes to: one good signature is enough.

use serde::{Deserialize, Serialize};

use super::claim::Unfit;
use crate::domain::artifact::Digest;

/// Most signers that are kept by name.
const BY_MAX: usize = 16;
/// Most reasons that are kept, and that a message gives.
const REASONS_MAX: usize = 8;
/// Most characters of one reason.
const REASON_MAX: usize = 260;

/// What was found beside an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    by: Vec<String>,
    count: i64,
    refused: Vec<String>,
    refused_count: usize,
    attestations: Vec<String>,
    attestation_count: usize,
}

/// A verdict, and the part of the policy under which it was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObservedSignature {
    /// Digest of the keys and identities in the policy.
    pub rule: Digest,
    /// At least one signature counts.
    pub verified: bool,
    /// Whose.
    pub by: Vec<String>,
    /// How many count.
    pub count: i64,
    /// Why none counts.
    pub problem: Option<String>,
}

impl Verdict {
    /// A signature that counts.
    pub fn counts(&mut self, by: String) {
        self.count = self.count.saturating_add(1);
        if self.by.len() < BY_MAX && !self.by.contains(&by) {
            self.by.push(by);
        }
    }

    /// Something that does not count: where it lies, and why.
    pub fn refuses(&mut self, place: &str, why: Unfit) {
        match why {
            Unfit::Wrong(why) => {
                self.refused_count += 1;
                keep(&mut self.refused, &format!("{place}: {why}"));
            }
            Unfit::Attestation(kind) => {
                self.attestation_count += 1;
                let text = format!("{place}: it is an attestation of type '{kind}', no signature");
                keep(&mut self.attestations, &text);
            }
        }
    }

    /// At least one signature counts.
    pub fn verified(&self) -> bool {
        self.count > 0
    }

    /// Whose signatures count.
    pub fn by(&self) -> &[String] {
        &self.by
    }

    /// Why no signature counts; `None` when one does.
    pub fn problem(&self) -> Option<String> {
        if self.verified() {
            return None;
        }
        let found = self.refused_count + self.attestation_count;
        if found == 0 {
            return Some("nobody has signed it".to_owned());
        }
        let reasons: Vec<&str> = self
            .refused
            .iter()
            .chain(&self.attestations)
            .take(REASONS_MAX)
            .map(String::as_str)
            .collect();
        let more = match found - reasons.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        Some(format!("no signature counts: {}{more}", reasons.join("; ")))
    }

    /// For the status, under the part of the policy that asked.
    pub fn observed(&self, rule: Digest) -> ObservedSignature {
        ObservedSignature {
            rule,
            verified: self.verified(),
            by: self.by.clone(),
            count: self.count,
            problem: self.problem(),
        }
    }
}

fn keep(reasons: &mut Vec<String>, text: &str) {
    if reasons.len() < REASONS_MAX {
        reasons.push(super::shown(text, REASON_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_signature_is_enough_and_the_bad_ones_beside_it_do_not_matter() {
        let mut verdict = Verdict::default();
        verdict.refuses("referrer a", Unfit::Wrong("another key".to_owned()));
        assert!(!verdict.verified());
        verdict.counts("alice".to_owned());
        verdict.counts("alice".to_owned());
        assert_eq!(verdict.by(), ["alice"]);
        let seen = verdict.observed(Digest::of(b"rule"));
        assert_eq!((seen.verified, seen.count, seen.problem), (true, 2, None));
    }

    #[test]
    fn the_message_gives_reasons_attestations_last_and_stays_short() {
        assert_eq!(
            Verdict::default().problem().as_deref(),
            Some("nobody has signed it")
        );
        let mut verdict = Verdict::default();
        for number in 0..500 {
            verdict.refuses(
                &format!("sbom {number}"),
                Unfit::Attestation("x".repeat(999)),
            );
        }
        verdict.refuses("referrer a", Unfit::Wrong("another key".to_owned()));
        let said = verdict.problem().unwrap();
        assert!(said.starts_with("no signature counts: referrer a: another key; sbom 0"));
        assert!(said.ends_with("; and 493 more"), "{said}");
        assert!(said.chars().count() < 3000);
    }
}
