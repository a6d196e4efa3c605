//! The public keys of a namespace with the state of each: which signatures of records count.
//!
//! **Active** signs now. **Retired** has handed over; its private half is deleted, and what it has signed counts.
//! **Revoked** counts for nothing, whenever it has signed: the times in a record are the word of whoever signed it, so a
//! thief dates back. What the ledger of the operator names was written before by the operator itself; it counts there
//! ([`Signer::Revoked`]), and the operator signs it anew with the active key.

use std::fmt;

use jiff::Timestamp;

use super::envelope::Envelope;
use super::key_statement::{KeyStatement, Says};
use super::keys::{NotAKey, PublicKey};
use crate::domain::artifact::Digest;

const PEM_END: &str = "-----END PUBLIC KEY-----";

/// The public keys of a namespace, the active one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing(Vec<RingKey>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingKey {
    /// The key.
    pub key: PublicKey,
    /// Whether its signatures count.
    pub state: KeyState,
    /// Since when it signed; unknown of the first key of a namespace, and of those from before rotations were stated.
    pub since: Option<Timestamp>,
    /// Until when it signed.
    pub until: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// The statement that made it the successor of another.
    pub rotation: Option<KeyStatement>,
    /// The statement that has revoked it.
    pub revocation: Option<KeyStatement>,
}

/// Whether the signatures of a key count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// They count, and it signs now.
    Active,
    /// They count; another one signs now.
    Retired,
    /// They count for nothing.
    Revoked,
}

/// Who has signed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer<'a> {
    /// A key whose signatures count.
    Good(&'a PublicKey),
    /// A revoked key of the namespace: it counts only where somebody else vouches for it.
    Revoked(&'a PublicKey),
    /// None of its keys.
    Stranger,
}

/// What a holder of private keys does with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Signs with this one.
    Sign(PublicKey),
    /// Signs with this one, once its public half is known.
    Publish(PublicKey),
    /// Makes the first key of the namespace.
    Make,
    /// Nothing: the private half of this active key is lost.
    Lost(Digest),
    /// Nothing: it holds only keys that were replaced, as after a Secret was put back from an old backup.
    Outdated(Digest),
}

/// Why texts are no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRing {
    /// One of the keys is none.
    #[error(transparent)]
    Key(#[from] NotAKey),
    /// A statement that cannot be read.
    #[error("statement {0} about its keys is none")]
    Statement(usize),
    /// A statement about another namespace.
    #[error("statement {0} about its keys is about another namespace")]
    Space(usize),
    /// A statement that nobody has signed who could.
    #[error(
        "statement {0} about its keys is signed by none that could say it, or is about an unknown key"
    )]
    Signature(usize),
    /// The first key is not the one that signs.
    #[error(
        "its first key is not the active one: it was revoked, or another one was named after it"
    )]
    Order,
}

impl KeyRing {
    /// Reads keys that stand one after the other in PEM, the newest first, with nothing said about them: the first
    /// one is active, the others are retired.
    ///
    /// # Errors
    /// One of them is no key.
    pub fn from_pem(pem: &str) -> Result<Self, NotAKey> {
        let keys = pem
            .split_inclusive(PEM_END)
            .filter(|block| !block.trim().is_empty())
            .map(|block| PublicKey::from_pem(block.trim_start()));
        let mut ring = keys
            .map(|key| key.map(RingKey::retired))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = ring.first_mut() {
            first.state = KeyState::Active;
        }
        Ok(Self(ring))
    }

    /// The keys of a namespace, and what was stated about them: bundles, one a line, the oldest first.
    ///
    /// # Errors
    /// Something that cannot be read, or that nobody has signed who could say it. Then no key counts.
    pub fn read(space: &str, pem: &str, statements: &str) -> Result<Self, BadRing> {
        let mut ring = Self::from_pem(pem)?;
        for (at, line) in statements.lines().enumerate() {
            let number = at + 1;
            let statement = KeyStatement::read(line).ok_or(BadRing::Statement(number))?;
            if statement.space() != space {
                return Err(BadRing::Space(number));
            }
            ring.take_in(statement).ok_or(BadRing::Signature(number))?;
        }
        let first = ring.0.first();
        let in_order =
            first.is_none_or(|first| first.state == KeyState::Active && first.until.is_none());
        in_order.then_some(ring).ok_or(BadRing::Order)
    }

