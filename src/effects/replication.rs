//! Brings an artifact into another repository: the whole graph by digest, proof, and tags.
//!
//! Each of these can be done again at any time: what is there is found and not sent again.

use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Client};

use super::clock;
use super::ledger::WRITE_WINDOW;
use super::records::{self, Document};
use super::registry::{
    CopyOptions, Missing, Place, RawManifest, Reference, Registry, RegistryError, TagRefusal,
    copy_graph, missing_from,
};
use super::signatures::{Trust, verify_signature};
use crate::api::EnvironmentPolicy;
use crate::domain::artifact::{Digest, Repository, Tag};
use crate::domain::record::{SigningKey, VSA_TYPE};

/// How often `latest-<suffix>` is put right when the ledger moves on meanwhile.
const TRIES: u32 = 5;

/// A repository, and the client that has access to it.
#[derive(Clone)]
pub struct Site {
    /// Client of its registry.
    pub registry: Registry,
    /// The repository.
    pub repository: Repository,
}

/// Whose `latest-<suffix>` it is: an entry in the ledger of a policy.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Namespace of the policy.
    pub space: String,
    /// Name of the policy.
    pub environment: String,
    /// Artifact.
    pub artifact: String,
    /// UID of the promotion.
    pub uid: String,
    /// The digest that it promoted.
    pub digest: Digest,
}

/// Why it did not come about.
#[derive(Debug, thiserror::Error)]
pub enum NotReplicated {
    /// A registry stopped us.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The write-once tag names another digest.
    #[error(
        "the tag '{tag}' already names another digest, {found}: it is never moved; delete it there if it is wrong"
    )]
    Taken {
        /// The tag.
        tag: Tag,
        /// What it names.
        found: Digest,
    },
    /// Everything was copied, and something is not there.
    #[error("after everything was copied, {} of its parts cannot be found there", .0.len())]
    Missing(Vec<String>),
    /// No signature counts there.
    #[error("no signature counts there, although one counts at the source: {0}")]
    Unsigned(String),
    /// Nobody knows at the moment what the environment holds.
    #[error("the ledger of '{0}' is being read from the registry")]
    NoLedger(String),
    /// The ledger could not be read.
    #[error("cannot read the ledger: {0}")]
    Ledger(#[source] Box<kube::Error>),
}

/// What is checked at a replica beside its parts.
pub struct Terms {
    /// The write-once tag must be free or name the digest.
    pub tag: Tag,
    /// A signature must count by these keys and identities.
    pub signed: Option<Trust>,
    /// What is said of the replica once its tag is there.
    pub summary: Option<Summary>,
}

/// The verification summary of a replica's tag.
pub struct Summary {
    /// The statement.
    pub statement: Vec<u8>,
    /// The key that signs it.
    pub key: Arc<SigningKey>,
}

/// Copies everything that the digest is made of and everything that refers to it.
pub async fn copy(from: &Site, to: &Site, digest: &Digest) -> Result<(), NotReplicated> {
    let report = copy_graph(from.place(), to.place(), digest, &CopyOptions::default()).await?;
    if report.lost().next().is_some() {
        prove(from, to, digest).await?;
    }
    Ok(())
}

/// Copies to a replica without writing a tag: the tag must be free for it.
pub async fn copy_without_tag(
    from: &Site,
    to: &Site,
    digest: &Digest,
    terms: &Terms,
) -> Result<(), NotReplicated> {
    free(to, &terms.tag, digest).await?;
    copy(from, to, digest).await?;
    signed(to, digest, terms.signed.as_ref()).await
}

/// Copies what is not there yet, proves that nothing is missing, and puts the write-once tag on the digest.
pub async fn copy_and_tag(
    from: &Site,
    to: &Site,
    digest: &Digest,
    terms: &Terms,
) -> Result<(), NotReplicated> {
    let tag = &terms.tag;
    free(to, tag, digest).await?;
    let report = copy_graph(from.place(), to.place(), digest, &CopyOptions::default()).await?;
    prove(from, to, digest).await?;
    signed(to, digest, terms.signed.as_ref()).await?;
    match to.registry.tag(&to.repository, tag, &report.root).await {
        Ok(_) => {}
        Err(TagRefusal::Taken { tag, found }) => return Err(NotReplicated::Taken { tag, found }),
        Err(TagRefusal::Registry(error)) => return Err(error.into()),
    }
    let Some(summary) = &terms.summary else {
        return Ok(());
    };
    let document = Document {
        statement: summary.statement.clone(),
        predicate_type: VSA_TYPE.to_owned(),
    };
    let subject = &report.root;
    records::write(
        &to.registry,
        &to.repository,
        subject,
        &[document],
        &summary.key,
        &[],
    )
    .await?;
    Ok(())
}

