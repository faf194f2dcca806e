//! The text of an hstore, as `hstore_out` (`contrib/hstore/hstore_io.c`) writes it. Of the types that PostgreSQL comes with
//! it is the one that `to_jsonb` does not take as text: there is a cast to json, `hstore_to_json`.

use super::escape::write_quoted;
use super::malformed::{Malformed, Unwritten};
use super::quoted::{QuoteInside, read_quoted};

/// Appends an hstore as the object of its texts: `"a"=>"1", "b"=>NULL` is `{"a":"1","b":null}`.
pub(super) fn write_hstore(out: &mut Vec<u8>, text: &[u8], most: usize) -> Result<(), Unwritten> {
    let malformed = |rest: &[u8], reason| Malformed::new("hstore", text.len() - rest.len(), reason);
    let mut scratch = Vec::new();
    let mut rest = text;
    out.push(b'{');
    while let Some(pair) = rest.strip_prefix(b"\"") {
        let (key, value) = read_quoted(pair, QuoteInside::Escaped, &mut scratch)
            .ok_or_else(|| malformed(rest, "unterminated quote"))?;
        write_quoted(out, key, most)?;
        out.push(b':');
        let value = value.strip_prefix(b"=>").ok_or_else(|| malformed(value, "expected an arrow"))?;
        rest = if let Some(quoted) = value.strip_prefix(b"\"") {
            let (value, rest) = read_quoted(quoted, QuoteInside::Escaped, &mut scratch)
                .ok_or_else(|| malformed(value, "unterminated quote"))?;
            write_quoted(out, value, most)?;
            rest
        } else {
            out.extend_from_slice(b"null");
            value.strip_prefix(b"NULL").ok_or_else(|| malformed(value, "expected a value"))?
        };
        match rest.strip_prefix(b", ") {
            Some(next) if next.first() == Some(&b'"') => {
                out.push(b',');
                rest = next;
            }
            Some(_) => return Err(malformed(rest, "expected a pair").into()),
            None => break,
        }
    }
    if !rest.is_empty() {
        return Err(malformed(rest, "expected a pair").into());
    }
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hstore(text: &str) -> Result<String, Malformed> {
        let mut out = Vec::new();
        match write_hstore(&mut out, text.as_bytes(), usize::MAX) {
            Err(Unwritten::Malformed(malformed)) => return Err(malformed),
            written => written.unwrap(),
        }
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn pairs_are_members() {
        for (text, expected) in [
            ("", "{}"),
            (r#""a"=>"1""#, r#"{"a":"1"}"#),
            (r#""a"=>NULL, ""=>"NULL""#, r#"{"a":null,"":"NULL"}"#),
            (r#""q\"uo\\te"=>"=>, \"x\"", "é"=>"""#, r#"{"q\"uo\\te":"=>, \"x\"","é":""}"#),
        ] {
            assert_eq!(hstore(text).unwrap(), expected);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, at) in [
            ("a", 0),
            (r#""a"#, 0),
            (r#""a""#, 3),
            (r#""a"=>"#, 5),
            (r#""a"=>1"#, 5),
            (r#""a"=>"1"#, 5),
            (r#""a"=>"1","#, 8),
            (r#""a"=>"1", "#, 8),
            (r#""a"=>"1" "b"=>"1""#, 8),
        ] {
            assert_eq!(hstore(text).unwrap_err().at, at, "{text}");
        }
    }
}