    /// `None` when it is signed by none that could say it.
    fn take_in(&mut self, statement: KeyStatement) -> Option<()> {
        match statement.says.clone() {
            Says::Rotation(said) => {
                let former = self.position(&said.previous)?;
                let successor = self.position(&said.key)?;
                let by_former = statement.envelope.signed_by(&self.0[former].key);
                // The word of the new key alone, when the former was lost.
                let by_itself = statement.envelope.signed_by(&self.0[successor].key);
                if !(by_former || by_itself) || former == successor {
                    return None;
                }
                self.0[former].until = Some(said.rotated_at);
                let successor = &mut self.0[successor];
                successor.since = Some(said.rotated_at);
                successor.rotation = Some(statement);
            }
            Says::Revocation(said) => {
                let at = self.position(&said.key)?;
                let mut others = self.0.iter().filter(|known| known.key.id() != said.key);
                if !others.any(|known| statement.envelope.signed_by(&known.key)) {
                    return None;
                }
                let revoked = &mut self.0[at];
                revoked.state = KeyState::Revoked;
                revoked.revoked_at = Some(said.revoked_at);
                revoked.reason = Some(said.reason);
                revoked.revocation = Some(statement);
            }
        }
        Some(())
    }

    fn position(&self, id: &Digest) -> Option<usize> {
        self.0.iter().position(|known| known.key.id() == *id)
    }

    /// The keys with their states, the active one first.
    pub fn keys(&self) -> &[RingKey] {
        &self.0
    }

    /// The key that signs now.
    pub fn active(&self) -> Option<&PublicKey> {
        self.0.first().map(|first| &first.key)
    }

    /// The key of this id.
    pub fn get(&self, id: &Digest) -> Option<&RingKey> {
        self.position(id).map(|at| &self.0[at])
    }

    /// The keys whose signatures count, the active one first.
    pub fn good(&self) -> impl Iterator<Item = &PublicKey> {
        let good = |known: &&RingKey| known.state != KeyState::Revoked;
        self.0.iter().filter(good).map(|known| &known.key)
    }

    /// Whether a key of the namespace was revoked.
    pub fn has_revoked(&self) -> bool {
        let mut keys = self.0.iter();
        keys.any(|known| known.state == KeyState::Revoked)
    }

    /// The key that has signed this envelope, when its signatures count.
    pub fn signer_of(&self, envelope: &Envelope) -> Option<&PublicKey> {
        match self.judge(envelope) {
            Signer::Good(key) => Some(key),
            Signer::Revoked(_) | Signer::Stranger => None,
        }
    }

    /// Who has signed this envelope.
    pub fn judge(&self, envelope: &Envelope) -> Signer<'_> {
        let mut keys = self.0.iter();
        match keys.find(|known| envelope.signed_by(&known.key)) {
            Some(known) if known.state == KeyState::Revoked => Signer::Revoked(&known.key),
            Some(known) => Signer::Good(&known.key),
            None => Signer::Stranger,
        }
    }

    /// What somebody does who holds the private halves of these keys, the one in use first.
    pub fn use_of(&self, held: &[PublicKey]) -> KeyUse {
        let Some(active) = self.active() else {
            return held
                .first()
                .map_or(KeyUse::Make, |first| KeyUse::Publish(first.clone()));
        };
        let Some(first) = held.first() else {
            return KeyUse::Lost(active.id());
        };
        if held.contains(active) {
            return KeyUse::Sign(active.clone());
        }
        match self.get(&first.id()) {
            Some(former) => KeyUse::Outdated(former.key.id()),
            None => KeyUse::Publish(first.clone()),
        }
    }
}

