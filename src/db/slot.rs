//! The slot, the publication, and the lock that lets one program at a time serve a database.

use tokio_postgres::Client;

use super::connect::error;
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::segment;
use crate::position::{EventId, Lsn, Progress};

/// The key of the advisory lock that the serving program holds: the bytes of "tidewire".
pub const LOCK: i64 = i64::from_be_bytes(*b"tidewire");

/// Takes the lock on this connection; false while another program serves the database.
///
/// # Errors
/// Those of the connection.
pub async fn try_lock(client: &Client) -> Result<bool> {
    Ok(client.query_one("select pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(error)?.get(0))
}

/// The state of the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotState {
    /// There is none of this name.
    Missing,
    /// It can be streamed from.
    Usable,
    /// The server gave it up (`wal_status = lost`, or invalidated).
    Lost,
    /// It has our name but is not ours: another plugin, another database, a physical one.
    Foreign(String),
}

/// Looks at the slot.
///
/// # Errors
/// Those of the connection.
pub async fn state(client: &Client, slot: &str) -> Result<SlotState> {
    let row = client
        .query_opt(
            "select coalesce(plugin::text, 'none (physical)'), coalesce(database::text, ''),
                    database is not distinct from current_database(), coalesce(wal_status = 'lost', false)
             from pg_replication_slots where slot_name = $1",
            &[&slot],
        )
        .await
        .map_err(error)?;
    let Some(row) = row else { return Ok(SlotState::Missing) };
    let (plugin, database): (&str, &str) = (row.get(0), row.get(1));
    if plugin != "pgoutput" || !row.get::<_, bool>(2) {
        return Ok(SlotState::Foreign(format!("Its plugin is {plugin}, its database \"{database}\".")));
    }
    Ok(if row.get(3) { SlotState::Lost } else { SlotState::Usable })
}

/// The error for a slot of our name that is not ours.
pub fn foreign(slot: &str, detail: String) -> Error {
    Error::new(ErrorKind::Setup, format!("replication slot \"{slot}\" belongs to another program"))
        .detail(detail)
        .hint(format!("If nothing uses it any more: select pg_drop_replication_slot('{slot}');"))
}

/// Creates the slot. Waits for the transactions that are open now to end, as PostgreSQL does.
///
/// # Errors
/// [`ErrorKind::Setup`] without a free slot or without the privilege.
pub async fn create(client: &Client, slot: &str) -> Result<()> {
    client.execute("select pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).await.map_err(|source| {
        let source = error(source).context("cannot create the replication slot");
        match source.kind() {
            ErrorKind::Database => Error::new(ErrorKind::Setup, source.message().to_owned())
                .hint(
                    "See which slots exist: select * from pg_replication_slots; drop those of no use, or raise \
                     max_replication_slots and restart the server.",
                )
                .source(source),
            _ => source,
        }
    })?;
    Ok(())
}

/// Drops the slot if it exists and is ours.
///
/// # Errors
/// Those of the connection; PostgreSQL's own when the slot is in use.
pub async fn drop(client: &Client, slot: &str) -> Result<()> {
    match state(client, slot).await? {
        SlotState::Missing | SlotState::Foreign(_) => Ok(()),
        SlotState::Usable | SlotState::Lost => {
            client.execute("select pg_drop_replication_slot($1)", &[&slot]).await.map_err(error)?;
            Ok(())
        }
    }
}

/// Notes that the slot is lost, before it is made again: whatever happens from here on, the sessions will be told.
///
/// # Errors
/// Those of the connection.
pub async fn note_gap(client: &Client, from: EventId) -> Result<()> {
    let sql = "update event.progress set gap_from = coalesce(gap_from, $1)";
    client.execute(sql, &[&from.to_string()]).await.map_err(error)?;
    Ok(())
}

/// Where a program that starts anew begins, and how many sessions were told of a gap. The subscriptions of a moment are
/// copied into `event.route`, and everything that commits after that moment will be told; what was between a noted gap
/// and that moment is said to be lost, in the same transaction.
///
/// While the copy is made no subscription can commit, so each is either in it or behind it in the WAL.
///
/// # Errors
/// Those of the connection.
pub async fn begin_anew(client: &mut Client) -> Result<(Progress, u64)> {
    let transaction = client.transaction().await.map_err(error)?;
    transaction
        .batch_execute(
            "lock table event.watched, event.subscription in share mode;
             delete from event.described;
             insert into event.described select relation, description from event.watched;
             delete from event.route;
             insert into event.route
             select id, session_id, kind, relation, attnum, key, visible, durable from event.subscription
             where ended is null;
             delete from event.subscription where ended is not null;
             delete from event.inbox i where not exists (select from event.session s where s.id = i.session_id);",
        )
        .await
        .map_err(error)?;
    let row = transaction
        .query_one("select pg_current_wal_insert_lsn()::text, (select gap_from from event.progress)", &[])
        .await
        .map_err(error)?;
    let begin = EventId { lsn: row.get::<_, &str>(0).parse::<Lsn>()?, number: 0 };
    let mut told = 0;
    if let Some(from) = row.get::<_, Option<&str>>(1) {
        super::inbox::ensure_partition(&transaction, segment(begin.lsn)).await?;
        let sql = "select event._tell_gap($1, $2, $1, 'slot_lost')";
        let row = transaction.query_one(sql, &[&begin.to_string(), &from]).await.map_err(error)?;
        told = row.get::<_, i64>(0).unsigned_abs();
    }
    transaction
        .execute(
            "insert into event.progress (lsn, number) values ($1::text::pg_lsn, 0)
             on conflict (only_one) do update set lsn = excluded.lsn, number = 0, messages = 0, gap_from = null,
                                                  updated_at = clock_timestamp()",
            &[&begin.lsn.to_string()],
        )
        .await
        .map_err(error)?;
    transaction.commit().await.map_err(error)?;
    Ok((Progress { id: begin, messages: 0 }, told))
}

/// The progress row, and whether a gap has yet to be told; `None` before the first start.
///
/// # Errors
/// Those of the connection.
pub async fn progress(client: &Client) -> Result<Option<(Progress, bool)>> {
    let sql = "select lsn::text, number, messages, gap_from is not null from event.progress";
    let row = client.query_opt(sql, &[]).await.map_err(error)?;
    row.map(|row| {
        let number = u32::try_from(row.get::<_, i64>(1)).unwrap_or(EventId::WHOLE);
        let id = EventId { lsn: row.get::<_, &str>(0).parse()?, number };
        Ok((Progress { id, messages: row.get(2) }, row.get(3)))
    })
    .transpose()
}
