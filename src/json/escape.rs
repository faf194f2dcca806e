//! JSON strings.

use super::malformed::Unwritten;

/// Appends `text` as a JSON string, escaped exactly as PostgreSQL does it (`escape_json`,
/// `src/backend/utils/adt/json.c`): `\b \f \n \r \t \" \\`, `\u00xx` for the other bytes below 0x20, everything else
/// as it is.
pub fn write_string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    // what is special is ASCII: a string may be cut there
    while let Some((plain, special)) = rest.split_at_checked(plain_length(rest.as_bytes())) {
        out.push_str(plain);
        let Some(byte) = special.bytes().next() else { break };
        out.push_str(escape(byte));
        rest = &special[1..];
    }
    out.push('"');
}

/// [`write_string`] for bytes that are known to be UTF-8; `out` does not become much longer than `most`.
pub(super) fn write_quoted(out: &mut Vec<u8>, text: &[u8], most: usize) -> Result<(), Unwritten> {
    if out.len() + text.len() > most {
        return Err(Unwritten::TooLong);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some((plain, special)) = rest.split_at_checked(plain_length(rest)) {
        out.extend_from_slice(plain);
        let [byte, tail @ ..] = special else { break };
        out.extend_from_slice(escape(*byte).as_bytes());
        if out.len() > most {
            return Err(Unwritten::TooLong);
        }
        rest = tail;
    }
    out.push(b'"');
    Ok(())
}

/// How many bytes there are before the first that JSON forbids inside a string as it is.
pub(super) fn plain_length(text: &[u8]) -> usize {
    // 16 at once, without a branch in between: the compiler makes vector instructions of it
    let (chunks, _) = text.as_chunks::<16>();
    let is_plain = |chunk: &&[u8; 16]| !chunk.iter().fold(false, |found, byte| found | is_special(*byte));
    let plain = 16 * chunks.iter().take_while(is_plain).count();
    plain + text.iter().skip(plain).take_while(|byte| !is_special(**byte)).count()
}

/// Whether JSON forbids the byte inside a string as it is (RFC 8259, section 7).
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape(byte: u8) -> &'static str {
    match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        control => CONTROLS.get(usize::from(control)).copied().unwrap_or_default(),
    }
}

#[rustfmt::skip]
const CONTROLS: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007",
    "\\b", "\\t", "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f",
    "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017",
    "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> String {
        let mut out = String::new();
        write_string(&mut out, text);
        let mut bytes = Vec::new();
        write_quoted(&mut bytes, text.as_bytes(), usize::MAX).unwrap();
        assert_eq!(out.as_bytes(), bytes);
        out
    }

    #[test]
    fn every_ascii_byte_is_escaped_as_postgresql_escapes_it() {
        let ascii: String = (1..=127_u8).map(char::from).collect();
        // select to_jsonb(string_agg(chr(i), '' order by i)) from generate_series(1, 127) i
        let expected = concat!(
            r#""\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013"#,
            r##"\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f !\"#$%&'()*+,-./0123456789:;<=>?"##,
            r#"@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"#,
            "\u{7f}\"",
        );
        assert_eq!(string(&ascii), expected);
    }

    #[test]
    fn what_is_beyond_ascii_stays_as_it_is() {
        assert_eq!(string("é\u{2028}🐘/<"), "\"é\u{2028}🐘/<\"");
        assert_eq!(string(""), r#""""#);
    }

    #[test]
    fn an_escape_may_stand_anywhere() {
        for at in 0..40 {
            let (before, after) = ("é".repeat(at), "x".repeat(40 - at));
            assert_eq!(string(&format!("{before}\n{after}\"")), format!(r#""{before}\n{after}\"""#));
        }
    }
}
