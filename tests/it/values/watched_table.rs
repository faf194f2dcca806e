//! A table with a column of each of many types, and what a session is told of it held against the table itself.

use super::samples;
use super::server_types::{ServerTypes, Type, array_text, literal};
use crate::support::Client;

/// When values differ, this many of them are shown.
const SHOWN: usize = 10;

/// The inbox, each event made once: the view's expression would be put into every place that uses it.
const INBOX: &str = "(select id, event from event.event offset 0) e";

/// The settings under which PostgreSQL is asked: those of the engine's own stream (src/wal/stream.rs).
pub const ORACLE: &str = "set client_encoding = UTF8; set datestyle = 'ISO, MDY'; set intervalstyle = postgres;
    set timezone = 'UTC'; set bytea_output = hex; set extra_float_digits = 1; set search_path = pg_catalog, pg_temp;
    set quote_all_identifiers = off; set standard_conforming_strings = on; set client_min_messages = warning;";

/// A column and its values, each an expression.
pub struct Column {
    pub name: String,
    pub type_name: String,
    pub values: Vec<String>,
    /// Its JSON has one spelling only.
    pub is_scalar: bool,
}

impl Column {
    /// A column of a type, with every value that is known of it.
    pub fn of_type(types: &ServerTypes, oid: u32, of: &Type) -> Column {
        let values = match samples::FROM_THE_CATALOG.iter().find(|(key, _)| *key == of.key) {
            Some((_, query)) => vec![(*query).to_owned()],
            None => {
                let texts = types.texts(oid).unwrap_or_else(|| panic!("no value is known of type {}", of.name));
                texts.iter().map(|text| format!("{}::{}", literal(text), of.name)).collect()
            }
        };
        Column { name: of.key.clone(), type_name: of.name.clone(), values, is_scalar: types.is_scalar(oid) }
    }
}

/// A table in schema public, keyed by `id`, whose rows are numbered from 0. Row 0 is all NULL.
pub struct WatchedTable<'c> {
    client: &'c Client,
    name: &'c str,
    columns: &'c [Column],
    rows: usize,
}

