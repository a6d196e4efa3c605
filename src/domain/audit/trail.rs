//! The walk along a chain, and what comes out of it. It keeps some hundred bytes for each record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::content::{Before, Chain, Content, Says, Signed, Stored, Summary};
use super::ledger::Ledger;
use super::problem::{Bad, Problem, Remark};
use crate::domain::artifact::Digest;
use crate::domain::record::Recorded;

/// A record that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which, and where.
    pub recorded: Recorded,
    /// Digest that it is about, when that is known: another copy of it may lie there.
    pub subject: Option<Digest>,
    /// Version that it is about, when that is known.
    version: Option<String>,
    /// When the record that names it was decided.
    named_at: Option<Timestamp>,
}

/// The walk along one chain.
#[derive(Clone, Debug)]
pub struct Trail {
    pub(super) chain: Chain,
    next: Option<Link>,
    pub(super) good: BTreeMap<i64, BTreeMap<Digest, Known>>,
    pub(super) bad: Vec<Bad>,
    /// Records that were asked for.
    seen: BTreeSet<Digest>,
    /// Manifests that were read, and the records in them.
    pub(super) read: BTreeMap<Digest, Digest>,
    /// Records that were found beside a digest, and to which nothing has led yet.
    found: BTreeMap<i64, Vec<Link>>,
    pub(super) remarks: Vec<Remark>,
}

/// What is kept of a good record.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) subject: Digest,
    pub(super) version: String,
    pub(super) tag: String,
    pub(super) summary: Digest,
    pub(super) decided_at: Timestamp,
    /// UID of the request.
    pub(super) request: String,
    /// Audit log of the operator that decided.
    pub(super) log: Option<String>,
}

/// What lies beside a digest, as far as it was signed with a key of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Manifests that are listed.
    pub listed: BTreeSet<Digest>,
    /// Records of the chain: identity, number.
    pub records: BTreeSet<Digest>,
    /// Summaries by identity.
    pub summaries: BTreeMap<Digest, Summary>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many records are good.
    pub good: i64,
    /// The newest good one.
    pub head: Option<(i64, Digest, Timestamp)>,
    /// The oldest good one.
    pub first_at: Option<Timestamp>,
    /// What is wrong, in the order of the chain.
    pub bad: Vec<Bad>,
    /// What is not as records say, beside the chain.
    pub remarks: Vec<Remark>,
}

impl Trail {
    /// Before the first look.
    pub fn new(chain: Chain) -> Self {
        Self {
            chain,
            next: None,
            good: BTreeMap::new(),
            bad: Vec::new(),
            seen: BTreeSet::new(),
            read: BTreeMap::new(),
            found: BTreeMap::new(),
            remarks: Vec::new(),
        }
    }

    /// What it is about.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Begins with the newest record that the ledger names.
    pub fn start(&mut self, ledger: &Ledger) {
        self.next = ledger.head.as_ref().map(|head| Link {
            recorded: head.clone(),
            subject: ledger.subject_of(head),
            version: None,
            named_at: None,
        });
    }

    /// The record to be read next; none at the end of the chain, or where it is cut.
    pub fn next(&self) -> Option<&Link> {
        self.next.as_ref()
    }

    /// Goes on with the newest of the records that were found beside digests and to which nothing has led; false
    /// when there is none.
    pub fn resume(&mut self) -> bool {
        while let Some((_, links)) = self.found.pop_last() {
            let mut links = links.into_iter();
            let unseen = links.find(|link| !self.seen.contains(&link.recorded.record));
            let rest: Vec<Link> = links.collect();
            if let Some(link) = unseen {
                if !rest.is_empty() {
                    self.found.insert(link.recorded.sequence, rest);
                }
                self.next = Some(link);
                return true;
            }
        }
        false
    }

    /// The record in this manifest, when it was read already.
    pub fn read(&self, referrer: &Digest) -> Option<&Digest> {
        self.read.get(referrer)
    }

