//! Numbers: `to_jsonb` brings every one of them into a numeric first.

use super::malformed::Malformed;

/// Longest exponent, in digits, of a float8's text: they end at 1.8e+308 and 4.9e-324 (manual, section 8.1.3). It bounds
/// how many zeros a few bytes of input can turn into.
const EXPONENT_DIGITS: usize = 3;

/// A number in JSON's grammar (RFC 8259, section 6), taken apart.
pub(super) struct Number<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: Option<Exponent<'a>>,
}

struct Exponent<'a> {
    negative: bool,
    digits: &'a [u8],
}

impl<'a> Number<'a> {
    /// Reads the number at the start of `text`; with it comes what follows it.
    pub(super) fn read(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (integer, rest) = split_digits(rest);
        if integer.is_empty() || (integer.len() > 1 && integer.first() == Some(&b'0')) {
            return None;
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => match split_digits(rest) {
                ([], _) => return None,
                split => split,
            },
            rest => (&[] as &[u8], rest),
        };
        let (exponent, rest) = match rest {
            [b'e' | b'E', rest @ ..] => {
                let (negative, rest) = match rest {
                    [b'-', rest @ ..] => (true, rest),
                    [b'+', rest @ ..] => (false, rest),
                    rest => (false, rest),
                };
                match split_digits(rest) {
                    ([], _) => return None,
                    (digits, rest) => (Some(Exponent { negative, digits }), rest),
                }
            }
            rest => (None, rest),
        };
        Some((Number { negative, integer, fraction, exponent }, rest))
    }

    fn is_zero(&self) -> bool {
        self.integer.iter().chain(self.fraction).all(|digit| *digit == b'0')
    }

    /// Writes it as `numeric_out` would after `numeric_in` (`set_var_from_str` in `src/backend/utils/adt/numeric.c`):
    /// no exponent, and as many fraction digits as the exponent leaves.
    fn write_plain(&self, out: &mut Vec<u8>, exponent: isize) {
        if self.negative && !self.is_zero() {
            out.push(b'-');
        }
        let count = self.integer.len() + self.fraction.len();
        let point = self.integer.len().saturating_add_signed(exponent);
        // how far the point stands left of the first digit
        let gap = exponent.unsigned_abs().saturating_sub(self.integer.len());
        let gap = if exponent < 0 { gap } else { 0 };
        let mut digits = self.integer.iter().chain(self.fraction).copied();

        let start = out.len();
        out.extend(digits.by_ref().take(point).skip_while(|digit| *digit == b'0'));
        if out.len() == start {
            out.push(b'0');
        } else {
            out.extend(std::iter::repeat_n(b'0', point.saturating_sub(count)));
        }
        if count > point {
            out.push(b'.');
            out.extend(std::iter::repeat_n(b'0', gap));
            out.extend(digits);
        }
    }
}

/// Appends a number; `NaN`, `Infinity` and `-Infinity` as strings, since JSON has no such numbers.
pub(super) fn write_number(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Malformed> {
    if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return Ok(());
    }
    let Some((number, [])) = Number::read(text) else {
        return Err(Malformed::new("number", 0, "not a number"));
    };
    match &number.exponent {
        None if number.negative && number.is_zero() => number.write_plain(out, 0),
        None => out.extend_from_slice(text),
        Some(exponent) if exponent.digits.len() > EXPONENT_DIGITS => {
            return Err(Malformed::new("number", 0, "exponent out of range"));
        }
        Some(exponent) => {
            let size = exponent.digits.iter().fold(0, |size, digit| size * 10 + isize::from(*digit - b'0'));
            number.write_plain(out, if exponent.negative { -size } else { size });
        }
    }
    Ok(())
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at_checked(count).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write_number(&mut out, text.as_bytes()).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn integers_and_numerics_stay_as_they_are() {
        for text in ["0", "-1", "9223372036854775807", "1.50", "0.00", "-0.5", "0.1", "1234567.8"] {
            assert_eq!(number(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn floats_lose_their_exponent_as_they_pass_through_numeric() {
        let zeros = |count| "0".repeat(count);
        for (text, expected) in [
            ("1e+300", format!("1{}", zeros(300))),
            ("1.7976931348623157e+308", format!("17976931348623157{}", zeros(292))),
            ("5e-324", format!("0.{}5", zeros(323))),
            ("1e-07", "0.0000001".into()),
            ("1.5e-10", "0.00000000015".into()),
            ("-1.25e+20", "-125000000000000000000".into()),
            ("1.2345678901234568e+17", "123456789012345680".into()),
            ("1.2345678e+06", "1234567.8".into()),
            ("1e+15", "1000000000000000".into()),
            ("1.50e1", "15.0".into()),
            ("0.5e1", "5".into()),
            ("0.05e1", "0.5".into()),
            ("12e-1", "1.2".into()),
            ("12e-2", "0.12".into()),
            ("0e+5", "0".into()),
            ("0e-5", "0.00000".into()),
        ] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(number("-0").as_deref(), Some("0"));
        assert_eq!(number("-0.00").as_deref(), Some("0.00"));
        assert_eq!(number("-0e+03").as_deref(), Some("0"));
    }

    #[test]
    fn what_json_cannot_count_is_a_string() {
        assert_eq!(number("NaN").as_deref(), Some(r#""NaN""#));
        assert_eq!(number("Infinity").as_deref(), Some(r#""Infinity""#));
        assert_eq!(number("-Infinity").as_deref(), Some(r#""-Infinity""#));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in "- +1 01 .5 1. 1e 1e+ nan infinity 0x1 1e1000 1e-99999999".split(' ').chain(["", "1 ", " 1"]) {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
