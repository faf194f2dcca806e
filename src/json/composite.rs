//! The text of a composite value, as `record_out` (`src/backend/utils/adt/rowtypes.c`) writes it.

use super::malformed::Malformed;
use super::quoted::{QuoteInside, read_quoted};

/// Walks through a composite's text, field by field. How many there are the text does not say (`()` is one NULL, or
/// nothing at all), so the caller asks for as many as the type has.
pub(super) struct CompositeText<'a> {
    length: usize,
    rest: &'a [u8],
    first: bool,
    scratch: Vec<u8>,
}

/// A field: where its text begins, and its unescaped text.
pub(super) struct Field<'a> {
    pub(super) at: usize,
    pub(super) text: &'a [u8],
}

impl<'a> CompositeText<'a> {
    pub(super) fn open(text: &'a [u8]) -> Result<Self, Malformed> {
        match text {
            [b'(', rest @ ..] => Ok(CompositeText { length: text.len(), rest, first: true, scratch: Vec::new() }),
            _ => Err(Malformed::new("composite", 0, "expected an opening parenthesis")),
        }
    }

    /// The next field; `None` for NULL. A field that is not there is NULL too: the value is older than the type's last attribute.
    pub(super) fn field(&mut self) -> Result<Option<Field<'_>>, Malformed> {
        if !std::mem::replace(&mut self.first, false) {
            match self.rest {
                [b',', rest @ ..] => self.rest = rest,
                b")" => return Ok(None),
                _ => return Err(self.malformed("expected a comma or a closing parenthesis")),
            }
        }
        let at = self.length - self.rest.len();
        if let [b'"', rest @ ..] = self.rest {
            let Some((text, rest)) = read_quoted(rest, QuoteInside::Doubled, &mut self.scratch) else {
                return Err(Malformed::new("composite", at, "unterminated quote"));
            };
            self.rest = rest;
            return Ok(Some(Field { at, text }));
        }
        let end = self.rest.iter().position(|byte| matches!(byte, b',' | b')' | b'(' | b'"' | b'\\'));
        match self.rest.split_at_checked(end.unwrap_or(self.rest.len())) {
            None | Some(([], _)) => Ok(None),
            Some((text, rest)) => {
                self.rest = rest;
                Ok(Some(Field { at, text }))
            }
        }
    }

    /// Checks that nothing is left.
    pub(super) fn close(self) -> Result<(), Malformed> {
        match self.rest {
            b")" => Ok(()),
            [b',', ..] => Err(self.malformed("too many fields")),
            [b')', ..] => Err(self.malformed("junk after the closing parenthesis")),
            _ => Err(self.malformed("expected a comma or a closing parenthesis")),
        }
    }

    fn malformed(&self, reason: &'static str) -> Malformed {
        Malformed::new("composite", self.length - self.rest.len(), reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str, count: usize) -> Result<Vec<Option<String>>, Malformed> {
        let mut composite = CompositeText::open(text.as_bytes())?;
        let mut fields = Vec::new();
        for _ in 0..count {
            let field = composite.field()?;
            fields.push(field.map(|field| String::from_utf8(field.text.to_vec()).unwrap()));
        }
        composite.close()?;
        Ok(fields)
    }

    #[test]
    fn nothing_is_null_and_quoted_nothing_is_empty() {
        let empty = Some(String::new());
        assert_eq!(fields("(,)", 2).unwrap(), [None, None]);
        assert_eq!(fields(r#"(,"")"#, 2).unwrap(), [None, empty.clone()]);
        assert_eq!(fields("()", 1).unwrap(), [None]);
        assert_eq!(fields(r#"("")"#, 1).unwrap(), [empty]);
        assert_eq!(fields("()", 0).unwrap(), []);
    }

    #[test]
    fn doubled_quotes_and_backslashes_are_undone() {
        let text = "(1,\"a\"\"b\\\\c,(d) \n\")";
        assert_eq!(fields(text, 2).unwrap(), [Some("1".into()), Some("a\"b\\c,(d) \n".into())]);
    }

    #[test]
    fn null_the_word_is_a_text() {
        assert_eq!(fields("(NULL)", 1).unwrap(), [Some("NULL".into())]);
    }

    #[test]
    fn what_is_older_than_the_last_attributes_has_null_for_them() {
        assert_eq!(fields("(1)", 3).unwrap(), [Some("1".into()), None, None]);
        assert_eq!(fields("()", 2).unwrap(), [None, None]);
    }

    #[test]
    fn texts_that_record_out_cannot_have_written_are_refused() {
        for (text, at) in [
            ("", 0),
            ("1,2)", 0),
            ("(", 1),
            ("(1", 2),
            ("(1,2", 4),
            ("(1,2,3)", 4),
            ("(1,2)x", 4),
            (r#"(1,"2)"#, 3),
            (r#"(1,"2"x)"#, 6),
            ("(1,(2))", 3),
            (r"(1,a\b)", 4),
        ] {
            assert_eq!(fields(text, 2).unwrap_err().at, at, "{text}");
        }
    }
}
