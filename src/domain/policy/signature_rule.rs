//! Whose signature an artifact must carry: what the policy writes, as checked values.

use std::fmt;

use serde_json::json;

use crate::api::{self, SignatureMode};
use crate::domain::artifact::Digest;
use crate::domain::signature::Identity;

/// Whose signature an artifact must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRule {
    /// What becomes of an artifact without one.
    pub mode: SignatureMode,
    /// Where the public keys lie whose signatures count.
    pub keys: Vec<TrustRef>,
    /// Identities whose keyless signatures count.
    pub identities: Vec<Identity>,
    /// Where the trusted root lies; none: the one that is built in.
    pub trusted_root: Option<TrustRef>,
    /// Digest of all of it but the mode: a signature that was good under it need not be looked at again.
    pub digest: Digest,
}

/// A key of a ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrustRef {
    /// Which of the two.
    pub kind: TrustKind,
    /// Name of the object.
    pub name: String,
    /// Key in it.
    pub key: String,
}

/// What holds a public key or a trusted root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl SignatureRule {
    /// # Errors
    /// A reference or a pattern that cannot be meant: a sentence that says which.
    pub(super) fn of(written: &api::Signature) -> Result<Self, String> {
        let keys = written.keys.iter().map(TrustRef::of);
        let identities = written.keyless.iter().map(identity);
        let trusted_root = written.trusted_root.as_ref().map(TrustRef::of);
        let rule = json!([written.keys, written.keyless, written.trusted_root]);
        let rule = Self {
            mode: written.mode,
            keys: keys.collect::<Result<_, _>>()?,
            identities: identities.collect::<Result<_, _>>()?,
            trusted_root: trusted_root.transpose()?,
            digest: Digest::of(rule.to_string().as_bytes()),
        };
        if rule.asks() && rule.keys.is_empty() && rule.identities.is_empty() {
            return Err("neither keys nor keyless says whose signatures count".to_owned());
        }
        Ok(rule)
    }

    /// Signatures are looked at.
    pub fn asks(&self) -> bool {
        match self.mode {
            SignatureMode::Off => false,
            SignatureMode::Warn | SignatureMode::Enforce => true,
        }
    }
}

impl TrustRef {
    fn of(written: &api::TrustSource) -> Result<Self, String> {
        let (kind, name) = match (&written.secret_name, &written.config_map_name) {
            (Some(name), None) => (TrustKind::Secret, name),
            (None, Some(name)) => (TrustKind::ConfigMap, name),
            (Some(_), Some(_)) | (None, None) => {
                let key = &written.key;
                return Err(format!(
                    "'{key}' must lie in either a Secret or a ConfigMap"
                ));
            }
        };
        Ok(Self {
            kind,
            name: name.clone(),
            key: written.key.clone(),
        })
    }
}

impl fmt::Display for TrustRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TrustKind::ConfigMap => "ConfigMap",
            TrustKind::Secret => "Secret",
        };
        write!(f, "key '{}' of {kind} '{}'", self.key, self.name)
    }
}

fn identity(written: &api::Keyless) -> Result<Identity, String> {
    let issuer = &written.issuer;
    match (&written.identity, &written.identity_pattern) {
        (Some(exact), None) => Ok(Identity::exact(issuer, exact)),
        (None, Some(pattern)) => {
            Identity::pattern(issuer, pattern).map_err(|invalid| invalid.to_string())
        }
        (Some(_), Some(_)) | (None, None) => Err(format!(
            "keyless of issuer '{issuer}' needs either identity or identityPattern"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(signature: serde_json::Value) -> api::Signature {
        serde_json::from_value(signature).unwrap()
    }

    #[test]
    fn the_digest_changes_with_keys_and_identities_and_not_with_the_mode() {
        let of = |mode: &str, key: &str| {
            let keys = json!([{ "configMapName": "keys", "key": key }]);
            SignatureRule::of(&written(json!({ "mode": mode, "keys": keys }))).unwrap()
        };
        let enforced = of("Enforce", "a.pub");
        assert_eq!(enforced.digest, of("Warn", "a.pub").digest);
        assert_ne!(enforced.digest, of("Enforce", "b.pub").digest);
        assert!(enforced.asks() && !of("Off", "a.pub").asks());
        assert_eq!(
            enforced.keys[0].to_string(),
            "key 'a.pub' of ConfigMap 'keys'"
        );
    }

    #[test]
    fn what_the_api_server_would_let_through_on_a_bad_day_is_refused_here() {
        for signature in [
            json!({ "mode": "Enforce" }),
            json!({ "mode": "Warn", "keys": [{ "key": "a.pub" }] }),
            json!({ "mode": "Warn", "keys": [{ "key": "a", "secretName": "a", "configMapName": "a" }] }),
            json!({ "mode": "Warn", "keyless": [{ "issuer": "https://a.example" }] }),
            json!({ "mode": "Warn", "keyless": [{ "issuer": "https://a.example", "identityPattern": "^[$" }] }),
        ] {
            assert!(
                SignatureRule::of(&written(signature.clone())).is_err(),
                "{signature}"
            );
        }
        assert!(SignatureRule::of(&written(json!({ "mode": "Off" }))).is_ok());
    }
}