    /// Takes in what was found for [`Trail::next`]. Gives back the record when it is good.
    pub fn step<'a>(&mut self, stored: &'a Stored) -> Option<&'a Signed> {
        let link = self.next.take()?;
        self.seen.insert(link.recorded.record.clone());
        let (signed, problem) = judge(&self.chain, &link, stored);
        let content = signed.and_then(content_of);
        if let Some(content) = content {
            let Recorded {
                record, referrer, ..
            } = link.recorded.clone();
            self.read.insert(referrer, record);
            self.next = self.after(&link, content);
        }
        let good = problem.is_none().then_some(signed).flatten();
        match (problem, content) {
            (Some(problem), _) => self.bad.push(Bad {
                sequence: link.recorded.sequence,
                record: Some(link.recorded.record),
                referrer: Some(link.recorded.referrer),
                problem,
                decided_at: content.map(|content| content.decided_at),
                named_at: link.named_at,
            }),
            (None, Some(content)) => {
                let known = Known {
                    subject: content.artifact.digest.clone(),
                    version: content.artifact.version.clone(),
                    tag: content.tag.clone(),
                    summary: content.summary.clone(),
                    decided_at: content.decided_at,
                    request: content.id.clone(),
                    log: content.operator.log.clone(),
                };
                let same_number = self.good.entry(link.recorded.sequence).or_default();
                same_number.insert(link.recorded.record, known);
            }
            (None, None) => {}
        }
        good
    }

    /// A record of the chain that lies beside a digest.
    pub fn found(&mut self, signed: &Signed, referrer: &Digest) {
        let Some(content) = signed
            .promotion()
            .filter(|content| content.is_of(&self.chain))
        else {
            return;
        };
        if self.seen.contains(&signed.identity) {
            return;
        }
        let link = Link {
            recorded: Recorded {
                record: signed.identity.clone(),
                referrer: referrer.clone(),
                sequence: content.sequence,
                summary: None,
            },
            subject: Some(content.artifact.digest.clone()),
            version: Some(content.artifact.version.clone()),
            named_at: None,
        };
        self.found.entry(content.sequence).or_default().push(link);
    }

    /// Digests that good records are about.
    pub fn subjects(&self) -> BTreeSet<Digest> {
        let known = self.good.values().flat_map(BTreeMap::values);
        known.map(|known| known.subject.clone()).collect()
    }

    /// Tags that good records have written.
    pub fn tags(&self) -> BTreeSet<String> {
        let known = self.good.values().flat_map(BTreeMap::values);
        known.map(|known| known.tag.clone()).collect()
    }

    pub(super) fn known(&self) -> impl Iterator<Item = (i64, &Digest, &Known)> {
        let all = self.good.iter();
        all.flat_map(|(number, same)| same.iter().map(|(record, known)| (*number, record, known)))
    }

    /// What came out, when everything was looked at.
    pub fn verdict(mut self) -> Verdict {
        self.gaps();
        self.verdict_so_far()
    }

    /// What came out, when not everything could be looked at: what was not seen is not called missing.
    pub fn verdict_so_far(mut self) -> Verdict {
        self.forks();
        self.bad.sort_by_key(|bad| bad.sequence);
        let known = |(number, same): (&i64, &BTreeMap<Digest, Known>)| {
            let (record, known) = same.first_key_value()?;
            Some((*number, record.clone(), known.decided_at))
        };
        let count = self.good.values().map(BTreeMap::len).sum::<usize>();
        Verdict {
            good: i64::try_from(count).unwrap_or(i64::MAX),
            head: self.good.last_key_value().and_then(known),
            first_at: self
                .good
                .first_key_value()
                .and_then(known)
                .map(|(.., at)| at),
            bad: self.bad,
            remarks: self.remarks,
        }
    }

    /// What a record names as the one before it.
    fn after(&self, link: &Link, content: &Content) -> Option<Link> {
        let Before {
            version,
            digest,
            record,
            referrer,
        } = content.previous.as_ref()?;
        let sequence = link.recorded.sequence - 1;
        let known = self.seen.contains(record);
        (sequence > 0 && !known).then(|| Link {
            recorded: Recorded {
                record: record.clone(),
                referrer: referrer.clone(),
                sequence,
                summary: None,
            },
            subject: Some(digest.clone()),
            version: Some(version.clone()),
            named_at: Some(content.decided_at),
        })
    }

    pub(super) fn good_at(&self, number: i64) -> (Option<Digest>, Option<Timestamp>) {
        let mut same_number = self.good.get(&number).into_iter().flatten();
        same_number.next().map_or((None, None), |(record, known)| {
            (Some(record.clone()), Some(known.decided_at))
        })
    }

    /// Different good records with one number; one that is gone and that a later record names counts as good.
    fn forks(&mut self) {
        let mut forks = Vec::new();
        for (number, same) in &self.good {
            let gone = self.bad.iter().filter(|bad| {
                bad.sequence == *number && bad.named_at.is_some() && bad.problem.takes_away()
            });
            let mut records: BTreeSet<Digest> = gone.filter_map(|bad| bad.record.clone()).collect();
            records.extend(same.keys().cloned());
            if records.len() > 1 {
                forks.push(Bad {
                    sequence: *number,
                    record: None,
                    referrer: None,
                    problem: Problem::Fork(records.into_iter().collect()),
                    decided_at: same.values().map(|known| known.decided_at).max(),
                    named_at: None,
                });
            }
        }
        self.bad.extend(forks);
    }

    /// Numbers below the newest at which there is neither a good record nor one that is known to be bad.
    fn gaps(&mut self) {
        let there: BTreeSet<i64> = self
            .good
            .keys()
            .copied()
            .chain(self.bad.iter().map(|bad| bad.sequence))
            .collect();
        let mut gaps = Vec::new();
        let mut below = 0;
        for number in there {
            if number > below + 1 {
                gaps.push((below + 1, number - 1));
            }
            below = below.max(number);
        }
        self.bad.extend(gaps.into_iter().map(|(from, to)| Bad {
            sequence: to,
            record: None,
            referrer: None,
            problem: Problem::Unreached(to, from),
            decided_at: None,
            named_at: None,
        }));
    }
}

