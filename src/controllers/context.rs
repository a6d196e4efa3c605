//! What every pass needs: clients, caches, effects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DeserializeGuard;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::copies::Copies;
use super::drift::Looks;
use super::ledgers::Compared;
use super::refusals::Postponed;
use super::rules::RuleChecks;
use super::watches::{Triggers, promotions_of, trigger};
use crate::api::{EnvironmentPolicy, Promotion};
use crate::domain::observed::Stamp;
use crate::effects::audit_log::{AuditLog, Place};
use crate::effects::clock;
use crate::effects::cloud::{Cloud, CloudEndpoints, OwnIdentity};
use crate::effects::credentials::Credentials;
use crate::effects::keys::Keys;
use crate::effects::lock::lock;
use crate::effects::registry::{Addresses, ManifestCache, Registries};
use crate::effects::signatures::VerifiedCache;
use crate::telemetry::Metrics;

/// How long a Job that was just created is believed to be there although the watch has not shown it.
const EXPECTED: Duration = Duration::from_secs(30);

/// An object that may be malformed: then only its metadata can be read.
pub(super) type Guarded<K> = DeserializeGuard<K>;

/// What the operator was started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of this process in claims, leases and Events.
    pub identity: String,
    /// The operator's own image, in which artifacts are fetched and documents are checked.
    pub image: String,
    /// Namespace of the operator: of its Lease, and of the keys that sign records.
    pub namespace: String,
    /// Pull policy of that image.
    pub image_pull_policy: Option<String>,
    /// How often tags are compared with the ledger.
    pub drift_period: Duration,
    /// Where the audit log is written.
    pub audit_log: Place,
    /// What the addresses of registries must be.
    pub addresses: Addresses,
    /// The identity that the cloud has given this process, when policies may log in with it.
    pub lent_identity: Option<OwnIdentity>,
}

/// What the watches have shown.
#[derive(Clone)]
pub(super) struct Stores {
    /// Every policy.
    pub policies: Store<Guarded<EnvironmentPolicy>>,
    /// Promotions that have not ended.
    pub promotions: Store<Guarded<Promotion>>,
    /// Gate Jobs.
    pub jobs: Store<Job>,
    /// Pods of gate Jobs.
    pub pods: Store<Pod>,
}

/// Namespace and name.
type NamespacedName = (String, String);

/// A promotion as this process last wrote it.
struct Written {
    promotion: Promotion,
    /// When it was let go of. It is kept a little longer: a trigger that is still on its way would find the
    /// object as the watch showed it before the end, and end it once more.
    let_go: Option<Instant>,
}

/// What every pass needs.
pub(super) struct Context {
    /// Kubernetes.
    pub client: Client,
    /// What the operator was started with.
    pub settings: Settings,
    /// What the watches have shown.
    pub stores: Stores,
    /// Whether the API server writes down who asks.
    pub stamp: watch::Receiver<Stamp>,
    /// Clients of registries.
    pub registries: Registries,
    /// Bytes of manifests that were read a moment ago.
    pub manifests: ManifestCache,
    /// Digests whose signature was verified a moment ago.
    pub verified: VerifiedCache,
    /// What logs in at registries.
    pub credentials: Credentials,
    /// Keys of records.
    pub keys: Keys,
    /// Writes Events.
    pub recorder: Recorder,
    /// Counters.
    pub metrics: Metrics,
    /// The audit log of this process.
    pub audit_log: AuditLog,
    /// Whether the rules of policies can be read.
    pub rule_checks: RuleChecks,
    /// When the tags of which policy are compared next.
    pub looks: Looks,
    /// Copies that run beside the passes.
    pub copies: Copies,
    /// Ledgers that were compared with the registry.
    pub compared: Compared,
    /// Where promotions are woken.
    promotions: Triggers<Promotion>,
    /// Jobs that were created and that the watch has not shown yet.
    expected: Mutex<BTreeMap<NamespacedName, (Instant, Arc<Job>)>>,
    /// Promotions as this process last wrote them, by UID: the watch may lag behind.
    written: Mutex<BTreeMap<String, Written>>,
    /// Failed passes in a row, by object.
    failures: Mutex<BTreeMap<String, u32>>,
    /// Refusals that could not be written yet.
    pub(super) postponed_refusals: Postponed,
}

