//! Small words of tables: ages, short digests, dashes.

use jiff::{SignedDuration, Timestamp};

/// `12s`, `3m20s`, `5h10m`, `3d4h`, `120d`: as kubectl writes ages.
pub(super) fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |one: i64, unit: char, rest: i64, small: char| match rest {
        0 => format!("{one}{unit}"),
        rest => format!("{one}{unit}{rest}{small}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

/// The age of something that happened then.
pub(super) fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(dash, |then| span(now.duration_since(then)))
}

/// `sha256:0123456789ab`: enough to recognise a digest.
pub(super) fn short_digest(digest: Option<&str>) -> String {
    digest.map_or_else(dash, |digest| digest.chars().take(19).collect())
}

/// The text, or a dash.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(dash, str::to_owned)
}

/// The sign of nothing.
pub(super) fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_kubectl_writes_ages() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (18_600, "5h10m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (273_600, "3d4h"),
            (691_200, "8d"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn a_short_digest_keeps_the_algorithm_and_twelve_digits() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(short_digest(Some(&digest)), "sha256:0123456789ab");
        assert_eq!(short_digest(None), "-");
    }
}
