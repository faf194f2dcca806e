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
    /// Names in the catalog may have changed: descriptions are made again when next needed.
    stale: HashMap<u32, Body>,
    bodies: HashMap<u32, Body>,
}

/// A description as the stream gave it, kept for when the catalog has to be asked again.
#[derive(Clone)]
struct Body {
    oid: u32,
    schema: String,
    name: String,
    identity: u8,
    columns: Vec<(String, u32)>,
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

    /// Something in the schema changed that the stream may not tell, such as the name of a partition's root.
    pub(super) fn doubt(&mut self) {
        self.catalog.forget();
        self.stale = self.bodies.clone();
    }

    /// Whether there is something in doubt.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Describes again what is in doubt.
    pub(super) async fn settle(&mut self, client: &Client) -> Result<()> {
        for body in std::mem::take(&mut self.stale).into_values() {
            let columns = body
                .columns
                .iter()
                .map(|(name, type_oid)| crate::pgoutput::RelationColumn { name, type_oid: *type_oid })
                .collect();
            let borrowed = RelationBody {
                oid: body.oid,
                schema: &body.schema,
                name: &body.name,
                identity: body.identity,
                columns,
            };
            let relation = self.catalog.relation(client, &borrowed, Names::OfNow).await?;
            self.known.insert(body.oid, Known::Table(Arc::new(relation)));
        }
        Ok(())
    }
}

impl Capture {
    /// Waits until the catalog shows what the open transaction did to it: the stream may be ahead of that.
    pub(super) async fn until_readable(&self) -> Result<()> {
        until_visible(&self.client, self.begun()?.xid).await
    }

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
        self.relations.stale.remove(&body.oid);
        self.relations.bodies.insert(
            body.oid,
            Body {
                oid: body.oid,
                schema: body.schema.to_owned(),
                name: body.name.to_owned(),
                identity: body.identity,
                columns: body.columns.iter().map(|column| (column.name.to_owned(), column.type_oid)).collect(),
            },
        );
        self.relations.known.insert(body.oid, Known::Table(Arc::new(relation)));
        Ok(())
    }
}
