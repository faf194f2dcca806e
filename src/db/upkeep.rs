//! The statements of upkeep.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect::error;
use crate::config::Limits;
use crate::crash;
use crate::error::{Error, ErrorKind, Result};

/// What a look at the database does, each in a transaction of its own.
const STEPS: [&str; 5] = [
    "select event._sweep_privileges()",
    "select event._sweep_schema()",
    "select event._sweep_subscriptions()",
    "select event._sweep_sessions()",
    // last: it may have to wait for the lock of whoever alters what a view reads
    "select event._sweep_mirrors()",
];

/// What it does for each of some tables, each in a transaction of its own: a table's writers may have to wait for one of these
/// locks, and must not wait for those of the other tables too.
const TABLE_STEPS: [(&str, &str); 2] = [
    ("select event._unidentified(null)", "select event._identify($1)"),
    ("select event._idle_watches()", "select event._let_go($1)"),
];

/// What came of a look.
#[derive(Debug)]
pub struct Looked {
    /// Until the database moves on there is nothing to look for: everybody is told who was not notified of something.
    pub is_done: bool,
    /// Tables that were not in the publication any more and are again, and how many sessions are told of a gap.
    pub republished: Vec<(String, u64)>,
    /// The first of what went wrong with one thing, after the others were done.
    pub failed: Option<Error>,
}

/// Sets up a connection for upkeep: rows of a subscriber's open transaction are left for the next time. Compiling plans over many
/// partitions takes seconds, and running them a tenth of that.
///
/// # Errors
/// Those of the connection.
pub async fn begin(client: &Client) -> Result<()> {
    client
        .batch_execute("set lock_timeout = '200ms'; set client_min_messages = warning; set jit = off")
        .await
        .map_err(error)
}

/// Who may still see the altered tables, what was dropped, which tables nobody watches any more, who was not notified.
///
/// # Errors
/// Those of the connection.
pub async fn look_after(client: &Client, altered: &[u32]) -> Result<Looked> {
    let mut first = None;
    for relation in altered {
        note(client.execute("select event._recheck($1)", &[relation]).await, &mut first)?;
    }
    for step in STEPS {
        note(client.execute(step, &[]).await, &mut first)?;
    }
    for (which, step) in TABLE_STEPS {
        for row in note(client.query(which, &[]).await, &mut first)?.unwrap_or_default() {
            let done = note(client.query_one(step, &[&row.get::<_, u32>(0)]).await, &mut first)?;
            if let Some(why) = done.and_then(|done| done.get::<_, Option<String>>(0)) {
                first.get_or_insert(Error::new(ErrorKind::Database, why));
            }
        }
    }
    let mut republished = Vec::new();
    for row in note(client.query("select event._unpublished()", &[]).await, &mut first)?.unwrap_or_default() {
        let sql = "select name, told, why from event._republish($1)";
        let Some(done) = note(client.query_one(sql, &[&row.get::<_, u32>(0)]).await, &mut first)? else { continue };
        if let Some(why) = done.get::<_, Option<String>>(2) {
            first.get_or_insert(Error::new(ErrorKind::Database, why));
        }
        republished.extend(done.get::<_, Option<i64>>(1).map(|told| (done.get(0), told.unsigned_abs())));
    }
    // who connects writes nothing
    let done = "select event._tell_skipped() and not event._is_mirrored('connection')
                       and not exists (select from event._waiting())";
    let done = note(client.query_one(done, &[]).await, &mut first)?;
    // who holds a lock may have kept it from being told
    Ok(Looked { is_done: done.is_some_and(|done| done.get(0)), republished, failed: first })
}

/// The tables that are to be prepared for subscriptions that wait.
///
/// # Errors
/// Those of the connection.
pub async fn waiting(client: &Client) -> Result<Vec<u32>> {
    let rows = client.query("select event._waiting()", &[]).await.map_err(error)?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// What became of the subscriptions that wait for a table.
#[derive(Debug)]
pub enum Prepared {
    /// They took effect, or ended; with what was in the way.
    Done(Option<String>),
    /// There are none, or their transaction cannot be seen yet.
    Nobody,
    /// Something could not be locked now.
    Busy {
        /// What.
        why: String,
        /// It is the table, whose writers have waited for that long too.
        of_table: bool,
    },
}

/// Watches a table for the subscriptions that wait for it.
///
/// # Errors
/// Those of the connection.
pub async fn prepare(client: &Client, relation: u32) -> Result<Prepared> {
    let sql = "select p.waiting, p.why, exists (select from event._waiting() w where w = $1),
                      coalesce(p.of_table, false) from event._prepare($1) p";
    let row = client.query_one(sql, &[&relation]).await.map_err(error)?;
    let why: Option<String> = row.get(1);
    Ok(match (row.get::<_, i64>(0), why) {
        (0, _) => Prepared::Nobody,
        (_, Some(why)) if row.get(2) => Prepared::Busy { why, of_table: row.get(3) },
        (_, why) => Prepared::Done(why),
    })
}

/// Keeps the first failure of what failed by itself. Whoever holds a lock, which anybody can, is waited for until the next look.
fn note<T>(outcome: std::result::Result<T, tokio_postgres::Error>, first: &mut Option<Error>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(failed) if failed.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
        Err(failed) => match error(failed) {
            lost if lost.kind() == ErrorKind::Connection => Err(lost),
            failed => {
                first.get_or_insert(failed);
                Ok(None)
            }
        },
    }
}

/// Empties the inboxes that are over their limits, drops the partitions before `segment` that nobody needs. Returns a reason
/// for each inbox that was emptied.
///
/// # Errors
/// Those of the connection.
pub async fn retain(client: &Client, segment: i64, limits: &Limits) -> Result<Vec<String>> {
    let sql = "select event._cap_inboxes(pg_size_bytes($1), $2::text::interval)";
    let emptied = client.query(sql, &[&limits.inbox_size, &limits.inbox_age]).await.map_err(error)?;
    crash::point("before_drop_partitions");
    client.execute("select event._drop_partitions($1)", &[&segment]).await.map_err(error)?;
    crash::point("after_drop_partitions");
    Ok(emptied.into_iter().map(|row| row.get(0)).collect())
}

/// Whether the limits can be read; PostgreSQL reads them.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for what is no size or no interval.
pub async fn check_limits(client: &Client, limits: &Limits) -> Result<()> {
    let checks = [
        ("inbox-max-size", &limits.inbox_size, "select pg_size_bytes($1) > 0", "It looks like 500MB or 2GB."),
        (
            "inbox-max-age",
            &limits.inbox_age,
            "select $1::text::interval > '0'",
            "It looks like '7 days' or '12 hours'.",
        ),
        ("role-max-inbox-size", &limits.role_inbox_size, "select pg_size_bytes($1) > 0", "It looks like 2GB or 20GB."),
    ];
    for (name, value, sql, hint) in checks {
        let wrong = |why: String| Error::new(ErrorKind::InvalidInput, format!("{name}: {why}")).hint(hint);
        match client.query_one(sql, &[value]).await.map_err(error) {
            Ok(row) if row.get(0) => {}
            Ok(_) => return Err(wrong(format!("\"{value}\" is not more than nothing"))),
            Err(failed) if failed.kind() == ErrorKind::Database => return Err(wrong(failed.message().to_owned())),
            Err(failed) => return Err(failed),
        }
    }
    Ok(())
}
