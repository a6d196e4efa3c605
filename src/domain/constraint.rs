//! Which versions are meant: exact, range, caret, tilde, wildcard, or `latest-<environment>`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use semver::VersionReq;

use super::names::Version;

/// Which versions somebody means; the written form is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    written: String,
    meaning: Meaning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    Exact(Version),
    Range(VersionReq),
    /// Whatever the environment holds.
    Latest,
}

/// Why a text says nothing about versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no constraint: write 1.2.3, '>=1.2.0, <2.0.0' (with a comma), ^1.2.0, ~1.2.0 or 1.2.*"
)]
pub struct NotAConstraint(String);

impl Constraint {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether it means whatever an environment holds, and no version by itself.
    pub fn is_latest(&self) -> bool {
        self.meaning == Meaning::Latest
    }

    /// Whether a tool that follows it could take this version. A pre-release is taken only by a constraint
    /// that names a pre-release of the same version.
    pub fn matches(&self, version: &Version) -> bool {
        match &self.meaning {
            Meaning::Exact(exact) => exact.precedence(version) == Ordering::Equal,
            Meaning::Range(range) => range.matches(version.semver()),
            Meaning::Latest => false,
        }
    }

    /// As [`Constraint::matches`], and a pre-release also when the version that it leads to matches: for
    /// questions where a wrong no does harm.
    pub fn covers(&self, version: &Version) -> bool {
        let release = semver::Version {
            pre: semver::Prerelease::EMPTY,
            ..version.semver().clone()
        };
        self.matches(version)
            || matches!(&self.meaning, Meaning::Range(range) if range.matches(&release))
    }
}

impl FromStr for Constraint {
    type Err = NotAConstraint;
    fn from_str(text: &str) -> Result<Self, NotAConstraint> {
        let refused = || NotAConstraint(text.chars().take(128).collect());
        let trimmed = text.trim();
        let meaning = if let Ok(exact) = trimmed.parse() {
            Meaning::Exact(exact)
        } else if trimmed
            .strip_prefix("latest-")
            .is_some_and(|environment| !environment.is_empty())
        {
            Meaning::Latest
        } else if trimmed.split(',').all(|part| says_how(part.trim())) {
            Meaning::Range(VersionReq::parse(trimmed).map_err(|_| refused())?)
        } else {
            return Err(refused());
        };
        Ok(Self {
            written: trimmed.to_owned(),
            meaning,
        })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// A bare `1.2`, or an exact version inside a list, means different things to different tools, so it is refused.
fn says_how(part: &str) -> bool {
    part.starts_with(['<', '>', '=', '^', '~']) || part.ends_with('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constraint(text: &str) -> Constraint {
        text.parse().unwrap()
    }

    #[test]
    fn each_form_means_what_semver_tools_mean_by_it() {
        for (text, yes, no) in [
            (
                "1.2.3",
                vec!["1.2.3", "v1.2.3", "1.2.3+b"],
                vec!["1.2.4", "1.2.3-rc.1"],
            ),
            ("v1.2.3", vec!["1.2.3"], vec!["1.3.0"]),
            (
                ">=1.2.0, <2.0.0",
                vec!["1.2.0", "v1.9.9"],
                vec!["1.1.9", "2.0.0"],
            ),
            ("^1.2.0", vec!["1.2.0", "1.9.0"], vec!["2.0.0", "1.1.0"]),
            ("~1.2.0", vec!["1.2.9"], vec!["1.3.0"]),
            ("1.2.*", vec!["1.2.0", "1.2.7"], vec!["1.3.0"]),
            ("*", vec!["0.0.1", "9.9.9"], vec![]),
            ("=1.2.3", vec!["1.2.3"], vec!["1.2.4"]),
            ("latest-prod", vec![], vec!["1.2.3"]),
        ] {
            let constraint = constraint(text);
            assert_eq!(constraint.as_str(), text);
            assert_eq!(constraint.is_latest(), text.starts_with("latest"), "{text}");
            for version in yes {
                assert!(
                    constraint.matches(&version.parse().unwrap()),
                    "{text} {version}"
                );
            }
            for version in no {
                assert!(
                    !constraint.matches(&version.parse().unwrap()),
                    "{text} {version}"
                );
            }
        }
    }

    #[test]
    fn a_pre_release_is_covered_with_the_version_that_it_leads_to() {
        let candidate: Version = "1.2.3-rc.1".parse().unwrap();
        for covering in ["1.2.*", "^1.2.0", ">=1.0.0, <2.0.0"] {
            assert!(!constraint(covering).matches(&candidate), "{covering}");
            assert!(constraint(covering).covers(&candidate), "{covering}");
        }
        assert!(!constraint("1.2.3").covers(&candidate));
        assert!(!constraint("1.3.*").covers(&candidate));
    }

    #[test]
    fn what_tools_read_in_different_ways_is_refused() {
        for bad in [
            "",
            "1.2",
            "1",
            ">=1.2.0 <2.0.0",
            "1.2.3, <2.0.0",
            "latest",
            "latest-",
            "newest",
            "^v1",
            ">",
            "||",
        ] {
            assert!(bad.parse::<Constraint>().is_err(), "{bad}");
        }
    }
}
