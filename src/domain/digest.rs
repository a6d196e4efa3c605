//! Digests of content: SHA-256, and SHA-512 where an artifact uses it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use super::artifact::{NotA, Tag};

/// Most digits of a digest in the tag of its referrers (OCI distribution specification).
const DIGITS_IN_TAG: usize = 64;

/// Digest of a manifest or blob: `sha256:` and 64, or `sha512:` and 128 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// How a digest is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What registries use unless they are asked for another one.
    Sha256,
    /// The other one that the OCI image specification registers.
    Sha512,
}

/// Computes a digest piece by piece.
#[derive(Clone)]
pub enum Hashing {
    /// With SHA-256.
    Sha256(Sha256),
    /// With SHA-512.
    Sha512(Sha512),
}

impl Digest {
    /// SHA-256 digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_as(bytes, Algorithm::Sha256)
    }

    /// Digest of these bytes with this algorithm.
    pub fn of_as(bytes: &[u8], algorithm: Algorithm) -> Self {
        let mut hashing = Hashing::new(algorithm);
        hashing.update(bytes);
        hashing.finish()
    }

    /// Whether it is the digest of these bytes.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        Self::of_as(bytes, self.algorithm()) == *self
    }

    /// How it is computed.
    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512:") {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        }
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, digits)| digits)
    }

    /// Tag under which registries without the referrers API list the referrers of this digest
    /// (OCI distribution specification, "Referrers Tag Schema").
    pub fn referrers_tag(&self) -> Tag {
        let digits = self.hex();
        let digits = digits.get(..DIGITS_IN_TAG).unwrap_or(digits);
        Tag::made(format!("{}-{digits}", self.algorithm().as_str()))
    }

    /// Tag under which `cosign sign` has put signatures before there were referrers.
    pub fn signature_tag(&self) -> Tag {
        Tag::made(format!("{}.sig", self.referrers_tag()))
    }
}

impl Algorithm {
    /// The word in front of the digits.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl Hashing {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    /// Of these bytes too.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of everything.
    pub fn finish(self) -> Digest {
        Digest(match self {
            Self::Sha256(hash) => format!("sha256:{}", hex::encode(hash.finalize())),
            Self::Sha512(hash) => format!("sha512:{}", hex::encode(hash.finalize())),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = NotA;
    fn try_from(text: String) -> Result<Self, NotA> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl FromStr for Digest {
    type Err = NotA;
    fn from_str(text: &str) -> Result<Self, NotA> {
        let (algorithm, digits) = text.split_once(':').unwrap_or_default();
        let length_is_right = match algorithm {
            "sha256" => digits.len() == 64,
            "sha512" => digits.len() == 128,
            _ => false,
        };
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if length_is_right && digits.bytes().all(digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(NotA::new(
            "digest",
            text,
            "it must be 'sha256:' and 64 lower-case hexadecimal digits (or 'sha512:' and 128)",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha256_or_sha512_with_all_of_its_lower_case_digits() {
        for (algorithm, digits) in [(Algorithm::Sha256, 64), (Algorithm::Sha512, 128)] {
            let digest = Digest::of_as(b"floe", algorithm);
            assert_eq!(digest.as_str().parse::<Digest>(), Ok(digest.clone()));
            assert_eq!(digest.hex().len(), digits);
            assert_eq!(digest.algorithm(), algorithm);
            assert!(digest.is_of(b"floe") && !digest.is_of(b"flow"));
            for bad in [
                &digest.as_str().to_uppercase(),
                &digest.as_str()[1..],
                &digest.as_str()[..digest.as_str().len() - 1],
                &format!("{digest}0"),
                &digest.as_str().replace("sha", "md"),
            ] {
                assert!(bad.parse::<Digest>().is_err(), "{bad}");
            }
        }
        for bad in ["", "sha256", "sha256:", "sha512:00"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_tag_of_the_referrers_names_the_algorithm_and_at_most_64_digits() {
        let digest = Digest::of(b"floe");
        let tag = digest.referrers_tag();
        assert_eq!(tag.as_str(), format!("sha256-{}", digest.hex()));
        let digest = Digest::of_as(b"floe", Algorithm::Sha512);
        let tag = digest.referrers_tag();
        assert_eq!(tag.as_str(), format!("sha512-{}", &digest.hex()[..64]));
    }
}
