//! `floe registry tree`.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::args::TreeArguments;
use super::view::ItemView;
use super::{Reach, failed, not_there, wanted};
use crate::cli::ExitCode;
use crate::cli::platform::failure::Result;
use crate::cli::platform::present::{Present, present, table};
use crate::effects::registry::{CopyOptions, Place, tree};

/// The answer of the command.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    repository: String,
    digest: String,
    items: Vec<ItemView>,
}

pub(super) async fn run(reach: &Reach, arguments: &TreeArguments) -> Result<ExitCode> {
    let TreeArguments { artifact, output } = arguments;
    let repository = &artifact.repository;
    let wanted = wanted(artifact)?;
    let registry = reach.open(repository)?;
    let head = registry.head_manifest(repository, &wanted).await;
    let head = head.map_err(failed)?.ok_or_else(|| not_there(artifact))?;
    let place = Place {
        registry: &registry,
        repository,
    };
    let found = tree(place, &head.digest, &CopyOptions::default()).await;
    let found = found.map_err(failed)?;
    let readable = found.items.iter().map(ItemView::new);
    let unreadable = found.unreadable.iter();
    let unreadable = unreadable.map(|(item, why)| ItemView::new(item).because(why));
    let shown = Shown {
        repository: repository.to_string(),
        digest: head.digest.to_string(),
        items: readable.chain(unreadable).collect(),
    };
    Ok(present(&shown, output.format))
}

impl Present for Shown {
    fn text(&self, _wide: bool) -> String {
        let mut below = HashMap::<&str, Vec<&ItemView>>::new();
        for item in &self.items {
            below
                .entry(item.of.as_deref().unwrap_or_default())
                .or_default()
                .push(item);
        }
        let mut rows = Vec::new();
        let mut opened = HashSet::new();
        // The last one is written next.
        let mut next: Vec<(usize, &ItemView)> = below
            .get("")
            .into_iter()
            .flatten()
            .map(|item| (0, *item))
            .collect();
        while let Some((depth, item)) = next.pop() {
            let mut cells = item.cells();
            cells[0].insert_str(0, &"  ".repeat(depth));
            rows.push(cells);
            if opened.insert(item.digest.as_str())
                && let Some(items) = below.get(item.digest.as_str())
            {
                next.extend(items.iter().rev().map(|item| (depth + 1, *item)));
            }
        }
        table(&["KIND", "SIZE", "DIGEST", "WHAT"], rows)
    }

    fn names(&self) -> Vec<String> {
        vec![format!("{}@{}", self.repository, self.digest)]
    }
}
