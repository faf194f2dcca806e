//! Installs, migrates and removes the database side: two schemas, a publication, event triggers.

use tokio_postgres::Client;

use super::connect::error;
use super::slot;
use crate::error::{Error, ErrorKind, Result};

/// The version of the installed schemas. Raised with every change to `sql/`.
const VERSION: i32 = 1;

/// The publication's name. One in each database.
pub const PUBLICATION: &str = "tidewire";

/// The oldest PostgreSQL that has all that is needed (`pg_logical_emit_message` in pgoutput, `typsubscript`).
const OLDEST: i32 = 140_000;

/// In the order in which they need each other.
const FILES: [&str; 11] = [
    include_str!("../../sql/meta/identifier.sql"),
    include_str!("../../sql/meta/json.sql"),
    include_str!("../../sql/event/relation.sql"),
    include_str!("../../sql/event/installation.sql"),
    include_str!("../../sql/event/session.sql"),
    include_str!("../../sql/event/watch.sql"),
    include_str!("../../sql/event/subscription.sql"),
    include_str!("../../sql/event/inbox.sql"),
    include_str!("../../sql/event/read.sql"),
    include_str!("../../sql/event/engine.sql"),
    include_str!("../../sql/event/privilege.sql"),
];

/// Only for superusers: others may not create event triggers.
const DDL: &str = include_str!("../../sql/event/ddl.sql");

/// What is installed in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// Nothing of ours.
    Nothing,
    /// This version of the schemas.
    Version(i32),
    /// Something else has a name that we need.
    Foreign(&'static str),
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
            "select to_regclass('event.installation') is not null,
                    exists (select from pg_namespace where nspname = 'event'),
                    exists (select from pg_namespace where nspname = 'meta'),
                    exists (select from pg_publication where pubname = $1)",
            &[&PUBLICATION],
        )
        .await
        .map_err(error)?;
    if row.get(0) {
        let version = client.query_opt("select version from event.installation", &[]).await.map_err(error)?;
        return Ok(version.map_or(Installed::Foreign("schema \"event\""), |row| Installed::Version(row.get(0))));
    }
    let foreign = ["schema \"event\"", "schema \"meta\"", "publication \"tidewire\""];
    Ok((1..4).find(|&at| row.get(at)).map_or(Installed::Nothing, |at| Installed::Foreign(foreign[at - 1])))
}

/// Refuses a server that cannot serve us, before anything is changed.
///
/// # Errors
/// [`ErrorKind::Setup`] with the remedy.
pub async fn check_server(client: &Client) -> Result<()> {
    let row = client
        .query_one(
            "select current_setting('server_version_num')::int, current_setting('wal_level'), pg_is_in_recovery(),
                    (select rolsuper or rolreplication from pg_roles where rolname = current_user), current_user::text",
            &[],
        )
        .await
        .map_err(error)?;
    let version: i32 = row.get(0);
    if version < OLDEST {
        return Err(Error::new(ErrorKind::Setup, format!("PostgreSQL {} is too old", version / 10_000))
            .hint("Tidewire needs PostgreSQL 14 or newer."));
    }
    if row.get::<_, bool>(2) {
        return Err(Error::new(ErrorKind::Setup, "the server is a standby").hint("Connect to the primary."));
    }
    let wal_level: &str = row.get(1);
    if wal_level != "logical" {
        return Err(Error::new(ErrorKind::Setup, format!("wal_level is \"{wal_level}\", and must be \"logical\""))
            .hint("alter system set wal_level = logical; then restart the server."));
    }
    if !row.get::<_, bool>(3) {
        let role: &str = row.get(4);
        return Err(Error::new(ErrorKind::Setup, format!("role \"{role}\" may not replicate"))
            .hint(format!("As a superuser: alter role {role} replication;")));
    }
    Ok(())
}

