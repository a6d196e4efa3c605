//! Two registries on loopback, each with a counting proxy before it, and what is measured lies in the first.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::artifacts;
use crate::oci::Repository;
use crate::proxy::Proxy;
use crate::registries::{Kind, Registry};

const MIB: usize = 1024 * 1024;

/// Where everything is measured.
pub struct Place {
    pub from: Registry,
    pub to: Registry,
    /// The same two, counting.
    pub from_counted: Proxy,
    pub to_counted: Proxy,
    /// Layers' size in all, and the repository with the artifact under the tag `v1`.
    pub sizes: Vec<(usize, &'static str)>,
    folder: TempDir,
}

/// The repositories' names.
pub const SMALL: &str = "bench/small";
pub const INDEX: &str = "bench/index";
pub const COPIED: &str = "bench/copied-100";
pub const ATTACHED: &str = "bench/attached";

impl Place {
    /// Starts both and fills the first.
    pub async fn start() -> Self {
        // In memory where there is room: a disk's moods are no property of a registry client.
        let memory = PathBuf::from("/dev/shm");
        let root = if memory.is_dir() {
            memory
        } else {
            PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        };
        let folder = tempfile::Builder::new()
            .prefix("floe-bench-")
            .tempdir_in(root)
            .expect("make a folder");
        let mut started = Vec::new();
        for name in ["from", "to"] {
            let registry = Registry::start(Kind::Distribution, folder.path(), name).await;
            let proxy = Proxy::start(registry.address).await;
            started.push((registry, proxy));
        }
        let (to, to_counted) = started.pop().expect("two were started");
        let (from, from_counted) = started.pop().expect("two were started");
        let hand = |name: &str| Repository::new(from.address, name);
        artifacts::image(&hand(SMALL), "v1", &[1024]).await;
        artifacts::index(&hand(INDEX), "v1", 3).await;
        artifacts::attached(&hand(ATTACHED), "v1").await;
        let sizes = vec![
            (10 * MIB, "bench/copied-10"),
            (100 * MIB, COPIED),
            (1024 * MIB, "bench/copied-1024"),
        ];
        for (size, name) in &sizes {
            artifacts::image(&hand(name), "v1", &[size / 4; 4]).await;
        }
        Self {
            from,
            to,
            from_counted,
            to_counted,
            sizes,
            folder,
        }
    }

    /// The folder with the registries' data.
    pub fn where_it_is(&self) -> String {
        let parent = self.folder.path().parent().unwrap_or(self.folder.path());
        parent.display().to_string()
    }
}
