//! The slot, how long the lease lasts, and where the walk begins.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::connect::error;
use crate::capture::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::segment;
use crate::position::{EventId, Lsn, Progress};

/// The first `server_version_num` that knows slots which survive a failover.
const FAILOVER_SINCE: i32 = 170_000;

/// The server ends the connection that holds the lease when it has heard nothing for this long: the program's machine may be gone
/// without a word, or the process may be frozen. A standby has then taken over within five seconds.
const LEASE: &str =
    "set idle_session_timeout = '4s'; set idle_in_transaction_session_timeout = '4s'; set statement_timeout = 0";

/// Limits how long the lease outlives its holder.
///
/// # Errors
/// Those of the connection.
pub async fn lease(client: &Client) -> Result<()> {
    client.batch_execute(LEASE).await.map_err(error)
}

/// Renews the lease. Returns whether the server streams from `slot` to anybody; true without a slot.
///
/// # Errors
/// Those of the connection: the lease is lost.
pub async fn renew(client: &Client, slot: Option<&str>) -> Result<bool> {
    let Some(slot) = slot else { return client.batch_execute("select").await.map_err(error).map(|()| true) };
    let sql = "select exists (select from pg_replication_slots where slot_name = $1 and active)";
    Ok(client.query_typed(sql, &[(&slot, Type::TEXT)]).await.map_err(error)?.first().is_some_and(|row| row.get(0)))
}

/// Notes a step of the walk that does not end, for the next walk.
///
/// # Errors
/// Those of the connection.
pub async fn note_hang(client: &Client, (lsn, message, kind): Place) -> Result<()> {
    let sql = "insert into event.hang (lsn, message, kind) values ($1::text::pg_lsn, $2, $3) on conflict do nothing";
    client.execute(sql, &[&lsn.to_string(), &message, &i16::from(kind)]).await.map(std::mem::drop).map_err(error)
}

/// The steps of the walk that did not end, and are not behind it yet.
///
/// # Errors
/// Those of the connection.
pub async fn hangs(client: &Client, done: EventId) -> Result<Vec<Place>> {
    let sql = "delete from event.hang where lsn < $1::text::pg_lsn";
    client.execute(sql, &[&done.lsn.to_string()]).await.map_err(error)?;
    let rows = client.query("select lsn::text, message, kind from event.hang", &[]).await.map_err(error)?;
    let place = |row: &tokio_postgres::Row| {
        let kind = u8::try_from(row.get::<_, i16>(2)).unwrap_or_default();
        Ok((row.get::<_, &str>(0).parse()?, row.get(1), kind))
    };
    rows.iter().map(place).collect()
}

/// Passes over a transaction that the server cannot send, and that can be seen by now: every session is told of a gap. Returns how many.
/// Should the program end before the slot is behind it, the next one comes to it again, and makes one gap of both.
///
/// # Errors
/// Those of the connection.
pub async fn pass_over(client: &mut Client, slot: &str, commits_at: Lsn, code: &str) -> Result<u64> {
    let transaction = client.transaction().await.map_err(error)?;
    let sql = "select event._pass_over($1::text::pg_lsn, $2)";
    let told = transaction.query_one(sql, &[&commits_at.to_string(), &code]).await.map_err(error)?.get::<_, i64>(0);
    transaction.commit().await.map_err(error)?;
    // a commit that starts before the confirmed place is not sent
    let behind = Lsn(commits_at.0 + 1).to_string();
    let sql = "select pg_replication_slot_advance($1, $2::text::pg_lsn)";
    client.execute(sql, &[&slot, &behind]).await.map_err(error)?;
    Ok(told.unsigned_abs())
}

