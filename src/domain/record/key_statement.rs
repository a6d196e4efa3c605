//! What keys say of keys: one names its successor, one revokes another. In-toto statements in the form of records, so
//! that cosign can check them too (`verify-blob-attestation` on the DER of the key that they are about).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::keys::{PublicKey, SigningKey};
use super::statement::Subject;
use crate::domain::artifact::Digest;

/// Predicate type of a rotation.
pub const ROTATION_TYPE: &str = "https://floe.dev/key-rotation/v1";
/// Predicate type of a revocation.
pub const REVOCATION_TYPE: &str = "https://floe.dev/key-revocation/v1";

/// A statement about a key, and the bundle in which it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatement {
    /// What it says.
    pub says: Says,
    /// Payload and signature.
    pub envelope: Envelope,
    /// As it is stored: one line.
    pub bundle: String,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// Another key signs from now on.
    Rotation(Rotation),
    /// A key's signatures count for nothing.
    Revocation(Revocation),
}

/// Another key signs the records of a namespace from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotation {
    /// The namespace.
    pub space: String,
    /// Id of the key that has signed until now.
    pub previous: Digest,
    /// Id of the key that signs from now on.
    pub key: Digest,
    /// That key, in PEM.
    pub public_key: String,
    /// When.
    pub rotated_at: Timestamp,
}

/// The signatures of a key count for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revocation {
    /// The namespace.
    pub space: String,
    /// Id of the revoked key.
    pub key: Digest,
    /// When.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: P,
}

impl Rotation {
    /// The former key names the one that signs from now on.
    pub fn signed(
        space: &str,
        former: &SigningKey,
        successor: &PublicKey,
        at: Timestamp,
    ) -> KeyStatement {
        Self::of(space, former.public().id(), successor, at).sealed_by(former)
    }

    fn of(space: &str, previous: Digest, successor: &PublicKey, at: Timestamp) -> Self {
        Self {
            space: space.to_owned(),
            previous,
            key: successor.id(),
            public_key: successor.to_pem(),
            rotated_at: at,
        }
    }

    fn sealed_by(self, signer: &SigningKey) -> KeyStatement {
        let envelope = seal(ROTATION_TYPE, &self.space, &self.key, &self, signer);
        stored(Says::Rotation(self), envelope, &signer.public())
    }
}

/// A key takes over from one that is lost and can say nothing any more: its own word alone.
pub fn rotation_without_former(
    space: &str,
    previous: Digest,
    key: &SigningKey,
    at: Timestamp,
) -> KeyStatement {
    Rotation::of(space, previous, &key.public(), at).sealed_by(key)
}

impl Revocation {
    /// Signs it.
    pub fn sealed_by(self, signer: &SigningKey) -> KeyStatement {
        let envelope = seal(REVOCATION_TYPE, &self.space, &self.key, &self, signer);
        stored(Says::Revocation(self), envelope, &signer.public())
    }
}

impl KeyStatement {
    /// Reads a bundle. Whose signature it bears is for [`super::KeyRing`] to say.
    pub fn read(bundle: &str) -> Option<Self> {
        let envelope = Envelope::open(bundle.as_bytes()).ok()?;
        let payload = envelope.payload();
        let says = if let Some(rotation) = about::<Rotation>(payload, ROTATION_TYPE, |it| &it.key) {
            let named = PublicKey::from_pem(&rotation.public_key).ok()?;
            (named.id() == rotation.key).then_some(Says::Rotation(rotation))?
        } else {
            Says::Revocation(about(payload, REVOCATION_TYPE, |it: &Revocation| &it.key)?)
        };
        Some(Self {
            says,
            envelope,
            bundle: bundle.to_owned(),
        })
    }

    /// The namespace whose key it is about.
    pub fn space(&self) -> &str {
        match &self.says {
            Says::Rotation(rotation) => &rotation.space,
            Says::Revocation(revocation) => &revocation.space,
        }
    }
}

/// The predicate of a statement of this type whose one subject is the key that it speaks of.
fn about<P: for<'a> Deserialize<'a>>(
    payload: &[u8],
    predicate_type: &str,
    key: impl Fn(&P) -> &Digest,
) -> Option<P> {
    let statement: Statement<P> = serde_json::from_slice(payload).ok()?;
    let [subject] = statement.subject.as_slice() else {
        return None;
    };
    let named = subject.digest.get("sha256").map(String::as_str);
    let fits = statement.predicate_type == predicate_type
        && named == Some(key(&statement.predicate).hex());
    fits.then_some(statement.predicate)
}

fn seal<P: Serialize>(
    predicate_type: &str,
    space: &str,
    key: &Digest,
    predicate: &P,
    signer: &SigningKey,
) -> Envelope {
    let statement = Statement {
        kind: "https://in-toto.io/Statement/v1".to_owned(),
        subject: vec![Subject {
            name: format!("key of records of {space}"),
            digest: BTreeMap::from([("sha256".to_owned(), key.hex().to_owned())]),
        }],
        predicate_type: predicate_type.to_owned(),
        predicate,
    };
    // By way of a map that is sorted by key, as records are.
    let bytes = serde_json::to_value(&statement)
        .map(|value| value.to_string())
        .unwrap_or_default();
    Envelope::seal(bytes.into_bytes(), signer)
}

fn stored(says: Says, envelope: Envelope, signer: &PublicKey) -> KeyStatement {
    let bundle = String::from_utf8(envelope.to_bundle(signer)).unwrap_or_default();
    KeyStatement {
        says,
        envelope,
        bundle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::keys::tests::{key, other_key};

    fn time() -> Timestamp {
        "2026-03-02T10:00:00Z".parse().unwrap()
    }

    fn revocation() -> Revocation {
        Revocation {
            space: "platform".to_owned(),
            key: key().public().id(),
            revoked_at: time(),
            reason: "the backup was stolen".to_owned(),
        }
    }

    #[test]
    fn what_was_stated_is_read_back_and_is_the_same_each_time() {
        let rotation = Rotation::signed("platform", &key(), &other_key().public(), time());
        for made in [rotation, revocation().sealed_by(&other_key())] {
            assert_eq!(KeyStatement::read(&made.bundle), Some(made.clone()));
            assert_eq!(made.space(), "platform");
            assert!(!made.bundle.contains('\n'));
        }
        let again = || revocation().sealed_by(&other_key()).bundle;
        assert_eq!(again(), again());
    }

    #[test]
    fn a_statement_about_another_key_than_its_subject_is_none() {
        let mut wrong = revocation();
        let right = seal(REVOCATION_TYPE, "platform", &wrong.key, &wrong, &key());
        assert!(about::<Revocation>(right.payload(), REVOCATION_TYPE, |it| &it.key).is_some());
        assert!(about::<Revocation>(right.payload(), ROTATION_TYPE, |it| &it.key).is_none());
        let subject = wrong.key.clone();
        wrong.key = other_key().public().id();
        let made = seal(REVOCATION_TYPE, "platform", &subject, &wrong, &key());
        let bundle = made.to_bundle(&key().public());
        assert_eq!(
            KeyStatement::read(std::str::from_utf8(&bundle).unwrap()),
            None
        );
        // A rotation whose PEM is another key than its id says.
        let mut rotation = Rotation::of("platform", key().public().id(), &key().public(), time());
        rotation.public_key = other_key().public().to_pem();
        assert_eq!(KeyStatement::read(&rotation.sealed_by(&key()).bundle), None);
        assert_eq!(KeyStatement::read("{}"), None);
    }
}
