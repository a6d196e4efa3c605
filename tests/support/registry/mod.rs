//! An in-process registry that tests can read, count and make lie.
//!
//! Without lies it answers as distribution does. Each lie is for the next request that fits it,
//! or for several. Other test targets take it in with
//! `#[cfg(test)] #[path = "../support/registry/mod.rs"] mod double;`.

mod lies;
mod store;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use floe::domain::artifact::{Digest, Repository};
use floe::effects::registry::{Access, Limits, Login, ManifestType, RawManifest, Registry};
use serde_json::json;
use tokio::task::JoinHandle;

pub(crate) use lies::{Lie, On};
pub(crate) use store::{Logged, PASSWORD, Store, USER, error, reply};
pub(crate) use wire::{Cut, certificate};

/// How the registry wants to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Auth {
    #[default]
    None,
    Basic,
    Bearer,
}

/// What the registry deletes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// A tag alone, and a manifest with every tag that names it, as distribution 3 does.
    #[default]
    Each,
    /// Manifests only, as distribution 2.8 does.
    NoTags,
    /// Nothing: it is not switched on.
    Nothing,
    /// A manifest with every tag that names it, also when it is asked for a tag.
    Everything,
}

/// What kind of registry it is.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of a test double"
)]
pub(crate) struct Options {
    pub(crate) referrers_api: bool,
    pub(crate) auth: Auth,
    pub(crate) tls: bool,
    pub(crate) immutable_tags: bool,
    pub(crate) redirect_blobs: bool,
    pub(crate) deletion: Deletion,
    /// As ECR answered for long: 405 for a manifest with a subject.
    pub(crate) no_subjects: bool,
    /// Opens an upload instead of mounting.
    pub(crate) no_mounts: bool,
}

pub(crate) struct RegistryDouble {
    address: SocketAddr,
    ca_pem: Option<String>,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    store: Mutex<Store>,
    lies: Mutex<Vec<(On, Lie)>>,
}

impl RegistryDouble {
    pub(crate) async fn start(options: Options) -> Self {
        let (wire, address, ca_pem) = wire::Wire::bind(options.tls).await;
        let scheme = if options.tls { "https" } else { "http" };
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::new(options, format!("{scheme}://{address}"))),
            lies: Mutex::default(),
        });
        let router = Router::new()
            .fallback(lies::handle)
            .with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Cut>();
        let server = tokio::spawn(async move {
            let _ = axum::serve(wire, service).await;
        });
        Self {
            address,
            ca_pem,
            shared,
            server,
        }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    pub(crate) fn repository(&self, name: &str) -> Repository {
        format!("{}/{name}", self.address).parse().unwrap()
    }

    /// The right access, with times short enough for tests.
    pub(crate) fn access(&self) -> Access {
        let options = self.store().options;
        Access {
            host: self.host(),
            credentials: (options.auth != Auth::None).then(|| Login::new(USER, PASSWORD)),
            ca_pem: self.ca_pem.clone().map(String::into_bytes),
            plain_http: !options.tls,
            token_hosts: Vec::new(),
            addresses: floe::effects::registry::Addresses::default(),
            limits: Limits {
                connect: Duration::from_secs(2),
                request: Duration::from_secs(2),
                waiting: Duration::from_secs(2),
                tags: 20,
                referrers: 20,
                pages: 5,
            },
        }
    }

    pub(crate) fn client(&self) -> Registry {
        Registry::new(&self.access()).unwrap()
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store.lock().unwrap()
    }

    /// `name:tag` and the digest that it names.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        let store = self.store();
        store
            .tags
            .iter()
            .map(|((name, tag), d)| (format!("{name}:{tag}"), d.clone()))
            .collect()
    }

    /// The requests since the last call, as `METHOD /path`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        let log = std::mem::take(&mut self.store().log);
        log.iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect()
    }

    /// The methods since the last call, in one word each.
    pub(crate) fn take_methods(&self) -> Vec<String> {
        let log = std::mem::take(&mut self.store().log);
        log.iter()
            .map(|request| request.method.to_string())
            .collect()
    }

    /// Lies about the requests that fit.
    pub(crate) fn lie(&self, on: On, lie: Lie) {
        self.shared.lies.lock().unwrap().push((on, lie));
    }

    /// Takes back all lies.
    pub(crate) fn tell_the_truth(&self) {
        self.shared.lies.lock().unwrap().clear();
    }

    /// Lies that no request has met yet.
    pub(crate) fn lies_left(&self) -> usize {
        self.shared.lies.lock().unwrap().len()
    }

    /// An artifact with this content, as somebody else pushed it.
    pub(crate) fn seed(&self, name: &str, tag: Option<&str>, content: &str) -> RawManifest {
        let manifest = artifact(content);
        let mut store = self.store();
        for blob in [b"{}".as_slice(), content.as_bytes()] {
            let key = (name.to_owned(), Digest::of(blob).to_string());
            store.blobs.insert(key, Bytes::copy_from_slice(blob));
        }
        store.put(name, tag, &manifest);
        manifest
    }

    /// A blob, as somebody else pushed it.
    pub(crate) fn seed_blob(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let key = (name.to_owned(), digest.to_string());
        let content = Bytes::copy_from_slice(content);
        self.store().blobs.insert(key, content);
        digest
    }
}

impl Drop for RegistryDouble {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Store {
    /// Stores a manifest, and lets a tag name it.
    pub(crate) fn put(&mut self, name: &str, tag: Option<&str>, manifest: &RawManifest) {
        let digest = manifest.digest().to_string();
        let stored = (manifest.bytes().clone(), manifest.media_type().to_string());
        self.manifests
            .insert((name.to_owned(), digest.clone()), stored);
        if let Some(tag) = tag {
            self.tags.insert((name.to_owned(), tag.to_owned()), digest);
        }
    }
}

/// The manifest of an artifact with one layer; its odd spacing has to survive.
pub(crate) fn artifact(content: &str) -> RawManifest {
    let layer = Digest::of(content.as_bytes());
    let text = format!(
        "{{ \"schemaVersion\": 2,\n  \"mediaType\": \"{kind}\", \"unknown\": [1,  2],\n  \
         \"config\": {{\"mediaType\": \"application/vnd.oci.empty.v1+json\", \
         \"digest\": \"{empty}\", \"size\": 2}},\n  \"layers\": [{{\"mediaType\": \"text/plain\", \
         \"digest\": \"{layer}\", \"size\": {size}}}] }}\n",
        kind = ManifestType::OciManifest,
        empty = Digest::of(b"{}"),
        size = content.len(),
    );
    RawManifest::new(text.into_bytes(), ManifestType::OciManifest)
}

/// The manifest of a record about `subject`.
pub(crate) fn referrer(subject: &RawManifest, content: &str) -> RawManifest {
    let layer = Digest::of(content.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": ManifestType::OciManifest.as_str(),
        "artifactType": "application/vnd.example.record",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": Digest::of(b"{}"), "size": 2,
        },
        "layers": [{"mediaType": "text/plain", "digest": layer, "size": content.len()}],
        "subject": {
            "mediaType": subject.media_type().as_str(),
            "digest": subject.digest(), "size": subject.size(),
        },
        "annotations": {"record": content},
    });
    RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest)
}
