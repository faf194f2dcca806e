//! What of ours is in a database, and under which names.

use tokio_postgres::Client;

use super::connect::error;
use super::ownership::Seal;
use crate::error::Result;

/// The version of the installed schemas. Raised with every change to `sql/` once there is a release.
pub const VERSION: i32 = 1;

/// The publication's name. One in each database.
pub const PUBLICATION: &str = "tidewire";

/// The event triggers, which a superuser's install makes.
pub const EVENT_TRIGGERS: [&str; 4] =
    ["tidewire_ddl", "tidewire_ddl_drop", "tidewire_catalog", "tidewire_catalog_drop"];

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

/// Reads what is there, of schemas that were looked at.
///
/// # Errors
/// Those of the connection; [`crate::error::ErrorKind::Setup`] when they are others by now.
pub async fn installed(client: &Client, seal: Option<Seal>) -> Result<Installed> {
    let row = client
        .query_one(
            "select 3 = (select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
                         where c.oid = to_regclass('event.installation') and c.relkind = 'r' and not c.relhasrules
                         and a.attname in ('version', 'publication', 'slot')),
                    exists (select from pg_namespace where nspname = 'event'),
                    exists (select from pg_namespace where nspname = 'meta'),
                    exists (select from pg_publication where pubname = $1)",
            &[&PUBLICATION],
        )
        .await
        .map_err(error)?;
    if let (Some(seal), true) = (seal, row.get(0)) {
        let version = seal.within(client, version(client)).await?;
        if let Some(version) = version {
            return Ok(Installed::Version(version));
        }
    }
    let foreign = ["schema event", "schema meta", "publication tidewire"].into_iter().enumerate();
    let foreign: Vec<_> = foreign.filter(|(at, _)| row.get(at + 1)).map(|(_, what)| what).collect();
    Ok(if foreign.is_empty() { Installed::Nothing } else { Installed::Foreign(foreign) })
}

async fn version(client: &Client) -> Result<Option<i32>> {
    let row = client.query_opt("select version from event.installation", &[]).await.map_err(error)?;
    Ok(row.map(|row| row.get(0)))
}
