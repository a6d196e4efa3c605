//! Puts tags on manifests, and proves it; lists tags.

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::error::{Problem, RegistryError, TagRefusal};
use super::links::next_page;
use super::manifest::{RawManifest, Reference};
use super::transport::Call;
use super::{Registry, pace, tagged};
use crate::domain::artifact::{Digest, Repository, Tag};

/// PUTs that are tried for one tag; each follows its own HEAD.
const MOST_PUTS: u32 = 2;

/// Largest page of a tag list, in bytes.
const LARGEST_PAGE: u64 = 4 * 1024 * 1024;

/// The tag names the manifest: seen after writing, or already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagReceipt {
    /// Written now (or by a try of ours whose answer was lost) and read back.
    Written,
    /// It was there before; nothing was written.
    AlreadyThere,
}

/// The tag names the manifest now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveReceipt {
    /// What it named when it was first looked at; `None` = there was no such tag.
    pub previous: Option<Digest>,
    /// Whether anything was written.
    pub moved: bool,
}

/// What to do when a tag names something else already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Other {
    Refuse,
    Overwrite,
}

/// What the HEADs saw and what the PUTs did.
struct Written {
    previous: Option<Digest>,
    puts: u32,
    /// A registry that keeps tags immutable refused, and yet the tag is right: not our doing.
    by_others: bool,
}

/// A PUT that failed, and whether another one may follow.
struct Failure {
    error: RegistryError,
    another_put: bool,
}

