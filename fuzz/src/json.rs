//! What holds of all JSON that is written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidewire::json::{Shape, Unwritten, write_value};

/// The JSON of a value's text, or `None` if it is refused: which leaves nothing behind.
pub fn written(shape: &Shape, text: &[u8]) -> Option<String> {
    let mut out = b"before".to_vec();
    let result = write_value(&mut out, shape, text, usize::MAX);
    let json = out.strip_prefix(b"before").expect("what was there stays");
    if let Err(unwritten) = result {
        assert!(json.is_empty(), "{unwritten}");
        let Unwritten::Malformed(malformed) = unwritten else { panic!("there is room for anything") };
        assert!(malformed.at <= text.len(), "{malformed}");
        return None;
    }
    // 1e999 is a thousand bytes: no other five bytes are more
    assert!(json.len() <= (text.len() + 1) * (250 + weight(shape)), "{} bytes of {}", json.len(), text.len());
    let json = str::from_utf8(json).expect("UTF-8").to_owned();
    assert_json(&json);
    Some(json)
}

/// One JSON text in one line.
pub fn assert_json(json: &str) {
    assert!(is_json(json), "{json}");
    assert!(!json.contains(['\n', '\r']), "an event is one line: {json}");
}

/// Whether it is JSON by its grammar: PostgreSQL takes depths, numbers and escapes that `serde_json`'s own values cannot hold.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// An object's members; of a name that comes twice the last.
pub fn members(object: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(object).unwrap_or_else(|error| panic!("{error}: {object}"))
}

/// A string: `escape_json` and `serde_json` spell them alike.
pub fn string(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

/// The bytes that a shape writes by itself where its text has one.
fn weight(shape: &Shape) -> usize {
    match shape {
        Shape::Array { element, .. } | Shape::Vector(element) => 3 + weight(element),
        Shape::Composite(attributes) => {
            2 + attributes.iter().map(|of| of.label().len() + 8 + weight(&of.shape)).sum::<usize>()
        }
        _ => 8,
    }
}
