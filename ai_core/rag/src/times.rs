//! Reading dates and times as milliseconds since 1970, without a calendar library; it knows the common written forms.

/// Milliseconds of an RFC 3339 time, or a date with an optional time; UTC without a zone.
pub(crate) fn parse_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) { None } else { part.parse().ok() }
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let midnight = days_from_civil(year, month, day) * 86_400_000;
    if bytes.len() == 10 {
        return Some(midnight);
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') || bytes.len() < 16 || bytes[13] != b':' {
        return None;
    }
    let (hour, minute) = (number(11..13)?, number(14..16)?);
    let mut at = 16;
    let mut ms = 0;
    if bytes.get(at) == Some(&b':') {
        ms = number(17..19)? * 1000;
        at = 19;
        if bytes.get(at) == Some(&b'.') {
            let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            let mut fraction = number(at + 1..at + 1 + digits.min(3))?;
            (digits..3).for_each(|_| fraction *= 10);
            ms += fraction;
            at += 1 + digits;
        }
    }
    if hour > 24 || minute > 59 || ms > 60_999 {
        return None;
    }
    let zone = zone_minutes(text.get(at..)?.trim())?;
    Some(midnight + (hour * 60 + minute - zone) * 60_000 + ms)
}

fn zone_minutes(zone: &str) -> Option<i64> {
    match zone {
        "" | "Z" | "z" | "UTC" => return Some(0),
        _ => {}
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Some(0), |m| m.parse().ok())?;
    Some(sign * (hours * 60 + minutes))
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// An RFC 3339 time in UTC of seconds since 1970.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let rest = seconds.rem_euclid(86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_instants() {
        assert_eq!(parse_ms("1970-01-01"), Some(0));
        assert_eq!(parse_ms("1969-12-31T23:59:59.5Z"), Some(-500));
        assert_eq!(parse_ms("2024-02-29T12:00:00+02:00"), parse_ms("2024-02-29 10:00"));
        assert_eq!(parse_ms("2024-02-29T12:00:00.123456789Z"), parse_ms("2024-02-29T12:00:00.123Z"));
        for bad in [
            "",
            "2023-02-29",
            "2024-13-01",
            "2024-01-01T",
            "2024-01-01Tab:cd",
            "hello worl",
            "2024-01-01T10:00:00X",
        ] {
            assert_eq!(parse_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn written_times_read_back() {
        for s in [0, -1, 951_782_400, 1_709_208_000, 4_102_444_799] {
            assert_eq!(parse_ms(&rfc3339(s)), Some(s * 1000));
        }
    }
}
