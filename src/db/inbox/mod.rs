//! The statements of the inbox.
//!
//! Each takes arrays: one statement of each sort writes a whole batch, all of them are sent at once with BEGIN and COMMIT around them,
//! and a batch costs two round trips: one to see that its changes can be read, one to write it. It is one more for each COPY, which
//! many rows are written with, and more again when it is many times as large as a batch that is full (see `step.rs`).

mod columns;
mod copy;
mod snapshot;
mod statement;
mod step;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{SinkExt, TryStreamExt};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement, Transaction};
use uuid::Uuid;

use self::columns::{Descriptions, Failures, Inbox, Journal, Notifications, Place, RouteChanges};
use self::snapshot::{CURRENT, until_visible};
use self::statement::{INBOX, JOURNAL, NOTIFY, PROGRESS, small};
use self::step::{COPY_FROM, Step, rounds, steps};
use super::connect::error;
use crate::catalog::Uncertain;
use crate::crash;
use crate::error::Result;
use crate::inbox::{Batch, Notification};
use crate::observe::{Observation, observe};
use crate::position::{EventId, Lsn};
use crate::subscription::{Selector, Subscription};

/// What became of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// How many events went out with NOTIFY.
    pub events: usize,
    /// A place in the log before its commit; none if it made no progress.
    pub behind: Option<Lsn>,
}

/// The prepared statements of one connection.
pub struct InboxStatements {
    journal: Statement,
    inbox: Statement,
    small: Statement,
    copy_journal: Statement,
    copy_inbox: Statement,
    notify: Statement,
    resend: Statement,
    add_routes: Statement,
    remove_routes: Statement,
    end_subscriptions: Statement,
    describe: Statement,
    forget: Statement,
    empty_inboxes: Statement,
    mark_last: Statement,
    find_last: Statement,
    remove_gaps: Statement,
    note_failures: Statement,
    progress: Statement,
    snapshot: Statement,
    described_now: Statement,
}

