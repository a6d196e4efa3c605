//! Versions, environments and the tags made of them.
//!
//! `(version, environment) → tag` is injective: no two pairs share a tag. That is why a version that
//! could be read as another version's tag is refused.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::artifact::Tag;

/// Longest name of a Kubernetes object that floe makes.
const OBJECT_NAME_MAX: usize = 63;

/// A SemVer 2 version with an optional leading `v`; the written form is kept.
///
/// Two versions that differ only in the leading `v` or in build metadata count as the same version
/// (SemVer 2, section 10).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    written: String,
    parsed: semver::Version,
}

/// Why a version cannot be promoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVersion {
    /// Not SemVer.
    #[error("'{0}' is not a SemVer 2 version such as 1.2.3 or v1.2.3-rc.1")]
    NotSemVer(String),
    /// Its tag would be the tag of another version, or of the same one in another environment.
    #[error(
        "version '{version}' ends like a tag of the environment suffix '{suffix}', so its tags would be ambiguous"
    )]
    Ambiguous {
        /// The version.
        version: String,
        /// The suffix that it ends in.
        suffix: String,
    },
    /// Longer than a tag may be.
    #[error("version '{0}' gives a tag of more than 128 characters")]
    TooLong(String),
}

impl Version {
    /// As it was published.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Order of precedence (SemVer 2, section 11): build metadata does not count.
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.parsed.cmp_precedence(&other.parsed)
    }

    /// Its parts.
    pub(super) fn semver(&self) -> &semver::Version {
        &self.parsed
    }

    /// Its parts without build metadata: equal for versions that count as the same.
    pub(super) fn without_build(&self) -> semver::Version {
        semver::Version {
            build: semver::BuildMetadata::EMPTY,
            ..self.parsed.clone()
        }
    }

    /// The version as part of a tag: `+` becomes `_`, as Helm does.
    fn in_tag(&self) -> String {
        self.written.replace('+', "_")
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let parsed = semver::Version::parse(text.strip_prefix('v').unwrap_or(text))
            .map_err(|_| InvalidVersion::NotSemVer(text.chars().take(128).collect()))?;
        Ok(Self {
            written: text.to_owned(),
            parsed,
        })
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;
    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.written
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Version {}

/// The bare tag `<version>` under which `publish` puts an artifact.
pub fn bare_tag(version: &Version, suffixes: &[String]) -> Result<Tag, InvalidVersion> {
    unambiguous(version, suffixes)?;
    tag_of(version, &version.in_tag())
}

/// The write-once tag `<version>-<suffix>`.
pub fn environment_tag(
    version: &Version,
    suffix: &str,
    suffixes: &[String],
) -> Result<Tag, InvalidVersion> {
    unambiguous(version, suffixes)?;
    tag_of(version, &format!("{}-{suffix}", version.in_tag()))
}

/// The tag `latest-<suffix>`, which moves.
pub fn latest_tag(suffix: &str) -> Option<Tag> {
    format!("latest-{suffix}").parse().ok()
}

/// The version of a tag of this environment, when it is one: the reverse of [`environment_tag`].
pub fn version_of_tag(tag: &Tag, suffix: &str, suffixes: &[String]) -> Option<Version> {
    let version = tag
        .as_str()
        .strip_suffix(suffix)?
        .strip_suffix('-')?
        .replacen('_', "+", 1);
    let version: Version = version.parse().ok()?;
    unambiguous(&version, suffixes).ok()?;
    Some(version)
}

/// The version of a bare tag `<version>`, when it is one: the reverse of [`bare_tag`].
pub fn version_of_bare_tag(tag: &Tag, suffixes: &[String]) -> Option<Version> {
    let version: Version = tag.as_str().replacen('_', "+", 1).parse().ok()?;
    unambiguous(&version, suffixes).ok()?;
    Some(version)
}

/// The tag `<version>-<suffix>` of a rollback's tag `<version>-<suffix>-rollback` or `…-rollback-<n>`, and
/// any other tag as it is.
pub fn without_rollback(tag: &Tag) -> Option<Tag> {
    let text = tag.as_str();
    let without_number = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = without_number
        .strip_suffix("-rollback-")
        .filter(|_| without_number != text);
    numbered
        .or_else(|| text.strip_suffix("-rollback"))
        .unwrap_or(text)
        .parse()
        .ok()
}

/// Two suffixes of which one ends in `-` and the other: their tags could not be told apart.
pub fn suffixes_overlap(one: &str, other: &str) -> bool {
    let ends_in = |long: &str, short: &str| {
        long.strip_suffix(short)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
    };
    ends_in(one, other) || ends_in(other, one)
}

/// Name of a Promotion that the command line makes.
pub fn promotion_name(artifact: &str, version: &Version, to: &str) -> String {
    object_name(&format!("{artifact}-{version}-to-{to}"))
}

/// Name of the dry run of a promotion: its own, so that it never stands in the way of the real one.
pub fn dry_run_name(name: &str) -> String {
    object_name(&format!("{name}-dry-run"))
}

/// Name of the next try: `-r2` after the first, `-r3` after `-r2`, ….
pub fn retry_name(first: &str, attempt: u32) -> String {
    object_name(&format!("{first}-r{attempt}"))
}

/// Lower case, other characters to `-`, at most 63 characters; a hash marks a name that had to be changed
/// in a way that could make two names one.
pub fn object_name(wanted: &str) -> String {
    let mapped: String = wanted
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let trimmed = mapped.trim_matches(['-', '.']);
    if trimmed == wanted && trimmed.len() <= OBJECT_NAME_MAX {
        return trimmed.to_owned();
    }
    let hash = hex::encode(&Sha256::digest(wanted)[..4]);
    let room = OBJECT_NAME_MAX - hash.len() - 1;
    let kept: String = trimmed.chars().take(room).collect();
    format!("{}-{hash}", kept.trim_end_matches(['-', '.']))
}

fn tag_of(version: &Version, text: &str) -> Result<Tag, InvalidVersion> {
    text.parse()
        .map_err(|_| InvalidVersion::TooLong(version.written.clone()))
}

/// Refuses a version that ends in `-<suffix>`, `-<suffix>-rollback` or `-<suffix>-rollback-<n>`.
///
/// A version that starts with `latest` is no SemVer, so it never gets here.
fn unambiguous(version: &Version, suffixes: &[String]) -> Result<(), InvalidVersion> {
    let in_tag = version.in_tag();
    let without_number = in_tag.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = without_number
        .strip_suffix("-rollback-")
        .filter(|_| without_number != in_tag);
    let stem = numbered
        .or_else(|| in_tag.strip_suffix("-rollback"))
        .unwrap_or(&in_tag);
    let taken = suffixes.iter().find(|suffix| {
        stem.strip_suffix(suffix.as_str())
            .is_some_and(|rest| rest.ends_with('-'))
    });
    match taken {
        Some(suffix) => Err(InvalidVersion::Ambiguous {
            version: version.written.clone(),
            suffix: suffix.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes() -> Vec<String> {
        ["dev", "staging", "prod", "eu-prod"]
            .map(str::to_owned)
            .to_vec()
    }

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn a_version_is_semver_with_an_optional_v() {
        for good in ["1.2.3", "v1.2.3", "v1.2.3-rc.1", "1.0.0+build.7", "v0.0.0"] {
            assert_eq!(version(good).as_str(), good);
        }
        for bad in [
            "",
            "v",
            "1.2",
            "vv1.2.3",
            "latest",
            "latest-prod",
            "1.2.3.4",
            "01.2.3",
            "V1.2.3",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn build_metadata_and_the_leading_v_do_not_make_another_version() {
        assert_eq!(
            version("v1.2.3+a").precedence(&version("1.2.3+b")),
            Ordering::Equal
        );
        assert_eq!(
            version("1.2.3-rc.2").precedence(&version("v1.2.3-rc.10")),
            Ordering::Less
        );
        assert_eq!(
            version("1.10.0").precedence(&version("1.9.9")),
            Ordering::Greater
        );
    }

    #[test]
    fn a_version_is_stored_as_it_is_written() {
        let stored = serde_json::to_value(version("v1.2.3+a")).unwrap();
        assert_eq!(stored, serde_json::json!("v1.2.3+a"));
        assert_eq!(
            serde_json::from_value::<Version>(stored).unwrap(),
            version("v1.2.3+a")
        );
    }

    #[test]
    fn tags_are_version_and_suffix() {
        let tag = environment_tag(&version("v1.2.3+b.1"), "prod", &suffixes()).unwrap();
        assert_eq!(tag.as_str(), "v1.2.3_b.1-prod");
        assert_eq!(
            bare_tag(&version("v1.2.3+b.1"), &suffixes())
                .unwrap()
                .as_str(),
            "v1.2.3_b.1"
        );
        assert_eq!(latest_tag("prod").unwrap().as_str(), "latest-prod");
    }

    #[test]
    fn a_version_that_ends_like_a_tag_is_refused() {
        for bad in [
            "1.2.3-prod",
            "1.2.3-rc-prod",
            "1.2.3-prod-rollback",
            "1.2.3-prod-rollback-2",
            "1.2.3-eu-prod-rollback-17",
            "1.2.3+x-prod",
        ] {
            let refused = environment_tag(&version(bad), "dev", &suffixes());
            assert!(
                matches!(refused, Err(InvalidVersion::Ambiguous { .. })),
                "{bad}"
            );
            assert!(bare_tag(&version(bad), &suffixes()).is_err(), "{bad}");
        }
        for good in [
            "1.2.3-production",
            "1.2.3-rollback",
            "1.2.3-rollback-2",
            "1.2.3-xprod",
            "1.2.3-prod.1",
            "1.2.3-prod-rollback-",
        ] {
            assert!(
                environment_tag(&version(good), "dev", &suffixes()).is_ok(),
                "{good}"
            );
        }
    }

    #[test]
    fn a_tag_longer_than_the_specification_allows_is_refused() {
        let long = version(&format!("1.0.0-{}", "a".repeat(118)));
        assert!(environment_tag(&long, "dev", &suffixes()).is_ok());
        let refused = environment_tag(&long, "prod", &suffixes());
        assert_eq!(refused, Err(InvalidVersion::TooLong(long.to_string())));
    }

    #[test]
    fn suffixes_of_which_one_ends_in_the_other_overlap() {
        assert!(suffixes_overlap("prod", "prod"));
        assert!(suffixes_overlap("eu-prod", "prod"));
        assert!(suffixes_overlap("prod", "eu-prod"));
        assert!(!suffixes_overlap("xprod", "prod"));
        assert!(!suffixes_overlap("prod-eu", "prod"));
    }

    #[test]
    fn the_version_of_a_tag_is_found_again() {
        let found = version_of_tag(&"v1.2.3_b.1-prod".parse().unwrap(), "prod", &suffixes());
        assert_eq!(found, Some(version("v1.2.3+b.1")));
        for other in [
            "latest-prod",
            "v1.2.3",
            "v1.2.3-dev",
            "v1.2.3-eu-prod",
            "v1.2.3-prod-rollback",
            "sha256-00",
        ] {
            assert_eq!(
                version_of_tag(&other.parse().unwrap(), "prod", &suffixes()[..3]),
                if other == "v1.2.3-eu-prod" {
                    Some(version("v1.2.3-eu"))
                } else {
                    None
                },
                "{other}"
            );
        }
    }

    #[test]
    fn names_of_objects_are_readable_and_never_collide() {
        assert_eq!(
            promotion_name("platform", &version("v1.2.3"), "prod"),
            "platform-v1.2.3-to-prod"
        );
        let build = promotion_name("platform", &version("v1.2.3+a"), "prod");
        let other = promotion_name("platform", &version("v1.2.3-a"), "prod");
        assert_ne!(build, other);
        assert!(build.starts_with("platform-v1.2.3-a-to-prod-"), "{build}");
        let long = promotion_name(&"x".repeat(70), &version("1.0.0"), "prod");
        assert_eq!(long.len(), 63);
        assert_ne!(
            long,
            promotion_name(&"x".repeat(70), &version("1.0.1"), "prod")
        );
        assert_eq!(
            retry_name("platform-v1.2.3-to-prod", 2),
            "platform-v1.2.3-to-prod-r2"
        );
        assert_eq!(
            dry_run_name("platform-v1.2.3-to-prod"),
            "platform-v1.2.3-to-prod-dry-run"
        );
        assert_eq!(object_name("a").len(), 1);
        assert!(!object_name(&format!("{}-", "x".repeat(62))).ends_with('-'));
    }

    proptest::proptest! {
        #[test]
        fn no_two_pairs_of_version_and_environment_share_a_tag(
            one in "v?[0-9]{1}\\.[0-9]{1}\\.[0-9]{1}(-(prod|rc|eu|dev|rollback|[0-9])(-(prod|eu|rollback|2))?)?(\\+(a|prod))?",
            other in "v?[0-9]{1}\\.[0-9]{1}\\.[0-9]{1}(-(prod|rc|eu|dev|rollback|[0-9])(-(prod|eu|rollback|2))?)?(\\+(a|prod))?",
            left in 0_usize..3, right in 0_usize..3,
        ) {
            let suffixes = ["dev", "eu", "prod"].map(str::to_owned).to_vec();
            let (one, other): (Version, Version) = (version(&one), version(&other));
            let tags = (environment_tag(&one, &suffixes[left], &suffixes), environment_tag(&other, &suffixes[right], &suffixes));
            if let (Ok(a), Ok(b)) = tags {
                proptest::prop_assert_eq!(a == b, one == other && left == right);
                proptest::prop_assert_eq!(version_of_tag(&a, &suffixes[left], &suffixes), Some(one));
            }
        }
    }
}
