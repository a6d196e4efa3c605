//! How people change the keys of a namespace.
//!
//! A rotation is three writes: the Secret gets the next key beside the current one; the ConfigMap names it, which is the
//! moment from which it signs; the Secret loses the former. Whoever holds both signs with the one that the ConfigMap
//! names, so that a rotation that stops anywhere leaves a namespace that signs, and records that are believed. Given
//! again, it goes on where it stopped.

use kube::Client;

use super::store::{Held, Known, Place};
use super::{NoKey, TRIES, secret_name};
use crate::domain::artifact::Digest;
use crate::domain::record::{
    KeyRing, KeyState, KeyUse, PublicKey, Revocation, Rotation, SigningKey, rotation_without_former,
};
use crate::effects::clock;

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The keys as they are now.
    pub ring: KeyRing,
    /// Something was left to do.
    pub done: Done,
}

/// What was left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// All of it.
    All,
    /// The end of a rotation that had been interrupted.
    Finished,
    /// Nothing.
    Nothing,
}

/// Gives a namespace a new key when its private key is lost, and keeps the former public keys: what they have signed
/// stays proven.
///
/// # Errors
/// `Missing` when the namespace still has its key.
pub async fn renew(client: &Client, namespace: &str, space: &str) -> Result<KeyRing, NoKey> {
    let place = Place {
        client,
        namespace,
        space,
    };
    for _ in 0..TRIES {
        let known = place.known().await?;
        let held = place.held().await?;
        let key = SigningKey::generate();
        let written = match (known.ring.use_of(&public(held.as_ref())), &held) {
            // An interrupted one, of us or of an operator.
            (KeyUse::Publish(first), Some(held)) => {
                if let Some(key) = held.of(&first)
                    && place.publish_lone(&known, key).await?
                {
                    return Ok(place.known().await?.ring);
                }
                continue;
            }
            (KeyUse::Outdated(_), Some(held)) => place.hold(held, &key, None).await?,
            (_, Some(_)) => {
                return Err(NoKey::Missing(format!(
                    "namespace '{space}' has a key: the Secret '{}' in namespace '{namespace}'; --rotate replaces it",
                    secret_name(space)
                )));
            }
            (_, None) => place.create(&key).await?,
        };
        if written && place.publish_lone(&known, &key).await? {
            return Ok(place.known().await?.ring);
        }
    }
    Err(place.comes_and_goes())
}

/// Replaces the key of a namespace: the former one states which is the next.
///
/// # Errors
/// `Missing` when the private key is lost.
pub async fn rotate(client: &Client, namespace: &str, space: &str) -> Result<Changed, NoKey> {
    let place = Place {
        client,
        namespace,
        space,
    };
    for _ in 0..TRIES {
        let Some((known, held, active)) = place.signing().await? else {
            continue;
        };
        if held.current.public() != active {
            place.finish(&held, &active).await?;
            return Ok(Changed {
                ring: known.ring,
                done: Done::Finished,
            });
        }
        let next = held.next.clone().unwrap_or_else(SigningKey::generate);
        if let Some(ring) = place.replace(&known, &held, &next, None).await? {
            return Ok(Changed {
                ring,
                done: Done::All,
            });
        }
    }
    Err(place.comes_and_goes())
}

/// States that a key of a namespace counts for nothing. The active one is replaced in the same write.
///
/// # Errors
/// `Missing` when there is no such key, or none that could say it.
pub async fn revoke(
    client: &Client,
    namespace: &str,
    space: &str,
    id: &Digest,
    reason: &str,
) -> Result<Changed, NoKey> {
    let place = Place {
        client,
        namespace,
        space,
    };
    for _ in 0..TRIES {
        let Some((known, held, active)) = place.signing().await? else {
            continue;
        };
        let Some(target) = known.ring.get(id) else {
            return Err(NoKey::Missing(format!(
                "namespace '{space}' has no key {id}; `floe platform audit key` shows them"
            )));
        };
        let unfinished = held.current.public() != active;
        if unfinished {
            place.finish(&held, &active).await?;
        }
        if target.state == KeyState::Revoked {
            let done = if unfinished {
                Done::Finished
            } else {
                Done::Nothing
            };
            return Ok(Changed {
                ring: known.ring,
                done,
            });
        }
        if unfinished {
            continue;
        }
        let revocation = Revocation {
            space: space.to_owned(),
            key: id.clone(),
            revoked_at: clock::now(),
            reason: reason.to_owned(),
        };
        let ring = if target.key == active {
            // Who could read the current key could read one that lies beside it, too.
            let next = SigningKey::generate();
            place
                .replace(&known, &held, &next, Some(revocation))
                .await?
        } else {
            let statement = revocation.sealed_by(&held.current);
            if place.publish(&known, None, &[statement]).await? {
                Some(place.known().await?.ring)
            } else {
                None
            }
        };
        if let Some(ring) = ring {
            return Ok(Changed {
                ring,
                done: Done::All,
            });
        }
    }
    Err(place.comes_and_goes())
}

