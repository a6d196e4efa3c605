//! `floe registry tag`.

use serde::Serialize;

use super::args::TagArguments;
use super::{Reach, failed, not_there, refused, wanted};
use crate::cli::ExitCode;
use crate::cli::platform::failure::Result;
use crate::cli::platform::present::{Present, present};
use crate::effects::registry::TagReceipt;

/// The answer of the command.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tagged {
    repository: String,
    tag: String,
    digest: String,
    /// The tag had this digest before; nothing was written.
    already_there: bool,
}

pub(super) async fn run(reach: &Reach, arguments: &TagArguments) -> Result<ExitCode> {
    let TagArguments {
        artifact,
        tag,
        output,
    } = arguments;
    let repository = &artifact.repository;
    let reference = wanted(artifact)?;
    let registry = reach.open(repository)?;
    let manifest = registry.get_manifest(repository, &reference).await;
    let manifest = manifest
        .map_err(failed)?
        .ok_or_else(|| not_there(artifact))?;
    let receipt = registry.tag(repository, tag, &manifest).await;
    let receipt = receipt.map_err(refused)?;
    let tagged = Tagged {
        repository: repository.to_string(),
        tag: tag.to_string(),
        digest: manifest.digest().to_string(),
        already_there: receipt == TagReceipt::AlreadyThere,
    };
    Ok(present(&tagged, output.format))
}

impl Present for Tagged {
    fn text(&self, _wide: bool) -> String {
        let Self {
            repository,
            tag,
            digest,
            already_there,
        } = self;
        let word = if *already_there {
            "already names"
        } else {
            "names"
        };
        format!("{repository}:{tag} {word} {digest}\n")
    }

    fn names(&self) -> Vec<String> {
        vec![format!("{}:{}", self.repository, self.tag)]
    }
}