impl InboxStatements {
    /// Prepares them, and sets the session so that no default of the role or database gets in the way.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn prepare(client: &Client) -> Result<Self> {
        client
            .batch_execute(
                "set search_path = pg_catalog; set statement_timeout = 0; set lock_timeout = 0; set jit = off;
                 set client_min_messages = warning; set timezone = 'UTC';
                 select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout';
                 -- A partition that is being filled has no statistics that hold: the planner would read all of it to find one row
                 -- and planning a statement takes longer than it does for a few rows
                 set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
                 -- The statements of a batch do not wait for its BEGIN: should that fail, they must not be done by themselves
                 set default_transaction_read_only = on;
                 -- what is acknowledged to the slot must be on disk
                 select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
            )
            .await
            .map_err(error)?;
        let prepare = async |sql| client.prepare(sql).await.map_err(error);
        Ok(InboxStatements {
            journal: prepare(&JOURNAL.sql(1)).await?,
            inbox: prepare(&INBOX.sql(1)).await?,
            small: prepare(&small()).await?,
            copy_journal: prepare(copy::JOURNAL).await?,
            copy_inbox: prepare(copy::INBOX).await?,
            notify: prepare(&NOTIFY.sql(1)).await?,
            resend: prepare("select event._send_again($1, $2, $3)").await?,
            add_routes: prepare(
                "insert into event.route (subscription_id, session_id, kind, relation, attnum, key, visible, durable)
                 select a, b, c, d, e, f::text[], g::smallint[], h
                 from unnest($1::uuid[], $2::uuid[], $3::text[], $4::oid[], $5::smallint[], $6::text[], $7::text[],
                             $8::boolean[]) as u(a, b, c, d, e, f, g, h)
                 on conflict (subscription_id) do nothing",
            )
            .await?,
            remove_routes: prepare("delete from event.route where subscription_id = any ($1)").await?,
            describe: prepare(
                "insert into event.described (relation, description)
                 select a, b from unnest($1::oid[], $2::text[]) as u(a, b)
                 on conflict (relation) do update set description = excluded.description",
            )
            .await?,
            forget: prepare("delete from event.described where relation = any ($1)").await?,
            end_subscriptions: prepare(
                "with delivered as (update event.ending e set delivered = true where e.id = any ($1))
                 delete from event.subscription s
                 where s.id in (select t.id from event.subscription t where t.id = any ($1) for update skip locked)",
            ).await?,
            empty_inboxes: prepare(
                "delete from event.inbox i where (i.session_id, i.id) in (
                     select t.session_id, t.id from event.inbox t where t.session_id = any ($1) for update skip locked)",
            ).await?,
            remove_gaps: prepare(
                "delete from event.gap g
                 where g.id in (select t.id from event.gap t where t.id = any ($1) for update skip locked)",
            ).await?,
            note_failures: prepare("select event._note_failures($1, $2, $3)").await?,
            mark_last: prepare(
                "update event.inbox i set last = true
                 from unnest($1::uuid[], $2::text[]) as u(a, b) cross join lateral (
                     select t.session_id, t.id from event.inbox t where t.session_id = a and t.id = b
                     limit 1 for update skip locked) f
                 where i.session_id = f.session_id and i.id = f.id and not i.last",
            )
            .await?,
            find_last: prepare(
                "update event.inbox i set last = true
                 from (select session_id, max(id) as id from event.inbox where id > $1 and id <= $2 group by session_id) m
                 where i.session_id = m.session_id and i.id = m.id and not i.last
                   and (i.session_id, i.id) in (
                       select t.session_id, t.id from event.inbox t
                       where t.session_id = m.session_id and t.id = m.id for update skip locked)",
            )
            .await?,
            progress: prepare(&PROGRESS.sql(1)).await?,
            snapshot: prepare(CURRENT).await?,
            described_now: prepare(
                "select event._describe($1), pg_snapshot_xmin(pg_current_snapshot())::xid::text::oid",
            )
            .await?,
        })
    }

    /// Says that the program is there (see `server::fence`).
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn renew(&self, client: &Client) -> Result<()> {
        client.batch_execute("select").await.map_err(error)
    }

    /// The watched table that a relation is a partition of, once the transaction in which it was met can be seen.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn root_of(&self, client: &Client, partition: u32, xid: u32) -> Result<Option<u32>> {
        until_visible(client, &self.snapshot, &[xid]).await?;
        let sql = "with recursive up as (
                       select $1::oid as oid union all select h.inhparent from up join pg_inherits h on h.inhrelid = up.oid)
                   select w.relation from up join event.watched w on w.relation = up.oid limit 1";
        Ok(client.query_opt(sql, &[&partition]).await.map_err(error)?.map(|row| row.get(0)))
    }

    /// What a watched table is made of now that the transaction can be seen, and the oldest transaction that may not be seen.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn description_of(&self, client: &Client, table: u32, xid: u32) -> Result<(Option<String>, u32)> {
        until_visible(client, &self.snapshot, &[xid]).await?;
        let row = client.query_one(&self.described_now, &[&table]).await.map_err(error)?;
        Ok((row.get(0), row.get(1)))
    }

    /// Waits until the changes that a batch tells of can be read: nobody is told of any before. Returns where the log ended before that.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn visible(&self, client: &Client, batch: &Batch) -> Result<Lsn> {
        until_visible(client, &self.snapshot, &batch.xids).await
    }

    /// Writes a batch whose changes can be read ([`visible`](Self::visible)) in one transaction. Not notified are
    /// sessions that have yet to be told of notifications which were left out, and none while their queue is filling up.
    ///
    /// # Errors
    /// Those of the connection; the transaction is then rolled back, or ends with the connection.
    pub async fn write(&self, client: &Client, batch: &Batch) -> Result<Outcome> {
        self.try_write(client, batch, ("commit", COPY_FROM)).await
    }

    /// The same without COPY: one that fails before it has begun, because of what failed before it, takes the connection with it
    /// (tokio-postgres then ends a copy that there is none of).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_carefully(&self, client: &Client, batch: &Batch) -> Result<Outcome> {
        self.try_write(client, batch, ("commit", usize::MAX)).await
    }

    /// Writes it and takes it back, to see whether it can be written.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn rehearse(&self, client: &Client, batch: &Batch) -> Result<()> {
        self.try_write(client, batch, ("rollback", usize::MAX)).await.map(drop)
    }

    /// `end` is what ends the transaction, and so many rows are copied.
    async fn try_write(&self, client: &Client, batch: &Batch, (end, copy_from): (&str, usize)) -> Result<Outcome> {
        let routes = RouteChanges::of(&batch.routes);
        let turned =
            Turned { batch, routes: &routes, descriptions: Descriptions::of(&batch.descriptions), end, copy_from };
        let mut whole = Done::default();
        crash::point("before_write");
        for round in rounds(&steps(batch)) {
            // Should one fail, the server does none of those behind it: its COMMIT is a ROLLBACK.
            match try_join_all(round.iter().map(|step| self.take(client, &turned, *step))).await {
                Ok(done) => done.into_iter().for_each(|done| whole.add(done)),
                Err(failed) => {
                    let _ = client.batch_execute("rollback").await;
                    return Err(failed);
                }
            }
        }
        let Done { left_out, behind } = whole;
        if left_out > 0 {
            observe(&Observation::NotificationsSkipped { notifications: left_out });
        }
        Ok(Outcome {
            events: batch.notifications.len() - left_out,
            behind: (behind > Lsn::default()).then_some(behind),
        })
    }

    async fn take(&self, client: &Client, turned: &Turned<'_>, step: Step<'_>) -> Result<Done> {
        let Turned { batch, routes, descriptions, end, copy_from } = turned;
        match step {
            Step::Begin => {
                client.batch_execute("begin isolation level read committed read write").await.map_err(error)?;
            }
            Step::Resend(resends) => {
                let sessions: Vec<Uuid> = resends.iter().map(|resend| resend.session).collect();
                let after: Vec<&str> = resends.iter().map(|resend| resend.after.as_str()).collect();
                let through: Vec<String> = resends.iter().map(|resend| resend.through.to_string()).collect();
                run(client, &self.resend, &[&sessions, &after, &through]).await?;
            }
            Step::Small => return self.small(client, batch).await,
            Step::Journal(entries) if entries.len() >= *copy_from => {
                copy(client, &self.copy_journal, copy::journal(entries)).await?;
            }
            Step::Journal(entries) => run(client, &self.journal, &Journal::of(entries).parameters()).await?,
            Step::Inbox(pointers) if pointers.len() >= *copy_from => {
                copy(client, &self.copy_inbox, copy::inbox(pointers)).await?;
            }
            Step::Inbox(pointers) => run(client, &self.inbox, &Inbox::of(pointers).parameters()).await?,
            Step::MarkLast(last) => {
                let (sessions, ids): (Vec<Uuid>, Vec<String>) =
                    last.iter().map(|(session, id)| (*session, id.to_string())).unzip();
                run(client, &self.mark_last, &[&sessions, &ids]).await?;
            }
            Step::FindLast(lsn) => {
                let (from, to) = span(lsn);
                run(client, &self.find_last, &[&from, &to]).await?;
            }
            Step::EndSubscriptions if routes.ended.is_empty() => {}
            Step::AddRoutes if routes.added.ids.is_empty() => {}
            Step::AddRoutes => run(client, &self.add_routes, &routes.added.parameters()).await?,
            Step::RemoveRoutes if routes.removed.is_empty() => {}
            Step::RemoveRoutes => run(client, &self.remove_routes, &[&routes.removed]).await?,
            Step::Describe if descriptions.relations.is_empty() => {}
            Step::Describe => run(client, &self.describe, &[&descriptions.relations, &descriptions.texts]).await?,
            Step::Forget if descriptions.forgotten.is_empty() => {}
            Step::Forget => run(client, &self.forget, &[&descriptions.forgotten]).await?,
            Step::Notify(notifications) => {
                let left_out = self.notify(client, notifications).await?;
                return Ok(Done { left_out, ..Done::default() });
            }
            Step::EndSubscriptions => run(client, &self.end_subscriptions, &[&routes.ended]).await?,
            Step::RemoveGaps => run(client, &self.remove_gaps, &[&batch.told_gaps]).await?,
            Step::EmptyInboxes => run(client, &self.empty_inboxes, &[&batch.deleted_sessions]).await?,
            Step::NoteFailures => {
                let failures = Failures::of(&batch.set_aside);
                run(client, &self.note_failures, &failures.parameters()).await?;
            }
            Step::Commit => {
                crash::point("after_write");
                crash::point("before_commit");
                client.batch_execute(end).await.map_err(error)?;
                crash::point("after_commit");
            }
            Step::Progress => {
                let progress = Place::of(batch.progress);
                let row = client.query_opt(&self.progress, &progress.parameters()).await.map_err(error)?;
                let behind = row.map(|row| row.get::<_, &str>(0).parse()).transpose()?.unwrap_or_default();
                return Ok(Done { behind, ..Done::default() });
            }
        }
        Ok(Done::default())
    }

    /// All that most batches have, in one statement; the others' steps are one for each table.
    async fn small(&self, client: &Client, batch: &Batch) -> Result<Done> {
        let (journal, inbox) = (Journal::of(&batch.entries), Inbox::of(&batch.pointers));
        let (told, progress) = (Notifications::of(&batch.notifications), Place::of(batch.progress));
        let parameters = [journal.parameters(), inbox.parameters(), told.parameters(), progress.parameters()].concat();
        crash::point("before_notify");
        let row = client.query_one(&self.small, &parameters).await.map_err(error)?;
        crash::point("after_notify");
        let left_out = usize::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        Ok(Done { left_out, behind: row.get::<_, &str>(2).parse()? })
    }

    /// Notifies, and notes who was not; returns how many notifications were left out.
    async fn notify(&self, client: &Client, notifications: &[Notification]) -> Result<usize> {
        let told = Notifications::of(notifications);
        crash::point("before_notify");
        let row = client.query_one(&self.notify, &told.parameters()).await.map_err(error)?;
        crash::point("after_notify");
        Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or_default())
    }
}

