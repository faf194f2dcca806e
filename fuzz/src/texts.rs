//! Texts of values, and of event ids.

use std::sync::Arc;

use serde_json::Value;
use tidewire::json::{Attribute, Shape, parse_text_array};
use tidewire::position::{EventId, Lsn};

use super::json::{is_json, written};

/// The first byte chooses elements and delimiter, the rest is an array's text. An array of texts, written as PostgreSQL
/// would and read again, is the same; a flat one is to the reader of keys what it is in JSON.
pub fn array(bytes: &[u8]) {
    let Some((&choice, text)) = bytes.split_first() else { return };
    let delimiter = if choice & 0x80 == 0 { b',' } else { b';' };
    let of = |element| Shape::Array { element: Arc::new(element), delimiter };
    match choice & 0x7f {
        1 => drop(written(&of(Shape::Number), text)),
        2 => drop(written(&of(pair()), text)),
        3 => drop(written(&of(of(Shape::Text)), text)),
        4 => drop(written(&of(Shape::Json), text)),
        _ => {
            let json = written(&of(Shape::Text), text);
            if let Some(json) = &json {
                let value: Value = serde_json::from_str(json).expect("JSON");
                let again = array_text(&value, delimiter as char);
                assert_eq!(written(&of(Shape::Text), again.as_bytes()).as_ref(), Some(json));
            }
            let Ok(text) = str::from_utf8(text) else { return };
            let flat = written(&Shape::array_of(Shape::Text), text.as_bytes())
                .and_then(|json| serde_json::from_str::<Vec<Option<String>>>(&json).ok());
            assert_eq!(parse_text_array(text).ok(), flat);
        }
    }
}

/// The first byte chooses how many fields there are and of what, the rest is a composite's text. One of texts, written as
/// PostgreSQL would and read again, is the same.
pub fn composite(bytes: &[u8]) {
    let Some((&choice, text)) = bytes.split_first() else { return };
    let field = match choice >> 6 {
        1 => pair(),
        2 => Shape::array_of(pair()),
        3 => Shape::Number,
        _ => Shape::Text,
    };
    let is_text = field == Shape::Text;
    let shape = of(std::iter::repeat_n(field, usize::from(choice & 0x3f)));
    let json = written(&shape, text);
    if let Some(json) = json.filter(|_| is_text) {
        let value: Value = serde_json::from_str(&json).expect("JSON");
        let fields = value.as_object().expect("an object").values().map(|field| match field {
            Value::String(text) => format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\"\"")),
            _ => String::new(),
        });
        let again = format!("({})", fields.collect::<Vec<_>>().join(","));
        assert_eq!(written(&shape, again.as_bytes()), Some(json));
    }
}

/// The first bytes make a shape, the rest is a value's text. What is JSON already says the same afterwards.
pub fn value(bytes: &[u8]) {
    let mut rest = bytes;
    let shape = shape(&mut rest, 70);
    let json = written(&shape, rest);
    let text = str::from_utf8(rest).ok();
    match (&shape, text) {
        (Shape::Json | Shape::Jsonb, Some(text)) => {
            assert_eq!(json.is_some(), is_json(text), "JSON to one of two");
            if let Some(json) = json {
                assert_eq!(written(&shape, json.as_bytes()).as_ref(), Some(&json));
            }
        }
        (Shape::Number, Some(text)) => match json {
            Some(json) if !json.starts_with('"') => {
                assert_eq!(json.parse::<f64>(), text.parse::<f64>(), "{text}");
                assert_eq!(written(&shape, json.as_bytes()).as_ref(), Some(&json), "it is as plain as it gets");
            }
            Some(json) => assert_eq!(json, format!("\"{text}\"")),
            None => {
                assert!(!is_json(text) || text.contains(['e', 'E', '"', '[', '{', ' ', '\t', '\n', '\r', 'a', 'u']))
            }
        },
        (Shape::Text, Some(text)) => {
            let json = json.expect("any text");
            assert_eq!(serde_json::from_str::<String>(&json).expect("a string"), text);
        }
        _ => {}
    }
}

/// An event id and a position in the WAL are read from the one spelling that is written, and the texts' order is theirs.
pub fn event_id(bytes: &[u8]) {
    if let Some((lsn, number)) = bytes.first_chunk().zip(bytes.last_chunk()) {
        let id = EventId { lsn: Lsn(u64::from_be_bytes(*lsn)), number: u32::from_be_bytes(*number) };
        assert_eq!(id.to_string().parse::<EventId>().ok(), Some(id));
        assert_eq!(id.lsn.to_string().parse::<Lsn>().ok(), Some(id.lsn));
        assert_eq!(id.to_string().len(), EventId::TEXT_LEN);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    let parsed: Vec<(&str, EventId)> =
        text.split('\n').filter_map(|line| Some((line, line.parse::<EventId>().ok()?))).collect();
    for (text, id) in &parsed {
        assert_eq!(id.to_string(), *text);
    }
    for pair in parsed.windows(2) {
        assert_eq!(pair[0].0.cmp(pair[1].0), pair[0].1.cmp(&pair[1].1));
    }
    for line in text.split('\n') {
        // pg_lsn_in (src/backend/utils/adt/pg_lsn.c): up to eight digits on either side
        let is_half = |half: &str| (1..=8).contains(&half.len()) && half.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_lsn = line.split_once('/').is_some_and(|(high, low)| is_half(high) && is_half(low));
        assert_eq!(line.parse::<Lsn>().is_ok(), is_lsn, "{line}");
    }
}

fn pair() -> Shape {
    of([Shape::Number, Shape::Text])
}

fn of(fields: impl IntoIterator<Item = Shape>) -> Shape {
    let named = fields.into_iter().enumerate();
    Shape::Composite(named.map(|(at, shape)| Attribute::new(&format!("a{at}"), shape)).collect())
}

/// The shape that bytes describe, no deeper than `depth`.
fn shape(bytes: &mut &[u8], depth: usize) -> Shape {
    let Some((&choice, rest)) = bytes.split_first() else { return Shape::Text };
    *bytes = rest;
    match choice & 0x0f {
        0 => Shape::Text,
        1 => Shape::Bool,
        2 => Shape::Number,
        3 => Shape::Json,
        4 => Shape::Jsonb,
        5 => Shape::Timestamp,
        6 => Shape::TimestampTz,
        7 => Shape::Hstore,
        8 if depth > 0 => Shape::array_of(shape(bytes, depth - 1)),
        9 if depth > 0 => Shape::Array { element: Arc::new(shape(bytes, depth - 1)), delimiter: b';' },
        10 if depth > 0 => Shape::Vector(Arc::new(shape(bytes, depth - 1))),
        11 if depth > 0 => of((0..choice >> 4).map(|_| shape(bytes, depth - 1)).collect::<Vec<_>>()),
        12 => Shape::builtin(u32::from(choice >> 4) * 3 + 16).unwrap_or(Shape::Text),
        _ => Shape::Text,
    }
}

fn array_text(value: &Value, delimiter: char) -> String {
    match value {
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| array_text(element, delimiter)).collect();
            format!("{{{}}}", elements.join(&delimiter.to_string()))
        }
        Value::String(text) => format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#)),
        _ => "NULL".to_owned(),
    }
}
