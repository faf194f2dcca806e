//! The session that serves the database, and the one that writes for it: the rows of `event.server`.
//!
//! A module of its own because no lock can say it. Every role can hold an advisory lock, or wait in its queue. Only Tidewire's own role
//! can write these rows, and a row counts for as long as its session is there, which PostgreSQL says.

use tokio_postgres::Client;

use super::connect::error;
use crate::error::{Error, ErrorKind, Result};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It holds the lease: its program serves the database.
    Lease,
    /// It writes the batches.
    Writer,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Part::Lease => "lease",
            Part::Writer => "writer",
        }
    }
}

/// Whose a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// This session's.
    Us,
    /// Another session's that is there; its number unless it came first just now.
    Other(Option<i32>),
}

/// Whether the session `a` is the one that the row `s` is of. A number is used again: then its role or its start is another. The start of
/// a session is hidden from a role that has not its role's rights; then the number and the role have to do.
const IS_THERE: &str = "a.pid = s.pid and a.usesysid = s.role and coalesce(a.backend_start = s.started, true)";

/// Makes this session the holder if no other is there. Of several that try at once one wins: `turn` is compared and raised in one statement.
/// No standby has to have the row: there the session is not.
///
/// # Errors
/// Those of the connection.
pub async fn try_take(client: &Client, part: Part) -> Result<Holder> {
    let sql = format!(
        "with seen as materialized (
             select s.part, s.turn,
                    (select a.pid from pg_stat_activity a where {IS_THERE} and a.pid <> pg_backend_pid()) as holder
             from event.server s where s.part = $1
         ), taken as (
             update event.server s set pid = me.pid, role = me.usesysid, started = me.backend_start, turn = s.turn + 1
             from seen, pg_stat_activity me
             where s.part = seen.part and s.turn = seen.turn and seen.holder is null and me.pid = pg_backend_pid()
             returning 1)
         select exists (select from taken), (select holder from seen), set_config('synchronous_commit', 'local', true)"
    );
    let row = client.query_one(&sql, &[&part.as_str()]).await.map_err(error)?;
    Ok(if row.try_get(0).map_err(error)? { Holder::Us } else { Holder::Other(row.try_get(1).map_err(error)?) })
}

/// The session that serves the database, if this role may know.
///
/// # Errors
/// Those of the connection.
pub async fn serving(client: &Client) -> Result<Option<i32>> {
    let may = "select coalesce(has_table_privilege(to_regclass('event.server'), 'select'), false)";
    if !client.query_one(may, &[]).await.map_err(error)?.try_get::<_, bool>(0).map_err(error)? {
        return Ok(None);
    }
    let sql = format!(
        "select a.pid from event.server s join pg_stat_activity a on {IS_THERE}
         where s.part = 'lease' and a.pid <> pg_backend_pid()"
    );
    client.query_opt(&sql, &[]).await.map_err(error)?.map(|row| row.try_get(0).map_err(error)).transpose()
}

/// Ends sessions of other roles that hold, or wait for, a lock on a relation of ours that no reader and no writer takes, while a session of
/// ours waits there. PostgreSQL takes such locks for some statements before it looks who owns the relation (`DefineQueryRewrite`). Returns
/// how many it ended.
///
/// # Errors
/// Those of the connection. A role that may not end a session leaves it.
pub async fn end_squatters(client: &Client) -> Result<u64> {
    let sql = "with ours as materialized (
                   select c.oid, n.nspowner as owner from pg_namespace n join pg_class c on c.relnamespace = n.oid
                   where n.nspname in ('event', 'meta')
               ), wanted as materialized (
                   select l.relation, l.pid, l.granted, l.mode, o.owner, pg_has_role(a.usesysid, o.owner, 'usage') as is_ours
                   from pg_locks l join ours o on o.oid = l.relation join pg_stat_activity a on a.pid = l.pid
                   where l.database = (select d.oid from pg_database d where d.datname = current_database())
               )
               select count(*) filter (where pg_terminate_backend(s.pid)) from (
                   select distinct w.pid from wanted w
                   where not w.is_ours and w.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                     and exists (select from wanted v where v.relation = w.relation and v.is_ours and not v.granted)) s";
    // in one message: the program is at rest where there is none
    match client.query_typed(sql, &[]).await.map_err(error) {
        Ok(rows) => match rows.first() {
            Some(row) => Ok(row.try_get::<_, i64>(0).map_err(error)?.unsigned_abs()),
            None => Ok(0),
        },
        Err(failed) if failed.kind() == ErrorKind::Setup => Ok(0),
        Err(failed) => Err(failed),
    }
}

/// How long the writer's session may be silent. It ends with the program that lost the lease: the next one terminates it. This is for
/// a role that may not do that. Twice what the walk may be in one step (see `lease.rs`).
const WRITER_SILENCE: &str = "set idle_session_timeout = '120s'; set idle_in_transaction_session_timeout = '120s'";

/// Makes this session the only one that writes. A program that held the lease before may still be there, and not know that it lost it:
/// its writer's session is terminated. The part is had once that session is gone, and its transaction with it.
///
/// # Errors
/// Those of the connection; [`ErrorKind::Standby`] while the other session does not end.
pub async fn fence(client: &Client) -> Result<()> {
    client.batch_execute(WRITER_SILENCE).await.map_err(error)?;
    let end = format!(
        "select pg_terminate_backend(a.pid, 2000) from event.server s join pg_stat_activity a on {IS_THERE}
         where s.part = $1 and a.pid <> pg_backend_pid()"
    );
    for _ in 0..2 {
        if try_take(client, Part::Writer).await? == Holder::Us {
            return Ok(());
        }
        match client.execute(&end, &[&Part::Writer.as_str()]).await.map_err(error) {
            // another role's: it ends by itself
            Err(failed) if failed.kind() != ErrorKind::Setup => return Err(failed),
            _ => {}
        }
    }
    if try_take(client, Part::Writer).await? == Holder::Us {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Standby, "the writer of the program that served before has not ended yet"))
}
