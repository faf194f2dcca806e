//! What the engine knows of relations: names, keys, the shapes of their columns' types, and the fixed parts of their
//! events' JSON, made once.
//!
//! A description joins two sources, both from the WAL: the Relation message of the stream, which tells columns as they were
//! at the change, and the row of `event.watched`, which tells the key, a partition's root and what a type is made of. The
//! catalog itself is never asked: it is ahead of the stream.

mod description;
mod numbers;

pub use description::{Description, Numbered, Partition, Uncertain, undescribed};

use std::ops::Deref;
use std::sync::Arc;

use crate::json::{Shape, write_string};
use crate::subscription::KeyForm;

/// A relation as its events need it: its parts, and what is made of them once.
#[derive(Debug)]
pub struct Relation {
    parts: RelationParts,
    /// The JSON of a row's identifier up to its values.
    row_id_head: String,
    /// The JSON of the relation's identifier.
    relation_id: String,
}

impl Deref for Relation {
    type Target = RelationParts;

    fn deref(&self) -> &RelationParts {
        &self.parts
    }
}

/// The parts of a [`Relation`].
#[derive(Debug, Default)]
pub struct RelationParts {
    /// The oid that subscriptions name: the table's own, or its root's for a partition.
    pub oid: u32,
    /// Schema of the table that events name.
    pub schema: String,
    /// Name of the table that events name.
    pub name: String,
    /// The stream's columns, in the stream's order.
    pub columns: Vec<Column>,
    /// Positions in `columns` in the order in which the table that events name has them.
    pub order: Vec<usize>,
    /// Positions in `columns` of the primary key, in the key's order; empty without one.
    pub key: Vec<usize>,
    /// How the texts of the key's values are compared, in the key's order; empty when all are as they stand.
    pub key_forms: Vec<KeyForm>,
    /// Whether the stream carries whole old rows for it (REPLICA IDENTITY FULL).
    pub whole_rows: bool,
    /// Schema and name of the partition that holds the rows; `None` when the table itself does.
    pub partition: Option<(String, String)>,
}

/// A column as its events need it.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its number in the table that subscriptions name (`pg_attribute.attnum`); 0 when it is not known.
    pub attnum: i16,
    /// Whether the number is known for certain. Who may not see all columns does not see one of which it is not.
    pub is_certain: bool,
    /// How its text becomes JSON.
    pub shape: Arc<Shape>,
    /// `"name":`, ready to be copied.
    pub label: String,
}

impl Column {
    /// A column with its label made.
    pub fn new(name: &str, attnum: i16, shape: Arc<Shape>) -> Self {
        let mut label = String::with_capacity(name.len() + 3);
        write_string(&mut label, name);
        label.push(':');
        Column { name: name.to_owned(), attnum, is_certain: false, shape, label }
    }
}

impl From<RelationParts> for Relation {
    fn from(parts: RelationParts) -> Self {
        let relation_id = relation_id(&parts.schema, &parts.name);
        let column_ids: Vec<String> = parts
            .key
            .iter()
            .filter_map(|&at| parts.columns.get(at))
            .map(|column| {
                let mut id = format!("{{\"relation_id\":{relation_id},\"name\":");
                write_string(&mut id, &column.name);
                id.push('}');
                id
            })
            .collect();
        let row_id_head = match column_ids.as_slice() {
            [one] => format!("{{\"pk_column_id\":{one},\"pk_value\":"),
            several => format!("{{\"pk_column_ids\":[{}],\"pk_values\":[", several.join(",")),
        };
        Relation { parts, row_id_head, relation_id }
    }
}

/// Appends the JSON of a relation's identifier (`meta.relation_id`).
fn relation_id(schema: &str, name: &str) -> String {
    let mut id = String::from("{\"schema_id\":{\"name\":");
    write_string(&mut id, schema);
    id.push_str("},\"name\":");
    write_string(&mut id, name);
    id.push('}');
    id
}

impl Relation {
    /// Appends the JSON of a row's identifier (`meta.row_id`).
    pub fn write_row_id(&self, out: &mut String, values: &[String]) {
        out.push_str(&self.row_id_head);
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_string(out, value);
        }
        out.push_str(if self.key.len() == 1 { "}" } else { "]}" });
    }

    /// About how long a row's identifier is, less its values.
    pub fn row_id_length(&self) -> usize {
        self.row_id_head.len() + 2
    }

    /// Appends the JSON of the relation's identifier (`meta.relation_id`); with `partition`, that partition's.
    pub fn write_relation_id(&self, out: &mut String, partition: Option<&(String, String)>) {
        match partition {
            Some((schema, name)) => out.push_str(&relation_id(schema, name)),
            None => out.push_str(&self.relation_id),
        }
    }

    /// Whether rows have names: without a primary key they have none.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// The key columns' names in the key's order.
    pub fn key_columns(&self) -> impl Iterator<Item = &str> {
        self.key.iter().filter_map(|&at| self.columns.get(at)).map(|column| column.name.as_str())
    }
}
