//! `floe gate fetch`: what the first container of a gate's Pod does.

use std::fmt::Write as _;

use floe_gate::tail::cut_end;

use super::args::FetchArguments;
use super::{open, output, retrying, write_last_word};
use crate::cli::ExitCode;
use crate::effects::fetch::{
    Fetched, ImageLayout, copy_program, fetch_and_unpack, write_image_layout,
};

/// Most bytes of an error as the last word of a container.
const MAX_LAST_WORD: usize = 1024;

pub(super) async fn run(arguments: &FetchArguments) -> ExitCode {
    match fetch_all(arguments).await {
        Ok((fetched, layout)) => output::text(&lines(&fetched, layout.as_ref())),
        Err(message) => {
            let mut last_word = message.clone();
            cut_end(&mut last_word, MAX_LAST_WORD);
            let code = output::failure(ExitCode::Unexpected, &message);
            write_last_word(&arguments.source, last_word.as_bytes(), code).await
        }
    }
}

async fn fetch_all(arguments: &FetchArguments) -> Result<(Fetched, Option<ImageLayout>), String> {
    let source = &arguments.source;
    let registry = open(source).await?;
    let (repository, digest) = &source.reference;
    let fetched = retrying(|| fetch_and_unpack(&registry, repository, digest, &source.out)).await?;
    let layout = match &arguments.layout {
        Some(folder) => {
            let name = arguments.layout_name.as_ref();
            let write = || write_image_layout(&registry, repository, digest, name, folder);
            Some(retrying(write).await?)
        }
        None => None,
    };
    if let (Some(from), Some(to)) = (&arguments.bin_from, &arguments.bin_to) {
        copy_program(from, to)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok((fetched, layout))
}

fn lines(fetched: &Fetched, layout: Option<&ImageLayout>) -> String {
    let mut lines = super::lines(fetched);
    let archives = fetched.files.archives.len();
    if archives > 0 {
        let files = fetched.unpacked;
        let _ = writeln!(lines, "unpacked {files} files from {archives} archives");
    }
    if let Some(layout) = layout {
        let ImageLayout {
            manifests,
            blobs,
            left_out,
        } = layout;
        let _ = writeln!(
            lines,
            "image layout with {manifests} manifests and {blobs} blobs"
        );
        for line in left_out {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    lines
}