/// Ends the stream that still holds the slot: since the lease is ours, its program is gone, frozen, or has given up.
///
/// # Errors
/// Those of the connection.
pub async fn free(client: &Client, slot: &str) -> Result<()> {
    // waits for a moment: the server is about to notice by itself most of the time
    let sql = "select pg_terminate_backend(active_pid, 2000) from pg_replication_slots
               where slot_name = $1 and active_pid is not null";
    match client.execute(sql, &[&slot]).await.map_err(error) {
        // another role's: opening the stream will say so
        Err(failed) if failed.kind() == ErrorKind::Setup => Ok(()),
        freed => freed.map(std::mem::drop),
    }
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

/// What commits before it is not streamed any more.
///
/// # Errors
/// Those of the connection.
pub async fn confirmed(client: &Client, slot: &str) -> Result<Lsn> {
    let sql = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
    let row = client.query_opt(sql, &[&slot]).await.map_err(error)?;
    row.and_then(|row| row.get::<_, Option<&str>>(0).map(str::parse)).unwrap_or(Ok(Lsn::default()))
}

/// The error for a slot of our name that is not ours.
pub fn foreign(slot: &str, detail: String) -> Error {
    Error::new(ErrorKind::Setup, format!("replication slot \"{slot}\" belongs to another program"))
        .detail(detail)
        .hint(format!("If nothing uses it any more: select pg_drop_replication_slot('{slot}');"))
}

/// Creates the slot. Waits for the transactions that are open now to end, as PostgreSQL does.
///
/// From PostgreSQL 17 on it is a failover slot: a standby that synchronizes slots has it too, and goes on with it once
/// it is promoted. Where there is no such standby that changes nothing.
///
/// # Errors
/// [`ErrorKind::Setup`] without a free slot or without the privilege.
pub async fn create(client: &Client, slot: &str) -> Result<()> {
    let row = client.query_one("select current_setting('server_version_num')::int", &[]).await.map_err(error)?;
    let sql = if row.get::<_, i32>(0) >= FAILOVER_SINCE {
        "select pg_create_logical_replication_slot($1, 'pgoutput', failover => true)"
    } else {
        "select pg_create_logical_replication_slot($1, 'pgoutput')"
    };
    client.execute(sql, &[&slot]).await.map_err(|source| {
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

/// Takes back a slot that nothing was read from. At the first start nothing is left of it; later on
/// the sessions are told that it is missing, as of any that is.
///
/// # Errors
/// Those of the connection.
pub async fn undo(client: &Client, slot: &str, is_first: bool) -> Result<()> {
    drop(client, slot).await?;
    if is_first {
        client.batch_execute("delete from event.progress").await.map_err(error)?;
    }
    Ok(())
}

/// What is known of the WAL that was read before.
#[derive(Debug)]
pub struct Past {
    /// The newest progress row.
    pub done: Progress,
    /// Changes are lost, and no session has been told yet.
    pub has_gap: bool,
    /// The tables are in another cluster, on another timeline or in another database than at the last start.
    pub has_moved: bool,
    /// The end of the WAL that there is now.
    pub wal_end: Lsn,
}

/// What is known of the WAL that was read before; `None` before the first start.
///
/// # Errors
/// Those of the connection.
pub async fn past(client: &Client) -> Result<Option<Past>> {
    let sql = "select p.lsn::text, p.number, p.messages, i.gap_from is not null, i.home <> event._home(),
                      pg_current_wal_insert_lsn()::text
               from event._progress() p, event.installation i where p.lsn is not null";
    let row = client.query_opt(sql, &[]).await.map_err(error)?;
    row.map(|row| {
        let number = u32::try_from(row.get::<_, i64>(1)).unwrap_or(EventId::WHOLE);
        let id = EventId { lsn: row.get::<_, &str>(0).parse()?, number };
        Ok(Past {
            done: Progress { id, messages: row.get(2) },
            has_gap: row.get(3),
            has_moved: row.get::<_, Option<bool>>(4).unwrap_or(false),
            wal_end: row.get::<_, &str>(5).parse()?,
        })
    })
    .transpose()
}

/// Why changes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The slot was dropped or invalidated.
    Slot,
    /// The database is as it was at an earlier time, or elsewhere.
    Restored,
}

impl Loss {
    /// The word in the gap event.
    pub fn as_str(self) -> &'static str {
        match self {
            Loss::Slot => "slot_lost",
            Loss::Restored => "database_restored",
        }
    }
}

/// Notes that changes are lost, before the slot is made again: whatever happens from here on, the sessions will be told.
///
/// # Errors
/// Those of the connection.
pub async fn note_gap(client: &Client, from: EventId, loss: Loss) -> Result<()> {
    let sql = "update event.installation set gap_reason = case when gap_from is null then $2 else gap_reason end,
                                             gap_from = coalesce(gap_from, $1)";
    client.execute(sql, &[&from.to_string(), &loss.as_str()]).await.map_err(error)?;
    Ok(())
}

/// The database went back behind `reached`, or to another place, and its slot came along: every session is told, and the
/// walk goes on from the progress row. Returns how many sessions are told.
///
/// # Errors
/// Those of the connection.
pub async fn note_return(client: &mut Client, slot: &str, from: EventId, reached: EventId) -> Result<u64> {
    let transaction = client.transaction().await.map_err(error)?;
    let sql = "select event._tell_gap($2, $3, greatest($4, event._event_id(confirmed_flush_lsn, 0)) collate \"C\")
               from pg_replication_slots where slot_name = $1";
    let reason = Loss::Restored.as_str();
    let told = transaction
        .query_one(sql, &[&slot, &reason, &from.to_string(), &reached.to_string()])
        .await
        .map_err(error)?
        .get::<_, i64>(0);
    transaction
        .batch_execute("select event._end_strangers(); update event.installation set home = event._home()")
        .await
        .map_err(error)?;
    transaction.commit().await.map_err(error)?;
    Ok(told.unsigned_abs())
}

/// Whoever subscribes waits behind this: 200 ms at most, for the three together.
const LOCK_SUBSCRIPTIONS: &str = "set local lock_timeout = '66ms';
    lock table event.watched, event.subscription, event.ending in share row exclusive mode; set local lock_timeout = 0";

/// After that others may subscribe for as long.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Where a program that starts anew begins, and how many sessions are told of which gap. The subscriptions of a moment are
/// copied into `event.route`, and everything that commits after that moment will be told; what was between a noted gap
/// and that moment is said to be lost, in the same transaction.
///
/// While the copy is made no subscription can commit, so each is either in it or behind it in the WAL. Those that have ended
/// come by once more behind it: the copy knows them, but not as anything that a change could match.
///
/// # Errors
/// Those of the connection.
pub async fn begin_anew(client: &mut Client, slot: &str, has_moved: bool) -> Result<(Progress, Option<(Loss, u64)>)> {
    let mut transaction = client.transaction().await.map_err(error)?;
    loop {
        let attempt = transaction.savepoint("attempt").await.map_err(error)?;
        match attempt.batch_execute(LOCK_SUBSCRIPTIONS).await {
            Ok(()) => break attempt.commit().await.map_err(error)?,
            // a transaction with a subscription is open
            Err(source) if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                attempt.rollback().await.map_err(error)?;
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            Err(source) => return Err(error(source)),
        }
    }
    if has_moved {
        transaction.batch_execute("select event._end_strangers()").await.map_err(error)?;
    }
    let row = transaction
        .query_one("select pg_current_wal_insert_lsn()::text, gap_from, gap_reason from event.installation", &[])
        .await
        .map_err(error)?;
    let begin = EventId { lsn: row.get::<_, &str>(0).parse::<Lsn>()?, number: 0 };
    let mut told = None;
    super::inbox::ensure_partition_within(&transaction, segment(begin.lsn)).await?;
    let begin_text = begin.to_string();
    if let (Some(from), Some(reason)) = (row.get::<_, Option<&str>>(1), row.get::<_, Option<&str>>(2)) {
        // A restored database may have events of a time that is not to come: the next ones would be sorted before them.
        for sql in ["delete from event.inbox where id > $1", "delete from event.journal where id > $1"] {
            transaction.execute(sql, &[&begin_text]).await.map_err(error)?;
        }
        let from = begin_text.as_str().min(from);
        let sql = "select event._tell_gap($1, $2, $3)";
        let row = transaction.query_one(sql, &[&reason, &from, &begin_text]).await.map_err(error)?;
        let loss = if reason == Loss::Slot.as_str() { Loss::Slot } else { Loss::Restored };
        told = Some((loss, row.get::<_, i64>(0).unsigned_abs()));
    }
    transaction
        .batch_execute(
            "delete from event.described;
             insert into event.described select relation, description from event.watched;
             delete from event.route;
             insert into event.route
             select s.id, s.session_id, s.kind, case when e.id is null then s.relation else 0 end, s.attnum, s.key, s.visible,
                    s.durable
             from event.subscription s left join event.ending e on e.id = s.id
             where not s.waiting and e.delivered is not true;
             delete from event.inbox i where not exists (select from event.session s where s.id = i.session_id);",
        )
        .await
        .map_err(error)?;
    transaction
        .execute(
            "with past as (delete from event.progress) insert into event.progress (lsn, number) values ($1::text::pg_lsn, 0)",
            &[&begin.lsn.to_string()],
        )
        .await
        .map_err(error)?;
    let sql = "update event.installation set slot = $1, home = event._home(), gap_from = null, gap_reason = null";
    transaction.execute(sql, &[&slot]).await.map_err(error)?;
    let sql = "update event.ending set reason = reason where not delivered";
    transaction.execute(sql, &[]).await.map_err(error)?;
    transaction.commit().await.map_err(error)?;
    Ok((Progress { id: begin, messages: 0 }, told))
}
