//! Look-ups in the catalog: what the stream does not tell of a relation.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Client;

use super::connect::error;
use crate::catalog::{Column, Relation, RelationParts};
use crate::error::Result;
use crate::json::{Attribute, Shape};
use crate::pgoutput::RelationBody;

/// A type made of types made of types: deeper ones are shown as text. No sane schema comes near.
const DEEPEST_TYPE: u8 = 32;

/// Describes relations and types; types are remembered until [`Catalog::forget`].
#[derive(Default)]
pub struct Catalog {
    shapes: HashMap<u32, Arc<Shape>>,
}

/// Which of a table's names its events carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The stream has just given them.
    OfTheChange,
    /// What the stream gave may be out of date.
    OfNow,
}

struct Known {
    root: u32,
    schema: String,
    name: String,
    /// name, number
    columns: Vec<(String, i16)>,
    key: Vec<String>,
}

impl Catalog {
    /// Forgets what types are made of: they may have been altered.
    pub fn forget(&mut self) {
        self.shapes.clear();
    }

    /// Joins the stream's description with the catalog's. A relation that is gone by now is described as well as the
    /// stream and what was noted when it was watched allow.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn relation(&mut self, client: &Client, body: &RelationBody<'_>, names: Names) -> Result<Relation> {
        let known = match known(client, body).await? {
            Some(known) => Some(known),
            None => remembered(client, body).await?,
        };
        let mut columns = Vec::with_capacity(body.columns.len());
        for column in &body.columns {
            let shape = self.shape(client, column.type_oid, 0).await?;
            columns.push(Column::new(column.name, 0, shape));
        }
        let mut parts = RelationParts {
            oid: body.oid,
            schema: body.schema.to_owned(),
            name: body.name.to_owned(),
            order: (0..columns.len()).collect(),
            columns,
            whole_rows: body.identity == b'f',
            ..RelationParts::default()
        };
        if let Some(known) = known {
            place(&mut parts, &known);
            if known.root != body.oid {
                parts.oid = known.root;
                parts.partition = Some((parts.schema, parts.name));
                parts.schema = known.schema;
                parts.name = known.name;
            } else if names == Names::OfNow {
                parts.schema = known.schema;
                parts.name = known.name;
            }
        }
        Ok(parts.into())
    }

    /// How a type's text becomes JSON: what `to_jsonb` looks at (`json_categorize_type`).
    async fn shape(&mut self, client: &Client, oid: u32, depth: u8) -> Result<Arc<Shape>> {
        if let Some(shape) = self.shapes.get(&oid) {
            return Ok(Arc::clone(shape));
        }
        let shape = match Shape::builtin(oid) {
            Some(shape) => shape,
            None if depth >= DEEPEST_TYPE => Shape::Text,
            None => Box::pin(self.made_of(client, oid, depth)).await?,
        };
        let shape = Arc::new(shape);
        self.shapes.insert(oid, Arc::clone(&shape));
        Ok(shape)
    }

    async fn made_of(&mut self, client: &Client, oid: u32, depth: u8) -> Result<Shape> {
        let row = client
            .query_opt(
                "select t.typtype::text, t.typbasetype, t.typrelid, e.oid, e.typdelim::text
                 from pg_type t
                 left join pg_type e on e.oid = t.typelem and t.typsubscript = 'array_subscript_handler'::regproc
                 where t.oid = $1",
                &[&oid],
            )
            .await
            .map_err(error)?;
        let Some(row) = row else { return Ok(Shape::Text) };
        let kind: &str = row.get(0);
        if let Some(element) = row.get::<_, Option<u32>>(3) {
            let delimiter = row.get::<_, Option<&str>>(4).and_then(|text| text.bytes().next()).unwrap_or(b',');
            let element = self.shape(client, element, depth + 1).await?;
            return Ok(Shape::Array { element, delimiter });
        }
        match kind {
            "d" => Ok(Shape::clone(&*self.shape(client, row.get(1), depth + 1).await?)),
            "c" => {
                let rows = client
                    .query(
                        "select attname::text, atttypid from pg_attribute
                         where attrelid = $1 and attnum > 0 and not attisdropped order by attnum",
                        &[&row.get::<_, u32>(2)],
                    )
                    .await
                    .map_err(error)?;
                let mut attributes = Vec::with_capacity(rows.len());
                for row in rows {
                    let shape = self.shape(client, row.get(1), depth + 1).await?;
                    attributes.push(Attribute { name: row.get::<_, String>(0).into(), shape: Shape::clone(&shape) });
                }
                Ok(Shape::Composite(attributes.into()))
            }
            _ => Ok(Shape::Text),
        }
    }

    /// The number of tables that hold a relation's rows.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn leaves(&self, client: &Client, root: u32) -> Result<i64> {
        let row = client.query_one("select count(*) from event._leaves($1)", &[&root]).await.map_err(error)?;
        Ok(row.get(0))
    }
}

