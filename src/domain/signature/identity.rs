//! Who signs without a key of their own: an issuer, and an identity that it vouches for.

use regex::{Regex, RegexBuilder};

/// Largest compiled expression, in bytes.
const PATTERN_MAX: usize = 1024 * 1024;

/// An issuer, and the identities of it that count.
#[derive(Clone, Debug)]
pub struct Identity {
    issuer: String,
    subject: Subject,
}

#[derive(Clone, Debug)]
enum Subject {
    Exact(String),
    Pattern { written: String, whole: Regex },
}

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("identityPattern '{pattern}' cannot be used: {why}")]
pub struct InvalidPattern {
    pattern: String,
    why: String,
}

impl Identity {
    /// This identity, letter by letter.
    pub fn exact(issuer: &str, identity: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            subject: Subject::Exact(identity.to_owned()),
        }
    }

    /// Every identity that the pattern fits as a whole.
    ///
    /// # Errors
    /// The pattern is no regular expression, or is not anchored at both ends.
    pub fn pattern(issuer: &str, pattern: &str) -> Result<Self, InvalidPattern> {
        let invalid = |why: &str| InvalidPattern {
            pattern: pattern.to_owned(),
            why: why.to_owned(),
        };
        if !(pattern.starts_with('^') && pattern.ends_with('$')) {
            return Err(invalid("it must begin with '^' and end with '$'"));
        }
        let compile = |text: &str| {
            RegexBuilder::new(text)
                .size_limit(PATTERN_MAX)
                .build()
                .map_err(|error| invalid(error.to_string().lines().last().unwrap_or("it is none")))
        };
        // By itself first: what closes a group that it has not opened would escape from the one below, and
        // '^a|b$' is anchored at one end of each half only.
        compile(pattern)?;
        let whole = compile(&format!(r"\A(?:{pattern})\z"))?;
        Ok(Self {
            issuer: issuer.to_owned(),
            subject: Subject::Pattern {
                written: pattern.to_owned(),
                whole,
            },
        })
    }

    /// Whether issuer and identity of a certificate are these.
    pub fn fits(&self, issuer: &str, identity: &str) -> bool {
        self.issuer == issuer
            && match &self.subject {
                Subject::Exact(exact) => exact == identity,
                Subject::Pattern { whole, .. } => whole.is_match(identity),
            }
    }

    fn written(&self) -> (&str, &str, bool) {
        match &self.subject {
            Subject::Exact(exact) => (&self.issuer, exact, true),
            Subject::Pattern { written, .. } => (&self.issuer, written, false),
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.written() == other.written()
    }
}

impl Eq for Identity {}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://issuer.example";

    #[test]
    fn issuer_and_identity_must_both_be_the_same_letter_by_letter() {
        let alice = Identity::exact(ISSUER, "alice@example.org");
        assert!(alice.fits(ISSUER, "alice@example.org"));
        for (issuer, identity) in [
            ("https://issuer.example/", "alice@example.org"),
            ("https://other.example", "alice@example.org"),
            (ISSUER, "Alice@example.org"),
            (ISSUER, "alice@example.org.evil"),
            (ISSUER, ""),
        ] {
            assert!(!alice.fits(issuer, identity), "{issuer} {identity}");
        }
    }

    #[test]
    fn a_pattern_fits_the_whole_identity_or_not_at_all() {
        let fits = |pattern: &str, identity: &str| {
            Identity::pattern(ISSUER, pattern).is_ok_and(|known| known.fits(ISSUER, identity))
        };
        let workflow = r"^https://github\.com/team/app@refs/tags/v[0-9.]+$";
        assert!(fits(workflow, "https://github.com/team/app@refs/tags/v1.2"));
        for trick in [
            "https://evil.example/?https://github.com/team/app@refs/tags/v1.2",
            "https://github.com/team/app@refs/tags/v1.2\nx",
            "https://github.com/team/app@refs/tags/v1.2\n",
            "https://github-com/team/app@refs/tags/v1.2",
        ] {
            assert!(!fits(workflow, trick), "{trick}");
        }
        assert!(fits("^alice@a$|^bob@a$", "bob@a"));
        assert!(!fits("^alice@a|bob@a$", "alice@a.evil"));
        assert!(!fits("^alice@a|bob@a$", "evil-bob@a"));
        assert!(!fits("^(?m)alice@a$", "alice@a\nevil"));
    }

    #[test]
    fn what_is_not_anchored_or_no_expression_is_refused() {
        for pattern in [
            "alice@a",
            "^alice@a",
            "alice@a$",
            "^a)|(b$",
            "^[$",
            "^(?x)a # $",
        ] {
            assert!(Identity::pattern(ISSUER, pattern).is_err(), "{pattern}");
        }
    }
}
