//! What a watched table is made of, as `event._describe` writes it, and how it joins what the stream tells.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{Column, Relation, RelationParts};
use crate::json::{Attribute, Shape};
use crate::pgoutput::RelationBody;

/// A watched table at some place in the WAL.
#[derive(Debug, Clone, Deserialize)]
pub struct Description {
    schema: String,
    name: String,
    key: Option<Vec<i16>>,
    columns: Vec<DescribedColumn>,
    partitions: Option<Vec<Partition>>,
}

#[derive(Debug, Clone, Deserialize)]
struct DescribedColumn {
    name: String,
    attnum: i16,
    #[serde(deserialize_with = "shape")]
    shape: Arc<Shape>,
}

/// A partition that holds rows.
#[derive(Debug, Clone, Deserialize)]
pub struct Partition {
    /// Its oid.
    pub oid: u32,
    schema: String,
    name: String,
}

/// A type: one of the four, which its one member tells. They are not alternatives to serde, which would try each by itself, at each level
/// anew.
#[derive(Deserialize)]
struct DescribedShape {
    scalar: Option<u32>,
    known: Option<KnownExtension>,
    array: Option<Box<DescribedShape>>,
    delimiter: Option<char>,
    composite: Option<Vec<DescribedAttribute>>,
}

/// An extension's type that is not told as its text.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KnownExtension {
    Hstore,
}

#[derive(Deserialize)]
struct DescribedAttribute {
    name: Box<str>,
    shape: DescribedShape,
}

fn shape<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Shape>, D::Error> {
    let shape = DescribedShape::deserialize(deserializer)?.shape();
    shape.map(Arc::new).ok_or_else(|| D::Error::custom("a type that is none of scalar, known, array and composite"))
}

impl DescribedShape {
    fn shape(self) -> Option<Shape> {
        Some(match self {
            // enums, ranges, and nearly all that extensions bring are told as their text
            DescribedShape { scalar: Some(scalar), .. } => Shape::builtin(scalar).unwrap_or(Shape::Text),
            DescribedShape { known: Some(KnownExtension::Hstore), .. } => Shape::Hstore,
            DescribedShape { array: Some(element), delimiter, .. } => Shape::Array {
                element: Arc::new(element.shape()?),
                delimiter: delimiter.and_then(|delimiter| u8::try_from(delimiter).ok()).unwrap_or(b','),
            },
            DescribedShape { composite: Some(attributes), .. } => {
                let attributes = attributes.into_iter();
                let attributes =
                    attributes.map(|DescribedAttribute { name, shape }| Some(Attribute::new(&name, shape.shape()?)));
                Shape::Composite(attributes.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

impl Description {
    /// The partitions that hold the table's rows; none of an ordinary table.
    pub fn partitions(&self) -> &[Partition] {
        self.partitions.as_deref().unwrap_or_default()
    }

    /// Joins the stream's description of the table itself, or of one of its partitions, with this one of the table.
    pub fn join(&self, oid: u32, body: &RelationBody<'_>) -> Relation {
        let places = self.places(body);
        let columns = body.columns.iter().zip(&places).map(|(column, place)| match place {
            Some(place) => Column::new(column.name, place.attnum, Arc::clone(&place.shape)),
            None => unknown(column.name, column.type_oid),
        });
        let columns: Vec<Column> = columns.collect();
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by_key(|&at| columns.get(at).map_or(i16::MAX, |column| column.attnum));
        let key = self.key.as_deref().unwrap_or_default();
        let mut found: Vec<usize> = Vec::new();
        for attnum in key {
            found.extend(columns.iter().position(|column| column.attnum == *attnum));
        }
        if found.len() < key.len() {
            found.clear();
        }
        let described = self.partitions().iter().find(|partition| partition.oid == body.oid);
        let described = described.map(|partition| (partition.schema.clone(), partition.name.clone()));
        // one that joined and is yet to be described
        let joined = || (body.oid != oid).then(|| (body.schema.to_owned(), body.name.to_owned()));
        RelationParts {
            oid,
            schema: self.schema.clone(),
            name: self.name.clone(),
            columns,
            order,
            key: found,
            whole_rows: body.identity == b'f',
            partition: described.or_else(joined),
        }
        .into()
    }

    /// The description of each of the stream's columns. Where no event trigger may be, a description is up to a second
    /// late: what does not match by name was renamed, and is matched in order.
    fn places(&self, body: &RelationBody<'_>) -> Vec<Option<&DescribedColumn>> {
        let mut places: Vec<Option<&DescribedColumn>> =
            body.columns.iter().map(|column| self.columns.iter().find(|known| known.name == column.name)).collect();
        let taken: Vec<i16> = places.iter().flatten().map(|place| place.attnum).collect();
        let mut rest = self.columns.iter().filter(|column| !taken.contains(&column.attnum));
        for place in places.iter_mut().filter(|place| place.is_none()) {
            *place = rest.next();
        }
        places
    }
}

/// A relation that the stream describes and that nobody watches.
pub fn undescribed(body: &RelationBody<'_>) -> Relation {
    RelationParts {
        oid: body.oid,
        schema: body.schema.to_owned(),
        name: body.name.to_owned(),
        order: (0..body.columns.len()).collect(),
        columns: body.columns.iter().map(|column| unknown(column.name, column.type_oid)).collect(),
        whole_rows: body.identity == b'f',
        ..RelationParts::default()
    }
    .into()
}

fn unknown(name: &str, type_oid: u32) -> Column {
    Column::new(name, 0, Arc::new(Shape::builtin(type_oid).unwrap_or(Shape::Text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_type_is_made_of_is_read() {
        let text = r#"{"schema":"public","name":"t","key":null,"partitions":null,"columns":[{"name":"c","attnum":1,"shape":
            {"array":{"composite":[{"name":"a","shape":{"scalar":23}},{"name":"h","shape":{"known":"hstore"}}]},"delimiter":","}}]}"#;
        let description: Description = serde_json::from_str(text).unwrap();
        let attributes = [Attribute::new("a", Shape::Number), Attribute::new("h", Shape::Hstore)];
        let composite = Shape::Composite(attributes.into());
        assert_eq!(*description.columns[0].shape, Shape::array_of(composite));
        assert!(serde_json::from_str::<Description>(&text.replace("scalar", "x")).is_err());
    }
}
