//! JSON strings.

/// Appends `text` as a JSON string, escaped exactly as PostgreSQL does it (`escape_json`,
/// `src/backend/utils/adt/json.c`): `\b \f \n \r \t \" \\`, `\u00xx` for the other bytes below 0x20, everything else
/// as it is.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    write_quoted(out, text.as_bytes());
}

/// [`write_string`] for bytes that are known to be UTF-8.
pub(super) fn write_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    for run in text.split_inclusive(|byte| is_special(*byte)) {
        match run.split_last() {
            Some((last, plain)) if is_special(*last) => {
                out.extend_from_slice(plain);
                write_escape(out, *last);
            }
            _ => out.extend_from_slice(run),
        }
    }
    out.push(b'"');
}

/// Whether JSON forbids the byte inside a string as it is (RFC 8259, section 7).
pub(super) fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'"' | b'\\' => byte,
        _ => {
            let digit = byte & 0x0f;
            let low = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text);
        String::from_utf8(out).unwrap()
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
}
