//! Waiting: always for a condition, always with a limit.

use std::time::Duration;

use tokio::time::Instant;

/// How often a condition is looked at where nothing can be watched.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `look` finds something; panics at the limit.
pub async fn until<T>(what: &str, limit: Duration, look: impl AsyncFnMut() -> Option<T>) -> T {
    match within(limit, look).await {
        Some(found) => found,
        None => panic!("waited {limit:?}, and never came: {what}"),
    }
}

/// What `look` found within the limit.
pub async fn within<T>(limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Seconds, shorter to write.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
