//! The watched tables: that their changes arrive whole, and that their writers can write.

use tokio_postgres::Client;

use super::Requirement;
use crate::db::connect::error;
use crate::db::installation::PUBLICATION;
use crate::error::Result;

/// A line for each watched table, or one for each of its troubles.
pub(super) async fn watched(client: &Client) -> Result<Vec<Requirement>> {
    let rows = client
        .query(
            "select w.relation::regclass::text, event._is_published(w.relation),
                    array(select l::regclass::text from event._leaves(w.relation) l join pg_class c on c.oid = l
                          where c.relreplident <> 'f' order by l),
                    array(select quote_ident(n.name) from event._narrow_publications(w.relation) n order by 1, n.reason),
                    array(select n.reason from event._narrow_publications(w.relation) n order by quote_ident(n.name), 1),
                    array(select distinct quote_ident(a.attname) from pg_attribute a
                          where a.attrelid in (select event._leaves(w.relation)) and a.attgenerated = 'v' and not a.attisdropped),
                    array(select l::regclass::text from event._leaves(w.relation) l join pg_class c on c.oid = l
                          where c.relpersistence <> 'p' order by l)
             from event.watched w join pg_class c on c.oid = w.relation
             order by 1",
            &[],
        )
        .await
        .map_err(error)?;
    if rows.is_empty() {
        return Ok(vec![Requirement::met("no table is watched yet")]);
    }
    Ok(rows
        .iter()
        .flat_map(|row| {
            let table = Watched {
                name: row.get(0),
                published: row.get(1),
                not_full: row.get(2),
                narrow: row.get::<_, Vec<&str>>(3).into_iter().zip(row.get::<_, Vec<&str>>(4)).collect(),
                virtual_columns: row.get(5),
                unlogged: row.get(6),
            };
            table.judge()
        })
        .collect())
}

struct Watched<'r> {
    name: &'r str,
    published: bool,
    /// The tables of it whose replica identity is not FULL.
    not_full: Vec<&'r str>,
    /// Publications that would break its writers or hide its rows, and why.
    narrow: Vec<(&'r str, &'r str)>,
    virtual_columns: Vec<&'r str>,
    unlogged: Vec<&'r str>,
}

impl Watched<'_> {
    fn judge(self) -> Vec<Requirement> {
        let name = self.name;
        let mut found = Vec::new();
        if !self.published {
            found.push(Requirement::failed(
                format!("table {name} is watched and not in publication \"{PUBLICATION}\": its changes are not told"),
                format!("alter publication {PUBLICATION} add table only {name};"),
            ));
        }
        for (publication, reason) in self.narrow {
            let only = if publication == PUBLICATION { "only " } else { "" };
            let remedy = if reason == "leaves out generated columns of" {
                format!("alter publication {publication} set (publish_generated_columns = stored);")
            } else {
                format!(
                    "alter publication {publication} drop table {name};\nalter publication {publication} add table {only}{name};"
                )
            };
            found.push(Requirement::failed(
                format!("publication {publication} {reason} table {name}: its writers' updates and deletes may fail, or rows are missing"),
                remedy,
            ));
        }
        // After what breaks the writers under FULL.
        if !self.not_full.is_empty() && self.virtual_columns.is_empty() {
            let of = self.not_full.join(", ");
            let remedy: Vec<_> =
                self.not_full.iter().map(|table| format!("alter table {table} replica identity full;")).collect();
            found.push(Requirement::failed(
                format!("the replica identity of {of} is not FULL: old values of {name} are not known"),
                remedy.join("\n"),
            ));
        }
        if !self.virtual_columns.is_empty() {
            found.push(Requirement::failed(
                format!("virtual generated columns of table {name} ({}): its writers' updates and deletes fail", self.virtual_columns.join(", ")),
                format!("delete from event.subscription where relation = '{quoted}'::regclass;\nselect event.unwatch('{quoted}');", quoted = name.replace('\'', "''")),
            ));
        }
        for unlogged in self.unlogged {
            found.push(Requirement::failed(
                format!("table {unlogged} is unlogged: its changes are not told"),
                format!("alter table {unlogged} set logged;"),
            ));
        }
        if found.is_empty() {
            found.push(Requirement::met(format!("table {name} is published, and its writers are safe")));
        }
        found
    }
}
