//! The catalog as data: `meta.schema`, `meta.table`, `meta.column`, `meta.view`, read and written. PostgreSQL itself is asked whether it is
//! right: its catalog, `information_schema`, pg_dump.

mod access;
mod access_written;
mod casts;
mod constraint;
mod constraint_written;
mod every_kind;
mod foreign;
mod function;
mod others;
mod read;
mod refused;
mod relation;
mod round_trip;
mod sequence;
mod told;
mod trigger;
mod types;
mod written;

use crate::support::{Client, Database};

/// Everything that `meta` knows, with all options and odd names.
const SAMPLES: &[(u32, &str)] = &[
    (14, "create role keeper; create role clerk;"),
    (14, include_str!("sample/type.sql")),
    (14, include_str!("sample/relation.sql")),
    (14, include_str!("sample/constraint.sql")),
    (15, include_str!("sample/constraint_15.sql")),
    (18, include_str!("sample/constraint_18.sql")),
    (14, include_str!("sample/function.sql")),
    (14, include_str!("sample/foreign.sql")),
    (14, include_str!("sample/access.sql")),
];

/// What of it this version of PostgreSQL has.
async fn samples(client: &Client) -> Vec<&'static str> {
    let major = client.major().await;
    SAMPLES.iter().filter(|(from, _)| *from <= major).map(|(_, sample)| *sample).collect()
}

/// A database in which Tidewire is installed, and a connection to it.
async fn stage() -> (Database, Client) {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.grant_writes().await;
    (database, client)
}

/// What PostgreSQL answers to what it refuses: code, message, hint.
async fn refused(client: &Client, sql: &str) -> String {
    match client.try_sql(sql).await {
        Ok(()) => panic!("not refused: {sql}"),
        Err(error) => {
            let hint = error.hint().map(|hint| format!(" -- {hint}")).unwrap_or_default();
            format!("{} {}{hint}", error.code().code(), error.message())
        }
    }
}

/// The rows, as text: columns are joined with bars, NULL is a dash.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.rows(sql).await.into_iter();
    rows.map(|row| row.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(" | "))
        .collect()
}

/// Both queries give the same rows, and at least one.
async fn same(client: &Client, what: &str, ours: &str, theirs: &str) {
    for (one, other) in [(ours, theirs), (theirs, ours)] {
        let missing = client.rows(&format!("select * from ({one}) a except all select * from ({other}) b")).await;
        assert!(missing.is_empty(), "{what}: {missing:?}");
    }
    assert_ne!(client.text(&format!("select count(*) from ({ours}) a")).await, "0", "{what}");
}

/// Relations of meta, and what each has that can be told.
async fn relations(client: &Client, which: &str) -> Vec<(String, String)> {
    let relations = format!(
        "select m.kind, (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
                                     where a.attrelid = to_regclass('event.meta_' || m.kind) and a.attnum > 0)
                     from event.mirror m where m.kind ~ '^({which})$' order by m.place"
    );
    let rows = client.rows(&relations).await.into_iter();
    rows.map(|row| {
        let mut row = row.into_iter().flatten();
        (row.next().unwrap(), row.next().unwrap())
    })
    .collect()
}
