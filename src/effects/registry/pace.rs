//! The only place of the registry client that knows the time.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

/// Longest Retry-After that is believed; more is cut to it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Bytes that a blob transfer must move per second of additional time.
const SLOWEST_TRANSFER: u64 = 256 * 1024;

#[expect(
    clippy::disallowed_methods,
    reason = "token life times and write deadlines are measured here and nowhere else"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the wait that a registry asks for with Retry-After, bounded by Limits::waiting"
)]
pub(super) async fn wait(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "a Retry-After date only means something relative to now"
)]
fn calendar_now() -> Timestamp {
    Timestamp::now()
}

/// How long the answer asks to wait: seconds or an HTTP date. Unreadable = not said.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    parse_retry_after(text, calendar_now)
}

fn parse_retry_after(text: &str, now: impl FnOnce() -> Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    let left = date.duration_since(now());
    Some(
        Duration::try_from(left)
            .unwrap_or_default()
            .min(LONGEST_RETRY_AFTER),
    )
}

/// Time limit of a request that moves this many bytes.
pub(super) fn limit_for(request: Duration, bytes: u64) -> Duration {
    request.saturating_add(Duration::from_secs(bytes / SLOWEST_TRANSFER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = || "1994-11-06T08:49:00Z".parse().unwrap();
        let read = |text| parse_retry_after(text, now);
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            read("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::from_secs(37))
        );
        assert_eq!(read("Sun, 06 Nov 1994 08:48:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("999999999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-3"), None);
    }
}
