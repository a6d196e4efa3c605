//! Items of a graph as they are written.

use serde::Serialize;

use crate::effects::registry::{Item, ItemKind};

/// Steps between the units of a size.
const STEP: u64 = 1024;

/// One item, for JSON.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemView {
    kind: &'static str,
    pub(super) digest: String,
    size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// What became of it, in a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    /// Why it was left out or cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

impl ItemView {
    pub(super) fn new(item: &Item) -> Self {
        Self {
            kind: item.kind.as_str(),
            digest: item.digest.to_string(),
            size: item.size,
            media_type: item.media_type.clone(),
            artifact_type: match item.kind {
                ItemKind::Blob | ItemKind::ForeignLayer => None,
                _ => item.artifact_type.clone(),
            },
            of: item.of.as_ref().map(ToString::to_string),
            tag: item.tag.as_ref().map(ToString::to_string),
            outcome: None,
            why: None,
        }
    }

    pub(super) fn because(mut self, why: &str) -> Self {
        self.why = Some(why.to_owned());
        self
    }

    /// Cells of a table: kind, size, digest, and what it is.
    pub(super) fn cells(&self) -> Vec<String> {
        let what = match (&self.tag, &self.artifact_type) {
            (Some(tag), _) => tag,
            (None, Some(kind)) => kind,
            (None, None) => &self.media_type,
        };
        let what = match &self.why {
            Some(why) => format!("{what} ({why})"),
            None => what.clone(),
        };
        vec![
            self.kind.to_owned(),
            in_words(self.size),
            self.digest.clone(),
            what,
        ]
    }
}

/// A size for people: `512 B`, `1.5 KiB`.
pub(super) fn in_words(bytes: u64) -> String {
    if bytes < STEP {
        return format!("{bytes} B");
    }
    let (mut unit, mut size) = (0, bytes);
    let units = ["KiB", "MiB", "GiB", "TiB"];
    while size >= STEP * STEP && unit + 1 < units.len() {
        size /= STEP;
        unit += 1;
    }
    format!(
        "{}.{} {}",
        size / STEP,
        size % STEP * 10 / STEP,
        units[unit]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_in_the_unit_that_keeps_it_short() {
        for (bytes, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (100 << 20, "100.0 MiB"),
            (3 << 30, "3.0 GiB"),
            (5 << 50, "5120.0 TiB"),
        ] {
            assert_eq!(in_words(bytes), words);
        }
    }
}
