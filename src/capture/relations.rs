//! The relations that the stream has described, joined with the descriptions of the watched tables.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use super::Capture;
use super::questions::{Question, Said};
use crate::catalog::{Description, Numbered, Relation, Uncertain, undescribed};
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
    /// What the catalog said of tables with partitions when it was last asked: it need not be asked for each.
    pub(super) said: HashMap<u32, Said>,
    /// Relations of whose columns some are not known for certain, and who watches these is to be told.
    pub(super) uncertain: HashMap<u32, Uncertain, FxBuildHasher>,
    /// What they are made of cannot be told.
    broken: HashSet<u32, FxBuildHasher>,
    /// Of what table they are or were cannot be told.
    pub(super) unknown: HashSet<u32, FxBuildHasher>,
}

/// What comes of a description.
#[derive(Default)]
pub(super) struct News {
    /// The relations of which it is to be asked which columns they have.
    pub(super) asked: Vec<u32>,
    /// Schema and name of the partitions that left the table with all their rows.
    pub(super) left: Vec<(String, String)>,
    /// The table that they left.
    pub(super) table: Option<Arc<Relation>>,
}

/// A relation as the stream described it, kept for when its table's description changes.
struct Body {
    schema: String,
    name: String,
    identity: u8,
    columns: Vec<(String, u32)>,
    /// Which columns these are; none while that is not asked yet.
    numbered: Numbered,
    /// Of each of its table's columns that is known for certain.
    is_certain: bool,
}

impl Body {
    fn borrowed(&self, oid: u32) -> RelationBody<'_> {
        let columns = self.columns.iter().map(|(name, type_oid)| RelationColumn { name, type_oid: *type_oid });
        RelationBody {
            oid,
            schema: &self.schema,
            name: &self.name,
            identity: self.identity,
            columns: columns.collect(),
        }
    }
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

    /// Whether there are relations of which something is not known.
    pub(super) fn has_unknown(&self) -> bool {
        !self.unknown.is_empty() || !self.uncertain.is_empty()
    }

    /// Whether it is of no table that is known to be watched.
    pub(super) fn is_stranger(&self, oid: u32) -> bool {
        !self.descriptions.contains_key(&self.table(oid))
    }

    /// A relation was found to be a partition of a watched table.
    pub(super) fn adopt(&mut self, oid: u32, root: u32) {
        self.joined.insert(oid, root);
        self.join(oid);
    }

    /// A watched table is made of this from here on; `None`: it is watched no more.
    pub(super) fn describe(&mut self, table: u32, description: Option<&str>) -> News {
        let mut news = News::default();
        let mut affected = vec![table];
        let former = self.descriptions.remove(&table);
        if let Some(former) = &former {
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
                if let Some(former) = former {
                    news.left = former.left_in(&description);
                    news.table = Some(Arc::new(description.bare(table)));
                }
                // not all that renames it makes the stream describe it again
                if let Some(body) = self.bodies.get_mut(&table) {
                    description.rename(&mut body.schema, &mut body.name);
                }
                self.descriptions.insert(table, description);
            }
            Some(Err(why)) => observe(&Observation::DescriptionUnreadable { table, why: &why }),
            None => {}
        }
        self.said.remove(&table);
        for oid in affected {
            self.join(oid);
            let is_known = self.bodies.get(&oid).is_none_or(|body| body.is_certain);
            if !is_known && !self.is_stranger(oid) {
                news.asked.push(oid);
            }
        }
        news
    }

    /// The stream describes a relation.
    fn tell(&mut self, body: &RelationBody<'_>) {
        let columns = body.columns.iter().map(|column| (column.name.to_owned(), column.type_oid)).collect();
        let (schema, name) = (body.schema.to_owned(), body.name.to_owned());
        self.joined.remove(&body.oid);
        self.unknown.remove(&body.oid);
        self.broken.remove(&body.oid);
        self.uncertain.remove(&body.oid);
        let numbered = Numbered::new();
        self.bodies
            .insert(body.oid, Body { schema, name, identity: body.identity, columns, numbered, is_certain: false });
        self.join(body.oid);
    }

    /// Whether it has partitions.
    pub(super) fn is_partitioned(&self, table: u32) -> bool {
        self.descriptions.get(&table).is_some_and(Description::is_partitioned)
    }

    /// The catalog was asked about the table of a relation, at a time when it showed the transaction in which that was described.
    pub(super) fn number(&mut self, oid: u32, now: Option<&Description>) {
        let table = self.table(oid);
        let (Some(description), Some(body)) = (self.descriptions.get(&table), self.bodies.get_mut(&oid)) else {
            return;
        };
        body.numbered = description.number(&body.borrowed(oid), now);
        let uncertain = description.uncertain(&body.numbered);
        body.is_certain = uncertain.is_none();
        match uncertain {
            Some(uncertain) => drop(self.uncertain.insert(oid, uncertain)),
            None => drop(self.uncertain.remove(&oid)),
        }
        self.join(oid);
    }

    fn join(&mut self, oid: u32) {
        let Some(body) = self.bodies.get(&oid) else { return };
        let table = self.table(oid);
        let relation = match self.descriptions.get(&table) {
            Some(description) => description.join(table, &body.borrowed(oid), &body.numbered),
            None => undescribed(&body.borrowed(oid)),
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
        self.questions.push(match self.relations.is_stranger(body.oid) {
            true => Question::Met(body.oid),
            false => Question::Columns(body.oid),
        });
        let _ = self.altered.send(self.relations.table(body.oid));
    }
}
