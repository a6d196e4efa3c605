//! Health, readiness and metrics for Kubernetes and Prometheus.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// Whether this process can do its work, or why not: it leads, its caches are full and the API server writes down
/// who asks, or it stands by.
#[derive(Clone)]
pub(super) struct Readiness(Arc<RwLock<Option<String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Some("caches are filling".to_owned()))))
    }
}

impl Readiness {
    /// It can.
    pub(super) fn ready(&self) {
        self.set(None);
    }

    /// It cannot, for this reason.
    pub(super) fn not_ready(&self, why: &str) {
        self.set(Some(why.to_owned()));
    }

    fn set(&self, why_not: Option<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = why_not;
    }

    fn why_not(&self) -> Option<String> {
        let why_not = self.0.read().unwrap_or_else(PoisonError::into_inner);
        why_not.clone()
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics` until it is stopped.
pub(super) async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let ready = move || async move {
        match readiness.why_not() {
            None => (StatusCode::OK, "ok".to_owned()),
            Some(why_not) => (StatusCode::SERVICE_UNAVAILABLE, why_not),
        }
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(move || async move { metrics.text() }));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// Opens the port.
pub(super) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}