impl<'c> WatchedTable<'c> {
    /// Makes the table and subscribes the session to it.
    pub async fn create(client: &'c Client, session: &str, name: &'c str, columns: &'c [Column]) -> WatchedTable<'c> {
        let list: Vec<String> =
            columns.iter().map(|column| format!("\"{}\" {}", column.name, column.type_name)).collect();
        client.sql(&format!("create table public.{name} (id int primary key, {})", list.join(", "))).await;
        client.sql(&format!("select event.subscribe_table('{session}', meta.relation_id('public', '{name}'))")).await;
        let rows = 1 + columns.iter().map(|column| column.values.len()).max().unwrap_or(0);
        WatchedTable { client, name, columns, rows }
    }

    /// Inserts the rows; the events' payloads are what `to_jsonb` makes of them.
    pub async fn insert_and_compare(&self) {
        let mut statements = format!("insert into public.{} (id) values (0);\n", self.name);
        for row in 1..self.rows {
            let value = |column: &Column| match column.values.len() {
                0 => "null".to_owned(),
                count => column.values[(row - 1) % count].clone(),
            };
            let values: Vec<String> = self.columns.iter().map(value).collect();
            statements += &format!("insert into public.{} values ({row}, {});\n", self.name, values.join(", "));
        }
        self.client.sql(&statements).await;
        self.keep("inserted").await;
        let told = format!(
            "select e.event #>> '{{row_id,pk_value}}' as id, m.key, m.value
             from {INBOX} cross join json_each(e.event -> 'payload') m where e.event ->> 'operation' = 'insert'"
        );
        self.compare("an insert's payload", &told, "inserted").await;
        self.forget().await;
    }

    /// Gives every row the values of the next; each event has the new value, and the journal the old one beside it.
    pub async fn update_and_compare(&self) {
        let assignments: Vec<String> = self.columns.iter().map(|c| format!("\"{0}\" = n.\"{0}\"", c.name)).collect();
        let (name, rows) = (self.name, self.rows);
        self.client
            .sql(&format!(
                "update public.{name} t set {} from public.{name} n where n.id = (t.id + 1) % {rows}",
                assignments.join(", ")
            ))
            .await;
        self.keep("updated").await;
        let unchanged = format!(
            "select n.id::text, k.key, k.value from public.{name}_inserted o join public.{name}_updated n using (id)
             cross join jsonb_each(n.data) k where o.data -> k.key = k.value and not exists (
                 select from event.journal j where j.relation_name = '{name}' and j.key_values = array[n.id::text] and j.field = k.key)"
        );
        let told = format!(
            "select e.event #>> '{{row_id,pk_value}}' as id, m.key, m.value
             from {INBOX} cross join json_each(e.event -> 'payload') m where e.event ->> 'operation' = 'update'
             union all select id, key, value::json from ({unchanged}) u"
        );
        self.compare("an update's payload", &told, "updated").await;
        let before = format!(
            "select j.key_values[1] as id, j.field as key, j.old::json as value
             from event.inbox e join event.journal j on j.id = e.id where j.change = 'field_update'
             union all select id, key, value::json from ({unchanged}) u"
        );
        self.compare("an update's old value", &before, "inserted").await;
        self.forget().await;
    }

    /// Deletes the rows; the journal has them as they were.
    pub async fn delete_and_compare(&self) {
        self.client.sql(&format!("delete from public.{}", self.name)).await;
        let told = "select j.key_values[1] as id, m.key, m.value
                    from event.inbox e join event.journal j on j.id = e.id cross join json_each(j.old::json) m
                    where j.change = 'row_delete'";
        self.compare("a deleted row", told, "updated").await;
        self.forget().await;
    }

    async fn forget(&self) {
        self.client.sql("delete from event.event").await;
    }

    /// Keeps what PostgreSQL says of the rows as they are now.
    async fn keep(&self, name: &str) {
        let table = self.name;
        self.client
            .sql(&format!("create table public.{table}_{name} as select id, to_jsonb(t) as data from public.{table} t"))
            .await;
    }

    /// Holds what was told (a query: id, key, value) against the rows that were kept.
    async fn compare(&self, what: &str, told: &str, kept: &str) {
        self.client.sql("select event.sync()").await;
        self.client.sql(&format!("drop table if exists pg_temp.told; create temp table told as {told}")).await;
        let scalars: Vec<_> = self.columns.iter().filter(|c| c.is_scalar).map(|c| Some(c.name.as_str())).collect();
        let query = format!(
            "select key, id, left(told.value::text, 300), left(wanted.value::text, 300)
             from pg_temp.told full join (
                 select id::text, k.key, k.value from public.{}_{kept} cross join jsonb_each(data) k) wanted using (id, key)
             where told.value is null or wanted.value is null or told.value::jsonb <> wanted.value
                or key = any ({}::text[]) and told.value::text <> wanted.value::text
             order by key, id",
            self.name,
            literal(&array_text(&scalars, ','))
        );
        let wrong = self.client.rows(&query).await;
        let shown = wrong.iter().take(SHOWN).map(|row| {
            let text = |at: usize| row[at].as_deref().unwrap_or("nothing");
            format!("{} of row {}\n    told:     {}\n    to_jsonb: {}", text(0), text(1), text(2), text(3))
        });
        let shown: Vec<String> = shown.collect();
        assert!(wrong.is_empty(), "{what}: {} values differ in {}:\n{}", wrong.len(), self.name, shown.join("\n"));
        let count = self.client.text("select count(*) from pg_temp.told").await;
        assert_eq!(count, (self.rows * (self.columns.len() + 1)).to_string(), "{what}: each value is told once");
    }
}
