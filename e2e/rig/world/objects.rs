//! Policies and Promotions of a world: how they are asked for, and what they say.

use std::sync::Mutex;
use std::time::Duration;

use floe::api::{EnvironmentPolicy, LABEL_RESULT, LedgerArtifact, Promotion};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::{ARTIFACT, SOON, World};
use crate::control_plane::Identity;
use crate::wait::until;

impl World {
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

    /// The world's artifact with a replica in the second registry.
    pub fn replicated(&self, required: bool) -> Value {
        json!([{
            "name": ARTIFACT, "repository": self.reference, "plainHTTP": true,
            "replicas": [{
                "name": "west", "repository": self.second().reference, "plainHTTP": true, "required": required,
            }],
        }])
    }

    /// Waits until a policy is ready.
    pub async fn policy_ready(&self, name: &str) {
        until(&format!("policy '{name}' is ready"), SOON, async || {
            let policy = self.policies().get(name).await.ok()?;
            (condition(&policy.status.as_ref()?.conditions, "Ready") == "True").then_some(())
        })
        .await;
    }

    /// The ledger of the environment's one artifact; empty before there is one.
    pub async fn ledger(&self, environment: &str) -> LedgerArtifact {
        let policy = self.policies().get(environment).await;
        let status = policy.expect("the policy exists").status;
        let ledgers = status.map(|status| status.artifacts);
        ledgers.unwrap_or_default().pop().unwrap_or_default()
    }

    /// Puts a ledger in the place of what is there, as a restored cluster would have it.
    pub async fn put_ledger(&self, environment: &str, ledger: &LedgerArtifact) {
        let by_hand: Api<EnvironmentPolicy> = Api::namespaced(self.hand.clone(), &self.namespace);
        let mut policy = by_hand.get(environment).await.expect("the policy exists");
        policy.status.get_or_insert_default().artifacts = vec![ledger.clone()];
        by_hand
            .replace_status(environment, &PostParams::default(), &policy)
            .await
            .expect("put the ledger back");
    }

    /// Waits until a Promotion that was deleted is gone.
    pub async fn until_gone(&self, name: &str) {
        until("the Promotion is gone", SOON, async || {
            let found = self.promotions().get_opt(name).await;
            found.expect("look for it").is_none().then_some(())
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
        let promotions: Api<Promotion> = Api::namespaced(self.hand.clone(), &self.namespace);
        promotions
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
pub fn condition(conditions: &[Condition], wanted: &str) -> String {
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
