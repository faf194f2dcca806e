//! The relations that the stream has described, joined with the descriptions of the watched tables.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use super::Capture;
use crate::catalog::{Description, Relation, undescribed};
use crate::observe::{Observation, observe};
use crate::pgoutput::{RelationBody, RelationColumn};

/// A relation of the stream.
pub(super) enum Known {
    /// One of Tidewire's own, with its columns' names.
    Control(Control),
    /// A user's.
    Table(Arc<Relation>),
}

/// One of Tidewire's own tables.
pub(super) struct Control {
    pub(super) name: ControlTable,
    pub(super) columns: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlTable {
    Subscription,
    Session,
    Watched,
    Gap,
}

#[derive(Default)]
pub(super) struct Relations {
    known: HashMap<u32, Known, FxBuildHasher>,
    /// By the oid of the watched table.
    descriptions: HashMap<u32, Description>,
    /// From a partition to its watched table.
    roots: HashMap<u32, u32>,
    bodies: HashMap<u32, Body>,
}

/// A relation as the stream described it, kept for when its table's description changes.
struct Body {
    schema: String,
    name: String,
    identity: u8,
    columns: Vec<(String, u32)>,
}

impl Relations {
    pub(super) fn get(&self, oid: u32) -> Option<&Known> {
        self.known.get(&oid)
    }

    /// The number of partitions that hold a table's rows.
    pub(super) fn partitions(&self, table: u32) -> usize {
        self.descriptions.get(&table).map_or(0, |description| description.partitions().len())
    }

    /// A watched table is made of this from here on; `None`: it is watched no more.
    pub(super) fn describe(&mut self, table: u32, description: Option<&str>) {
        let mut affected = vec![table];
        if let Some(former) = self.descriptions.remove(&table) {
            affected.extend(former.partitions().iter().map(|partition| partition.oid));
        }
        self.roots.retain(|_, root| *root != table);
        match description.map(serde_json::from_str::<Description>) {
            Some(Ok(description)) => {
                for partition in description.partitions() {
                    self.roots.insert(partition.oid, table);
                    affected.push(partition.oid);
                }
                self.descriptions.insert(table, description);
            }
            Some(Err(why)) => observe(&Observation::DescriptionUnreadable { table, why: &why }),
            None => {}
        }
        for oid in affected {
            self.join(oid);
        }
    }

    /// The stream describes a relation.
    fn tell(&mut self, body: &RelationBody<'_>) {
        let columns = body.columns.iter().map(|column| (column.name.to_owned(), column.type_oid)).collect();
        let (schema, name) = (body.schema.to_owned(), body.name.to_owned());
        self.bodies.insert(body.oid, Body { schema, name, identity: body.identity, columns });
        self.join(body.oid);
    }

    fn join(&mut self, oid: u32) {
        let Some(body) = self.bodies.get(&oid) else { return };
        let columns = body.columns.iter().map(|(name, type_oid)| RelationColumn { name, type_oid: *type_oid });
        let body = RelationBody {
            oid,
            schema: &body.schema,
            name: &body.name,
            identity: body.identity,
            columns: columns.collect(),
        };
        let table = self.roots.get(&oid).copied().unwrap_or(oid);
        let relation = match self.descriptions.get(&table) {
            Some(description) => description.join(table, &body),
            None => undescribed(&body),
        };
        self.known.insert(oid, Known::Table(Arc::new(relation)));
    }
}

impl Capture {
    /// The stream describes a relation: it is new to this connection, or was altered.
    pub(super) fn relation(&mut self, body: &RelationBody<'_>) {
        let control = match (body.schema, body.name) {
            ("event", "subscription") => Some(ControlTable::Subscription),
            ("event", "session") => Some(ControlTable::Session),
            ("event", "watched") => Some(ControlTable::Watched),
            ("event", "gap") => Some(ControlTable::Gap),
            _ => None,
        };
        if let Some(name) = control {
            let columns = body.columns.iter().map(|column| column.name.to_owned()).collect();
            self.relations.known.insert(body.oid, Known::Control(Control { name, columns }));
            return;
        }
        self.relations.tell(body);
        let table = self.relations.roots.get(&body.oid).copied().unwrap_or(body.oid);
        let _ = self.altered.send(table);
    }
}
