//! Properties that need no database: hostile bytes, and values written and read back.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{Attribute, Shape, parse_text_array, write_string, write_value};

/// A value of some type, from which both its text output and its JSON follow.
#[derive(Debug, Clone)]
enum Value {
    Null,
    Bool(bool),
    Float(f64),
    Text(String),
    Array(Vec<Value>),
    Composite(Vec<Value>),
}

fn scalar_shape() -> impl Strategy<Value = Shape> {
    prop::sample::select(vec![
        Shape::Bool,
        Shape::Number,
        Shape::Text,
        Shape::Json,
        Shape::Jsonb,
        Shape::Timestamp,
        Shape::TimestampTz,
        Shape::Hstore,
    ])
}

fn any_shape() -> impl Strategy<Value = Shape> {
    scalar_shape().prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec![b',', b';']))
                .prop_map(|(element, delimiter)| Shape::Array { element: Arc::new(element), delimiter }),
            inner.clone().prop_map(|element| Shape::Vector(Arc::new(element))),
            prop::collection::vec(inner, 0..4).prop_map(composite),
        ]
    })
}

fn composite(shapes: Vec<Shape>) -> Shape {
    let attribute = |(number, shape)| Attribute::new(&format!("a{number}"), shape);
    Shape::Composite(shapes.into_iter().enumerate().map(attribute).collect())
}

/// Texts made of the bytes that mean something to one of the readers.
fn telling_text() -> impl Strategy<Value = Vec<u8>> {
    let marks = r#"{ } ( ) [ ] , ; : = " "" \ - + ."#;
    let words = r"0 1 12 e E+ t f NULL null true a é NaN infinity 2020-01-01 08:00:00 +00 [0:1]= \u00e9";
    let pieces: Vec<&str> = marks.split(' ').chain(words.split(' ')).chain([" ", "\n", " BC"]).collect();
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

/// A shape with a value of it.
fn shaped_value() -> impl Strategy<Value = (Shape, Value)> {
    let shape = prop::sample::select(vec![Shape::Bool, Shape::Number, Shape::Text]).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![inner.clone().prop_map(Shape::array_of), prop::collection::vec(inner, 0..4).prop_map(composite),]
    });
    shape.prop_flat_map(|shape| (Just(shape.clone()), value_of(&shape)))
}

fn value_of(shape: &Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Shape::Number => any::<i32>().prop_map(|number| Value::Float(f64::from(number) / 8.0)).boxed(),
        Shape::Array { element, .. } => prop::collection::vec(nullable(element), 0..4).prop_map(Value::Array).boxed(),
        Shape::Composite(attributes) => {
            let fields: Vec<_> = attributes.iter().map(|attribute| nullable(&attribute.shape)).collect();
            fields.prop_map(Value::Composite).boxed()
        }
        _ => prop_oneof![any::<String>(), "[a\"\\\\{},() \n]{0,8}", Just("NULL".to_owned())]
            .prop_map(Value::Text)
            .boxed(),
    }
}

fn nullable(shape: &Shape) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 4 => value_of(shape)].boxed()
}

/// What an output function would write. Quoting where PostgreSQL need not is within its own grammar.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => unreachable!("NULL has no text"),
        Value::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
        Value::Float(value) => format!("{value:e}"),
        Value::Text(text) => text.clone(),
        Value::Array(elements) => {
            let element = |value: &Value| match value {
                Value::Null => "NULL".to_owned(),
                value => format!("\"{}\"", text_of(value).replace('\\', r"\\").replace('"', r#"\""#)),
            };
            format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(","))
        }
        Value::Composite(fields) => {
            let field = |value: &Value| match value {
                Value::Null => String::new(),
                value => format!("\"{}\"", text_of(value).replace('\\', r"\\").replace('"', r#""""#)),
            };
            format!("({})", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
    }
}

fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Array(elements) => elements.iter().map(json_of).collect(),
        Value::Composite(fields) => {
            let field = |(number, value)| (format!("a{number}"), json_of(value));
            serde_json::Value::Object(fields.iter().enumerate().map(field).collect())
        }
    }
}

/// Whether two JSON values are one, numbers by what they count.
fn same(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_f64() == right.as_f64(),
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|((lk, l), (rk, r))| lk == rk && same(l, r))
        }
        (left, right) => left == right,
    }
}

fn check_written(shape: &Shape, text: &[u8]) -> Result<(), TestCaseError> {
    let mut out = b"before".to_vec();
    match write_value(&mut out, shape, text, usize::MAX) {
        Err(_) => prop_assert_eq!(out, b"before"),
        Ok(()) => {
            let written = out.strip_prefix(b"before").unwrap();
            // RawValue: PostgreSQL takes escapes, depths and magnitudes that serde_json's own values cannot hold
            prop_assert!(serde_json::from_slice::<&RawValue>(written).is_ok(), "{}", String::from_utf8_lossy(written));
            prop_assert!(!written.contains(&b'\n'), "an event is one line");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_json_or_an_error(shape in any_shape(), text in prop::collection::vec(any::<u8>(), 0..64)) {
        check_written(&shape, &text)?;
    }

    #[test]
    fn telling_texts_are_json_or_an_error(shape in any_shape(), text in telling_text()) {
        check_written(&shape, &text)?;
    }

    #[test]
    fn damaged_texts_are_json_or_an_error(
        (shape, value) in shaped_value(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut text = text_of(&value).into_bytes();
        if !text.is_empty() {
            let at = at.index(text.len());
            text[at] = byte;
        }
        check_written(&shape, &text)?;
    }

    #[test]
    fn values_come_back_as_they_were((shape, value) in shaped_value()) {
        let mut out = Vec::new();
        write_value(&mut out, &shape, text_of(&value).as_bytes(), usize::MAX).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        prop_assert!(same(&read, &json_of(&value)), "{read}");
    }

    #[test]
    fn floats_keep_every_digit(value in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
        let mut out = Vec::new();
        write_value(&mut out, &Shape::Number, format!("{value:e}").as_bytes(), usize::MAX).unwrap();
        let written = String::from_utf8(out).unwrap();
        prop_assert!(!written.contains('e'));
        prop_assert_eq!(written.parse::<f64>().unwrap(), value);
    }

    #[test]
    fn strings_come_back_as_they_were(text in any::<String>()) {
        let mut out = String::new();
        write_string(&mut out, &text);
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }

    #[test]
    fn compacting_changes_no_value(depth in 0..4_usize, words in prop::collection::vec(any::<String>(), 1..6)) {
        let mut json = serde_json::json!(words);
        for _ in 0..depth {
            json = serde_json::json!({ "": json, "a b": 1.5, "n": null });
        }
        let mut out = Vec::new();
        let pretty = serde_json::to_string_pretty(&json).unwrap();
        write_value(&mut out, &Shape::Json, pretty.as_bytes(), usize::MAX).unwrap();
        prop_assert_eq!(String::from_utf8(out).unwrap(), json.to_string());
    }

    #[test]
    fn text_arrays_come_back_as_they_were(elements in prop::collection::vec(prop::option::of(any::<String>()), 0..5)) {
        let value = |element: &Option<String>| element.clone().map_or(Value::Null, Value::Text);
        let text = text_of(&Value::Array(elements.iter().map(value).collect()));
        prop_assert_eq!(parse_text_array(&text).unwrap(), elements);
    }

    #[test]
    fn text_arrays_never_panic(text in telling_text()) {
        let _ = parse_text_array(&String::from_utf8(text).unwrap());
    }
}
