//! The text of an array, as `array_out` (`src/backend/utils/adt/arrayfuncs.c`) writes it.

use super::malformed::Malformed;
use super::quoted::{QuoteInside, read_quoted};

/// PostgreSQL's limit on an array's dimensions (`MAXDIM`, `src/include/utils/array.h`).
const MAX_DIMENSIONS: usize = 6;

/// What comes next in an array's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A dimension opens.
    Open,
    /// A dimension closes.
    Close,
    /// An element that is NULL.
    Null,
    /// An element: where its text begins, and its unescaped text.
    Element { at: usize, text: &'a [u8] },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Dimension,
    ItemOrClose,
    Item,
    DelimiterOrClose,
    End,
}

/// Walks through an array's text, item by item. Bounds in front of it are skipped: `to_jsonb` ignores them.
pub(super) struct ArrayText<'a> {
    length: usize,
    rest: &'a [u8],
    delimiter: u8,
    depth: usize,
    expect: Expect,
    scratch: Vec<u8>,
}

impl<'a> ArrayText<'a> {
    pub(super) fn new(text: &'a [u8], delimiter: u8) -> Self {
        let rest = skip_bounds(text).unwrap_or(text);
        ArrayText { length: text.len(), rest, delimiter, depth: 0, expect: Expect::Dimension, scratch: Vec::new() }
    }

    /// The next item, or `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Item<'_>>, Malformed> {
        if let (Expect::DelimiterOrClose, [byte, rest @ ..]) = (self.expect, self.rest)
            && *byte == self.delimiter
        {
            self.rest = rest;
            self.expect = Expect::Item;
        }
        match (self.expect, self.rest) {
            (Expect::End, []) => Ok(None),
            (Expect::End, _) => Err(self.malformed("junk after the closing brace")),
            (_, []) => Err(self.malformed("unexpected end")),
            (Expect::Dimension | Expect::ItemOrClose | Expect::Item, [b'{', rest @ ..]) => {
                if self.depth == MAX_DIMENSIONS {
                    return Err(self.malformed("too many dimensions"));
                }
                self.rest = rest;
                self.depth += 1;
                self.expect = Expect::ItemOrClose;
                Ok(Some(Item::Open))
            }
            (Expect::ItemOrClose | Expect::DelimiterOrClose, [b'}', rest @ ..]) => {
                self.rest = rest;
                self.depth -= 1;
                self.expect = if self.depth == 0 { Expect::End } else { Expect::DelimiterOrClose };
                Ok(Some(Item::Close))
            }
            (Expect::ItemOrClose | Expect::Item, _) => self.element().map(Some),
            (Expect::Dimension, _) => Err(self.malformed("expected an opening brace")),
            (Expect::DelimiterOrClose, _) => Err(self.malformed("expected a delimiter or a closing brace")),
        }
    }

    fn element(&mut self) -> Result<Item<'_>, Malformed> {
        let at = self.length - self.rest.len();
        self.expect = Expect::DelimiterOrClose;
        if let [b'"', rest @ ..] = self.rest {
            let Some((text, rest)) = read_quoted(rest, QuoteInside::Escaped, &mut self.scratch) else {
                return Err(Malformed::new("array", at, "unterminated quote"));
            };
            self.rest = rest;
            return Ok(Item::Element { at, text });
        }
        let ends = |byte: &u8| *byte == self.delimiter || matches!(byte, b'{' | b'}' | b'"' | b'\\');
        let end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        match self.rest.split_at_checked(end) {
            None | Some(([], _)) => Err(self.malformed("expected an element")),
            Some((text, rest)) => {
                self.rest = rest;
                // in any case: so does array_in, and array_out quotes a string that looks like it
                Ok(if text.eq_ignore_ascii_case(b"NULL") { Item::Null } else { Item::Element { at, text } })
            }
        }
    }

    fn malformed(&self, reason: &'static str) -> Malformed {
        Malformed::new("array", self.length - self.rest.len(), reason)
    }
}

