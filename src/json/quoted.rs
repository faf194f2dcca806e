//! Quoted parts, which array and composite texts have in common.

/// How a quote is written inside quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuoteInside {
    /// As `\"` alone: `array_out`.
    Escaped,
    /// As `""`, or `\"` too: `record_out` writes the first, `record_in` reads both.
    Doubled,
}

/// Reads a quoted part whose opening quote is already behind: its content, and what follows the closing quote; `None` if
/// none closes it.
///
/// The content is a slice of `text` where nothing in it is escaped, and is otherwise brought together in `scratch`.
pub(super) fn read_quoted<'t: 's, 's>(
    text: &'t [u8],
    inside: QuoteInside,
    scratch: &'s mut Vec<u8>,
) -> Option<(&'s [u8], &'t [u8])> {
    let mut rest = text;
    let mut copied = false;
    loop {
        let mark = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (plain, [mark, tail @ ..]) = rest.split_at_checked(mark)? else { return None };
        let (literal, after) = match (mark, tail) {
            (b'"', [b'"', after @ ..]) if inside == QuoteInside::Doubled => (b'"', after),
            (b'"', _) if !copied => return Some((plain, tail)),
            (b'"', _) => {
                scratch.extend_from_slice(plain);
                return Some((scratch, tail));
            }
            (_, [literal, after @ ..]) => (*literal, after),
            (_, []) => return None,
        };
        if !copied {
            scratch.clear();
            copied = true;
        }
        scratch.extend_from_slice(plain);
        scratch.push(literal);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, inside: QuoteInside) -> Option<(String, String)> {
        let mut scratch = b"left over".to_vec();
        let (content, rest) = read_quoted(text.as_bytes(), inside, &mut scratch)?;
        Some((String::from_utf8(content.to_vec()).unwrap(), String::from_utf8(rest.to_vec()).unwrap()))
    }

    #[test]
    fn the_content_ends_at_the_closing_quote() {
        assert_eq!(read(r#"a b","c""#, QuoteInside::Escaped), Some(("a b".into(), r#","c""#.into())));
        assert_eq!(read(r#"",x"#, QuoteInside::Doubled), Some((String::new(), ",x".into())));
    }

    #[test]
    fn a_backslash_takes_the_next_byte_as_it_is() {
        assert_eq!(read(r#"a\"b\\é\é",x"#, QuoteInside::Escaped), Some((r#"a"b\éé"#.into(), ",x".into())));
    }

    #[test]
    fn a_doubled_quote_is_one_quote_in_composites_alone() {
        assert_eq!(read(r#"a""b")"#, QuoteInside::Doubled), Some((r#"a"b"#.into(), ")".into())));
        assert_eq!(read(r#"a""b""#, QuoteInside::Escaped), Some(("a".into(), r#""b""#.into())));
    }

    #[test]
    fn an_open_quote_is_no_content() {
        for text in ["", "a", r"a\", r#"a\""#] {
            assert_eq!(read(text, QuoteInside::Escaped), None, "{text}");
        }
        assert_eq!(read(r#"a"""#, QuoteInside::Doubled), None);
    }
}