impl Place<'_> {
    /// The keys of a namespace that can sign, and which one does; `None` = somebody is changing them.
    async fn signing(&self) -> Result<Option<(Known, Held, PublicKey)>, NoKey> {
        let known = self.known().await?;
        let held = self.held().await?;
        let usage = known.ring.use_of(&public(held.as_ref()));
        match (usage, held) {
            (KeyUse::Sign(active), Some(held)) => Ok(Some((known, held, active))),
            (KeyUse::Publish(first), Some(held)) => {
                if let Some(key) = held.of(&first) {
                    self.publish_lone(&known, key).await?;
                }
                Ok(None)
            }
            (KeyUse::Make, _) => Err(NoKey::Missing(format!(
                "namespace '{}' has no key yet, as far as namespace '{}' knows: it gets one with its first promotion",
                self.space, self.namespace
            ))),
            (KeyUse::Outdated(id), _) => Err(self.outdated(&id)),
            (KeyUse::Lost(_) | KeyUse::Sign(_) | KeyUse::Publish(_), _) => Err(self.lost()),
        }
    }

    /// The three writes; `None` = somebody else writes.
    async fn replace(
        &self,
        known: &Known,
        held: &Held,
        next: &SigningKey,
        revocation: Option<Revocation>,
    ) -> Result<Option<KeyRing>, NoKey> {
        let (former, successor) = (&held.current, next.public());
        let lies_there = held.next.as_ref().map(SigningKey::public);
        if lies_there.as_ref() != Some(&successor) && !self.hold(held, former, Some(next)).await? {
            return Ok(None);
        }
        let mut statements = vec![Rotation::signed(
            self.space,
            former,
            &successor,
            clock::now(),
        )];
        statements.extend(revocation.map(|revocation| revocation.sealed_by(next)));
        if !self.publish(known, Some(&successor), &statements).await? {
            return Ok(None);
        }
        if let Some(held) = self.held().await? {
            self.finish(&held, &successor).await?;
        }
        Ok(Some(self.known().await?.ring))
    }

    /// The last write of a rotation. Somebody else may have made it.
    async fn finish(&self, held: &Held, active: &PublicKey) -> Result<(), NoKey> {
        if held.current.public() == *active && held.next.is_none() {
            return Ok(());
        }
        let Some(key) = held.of(active) else {
            return Ok(());
        };
        if self.hold(held, key, None).await? {
            return Ok(());
        }
        Err(self.comes_and_goes())
    }

    /// Publishes a key that no former one has named: the first, or the successor of one that is lost.
    pub(super) async fn publish_lone(
        &self,
        known: &Known,
        key: &SigningKey,
    ) -> Result<bool, NoKey> {
        let former = known.ring.active().map(PublicKey::id);
        let statement =
            former.map(|former| rotation_without_former(self.space, former, key, clock::now()));
        let statements: Vec<_> = statement.into_iter().collect();
        self.publish(known, Some(&key.public()), &statements).await
    }

    pub(super) fn lost(&self) -> NoKey {
        NoKey::Missing(format!(
            "the Secret '{}' in namespace '{}' is gone, and records of namespace '{}' were signed with it",
            secret_name(self.space),
            self.namespace,
            self.space
        ))
    }

    pub(super) fn outdated(&self, id: &Digest) -> NoKey {
        NoKey::Missing(format!(
            "the Secret '{}' in namespace '{}' holds {id}, a key that was replaced, as after a restore from an old backup",
            secret_name(self.space),
            self.namespace
        ))
    }

    pub(super) fn comes_and_goes(&self) -> NoKey {
        NoKey::Missing(format!(
            "somebody else keeps changing the Secret '{}' in namespace '{}' or its public keys; try again",
            secret_name(self.space),
            self.namespace
        ))
    }
}

pub(super) fn public(held: Option<&Held>) -> Vec<PublicKey> {
    held.map(Held::public).unwrap_or_default()
}