#[derive(Deserialize)]
struct TagPage {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Puts the write-once `tag` on `manifest`, and proves it: HEAD, PUT, HEAD.
    ///
    /// After a PUT whose outcome is unknown, the tag is read again; it is written once more only
    /// when it is not there.
    ///
    /// # Errors
    /// [`TagRefusal::Taken`] when the tag names another digest (nothing is written over it);
    /// `NotWhatWasWritten` when another digest, or nothing, is there after the PUT.
    pub async fn tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
    ) -> Result<TagReceipt, TagRefusal> {
        let written = self
            .write_tag(repository, tag, manifest, Other::Refuse)
            .await?;
        Ok(if written.puts == 0 || written.by_others {
            TagReceipt::AlreadyThere
        } else {
            TagReceipt::Written
        })
    }

    /// Lets `tag` (`latest-<env>`) name `manifest`, whatever it named before: HEAD, PUT, HEAD;
    /// nothing is written when it does already.
    ///
    /// # Errors
    /// As [`Registry::tag`], but never `Taken`.
    pub async fn move_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
    ) -> Result<MoveReceipt, RegistryError> {
        match self
            .write_tag(repository, tag, manifest, Other::Overwrite)
            .await
        {
            Ok(Written {
                previous,
                puts,
                by_others,
            }) => Ok(MoveReceipt {
                previous,
                moved: puts > 0 && !by_others,
            }),
            Err(TagRefusal::Registry(error)) => Err(error),
            Err(TagRefusal::Taken { tag, found }) => Err(RegistryError::new(
                "move the tag",
                tagged(repository, &tag),
                Problem::NotWhatWasWritten {
                    wanted: manifest.digest().clone(),
                    found: Some(found),
                },
            )),
        }
    }

    /// All tags of a repository; none when it is not there.
    ///
    /// # Errors
    /// `TooLarge` when there are more than [`super::Limits`] allow: what exists is then unknown,
    /// and never a shorter list.
    pub async fn list_tags(&self, repository: &Repository) -> Result<Vec<Tag>, RegistryError> {
        let action = "list the tags";
        let limits = self.inner.limits;
        let mut tags = Vec::new();
        let mut url = self.url(action, repository, "tags/list")?;
        url.set_query(Some("n=1000"));
        for _ in 0..limits.pages {
            let call = Call {
                action,
                subject: repository.to_string(),
                method: Method::GET,
                url: url.clone(),
                accept: None,
                body: None,
                scope: self.scope(repository, false),
                waits: true,
                limit: limits.request,
                not_after: None,
            };
            let answer = self.inner.send(call).await?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if tags.is_empty() => {
                    return answer
                        .absent(&["NAME_UNKNOWN", "NOT_FOUND"])
                        .await
                        .map(|()| tags);
                }
                _ => return Err(answer.refusal().await),
            }
            let next = next_page(&answer, &url)?;
            let error = answer.error_maker();
            let body = answer.body(LARGEST_PAGE, "a page of tags").await?;
            let page: TagPage = serde_json::from_slice(&body)
                .map_err(|_| error(Problem::unreadable("its list of tags is malformed")))?;
            for text in page.tags.unwrap_or_default() {
                let tag = text.parse().map_err(|not: crate::domain::artifact::NotA| {
                    error(Problem::unreadable(not.to_string()))
                })?;
                tags.push(tag);
            }
            if tags.len() > limits.tags {
                let limit = limits.tags as u64;
                return Err(error(Problem::TooLarge {
                    what: "the list",
                    limit,
                    unit: "tags",
                }));
            }
            match next {
                Some(next) => url = next,
                None => return Ok(tags),
            }
        }
        let limit = limits.pages as u64;
        let problem = Problem::TooLarge {
            what: "the list",
            limit,
            unit: "pages",
        };
        Err(RegistryError::new(action, repository.as_str(), problem))
    }

    async fn write_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
        other: Other,
    ) -> Result<Written, TagRefusal> {
        let reference = Reference::from(tag);
        let mut previous = None;
        let mut puts = 0;
        let mut failure: Option<Failure> = None;
        loop {
            let found = self.digest_of(repository, tag).await?;
            if puts == 0 {
                previous.clone_from(&found);
            }
            if found.as_ref().is_some_and(|found| manifest.has(found)) {
                let by_others = failure.is_some_and(|failure| !failure.error.is_ambiguous());
                return Ok(Written {
                    previous,
                    puts,
                    by_others,
                });
            }
            if let (Other::Refuse, Some(found)) = (other, &found) {
                return Err(TagRefusal::Taken {
                    tag: tag.clone(),
                    found: found.clone(),
                });
            }
            if let Some(failure) = failure.take()
                && (puts >= MOST_PUTS || !failure.another_put)
            {
                return Err(failure.error.into());
            }
            puts += 1;
            match self.put_manifest(repository, &reference, manifest).await {
                Ok(_) => break,
                Err(error) => failure = Some(self.look_again(error).await?),
            }
        }
        let found = self.digest_of(repository, tag).await?;
        if found.as_ref().is_some_and(|found| manifest.has(found)) {
            return Ok(Written {
                previous,
                puts,
                by_others: false,
            });
        }
        let wanted = manifest.digest().clone();
        let problem = Problem::NotWhatWasWritten { wanted, found };
        Err(RegistryError::new("write", tagged(repository, tag), problem).into())
    }

    /// After a PUT that failed: whether the tag may be right all the same, or become right by
    /// another PUT. Waits when the registry asked for a short wait; the tag has to be looked at
    /// again in every case. Returns the error when there is nothing to look for.
    async fn look_again(&self, error: RegistryError) -> Result<Failure, RegistryError> {
        let another_put = match error.retry_after() {
            Some(wait) if wait <= self.inner.limits.waiting => {
                pace::wait(wait).await;
                true
            }
            Some(_) => false,
            None => error.is_ambiguous(),
        };
        if another_put || error.is_ambiguous() || is_conflict(&error) {
            return Ok(Failure { error, another_put });
        }
        Err(error)
    }

    async fn digest_of(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<Digest>, RegistryError> {
        let head = self
            .head_manifest(repository, &Reference::from(tag))
            .await?;
        Ok(head.map(|head| head.digest))
    }
}

/// The refusal of a registry that keeps tags immutable, also for the digest that is there.
fn is_conflict(error: &RegistryError) -> bool {
    match error.problem() {
        Problem::Refused { status, .. } => matches!(status, 400 | 409 | 412),
        _ => false,
    }
}
