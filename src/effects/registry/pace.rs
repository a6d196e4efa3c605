//! The only place of the registry client that knows the time.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

/// Longest Retry-After that is believed; more is cut to it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Bytes that a blob transfer must move per second of additional time.
const SLOWEST_TRANSFER: u64 = 256 * 1024;

/// Now, for life times of tokens and deadlines.
pub(super) fn now() -> Instant {
    crate::effects::clock::instant()
}

/// The wait that a registry asks for with Retry-After; callers bound it by `Limits::waiting`.
pub(super) async fn wait(duration: Duration) {
    tokio::time::sleep_until(now() + duration).await;
}

/// How long the answer asks to wait: seconds, or an HTTP date that is compared with the answer's
/// own Date, so that our clock does not matter. Unreadable = not said.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let date = |text| DateTimeParser::new().parse_timestamp(text).ok();
    let left = date(asked)?.duration_since(date(text(DATE)?)?);
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
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, "Sun, 06 Nov 1994 08:49:00 GMT".parse().unwrap());
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
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
