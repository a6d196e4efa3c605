//! The only `now()`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The time, to the second: Kubernetes stores no more in its objects, and what is written into a record
/// must be what is read back.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The day, in UTC.
pub fn today() -> Date {
    now().to_zoned(TimeZone::UTC).date()
}

/// A moment of this process, to measure ages and spans with: it is never stored.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// How long until this time; zero when it has passed.
pub fn until(time: Timestamp) -> std::time::Duration {
    let left = time.duration_since(now()).max(SignedDuration::ZERO);
    std::time::Duration::try_from(left).unwrap_or_default()
}