impl Problem {
    /// The record is not there any more.
    fn takes_away(&self) -> bool {
        matches!(
            self,
            Self::Missing | Self::Damaged(_) | Self::NotARecord | Self::OtherRecord(_)
        )
    }
}

impl Link {
    /// Whether what lies there is this record, signed with a key of the namespace.
    pub fn is(&self, stored: &Stored) -> bool {
        match stored {
            Stored::Signed(signed) => {
                signed.identity == self.recorded.record && signed.signer.is_some()
            }
            Stored::Absent | Stored::Damaged(_) | Stored::Foreign => false,
        }
    }
}

fn content_of(signed: &Signed) -> Option<&Content> {
    match &signed.says {
        Says::Promotion(content) => Some(content),
        Says::Summary(_) | Says::Other => None,
    }
}

/// What is wrong with what lies there. The statement comes with it when it is the one that was named: what it says
/// is then proven by the record that names it, whoever has signed it.
fn judge<'a>(
    chain: &Chain,
    link: &Link,
    stored: &'a Stored,
) -> (Option<&'a Signed>, Option<Problem>) {
    let signed = match stored {
        Stored::Absent => return (None, Some(Problem::Missing)),
        Stored::Damaged(why) => return (None, Some(Problem::Damaged(why.clone()))),
        Stored::Foreign => return (None, Some(Problem::NotARecord)),
        Stored::Signed(signed) => signed,
    };
    if signed.identity != link.recorded.record {
        let found = signed.identity.clone();
        return (None, Some(Problem::OtherRecord(found)));
    }
    let Some(content) = content_of(signed) else {
        return (None, Some(Problem::NotARecord));
    };
    let problem = match &signed.signer {
        None => Some(Problem::UnknownKey),
        Some(_) => misplaced(chain, link, content),
    };
    (Some(signed), problem)
}

fn misplaced(chain: &Chain, link: &Link, content: &Content) -> Option<Problem> {
    let repository = chain.repository.as_str();
    let about = content.artifact.digest.as_str();
    let version = content.artifact.version.as_str();
    // What only a ledger says of it is compared later.
    let named = link.subject.as_ref().filter(|_| link.named_at.is_some());
    let pairs = [
        ("namespace", chain.space.as_str(), content.space.as_str()),
        (
            "environment",
            &chain.environment,
            &content.target_environment,
        ),
        ("artifact", &chain.artifact, &content.artifact.name),
        ("repository", repository, content.repository.as_str()),
        ("digest", named.map_or(about, Digest::as_str), about),
        (
            "version",
            link.version.as_deref().unwrap_or(version),
            version,
        ),
    ];
    let differs = pairs
        .into_iter()
        .find(|(_, expected, found)| expected != found);
    if let Some((what, expected, found)) = differs {
        return Some(Problem::Elsewhere {
            what,
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }
    let expected = link.recorded.sequence;
    match (&content.previous, content.sequence) {
        (_, number) if number != expected => Some(Problem::OtherNumber(number)),
        (None, number) if number != 1 => Some(Problem::NoPrevious),
        (Some(_), 1) => Some(Problem::PreviousOfFirst),
        _ => None,
    }
}
