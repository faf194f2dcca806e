//! The relations that the stream has described.

use std::collections::HashMap;
use std::sync::Arc;

use super::Capture;
use crate::catalog::Relation;
use crate::db::Client;
use crate::db::catalog::{Catalog, Names};
use crate::db::inbox::until_visible;
use crate::error::Result;
use crate::pgoutput::RelationBody;

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
}

#[derive(Default)]
pub(super) struct Relations {
    known: HashMap<u32, Known, rustc_hash::FxBuildHasher>,
    catalog: Catalog,
    /// How often the schema was said to have changed.
    schema_changes: u64,
    bodies: HashMap<u32, Body, rustc_hash::FxBuildHasher>,
}

/// A description as the stream gave it, kept for when the catalog has to be asked again.
#[derive(Clone)]
struct Body {
    oid: u32,
    schema: String,
    name: String,
    identity: u8,
    columns: Vec<(String, u32)>,
    /// [`Relations::schema_changes`] when the relation was described.
    described_at: u64,
}

impl Relations {
    pub(super) fn get(&self, oid: u32) -> Option<&Known> {
        self.known.get(&oid)
    }

    pub(super) fn forget_types(&mut self) {
        self.catalog.forget();
    }

    pub(super) async fn leaves(&self, client: &Client, root: u32) -> Result<i64> {
        self.catalog.leaves(client, root).await
    }

    /// Something in the schema changed that the stream may not tell, such as the name of a partition's root:
    /// descriptions are made again when next needed.
    pub(super) fn doubt(&mut self) {
        self.catalog.forget();
        self.schema_changes += 1;
    }

    /// Whether the relation was described before the schema changed.
    fn is_in_doubt(&self, oid: u32) -> bool {
        self.bodies.get(&oid).is_some_and(|body| body.described_at < self.schema_changes)
    }

    /// Describes again what is in doubt.
    async fn settle(&mut self, client: &Client, oid: u32) -> Result<()> {
        let Some(body) = self.bodies.get_mut(&oid) else { return Ok(()) };
        body.described_at = self.schema_changes;
        let columns = body
            .columns
            .iter()
            .map(|(name, type_oid)| crate::pgoutput::RelationColumn { name, type_oid: *type_oid })
            .collect();
        let borrowed =
            RelationBody { oid: body.oid, schema: &body.schema, name: &body.name, identity: body.identity, columns };
        let relation = self.catalog.relation(client, &borrowed, Names::OfNow).await?;
        self.known.insert(oid, Known::Table(Arc::new(relation)));
        Ok(())
    }
}

impl Capture {
    /// Waits until the catalog shows what the open transaction did to it: the stream may be ahead of that.
    pub(super) async fn until_readable(&self) -> Result<()> {
        until_visible(&self.client, self.begun()?.xid).await
    }

    /// Sees to it that the relations of a change are described as they are now.
    pub(super) async fn settle(&mut self, oids: &[u32]) -> Result<()> {
        for &oid in oids {
            if self.relations.is_in_doubt(oid) {
                self.until_readable().await?;
                self.relations.settle(&self.client, oid).await?;
            }
        }
        Ok(())
    }

    /// The stream describes a relation.
    pub(super) async fn relation(&mut self, body: &RelationBody<'_>) -> Result<()> {
        let control = match (body.schema, body.name) {
            ("event", "subscription") => Some(ControlTable::Subscription),
            ("event", "session") => Some(ControlTable::Session),
            _ => None,
        };
        if let Some(name) = control {
            let columns = body.columns.iter().map(|column| column.name.to_owned()).collect();
            self.relations.known.insert(body.oid, Known::Control(Control { name, columns }));
            return Ok(());
        }
        self.until_readable().await?;
        self.relations.catalog.forget();
        let relation = self.relations.catalog.relation(&self.client, body, Names::OfTheChange).await?;
        let _ = self.altered.send(relation.oid);
        self.relations.bodies.insert(
            body.oid,
            Body {
                oid: body.oid,
                schema: body.schema.to_owned(),
                name: body.name.to_owned(),
                identity: body.identity,
                columns: body.columns.iter().map(|column| (column.name.to_owned(), column.type_oid)).collect(),
                described_at: self.relations.schema_changes,
            },
        );
        self.relations.known.insert(body.oid, Known::Table(Arc::new(relation)));
        Ok(())
    }
}
