//! The statements of the inbox.
//!
//! Each takes arrays: one statement of each sort writes a whole batch, all of them are sent at once, and a batch costs
//! two round trips whatever its size.

mod columns;
mod snapshot;

use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient, Statement};
use uuid::Uuid;

use self::columns::Columns;
use self::snapshot::{CURRENT, until_visible};
use super::connect::error;
use crate::crash;
use crate::error::Result;
use crate::inbox::Batch;
use crate::observe::{Observation, observe};
use crate::position::{EventId, Lsn};
use crate::subscription::{Selector, Subscription};

/// The prepared statements of one connection.
pub struct InboxStatements {
    journal: Statement,
    inbox: Statement,
    notify: Statement,
    resend: Statement,
    add_routes: Statement,
    remove_routes: Statement,
    end_subscriptions: Statement,
    describe: Statement,
    forget: Statement,
    empty_inboxes: Statement,
    mark_last: Statement,
    remove_gaps: Statement,
    skip_notifications: Statement,
    progress: Statement,
    snapshot: Statement,
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
                 set client_min_messages = warning; set timezone = 'UTC'; set idle_session_timeout = '4s';
                 select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout';
                 -- what is acknowledged to the slot must be on disk
                 select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
            )
            .await
            .map_err(error)?;
        let prepare = async |sql| client.prepare(sql).await.map_err(error);
        Ok(InboxStatements {
            journal: prepare(
                "insert into event.journal (id, committed_at, xid, change, schema_name, relation_name, key_columns,
                                            key_values, row, field, value, old)
                 select a, b, c, d, e, f, g::text[], h::text[], i, j, k, l
                 from unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                             $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
                      as u(a, b, c, d, e, f, g, h, i, j, k, l)",
            )
            .await?,
            inbox: prepare(
                "insert into event.inbox (session_id, id, kind, last, visible, bytes, total)
                 select a, b, c, d, e::text[], f, g
                 from unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::integer[], $7::bigint[])
                      as u(a, b, c, d, e, f, g)",
            )
            .await?,
            // offset 0: the call is made for every row, in order, though nobody looks at what it returns
            notify: prepare(
                "select count(*) from (
                     select pg_notify(c, p) from unnest($1::text[], $2::text[]) as u(c, p)
                     where (select pg_notification_queue_usage() < 0.5 and not exists (select from event.unnotified))
                     offset 0) s",
            )
            .await?,
            skip_notifications: prepare("select event._skip_notifications($1, $2)").await?,
            resend: prepare(
                "select count(*) from (
                     select pg_notify(i.session_id::text, event._notification(j, i.kind, i.visible, 7999))
                     from unnest($1::uuid[], $2::text[]) as r(session_id, after)
                     join event.inbox i on i.session_id = r.session_id and i.id > r.after
                     join event.journal j on j.id = i.id
                     order by i.id offset 0) s",
            )
            .await?,
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
                "delete from event.subscription s
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
            mark_last: prepare(
                "update event.inbox i set last = true
                 from (select session_id, max(id) as id from event.inbox where id > $1 and id <= $2 group by session_id) m
                 where i.session_id = m.session_id and i.id = m.id and not i.last
                   and (i.session_id, i.id) in (
                       select t.session_id, t.id from event.inbox t
                       where t.session_id = m.session_id and t.id = m.id for update skip locked)",
            )
            .await?,
            progress: prepare(
                "insert into event.progress (lsn, number, messages) values ($1::text::pg_lsn, $2, $3)",
            ).await?,
            snapshot: prepare(CURRENT).await?,
        })
    }

    /// Says that we are there: at rest the server hears of us only by this, and ends the connection, and with it the lock,
    /// after four seconds of silence. One that stands by has then taken over within five.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn renew(&self, client: &Client) -> Result<()> {
        client.query_one(&self.snapshot, &[]).await.map(std::mem::drop).map_err(error)
    }

    /// Writes a batch in one transaction. It is committed only when the changes that it tells of can be read. Returns how many
    /// notifications went out: all, or none while their queue is filling up.
    ///
    /// # Errors
    /// Those of the connection; the transaction is then rolled back, or ends with the connection.
    pub async fn write(&self, client: &Client, batch: &Batch) -> Result<usize> {
        match self.write_open(client, batch).await {
            Ok(notified) => {
                crash::point("before_commit");
                client.batch_execute("commit").await.map_err(error)?;
                crash::point("after_commit");
                Ok(if notified { batch.notifications.len() } else { 0 })
            }
            Err(failed) => {
                let _ = client.batch_execute("rollback").await;
                Err(failed)
            }
        }
    }

    async fn write_open(&self, client: &Client, batch: &Batch) -> Result<bool> {
        let columns = Columns::of(batch);
        let (from, to) = batch.ends_large_transaction.map(span).unwrap_or_default();
        let lsn = batch.progress.id.lsn.to_string();
        let number = i64::from(batch.progress.id.number);
        let messages = batch.progress.messages;
        let mut notified = batch.notifications.is_empty();
        let mut statements: Vec<BoxFuture<'_, Result<()>>> = vec![
            async { client.batch_execute("begin isolation level read committed read write").await.map_err(error) }
                .boxed(),
        ];
        let journal = columns.journal.parameters();
        let inbox = columns.inbox.parameters();
        let routes = columns.routes.parameters();
        fn run<'f>(
            client: &'f Client,
            statement: &'f Statement,
            parameters: Vec<&'f (dyn ToSql + Sync)>,
        ) -> BoxFuture<'f, Result<()>> {
            async move { client.execute(statement, &parameters).await.map(drop).map_err(error) }.boxed()
        }
        if !batch.resends.is_empty() {
            statements.push(run(client, &self.resend, vec![&columns.resent, &columns.resent_after]));
        }
        if !batch.entries.is_empty() {
            statements.push(run(client, &self.journal, journal));
        }
        if !batch.pointers.is_empty() {
            statements.push(run(client, &self.inbox, inbox));
        }
        if batch.ends_large_transaction.is_some() {
            statements.push(run(client, &self.mark_last, vec![&from, &to]));
        }
        if !columns.routes.ids.is_empty() {
            statements.push(run(client, &self.add_routes, routes));
        }
        if !columns.removed.is_empty() {
            statements.push(run(client, &self.remove_routes, vec![&columns.removed]));
        }
        if !columns.described.is_empty() {
            statements.push(run(client, &self.describe, vec![&columns.described, &columns.descriptions]));
        }
        if !columns.forgotten.is_empty() {
            statements.push(run(client, &self.forget, vec![&columns.forgotten]));
        }
        if !batch.notifications.is_empty() {
            let notify = async {
                crash::point("before_notify");
                let row =
                    client.query_one(&self.notify, &[&columns.channels, &columns.payloads]).await.map_err(error)?;
                crash::point("after_notify");
                notified = row.get::<_, i64>(0) > 0;
                Ok(())
            };
            statements.push(notify.boxed());
        }
        if batch.is_durable() {
            statements.push(run(client, &self.progress, vec![&lsn, &number, &messages]));
        }
        crash::point("before_write");
        try_join_all(statements).await?;
        crash::point("after_write");
        if !notified {
            observe(&Observation::NotificationsSkipped { notifications: batch.notifications.len() });
            let sessions: Vec<Uuid> = batch.notifications.iter().map(|told| told.session).collect();
            let ids: Vec<String> = batch.notifications.iter().map(|told| told.id.to_string()).collect();
            run(client, &self.skip_notifications, vec![&sessions, &ids]).await?;
        }
        until_visible(client, &self.snapshot, &batch.xids).await?;
        // These pass over rows that somebody holds locked, which until now may have been whoever ended or deleted them.
        if !columns.ended.is_empty() {
            run(client, &self.end_subscriptions, vec![&columns.ended]).await?;
        }
        if !batch.told_gaps.is_empty() {
            run(client, &self.remove_gaps, vec![&batch.told_gaps]).await?;
        }
        if !batch.deleted_sessions.is_empty() {
            run(client, &self.empty_inboxes, vec![&batch.deleted_sessions]).await?;
        }
        Ok(notified)
    }
}

