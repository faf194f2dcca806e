//! The few ways in which a type's text output becomes JSON.

use std::sync::Arc;

use super::escape::write_string;

/// How a type's text output becomes JSON (PostgreSQL's `JsonTypeCategory`, `src/include/utils/jsonfuncs.h`).
///
/// A domain takes its base type's shape; enums, ranges, multiranges and every scalar type without a row of its own here
/// are [`Shape::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// `t` and `f` (`boolout`).
    Bool,
    /// int2, int4, int8, float4, float8 and numeric; no others, not even oid (`jsonb_categorize_type`).
    Number,
    /// Any other scalar: a JSON string of the text.
    Text,
    /// json: the text, less the white space outside strings.
    Json,
    /// jsonb: written like [`Shape::Json`]. Apart from it, since equal jsonb values have equal texts and equal json
    /// values need not.
    Jsonb,
    /// timestamp: ISO 8601's `T` in the blank's place (`JsonEncodeDateTime`, `src/backend/utils/adt/json.c`).
    Timestamp,
    /// timestamptz: the `T`, and minutes in the offset (`JsonEncodeDateTime`).
    TimestampTz,
    /// hstore, of the extension that comes with PostgreSQL: an object of strings (`hstore_to_json`).
    Hstore,
    /// A true array (manual, section 8.15 "Arrays").
    Array {
        /// The elements' shape.
        element: Arc<Shape>,
        /// `pg_type.typdelim` of the element type: `;` for box, `,` for all others.
        delimiter: u8,
    },
    /// int2vector and oidvector: arrays whose output has blanks between elements (`int2vectorout`, `oidvectorout`).
    Vector(Arc<Shape>),
    /// A row type (manual, section 8.16 "Composite Types"): its attributes in order, less dropped ones.
    Composite(Arc<[Attribute]>),
}

/// One attribute of a row type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// `"name":`, ready to be copied: an array of rows has it for each.
    label: Box<str>,
    /// The shape of its type.
    pub shape: Shape,
}

impl Attribute {
    /// An attribute with its label made. `name` is `pg_attribute.attname`: the key in the JSON object.
    pub fn new(name: &str, shape: Shape) -> Self {
        let mut label = String::new();
        write_string(&mut label, name);
        label.push(':');
        Attribute { label: label.into(), shape }
    }

    /// `"name":`.
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl Shape {
    /// The shape of an array whose elements have the shape `element` and the usual delimiter.
    pub fn array_of(element: Shape) -> Shape {
        Shape::Array { element: Arc::new(element), delimiter: b',' }
    }

    /// What an error calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Shape::Bool => "boolean",
            Shape::Number => "number",
            Shape::Text => "string",
            Shape::Json => "json",
            Shape::Jsonb => "jsonb",
            Shape::Timestamp => "timestamp",
            Shape::TimestampTz => "timestamp with time zone",
            Shape::Hstore => "hstore",
            Shape::Array { .. } => "array",
            Shape::Vector(_) => "vector",
            Shape::Composite(_) => "composite",
        }
    }
}
