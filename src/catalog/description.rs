//! What a watched table is made of, as `event._describe` writes it, and how it joins what the stream tells.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::numbers::{self, Layout};
use super::{Column, Relation, RelationParts};
use crate::json::{Attribute, Shape};
use crate::pgoutput::{RelationBody, RelationColumn};
use crate::subscription::KeyForm;

/// A watched table at some place in the WAL.
#[derive(Debug, Clone, Deserialize)]
pub struct Description {
    schema: String,
    name: String,
    natts: i16,
    key: Option<Vec<i16>>,
    key_forms: Option<Vec<Option<KeyForm>>>,
    columns: Vec<DescribedColumn>,
    partitions: Option<Vec<Partition>>,
}

#[derive(Debug, Clone, Deserialize)]
struct DescribedColumn {
    name: String,
    attnum: i16,
    #[serde(rename = "type")]
    type_oid: u32,
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
    /// Where its columns have other numbers than the table's.
    layout: Option<Layout>,
}

/// What is known of a relation's columns as the stream described them, in its order.
pub type Numbered = Vec<Number>;

/// What is known of one.
#[derive(Debug, Clone, Default)]
pub struct Number {
    /// Its number in the table that subscriptions name; 0 if it may be one or another.
    attnum: i16,
    /// Whether that is known for certain. A number that is not is good for those who may see all columns.
    is_certain: bool,
    /// Its type's shape, by the catalog.
    shape: Option<Arc<Shape>>,
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

