//! Keys of records: ECDSA on P-256 with SHA-256, one key for each namespace.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, Signature, VerifyingKey};
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::zeroize::Zeroizing;
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
    LineEnding,
};

use crate::domain::artifact::Digest;

/// Signs records. It has no `Debug` and no `Display`: nothing prints it.
#[derive(Clone)]
pub struct SigningKey(p256::ecdsa::SigningKey);

/// Checks records.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    /// As `SubjectPublicKeyInfo` (RFC 5280), in DER.
    spki: Vec<u8>,
}

/// Why a text is no key. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not {0} in PEM")]
pub struct NotAKey(&'static str);

impl SigningKey {
    /// A new key.
    pub fn generate() -> Self {
        Self(p256::ecdsa::SigningKey::generate())
    }

    /// Reads a private key (PKCS #8, PEM).
    ///
    /// # Errors
    /// It is none on this curve.
    pub fn from_pem(pem: &str) -> Result<Self, NotAKey> {
        p256::ecdsa::SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| NotAKey("a private ECDSA P-256 key (PKCS #8)"))
    }

    /// As PEM, to be stored. It is wiped from memory when it is let go of.
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.0.to_pkcs8_pem(LineEnding::LF).unwrap_or_default()
    }

    /// Signs a message; the signature is in DER. The same message gives the same signature (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        signature.to_der().as_bytes().to_vec()
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::of(*self.0.verifying_key())
    }
}

impl PublicKey {
    /// Reads a public key (`SubjectPublicKeyInfo`, PEM), as cosign writes it.
    ///
    /// # Errors
    /// It is none on this curve.
    pub fn from_pem(pem: &str) -> Result<Self, NotAKey> {
        VerifyingKey::from_public_key_pem(pem)
            .map(Self::of)
            .map_err(|_| NotAKey("a public ECDSA P-256 key"))
    }

    fn of(key: VerifyingKey) -> Self {
        let spki = key
            .to_public_key_der()
            .map(|document| document.as_bytes().to_vec())
            .unwrap_or_default();
        Self { key, spki }
    }

    /// As PEM: what `cosign verify-attestation --key` takes.
    pub fn to_pem(&self) -> String {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .unwrap_or_default()
    }

    /// What the key is known by: the SHA-256 of its DER.
    pub fn id(&self) -> Digest {
        Digest::of(&self.spki)
    }

    /// The same as cosign writes it into a bundle: base64 of the SHA-256.
    pub fn hint(&self) -> String {
        let hash = hex::decode(self.id().hex()).unwrap_or_default();
        STANDARD.encode(hash)
    }

    /// Whether its private half has signed this message; the signature is in DER.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::from_bytes(signature)
            .is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A key that everybody knows.
    pub(crate) fn known(byte: u8) -> SigningKey {
        SigningKey(p256::ecdsa::SigningKey::from_slice(&[byte; 32]).unwrap())
    }

    pub(crate) fn key() -> SigningKey {
        known(7)
    }

    pub(crate) fn other_key() -> SigningKey {
        known(8)
    }

    #[test]
    fn a_private_key_is_read_back() {
        let read = SigningKey::from_pem(&key().to_pem()).unwrap();
        assert_eq!(read.public(), key().public());
    }

    #[test]
    fn a_public_key_is_read_back_and_known_by_its_bytes() {
        let public = key().public();
        assert_eq!(PublicKey::from_pem(&public.to_pem()), Ok(public.clone()));
        assert_eq!(public.id(), key().public().id());
        assert_ne!(public.id(), other_key().public().id());
        assert_eq!(STANDARD.decode(public.hint()).unwrap().len(), 32);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", "secret", &key().to_pem()] {
            let refused = PublicKey::from_pem(text).unwrap_err().to_string();
            assert_eq!(refused, "it is not a public ECDSA P-256 key in PEM");
        }
        assert!(SigningKey::from_pem(&key().public().to_pem()).is_err());
    }

    #[test]
    fn a_signature_covers_its_message_alone() {
        let signature = key().sign(b"message");
        assert_eq!(signature, key().sign(b"message"));
        assert!(key().public().has_signed(b"message", &signature));
        assert!(!key().public().has_signed(b"massage", &signature));
        assert!(!other_key().public().has_signed(b"message", &signature));
        assert!(!key().public().has_signed(b"message", b""));
    }
}
