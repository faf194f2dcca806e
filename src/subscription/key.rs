//! A row's key as one run of bytes, to be looked up without an allocation.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use serde::Deserialize;

/// Writes the key's values into `out`, which is emptied first. One value stands as it is; of several each is preceded by
/// its length, so that `("a", "bc")` and `("ab", "c")` differ.
pub fn encode_key(out: &mut Vec<u8>, mut values: impl ExactSizeIterator<Item: AsRef<[u8]>>) {
    out.clear();
    if values.len() == 1 {
        if let Some(value) = values.next() {
            out.extend_from_slice(value.as_ref());
        }
        return;
    }
    for value in values {
        let value = value.as_ref();
        out.extend_from_slice(&(value.len() as u64).to_be_bytes());
        out.extend_from_slice(value);
    }
}

/// A key of more bytes than these is known by its digest: what a subscription takes in memory does not depend on its key. Hardly any
/// is so long.
const LONGEST: usize = 256;

/// What a digest begins with. No key does: one value is UTF-8, and of several the first is shorter than 2^63.
const DIGEST: u8 = 0xff;

/// Puts digests in the place of long keys. They are an index's own: it takes chance for two keys to have the same, which whoever chooses
/// the keys cannot help along.
#[derive(Debug, Default)]
pub struct Digests([RandomState; 2]);

impl Digests {
    /// The key, or its digest if it is long.
    pub fn shorten(&self, key: &mut Vec<u8>) {
        if key.len() > LONGEST {
            let Digests([one, other]) = self;
            let digest = [one, other].map(|state| state.hash_one(key.as_slice()).to_be_bytes());
            key.clear();
            key.push(DIGEST);
            key.extend(digest.as_flattened());
        }
    }
}

/// How the text of a key's value becomes the one spelling of all values that PostgreSQL holds to be equal. `event._key_form` has the
/// form of each type, and `event._canonical_key` brings a subscription's key to the same spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyForm {
    /// Equal values have equal texts.
    #[default]
    Exact,
    /// Numbers, alone or in arrays, ranges and rows: 1.0 and 1.00 are the same numeric, 0 and -0 the same float.
    Number,
    /// bpchar: the blanks at the end count for nothing.
    Blanks,
    /// interval: a month is 30 days, and a day 24 hours.
    Interval,
    /// jsonb: its numbers are numeric.
    Jsonb,
    /// money: signs and digits; the rest of the text is the locale's.
    Money,
}

impl KeyForm {
    /// The one spelling of a value, from its text.
    pub fn canonical(self, text: &[u8]) -> Cow<'_, [u8]> {
        match self {
            KeyForm::Exact => Cow::Borrowed(text),
            KeyForm::Number => match text.first() {
                Some(b'{' | b'[' | b'(') => Cow::Owned(numbers(text, false)),
                _ => Cow::Borrowed(number(text)),
            },
            KeyForm::Blanks => {
                let blanks = text.iter().rev().take_while(|byte| **byte == b' ').count();
                Cow::Borrowed(&text[..text.len() - blanks])
            }
            KeyForm::Interval => interval(text).map_or(Cow::Borrowed(text), |span| Cow::Owned(span.to_string().into())),
            KeyForm::Jsonb if text.contains(&b'.') => Cow::Owned(numbers(text, true)),
            KeyForm::Jsonb => Cow::Borrowed(text),
            KeyForm::Money => Cow::Owned(money(text)),
        }
    }
}

/// A number without the zeros at its end, which are most numbers' only other spelling.
fn number(text: &[u8]) -> &[u8] {
    let is_plain = text.contains(&b'.') && !text.contains(&b'e');
    let zeros = text.iter().rev().take_while(|byte| is_plain && **byte == b'0').count();
    let text = text.get(..text.len() - zeros).unwrap_or(text);
    match text.strip_suffix(b".").unwrap_or(text) {
        b"-0" => b"0",
        text => text,
    }
}

/// The same for all numbers in a text that has nothing else with a dot; with `strings`, but in JSON's strings.
fn numbers(text: &[u8], strings: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match byte {
            b'"' if strings => {
                let (string, behind) = behind.split_at(string_length(behind));
                out.push(b'"');
                out.extend_from_slice(string);
                rest = behind;
            }
            b'.' => {
                let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (fraction, behind) = behind.split_at(digits);
                let zeros = fraction.iter().rev().take_while(|byte| **byte == b'0').count();
                let kept = &fraction[..digits - zeros];
                if !kept.is_empty() || digits == 0 {
                    out.push(b'.');
                    out.extend_from_slice(kept);
                }
                rest = behind;
            }
            b'-' if !strings
                && matches!(behind, [b'0', next @ ..] if !matches!(next.first(), Some(b'0'..=b'9' | b'.'))) => {}
            byte => out.push(*byte),
        }
    }
    out
}