/// The ids of a transaction: all are above the first text and up to the second.
fn span(lsn: Lsn) -> (String, String) {
    (EventId { lsn, number: 0 }.to_string(), EventId::end_of(lsn).to_string())
}

/// The subscriptions as they stand at the progress row.
///
/// # Errors
/// Those of the connection.
pub async fn routes(client: &Client) -> Result<Vec<Subscription>> {
    let rows = client
        .query(
            "select subscription_id, session_id, durable, relation, kind, attnum, key, visible from event.route",
            &[],
        )
        .await
        .map_err(error)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(Subscription {
                id: row.get(0),
                session: row.get(1),
                durable: row.get(2),
                relation: row.get(3),
                selector: Selector::new(row.get(4), row.get(5), row.get(6))?,
                visible: row.get::<_, Option<Vec<i16>>>(7).map(Into::into),
            })
        })
        .collect())
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
pub async fn ensure_partition(client: &impl GenericClient, segment: i64) -> Result<()> {
    // A user's event trigger that refuses tables, by their name or at this hour, would stop delivery. Only a superuser may put
    // it off; ours has nothing to do here.
    let role = "select set_config('session_replication_role', $1, false) from pg_roles
                where rolname = current_user and rolsuper";
    client.execute(role, &[&"replica"]).await.map_err(error)?;
    client.execute("select event._ensure_partition($1)", &[&segment]).await.map_err(error)?;
    client.execute(role, &[&"origin"]).await.map(drop).map_err(error)
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