/// What follows bounds such as `[0:2][-1:5]=`, which stand in front of an array that does not count from 1.
fn skip_bounds(text: &[u8]) -> Option<&[u8]> {
    if text.first() != Some(&b'[') {
        return None;
    }
    let end = text.iter().position(|byte| !matches!(byte, b'[' | b']' | b':' | b'-' | b'+' | b'0'..=b'9'))?;
    text.get(end..)?.strip_prefix(b"=")
}

/// The elements of a one-dimensional `text[]` literal, such as the key values that `event.subscription` holds:
/// `{a,"b c",NULL}`.
pub fn parse_text_array(text: &str) -> Result<Vec<Option<String>>, Malformed> {
    let mut items = ArrayText::new(text.as_bytes(), b',');
    let mut elements = Vec::new();
    let mut depth = 0;
    while let Some(item) = items.next()? {
        match item {
            Item::Open if depth > 0 => return Err(Malformed::new("array", 0, "more than one dimension")),
            Item::Open => depth += 1,
            Item::Close => {}
            Item::Null => elements.push(None),
            Item::Element { at, text } => {
                let text = String::from_utf8(text.to_vec()).map_err(|_| Malformed::new("array", at, "not UTF-8"))?;
                elements.push(Some(text));
            }
        }
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(text: &str, delimiter: u8) -> Result<String, Malformed> {
        let mut items = ArrayText::new(text.as_bytes(), delimiter);
        let mut seen = String::new();
        while let Some(item) = items.next()? {
            seen += &match item {
                Item::Open => "<".to_owned(),
                Item::Close => ">".to_owned(),
                Item::Null => "~ ".to_owned(),
                Item::Element { text, .. } => format!("{} ", str::from_utf8(text).unwrap()),
            };
        }
        Ok(seen)
    }

    #[test]
    fn dimensions_nest() {
        assert_eq!(walk("{}", b',').unwrap(), "<>");
        assert_eq!(walk("{1,2}", b',').unwrap(), "<1 2 >");
        assert_eq!(walk("{{1,2},{3,NULL}}", b',').unwrap(), "<<1 2 ><3 ~ >>");
    }

    #[test]
    fn bounds_are_skipped() {
        assert_eq!(walk("[0:2]={1,2,3}", b',').unwrap(), "<1 2 3 >");
        assert_eq!(walk("[-1:0][2:3]={{1,2},{3,4}}", b',').unwrap(), "<<1 2 ><3 4 >>");
        assert!(walk("[0:2]{1}", b',').is_err());
        assert!(walk("[0:2]", b',').is_err());
    }

    #[test]
    fn the_delimiter_is_the_types_own() {
        assert_eq!(walk("{(3,4),(1,2);NULL;(3,5),(1,2)}", b';').unwrap(), "<(3,4),(1,2) ~ (3,5),(1,2) >");
    }

    #[test]
    fn quotes_keep_what_would_mean_something() {
        let text = r#"{"","NULL",NULL,"a b","q\"\\","{",",",;,(}"#;
        assert_eq!(walk(text, b',').unwrap(), r#"< NULL ~ a b q"\ { , ; ( >"#);
    }

    #[test]
    fn texts_that_array_out_cannot_have_written_are_refused() {
        for (text, at) in [
            ("", 0),
            ("1", 0),
            ("{", 1),
            ("{1", 2),
            ("{1,", 3),
            ("{1,}", 3),
            ("{,1}", 1),
            ("{1}x", 3),
            ("{1}{2}", 3),
            (r#"{"a}"#, 1),
            (r#"{"a"b}"#, 4),
            (r#"{a"b"}"#, 2),
            (r"{a\b}", 2),
            ("{a{b}}", 2),
            ("{{{{{{{1}}}}}}}", 6),
        ] {
            assert_eq!(walk(text, b',').unwrap_err().at, at, "{text}");
        }
    }

    #[test]
    fn a_text_array_gives_its_elements() {
        let some = |text: &str| Some(text.to_owned());
        let elements = parse_text_array(r#"{a,"b c",NULL,"NULL","é\"\\",""}"#).unwrap();
        assert_eq!(elements, [some("a"), some("b c"), None, some("NULL"), some(r#"é"\"#), some("")]);
        assert_eq!(parse_text_array("{}").unwrap(), []);
        assert!(parse_text_array("{{a},{b}}").is_err());
        assert!(parse_text_array("a").is_err());
    }
}
