//! `floe registry copy`.

use serde::Serialize;

use super::args::CopyArguments;
use super::reference::Named;
use super::view::{ItemView, in_words};
use super::{Reach, failed, not_there, refused, wanted};
use crate::cli::platform::failure::Result;
use crate::cli::platform::present::{Present, present, table};
use crate::cli::{ExitCode, output};
use crate::domain::artifact::{Digest, Tag};
use crate::effects::registry::{
    CopyOptions, CopyReport, Outcome, Place, Reference, Registry, TagReceipt, TagRefusal,
    copy_graph,
};

/// The answer of the command.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Copied {
    source: String,
    repository: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// The tag had this digest before.
    tag_already_there: bool,
    bytes_written: u64,
    items: Vec<ItemView>,
}

pub(super) async fn run(reach: &Reach, arguments: &CopyArguments) -> Result<ExitCode> {
    let CopyArguments {
        from, to, output, ..
    } = arguments;
    let tag = to.tag.as_ref().or(from.tag.as_ref());
    if to.digest.is_some() {
        return Err(super::Failure::usage(format!(
            "'{to}': a target has the digest of the source; name REGISTRY/NAME[:TAG]"
        )));
    }
    let wanted = wanted(from)?;
    let source = reach.open(&from.repository)?;
    let target = reach.open(&to.repository)?;
    let root = resolve(&source, from, wanted).await?;
    if let Some(tag) = tag {
        check_free(&target, to, tag, &root).await?;
    }
    let options = CopyOptions {
        attached: !arguments.no_referrers,
        ..CopyOptions::default()
    };
    let source = Place {
        registry: &source,
        repository: &from.repository,
    };
    let place = Place {
        registry: &target,
        repository: &to.repository,
    };
    let report = copy_graph(source, place, &root, &options).await;
    let report = report.map_err(failed)?;
    let mut receipt = None;
    if let Some(tag) = tag {
        let written = target.tag(&to.repository, tag, &report.root).await;
        receipt = Some(written.map_err(refused)?);
    }
    let copied = Copied {
        source: from.to_string(),
        repository: to.repository.to_string(),
        digest: root.to_string(),
        tag: tag.map(ToString::to_string),
        tag_already_there: receipt == Some(TagReceipt::AlreadyThere),
        bytes_written: report.bytes_written(),
        items: items(&report),
    };
    let code = present(&copied, output.format);
    let lost = report.lost().count();
    if code == ExitCode::Done && lost > 0 {
        let things = if lost == 1 { "thing" } else { "things" };
        return Ok(output::failure(
            ExitCode::Unexpected,
            &format!(
                "the artifact itself was copied, but {lost} {things} attached to it could not be: \
                 the result says which and why"
            ),
        ));
    }
    Ok(code)
}

async fn resolve(source: &Registry, from: &Named, wanted: Reference) -> Result<Digest> {
    let head = source.head_manifest(&from.repository, &wanted).await;
    let head = head.map_err(failed)?.ok_or_else(|| not_there(from))?;
    Ok(head.digest)
}

/// Refuses before anything is sent what would be refused at the end.
async fn check_free(target: &Registry, to: &Named, tag: &Tag, root: &Digest) -> Result<()> {
    let reference = Reference::from(tag);
    let head = target.head_manifest(&to.repository, &reference).await;
    match head.map_err(failed)? {
        Some(head) if head.digest.algorithm() == root.algorithm() && head.digest != *root => {
            Err(refused(TagRefusal::Taken {
                tag: tag.clone(),
                found: head.digest,
            }))
        }
        _ => Ok(()),
    }
}

fn items(report: &CopyReport) -> Vec<ItemView> {
    let view = |copied: &crate::effects::registry::CopiedItem| {
        let mut view = ItemView::new(&copied.item);
        view.outcome = Some(copied.outcome.as_str());
        match &copied.outcome {
            Outcome::LeftOut { why } => view.because(why),
            _ => view,
        }
    };
    report.items.iter().map(view).collect()
}

impl Present for Copied {
    fn text(&self, _wide: bool) -> String {
        let rows = self.items.iter().map(|item| {
            let outcome = item.outcome.unwrap_or_default().to_owned();
            std::iter::once(outcome).chain(item.cells()).collect()
        });
        let table = table(
            &["OUTCOME", "KIND", "SIZE", "DIGEST", "WHAT"],
            rows.collect(),
        );
        let name = self.names().concat();
        let sent = in_words(self.bytes_written);
        let tag = match &self.tag {
            Some(tag) if self.tag_already_there => format!("; the tag {tag} was there"),
            Some(tag) => format!("; tagged {tag}"),
            None => "; no tag was written".to_owned(),
        };
        format!("{table}\n{name}: {sent} sent{tag}\n")
    }

    fn names(&self) -> Vec<String> {
        vec![format!("{}@{}", self.repository, self.digest)]
    }
}