impl RingKey {
    fn retired(key: PublicKey) -> Self {
        Self {
            key,
            state: KeyState::Retired,
            since: None,
            until: None,
            revoked_at: None,
            reason: None,
            rotation: None,
            revocation: None,
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "Active",
            Self::Retired => "Retired",
            Self::Revoked => "Revoked",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::key_statement::{Revocation, Rotation, rotation_without_former};
    use crate::domain::record::keys::SigningKey;
    use crate::domain::record::keys::tests::known;

    const SPACE: &str = "platform";

    fn time(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    /// Keys in PEM, the newest first.
    fn pem(keys: &[u8]) -> String {
        let all = keys.iter().map(|byte| known(*byte).public().to_pem());
        all.collect()
    }

    fn lines(statements: &[KeyStatement]) -> String {
        let bundles = statements
            .iter()
            .map(|statement| statement.bundle.clone() + "\n");
        bundles.collect()
    }

    fn rotated(from: u8, to: u8, minute: i64) -> KeyStatement {
        Rotation::signed(SPACE, &known(from), &known(to).public(), time(minute))
    }

    fn revoked(key: u8, by: u8, minute: i64) -> KeyStatement {
        revocation_in(SPACE, key, &known(by), minute)
    }

    fn revocation_in(space: &str, key: u8, by: &SigningKey, minute: i64) -> KeyStatement {
        let revocation = Revocation {
            space: space.to_owned(),
            key: known(key).public().id(),
            revoked_at: time(minute),
            reason: "stolen".to_owned(),
        };
        revocation.sealed_by(by)
    }

    fn states(ring: &KeyRing) -> Vec<String> {
        let shown = ring.keys().iter().map(|known| known.state.to_string());
        shown.collect()
    }

    #[test]
    fn a_ring_knows_who_has_signed() {
        let ring = KeyRing::from_pem(&pem(&[7, 8])).unwrap();
        assert_eq!(ring.active(), Some(&known(7).public()));
        assert_eq!(states(&ring), ["Active", "Retired"]);
        let envelope = Envelope::seal(b"{}".to_vec(), &known(8));
        assert_eq!(ring.signer_of(&envelope), Some(&known(8).public()));
        let envelope = Envelope::seal(b"{}".to_vec(), &known(9));
        assert_eq!(ring.signer_of(&envelope), None);
        assert_eq!(KeyRing::from_pem("\n"), Ok(KeyRing::default()));
        assert!(KeyRing::from_pem(&format!("{}more", pem(&[7]))).is_err());
        // The form from before there were statements.
        assert_eq!(KeyRing::read(SPACE, &pem(&[7, 8]), ""), Ok(ring));
    }

    #[test]
    fn a_key_that_was_replaced_counts_and_says_since_and_until_when() {
        let statements = lines(&[rotated(7, 8, 1), rotated(8, 9, 2)]);
        let ring = KeyRing::read(SPACE, &pem(&[9, 8, 7]), &statements).unwrap();
        assert_eq!(states(&ring), ["Active", "Retired", "Retired"]);
        let spans: Vec<_> = ring
            .keys()
            .iter()
            .map(|known| (known.since, known.until))
            .collect();
        assert_eq!(
            spans,
            [
                (Some(time(2)), None),
                (Some(time(1)), Some(time(2))),
                (None, Some(time(1)))
            ]
        );
        assert_eq!(ring.good().count(), 3);
        assert!(!ring.has_revoked());
    }

    #[test]
    fn a_revoked_key_counts_for_nothing_whenever_it_has_signed() {
        let statements = lines(&[rotated(7, 8, 1), revoked(7, 8, 2)]);
        let ring = KeyRing::read(SPACE, &pem(&[8, 7]), &statements).unwrap();
        assert_eq!(states(&ring), ["Active", "Revoked"]);
        assert!(ring.has_revoked());
        let by_revoked = Envelope::seal(b"{}".to_vec(), &known(7));
        assert_eq!(ring.signer_of(&by_revoked), None);
        assert_eq!(ring.judge(&by_revoked), Signer::Revoked(&known(7).public()));
        let good: Vec<_> = ring.good().cloned().collect();
        assert_eq!(good, [known(8).public()]);
        let revoked = ring.get(&known(7).public().id()).unwrap();
        assert_eq!(revoked.revoked_at, Some(time(2)));
        assert_eq!(revoked.reason.as_deref(), Some("stolen"));
    }

    #[test]
    fn a_statement_counts_only_from_whoever_can_say_it() {
        let read = |keys: &[u8], statements: &[KeyStatement]| {
            KeyRing::read(SPACE, &pem(keys), &lines(statements))
        };
        // A lost key is followed by the word of the new one alone.
        let alone = rotation_without_former(SPACE, known(7).public().id(), &known(8), time(1));
        assert!(read(&[8, 7], &[alone]).is_ok());
        for (keys, statement, expected) in [
            // Signed by a stranger, or by the revoked key itself.
            (&[8, 7][..], revoked(7, 9, 1), BadRing::Signature(1)),
            (&[8, 7], revoked(7, 7, 1), BadRing::Signature(1)),
            // About keys that nobody knows.
            (&[8], rotated(7, 8, 1), BadRing::Signature(1)),
            (&[7], rotated(7, 8, 1), BadRing::Signature(1)),
            (&[7], rotated(7, 7, 1), BadRing::Signature(1)),
            // The first key has to be the active one.
            (&[7, 8], rotated(7, 8, 1), BadRing::Order),
            (&[8, 7], revoked(8, 7, 1), BadRing::Order),
            (
                &[8, 7],
                revocation_in("other", 7, &known(8), 1),
                BadRing::Space(1),
            ),
        ] {
            assert_eq!(read(keys, &[statement]), Err(expected), "{keys:?}");
        }
        let third = Rotation::signed(SPACE, &known(9), &known(8).public(), time(1));
        assert_eq!(read(&[8, 7, 9], &[third]).map(|ring| states(&ring)), {
            Ok(vec![
                "Active".to_owned(),
                "Retired".into(),
                "Retired".into(),
            ])
        });
        assert_eq!(
            KeyRing::read(SPACE, &pem(&[7]), "{}\n"),
            Err(BadRing::Statement(1))
        );
    }

    #[test]
    fn a_rotation_that_stops_anywhere_leaves_a_key_that_signs() {
        let [old, new] = [known(7).public(), known(8).public()];
        let before = KeyRing::read(SPACE, &pem(&[7]), "").unwrap();
        let after = KeyRing::read(SPACE, &pem(&[8, 7]), &lines(&[rotated(7, 8, 1)])).unwrap();
        let both = [old.clone(), new.clone()];
        // The Secret gets the new key, then it is published, then the Secret loses the old one.
        for (ring, held, signs) in [
            (&before, &both[..1], &old),
            (&before, &both[..], &old),
            (&after, &both[..], &new),
            (&after, &both[1..], &new),
        ] {
            assert_eq!(ring.use_of(held), KeyUse::Sign(signs.clone()));
            let made = if signs == &old { known(7) } else { known(8) };
            let envelope = Envelope::seal(b"{}".to_vec(), &made);
            assert_eq!(ring.signer_of(&envelope), Some(signs));
        }
    }

    #[test]
    fn whoever_holds_no_active_key_signs_nothing_unless_its_key_is_new() {
        let ring = KeyRing::read(SPACE, &pem(&[8, 7]), &lines(&[rotated(7, 8, 1)])).unwrap();
        let [old, active, unknown] = [7, 8, 9].map(|byte| known(byte).public());
        assert_eq!(ring.use_of(&[]), KeyUse::Lost(active.id()));
        assert_eq!(
            ring.use_of(std::slice::from_ref(&old)),
            KeyUse::Outdated(old.id()),
            "a Secret from an old backup"
        );
        assert_eq!(
            ring.use_of(std::slice::from_ref(&unknown)),
            KeyUse::Publish(unknown.clone())
        );
        let none = KeyRing::default();
        assert_eq!(none.use_of(&[]), KeyUse::Make);
        assert_eq!(
            none.use_of(std::slice::from_ref(&unknown)),
            KeyUse::Publish(unknown)
        );
    }
}