/// How much of a text belongs to the JSON string that it begins in, its closing quote too.
fn string_length(text: &[u8]) -> usize {
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// An interval's microseconds, as PostgreSQL compares them (`interval_cmp_value`, `src/backend/utils/adt/timestamp.c`), from the form
/// `1 year 2 mons -3 days +04:05:06.789`. `None` for an infinite one, which stands as it is.
fn interval(text: &[u8]) -> Option<i128> {
    const HOUR: i128 = 3_600_000_000;
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let mut total = 0;
    while let Some(word) = words.next() {
        if let Some((hours, rest)) = word.split_once(':') {
            let (minutes, seconds) = rest.split_once(':')?;
            let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
            let fraction = format!("{fraction:0<6}").parse::<i128>().ok()?;
            let [minutes, seconds] = [minutes, seconds].map(|text| text.parse::<i128>().ok());
            let time = hours.trim_start_matches(['+', '-']).parse::<i128>().ok()? * HOUR
                + minutes? * 60_000_000
                + seconds? * 1_000_000
                + fraction;
            total += if hours.starts_with('-') { -time } else { time };
            continue;
        }
        let days = match words.next()?.trim_end_matches('s') {
            "year" => 360,
            "mon" => 30,
            "day" => 1,
            _ => return None,
        };
        total += word.parse::<i128>().ok()? * days * 24 * HOUR;
    }
    Some(total)
}

/// The digits of an amount, behind a `-` if it is less than nothing.
fn money(text: &[u8]) -> Vec<u8> {
    let sign = text.iter().any(|byte| matches!(byte, b'-' | b'(')).then_some(b'-');
    sign.into_iter().chain(text.iter().copied().filter(u8::is_ascii_digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_one_key() {
        for (text, key) in [
            ("1.00", "1"),
            ("-1.50", "-1.5"),
            ("100", "100"),
            ("0.00", "0"),
            ("-0", "0"),
            ("0.10", "0.1"),
            ("1e+20", "1e+20"),
            ("1.5e+20", "1.5e+20"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("", ""),
        ] {
            assert_eq!(*KeyForm::Number.canonical(text.as_bytes()), *key.as_bytes());
        }
    }

    #[test]
    fn equal_values_have_one_spelling() {
        for (form, text, key) in [
            (KeyForm::Exact, "1.00", "1.00"),
            (KeyForm::Number, "{1.00,NULL,-0,-0.50}", "{1,NULL,0,-0.5}"),
            (KeyForm::Number, "[0:1]={1.10,1e-05}", "[0:1]={1.1,1e-05}"),
            (KeyForm::Number, "(,100.001)", "(,100.001)"),
            (KeyForm::Blanks, "a b  ", "a b"),
            (KeyForm::Interval, "1 year 2 mons -3 days +04:05:06.789", "36043506789000"),
            (KeyForm::Interval, "-1 days -02:00:00.5", "-93600500000"),
            (KeyForm::Interval, "infinity", "infinity"),
            (KeyForm::Jsonb, r#"{"a\\": 1.00, "\"2.50": [-0.10]}"#, r#"{"a\\": 1, "\"2.50": [-0.1]}"#),
            (KeyForm::Money, "-$1,234.50", "-123450"),
            (KeyForm::Money, "(1.234,50 €)", "-123450"),
        ] {
            assert_eq!(String::from_utf8_lossy(&form.canonical(text.as_bytes())), key);
        }
    }

    #[test]
    fn long_keys_are_told_apart_by_their_digests() {
        let digests = Digests::default();
        let shortened = |key: &str| {
            let mut key = key.as_bytes().to_vec();
            digests.shorten(&mut key);
            key
        };
        let long = "k".repeat(LONGEST);
        assert_eq!(shortened(&long), long.as_bytes());
        let [one, other] = ["1", "2"].map(|end| shortened(&format!("{long}{end}")));
        assert_eq!((one.len(), other.len()), (17, 17));
        assert_ne!(one, other);
        assert_eq!(one, shortened(&format!("{long}1")));
        assert!(std::str::from_utf8(&one).is_err(), "no key is one");
    }

    #[test]
    fn keys_of_several_values_are_told_apart() {
        let mut left = Vec::new();
        let mut right = Vec::new();
        encode_key(&mut left, [b"a".as_slice(), b"bc"].into_iter());
        encode_key(&mut right, [b"ab".as_slice(), b"c"].into_iter());
        assert_ne!(left, right);
        encode_key(&mut left, [b"7".as_slice()].into_iter());
        assert_eq!(left, b"7");
    }
}