impl Context {
    /// Everything fresh.
    pub(super) fn new(
        client: Client,
        settings: Settings,
        stores: Stores,
        stamp: watch::Receiver<Stamp>,
        (metrics, audit_log): (Metrics, AuditLog),
        promotions: Triggers<Promotion>,
    ) -> std::result::Result<Self, String> {
        let reporter = Reporter {
            controller: "floe".to_owned(),
            instance: Some(settings.identity.clone()),
        };
        let addresses = settings.addresses.clone();
        let own = settings.lent_identity.clone();
        let lends = own.is_some();
        let cloud = Cloud::new(CloudEndpoints::real(), own.unwrap_or_default())?;
        Ok(Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            keys: Keys::new(&settings.namespace),
            settings,
            stores,
            stamp,
            registries: Registries::new(),
            manifests: ManifestCache::new(),
            verified: VerifiedCache::default(),
            credentials: Credentials::new(cloud, lends).reaching(addresses),
            metrics,
            audit_log,
            rule_checks: RuleChecks::default(),
            looks: Looks::default(),
            copies: Copies::new(promotions.clone()),
            compared: Compared::default(),
            promotions,
            expected: Mutex::default(),
            written: Mutex::default(),
            failures: Mutex::default(),
            postponed_refusals: Postponed::default(),
        })
    }

    /// The Job of this name: from the watch, or as it was created a moment ago.
    pub(super) fn job(&self, namespace: &str, name: &str) -> Option<Arc<Job>> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut expected = lock(&self.expected);
        if let Some(job) = self
            .stores
            .jobs
            .get(&ObjectRef::new(name).within(namespace))
        {
            expected.remove(&key);
            return Some(job);
        }
        expected.retain(|_, (at, _)| at.elapsed() < EXPECTED);
        expected.get(&key).map(|(_, job)| Arc::clone(job))
    }

    /// Names of the gate Jobs of a request that have not ended, as the watch shows them.
    pub(super) fn unfinished_jobs(&self, namespace: &str, uid: &str) -> Vec<String> {
        let ended = |job: &Job| {
            let conditions = job
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|one| {
                matches!(one.type_.as_str(), "Complete" | "Failed") && one.status == "True"
            })
        };
        let ours = |job: &Job| {
            job.namespace().as_deref() == Some(namespace)
                && job.owner_references().iter().any(|owner| owner.uid == uid)
        };
        let jobs = self
            .stores
            .jobs
            .state_filter(|job| ours(job) && !ended(job));
        jobs.iter().map(|job| job.name_any()).collect()
    }

    /// Remembers a Job that was just created or found.
    pub(super) fn expect_job(&self, job: Job) {
        let key = (job.namespace().unwrap_or_default(), job.name_any());
        lock(&self.expected).insert(key, (clock::instant(), Arc::new(job)));
    }

    /// Has the promotions of a policy's namespace looked at again.
    pub(super) fn wake_promotions(&self, policy: &Guarded<EnvironmentPolicy>) {
        let waiting = promotions_of(policy, &self.stores.promotions);
        trigger(&self.promotions, waiting);
    }

    /// The newer of what the watch shows and what this process last wrote.
    pub(super) fn newest(&self, shown: &Promotion) -> Promotion {
        let mut written = lock(&self.written);
        let uid = shown.uid().unwrap_or_default();
        match written.get(&uid) {
            Some(ours) if version(&ours.promotion) > version(shown) => ours.promotion.clone(),
            Some(_) => {
                written.remove(&uid);
                shown.clone()
            }
            None => shown.clone(),
        }
    }

    /// Remembers a promotion as it was written.
    pub(super) fn remember(&self, promotion: &Promotion) {
        let mut written = lock(&self.written);
        written.retain(|_, known| known.let_go.is_none_or(|at| at.elapsed() < EXPECTED));
        let ours = Written {
            promotion: promotion.clone(),
            let_go: None,
        };
        written.insert(promotion.uid().unwrap_or_default(), ours);
    }

    /// Lets go of a promotion that has ended or is gone.
    pub(super) fn forget(&self, uid: &str) {
        if let Some(known) = lock(&self.written).get_mut(uid) {
            known.let_go = Some(clock::instant());
        }
        lock(&self.failures).remove(uid);
        self.postponed_refusals.forget(uid);
        self.copies.stop(uid);
    }

    /// Counts a failed pass, and says how long to wait: 1 s, doubling to 5 min.
    pub(super) fn back_off(&self, uid: &str) -> Duration {
        let mut failures = lock(&self.failures);
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        Duration::from_secs(1 << (*count - 1).min(9)).min(Duration::from_mins(5))
    }

    /// A pass went well.
    pub(super) fn went_well(&self, uid: &str) {
        lock(&self.failures).remove(uid);
    }
}

/// Resource versions of one kind can be compared as numbers (Kubernetes 1.35, KEP-5504); before that they
/// were numbers too, by the grace of etcd.
fn version(promotion: &Promotion) -> u128 {
    promotion
        .metadata
        .resource_version
        .as_deref()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
