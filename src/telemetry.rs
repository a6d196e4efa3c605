//! Logs and metrics.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

/// What the operator counts. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    ended: Family<EndedLabels, Counter>,
    passes: Family<KindLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    replicated: Family<OutcomeLabels, Counter>,
    pass_seconds: Histogram,
    tags_in_sync: Family<Standing, Gauge>,
    standings: Arc<Mutex<Option<Standings>>>,
    requester_policy: Gauge,
    audit_log_writable: Gauge,
    audit_logs_broken: Gauge,
}

/// How the condition `TagsInSync` of a policy stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Standing {
    /// Namespace of the policy.
    pub namespace: String,
    /// Its name.
    pub environment: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

/// Tells how all policies stand at this moment.
type Standings = Box<dyn Fn() -> Vec<Standing> + Send>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    kind: String,
    error: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let (ended, passes, failures) = (Family::default(), Family::default(), Family::default());
        let tags_in_sync = Family::default();
        let replicated = Family::default();
        let pass_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let requester_policy = Gauge::default();
        let (audit_log_writable, audit_logs_broken) = (Gauge::default(), Gauge::default());
        let mut registry = Registry::with_prefix("floe");
        registry.register(
            "promotions_ended",
            "Promotions that have ended, by reason",
            Family::clone(&ended),
        );
        registry.register(
            "passes",
            "Passes of a controller, by kind",
            Family::clone(&passes),
        );
        registry.register(
            "pass_failures",
            "Passes that failed and are tried again, by kind and error",
            Family::clone(&failures),
        );
        registry.register(
            "replications",
            "Work at a replica that came to an end, by outcome: Replicated, or the reason why a try failed",
            Family::clone(&replicated),
        );
        registry.register(
            "promotion_pass_seconds",
            "Time of a pass over a Promotion, in seconds",
            pass_seconds.clone(),
        );
        registry.register(
            "tags_in_sync",
            "1 for how the condition TagsInSync of each policy stands",
            Family::clone(&tags_in_sync),
        );
        registry.register(
            "requester_policy_in_force",
            "1 while the API server writes down who asks, 0 while nothing is promoted because it does not",
            requester_policy.clone(),
        );
        registry.register(
            "audit_log_writable",
            "1 while the audit log can be written, 0 while nothing is promoted because it cannot",
            audit_log_writable.clone(),
        );
        registry.register(
            "audit_logs_broken",
            "Audit logs in the operator's folder that do not verify: they are left as they are",
            audit_logs_broken.clone(),
        );
        Self {
            tags_in_sync,
            standings: Arc::default(),
            registry: Arc::new(registry),
            ended,
            passes,
            failures,
            replicated,
            pass_seconds,
            requester_policy,
            audit_log_writable,
            audit_logs_broken,
        }
    }
}

impl Metrics {
    /// A promotion has ended.
    pub fn ended(&self, reason: &str) {
        self.ended
            .get_or_create(&EndedLabels {
                reason: reason.to_owned(),
            })
            .inc();
    }

    /// A pass went well.
    pub fn pass(&self, kind: &str) {
        self.passes
            .get_or_create(&KindLabels {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// Work at a replica came to an end.
    pub fn replicated(&self, outcome: &str) {
        self.replicated
            .get_or_create(&OutcomeLabels {
                outcome: outcome.to_owned(),
            })
            .inc();
    }

    /// How long a pass over a promotion took.
    pub fn pass_took(&self, duration: std::time::Duration) {
        self.pass_seconds.observe(duration.as_secs_f64());
    }

    /// A pass failed.
    pub fn failed_pass(&self, kind: &str, error: &str) {
        self.failures
            .get_or_create(&FailureLabels {
                kind: kind.to_owned(),
                error: error.to_owned(),
            })
            .inc();
    }

    /// Where to ask how policies stand. They are asked for each text, so that one that was deleted is not in it.
    pub fn tags_stand_as(&self, standings: impl Fn() -> Vec<Standing> + Send + 'static) {
        let mut known = self
            .standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some(Box::new(standings));
    }

    /// Whether the API server writes down who asks.
    pub fn requester_policy(&self, in_force: bool) {
        self.requester_policy.set(i64::from(in_force));
    }

    /// Whether the audit log can be written, and how many in its place are broken, when that is known.
    pub fn audit_log(&self, broken: Option<usize>) {
        self.audit_log_writable.set(i64::from(broken.is_some()));
        if let Some(broken) = broken {
            self.audit_logs_broken
                .set(i64::try_from(broken).unwrap_or(i64::MAX));
        }
    }

    /// Everything, as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Held to the end: two texts at the same time would take each other's lines away.
        let standings = self
            .standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(standings) = standings.as_ref() {
            self.tags_in_sync.clear();
            for standing in standings() {
                self.tags_in_sync.get_or_create(&standing).set(1);
            }
        }
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Starts logging to standard error: one JSON object a line, at the level of `filter` (as `RUST_LOG` has it).
pub fn start_logging(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