/// What came of steps.
#[derive(Default)]
struct Done {
    left_out: usize,
    behind: Lsn,
}

impl Done {
    fn add(&mut self, other: Done) {
        self.left_out += other.left_out;
        self.behind = self.behind.max(other.behind);
    }
}

/// A batch, and what of it several statements share.
struct Turned<'b> {
    batch: &'b Batch,
    routes: &'b RouteChanges,
    descriptions: Descriptions<'b>,
    /// What ends the transaction.
    end: &'b str,
    /// So many rows are copied.
    copy_from: usize,
}

async fn run(client: &Client, statement: &Statement, parameters: &[&(dyn ToSql + Sync)]) -> Result<()> {
    client.execute(statement, parameters).await.map(drop).map_err(error)
}

async fn copy(client: &Client, statement: &Statement, rows: Bytes) -> Result<()> {
    let sink = client.copy_in(statement).await.map_err(error)?;
    let mut sink = std::pin::pin!(sink);
    sink.send(rows).await.map_err(error)?;
    sink.finish().await.map(drop).map_err(error)
}

/// The ids of a transaction: all are above the first text and up to the second.
fn span(lsn: Lsn) -> (String, String) {
    (EventId { lsn, number: 0 }.to_string(), EventId::end_of(lsn).to_string())
}

