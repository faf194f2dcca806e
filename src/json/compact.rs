//! json and jsonb texts: checked, and brought onto one line.

use smallvec::SmallVec;

use super::escape::plain_length;
use super::malformed::Malformed;
use super::number::Number;

/// Nesting that needs no memory beyond the stack's. Deeper texts, which PostgreSQL takes up to thousands of levels
/// (`max_stack_depth`), cost a byte a level.
const INLINE_DEPTH: usize = 32;

/// A text nested deeper is no JSON to many readers. serde_json stops at 128 levels, PHP at 512, Jackson at 1000, Python at 1000 less its own
/// calls, PostgreSQL's own functions (`max_stack_depth`) at some thousands. An event puts a few levels around it.
pub(super) const DEEPEST: usize = 100;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compact {
    /// It may stay.
    Whole,
    /// It is nested deeper than [`DEEPEST`].
    TooDeep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrClose,
    Key,
    KeyOrClose,
    Colon,
    CommaOrClose,
    End,
}

/// Appends a JSON text less the white space outside its strings; all else stays as it is, the order of keys and the
/// spelling of numbers and escapes too.
///
/// The grammar is that of PostgreSQL's lexer (`src/common/jsonapi.c`): RFC 8259, where `\u` takes any four digits.
pub(super) fn write_compact(out: &mut Vec<u8>, text: &[u8], shape: &'static str) -> Result<Compact, Malformed> {
    let malformed = |rest: &[u8], reason| Malformed::new(shape, text.len() - rest.len(), reason);
    let mut open = SmallVec::<[Container; INLINE_DEPTH]>::new();
    let mut expect = Expect::Value;
    let mut deepest = 0;
    let mut rest = text;
    // what is not yet copied: all up to the next white space at once
    let mut run = text;
    loop {
        let token = skip_white_space(rest);
        if token.len() < rest.len() {
            out.extend_from_slice(&run[..run.len() - rest.len()]);
            run = token;
        }
        rest = token;
        let Some(first) = rest.first() else { break };
        let token = match (first, expect) {
            (b'{' | b'[' | b'}' | b']' | b':' | b',', _) => 1,
            (b'"', _) => string_length(rest).ok_or_else(|| malformed(rest, "bad string"))?,
            (b'-' | b'0'..=b'9', _) => number_length(rest).ok_or_else(|| malformed(rest, "bad number"))?,
            _ => word_length(rest).ok_or_else(|| malformed(rest, "unexpected byte"))?,
        };
        let after_value = |open: &[Container]| if open.is_empty() { Expect::End } else { Expect::CommaOrClose };
        deepest = deepest.max(open.len());
        expect = match (first, expect, open.last()) {
            (b'{', Expect::Value | Expect::ValueOrClose, _) => {
                open.push(Container::Object);
                Expect::KeyOrClose
            }
            (b'[', Expect::Value | Expect::ValueOrClose, _) => {
                open.push(Container::Array);
                Expect::ValueOrClose
            }
            (b'}', Expect::KeyOrClose | Expect::CommaOrClose, Some(Container::Object))
            | (b']', Expect::ValueOrClose | Expect::CommaOrClose, Some(Container::Array)) => {
                open.pop();
                after_value(&open)
            }
            (b',', Expect::CommaOrClose, Some(Container::Object)) => Expect::Key,
            (b',', Expect::CommaOrClose, Some(Container::Array)) => Expect::Value,
            (b'"', Expect::Key | Expect::KeyOrClose, _) => Expect::Colon,
            (b':', Expect::Colon, _) => Expect::Value,
            (b'{' | b'[' | b'}' | b']' | b':' | b',', _, _) => return Err(malformed(rest, "unexpected punctuation")),
            (_, Expect::Value | Expect::ValueOrClose, _) => after_value(&open),
            _ => return Err(malformed(rest, "unexpected value")),
        };
        rest = rest.get(token..).unwrap_or_default();
    }
    out.extend_from_slice(run);
    match expect {
        Expect::End if deepest > DEEPEST => Ok(Compact::TooDeep),
        Expect::End => Ok(Compact::Whole),
        _ => Err(malformed(rest, "unexpected end")),
    }
}

fn skip_white_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Length of the string at the start of `text`, with its quotes.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest.get(plain_length(rest)..)? {
            [b'"', tail @ ..] => return Some(text.len() - tail.len()),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', tail @ ..] => tail,
            [b'\\', b'u', a, b, c, d, tail @ ..] if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) => tail,
            _ => return None,
        };
    }
}

fn number_length(text: &[u8]) -> Option<usize> {
    Number::read(text).map(|(_, rest)| text.len() - rest.len())
}

fn word_length(text: &[u8]) -> Option<usize> {
    ["true", "false", "null"].iter().find(|word| text.starts_with(word.as_bytes())).map(|word| word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(text: &str) -> Result<String, Malformed> {
        let mut out = Vec::new();
        assert_eq!(write_compact(&mut out, text.as_bytes(), "json")?, Compact::Whole);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn white_space_goes_but_not_from_strings() {
        let text = " { \"b c\" :\t[ 1 , -2.50e+3,\r\n true ] , \"a\": \"x \\\" \\u00e9 y\", \"n\" : null } \n";
        assert_eq!(compact(text).unwrap(), r#"{"b c":[1,-2.50e+3,true],"a":"x \" \u00e9 y","n":null}"#);
    }

    #[test]
    fn what_is_compact_stays_as_it_is() {
        let texts = r#"1 -0 1e99999 null false "" [] {} [[],{}] {"a":{"a":[{}]},"a":1} "\ud800""#;
        for text in texts.split(' ') {
            assert_eq!(compact(text).unwrap(), text);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(compact(&nested(DEEPEST)).unwrap(), nested(DEEPEST));
        for levels in [DEEPEST + 1, 100_000] {
            assert_eq!(write_compact(&mut Vec::new(), nested(levels).as_bytes(), "json").unwrap(), Compact::TooDeep);
        }
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_goes_wrong() {
        for (text, at) in [
            ("", 0),
            (" ", 1),
            ("[1", 2),
            ("[1,]", 3),
            ("[,1]", 1),
            ("[1 2]", 3),
            ("{1:2}", 1),
            (r#"{"a"}"#, 4),
            (r#"{"a":}"#, 5),
            (r#"{"a":1,}"#, 7),
            (r#"{"a":1]"#, 6),
            ("[1}", 2),
            ("1 2", 2),
            ("]", 0),
            ("01", 0),
            ("tru", 0),
            ("nulls", 4),
            ("'a'", 0),
            ("\"a\nb\"", 0),
            (r#""\x""#, 0),
            (r#""\u00g0""#, 0),
            (r#"["a"#, 1),
            ("\u{a0}1", 0),
            ("\u{c}1", 0),
        ] {
            assert_eq!(compact(text).unwrap_err().at, at, "{text:?}");
        }
    }
}
