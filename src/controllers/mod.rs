//! When floe runs: watches, controllers, leadership, stop.

mod abandoned;
mod access;
mod audit_log;
mod context;
mod copies;
mod drift;
mod environment_policy;
mod environments;
mod error;
mod gates;
mod http;
mod ledgers;
mod observe;
mod pass;
mod perform;
mod promotion;
mod refusals;
mod replicas;
mod report;
mod rules;
mod signatures;
mod stamp;
mod watches;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc::unbounded;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

pub use context::Settings;
use context::{Context, Stores};
use http::Readiness;
use watches::{promotions_of, request_of, trigger};

use crate::api::{EnvironmentPolicy, LABEL_REQUEST_UID, LABEL_RESULT, Promotion};
use crate::effects::lease::{Candidate, LostLease};
use crate::telemetry::Metrics;

/// Promotions that are worked on at the same time.
const CONCURRENCY: u16 = 16;
/// Policies whose tags are compared at the same time.
const COMPARISONS: u16 = 4;
/// How long running passes may take after a stop was asked for.
const GRACE: Duration = Duration::from_secs(20);
/// Name of the Lease.
const LEASE: &str = "floe-operator";

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What promotions need to know.
    pub settings: Settings,
    /// Watch this namespace only; all of them without it.
    pub namespace: Option<String>,
    /// Lead only while holding the Lease. Without it several operators work side by side.
    pub leader_election: bool,
    /// Where health, readiness and metrics are served.
    pub listen: SocketAddr,
}

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The port cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process may lead now.
    #[error(transparent)]
    Lease(#[from] LostLease),
    /// The thread of the audit log cannot be started.
    #[error("cannot start the thread that writes the audit log: {0}")]
    AuditLog(std::io::Error),
    /// No connection to a cloud can be made.
    #[error("{0}")]
    Tls(String),
    /// A cache could not be filled.
    #[error("a watch ended before its cache was full")]
    Watch,
}

/// Runs the operator until `stop`.
pub async fn run(client: Client, options: Options, stop: CancellationToken) -> Result<(), Ended> {
    let metrics = Metrics::default();
    let readiness = Readiness::default();
    let address = options.listen;
    let listener = http::listen(address)
        .await
        .map_err(|source| Ended::Listen { address, source })?;
    if let Ok(bound) = listener.local_addr() {
        tracing::info!(address = %bound, "serving health, readiness and metrics");
    }
    let server = tokio::spawn(http::serve(
        listener,
        readiness.clone(),
        metrics.clone(),
        stop.clone(),
    ));
    let ended = lead(client, options, metrics, readiness, stop.clone()).await;
    stop.cancel();
    if !matches!(tokio::time::timeout(GRACE, server).await, Ok(Ok(Ok(())))) {
        tracing::warn!("the health server did not end cleanly");
    }
    ended
}

