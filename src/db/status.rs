//! How the slot, the log and the inboxes stand: what the monitor asks.

use tokio_postgres::{Client, Row};

use super::connect::error;
use super::ownership::Seal;
use crate::error::Result;

/// A page of the log begins with a header of 24 bytes, and a segment with one of 40: a position behind one is that before it.
const HEADERS: [u64; 2] = [24, 40];

/// What is flushed may end within a record, at the end of a page; hardly any record is larger than this.
const LARGE_RECORD: u64 = 1 << 20;

/// The slot and the log at one moment. Positions are bytes from the log's beginning.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// What was written.
    pub written: u64,
    /// What was flushed: only that is streamed.
    pub flushed: u64,
    /// Whether there is a slot at all.
    pub exists: bool,
    /// Whether it is read.
    pub is_active: bool,
    /// PostgreSQL's word for how the log that it needs is kept.
    pub wal_status: Option<String>,
    /// How much may be written before it is in danger; `None` without a limit, and for a slot that is lost.
    pub safe: Option<i64>,
    /// Up to where all was delivered.
    pub confirmed: u64,
    /// From where the log is kept.
    pub restart: u64,
    /// Up to where the walsender has read.
    pub sent: Option<u64>,
    /// The walsender is decoding, or reads from disk.
    pub is_walsender_at_work: bool,
    /// The walsender has sent all that it knows of.
    pub is_walsender_waiting: bool,
    /// How full the queue of notifications is, 0 to 1.
    pub notification_queue: f64,
    page: u64,
}

impl Sample {
    /// The log that is not delivered yet, in bytes.
    pub fn lag(&self) -> u64 {
        if self.exists && !self.is_delivered() { self.written.saturating_sub(self.confirmed) } else { 0 }
    }

    /// The log that the slot keeps, in bytes.
    pub fn retained(&self) -> u64 {
        if self.exists && self.restart > 0 { self.written.saturating_sub(self.restart) } else { 0 }
    }

    /// Whether the server gave the slot up.
    pub fn is_lost(&self) -> bool {
        !self.exists || self.wal_status.as_deref() == Some("lost")
    }

    /// Whether all that was committed has been delivered.
    pub fn is_delivered(&self) -> bool {
        let within_page = self.flushed % self.page.max(1);
        let end = if HEADERS.contains(&within_page) { self.flushed - within_page } else { self.flushed };
        if !self.exists || self.confirmed >= end {
            return self.exists;
        }
        let is_within_a_record = end.is_multiple_of(self.page.max(1)) && end - self.confirmed < LARGE_RECORD;
        is_within_a_record && self.is_walsender_waiting && self.sent == Some(self.confirmed)
    }
}

/// Asks how the slot and the log stand.
///
/// # Errors
/// Those of the connection.
pub async fn sample(client: &Client, slot: &str) -> Result<Sample> {
    let row = client
        .query_one(
            "select (pg_current_wal_lsn() - '0/0')::bigint, (pg_current_wal_flush_lsn() - '0/0')::bigint,
                    s.slot_name is not null, coalesce(s.active, false), s.wal_status, s.safe_wal_size,
                    (s.confirmed_flush_lsn - '0/0')::bigint, (s.restart_lsn - '0/0')::bigint, (r.sent_lsn - '0/0')::bigint,
                    a.pid is not null and (a.wait_event is null or a.wait_event_type in ('IO', 'LWLock')),
                    coalesce(lower(a.wait_event) = 'walsenderwaitforwal', false),
                    pg_notification_queue_usage(), current_setting('wal_block_size')::bigint
             from (values (1)) one
             left join pg_replication_slots s on s.slot_name = $1
             left join pg_stat_replication r on r.pid = s.active_pid
             left join pg_stat_activity a on a.pid = s.active_pid",
            &[&slot],
        )
        .await
        .map_err(error)?;
    let position = |at| row.get::<_, Option<i64>>(at).map(i64::unsigned_abs);
    Ok(Sample {
        written: position(0).unwrap_or_default(),
        flushed: position(1).unwrap_or_default(),
        exists: row.get(2),
        is_active: row.get(3),
        wal_status: row.get(4),
        safe: row.get(5),
        confirmed: position(6).unwrap_or_default(),
        restart: position(7).unwrap_or_default(),
        sent: position(8),
        is_walsender_at_work: row.get(9),
        is_walsender_waiting: row.get(10),
        notification_queue: row.get(11),
        page: position(12).unwrap_or_default(),
    })
}

/// Sessions and inboxes; what somebody holds locked is not there.
#[derive(Debug, Clone, Default)]
pub struct Stock {
    /// Sessions with an inbox.
    pub durable_sessions: Option<i64>,
    /// Sessions without.
    pub live_sessions: Option<i64>,
    /// Subscriptions.
    pub subscriptions: Option<i64>,
    /// Events that are not acknowledged, over all sessions.
    pub inbox_rows: Option<i64>,
    /// Inboxes and journal on disk.
    pub inbox_bytes: Option<i64>,
    /// Seconds since the oldest of them was committed.
    pub oldest_age: Option<f64>,
    /// Seconds since the log was written that is not delivered yet, as far as the files tell.
    pub lag: Option<f64>,
    /// How much of its sessions the role uses that is nearest to that limit: 1 is all of them. `None` without a role or a limit.
    pub sessions_used: Option<f64>,
    /// The same of subscriptions.
    pub subscriptions_used: Option<f64>,
    /// The same of what its inboxes may hold together.
    pub inbox_size_used: Option<f64>,
}

/// Asks `event.status`, of schemas that were looked at; `None` where it is not installed.
///
/// # Errors
/// Those of the connection; [`crate::error::ErrorKind::Setup`] when the schemas are others by now.
pub async fn stock(client: &Client, seal: Option<Seal>) -> Result<Option<Stock>> {
    match seal {
        Some(seal) => seal.within(client, ask_status(client)).await,
        None => Ok(None),
    }
}

async fn ask_status(client: &Client) -> Result<Option<Stock>> {
    let is_there = client.query_one("select to_regclass('event.status') is not null", &[]).await.map_err(error)?;
    if !is_there.get::<_, bool>(0) {
        return Ok(None);
    }
    let row = client
        .query_opt(
            "select durable_sessions, live_sessions, status.subscriptions, inbox_rows, inbox_bytes,
                    extract(epoch from clock_timestamp() - oldest_event_at)::float8, extract(epoch from lag)::float8,
                    u.sessions, u.subscriptions, u.inbox_size
             from event.status,
                  (select max(ratio) filter (where limit_name = 'sessions') as sessions,
                          max(ratio) filter (where limit_name = 'subscriptions') as subscriptions,
                          max(ratio) filter (where limit_name = 'inbox_size') as inbox_size
                   from event._near) u",
            &[],
        )
        .await
        .map_err(error)?;
    Ok(row.map(|row: Row| Stock {
        durable_sessions: row.get(0),
        live_sessions: row.get(1),
        subscriptions: row.get(2),
        inbox_rows: row.get(3),
        inbox_bytes: row.get(4),
        oldest_age: row.get(5),
        lag: row.get(6),
        sessions_used: row.get(7),
        subscriptions_used: row.get(8),
        inbox_size_used: row.get(9),
    }))
}
