//! Values: every shape's way into JSON.

use super::array::{ArrayText, Item};
use super::compact::{Compact, write_compact};
use super::composite::CompositeText;
use super::datetime::write_timestamp;
use super::escape::write_quoted;
use super::hstore::write_hstore;
use super::malformed::{Malformed, Unwritten};
use super::number::write_number;
use super::shape::{Attribute, Shape};

/// How deep arrays and composites may lie in one another. Every level doubles the quotes of those inside it, so 1 GB,
/// PostgreSQL's limit for a value, ends near 30 levels.
const MAX_DEPTH: usize = 64;

/// Appends the JSON of `text`, which is the text output of a value whose type has this `shape`: what `to_jsonb` of the
/// value gives (`datum_to_jsonb`, `src/backend/utils/adt/jsonb.c`). SQL NULL has no text; its JSON is `null`, and the
/// caller's to write.
///
/// `most` is how long `out` may become. It is looked at as the parts are written, so that a value whose JSON explodes costs no
/// more than that: a composite's names come with each element of an array of it.
///
/// On error `out` is left as it was before.
pub fn write_value(out: &mut Vec<u8>, shape: &Shape, text: &[u8], most: usize) -> Result<(), Unwritten> {
    if let Err(error) = str::from_utf8(text) {
        return Err(Malformed::new(shape.name(), error.valid_up_to(), "not UTF-8").into());
    }
    let start = out.len();
    let written = Limits { most, depth: MAX_DEPTH }.write(out, shape, text);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// How far writing may go.
#[derive(Clone, Copy)]
struct Limits {
    /// How long the output may become.
    most: usize,
    /// How many more levels of arrays and composites there may be.
    depth: usize,
}

impl Limits {
    /// [`write_value`] within these limits; `text` is known to be UTF-8.
    fn write(self, out: &mut Vec<u8>, shape: &Shape, text: &[u8]) -> Result<(), Unwritten> {
        match shape {
            Shape::Bool => Ok(write_bool(out, text)?),
            Shape::Number => Ok(write_number(out, text)?),
            Shape::Text => write_quoted(out, text, self.most),
            Shape::Json | Shape::Jsonb => self.json(out, text, shape.name()),
            Shape::Timestamp | Shape::TimestampTz => Ok(write_timestamp(out, text, shape.name())?),
            Shape::Hstore => write_hstore(out, text, self.most),
            Shape::Array { element, delimiter } => self.deeper(shape)?.array(out, element, *delimiter, text),
            Shape::Vector(element) => self.deeper(shape)?.vector(out, element, text),
            Shape::Composite(attributes) => self.deeper(shape)?.composite(out, attributes, text),
        }
    }

    fn deeper(self, shape: &Shape) -> Result<Self, Malformed> {
        let depth = self.depth.checked_sub(1).ok_or(Malformed::new(shape.name(), 0, "nested too deep"))?;
        Ok(Limits { depth, ..self })
    }

    fn room(self, out: &[u8]) -> Result<(), Unwritten> {
        if out.len() > self.most { Err(Unwritten::TooLong) } else { Ok(()) }
    }

    /// What is nested too deep is a string.
    fn json(self, out: &mut Vec<u8>, text: &[u8], shape: &'static str) -> Result<(), Unwritten> {
        let start = out.len();
        if start + text.len() > self.most {
            return Err(Unwritten::TooLong);
        }
        match write_compact(out, text, shape)? {
            Compact::Whole => Ok(()),
            Compact::TooDeep => {
                out.truncate(start);
                write_quoted(out, text, self.most)
            }
        }
    }

    /// `array_to_jsonb_internal`: dimensions are nested arrays, whatever their bounds.
    fn array(self, out: &mut Vec<u8>, element: &Shape, delimiter: u8, text: &[u8]) -> Result<(), Unwritten> {
        let mut items = ArrayText::new(text, delimiter);
        let mut first = true;
        while let Some(item) = items.next()? {
            self.room(out)?;
            if !first && item != Item::Close {
                out.push(b',');
            }
            first = item == Item::Open;
            match item {
                Item::Open => out.push(b'['),
                Item::Close => out.push(b']'),
                Item::Null => out.extend_from_slice(b"null"),
                Item::Element { at, text } => {
                    self.write(out, element, text).map_err(|error| error.within(at))?;
                }
            }
        }
        Ok(())
    }

    /// int2vector and oidvector are arrays to `to_jsonb` and lists with blanks to their output functions.
    fn vector(self, out: &mut Vec<u8>, element: &Shape, text: &[u8]) -> Result<(), Unwritten> {
        out.push(b'[');
        let mut at = 0;
        for item in text.split(|byte| *byte == b' ').filter(|_| !text.is_empty()) {
            self.room(out)?;
            if at > 0 {
                out.push(b',');
            }
            self.write(out, element, item).map_err(|error| error.within(at))?;
            at += item.len() + 1;
        }
        out.push(b']');
        Ok(())
    }

    /// `composite_to_jsonb`: an object, every attribute in it, NULL ones too.
    fn composite(self, out: &mut Vec<u8>, attributes: &[Attribute], text: &[u8]) -> Result<(), Unwritten> {
        let mut composite = CompositeText::open(text)?;
        let mut separator = b'{';
        for attribute in attributes {
            self.room(out)?;
            out.push(separator);
            separator = b',';
            out.extend_from_slice(attribute.label().as_bytes());
            match composite.field()? {
                None => out.extend_from_slice(b"null"),
                Some(field) => {
                    self.write(out, &attribute.shape, field.text).map_err(|error| error.within(field.at))?;
                }
            }
        }
        if attributes.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(composite.close()?)
    }
}

fn write_bool(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Malformed> {
    out.extend_from_slice(match text {
        b"t" => b"true",
        b"f" => b"false",
        _ => return Err(Malformed::new("boolean", 0, "neither t nor f")),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::json::compact::DEEPEST;

    fn json(shape: &Shape, text: &str) -> Result<String, Malformed> {
        match within(shape, text, usize::MAX) {
            Err(Unwritten::Malformed(malformed)) => Err(malformed),
            written => Ok(written.unwrap()),
        }
    }

    fn within(shape: &Shape, text: &str, most: usize) -> Result<String, Unwritten> {
        let mut out = b"before".to_vec();
        let most = most.saturating_add(out.len());
        let result = write_value(&mut out, shape, text.as_bytes(), most);
        let out = String::from_utf8(out).unwrap();
        let written = out.strip_prefix("before").unwrap().to_owned();
        if result.is_err() {
            assert_eq!(written, "", "an error leaves nothing behind");
        }
        result.map(|()| written)
    }

    fn composite<const N: usize>(attributes: [(&str, Shape); N]) -> Shape {
        Shape::Composite(attributes.map(|(name, shape)| Attribute::new(name, shape)).into())
    }

    fn pair() -> Shape {
        composite([("a", Shape::Number), ("b", Shape::Text)])
    }

    #[test]
    fn scalars_take_their_own_way() {
        for (shape, text, expected) in [
            (Shape::Bool, "t", "true"),
            (Shape::Bool, "f", "false"),
            (Shape::Number, "-12.50", "-12.50"),
            (Shape::Text, "it's \"ok\"\n", r#""it's \"ok\"\n""#),
            (Shape::Text, r"\xdead", r#""\\xdead""#),
            (Shape::Text, "", r#""""#),
            (Shape::Json, " [1, 2] ", "[1,2]"),
            (Shape::Jsonb, r#"{"a": "b c"}"#, r#"{"a":"b c"}"#),
            (Shape::Timestamp, "2020-01-01 08:00:00", r#""2020-01-01T08:00:00""#),
            (Shape::TimestampTz, "2020-01-01 08:00:00+00", r#""2020-01-01T08:00:00+00:00""#),
        ] {
            assert_eq!(json(&shape, text).unwrap(), expected, "{shape:?}");
        }
    }

    #[test]
    fn arrays_nest_as_their_dimensions_do() {
        let numbers = Shape::array_of(Shape::Number);
        assert_eq!(json(&numbers, "{}").unwrap(), "[]");
        assert_eq!(json(&numbers, "[-1:0][2:3]={{1,2},{3,NULL}}").unwrap(), "[[1,2],[3,null]]");
        let texts = Shape::array_of(Shape::Text);
        assert_eq!(json(&texts, r#"{"","NULL",NULL,"q\"\\",é}"#).unwrap(), r#"["","NULL",null,"q\"\\","é"]"#);
        let boxes = Shape::Array { element: Arc::new(Shape::Text), delimiter: b';' };
        assert_eq!(json(&boxes, "{(3,4),(1,2);NULL}").unwrap(), r#"["(3,4),(1,2)",null]"#);
        let stamps = Shape::array_of(Shape::TimestampTz);
        let text = r#"{"2020-01-01 00:00:00+00",infinity}"#;
        assert_eq!(json(&stamps, text).unwrap(), r#"["2020-01-01T00:00:00+00:00","infinity"]"#);
        let jsons = Shape::array_of(Shape::Json);
        assert_eq!(json(&jsons, r#"{"{\"a\": [1,2]}","null",NULL}"#).unwrap(), r#"[{"a":[1,2]},null,null]"#);
    }

    #[test]
    fn vectors_are_arrays() {
        let int2vector = Shape::Vector(Arc::new(Shape::Number));
        assert_eq!(json(&int2vector, "1 2 3").unwrap(), "[1,2,3]");
        assert_eq!(json(&int2vector, "").unwrap(), "[]");
        let oidvector = Shape::Vector(Arc::new(Shape::Text));
        assert_eq!(json(&oidvector, "1 2").unwrap(), r#"["1","2"]"#);
        assert_eq!(json(&Shape::array_of(int2vector), r#"{"1 2",3,""}"#).unwrap(), "[[1,2],[3],[]]");
    }

    #[test]
    fn composites_are_objects() {
        assert_eq!(json(&pair(), "(1,)").unwrap(), r#"{"a":1,"b":null}"#);
        assert_eq!(json(&pair(), r#"(,"")"#).unwrap(), r#"{"a":null,"b":""}"#);
        assert_eq!(json(&composite([]), "()").unwrap(), "{}");
        assert_eq!(json(&composite([("x", Shape::Text)]), "()").unwrap(), r#"{"x":null}"#);
        assert_eq!(json(&composite([("k\"ey", Shape::Bool)]), "(t)").unwrap(), r#"{"k\"ey":true}"#);
    }

    #[test]
    fn composites_and_arrays_nest() {
        let outer =
            composite([("Key one", pair()), ("list", Shape::array_of(Shape::Number)), ("at", Shape::TimestampTz)]);
        let text = r#"("(1,""x""""y"")","{1,NULL}","2020-01-01 00:00:00+00")"#;
        let expected = r#"{"Key one":{"a":1,"b":"x\"y"},"list":[1,null],"at":"2020-01-01T00:00:00+00:00"}"#;
        assert_eq!(json(&outer, text).unwrap(), expected);
        let pairs = Shape::array_of(pair());
        let text = "{\"(1,\\\"a\\\"\\\"b\\\\\\\\c,(d) \n\\\")\",NULL}";
        assert_eq!(json(&pairs, text).unwrap(), r#"[{"a":1,"b":"a\"b\\c,(d) \n"},null]"#);
        let lists = Shape::array_of(Shape::array_of(Shape::Number));
        assert_eq!(json(&lists, r#"{"{1,2}","{3}","[0:1]={4,NULL}"}"#).unwrap(), "[[1,2],[3],[4,null]]");
    }

    #[test]
    fn errors_name_the_innermost_shape_and_the_outermost_place() {
        let error = json(&Shape::array_of(pair()), r#"{"(1,)","(x,)"}"#).unwrap_err();
        assert_eq!((error.shape, error.at), ("number", 8));
        let error = json(&Shape::Vector(Arc::new(Shape::Number)), "1 x").unwrap_err();
        assert_eq!((error.shape, error.at), ("number", 2));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        let mut out = Vec::new();
        let Err(Unwritten::Malformed(error)) = write_value(&mut out, &Shape::Text, b"ab\xff", 10) else { panic!() };
        assert_eq!((error.at, out.len()), (2, 0));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| (0..levels).fold(Shape::Number, |shape, _| Shape::Vector(Arc::new(shape)));
        assert_eq!(json(&nested(MAX_DEPTH), "1").unwrap(), format!("{}1{}", "[".repeat(64), "]".repeat(64)));
        assert_eq!(json(&nested(MAX_DEPTH + 1), "1").unwrap_err().reason, "nested too deep");
    }

    #[test]
    fn json_nested_deeper_than_readers_go_is_a_string() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(json(&Shape::Json, &nested(DEEPEST)).unwrap(), nested(DEEPEST));
        assert_eq!(json(&Shape::Jsonb, &nested(DEEPEST + 1)).unwrap(), format!("\"{}\"", nested(DEEPEST + 1)));
        let text = format!("({},\"{}\")", nested(1), nested(DEEPEST + 1));
        let both = composite([("a", Shape::Json), ("b", Shape::Json)]);
        let expected = format!("{{\"a\":[],\"b\":\"{}\"}}", nested(DEEPEST + 1));
        assert_eq!(json(&both, &text).unwrap(), expected, "the rest is as it was");
    }

    #[test]
    fn writing_stops_where_there_is_no_more_room() {
        let wide: Vec<Attribute> = (0..1000).map(|at| Attribute::new(&format!("{at:060}"), Shape::Number)).collect();
        let wides = Shape::array_of(Shape::Composite(wide.into()));
        let one = format!("\"({})\"", ",".repeat(999));
        let many = format!("{{{}}}", [one.as_str(); 1000].join(","));
        let floats = format!("{{{}}}", ["1e308"; 100_000].join(","));
        let controls = "\u{1}".repeat(1_000_000);
        let keys = ["\"k\"=>\"\u{1}\u{1}\u{1}\u{1}\""; 100_000].join(", ");
        let vector = ["1e308"; 100_000].join(" ");
        for (shape, text) in [
            (&wides, &many),
            (&Shape::array_of(Shape::Number), &floats),
            (&Shape::Vector(Arc::new(Shape::Number)), &vector),
            (&Shape::Text, &controls),
            (&Shape::Hstore, &keys),
        ] {
            const MOST: usize = 2_000_000;
            let mut out = Vec::new();
            assert_eq!(write_value(&mut out, shape, text.as_bytes(), MOST), Err(Unwritten::TooLong), "{shape:.20?}");
            assert!(out.is_empty() && out.capacity() <= 3 * MOST, "{} bytes", out.capacity());
        }
        assert_eq!(within(&Shape::Text, "abc", 5).unwrap(), "\"abc\"");
        assert_eq!(within(&Shape::Json, "[1]", 2), Err(Unwritten::TooLong));
    }
}
