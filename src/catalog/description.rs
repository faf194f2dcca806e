//! What a watched table is made of, as `event._describe` writes it, and how it joins what the stream tells.

use std::sync::Arc;

use serde::Deserialize;

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
    shape: DescribedShape,
}

/// A partition that holds rows.
#[derive(Debug, Clone, Deserialize)]
pub struct Partition {
    /// Its oid.
    pub oid: u32,
    schema: String,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum DescribedShape {
    Scalar { scalar: u32 },
    Known { known: KnownExtension },
    Array { array: Box<DescribedShape>, delimiter: char },
    Composite { composite: Vec<DescribedAttribute> },
}

/// An extension's type that is not told as its text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KnownExtension {
    Hstore,
}

#[derive(Debug, Clone, Deserialize)]
struct DescribedAttribute {
    name: String,
    shape: DescribedShape,
}

impl DescribedShape {
    fn shape(&self) -> Shape {
        match self {
            // enums, ranges, and nearly all that extensions bring are told as their text
            DescribedShape::Scalar { scalar } => Shape::builtin(*scalar).unwrap_or(Shape::Text),
            DescribedShape::Known { known: KnownExtension::Hstore } => Shape::Hstore,
            DescribedShape::Array { array, delimiter } => {
                Shape::Array { element: Arc::new(array.shape()), delimiter: u8::try_from(*delimiter).unwrap_or(b',') }
            }
            DescribedShape::Composite { composite } => Shape::Composite(
                composite
                    .iter()
                    .map(|attribute| Attribute { name: attribute.name.as_str().into(), shape: attribute.shape.shape() })
                    .collect(),
            ),
        }
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
            Some(place) => Column::new(column.name, place.attnum, Arc::new(place.shape.shape())),
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
