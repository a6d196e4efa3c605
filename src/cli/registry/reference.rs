//! How an artifact is written on the command line.

use std::fmt;
use std::str::FromStr;

use crate::domain::artifact::{Digest, NotA, Repository, Tag};
use crate::effects::registry::Reference;

/// `REGISTRY/NAME`, with a tag, a digest, both or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) repository: Repository,
    pub(super) tag: Option<Tag>,
    pub(super) digest: Option<Digest>,
}

impl Named {
    /// What to read: the digest when there is one.
    pub(super) fn reference(&self) -> Option<Reference> {
        let digest = self.digest.as_ref().map(Reference::from);
        digest.or_else(|| self.tag.as_ref().map(Reference::from))
    }
}

impl FromStr for Named {
    type Err = NotA;
    fn from_str(text: &str) -> Result<Self, NotA> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the port.
        let after_slash = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[after_slash..].split_once(':') {
            Some((last, tag)) => (&name[..after_slash + last.len()], Some(tag.parse()?)),
            None => (name, None),
        };
        Ok(Self {
            repository: repository.parse()?,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_a_repository_with_tag_or_digest() {
        let digest = Digest::of(b"x");
        let parts = |text: &str| {
            let Named {
                repository,
                tag,
                digest,
            } = text.parse().unwrap();
            (
                repository.to_string(),
                tag.map(|tag| tag.to_string()),
                digest.is_some(),
            )
        };
        let full = format!("r.example:5000/team/app:1.2@{digest}");
        let repository = "r.example:5000/team/app".to_owned();
        assert_eq!(
            parts(&full),
            (repository.clone(), Some("1.2".to_owned()), true)
        );
        assert_eq!(parts("r.example:5000/team/app"), (repository, None, false));
        assert_eq!(full.parse::<Named>().unwrap().to_string(), full);
        for bad in [
            "",
            "app",
            "app:1",
            "r/a:",
            "r/a@sha256:0",
            "r/a@",
            ":1",
            "r/:1",
        ] {
            assert!(bad.parse::<Named>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_read_before_a_tag() {
        let digest = Digest::of(b"x");
        let reference = |text: &str| text.parse::<Named>().unwrap().reference();
        let both = reference(&format!("r/a:1@{digest}"));
        assert_eq!(both, Some(Reference::Digest(digest)));
        assert_eq!(
            reference("r/a:1"),
            Some(Reference::Tag("1".parse().unwrap()))
        );
        assert_eq!(reference("r/a"), None);
    }
}
