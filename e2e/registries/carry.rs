//! Copies with floe's engine, and looks with other eyes whether everything has arrived.

use floe::domain::artifact::{Digest, Tag};
use floe::effects::registry::{CopyOptions, CopyReport, Place, copy_graph, missing_from};

use crate::stand::{Stand, tag};

/// Copies the artifact `root` from a repository of one registry to that of the same name in another, and tags it
/// there; the tag is given back. Everything has to be carried.
pub async fn carry(from: &Stand, to: &Stand, name: &str, root: &str) -> (CopyReport, Tag) {
    carry_with(from, to, name, root, &CopyOptions::default()).await
}

/// The same in another way.
pub async fn carry_with(
    from: &Stand,
    to: &Stand,
    name: &str,
    root: &str,
    options: &CopyOptions,
) -> (CopyReport, Tag) {
    let (source, target) = (from.client(), to.client());
    let (from, to) = (from.repository(name), to.repository(name));
    let source = Place {
        registry: &source,
        repository: &from,
    };
    let place = Place {
        registry: &target,
        repository: &to,
    };
    let root: Digest = root.parse().unwrap();
    let report = copy_graph(source, place, &root, options)
        .await
        .unwrap_or_else(|why| panic!("copy {from}@{root} to {to}: {why}"));
    let lost: Vec<_> = report.lost().collect();
    assert!(lost.is_empty(), "{from}@{root} to {to}: {lost:?}");
    let missing = missing_from(source, place, &root, options).await.unwrap();
    assert!(missing.is_empty(), "{from}@{root} to {to}: {missing:?}");
    let tag = tag(&format!("copy-{}", &root.hex()[..12]));
    target.tag(&to, &tag, &report.root).await.unwrap();
    (report, tag)
}
