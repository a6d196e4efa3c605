//! DELETE of tags and manifests, each looked at before and after.
//!
//! A registry that deletes a manifest also deletes every tag that names it, and some delete the manifest when
//! they are asked for a tag. So both are asked for by what they are, and what is left is looked at.

use reqwest::{Method, StatusCode};

use super::auth::Scope;
use super::error::{Problem, RegistryError};
use super::manifest::Reference;
use super::transport::Call;
use super::{Registry, named};
use crate::domain::artifact::{Digest, Repository, Tag};

/// It is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteReceipt {
    /// Deleted now, and seen to be gone.
    Deleted,
    /// It was gone before.
    AlreadyGone,
    /// The tag names another digest than it should; it was left alone.
    NamesAnother,
}

/// How a DELETE was answered.
enum Answered {
    /// With a success.
    Accepted,
    /// With a 404.
    NotFound,
}

impl Registry {
    /// Deletes `tag`, if it still names `expected`: HEAD, DELETE, HEAD. What it named stays, if the registry
    /// does what the specification says: look at it afterwards.
    ///
    /// # Errors
    /// `Unsupported` when the registry deletes no tags; `StillThere` when it says that it did and the tag is
    /// there all the same.
    pub async fn delete_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        expected: &Digest,
    ) -> Result<DeleteReceipt, RegistryError> {
        let reference = Reference::from(tag);
        match self.head_manifest(repository, &reference).await? {
            None => return Ok(DeleteReceipt::AlreadyGone),
            Some(head) if head.digest != *expected => return Ok(DeleteReceipt::NamesAnother),
            Some(_) => {}
        }
        self.delete(repository, &reference).await
    }

    /// Deletes a manifest, and with it every tag that names it: HEAD, DELETE, HEAD.
    ///
    /// # Errors
    /// As [`Registry::delete_tag`].
    pub async fn delete_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<DeleteReceipt, RegistryError> {
        let reference = Reference::from(digest);
        if self.head_manifest(repository, &reference).await?.is_none() {
            return Ok(DeleteReceipt::AlreadyGone);
        }
        self.delete(repository, &reference).await
    }

    /// Whether the registry lists referrers by itself: it has the referrers API.
    ///
    /// # Errors
    /// Any answer but a list or a 404.
    pub async fn lists_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<bool, RegistryError> {
        let path = format!("referrers/{subject}");
        let url = self.url("list the referrers", repository, &path)?;
        let call = self.referrers_call(repository, subject, &url);
        let answer = self.inner.send(call).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(answer.refusal().await),
        }
    }

    async fn delete(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<DeleteReceipt, RegistryError> {
        let answered = self.send_delete(repository, reference).await;
        if let Err(error) = &answered
            && !error.is_ambiguous()
        {
            return answered.map(|_| DeleteReceipt::Deleted);
        }
        let there = self.head_manifest(repository, reference).await?.is_some();
        if !there {
            return Ok(DeleteReceipt::Deleted);
        }
        let problem = match answered {
            Err(error) => return Err(error),
            Ok(Answered::Accepted) => Problem::StillThere,
            // ECR has no DELETE at all and answers so.
            Ok(Answered::NotFound) => {
                Problem::unsupported("the registry does not delete through this interface (404)")
            }
        };
        let subject = named(repository, reference);
        Err(RegistryError::new("delete", subject, problem))
    }

    async fn send_delete(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Answered, RegistryError> {
        let action = "delete";
        let call = Call {
            action,
            subject: named(repository, reference),
            method: Method::DELETE,
            url: self.url(action, repository, &format!("manifests/{reference}"))?,
            accept: None,
            body: None,
            scope: Scope {
                delete: true,
                ..self.scope(repository, false)
            },
            waits: true,
            limit: self.inner.limits.request,
            not_after: None,
        };
        let answer = self.inner.send(call).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Answered::Accepted);
        }
        if status == StatusCode::NOT_FOUND {
            return Ok(Answered::NotFound);
        }
        let refusal = answer.refusal().await;
        let of_tag = matches!(reference, Reference::Tag(_));
        if cannot_delete(&refusal, of_tag) {
            let what = if of_tag { "tags" } else { "manifests" };
            let why = format!("the registry deletes no {what} ({})", refusal.problem());
            let subject = named(repository, reference);
            return Err(RegistryError::new(
                action,
                subject,
                Problem::unsupported(why),
            ));
        }
        Err(refusal)
    }
}

/// 405, 400 with `UNSUPPORTED`, and what distribution before version 3 says to a tag: its name is no digest.
fn cannot_delete(refusal: &RegistryError, of_tag: bool) -> bool {
    let Problem::Refused { status, code, .. } = refusal.problem() else {
        return false;
    };
    matches!(
        (status, code.as_str(), of_tag),
        (405, _, _) | (400, "UNSUPPORTED", _) | (400, "DIGEST_INVALID", true)
    )
}