/// Waits until a transaction can be seen.
///
/// # Errors
/// Those of the connection.
pub async fn shown(client: &Client, xid: u32) -> Result<()> {
    let current = client.prepare(CURRENT).await.map_err(error)?;
    until_visible(client, &current, &[xid]).await.map(drop)
}

/// The subscriptions as they stand at the progress row, one after the other: there may be more than one would hold twice in memory.
///
/// # Errors
/// Those of the connection.
pub async fn routes(client: &Client, mut each: impl FnMut(Subscription)) -> Result<()> {
    let sql = "select subscription_id, session_id, durable, relation, kind, attnum, key, visible from event.route";
    let rows = client.query_raw(sql, std::iter::empty::<&str>()).await.map_err(error)?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await.map_err(error)? {
        match subscription(&row) {
            Ok(Some(subscription)) => each(subscription),
            _ => observe(&Observation::SubscriptionUnreadable { id: row.try_get(0).unwrap_or_default() }),
        }
    }
    Ok(())
}

/// A row that holds something else, whoever put it there, stops nobody's delivery: `None`, or an error.
fn subscription(row: &Row) -> std::result::Result<Option<Subscription>, tokio_postgres::Error> {
    let Some(selector) = Selector::new(row.try_get(4)?, row.try_get(5)?, row.try_get(6)?) else { return Ok(None) };
    Ok(Some(Subscription {
        id: row.try_get(0)?,
        session: row.try_get(1)?,
        durable: row.try_get(2)?,
        relation: row.try_get(3)?,
        selector,
        visible: row.try_get::<_, Option<Vec<i16>>>(7)?.map(Into::into),
    }))
}

