use proptest::prelude::*;

use super::*;
use crate::domain::artifact::Digest;

fn archive(within: Option<&str>) -> ArchiveLayer {
    ArchiveLayer {
        media_type: "application/vnd.cncf.flux.content.v1.tar+gzip".into(),
        digest: Digest::of(b"tar"),
        size: 3,
        gzip: true,
        within: within.map(str::to_owned),
    }
}

fn entry(kind: u8, name: &str, size: u64) -> Result<Placed, ArchiveError> {
    Unpacking::default().entry(&archive(None), kind, name.as_bytes(), size)
}

#[test]
fn files_and_folders_are_placed_however_tar_writes_their_names() {
    let file = |path: &str| Ok(Placed::File(path.into(), 7));
    let folder = |path: &str| Ok(Placed::Folder(path.into()));
    assert_eq!(entry(b'0', "a/b", 7), file("a/b"));
    assert_eq!(entry(0, "./a/b", 7), file("a/b"));
    assert_eq!(entry(b'5', "a/b/", 0), folder("a/b"));
    assert_eq!(entry(b'5', "./a", 0), folder("a"));
    for root in [".", "./", ""] {
        assert_eq!(entry(b'5', root, 0), Ok(Placed::Root));
    }
}

#[test]
fn whatever_is_neither_file_nor_folder_is_refused_with_its_name() {
    for (kind, what) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a device"),
        (b'4', "a device"),
        (b'6', "a FIFO"),
        (b'7', "of an unknown type"),
        (b'S', "a sparse file"),
        (b'V', "of an unknown type"),
        (0xff, "of an unknown type"),
    ] {
        let error = entry(kind, "some\n/entry", 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("entry 'some?/entry' is {what}: only files and folders are unpacked")
        );
    }
    assert!(entry(b'5', "a", 1).is_err());
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in [
        "",
        "/a",
        "../a",
        "a/../../b",
        "./../a",
        "././a",
        ".//a",
        "a/",
        "a//b",
        "a\\b",
        "c:a",
        "a\u{7}",
    ] {
        let refused = entry(b'0', name, 0);
        assert!(matches!(refused, Err(ArchiveError::Path(_))), "{name:?}");
    }
    for name in ["/", "..", "../", "a//", "./.."] {
        let refused = entry(b'5', name, 0);
        assert!(matches!(refused, Err(ArchiveError::Path(_))), "{name:?}");
    }
    let refused = Unpacking::default().entry(&archive(None), b'0', b"a\xff", 0);
    assert!(matches!(refused, Err(ArchiveError::Path(_))));
}

#[test]
fn a_path_is_used_once_in_all_layers_and_folders_may_be_named_again() {
    let titled = FileLayer {
        path: "docs/a.md".into(),
        media_type: "text/markdown".into(),
        digest: Digest::of(b"a"),
        size: 1,
    };
    let fresh = Unpacking::after(&[titled]).unwrap();
    for (kind, name) in [
        (b'0', "docs/a.md"),
        (b'0', "docs"),
        (b'0', "docs/a.md/b"),
        (b'5', "docs/a.md"),
    ] {
        let refused = fresh
            .clone()
            .entry(&archive(None), kind, name.as_bytes(), 0);
        assert!(matches!(refused, Err(ArchiveError::Path(_))), "{name}");
    }
    let mut unpacking = fresh;
    for (kind, name) in [
        (b'5', "docs"),
        (b'5', "docs/"),
        (b'0', "docs/b.md"),
        (b'5', "docs"),
    ] {
        assert!(
            unpacking
                .entry(&archive(None), kind, name.as_bytes(), 0)
                .is_ok()
        );
    }
}

#[test]
fn the_folder_of_an_oras_layer_is_its_title() {
    let layer = archive(Some("charts/app"));
    let place = |kind, name: &str| Unpacking::default().entry(&layer, kind, name.as_bytes(), 0);
    assert!(place(b'5', "charts/app").is_ok());
    assert!(place(b'0', "charts/app/a").is_ok());
    for (kind, name) in [
        (b'0', "charts/app"),
        (b'0', "charts/apple"),
        (b'0', "a"),
        (b'5', "charts"),
    ] {
        let refused = place(kind, name);
        assert!(
            matches!(refused, Err(ArchiveError::Elsewhere { .. })),
            "{name}"
        );
    }
}

#[test]
fn entries_folders_and_bytes_are_bounded_over_all_archives() {
    let mut many = Unpacking::default();
    for n in 0..MAX_ENTRIES {
        assert!(
            many.entry(&archive(None), b'0', n.to_string().as_bytes(), 0)
                .is_ok()
        );
    }
    let more = many.entry(&archive(None), b'5', b"more", 0);
    assert_eq!(more, Err(ArchiveError::TooManyEntries));

    let mut deep = Unpacking::default();
    let refused = (0..200).find_map(|n| {
        let name = format!("{n}/{}", "d/".repeat(200));
        deep.entry(&archive(None), b'5', name.as_bytes(), 0).err()
    });
    assert_eq!(refused, Some(ArchiveError::TooManyEntries));

    let mut large = Unpacking::default();
    assert!(
        large
            .entry(&archive(None), b'0', b"a", MAX_TOTAL_BYTES)
            .is_ok()
    );
    assert!(large.entry(&archive(None), b'0', b"b", 0).is_ok());
    let more = large.entry(&archive(None), b'0', b"c", u64::MAX);
    assert_eq!(more, Err(ArchiveError::TooLarge));
}

#[test]
fn an_archive_may_grow_to_200_times_its_size_and_a_small_one_to_a_mebibyte() {
    let unpacking = Unpacking::default();
    let mut small = unpacking.flow(10);
    assert_eq!(small.take(1 << 20), Ok(()));
    assert_eq!(small.take(1), Err(ArchiveError::Bomb));
    let mut large = unpacking.flow(100_000);
    assert_eq!(large.take(20_000_000), Ok(()));
    assert_eq!(large.take(1), Err(ArchiveError::Bomb));
}

#[test]
fn the_streams_of_all_archives_count_together() {
    let mut unpacking = Unpacking::default();
    let mut first = unpacking.flow(MAX_TOTAL_BYTES);
    assert_eq!(first.take(100 << 20), Ok(()));
    unpacking.add_flow(&first);
    let mut second = unpacking.flow(MAX_TOTAL_BYTES);
    assert_eq!(second.take(32 << 20), Ok(()));
    assert_eq!(second.take(1), Err(ArchiveError::TooLarge));
}

proptest! {
    #[test]
    fn no_name_is_placed_outside_the_folder(
        kind in prop_oneof![Just(b'0'), Just(b'5'), any::<u8>()],
        name in prop_oneof![
            "([.a/\\\\]|\\.\\.|:|\u{0}){0,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..40),
        ],
    ) {
        let placed = Unpacking::default().entry(&archive(None), kind, &name, 0);
        if let Ok(Placed::File(path, _) | Placed::Folder(path)) = placed {
            prop_assert!(!path.is_empty() && !path.contains(['\\', ':', '\0']));
            let ordinary = |part: &str| !matches!(part, "" | "." | "..");
            prop_assert!(path.split('/').all(ordinary), "{path:?}");
        }
    }
}
