//! What lies in a registry where a record may be, and what it says.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::artifact::{Digest, Repository};
use crate::domain::record::{Envelope, KeyRing, PublicKey, VSA_TYPE, predicate_type};

/// A chain of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Namespace.
    pub space: String,
    /// Environment.
    pub environment: String,
    /// Artifact.
    pub artifact: String,
    /// Repository in which the records lie.
    pub repository: Repository,
}

/// What lies where a record may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Nothing.
    Absent,
    /// Other bytes than those that were stored; why that is known.
    Damaged(String),
    /// Something that is no signed statement.
    Foreign,
    /// A signed statement.
    Signed(Box<Signed>),
}

/// A signed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// SHA-256 of what was signed.
    pub identity: Digest,
    /// Id of the key that has signed it; absent when it is none of the namespace's.
    pub signer: Option<Digest>,
    /// What was signed.
    pub payload: Vec<u8>,
    /// What that says.
    pub says: Says,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// It is the record of a promotion.
    Promotion(Box<Content>),
    /// It is the summary beside a record.
    Summary(Summary),
    /// Something else.
    Other,
}

/// What is read from a record. What a later version of floe adds is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// UID of the request.
    pub id: String,
    /// Name of the request.
    pub name: String,
    /// Namespace.
    pub space: String,
    /// Operator that decided.
    pub operator: OperatorName,
    /// What was promoted.
    pub artifact: PromotedArtifact,
    /// Where it lies.
    pub repository: Repository,
    /// Tag that was written.
    pub tag: String,
    /// Where it came from.
    #[serde(default)]
    pub source_environment: Option<String>,
    /// Environment that it entered.
    pub target_environment: String,
    /// Who asked.
    #[serde(default)]
    pub requested_by: Option<String>,
    /// For whom automation asked.
    #[serde(default)]
    pub on_behalf_of: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What was found out about signatures.
    #[serde(default)]
    pub signature: Option<SignatureResult>,
    /// What was checked.
    #[serde(default)]
    pub gates: Vec<GateResult>,
    /// Policy in force.
    pub policy: PolicyName,
    /// Number in the chain.
    pub sequence: i64,
    /// The record before it.
    #[serde(default)]
    pub previous: Option<Before>,
    /// Identity of the summary beside it.
    pub summary: Digest,
    /// `Promoted`.
    pub result: String,
}

/// What was promoted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PromotedArtifact {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Digest.
    pub digest: Digest,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OperatorName {
    /// Version of floe.
    pub version: String,
    /// Name of its process.
    pub instance: String,
    /// Name of its audit log.
    #[serde(default)]
    pub log: Option<String>,
}

/// A policy at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PolicyName {
    /// Generation.
    pub generation: i64,
    /// SHA-256 of its specification.
    pub digest: String,
}

/// What was found out about signatures.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SignatureResult {
    /// One counted.
    pub verified: bool,
}

/// How a gate ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// Name.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub gate_type: String,
    /// `Passed` or `Warned`.
    pub outcome: String,
    /// In words.
    #[serde(default)]
    pub summary: Option<String>,
}

/// The record before a record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Before {
    /// Version.
    pub version: String,
    /// Digest that was promoted.
    pub digest: Digest,
    /// Identity of the record.
    pub record: Digest,
    /// Manifest that holds it.
    pub referrer: Digest,
}

/// What the summary beside a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Digest that it is about.
    pub subject: String,
    /// Repository and tag.
    pub resource: String,
    /// `PASSED`.
    pub result: String,
}

impl Stored {
    /// What a bundle holds.
    pub fn of(bundle: &[u8], keys: &KeyRing) -> Self {
        let Ok(envelope) = Envelope::open(bundle) else {
            return Self::Foreign;
        };
        let signer = keys.signer_of(&envelope).map(PublicKey::id);
        Self::Signed(Box::new(Signed::read(envelope.payload().to_vec(), signer)))
    }
}

impl Signed {
    /// A statement, and the key that has signed it, when that is one of the namespace.
    pub fn read(payload: Vec<u8>, signer: Option<Digest>) -> Self {
        Self {
            identity: Digest::of(&payload),
            signer,
            says: says(&payload),
            payload,
        }
    }

    /// The record in it, when it is one that a key of the namespace has signed.
    pub fn promotion(&self) -> Option<&Content> {
        match &self.says {
            Says::Promotion(content) if self.signer.is_some() => Some(content),
            Says::Promotion(_) | Says::Summary(_) | Says::Other => None,
        }
    }

    /// The summary in it, when a key of the namespace has signed it.
    pub fn summary(&self) -> Option<&Summary> {
        match &self.says {
            Says::Summary(summary) if self.signer.is_some() => Some(summary),
            Says::Promotion(_) | Says::Summary(_) | Says::Other => None,
        }
    }
}

impl Content {
    /// Whether it belongs to this chain.
    pub fn is_of(&self, chain: &Chain) -> bool {
        self.space == chain.space
            && self.target_environment == chain.environment
            && self.artifact.name == chain.artifact
            && self.repository == chain.repository
    }

    /// Whether this person asked for it, or had it asked for.
    pub fn concerns(&self, person: &str) -> bool {
        [&self.requested_by, &self.on_behalf_of]
            .into_iter()
            .any(|name| name.as_deref() == Some(person))
    }
}

/// What a statement says: of a promotion only when it is about the digest, and of the type, that its own words name.
fn says(payload: &[u8]) -> Says {
    read(payload).unwrap_or(Says::Other)
}

fn read(payload: &[u8]) -> Option<Says> {
    let mut statement: Value = serde_json::from_slice(payload).ok()?;
    let subjects = statement.get("subject")?.as_array()?;
    let [subject] = subjects.as_slice() else {
        return None;
    };
    let subject = subject.pointer("/digest/sha256")?.as_str()?.to_owned();
    let kind = statement.get("predicateType")?.as_str()?.to_owned();
    let predicate = statement.get_mut("predicate")?.take();
    if kind == VSA_TYPE {
        let text = |name: &str| predicate.get(name)?.as_str().map(str::to_owned);
        return Some(Says::Summary(Summary {
            subject: format!("sha256:{subject}"),
            resource: text("resourceUri")?,
            result: text("verificationResult")?,
        }));
    }
    let content: Content = serde_json::from_value(predicate).ok()?;
    let own = content.artifact.digest.hex() == subject
        && kind == predicate_type(&content.target_environment);
    own.then(|| Says::Promotion(Box::new(content)))
}