/// The descriptions of the watched tables as they stand at the progress row.
///
/// # Errors
/// Those of the connection.
pub async fn descriptions(client: &Client) -> Result<Vec<(u32, String)>> {
    let rows = client.query("select relation, description from event.described", &[]).await.map_err(error)?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Makes the partitions for a segment (LSN >> 28).
///
/// # Errors
/// Those of the connection.
pub async fn ensure_partition(client: &mut Client, segment: i64) -> Result<()> {
    let transaction = client.build_transaction().read_only(false).start().await.map_err(error)?;
    ensure_partition_within(&transaction, segment).await?;
    transaction.commit().await.map_err(error)
}

/// The same in a transaction of the caller's.
///
/// # Errors
/// Those of the connection.
pub async fn ensure_partition_within(transaction: &Transaction<'_>, segment: i64) -> Result<()> {
    // A user's event trigger that refuses tables, by their name or at this hour, would stop delivery. Only a superuser may put
    // it off; ours has nothing to do here.
    let role = "select set_config('session_replication_role', $1, true) from pg_roles
                where rolname = current_user and rolsuper";
    transaction.execute(role, &[&"replica"]).await.map_err(error)?;
    transaction.execute("select event._ensure_partition($1)", &[&segment]).await.map_err(error)?;
    transaction.execute(role, &[&"origin"]).await.map(drop).map_err(error)
}

/// A relation was published, and of what table it was cannot be told any more: whoever watches one with partitions may have
/// lost changes, and is told so. Returns how many sessions. What somebody put into the publication is no such relation.
///
/// # Errors
/// Those of the connection.
pub async fn note_unknown(client: &mut Client, relation: u32, place: EventId) -> Result<u64> {
    let transaction = client.build_transaction().read_only(false).start().await.map_err(error)?;
    let told = transaction
        .query_one("select event._tell_of_unknown_partition($1, $2)", &[&relation, &place.to_string()])
        .await
        .map_err(error)?
        .get::<_, i64>(0);
    transaction.commit().await.map_err(error)?;
    Ok(told.unsigned_abs())
}

/// Which columns of a table are which is not known for certain: who watches these, or may see them and not all, is told that changes
/// may be missing. Returns how many sessions.
///
/// # Errors
/// Those of the connection.
pub async fn note_uncertain(client: &mut Client, table: u32, columns: &Uncertain, place: EventId) -> Result<u64> {
    let transaction = client.build_transaction().read_only(false).start().await.map_err(error)?;
    let sql = "select event._tell_of_uncertain_columns($1, $2, $3, $4)";
    let told = transaction.query_one(sql, &[&table, &columns.columns, &columns.unknown, &place.to_string()]).await;
    let told: i64 = told.map_err(error)?.get(0);
    transaction.commit().await.map_err(error)?;
    Ok(told.unsigned_abs())
}

/// What each session's events have weighed, added up, as the newest of its inbox has it.
///
/// # Errors
/// Those of the connection.
pub async fn totals(client: &Client) -> Result<Vec<(Uuid, i64)>> {
    let sql = "select s.id, n.total from event.session s cross join lateral (
                   select i.total from event.inbox i where i.session_id = s.id order by i.id desc limit 1) n";
    let rows = client.query(sql, &[]).await.map_err(error)?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}