/// Lets `latest-<suffix>` follow the ledger, as far as that is this promotion's to do: it is moved to its digest
/// while the ledger says that this promotion is the current one, and away from it when an interrupted move has
/// left it there.
///
/// There is no claim here. Instead the ledger is read right before and right after: who was overtaken between
/// the two puts the tag on what the ledger says then.
pub async fn move_latest(
    client: &Client,
    holder: &Holder,
    to: &Site,
    latest: &Tag,
) -> Result<(), NotReplicated> {
    for _ in 0..TRIES {
        let registry = to
            .registry
            .clone()
            .writing_before(clock::instant() + write_window());
        let current = current(client, holder).await?;
        let ours = current.as_ref().is_some_and(|(uid, _)| *uid == holder.uid);
        let wanted = if ours {
            Some(holder.digest.clone())
        } else {
            let named = registry
                .head_manifest(&to.repository, &Reference::from(latest))
                .await?;
            let left_behind = named.is_some_and(|head| head.digest == holder.digest);
            current
                .clone()
                .map(|(_, digest)| digest)
                .filter(|_| left_behind)
        };
        let Some(wanted) = wanted else { return Ok(()) };
        let Some(manifest) = held(&registry, &to.repository, &wanted).await? else {
            if ours {
                let gone = format!("Manifest {wanted}: it is gone from the repository");
                return Err(NotReplicated::Missing(vec![gone]));
            }
            // The promotion that is current now brings it, and moves the tag itself.
            return Ok(());
        };
        registry.move_tag(&to.repository, latest, &manifest).await?;
        if self::current(client, holder).await? == current {
            return Ok(());
        }
    }
    Ok(())
}

/// The tag is free, or names the digest.
async fn free(to: &Site, tag: &Tag, digest: &Digest) -> Result<(), NotReplicated> {
    let named = to
        .registry
        .head_manifest(&to.repository, &Reference::from(tag))
        .await?;
    match named {
        Some(head) if head.digest != *digest => Err(NotReplicated::Taken {
            tag: tag.clone(),
            found: head.digest,
        }),
        Some(_) | None => Ok(()),
    }
}

/// A signature counts there, when one has to.
async fn signed(to: &Site, digest: &Digest, trust: Option<&Trust>) -> Result<(), NotReplicated> {
    let Some(trust) = trust else { return Ok(()) };
    let verdict = verify_signature(&to.registry, &to.repository, digest, trust).await?;
    verdict
        .problem()
        .map_or(Ok(()), |problem| Err(NotReplicated::Unsigned(problem)))
}

/// Looks for everything by digest.
async fn prove(from: &Site, to: &Site, digest: &Digest) -> Result<(), NotReplicated> {
    let missing = missing_from(from.place(), to.place(), digest, &CopyOptions::default()).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let item = |missing: &Missing| {
        let kind = missing.item.kind.as_str();
        format!("{kind} {}: {}", missing.item.digest, missing.why)
    };
    Err(NotReplicated::Missing(missing.iter().map(item).collect()))
}

/// UID and digest of the promotion that the ledger has as the current one, from a quorum of etcd.
async fn current(
    client: &Client,
    holder: &Holder,
) -> Result<Option<(String, Digest)>, NotReplicated> {
    let policies: Api<EnvironmentPolicy> = Api::namespaced(client.clone(), &holder.space);
    let policy = policies
        .get_opt(&holder.environment)
        .await
        .map_err(|error| NotReplicated::Ledger(Box::new(error)))?;
    let ledger = policy
        .and_then(|policy| policy.status)
        .into_iter()
        .flat_map(|status| status.artifacts)
        .find(|ledger| ledger.name == holder.artifact)
        .ok_or_else(|| NotReplicated::NoLedger(holder.environment.clone()))?;
    Ok(ledger
        .current
        .and_then(|entry| Some((entry.uid.unwrap_or_default(), entry.digest.parse().ok()?))))
}

async fn held(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<RawManifest>, RegistryError> {
    registry
        .get_manifest(repository, &Reference::from(digest))
        .await
}

impl Site {
    fn place(&self) -> Place<'_> {
        Place {
            registry: &self.registry,
            repository: &self.repository,
        }
    }
}

/// How long after a look at the ledger something may be written because of it.
fn write_window() -> Duration {
    Duration::try_from(WRITE_WINDOW).unwrap_or_default()
}
