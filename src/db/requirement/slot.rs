//! The slot, and the program that serves it.

use tokio_postgres::Client;

use super::Requirement;
use crate::db::connect::error;
use crate::db::installation::Installed;
use crate::db::server;
use crate::db::slot::{self, SlotState};
use crate::error::Result;

/// The slot: free, or ours and healthy, and how far it is behind. `up` is the command that serves the database.
pub(super) async fn slot(client: &Client, name: &str, installed: &Installed, up: &str) -> Result<Requirement> {
    let is_installed = matches!(installed, Installed::Version(_));
    Ok(match slot::state(client, name).await? {
        SlotState::Missing if is_installed => Requirement::warning(format!(
            "replication slot \"{name}\" is missing: it is made anew, and sessions are told of a gap"
        ))
        .remedy(up),
        SlotState::Missing => Requirement::met(format!("the name is free: replication slot {name}")),
        SlotState::Foreign(detail) => Requirement::failed(
            format!("replication slot \"{name}\" belongs to another program ({})", detail.trim_end_matches('.')),
            format!("select pg_drop_replication_slot('{name}');  -- if nothing uses it any more"),
        ),
        SlotState::Lost => Requirement::failed(
            format!(
                "replication slot \"{name}\" was lost: too much WAL was unread; sessions are told of a gap when it is made anew"
            ),
            up,
        ),
        SlotState::Usable => usable(client, name, up, is_installed).await?,
    })
}

async fn usable(client: &Client, name: &str, up: &str, is_installed: bool) -> Result<Requirement> {
    let row = client
        .query_opt(
            "select coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint,
                    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint,
                    coalesce(wal_status, ''), safe_wal_size
             from pg_replication_slots where slot_name = $1",
            &[&name],
        )
        .await
        .map_err(error)?;
    let Some(row) = row else {
        return Ok(Requirement::warning(format!("replication slot \"{name}\" was just dropped")));
    };
    let (behind, kept, status): (i64, i64, &str) = (row.get(0), row.get(1), row.get(2));
    let mut finding =
        format!("replication slot \"{name}\" is {} bytes behind and keeps {} bytes of WAL", behind.max(0), kept.max(0));
    let forecast = if is_installed { forecast(client).await? } else { None };
    if let Some(rate) = forecast.as_ref().and_then(|forecast| forecast.rate.filter(|_| !forecast.is_read)) {
        finding = format!("{finding}, {rate} more each second");
    }
    if let Some(time) = forecast.and_then(|forecast| forecast.lost_in) {
        return Ok(
            Requirement::warning(format!("{finding}: it will be lost in {time} (hours:minutes:seconds)")).remedy(up)
        );
    }
    Ok(match (status, row.get::<_, Option<i64>>(3)) {
        ("unreserved", _) => Requirement::warning(format!("{finding}, which may be removed at any moment")).remedy(up),
        ("extended", Some(left)) => {
            Requirement::warning(format!("{finding}; it is lost after {left} bytes more")).remedy(up)
        }
        _ => Requirement::met(finding),
    })
}

struct Forecast {
    is_read: bool,
    lost_in: Option<String>,
    /// Bytes of WAL a second.
    rate: Option<i64>,
}

/// What `event.status` foresees for the slot.
async fn forecast(client: &Client) -> Result<Option<Forecast>> {
    let is_there = client.query_one("select to_regclass('event.status') is not null", &[]).await.map_err(error)?;
    if !is_there.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = "select serving, date_trunc('second', lost_in)::text, wal_rate from event.status";
    let row = client.query_opt(sql, &[]).await.map_err(error)?;
    Ok(row.map(|row| Forecast { is_read: row.get(0), lost_in: row.get(1), rate: row.get(2) }))
}

/// Whether a program serves the database; whether something else reads the slot.
pub(super) async fn serving(client: &Client, name: &str, up: &str) -> Result<Requirement> {
    let sql = "select active_pid from pg_replication_slots where slot_name = $1 and active";
    let reader: Option<i32> = client.query_opt(sql, &[&name]).await.map_err(error)?.and_then(|row| row.get(0));
    Ok(match (server::serving(client).await?, reader) {
        (Some(_), Some(pid)) => Requirement::met(format!("tidewire is serving this database (walsender {pid})")),
        (Some(pid), None) => {
            Requirement::warning(format!("tidewire is starting or cannot read its slot (process {pid}); see its log"))
        }
        (None, Some(pid)) => Requirement::failed(
            format!("process {pid} reads the replication slot, and is not a tidewire that serves this database"),
            format!("select pg_terminate_backend({pid});"),
        ),
        (None, None) => {
            Requirement::warning("no tidewire is serving this database: WAL is kept until one does").remedy(up)
        }
    })
}