/// Installs what is missing; nothing if it is all there.
///
/// # Errors
/// [`ErrorKind::Setup`] when the names are taken, the version is a newer one's, or a privilege is missing.
pub async fn install(client: &mut Client) -> Result<()> {
    check_server(client).await?;
    match installed(client).await? {
        Installed::Version(VERSION) => return check_publication(client).await,
        Installed::Version(other) => {
            return Err(Error::new(ErrorKind::Setup, format!("the schemas are of version {other}, not {VERSION}"))
                .hint("Use the tidewire that installed them, or a newer one."));
        }
        Installed::Foreign(what) => {
            return Err(Error::new(ErrorKind::Setup, format!("{what} exists and is not Tidewire's"))
                .hint("Rename or drop it, or give Tidewire a database of its own."));
        }
        Installed::Nothing => {}
    }
    let slot = slot_name(client).await?;
    if let slot::SlotState::Foreign(detail) = slot::state(client, &slot).await? {
        return Err(slot::foreign(&slot, detail));
    }
    let superuser: bool = client
        .query_one("select rolsuper from pg_roles where rolname = current_user", &[])
        .await
        .map_err(error)?
        .get(0);
    let transaction = client.transaction().await.map_err(error)?;
    transaction
        .batch_execute(
            "set local client_min_messages = warning; set local check_function_bodies = on;
             create schema meta; create schema event;
             comment on schema meta is 'Tidewire: names for the objects of the database.';
             comment on schema event is 'Tidewire: sessions, subscriptions, events.';",
        )
        .await
        .map_err(|source| error(source).context("cannot install"))?;
    for file in FILES {
        transaction.batch_execute(file).await.map_err(|source| error(source).context("cannot install"))?;
    }
    if superuser {
        transaction.batch_execute(DDL).await.map_err(|source| error(source).context("cannot install"))?;
    }
    transaction
        .execute(
            "insert into event.installation (version, program, publication, slot) values ($1, $2, $3, $4)",
            &[&VERSION, &env!("CARGO_PKG_VERSION"), &PUBLICATION, &slot],
        )
        .await
        .map_err(error)?;
    transaction
        .batch_execute(
            "create publication tidewire for table only event.subscription, only event.session;
             comment on publication tidewire is 'Tidewire: the watched tables, and its own subscriptions.';",
        )
        .await
        .map_err(|source| error(source).context("cannot install"))?;
    transaction.commit().await.map_err(error)
}

/// Refuses a publication that would feed what we write back to us, or tell us too little.
async fn check_publication(client: &Client) -> Result<()> {
    let rows = client
        .query(
            "select schemaname || '.' || tablename from pg_publication_tables
             where pubname = $1 and (schemaname in ('event', 'meta'))
               and (schemaname, tablename) not in (('event', 'subscription'), ('event', 'session'))",
            &[&PUBLICATION],
        )
        .await
        .map_err(error)?;
    if let Some(row) = rows.first() {
        let table: &str = row.get(0);
        return Err(Error::new(
            ErrorKind::Setup,
            format!("publication \"{PUBLICATION}\" has Tidewire's own table {table}"),
        )
        .detail("Each event written would be the next event.")
        .hint(format!("alter publication {PUBLICATION} drop table {table};")));
    }
    let row = client
        .query_opt(
            "select pubinsert and pubupdate and pubdelete and pubtruncate and not pubviaroot and not puballtables
                    and 2 = (select count(*) from pg_publication_rel where prpubid = p.oid
                             and prrelid in ('event.subscription'::regclass, 'event.session'::regclass))
             from pg_publication p where pubname = $1",
            &[&PUBLICATION],
        )
        .await
        .map_err(error)?;
    match row.map(|row| row.get::<_, bool>(0)) {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(ErrorKind::Setup, format!("publication \"{PUBLICATION}\" was altered"))
            .detail("It must publish inserts, updates, deletes and truncates of event.subscription, event.session and the watched tables.")
            .hint("tidewire uninstall, then tidewire install; or undo what was altered.")),
        None => Err(Error::new(ErrorKind::Setup, format!("publication \"{PUBLICATION}\" is gone"))
            .hint("tidewire uninstall, then tidewire install.")),
    }
}

/// Removes everything: tables get back the replica identity that they had.
///
/// # Errors
/// [`ErrorKind::Standby`] while a program serves the database; [`ErrorKind::Setup`] when a watched table is busy.
pub async fn uninstall(client: &mut Client) -> Result<bool> {
    let slot = slot_name(client).await?;
    let installed = installed(client).await?;
    if let Installed::Foreign(_) = installed {
        return Ok(false);
    }
    if !slot::try_lock(client).await? {
        return Err(Error::new(ErrorKind::Standby, "tidewire up is running on this database").hint("Stop it first."));
    }
    if installed == Installed::Nothing {
        return Ok(false);
    }
    let transaction = client.transaction().await.map_err(error)?;
    let busy = transaction.query("select event._uninstall()", &[]).await.map_err(error)?;
    if let Some(row) = busy.first() {
        let table: &str = row.get(0);
        return Err(Error::new(ErrorKind::Setup, format!("table {table} could not be put back as it was"))
            .detail("It is busy, or this role may not alter it. Nothing was removed.")
            .hint("Try again at a quiet moment, as the role that installed Tidewire or as a superuser."));
    }
    transaction
        .batch_execute(
            "set local client_min_messages = warning;
             drop publication if exists tidewire;
             drop event trigger if exists tidewire_ddl;
             drop schema event cascade; drop schema meta cascade;",
        )
        .await
        .map_err(|source| error(source).context("cannot uninstall"))?;
    transaction.commit().await.map_err(error)?;
    slot::drop(client, &slot).await?;
    Ok(true)
}
