//! What of ours is in a database, and under which names.

use tokio_postgres::Client;

use super::connect::error;
use crate::error::Result;

/// The version of the installed schemas. Raised with every change to `sql/` once there is a release.
pub const VERSION: i32 = 1;

/// The publication's name. One in each database.
pub const PUBLICATION: &str = "tidewire";

/// The event triggers, which a superuser's install makes.
pub const EVENT_TRIGGERS: [&str; 3] = ["tidewire_ddl", "tidewire_catalog", "tidewire_catalog_drop"];

/// What is installed in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// Nothing of ours.
    Nothing,
    /// This version of the schemas.
    Version(i32),
    /// These have names that we need, and are something else's.
    Foreign(Vec<&'static str>),
}

/// The slot's name: slots are the cluster's, so it has the database's oid in it.
///
/// # Errors
/// Those of the connection.
pub async fn slot_name(client: &Client) -> Result<String> {
    let sql = "select 'tidewire_' || oid from pg_database where datname = current_database()";
    Ok(client.query_one(sql, &[]).await.map_err(error)?.get(0))
}

/// Looks what is there.
///
/// # Errors
/// Those of the connection.
pub async fn installed(client: &Client) -> Result<Installed> {
    let row = client
        .query_one(
            "select 3 = (select count(*) from pg_attribute where attrelid = to_regclass('event.installation')
                         and attname in ('version', 'publication', 'slot')),
                    exists (select from pg_namespace where nspname = 'event'),
                    exists (select from pg_namespace where nspname = 'meta'),
                    exists (select from pg_publication where pubname = $1)",
            &[&PUBLICATION],
        )
        .await
        .map_err(error)?;
    if row.get(0)
        && let Some(row) = client.query_opt("select version from event.installation", &[]).await.map_err(error)?
    {
        return Ok(Installed::Version(row.get(0)));
    }
    let foreign = ["schema event", "schema meta", "publication tidewire"].into_iter().enumerate();
    let foreign: Vec<_> = foreign.filter(|(at, _)| row.get(at + 1)).map(|(_, what)| what).collect();
    Ok(if foreign.is_empty() { Installed::Nothing } else { Installed::Foreign(foreign) })
}