/// Waits for leadership where that is asked for, then works until stopped or until leadership is lost.
async fn lead(
    client: Client,
    options: Options,
    metrics: Metrics,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(), Ended> {
    if !options.leader_election {
        return Box::pin(work(client, options, metrics, readiness, stop)).await;
    }
    let mut candidate = Candidate::new(
        client.clone(),
        &options.settings.namespace,
        LEASE,
        &options.settings.identity,
    );
    tracing::info!(lease = LEASE, "waiting for leadership");
    // Who stands by is ready. The first one is not before it can work: what is asked for until then would be refused
    // as older than the proof of who asks.
    if !candidate.acquire(&stop, || readiness.ready()).await {
        return Ok(());
    }
    tracing::info!(lease = LEASE, "leading");
    readiness.not_ready("caches are filling");
    let done = tokio::select! {
        // Losing the Lease ends the process at once: a pass that goes on could write beside the new leader.
        lost = candidate.keep() => return Err(lost.into()),
        done = Box::pin(work(client, options, metrics, readiness, stop)) => done,
    };
    candidate.release().await;
    done
}

async fn work(
    client: Client,
    options: Options,
    metrics: Metrics,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(), Ended> {
    let (promotion_triggers, triggered_promotions) = unbounded();
    let (policy_triggers, triggered_policies) = unbounded();
    let (drift_triggers, triggered_looks) = unbounded();
    let namespace = options.namespace.as_deref();
    let open = watcher::Config::default().labels(&format!("!{LABEL_RESULT}"));
    let of_gates = watcher::Config::default().labels(LABEL_REQUEST_UID);

    let from_self = promotion_triggers.clone();
    let promotions = watches::start(
        api::<DeserializeGuard<Promotion>>(&client, namespace),
        open,
        move |promotion| {
            trigger(&from_self, [ObjectRef::from_obj(promotion)]);
        },
    );
    let (to_promotions, known) = (promotion_triggers.clone(), promotions.clone());
    let policies = watches::start(
        api::<DeserializeGuard<EnvironmentPolicy>>(&client, namespace),
        watcher::Config::default(),
        move |policy| {
            trigger(&policy_triggers, [ObjectRef::from_obj(policy)]);
            trigger(&drift_triggers, [ObjectRef::from_obj(policy)]);
            trigger(&to_promotions, promotions_of(policy, &known));
        },
    );
    let (from_jobs, from_copies) = (promotion_triggers.clone(), promotion_triggers.clone());
    let jobs = watches::start(api(&client, namespace), of_gates.clone(), move |job| {
        trigger(&from_jobs, request_of(job));
    });
    let pods = watches::start(api(&client, namespace), of_gates, move |pod| {
        trigger(&promotion_triggers, request_of(pod));
    });

    let stores = Stores {
        policies: policies.clone(),
        promotions: promotions.clone(),
        jobs,
        pods,
    };
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        full = full(&stores) => full?,
    }
    tracing::info!("caches are full");
    let audit_log = audit_log::start(&options.settings, &metrics).await;
    let audit_log = audit_log.map_err(Ended::AuditLog)?;
    // In the operator's own namespace: it may rehearse there.
    let looking = stamp::Looking::start(
        client.clone(),
        options.settings.namespace.clone(),
        metrics.clone(),
        readiness,
    );
    let looking = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        looking = looking => looking,
    };
    let shown = policies.clone();
    metrics.tags_stand_as(move || drift::standings(&shown));

    let ctx = Context::new(
        client,
        options.settings,
        stores,
        looking.shown(),
        (metrics, audit_log),
        from_copies,
    );
    let ctx = Arc::new(ctx.map_err(Ended::Tls)?);
    let config = Config::default().concurrency(CONCURRENCY);
    let of_promotions = Controller::for_stream(futures::stream::pending(), promotions)
        .reconcile_on(triggered_promotions)
        .with_config(config.clone())
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            promotion::reconcile,
            promotion::after_error,
            Arc::clone(&ctx),
        )
        .for_each(|_| futures::future::ready(()));
    let of_policies = Controller::for_stream(futures::stream::pending(), policies.clone())
        .reconcile_on(triggered_policies)
        .with_config(config)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            environment_policy::reconcile,
            environment_policy::after_error,
            Arc::clone(&ctx),
        )
        .for_each(|_| futures::future::ready(()));
    // Apart from the others, so that a slow registry delays nothing but the next comparison.
    let of_drift = Controller::for_stream(futures::stream::pending(), policies)
        .reconcile_on(triggered_looks)
        .with_config(Config::default().concurrency(COMPARISONS))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(drift::reconcile, drift::after_error, ctx)
        .for_each(|_| futures::future::ready(()));
    tokio::select! {
        _ = futures::future::join3(of_promotions, of_policies, of_drift) => {}
        () = looking.go_on() => {}
    }
    Ok(())
}

async fn full(stores: &Stores) -> Result<(), Ended> {
    let all = futures::join!(
        stores.promotions.wait_until_ready(),
        stores.policies.wait_until_ready(),
        stores.jobs.wait_until_ready(),
        stores.pods.wait_until_ready()
    );
    let full = all.0.is_ok() && all.1.is_ok() && all.2.is_ok() && all.3.is_ok();
    if full { Ok(()) } else { Err(Ended::Watch) }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
