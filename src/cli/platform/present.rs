//! How results are written: tables, documents, names.

use comfy_table::Table;
use comfy_table::presets;
use serde::Serialize;

use super::args::Format;
use crate::cli::{ExitCode, output};

/// Kind and group of promotions, as kubectl writes names of objects.
const PROMOTION: &str = "promotion.promotion.floe.dev";

/// Something that can be written in every format.
pub(in crate::cli) trait Present: Serialize {
    /// For people; more of it when `wide`.
    fn text(&self, wide: bool) -> String;
    /// Names of the objects in it, as [`promotion_name`] and [`policy_name`] write them.
    fn names(&self) -> Vec<String>;
}

/// Writes a result to standard output.
pub(in crate::cli) fn present(result: &impl Present, format: Format) -> ExitCode {
    let written = match format {
        Format::Table => Ok(result.text(false)),
        Format::Wide => Ok(result.text(true)),
        Format::Json => serde_json::to_string_pretty(result)
            .map(|json| json + "\n")
            .map_err(|error| error.to_string()),
        Format::Yaml => serde_saphyr::to_string(result).map_err(|error| error.to_string()),
        Format::Name => Ok(lines(&result.names())),
    };
    match written {
        Ok(text) => output::text(&text),
        Err(error) => output::failure(
            ExitCode::Unexpected,
            &format!("cannot write the result: {error}"),
        ),
    }
}

fn lines(names: &[String]) -> String {
    names.iter().flat_map(|name| [name, "\n"]).collect()
}

/// `promotion.promotion.floe.dev/name`.
pub(in crate::cli) fn promotion_name(name: &str) -> String {
    format!("{PROMOTION}/{name}")
}

/// `environmentpolicy.promotion.floe.dev/name`.
pub(in crate::cli) fn policy_name(name: &str) -> String {
    format!("environmentpolicy.promotion.floe.dev/{name}")
}

/// A table as kubectl writes it: no lines, no colours, no wrapping.
pub(in crate::cli) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt() + "\n"
}
