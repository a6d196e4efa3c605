//! One scenario's own namespace, registry, proxy, Jobs and operators.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use floe::api::{EnvironmentPolicy, LABEL_RESULT, Promotion};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::control_plane::{Identity, http_client};
use crate::harness::Rig;
use crate::jobs::JobStub;
use crate::oci::Repository;
use crate::operator::{Operator, Options};
use crate::process::tail;
use crate::proxy::{Clients, Faults, Front, Killable as _, Server, Shared, Trace};
use crate::registries::{Kind, Registry};
use crate::wait::{seconds, until};

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
    pub registry: tokio::sync::Mutex<Registry>,
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

impl World {
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
        let registry = Registry::start(kind, &folder).await;
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
        let cluster = rig.control_plane.client(Identity::JobController).await;
        let name = "team/platform";
        let trace = proxy.trace.clone();
        let logs = folder.clone();
        rig.on_failure(move || format!("{}\n{}", trace.print(), operator_logs(&logs)));
        Self {
            rig: rig.clone(),
            admin,
            repository: Repository::new(registry.address, name),
            reference: format!("{}/{name}", registry_front.address),
            registry: tokio::sync::Mutex::new(registry),
            jobs: JobStub::start(&cluster, &namespace),
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
        let operator = self.start_operator(identity, false).await;
        operator.until_ready(SOON).await;
        operator
    }

    /// Starts an operator and does not wait.
    pub async fn start_operator(&self, identity: &str, leader_election: bool) -> Arc<Operator> {
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
            lease_namespace: self.namespace.clone(),
            folder: self.folder.clone(),
        });
        self.proxy.clients.add(operator.clone());
        self.operators
            .lock()
            .expect("no holder panics")
            .push(operator.clone());
        operator
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
            (audited.len() == forwarded(Server::Api) && logged == forwarded(Server::Registry))
                .then_some(())
        };
        // Logs are written a moment after the answer.
        if crate::wait::within(seconds(5), look).await.is_none() {
            panic!(
                "API server: {} went through the proxy, {} in its log; registry: {} and {}",
                forwarded(Server::Api),
                self.audited().len(),
                forwarded(Server::Registry),
                self.registry.lock().await.logged()
            );
        }
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

    /// Promotions of the world.
    pub fn promotions(&self) -> Api<Promotion> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// Policies of the world.
    pub fn policies(&self) -> Api<EnvironmentPolicy> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// Makes or changes a policy; `spec` is merged over one artifact in the world's registry.
    pub async fn policy(&self, name: &str, spec: Value) -> EnvironmentPolicy {
        let mut whole = json!({ "artifacts": [{ "name": ARTIFACT, "repository": self.reference, "plainHTTP": true }] });
        let fields = spec.as_object().expect("a spec is an object").clone();
        whole.as_object_mut().expect("it is one").extend(fields);
        let object = json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy",
            "metadata": { "name": name }, "spec": whole,
        });
        let patch = PatchParams::apply("rig").force();
        self.policies()
            .patch(name, &patch, &Patch::Apply(object))
            .await
            .unwrap_or_else(|why| panic!("policy {name}: {why}"))
    }

    /// Waits until a policy is ready.
    pub async fn policy_ready(&self, name: &str) {
        until(&format!("policy '{name}' is ready"), SOON, async || {
            let policy = self.policies().get(name).await.ok()?;
            (condition(&policy.status.as_ref()?.conditions, "Ready") == "True").then_some(())
        })
        .await;
    }

    /// Asks for a promotion, as this identity.
    pub async fn promote_as(&self, identity: Identity, name: &str, spec: Value) -> Promotion {
        let client = self.rig.control_plane.client(identity).await;
        let object = json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
            "metadata": { "name": name, "namespace": self.namespace }, "spec": spec,
        });
        let object: Promotion = serde_json::from_value(object).expect("a good Promotion");
        let api: Api<Promotion> = Api::namespaced(client, &self.namespace);
        api.create(&PostParams::default(), &object)
            .await
            .unwrap_or_else(|why| panic!("Promotion {name}: {why}"))
    }

    /// Asks for a promotion, as alice.
    pub async fn promote(&self, name: &str, version: &str, to: &str) -> Promotion {
        self.promote_as(
            Identity::Alice,
            name,
            json!({ "version": version, "to": to }),
        )
        .await
    }

    /// Waits until a promotion is as described.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        check: impl Fn(&Promotion) -> bool,
    ) -> Promotion {
        let last = Mutex::new(None);
        let found = crate::wait::within(limit, async || {
            let promotion = self
                .promotions()
                .get(name)
                .await
                .expect("the Promotion exists");
            let found = check(&promotion);
            *last.lock().expect("no holder panics") = Some(promotion.clone());
            found.then_some(promotion)
        })
        .await;
        found.unwrap_or_else(|| {
            let last = last
                .into_inner()
                .expect("no holder panics")
                .map(|promotion| describe(&promotion));
            panic!(
                "Promotion '{name}' was not {what} within {limit:?}, but:\n{}",
                last.unwrap_or_default()
            )
        })
    }

    /// Waits until a promotion has ended and is no longer looked at.
    pub async fn ended(&self, name: &str) -> Promotion {
        self.until(name, "ended", SOON, is_over).await
    }

    /// Waits until a promotion waits for this reason.
    pub async fn waits(&self, name: &str, reason: &str) -> Promotion {
        self.until(name, &format!("waiting for {reason}"), SOON, |promotion| {
            waiting_reason(promotion) == reason
        })
        .await
    }

    /// Pretends that a promotion has waited this long already.
    pub async fn waited(&self, name: &str, minutes: i64) {
        let since = k8s_openapi::jiff::Timestamp::now()
            - k8s_openapi::jiff::SignedDuration::from_mins(minutes);
        let patch = Patch::Merge(json!({ "status": { "waitingOn": { "since": since } } }));
        self.promotions()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .expect("patch a status");
    }
}

