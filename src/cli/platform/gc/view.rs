//! A clean-up as the command line shows it. The shape is API: fields may be added.

use serde::Serialize;

use super::Cleaning;
use crate::cli::platform::present::{Present, table};
use crate::cli::platform::words::{or_dash, short_digest};
use crate::domain::artifact::Repository;
use crate::domain::retention::Verdict;

/// The answer of `floe platform gc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cleaned {
    namespace: String,
    /// Deletion was asked for.
    confirmed: bool,
    pub(super) repositories: Vec<CleanedRepository>,
}

/// One repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CleanedRepository {
    repository: String,
    tags: Vec<Row>,
    manifests: Vec<Row>,
    /// Estimate of what the manifests in `manifests` that go free, in bytes.
    bytes_freed: u64,
    /// What was left alone although the plan had it, and what could not be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// A tag or a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// The tag; a manifest has none, or those that speak of it alone and go with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    /// `keep`, `delete` (planned) or `deleted`.
    action: &'static str,
    reason: &'static str,
    message: String,
}

impl Cleaned {
    pub(super) fn new(namespace: &str, confirmed: bool) -> Self {
        Self {
            namespace: namespace.to_owned(),
            confirmed,
            repositories: Vec::new(),
        }
    }
}

impl CleanedRepository {
    pub(super) fn of(repository: &Repository, cleaning: &Cleaning) -> Self {
        let Cleaning {
            items,
            manifests,
            deleted,
            cluster,
        } = cleaning;
        let tags = items.iter().map(|item| Row {
            tag: Some(item.tag.to_string()),
            digest: item.digest.to_string(),
            environment: item.environment.clone(),
            action: action(&item.verdict, deleted.tags.contains(&item.tag)),
            reason: item.verdict.reason(),
            message: item.verdict.to_string(),
        });
        let doomed = manifests.doomed.iter().flat_map(|one| {
            let verdict = Verdict::Delete(one.why.clone());
            let own = one.tags.iter().map(move |tag| (Some(tag), one));
            let rows = own.chain([(None, one)]);
            rows.map(move |(tag, one)| Row {
                tag: tag.map(ToString::to_string),
                digest: one.digest.to_string(),
                environment: None,
                action: action(
                    &verdict,
                    tag.map_or_else(
                        || deleted.manifests.contains(&one.digest),
                        |tag| deleted.tags.contains(tag),
                    ),
                ),
                reason: verdict.reason(),
                message: tag.map_or_else(
                    || verdict.to_string(),
                    |_| format!("it speaks of {} alone", one.digest),
                ),
            })
        });
        let kept = manifests.kept.iter().map(|(digest, why)| {
            let verdict = Verdict::Keep(why.clone());
            Row {
                tag: None,
                digest: digest.to_string(),
                environment: None,
                action: "keep",
                reason: verdict.reason(),
                message: verdict.to_string(),
            }
        });
        Self {
            repository: repository.to_string(),
            tags: tags.collect(),
            manifests: doomed.chain(kept).collect(),
            bytes_freed: manifests.freed,
            notes: cluster
                .unknown()
                .chain(deleted.left.iter().cloned())
                .collect(),
        }
    }

    fn render(&self, wide: bool) -> String {
        let header = ["ACTION", "TAG", "DIGEST", "WHY"];
        let rows = self.tags.iter().chain(&self.manifests).map(|row| {
            let digest = if wide {
                row.digest.clone()
            } else {
                short_digest(Some(&row.digest))
            };
            vec![
                row.action.to_owned(),
                or_dash(row.tag.as_deref()),
                digest,
                row.message.clone(),
            ]
        });
        let Self { repository, .. } = self;
        format!(
            "{repository}\n{}{}\n",
            table(&header, rows.collect()),
            self.sum()
        )
    }

    /// `2 tags and 1 manifest to delete, about 1.5 MiB; 3 tags stay.`
    fn sum(&self) -> String {
        let count = |rows: &[Row], tagged: bool, action: &str| {
            rows.iter()
                .filter(|row| row.tag.is_some() == tagged && row.action == action)
                .count()
        };
        let tags = |action| count(&self.tags, true, action) + count(&self.manifests, true, action);
        let manifests = |action| count(&self.manifests, false, action);
        let mut parts = Vec::new();
        for (action, words) in [("deleted", "deleted"), ("delete", "to delete")] {
            let (tags, manifests) = (tags(action), manifests(action));
            if tags + manifests > 0 || action == "delete" && parts.is_empty() {
                parts.push(format!(
                    "{} and {} {words}",
                    counted(tags, "tag"),
                    counted(manifests, "manifest")
                ));
            }
        }
        if self.bytes_freed > 0 {
            parts.push(format!(
                "about {} in all, freed when the registry collects its garbage",
                bytes(self.bytes_freed)
            ));
        }
        parts.push(format!("{} kept", counted(tags("keep"), "tag")));
        parts.join("; ") + "."
    }
}

impl Present for Cleaned {
    fn text(&self, wide: bool) -> String {
        if self.repositories.is_empty() {
            return "There is nothing to clean up.\n".to_owned();
        }
        let repositories = self.repositories.iter().map(|one| one.render(wide));
        let mut text = repositories.collect::<Vec<_>>().join("\n");
        let planned = self.repositories.iter();
        let mut planned = planned.flat_map(|one| one.tags.iter().chain(&one.manifests));
        if !self.confirmed && planned.any(|row| row.action == "delete") {
            text.push_str("\nNothing has been deleted; --confirm deletes.\n");
        }
        text
    }

    /// What goes, as `repository:tag`.
    fn names(&self) -> Vec<String> {
        let tags = self.repositories.iter().flat_map(|one| {
            let going = one.tags.iter().filter(|row| row.action != "keep");
            going.filter_map(|row| Some(format!("{}:{}", one.repository, row.tag.as_ref()?)))
        });
        tags.collect()
    }
}

fn action(verdict: &Verdict, gone: bool) -> &'static str {
    match (verdict.deletes(), gone) {
        (_, true) => "deleted",
        (true, false) => "delete",
        (false, false) => "keep",
    }
}

fn counted(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}

/// `512 B`, `1.5 KiB`, `12.3 MiB`: in tenths, cut.
fn bytes(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut tenths = number.saturating_mul(10);
    let mut unit = "B";
    for next in units {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    if unit == "B" {
        format!("{number} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_people_read_them() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_600_000, "1.5 MiB"),
            (u64::MAX, "1677721.5 TiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
