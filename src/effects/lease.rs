//! Leader election on a Lease, after client-go's algorithm: whoever holds the Lease leads; a Lease that
//! nobody has renewed for its duration, by our own clock, may be taken. Every write carries the
//! resourceVersion that was read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock;
use super::ledger::is_conflict;

/// How long a Lease is good without renewal.
const DURATION: Duration = Duration::from_secs(15);
/// How long the leader tries to renew before it gives up leading.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two tries.
const RETRY: Duration = Duration::from_secs(2);

/// A candidate for leadership.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<Seen>,
}

/// The Lease as it was last read, and when it last changed by our clock.
struct Seen {
    version: Option<String>,
    changed_at: Instant,
}

/// The Lease was not renewed in time: another process may lead now.
#[derive(Debug, thiserror::Error)]
#[error("lost the lease '{0}': it could not be renewed for {deadline:?}", deadline = RENEW_DEADLINE)]
pub struct LostLease(String);

impl Candidate {
    /// A candidate with this identity for the Lease of this name.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            api,
            name: name.to_owned(),
            identity: identity.to_owned(),
            seen: None,
        }
    }

    /// Waits until this candidate leads; false when it was stopped before. Says when somebody else leads.
    pub async fn acquire(&mut self, stop: &CancellationToken, stands_by: impl Fn()) -> bool {
        let mut ticks = tokio::time::interval(RETRY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                _ = ticks.tick() => {}
            }
            match tokio::time::timeout(RETRY, self.try_hold()).await {
                Ok(Ok(true)) => return true,
                Ok(Ok(false)) => stands_by(),
                Ok(Err(error)) => {
                    tracing::warn!(%error, lease = self.name, "cannot acquire the lease");
                }
                Err(_) => tracing::warn!(lease = self.name, "acquiring the lease took too long"),
            }
        }
    }

    /// Renews the Lease until that fails for too long: the process must not write any more then.
    pub async fn keep(&mut self) -> LostLease {
        let mut renewed_at = clock::instant();
        let mut ticks = tokio::time::interval(RETRY);
        loop {
            ticks.tick().await;
            match tokio::time::timeout(RETRY, self.try_hold()).await {
                Ok(Ok(true)) => renewed_at = clock::instant(),
                Ok(Ok(false)) => return LostLease(self.name.clone()),
                Ok(Err(error)) => {
                    tracing::warn!(%error, lease = self.name, "cannot renew the lease");
                }
                Err(_) => tracing::warn!(lease = self.name, "renewing the lease took too long"),
            }
            if renewed_at.elapsed() >= RENEW_DEADLINE {
                return LostLease(self.name.clone());
            }
        }
    }

    /// Gives the Lease up, so that the next one need not wait.
    pub async fn release(&self) {
        let released = async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else {
                return Ok::<(), kube::Error>(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(self.identity.as_str()) {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
                self.api
                    .replace(&self.name, &PostParams::default(), &lease)
                    .await?;
            }
            Ok(())
        };
        match tokio::time::timeout(RETRY, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "cannot release the lease"),
            Err(_) => tracing::warn!(lease = self.name, "releasing the lease took too long"),
        }
    }

    /// Holds the Lease if it may: true when it does.
    async fn try_hold(&mut self) -> kube::Result<bool> {
        let now = micro_now();
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            return self.create(now).await;
        };
        let version = lease.metadata.resource_version.clone();
        if self
            .seen
            .as_ref()
            .is_none_or(|seen| seen.version != version)
        {
            self.seen = Some(Seen {
                version,
                changed_at: clock::instant(),
            });
        }
        let spec = lease.spec.get_or_insert_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let ours = holder == self.identity;
        let idle = self
            .seen
            .as_ref()
            .map_or(Duration::ZERO, |seen| seen.changed_at.elapsed());
        if !ours && !holder.is_empty() && idle < DURATION {
            return Ok(false);
        }
        if !ours {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default() + 1);
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(now);
        match self
            .api
            .replace(&self.name, &PostParams::default(), &lease)
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, now: MicroTime) -> kube::Result<bool> {
        let mut lease = Lease::default();
        lease.metadata.name = Some(self.name.clone());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        });
        match self.api.create(&PostParams::default(), &lease).await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time in a Lease is for people and to the microsecond"
)]
fn micro_now() -> MicroTime {
    MicroTime(Timestamp::now())
}
