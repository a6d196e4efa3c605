//! Which files an artifact holds, as its manifest says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::paths::{Paths, check_path};
use super::{LayoutError, MAX_ARCHIVES, TITLE, check_bounds, shortened};
use crate::domain::artifact::Digest;

/// Annotation with which ORAS says that a layer is a folder: a tar whose entries lie below the title.
const UNPACK: &str = "io.deis.oras.content.unpack";
const OCI_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// What Flux and Helm publish: one tar of all files.
const GZIP_TARS: [&str; 2] = [
    "application/vnd.cncf.flux.content.v1.tar+gzip",
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
];
/// With such a config the layers are the root folder of a container, with its links and devices.
const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// A file that an artifact holds, as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileLayer {
    /// Relative path with `/`, safe to be joined to a folder.
    pub path: String,
    /// Media type of the layer.
    pub media_type: String,
    /// Digest of the file.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// A tar that an artifact holds, as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveLayer {
    /// Media type of the layer.
    pub media_type: String,
    /// Digest of the tar as it lies in the registry.
    pub digest: Digest,
    /// Size in bytes as it lies in the registry.
    pub size: u64,
    /// Whether it is compressed with gzip.
    pub gzip: bool,
    /// Folder in which all entries must lie.
    pub within: Option<String>,
}

/// The files of an artifact, and what is no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Files in the manifest's order.
    pub files: Vec<FileLayer>,
    /// Archives of files in the manifest's order.
    pub archives: Vec<ArchiveLayer>,
    /// One line for each layer that is left out, with the reason.
    pub skipped: Vec<String>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    config: Option<Config>,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    media_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// The files of an artifact with this manifest: its titled layers, as they are. An index has none.
pub fn files_of(manifest: &[u8]) -> Result<Files, LayoutError> {
    let Manifest { config: _, layers } = parse(manifest)?;
    let mut collected = Collected::default();
    for layer in layers {
        match layer.annotation(TITLE) {
            Some(path) => collected.file(path.to_owned(), layer)?,
            None => collected.skip(&layer),
        }
    }
    collected.finish()
}

/// The same, with the layers that are archives of files told apart. A container image has none.
pub fn contents_of(manifest: &[u8]) -> Result<Files, LayoutError> {
    let Manifest { config, layers } = parse(manifest)?;
    let is_image = config.is_some_and(|config| IMAGE_CONFIGS.contains(&config.media_type.as_str()));
    let mut collected = Collected::default();
    let mut image_layers = 0;
    for layer in layers {
        let title = layer.annotation(TITLE).map(str::to_owned);
        match (title, layer.compression()) {
            (Some(title), _) if layer.annotation(UNPACK) == Some("true") => {
                collected.folder(title, &layer)?;
            }
            (Some(title), _) => collected.file(title, layer)?,
            (None, _) if is_image => image_layers += 1,
            (None, Some(gzip)) => collected.archive(&layer, gzip, None)?,
            (None, None) => collected.skip(&layer),
        }
    }
    if image_layers > 0 {
        collected.found.skipped.push(format!(
            "this is a container image: its {image_layers} layers are not unpacked; a gate with \
             'layout: true' finds them as an OCI image layout"
        ));
    }
    collected.finish()
}

impl Layer {
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// `Some(true)` for a tar in gzip, `Some(false)` for a plain tar, `None` for no known archive.
    fn compression(&self) -> Option<bool> {
        let media_type = self.media_type.as_str();
        if media_type == OCI_TAR {
            return Some(false);
        }
        (media_type == OCI_TAR_GZIP || GZIP_TARS.contains(&media_type)).then_some(true)
    }

    fn digest(&self) -> Result<Digest, LayoutError> {
        let parsed = self.digest.parse();
        parsed.map_err(|error| {
            let kind = shortened(&self.media_type);
            LayoutError::Manifest(format!("layer of type '{kind}': {error}"))
        })
    }
}

#[derive(Default)]
struct Collected {
    found: Files,
    paths: Paths,
    total: u64,
}

impl Collected {
    fn file(&mut self, path: String, layer: Layer) -> Result<(), LayoutError> {
        self.paths.add(&path)?;
        self.total = self.total.saturating_add(layer.size);
        let digest = layer
            .digest
            .parse()
            .map_err(|error| LayoutError::Manifest(format!("file '{path}': {error}")))?;
        self.found.files.push(FileLayer {
            path,
            media_type: layer.media_type,
            digest,
            size: layer.size,
        });
        Ok(())
    }

    /// A folder as ORAS packs it: a tar in gzip, whatever media type its publisher gave it.
    fn folder(&mut self, title: String, layer: &Layer) -> Result<(), LayoutError> {
        if layer.media_type.ends_with("+zstd") {
            self.skip(layer);
            return Ok(());
        }
        // ORAS says '.' when somebody publishes the folder in which they stand.
        let within = (title != ".").then_some(title);
        if let Some(folder) = &within {
            check_path(folder)?;
        }
        self.archive(layer, true, within)
    }

    fn archive(
        &mut self,
        layer: &Layer,
        gzip: bool,
        within: Option<String>,
    ) -> Result<(), LayoutError> {
        self.total = self.total.saturating_add(layer.size);
        self.found.archives.push(ArchiveLayer {
            media_type: layer.media_type.clone(),
            digest: layer.digest()?,
            size: layer.size,
            gzip,
            within,
        });
        Ok(())
    }

    fn skip(&mut self, layer: &Layer) {
        let why = if layer.media_type.ends_with("+zstd") {
            "is packed with zstd, which floe does not unpack,".to_owned()
        } else {
            format!("has no {TITLE}")
        };
        self.found.skipped.push(format!(
            "layer {} ({}) {why} and is left out",
            shortened(&layer.digest),
            shortened(&layer.media_type)
        ));
    }

    fn finish(self) -> Result<Files, LayoutError> {
        let archives = self.found.archives.len();
        if archives > MAX_ARCHIVES {
            return Err(LayoutError::TooManyArchives(archives));
        }
        check_bounds(self.found.files.len(), self.total)?;
        Ok(self.found)
    }
}

fn parse(manifest: &[u8]) -> Result<Manifest, LayoutError> {
    // Through a map: serde would take a list for a struct, field by field.
    serde_json::from_slice::<serde_json::Map<_, _>>(manifest)
        .and_then(|map| serde_json::from_value(map.into()))
        .map_err(|error| LayoutError::Manifest(error.to_string()))
}
