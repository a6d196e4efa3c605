//! What is trusted: public keys, identities, and a trusted root, read once and compared by what they hold.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sigstore_verify::Verifier;
use sigstore_verify::crypto::{KeyAlgorithm, SigningScheme, VerificationKey};
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::{DerPublicKey, SignatureBytes};

use crate::domain::policy::{SignatureRule, TrustRef};
use crate::domain::signature::{Identity, shown};

/// Most of a parser's sentence that a message repeats, in characters.
const SHOWN: usize = 120;

/// Keys and identities whose signatures count.
pub struct Trust {
    keys: Vec<Key>,
    identities: Vec<Identity>,
    verifier: Option<Verifier>,
    fingerprint: [u8; 32],
}

struct Key {
    name: String,
    /// The same key, once for each way in which cosign signs with such a one.
    ways: Vec<VerificationKey>,
}

/// What a policy names cannot be used; nothing of its content is in the sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct InvalidTrust {
    what: String,
    why: String,
}

impl Trust {
    /// What a rule trusts, with what the ConfigMaps and Secrets hold that it names.
    ///
    /// # Errors
    /// Something that the rule names is not among them, or is no public key or trusted root.
    pub fn of(
        rule: &SignatureRule,
        read: &BTreeMap<TrustRef, Vec<u8>>,
    ) -> Result<Self, InvalidTrust> {
        let mut fingerprint = Sha256::new();
        fingerprint.update(rule.digest.as_str());
        let mut material = |source: &TrustRef| {
            let bytes = read
                .get(source)
                .ok_or_else(|| invalid(source, "it was not read".to_owned()))?;
            fingerprint.update(Sha256::digest(bytes));
            Ok(bytes.as_slice())
        };
        let mut keys = Vec::new();
        for source in &rule.keys {
            let ways = ways(material(source)?).map_err(|why| invalid(source, why))?;
            let name = source.to_string();
            keys.push(Key { name, ways });
        }
        let verifier = match (&rule.trusted_root, rule.identities.is_empty()) {
            (_, true) => None,
            (None, false) => Some(
                verifier(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes())
                    .map_err(|why| invalid(&"the built-in trusted root", why))?,
            ),
            (Some(source), false) => {
                Some(verifier(material(source)?).map_err(|why| invalid(source, why))?)
            }
        };
        Ok(Self {
            keys,
            identities: rule.identities.clone(),
            verifier,
            fingerprint: fingerprint.finalize().into(),
        })
    }

    /// Everything that a rule names, to be read.
    pub fn sources(rule: &SignatureRule) -> impl Iterator<Item = &TrustRef> {
        rule.keys.iter().chain(&rule.trusted_root)
    }

    /// Changes with the rule and with what lies in the objects that it names.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The key that has signed these bytes.
    pub(super) fn key_of(&self, signed: &[u8], signature: &SignatureBytes) -> Option<String> {
        let fits = |key: &&Key| {
            let mut ways = key.ways.iter();
            ways.any(|way| way.verify(signed, signature).is_ok())
        };
        self.keys.iter().find(fits).map(|key| key.name.clone())
    }

    /// Why a signature by a key does not count.
    pub(super) fn no_key_fits(&self) -> String {
        if self.keys.is_empty() {
            return "it is signed with a key, and the policy names no keys".to_owned();
        }
        "it is not signed with a key of the policy, or was changed after it was signed".to_owned()
    }

    /// Checks keyless signatures; none when no identity counts.
    pub(super) fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    /// Whether this is one of the identities.
    pub(super) fn knows(&self, issuer: &str, identity: &str) -> bool {
        self.identities
            .iter()
            .any(|known| known.fits(issuer, identity))
    }
}

/// A public key in PEM, once for each way in which cosign signs with such a one: the bundles of a P-384 key are
/// signed with SHA-384, the older form with SHA-256.
fn ways(pem: &[u8]) -> Result<Vec<VerificationKey>, String> {
    let text = std::str::from_utf8(pem).map_err(|_| "it is no text".to_owned())?;
    if text.contains("PRIVATE KEY") {
        return Err("it is a private key: give the public one (cosign public-key)".to_owned());
    }
    let read = DerPublicKey::from_pem(text.trim())
        .ok()
        .and_then(|key| Some((KeyAlgorithm::from_spki(&key).ok()?, key)));
    let usable = read.filter(|(algorithm, _)| {
        matches!(
            algorithm,
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::Rsa
        )
    });
    // cosign signs with Ed25519 in its prehashed form, which no library of ours can check.
    let Some((algorithm, key)) = usable else {
        return Err("it is no public key in PEM of ECDSA P-256, P-384 or RSA".to_owned());
    };
    let mut schemes = vec![algorithm.default_signing_scheme()];
    if algorithm == KeyAlgorithm::EcdsaP384 {
        schemes.push(SigningScheme::EcdsaP384Sha256);
    }
    schemes
        .into_iter()
        .map(|scheme| VerificationKey::from_spki_with_scheme(&key, scheme))
        .collect::<Result<_, _>>()
        .map_err(|why| shown(&why.to_string(), SHOWN))
}

fn invalid(what: &impl ToString, why: String) -> InvalidTrust {
    let what = what.to_string();
    InvalidTrust { what, why }
}

fn verifier(json: &[u8]) -> Result<Verifier, String> {
    let words = |why: &dyn std::fmt::Display| {
        format!("it is no trusted root: {}", shown(&why.to_string(), SHOWN))
    };
    let text = std::str::from_utf8(json).map_err(|why| words(&why))?;
    let root = TrustedRoot::from_json(text).map_err(|why| words(&why))?;
    if root.certificate_authorities.is_empty() || root.tlogs.is_empty() || root.ctlogs.is_empty() {
        return Err(
            "it is no trusted root for keyless signatures: it needs certificateAuthorities, tlogs and ctlogs"
                .to_owned(),
        );
    }
    Verifier::new(&root).map_err(|why| words(&why))
}
