//! What the controllers open: registries, with the credentials of a policy, and the keys of a namespace.

use std::sync::Arc;

use super::context::Context;
use super::error::within;
use super::pass::Stopped;
use crate::api::ArtifactSource;
use crate::domain::artifact::Repository;
use crate::domain::record::{KeyRing, SigningKey};
use crate::effects::credentials::Place;
use crate::effects::registry::Registry;

impl Context {
    /// The client for the registry in which an artifact lies.
    pub(super) async fn registry(
        &self,
        space: &str,
        source: &ArtifactSource,
        repository: &Repository,
    ) -> Result<Registry, Stopped> {
        let place = Place::of(source, repository);
        let access = self.credentials.access(&self.client, space, place).await?;
        Ok(self.registries.open(&access)?)
    }

    /// The key that signs the records of a namespace.
    pub(super) async fn signing_key(&self, space: &str) -> Result<Arc<SigningKey>, Stopped> {
        let key = self.keys.signing(&self.client, space);
        Ok(within("read the key of records", key).await??)
    }

    /// The keys that may have signed the records of a namespace.
    pub(super) async fn public_keys(&self, space: &str) -> Result<KeyRing, Stopped> {
        let keys = self.keys.public(&self.client, space);
        Ok(within("read the public keys of records", keys).await??)
    }
}
