//! Timestamps: ISO 8601's `T`, and whole offsets.

use super::malformed::Malformed;

/// Appends a timestamp or timestamptz as `JsonEncodeDateTime` (`src/backend/utils/adt/json.c`) spells it: what
/// `datestyle=ISO` writes, with `T` in the blank's place and an offset of hours alone completed with `:00`.
///
/// Any other date style is refused: it would mean that the session is not the pinned one.
pub(super) fn write_timestamp(out: &mut Vec<u8>, text: &[u8], shape: &'static str) -> Result<(), Malformed> {
    out.reserve(text.len() + 5);
    out.push(b'"');
    if matches!(text, b"infinity" | b"-infinity") {
        out.extend_from_slice(text);
    } else {
        let (stamp, era) = match text.strip_suffix(b" BC") {
            Some(stamp) => (stamp, b" BC".as_slice()),
            None => (text, b"".as_slice()),
        };
        let not_iso = |at| Malformed::new(shape, at, "not in ISO date style");
        let (date, rest) = split_while(stamp, |byte| byte.is_ascii_digit() || byte == b'-');
        let [b' ', rest @ ..] = rest else { return Err(not_iso(date.len())) };
        let (time, offset) = split_while(rest, |byte| byte.is_ascii_digit() || byte == b':' || byte == b'.');
        if date.is_empty() || time.is_empty() {
            return Err(not_iso(date.len()));
        }
        out.extend_from_slice(date);
        out.push(b'T');
        out.extend_from_slice(time);
        write_offset(out, offset).ok_or_else(|| not_iso(date.len() + 1 + time.len()))?;
        out.extend_from_slice(era);
    }
    out.push(b'"');
    Ok(())
}

/// Appends an offset from UTC, or nothing for a timestamp without one (`EncodeTimezone` with `USE_XSD_DATES`,
/// `src/backend/utils/adt/datetime.c`).
fn write_offset(out: &mut Vec<u8>, offset: &[u8]) -> Option<()> {
    let [sign, digits @ ..] = offset else { return Some(()) };
    let is_offset = matches!(sign, b'+' | b'-')
        && !digits.is_empty()
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b':');
    if !is_offset {
        return None;
    }
    out.extend_from_slice(offset);
    if !digits.contains(&b':') {
        out.extend_from_slice(b":00");
    }
    Some(())
}

fn split_while(text: &[u8], belongs: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let count = text.iter().take_while(|byte| belongs(**byte)).count();
    text.split_at_checked(count).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write_timestamp(&mut out, text.as_bytes(), "timestamp").ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_timestamp_gets_its_t() {
        for (text, expected) in [
            ("2020-01-01 08:00:00", r#""2020-01-01T08:00:00""#),
            ("294276-12-31 23:59:59.999999", r#""294276-12-31T23:59:59.999999""#),
            ("0044-03-15 01:02:03.5 BC", r#""0044-03-15T01:02:03.5 BC""#),
            ("infinity", r#""infinity""#),
            ("-infinity", r#""-infinity""#),
        ] {
            assert_eq!(timestamp(text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_offset_gets_its_minutes() {
        for (text, expected) in [
            ("2020-01-01 08:00:00+00", r#""2020-01-01T08:00:00+00:00""#),
            ("2020-01-01 08:00:00.5-03", r#""2020-01-01T08:00:00.5-03:00""#),
            ("2020-01-01 08:00:00+05:30", r#""2020-01-01T08:00:00+05:30""#),
            ("0044-03-15 01:02:03.5+00 BC", r#""0044-03-15T01:02:03.5+00:00 BC""#),
        ] {
            assert_eq!(timestamp(text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_date_styles_are_refused() {
        for text in ["", "Wed Dec 17 07:37:16 1997 PST", "12/17/1997 07:37:16.00 PST", "17.12.1997 07:37:16.00 CET"] {
            assert_eq!(timestamp(text), None, "{text}");
        }
        for text in
            ["2020-01-01", "2020-01-01 ", " 08:00", "2020-01-01 08:00 UTC", "2020-01-01 08:00+", "2020-01-01T08:00"]
        {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }
}
