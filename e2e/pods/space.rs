//! A throw-away namespace, and what a test does in it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use floe::api::{
    ConditionType, EnvironmentPolicy, GateStatus, LABEL_GATE, Promotion, find_condition,
};
use futures::{FutureExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Longer than any promotion of these tests takes on a slow machine, gate time limits included.
const LIMIT: Duration = Duration::from_secs(150);
/// The image that `e2e/images/toolbox` makes: busybox.
pub(crate) const TOOLBOX: &str = "localhost/floe/toolbox:dev";

/// A namespace of one test.
pub(crate) struct Space {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) registry: String,
}

/// Runs a test in a new namespace, which goes afterwards. When the test fails, what the cluster knows is printed.
pub(crate) async fn in_space<F>(label: &str, test: impl FnOnce(Arc<Space>) -> F)
where
    F: Future<Output = ()>,
{
    with_labels(label, json!({}), test).await;
}

/// The same where nobody guards the Jobs and Pods of gates: what floe makes of it when somebody gets at them.
pub(crate) async fn in_unguarded_space<F>(label: &str, test: impl FnOnce(Arc<Space>) -> F)
where
    F: Future<Output = ()>,
{
    with_labels(label, json!({ "floe.dev/unguarded": "true" }), test).await;
}

async fn with_labels<F>(label: &str, labels: Value, test: impl FnOnce(Arc<Space>) -> F)
where
    F: Future<Output = ()>,
{
    // Whoever comes first; two TLS users share the process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::try_default()
        .await
        .expect("KUBECONFIG names a cluster");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut namespace =
        json!({ "metadata": { "generateName": format!("e2e-{label}-"), "labels": labels } });
    for (name, value) in [
        ("floe.dev/e2e", "true"),
        ("pod-security.kubernetes.io/enforce", "restricted"),
    ] {
        namespace["metadata"]["labels"][name] = value.into();
    }
    let namespace = serde_json::from_value(namespace).unwrap();
    let made = namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let space = Arc::new(Space {
        client,
        name: made.name_any(),
        registry: variable("FLOE_REGISTRY"),
    });
    let outcome = AssertUnwindSafe(test(Arc::clone(&space)))
        .catch_unwind()
        .await;
    if outcome.is_err() {
        space.dump();
    }
    // One test has deleted it already.
    let gone = namespaces
        .delete(&space.name, &DeleteParams::default())
        .await;
    assert!(gone.is_ok() || matches!(gone, Err(kube::Error::Api(status)) if status.is_not_found()));
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Space {
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Where this test's artifact lies.
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}/platform", self.registry, self.name)
    }

    /// Applies one object, as `kubectl apply --server-side` does.
    pub(crate) async fn apply<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let mut object = object;
        object["apiVersion"] = K::api_version(&()).into();
        object["kind"] = K::kind(&()).into();
        let name = object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        let parameters = PatchParams::apply("e2e").force();
        self.api::<K>()
            .patch(&name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap()
    }

    /// Applies the policy of an environment that takes versions from others and has these gates.
    pub(crate) async fn environment(
        &self,
        name: &str,
        from: &[&str],
        gates: Value,
    ) -> EnvironmentPolicy {
        let artifact =
            json!({ "name": "platform", "repository": self.repository(), "plainHTTP": true });
        self.apply(json!({
            "metadata": { "name": name },
            "spec": { "promotesFrom": from, "artifacts": [artifact], "gates": gates },
        }))
        .await
    }

    /// Asks for a promotion.
    pub(crate) async fn promote(&self, name: &str, version: &str, to: &str) -> Promotion {
        self.apply(
            json!({ "metadata": { "name": name }, "spec": { "version": version, "to": to } }),
        )
        .await
    }

    /// Waits until a promotion has ended.
    pub(crate) async fn ended(&self, name: &str) -> Promotion {
        self.until::<Promotion>(name, |promotion: Option<&Promotion>| {
            promotion.is_some_and(|promotion| {
                matches!(succeeded(promotion).0.as_str(), "True" | "False")
            })
        })
        .await
        .expect("it is there")
    }

    /// Waits until a promotion has ended, and demands that it succeeded.
    pub(crate) async fn promoted(&self, name: &str) -> Promotion {
        let promotion = self.ended(name).await;
        let (status, reason, message) = succeeded(&promotion);
        assert_eq!(status, "True", "{name}: {reason}: {message}");
        promotion
    }

    /// Waits until a promotion has ended, and demands that it failed for this reason. Gives the message.
    pub(crate) async fn refused(&self, name: &str, reason: &str) -> (Promotion, String) {
        let promotion = self.ended(name).await;
        let (status, found, message) = succeeded(&promotion);
        assert_eq!(
            (status.as_str(), found.as_str()),
            ("False", reason),
            "{name}: {message}"
        );
        assert_eq!(
            condition(&promotion, ConditionType::Stalled).0,
            "True",
            "kstatus reads Stalled"
        );
        (promotion, message)
    }

    /// Waits for a condition of an object by a watch.
    pub(crate) async fn until<K>(&self, name: &str, condition: impl Condition<K>) -> Option<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let waiting = await_condition(self.api::<K>(), name, condition);
        tokio::time::timeout(LIMIT, waiting)
            .await
            .unwrap_or_else(|_| {
                panic!("{} '{name}': not as expected after {LIMIT:?}", K::kind(&()))
            })
            .unwrap()
    }

    /// Waits for a Pod of this gate that is as described.
    pub(crate) async fn pod_of(&self, gate: &str, is_so: impl Fn(&Pod) -> bool) -> Pod {
        let config = watcher::Config::default().labels(&format!("{LABEL_GATE}={gate}"));
        let mut pods = std::pin::pin!(watcher(self.api::<Pod>(), config).applied_objects());
        let waiting = async {
            while let Some(pod) = pods.try_next().await.unwrap() {
                if is_so(&pod) {
                    return pod;
                }
            }
            panic!("the watch has ended");
        };
        tokio::time::timeout(LIMIT, waiting)
            .await
            .unwrap_or_else(|_| panic!("no Pod of '{gate}' is as expected after {LIMIT:?}"))
    }

    /// The Jobs or Pods that were made for a gate.
    pub(crate) async fn made_for<K>(&self, gate: &str) -> Vec<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let parameters = ListParams::default().labels(&format!("{LABEL_GATE}={gate}"));
        self.api::<K>().list(&parameters).await.unwrap().items
    }

    /// Waits until the command of this gate runs.
    pub(crate) async fn running(&self, gate: &str) -> Pod {
        let runs = |pod: &Pod| {
            let containers = pod
                .status
                .iter()
                .flat_map(|status| &status.container_statuses);
            let mut states = containers.flatten().filter_map(|one| one.state.as_ref());
            states.any(|state| state.running.is_some())
        };
        self.pod_of(gate, runs).await
    }

    /// Runs kubectl in the namespace and gives what it printed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let (good, text) = self.try_kubectl(arguments);
        assert!(good, "kubectl {arguments:?}: {text}");
        text
    }

    /// Runs kubectl in the namespace: whether it succeeded, and what it printed.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> (bool, String) {
        run(
            &variable("FLOE_KUBECTL"),
            &[&["--namespace", &self.name], arguments].concat(),
        )
    }

    fn dump(&self) {
        for arguments in [
            &[
                "get",
                "promotions,environmentpolicies,jobs,pods",
                "--output=wide",
            ][..],
            &["get", "promotions", "--output=yaml"],
            &["describe", "pods"],
            &["get", "events", "--sort-by=.metadata.creationTimestamp"],
            &[
                "logs",
                "--namespace=floe-system",
                "deployment/floe",
                "--since=5m",
                "--tail=300",
            ],
        ] {
            println!(
                "--- kubectl {}\n{}",
                arguments.join(" "),
                self.try_kubectl(arguments).1
            );
        }
    }
}

