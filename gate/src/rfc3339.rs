//! Times as text, without a time library: `floe-gate` stays small enough to be copied into every Pod.

use std::time::{SystemTime, UNIX_EPOCH};

/// This time as `2026-08-01T12:00:00.000Z`. Times before 1970 become 1970.
pub fn format(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        since.subsec_millis()
    )
}

/// Whether the text has exactly the form that [`format`] writes, with fields in their ranges.
pub fn is_valid(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.000Z";
    let shaped = text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, &shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        });
    let within = |from: usize, low: u32, high: u32| {
        text.get(from..from + 2)
            .and_then(|digits| digits.parse::<u32>().ok())
            .is_some_and(|number| (low..=high).contains(&number))
    };
    shaped
        && within(5, 1, 12)
        && within(8, 1, 31)
        && within(11, 0, 23)
        && within(14, 0, 59)
        && within(17, 0, 59)
}

/// Year, month and day of the n-th day after 1970-01-01, in the Gregorian calendar
/// (Howard Hinnant, "chrono-compatible low-level date algorithms": years are counted from March, so
/// that the leap day is the last of the year).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_785_585_600, "2026-08-01T12:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let written = format(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(written, text);
            assert!(is_valid(&written));
        }
    }

    #[test]
    fn other_forms_of_a_time_are_refused() {
        for text in [
            "",
            "2026-08-01T12:00:00Z",
            "2026-08-01T12:00:00.000+00:00",
            "2026-13-01T12:00:00.000Z",
            "2026-08-32T12:00:00.000Z",
            "2026-08-01T24:00:00.000Z",
            "2026-08-01 12:00:00.000Z",
            "２026-08-01T12:00:00.000Z",
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }
}
