//! Looks whether the API server writes down who asks: at the start, and from time to time. While it does not,
//! nothing is promoted.

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;

use super::error::api;
use super::http::Readiness;
use crate::domain::observed::Stamp;
use crate::effects::{clock, requester_policy};
use crate::telemetry::Metrics;

/// How often it is looked at while all is well. A policy that was taken away and put back in between is newer
/// than the requests that were made without it.
const PERIOD: Duration = Duration::from_mins(10);
/// Longest time between two looks while it is not.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What was seen, and where it is told.
pub(super) struct Looking {
    client: Client,
    namespace: String,
    metrics: Metrics,
    readiness: Readiness,
    pause: Duration,
    shown: watch::Sender<Stamp>,
}

impl Looking {
    /// Looks for the first time: until there is an answer, whatever it says.
    pub(super) async fn start(
        client: Client,
        namespace: String,
        metrics: Metrics,
        readiness: Readiness,
    ) -> Self {
        let unknown = Stamp::NotInForce {
            problem: "nobody has looked yet".to_owned(),
        };
        let mut looking = Self {
            client,
            namespace,
            metrics,
            readiness,
            pause: Duration::from_secs(1),
            shown: watch::Sender::new(unknown),
        };
        while !looking.look().await {
            looking.wait().await;
        }
        looking
    }

    /// Where passes read what was seen last.
    pub(super) fn shown(&self) -> watch::Receiver<Stamp> {
        self.shown.subscribe()
    }

    /// Goes on looking.
    pub(super) async fn go_on(mut self) {
        loop {
            self.wait().await;
            self.look().await;
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "nothing tells when a policy is installed or taken away"
    )]
    async fn wait(&self) {
        tokio::time::sleep(self.pause).await;
    }

    /// Looks once; whether there was an answer. Without one, what was seen last still counts: whoever cannot ask
    /// the API server cannot promote either.
    async fn look(&mut self) -> bool {
        let looked = requester_policy::look(&self.client, &self.namespace);
        let stamp = match api("rehearse a Promotion in another's name", looked).await {
            Ok(stamp) => stamp,
            Err(error) => {
                tracing::warn!(%error, "cannot see whether the API server writes down who asks");
                self.pause = self.later();
                return false;
            }
        };
        let in_force = matches!(stamp, Stamp::InForce { .. });
        self.metrics.requester_policy(in_force);
        match &stamp {
            // What is asked for a moment later would be refused as older than the policy.
            Stamp::InForce { since } if *since > clock::now() => {
                self.readiness
                    .not_ready("the admission policies were installed a moment ago");
                self.pause = clock::until(*since);
            }
            Stamp::InForce { since } => {
                tracing::info!(%since, "the API server writes down who asks");
                self.readiness.ready();
                self.pause = PERIOD;
            }
            Stamp::NotInForce { problem } => {
                tracing::error!(
                    problem,
                    "nothing is promoted: the API server does not write down who asks"
                );
                self.readiness.not_ready(&format!(
                    "the API server does not write down who asks: {problem}"
                ));
                self.pause = self.later();
            }
        }
        self.shown.send_replace(stamp);
        true
    }

    fn later(&self) -> Duration {
        if self.pause >= PERIOD {
            Duration::from_secs(1)
        } else {
            (self.pause * 2).min(LONGEST_PAUSE)
        }
    }
}
