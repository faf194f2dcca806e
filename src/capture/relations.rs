//! The relations that the stream has described, joined with the descriptions of the watched tables.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustc_hash::FxBuildHasher;
use tokio::sync::{mpsc, oneshot};

use super::Capture;
use crate::catalog::{Description, Relation, undescribed};
use crate::error::Result;
use crate::inbox::Ask;
use crate::observe::{Observation, observe};
use crate::pgoutput::{RelationBody, RelationColumn};
use crate::position::EventId;

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
    Ending,
    Gap,
}

#[derive(Default)]
pub(super) struct Relations {
    known: HashMap<u32, Known, FxBuildHasher>,
    /// By the oid of the watched table.
    descriptions: HashMap<u32, Description>,
    /// From a partition to its watched table, as described.
    roots: HashMap<u32, u32>,
    /// The same of partitions that were found without a description: it follows.
    joined: HashMap<u32, u32>,
    bodies: HashMap<u32, Body>,
    /// What they are made of cannot be told.
    broken: HashSet<u32, FxBuildHasher>,
    /// Of what table they are or were cannot be told.
    pub(super) unknown: HashSet<u32, FxBuildHasher>,
}

/// A relation that no description knows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stranger {
    /// The stream described it.
    Met(u32),
    /// It has changes, and cannot be known any more.
    Lost(u32),
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
        let described = self.descriptions.get(&table).map_or(0, |description| description.partitions().len());
        let joined = self.joined.iter().filter(|(oid, root)| **root == table && !self.roots.contains_key(oid));
        described + joined.count()
    }

    /// The stream described a relation, and that could not be read.
    pub(super) fn break_off(&mut self, oid: u32) {
        self.known.remove(&oid);
        self.broken.insert(oid);
    }

    pub(super) fn is_broken(&self, oid: u32) -> bool {
        !self.broken.is_empty() && self.broken.contains(&oid)
    }

    /// The watched table whose rows a relation holds: itself, or its root.
    pub(super) fn table(&self, oid: u32) -> u32 {
        match self.roots.get(&oid) {
            Some(root) => *root,
            None if self.descriptions.contains_key(&oid) => oid,
            None => self.joined.get(&oid).copied().unwrap_or(oid),
        }
    }

    /// Whether it is of no table that is known to be watched.
    fn is_stranger(&self, oid: u32) -> bool {
        !self.descriptions.contains_key(&self.table(oid))
    }

    /// A relation was found to be a partition of a watched table.
    fn adopt(&mut self, oid: u32, root: u32) {
        self.joined.insert(oid, root);
        self.join(oid);
    }

    /// A watched table is made of this from here on; `None`: it is watched no more.
    pub(super) fn describe(&mut self, table: u32, description: Option<&str>) {
        let mut affected = vec![table];
        if let Some(former) = self.descriptions.remove(&table) {
            affected.extend(former.partitions().iter().map(|partition| partition.oid));
        }
        self.roots.retain(|_, root| *root != table);
        // it knows them now, or is older than they are: what they were taken for stays until the stream describes them again
        self.joined.retain(|_, root| *root != table);
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
        self.joined.remove(&body.oid);
        self.unknown.remove(&body.oid);
        self.broken.remove(&body.oid);
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
        let table = self.table(oid);
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
            ("event", "ending") => Some(ControlTable::Ending),
            ("event", "gap") => Some(ControlTable::Gap),
            _ => None,
        };
        if let Some(name) = control {
            let columns = body.columns.iter().map(|column| column.name.to_owned()).collect();
            self.relations.known.insert(body.oid, Known::Control(Control { name, columns }));
            return;
        }
        self.relations.tell(body);
        if self.relations.is_stranger(body.oid) {
            self.strangers.push(Stranger::Met(body.oid));
        }
        let _ = self.altered.send(self.relations.table(body.oid));
    }

    /// A change of a relation whose table is not known any more: the first is enough.
    pub(super) fn note_unknown(&mut self, relation: u32) {
        if self.news_at().is_some() && self.relations.unknown.remove(&relation) {
            self.strangers.push(Stranger::Lost(relation));
        }
    }

    /// What is published and not described is a partition that joined where no event trigger may be, or was put off: its
    /// description comes later than its first rows. The catalog is ahead of the stream: of one that has left its table since, nothing
    /// more can be told than that.
    pub(super) async fn meet_strangers(&mut self, asks: &mpsc::Sender<Ask>) -> Result<()> {
        while let Some(stranger) = self.strangers.pop() {
            let begin = self.begun()?;
            match stranger {
                Stranger::Met(relation) => {
                    let (answer, root) = oneshot::channel();
                    let ask = Ask::Root { partition: relation, xid: begin.xid, answer };
                    asks.send(ask).await.map_err(|_| super::writer_gone())?;
                    match root.await.map_err(|_| super::writer_gone())? {
                        Some(root) => self.relations.adopt(relation, root),
                        None => drop(self.relations.unknown.insert(relation)),
                    }
                }
                Stranger::Lost(relation) => {
                    let (answer, told) = oneshot::channel();
                    let place = EventId { lsn: begin.final_lsn, number: 0 };
                    let ask = Ask::Lost { partition: relation, place, answer };
                    asks.send(ask).await.map_err(|_| super::writer_gone())?;
                    let sessions = told.await.map_err(|_| super::writer_gone())?;
                    observe(&Observation::Stranger { relation, sessions });
                }
            }
        }
        Ok(())
    }
}
