//! `floe platform audit key`: the keys that sign the records of a namespace, and how they are replaced and revoked.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::args::AuditKeyArguments;
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::present::{Present, present, table};
use crate::cli::{ExitCode, output};
use crate::domain::artifact::Digest;
use crate::domain::record::{KeyRing, KeyState, KeyStatement, RingKey};
use crate::effects::keys::Done;

/// Fewer digits of an id than this could be a mistake.
const FEWEST_DIGITS: usize = 6;

/// The answer of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct AuditKeys {
    namespace: String,
    keys: Vec<AuditKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditKey {
    /// SHA-256 of the key.
    id: String,
    /// `Active`, `Retired` or `Revoked`.
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// PEM.
    public_key: String,
    /// The statement that made it the successor of another: a Sigstore bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<Value>,
    /// The statement that has revoked it: a Sigstore bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<Value>,
}

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &AuditKeyArguments) -> Result<ExitCode> {
    let (operator, name) = (&arguments.keys.operator_namespace, &space.namespace);
    let ring = changed(space, arguments).await?;
    if ring.keys().is_empty() {
        return Err(Failure::new(
            ExitCode::Unexpected,
            format!(
                "namespace '{name}' has no key yet, as far as namespace '{operator}' knows: it gets one with its \
                 first promotion (is the operator elsewhere? --operator-namespace)"
            ),
        ));
    }
    let only = arguments.id.as_deref();
    let only = only.map(|id| found(&ring, name, id)).transpose()?;
    let shown = |known: &&RingKey| only.as_ref().is_none_or(|id| known.key.id() == *id);
    let shown: Vec<&RingKey> = ring.keys().iter().filter(shown).collect();
    if arguments.pem {
        let counts = |known: &&&RingKey| known.state != KeyState::Revoked;
        let pem: String = shown
            .iter()
            .filter(counts)
            .map(|known| known.key.to_pem())
            .collect();
        if pem.is_empty() {
            return Err(Failure::new(
                ExitCode::Unexpected,
                "this key was revoked: what it has signed counts for nothing",
            ));
        }
        return Ok(output::text(&pem));
    }
    let keys = AuditKeys {
        namespace: name.clone(),
        keys: shown.into_iter().map(AuditKey::of).collect(),
    };
    Ok(present(&keys, arguments.output.format))
}

/// Makes the change that was asked for; the keys as they are then.
async fn changed(space: &Space, arguments: &AuditKeyArguments) -> Result<KeyRing> {
    let keys = &arguments.keys;
    let changed = if arguments.new {
        return space.new_key(keys).await;
    } else if arguments.rotate {
        space.rotate_key(keys).await?
    } else if let Some(id) = &arguments.revoke {
        let ring = space.public_keys(keys).await?;
        let id = found(&ring, &space.namespace, id)?;
        let reason = arguments.reason.as_deref().unwrap_or_default().trim();
        if reason.is_empty() || reason.chars().count() > 512 {
            return Err(Failure::usage(
                "--reason needs a sentence of at most 512 characters",
            ));
        }
        space.revoke_key(keys, &id, reason).await?
    } else {
        return space.public_keys(keys).await;
    };
    match changed.done {
        Done::All => {}
        Done::Finished => output::note(
            "note: an earlier change had been interrupted and is finished now; nothing else was changed",
        ),
        Done::Nothing => output::note("note: it was revoked before; nothing was changed"),
    }
    Ok(changed.ring)
}

/// The id of the one key that begins like this.
fn found(ring: &KeyRing, namespace: &str, id: &str) -> Result<Digest> {
    let digits = id
        .strip_prefix("sha256:")
        .unwrap_or(id)
        .to_ascii_lowercase();
    if digits.len() < FEWEST_DIGITS {
        return Err(Failure::usage(format!(
            "'{id}' is too short for the id of a key: give at least {FEWEST_DIGITS} digits of it"
        )));
    }
    let ids = ring.keys().iter().map(|known| known.key.id());
    let mut alike = ids.filter(|id| id.hex().starts_with(&digits));
    match (alike.next(), alike.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "several keys of namespace '{namespace}' begin with '{id}': give more digits"
        ))),
        (None, _) => Err(Failure::usage(format!(
            "no key of namespace '{namespace}' begins with '{id}'; `floe platform audit key` shows them"
        ))),
    }
}

impl AuditKey {
    fn of(known: &RingKey) -> Self {
        let bundle = |statement: &Option<KeyStatement>| {
            let statement = statement.as_ref()?;
            serde_json::from_str(&statement.bundle).ok()
        };
        Self {
            id: known.key.id().to_string(),
            state: known.state.to_string(),
            since: known.since,
            until: known.until,
            revoked_at: known.revoked_at,
            reason: known.reason.clone(),
            public_key: known.key.to_pem(),
            rotation: bundle(&known.rotation),
            revocation: bundle(&known.revocation),
        }
    }
}

impl Present for AuditKeys {
    fn text(&self, wide: bool) -> String {
        let time =
            |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let rows = self.keys.iter().map(|key| {
            let why = key.reason.clone().unwrap_or_else(|| "-".to_owned());
            vec![
                key.id.clone(),
                key.state.clone(),
                time(key.since),
                time(key.until),
                time(key.revoked_at),
                why,
            ]
        });
        let header = ["KEY", "STATE", "SINCE", "UNTIL", "REVOKED", "REASON"];
        let mut text = table(&header, rows.collect());
        if wide {
            for key in &self.keys {
                text.push('\n');
                text.push_str(&key.public_key);
            }
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.id.clone()).collect()
    }
}