/// Status, reason and message of a condition; empty when it is not there.
pub(crate) fn condition(promotion: &Promotion, wanted: ConditionType) -> (String, String, String) {
    let status = promotion.status.clone().unwrap_or_default();
    find_condition(&status.conditions, wanted).map_or_else(Default::default, |found| {
        (
            found.status.clone(),
            found.reason.clone(),
            found.message.clone(),
        )
    })
}

/// The condition `Succeeded`.
pub(crate) fn succeeded(promotion: &Promotion) -> (String, String, String) {
    condition(promotion, ConditionType::Succeeded)
}

/// A gate that runs a shell script in the toolbox image.
pub(crate) fn gate(name: &str, kind: &str, script: &str) -> Value {
    json!({ "name": name, "type": kind, "image": TOOLBOX, "command": ["sh", "-euc", script] })
}

/// The same gate with these fields, changed or added.
pub(crate) fn with(mut gate: Value, fields: &Value) -> Value {
    let fields = fields.as_object().expect("fields are an object").clone();
    gate.as_object_mut().expect("a gate is one").extend(fields);
    gate
}

/// What the status says of a gate.
pub(crate) fn of_gate(promotion: &Promotion, name: &str) -> GateStatus {
    let gates = promotion.status.iter().flat_map(|status| &status.gates);
    let found = gates.into_iter().find(|gate| gate.name == name);
    found
        .unwrap_or_else(|| panic!("no gate '{name}' in the status"))
        .clone()
}

/// Runs a program: whether it succeeded, and what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// A variable that `e2e/run` sets.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run e2e/run"))
}