/// What the catalog knows of the relation now.
async fn known(client: &Client, body: &RelationBody<'_>) -> Result<Option<Known>> {
    let rows = client
        .query(
            "select r.oid, n.nspname::text, r.relname::text, own.attname::text, own.attnum, root.attnum,
                    array_position(event._key_attnums(r.oid), root.attnum)
             from pg_class c
             join pg_class r on r.oid = coalesce(pg_partition_root(c.oid)::oid, c.oid)
             join pg_namespace n on n.oid = r.relnamespace
             join pg_attribute own on own.attrelid = c.oid and own.attnum > 0 and not own.attisdropped
             join pg_attribute root on root.attrelid = r.oid and root.attname = own.attname and not root.attisdropped
             where c.oid = $1
             order by own.attnum",
            &[&body.oid],
        )
        .await
        .map_err(error)?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut key: Vec<(i32, String)> =
        rows.iter().filter_map(|row| Some((row.get::<_, Option<i32>>(6)?, row.get(3)))).collect();
    key.sort_unstable();
    Ok(Some(Known {
        root: first.get(0),
        schema: first.get(1),
        name: first.get(2),
        columns: rows.iter().map(|row| (row.get(3), row.get(5))).collect(),
        key: key.into_iter().map(|(_, name)| name).collect(),
    }))
}

/// What was noted of a relation that is gone.
async fn remembered(client: &Client, body: &RelationBody<'_>) -> Result<Option<Known>> {
    let row = client
        .query_opt(
            "select w.relation, w.key_columns from event.watched w
             where w.relation = coalesce((select i.root from event.identity i where i.relation = $1), $1)",
            &[&body.oid],
        )
        .await
        .map_err(error)?;
    Ok(row.map(|row| Known {
        root: row.get(0),
        schema: body.schema.to_owned(),
        name: body.name.to_owned(),
        columns: Vec::new(),
        key: row.get::<_, Option<Vec<String>>>(1).unwrap_or_default(),
    }))
}

/// Gives the stream's columns their numbers. The stream has the names of the time of the change, the catalog those of
/// now: what does not match by name was renamed since, and is matched in order.
fn place(parts: &mut RelationParts, known: &Known) {
    let mut taken = vec![false; known.columns.len()];
    let mut found: Vec<Option<usize>> =
        parts.columns.iter().map(|column| known.columns.iter().position(|(name, ..)| *name == column.name)).collect();
    for at in found.iter().flatten() {
        taken[*at] = true;
    }
    let mut rest = (0..known.columns.len()).filter(|&at| !taken[at]);
    for place in found.iter_mut().filter(|place| place.is_none()) {
        *place = rest.next();
    }
    for (column, at) in parts.columns.iter_mut().zip(&found) {
        if let Some((_, attnum)) = at.and_then(|at| known.columns.get(at)) {
            column.attnum = *attnum;
        }
    }
    if !known.columns.is_empty() {
        parts.order.sort_by_key(|&at| found[at].map_or(i16::MAX, |at| known.columns[at].1));
    }
    parts.key = known
        .key
        .iter()
        .filter_map(|name| {
            let at = known.columns.iter().position(|(known, ..)| known == name);
            found
                .iter()
                .position(|place| at.is_some() && *place == at)
                .or_else(|| parts.columns.iter().position(|column| column.name == *name))
        })
        .collect();
    if parts.key.len() < known.key.len() {
        parts.key.clear();
    }
}
