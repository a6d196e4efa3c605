//! One scenario's own namespace, registry, proxy, Jobs and operators.

mod objects;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio_rustls::TlsAcceptor;

use crate::control_plane::{Identity, http_client};
use crate::harness::Rig;
use crate::jobs::JobStub;
use crate::oci::Repository;
use crate::operator::{Operator, Options};
use crate::process::tail;
use crate::proxy::{Clients, Front, Killable as _, Server, Shared, Trace};
use crate::registries::{Kind, Registry};
use crate::wait::seconds;

pub use objects::{condition, gates, is_over, message, reason, stage};

/// The name of the artifact in every world.
pub const ARTIFACT: &str = "platform";
/// Longest time in which an undisturbed step must be over.
pub const SOON: Duration = seconds(30);

/// One scenario's own part of the world.
pub struct World {
    pub rig: Rig,
    pub namespace: String,
    pub folder: PathBuf,
    /// The administrator, straight to the API server.
    pub admin: Client,
    /// Does what admission policies let nobody do.
    pub hand: Client,
    pub registry: tokio::sync::Mutex<Registry>,
    /// Another registry, where a test has asked for one.
    second: Option<Second>,
    /// The repository, straight at the registry.
    pub repository: Repository,
    /// The repository as the operator knows it: through the proxy.
    pub reference: String,
    pub proxy: Shared,
    pub jobs: JobStub,
    /// Start of the ids that the proxy gives requests.
    id: String,
    api_front: Front,
    _registry_front: Front,
    operators: Mutex<Vec<Arc<Operator>>>,
}

/// Another registry behind the proxy, with the repository that is of interest.
pub struct Second {
    registry: Registry,
    /// The repository, straight at the registry.
    pub repository: Repository,
    /// The repository as the operator knows it: through the proxy.
    pub reference: String,
    _front: Front,
}

impl World {
    /// Makes one with a second registry of this kind.
    pub async fn with_second(rig: &Rig, kind: Kind, second: Kind) -> Self {
        let mut world = Self::new(rig, kind).await;
        let registry = Registry::start(second, &world.folder, "second").await;
        let upstream = format!("http://{}", registry.address);
        let front = world.front(Server::Second, &upstream, None).await;
        let name = "copies/platform";
        world.second = Some(Second {
            repository: Repository::new(registry.address, name),
            reference: format!("{}/{name}", front.address),
            registry,
            _front: front,
        });
        world
    }

    /// The second registry.
    pub fn second(&self) -> &Second {
        self.second
            .as_ref()
            .expect("the world has a second registry")
    }

    /// Whether there is a second registry, and what it is called.
    pub fn second_reference(&self) -> Option<&str> {
        self.second.as_ref().map(|second| second.reference.as_str())
    }