/// This many gates of users: `gate-1`, `gate-2`, ….
pub fn gates(count: usize) -> Vec<Value> {
    let gate = |number| json!({ "name": format!("gate-{number}"), "type": "Tests", "image": "rig.invalid/tests:1", "command": ["/bin/test"] });
    (1..=count).map(gate).collect()
}

/// The status of a condition: `True`, `False`, `Unknown`, or nothing.
pub fn condition(
    conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    wanted: &str,
) -> String {
    conditions
        .iter()
        .find(|one| one.type_ == wanted)
        .map(|one| one.status.clone())
        .unwrap_or_default()
}

/// Reason of the `Ready` condition.
pub fn reason(promotion: &Promotion) -> String {
    let conditions = promotion
        .status
        .iter()
        .flat_map(|status| &status.conditions);
    conditions
        .filter(|one| one.type_ == "Ready")
        .map(|one| one.reason.clone())
        .next()
        .unwrap_or_default()
}

/// Message of the `Ready` condition.
pub fn message(promotion: &Promotion) -> String {
    let conditions = promotion
        .status
        .iter()
        .flat_map(|status| &status.conditions);
    conditions
        .filter(|one| one.type_ == "Ready")
        .map(|one| one.message.clone())
        .next()
        .unwrap_or_default()
}

/// It has ended, and the operator no longer looks at it.
pub fn is_over(promotion: &Promotion) -> bool {
    promotion.labels().contains_key(LABEL_RESULT) && promotion.finalizers().is_empty()
}

/// The stage in the status.
pub fn stage(promotion: &Promotion) -> String {
    promotion
        .status
        .as_ref()
        .and_then(|status| status.stage.clone())
        .unwrap_or_default()
}

fn waiting_reason(promotion: &Promotion) -> &str {
    let waiting = promotion
        .status
        .as_ref()
        .and_then(|status| status.waiting_on.as_ref());
    waiting.map_or("", |waiting| waiting.reason.as_str())
}

fn describe(promotion: &Promotion) -> String {
    let mut promotion = promotion.clone();
    promotion.managed_fields_mut().clear();
    serde_json::to_string_pretty(&promotion).expect("an object is JSON")
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
