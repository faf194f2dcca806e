//! The catalog as data: `meta.schema`, `meta.table`, `meta.column`, `meta.view`, read and written. PostgreSQL itself is asked whether it is
//! right: its catalog, `information_schema`, pg_dump.

mod read;
mod refused;
mod round_trip;
mod told;
mod written;

use crate::support::{Client, Database};

/// A database in which Tidewire is installed, and a connection to it.
async fn stage() -> (Database, Client) {
    let database = Database::start().await;
    database.install().await;
    let client = database.connect().await;
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