    /// The numbers of the columns of the table itself, or of one of its partitions, as the stream described it at a time when this
    /// description held, and no later one of the stream's; `now` is of a later time, none if the table is gone by then.
    pub fn number(&self, body: &RelationBody<'_>, now: Option<&Description>) -> Numbered {
        let length = body.columns.len();
        let certain = match (self.layout(body.oid), now.and_then(|now| now.layout(body.oid))) {
            (Some(before), Some(after)) => numbers::certain(&before, &after, length),
            // a partition that joined since: what this description does not have is not its column
            (None, Some(layout)) if body.columns.len() == layout.columns.len() => {
                let known = |number: &i16| self.columns.iter().any(|column| column.attnum == *number);
                layout.columns.iter().map(|(_, number)| Some(*number).filter(known)).collect()
            }
            _ => vec![None; length],
        };
        let likely = self.likely(body);
        let types = |type_oid| {
            let known = now.into_iter().chain([self]).flat_map(|description| &description.columns);
            known.clone().find(|column| column.type_oid == type_oid).map(|column| Arc::clone(&column.shape))
        };
        let columns = body.columns.iter().zip(certain).zip(likely);
        let number = |((column, certain), likely): ((&RelationColumn<'_>, Option<i16>), i16)| Number {
            attnum: certain.unwrap_or(likely),
            is_certain: certain.is_some(),
            shape: types(column.type_oid),
        };
        columns.map(number).collect()
    }

    /// The numbers of a table's columns as this description has them, if it fits; else zeros.
    fn likely(&self, body: &RelationBody<'_>) -> Vec<i16> {
        let known = body.columns.iter().map(|column| {
            self.columns.iter().find(|known| known.name == column.name && known.type_oid == column.type_oid)
        });
        let numbers: Vec<i16> = known.flatten().map(|known| known.attnum).collect();
        let fits = numbers.len() == body.columns.len()
            && numbers.len() == self.columns.len()
            && (self.partition(body.oid).is_some() || numbers.is_sorted());
        if fits { numbers } else { vec![0; body.columns.len()] }
    }

    /// The numbers of the columns of the table itself or of a partition that it has.
    fn layout(&self, oid: u32) -> Option<Layout> {
        match self.partition(oid) {
            Some(Partition { layout: Some(layout), .. }) => Some(layout.clone()),
            None if self.partitions.is_some() => None,
            _ => {
                let columns = self.columns.iter().map(|column| (column.attnum, column.attnum)).collect();
                Some(Layout { natts: self.natts, columns })
            }
        }
    }

    fn partition(&self, oid: u32) -> Option<&Partition> {
        self.partitions().iter().find(|partition| partition.oid == oid)
    }

    /// Joins the stream's description of the table itself, or of one of its partitions, with this one of the table.
    pub fn join(&self, oid: u32, body: &RelationBody<'_>, numbered: &Numbered) -> Relation {
        let unknown = Number::default();
        let columns = body.columns.iter().enumerate().map(|(at, column)| {
            let number = numbered.get(at).unwrap_or(&unknown);
            let of_number = self.columns.iter().find(|known| known.attnum == number.attnum);
            let shape = of_number.filter(|known| known.type_oid == column.type_oid).map(|known| &known.shape);
            let shape = shape.or(number.shape.as_ref()).map_or_else(|| builtin(column.type_oid), Arc::clone);
            Column { is_certain: number.is_certain, ..Column::new(column.name, number.attnum, shape) }
        });
        let columns: Vec<Column> = columns.collect();
        let mut order: Vec<usize> = (0..columns.len()).collect();
        // what has no number yet was added last
        order.sort_by_key(|&at| {
            columns.get(at).map(|column| column.attnum).filter(|&attnum| attnum > 0).unwrap_or(i16::MAX)
        });
        let key = self.key.as_deref().unwrap_or_default();
        let mut found: Vec<usize> = Vec::new();
        for attnum in key {
            found.extend(columns.iter().position(|column| column.attnum == *attnum));
        }
        if found.len() < key.len() {
            found.clear();
        }
        // one that joined and is yet to be described
        let is_part = body.oid != oid;
        let described = self.partition(body.oid).map(|partition| (partition.schema.clone(), partition.name.clone()));
        let joined = || is_part.then(|| (body.schema.to_owned(), body.name.to_owned()));
        // a mirror has the name of what it mirrors
        let is_mirror = self.schema == "meta" && body.schema == "event";
        let (schema, name) = if is_part || is_mirror { (&*self.schema, &*self.name) } else { (body.schema, body.name) };
        RelationParts {
            oid,
            schema: schema.to_owned(),
            name: name.to_owned(),
            columns,
            order,
            key: found,
            key_forms: self.key_forms.iter().flatten().map(|form| form.unwrap_or_default()).collect(),
            whole_rows: body.identity == b'f',
            partition: described.or_else(joined),
        }
        .into()
    }

    /// Schema and name of the partitions that this description has and a later one has not.
    pub fn left_in(&self, later: &Description) -> Vec<(String, String)> {
        let left = self.partitions().iter().filter(|partition| later.partition(partition.oid).is_none());
        left.map(|partition| (partition.schema.clone(), partition.name.clone())).collect()
    }

    /// The table, for an event that tells of no row.
    pub fn bare(&self, oid: u32) -> Relation {
        RelationParts { oid, schema: self.schema.clone(), name: self.name.clone(), ..RelationParts::default() }.into()
    }

    /// The table has this schema and this name.
    pub fn rename(&self, schema: &mut String, name: &mut String) {
        schema.clone_from(&self.schema);
        name.clone_from(&self.name);
    }

    /// Whether the table has partitions.
    pub fn is_partitioned(&self) -> bool {
        self.partitions.is_some()
    }

    /// The columns that this description has and a relation's rows do not have for certain; `None`: they have all.
    pub fn uncertain(&self, numbered: &Numbered) -> Option<Uncertain> {
        let has = |attnum: i16, is_certain: bool| {
            numbered.iter().any(|number| number.attnum == attnum && (number.is_certain || !is_certain))
        };
        let all = || self.columns.iter().map(|column| column.attnum);
        let columns: Vec<i16> = all().filter(|&attnum| !has(attnum, true)).collect();
        let unknown = all().filter(|&attnum| !has(attnum, false)).collect();
        (!columns.is_empty()).then_some(Uncertain { columns, unknown })
    }
}

/// Columns, by number, that are not known for certain: who may not see all columns is not told of them.
#[derive(Debug, Clone)]
pub struct Uncertain {
    /// All of them.
    pub columns: Vec<i16>,
    /// Those of which it is not even likely which they are: nobody is told of them by their number.
    pub unknown: Vec<i16>,
}

/// A relation that the stream describes and that nobody watches.
pub fn undescribed(body: &RelationBody<'_>) -> Relation {
    RelationParts {
        oid: body.oid,
        schema: body.schema.to_owned(),
        name: body.name.to_owned(),
        order: (0..body.columns.len()).collect(),
        columns: body.columns.iter().map(|column| Column::new(column.name, 0, builtin(column.type_oid))).collect(),
        whole_rows: body.identity == b'f',
        ..RelationParts::default()
    }
    .into()
}

fn builtin(type_oid: u32) -> Arc<Shape> {
    Arc::new(Shape::builtin(type_oid).unwrap_or(Shape::Text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_type_is_made_of_is_read() {
        let text = r#"{"schema":"public","name":"t","natts":1,"key":null,"partitions":null,"columns":[{"name":"c","attnum":1,"type":16400,"shape":
            {"array":{"composite":[{"name":"a","shape":{"scalar":23}},{"name":"h","shape":{"known":"hstore"}}]},"delimiter":","}}]}"#;
        let description: Description = serde_json::from_str(text).unwrap();
        let attributes = [Attribute::new("a", Shape::Number), Attribute::new("h", Shape::Hstore)];
        let composite = Shape::Composite(attributes.into());
        assert_eq!(*description.columns[0].shape, Shape::array_of(composite));
        assert!(serde_json::from_str::<Description>(&text.replace("scalar", "x")).is_err());
    }
}
