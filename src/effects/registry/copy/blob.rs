//! One blob from one repository to another: looked up, mounted, or streamed.

use bytes::Bytes;

use super::graph::Blob;
use super::{Outcome, Place, tried_again};
use crate::domain::artifact::Digest;
use crate::effects::registry::error::RegistryError;
use crate::effects::registry::relay::{Halt, corrupt};
use crate::effects::registry::upload::Begun;

/// Copies the blob unless it is there. A transfer that breaks off is done again a few times; each
/// time the target is asked first whether it has it by now.
pub(super) async fn copy_blob(
    from: Place<'_>,
    to: Place<'_>,
    blob: &Blob,
    halt: &Halt,
) -> Result<Outcome, RegistryError> {
    let mut earlier = false;
    tried_again(|| {
        let repeated = std::mem::replace(&mut earlier, true);
        async move {
            let outcome = copy_once(from, to, blob, halt).await?;
            Ok(match outcome {
                // Our own earlier try whose answer was lost.
                Outcome::AlreadyThere if repeated => Outcome::Written,
                outcome => outcome,
            })
        }
    })
    .await
}

async fn copy_once(
    from: Place<'_>,
    to: Place<'_>,
    blob: &Blob,
    halt: &Halt,
) -> Result<Outcome, RegistryError> {
    let (digest, size) = (&blob.item.digest, blob.item.size);
    halt.check().map_err(|problem| {
        let place = format!("{}@{digest}", to.repository);
        RegistryError::new("push the blob", place, problem)
    })?;
    if to.registry.blob_exists(to.repository, digest).await? {
        return Ok(Outcome::AlreadyThere);
    }
    let same_registry = from.registry.host() == to.registry.host();
    let mount_from = same_registry.then_some(from.repository);
    let begun = to.registry.begin_upload(to.repository, digest, mount_from);
    let mut session = match begun.await? {
        Begun::Mounted => return Ok(Outcome::Mounted),
        Begun::Session(session) => session,
    };
    let sent = if let Some(bytes) = known_content(from, blob)? {
        session.fill(bytes).await
    } else {
        match from.registry.open_blob(from.repository, digest, size).await {
            Ok(open) => session.relay(open, digest, size, halt).await,
            Err(error) => Err(error),
        }
    };
    if sent.is_err() {
        session.cancel().await;
    }
    sent.map(|()| Outcome::Written)
}

/// The content where it need not be read: nothing at all, or embedded in a manifest.
fn known_content(from: Place<'_>, blob: &Blob) -> Result<Option<Bytes>, RegistryError> {
    if blob.item.size > 0 {
        return Ok(blob.data.clone());
    }
    let digest: &Digest = &blob.item.digest;
    if !digest.is_of(b"") {
        let place = format!("{}@{digest}", from.repository);
        let problem = corrupt("its manifest says that it is empty, and its digest says otherwise");
        return Err(RegistryError::new("read the blob", place, problem));
    }
    Ok(Some(Bytes::new()))
}