    /// Makes one, with an empty registry of this kind, no policy and no operator.
    pub async fn new(rig: &Rig, kind: Kind) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("w{number}-{}", &rig.label[..rig.label.len().min(40)])
            .trim_end_matches('-')
            .to_owned();
        let folder = rig.folder.join(&namespace);
        std::fs::create_dir_all(&folder).expect("make a folder");
        rig.control_plane.namespace(&namespace).await;
        let registry = Registry::start(kind, &folder, "registry").await;
        let proxy = Shared {
            trace: Arc::new(Trace::new()),
            faults: Arc::default(),
            clients: Arc::new(Clients::default()),
        };
        let id = format!("rig{number}");
        let http = http_client(&rig.control_plane.authority);
        let api_front = Front::open(
            Server::Api,
            &id,
            &rig.control_plane.url,
            http,
            None,
            proxy.clone(),
        )
        .await;
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .build()
            .expect("make an HTTP client");
        let upstream = format!("http://{}", registry.address);
        let registry_front =
            Front::open(Server::Registry, &id, &upstream, http, None, proxy.clone()).await;
        let admin = rig.control_plane.client(Identity::Admin).await;
        let hand = rig.control_plane.client(Identity::Hand).await;
        let job_controller = rig.control_plane.client(Identity::JobController).await;
        let node = rig.control_plane.client(Identity::Node).await;
        let name = "team/platform";
        let trace = proxy.trace.clone();
        let logs = folder.clone();
        rig.on_failure(move || format!("{}\n{}", trace.print(), operator_logs(&logs)));
        Self {
            rig: rig.clone(),
            admin,
            hand,
            repository: Repository::new(registry.address, name),
            reference: format!("{}/{name}", registry_front.address),
            registry: tokio::sync::Mutex::new(registry),
            second: None,
            jobs: JobStub::start(&job_controller, &node, &namespace),
            proxy,
            api_front,
            _registry_front: registry_front,
            operators: Mutex::default(),
            namespace,
            folder,
            id,
        }
    }

    /// Starts an operator under this name, election off, and waits until it is ready.
    pub async fn operator(&self, identity: &str) -> Arc<Operator> {
        let operator = self.start_operator(identity, false);
        operator.until_ready(SOON).await;
        operator
    }

    /// Starts an operator and does not wait.
    pub fn start_operator(&self, identity: &str, leader_election: bool) -> Arc<Operator> {
        self.start_operator_with(identity, leader_election, &[])
    }

    /// The same with further arguments.
    pub fn start_operator_with(
        &self,
        identity: &str,
        leader_election: bool,
        more: &[&str],
    ) -> Arc<Operator> {
        let kubeconfig = self.folder.join("kubeconfig-operator");
        let content = self.rig.control_plane.kubeconfig(
            &format!("http://{}", self.api_front.address),
            Identity::Operator,
        );
        std::fs::write(&kubeconfig, content.to_string()).expect("write a file");
        let operator = Operator::start(&Options {
            identity: identity.to_owned(),
            kubeconfig,
            namespace: Some(self.namespace.clone()),
            leader_election,
            own_namespace: self.namespace.clone(),
            more: more.iter().map(|&word| word.to_owned()).collect(),
            folder: self.folder.clone(),
        });
        self.proxy.clients.add(operator.clone());
        self.operators
            .lock()
            .expect("no holder panics")
            .push(operator.clone());
        operator
    }

    /// Where the operator that was started last serves health and metrics.
    pub fn health(&self) -> SocketAddr {
        let operators = self.operators.lock().expect("no holder panics");
        operators.last().expect("one was started").health
    }

    /// Another way to the registry, through the proxy as well.
    pub async fn another_registry_front(&self, tls: Option<TlsAcceptor>) -> Front {
        let upstream = format!("http://{}", self.registry.lock().await.address);
        self.front(Server::Registry, &upstream, tls).await
    }

    async fn front(&self, server: Server, upstream: &str, tls: Option<TlsAcceptor>) -> Front {
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .build()
            .expect("make an HTTP client");
        Front::open(server, &self.id, upstream, http, tls, self.proxy.clone()).await
    }

    /// A client with the operator's rights whose way leads through the proxy.
    pub async fn client_through_the_proxy(&self) -> Client {
        let server = format!("http://{}", self.api_front.address);
        self.rig
            .control_plane
            .client_of(&server, Identity::Operator)
            .await
    }

    /// The proxy's count equals the API server's audit log and the registry's access log: there is no other way.
    pub async fn assert_counted_everything(&self) {
        let forwarded = |server: Server| {
            let entries = self.proxy.trace.since(0);
            entries
                .iter()
                .filter(|entry| entry.forwarded && entry.seen.server == server)
                .count()
        };
        let look = async || {
            let audited = self.audited();
            let logged = self.registry.lock().await.logged();
            let second = self.second.as_ref().map_or(0, |one| one.registry.logged());
            let equal = audited.len() == forwarded(Server::Api)
                && logged == forwarded(Server::Registry)
                && second == forwarded(Server::Second);
            equal.then_some(())
        };
        // Logs are written a moment after the answer; on a busy machine it is a long one.
        let equal = crate::wait::within(seconds(20), look).await.is_some();
        let logged = self.registry.lock().await.logged();
        assert!(
            equal,
            "API server: {} went through the proxy, {} in its log; registry: {} and {logged}; second: {} and {}",
            forwarded(Server::Api),
            self.audited().len(),
            forwarded(Server::Registry),
            forwarded(Server::Second),
            self.second.as_ref().map_or(0, |one| one.registry.logged()),
        );
    }

    /// Ids of the requests in the API server's log that the operators of this world have made. A request of
    /// an operator in this namespace without an id of the proxy has come another way.
    fn audited(&self) -> std::collections::BTreeSet<String> {
        let mut ids = std::collections::BTreeSet::new();
        for event in self.rig.control_plane.audited(Identity::Operator) {
            let id = event["auditID"].as_str().unwrap_or_default();
            let here = event["objectRef"]["namespace"] == self.namespace.as_str();
            let ours = id
                .strip_prefix(&self.id)
                .is_some_and(|rest| rest.starts_with('-'));
            assert!(ours || !here, "a request has come past the proxy: {event}");
            if ours {
                ids.insert(id.to_owned());
            }
        }
        ids
    }

    /// Kills every operator and waits until they are gone.
    pub async fn kill_operators(&self) {
        let operators = std::mem::take(&mut *self.operators.lock().expect("no holder panics"));
        for operator in operators {
            operator.kill().await;
            self.proxy.clients.remove(operator.pid());
        }
    }
}

fn operator_logs(folder: &std::path::Path) -> String {
    let logs = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let logs = logs.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("operator-"))
    });
    logs.map(|path| {
        tail(&path, 25)
            .lines()
            .map(readable)
            .collect::<Vec<_>>()
            .join("\n")
    })
    .collect::<Vec<_>>()
    .join("\n")
}

/// A line of the operator's log, without what is the same in every line.
fn readable(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    for name in ["span", "spans", "target"] {
        fields.remove(name);
    }
    let mut word = |name: &str| {
        fields
            .remove(name)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let (time, level, message) = (word("timestamp"), word("level"), word("message"));
    let time = time.get(11..23).unwrap_or_default();
    let more: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{time} {level:<5} {message} {}", more.join(" "))
}
