//! Signatures beside an artifact: fetched from its registry, checked without asking anybody else.
//!
//! Two forms, both of `cosign sign`: a Sigstore bundle in a referrer, and the older form under the tag
//! `sha256-….sig` (or in a referrer). What the registry lists is opened, whatever the list says of its type: an
//! index that clients keep by themselves often says nothing true. What cannot be counted in full is an error and
//! never a verdict.
//!
//! Keys are tried on what was signed, and nothing is asked of a transparency log. Keyless signatures go through
//! `sigstore-verify`: chain to the trusted root's authority at the time that the log or a timestamp proves, the
//! certificate log, the entry of the transparency log with its proof or promise, code signing as the purpose.

mod cache;
mod check;
mod find;
mod trust;

use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::timeout;

pub use cache::VerifiedCache;
pub use trust::{InvalidTrust, Trust};

use super::registry::{Problem, Registry, RegistryError};
use crate::domain::artifact::{Digest, Repository};
use crate::domain::signature::Verdict;
use check::check;
use find::{Candidate, candidates_of_referrer, candidates_of_tag};

/// Most signatures and attestations that are looked at.
const CANDIDATES_MAX: usize = 256;
/// Referrers that are opened at the same time.
const SIDE_BY_SIDE: usize = 8;
/// Longest time for all of it: a slow registry delays the promotion, not those of others.
const WITHIN: Duration = Duration::from_mins(2);

/// What the signatures of a digest come to, by these keys and identities.
///
/// # Errors
/// A registry that does not answer, refuses, is too slow, or cannot be believed; more referrers, or more of what
/// could be a signature, than are looked at. What the artifact carries is then unknown.
pub async fn verify_signature(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    trust: &Trust,
) -> Result<Verdict, RegistryError> {
    let all = every_candidate(registry, repository, digest, trust);
    timeout(WITHIN, all).await.unwrap_or_else(|_| {
        let why = format!("that took longer than {} s", WITHIN.as_secs());
        let problem = Problem::Unavailable {
            why,
            retry_after: None,
            ambiguous: false,
        };
        Err(error(repository, digest, problem))
    })
}

async fn every_candidate(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    trust: &Trust,
) -> Result<Verdict, RegistryError> {
    let entries = registry.referrers(repository, digest).await?;
    let opened = stream::iter(entries)
        .map(|entry| candidates_of_referrer(registry, repository, entry))
        .buffered(SIDE_BY_SIDE);
    let under_tag = stream::once(candidates_of_tag(registry, repository, digest));
    let mut found = std::pin::pin!(opened.chain(under_tag));
    let mut verdict = Verdict::default();
    let mut looked_at = 0;
    while let Some(candidates) = found.try_next().await? {
        looked_at += candidates.len();
        if looked_at > CANDIDATES_MAX {
            let problem = Problem::TooLarge {
                what: "the list of its signatures and attestations",
                limit: CANDIDATES_MAX as u64,
                unit: "entries",
            };
            return Err(error(repository, digest, problem));
        }
        for Candidate { place, content } in candidates {
            match check(&content, digest, trust) {
                Ok(by) => verdict.counts(by),
                Err(why) => verdict.refuses(&place, why),
            }
        }
    }
    Ok(verdict)
}

fn error(repository: &Repository, digest: &Digest, problem: Problem) -> RegistryError {
    let place = format!("{repository}@{digest}");
    RegistryError::new("read the signatures", place, problem)
}
