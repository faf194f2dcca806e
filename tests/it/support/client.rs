//! A SQL connection that also collects notifications.

use std::ops::Deref;

use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, NoTls, Notification, SimpleQueryMessage};

use super::PATIENCE;

/// A SQL connection; what it is notified of waits here until it is asked for.
pub struct Client {
    inner: tokio_postgres::Client,
    notifications: UnboundedReceiver<Notification>,
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.inner
    }
}

/// A wait for delivery is as patient as any of a test's: by itself it gives up after 30 s.
fn patient(text: &str) -> String {
    text.replace("event.sync()", &format!("event.sync('{} s')", PATIENCE.as_secs()))
}

impl Client {
    pub async fn connect(url: &str) -> Client {
        let mut config: tokio_postgres::Config = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        // as clients do: it says that the connection is the client's own
        if config.get_application_name().is_none() {
            config.application_name("a test's client");
        }
        let connected = config.connect(NoTls).await;
        let (inner, mut connection) = connected.unwrap_or_else(|error| panic!("{url}: {}", explain(&error)));
        let (sender, notifications) = unbounded_channel();
        tokio::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(|context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message {
                    // The test may have dropped its client and not its queries.
                    let _ = sender.send(notification);
                }
            }
        });
        Client { inner, notifications }
    }

    /// Whether a server takes connections there.
    pub async fn answers(url: &str) -> bool {
        tokio_postgres::connect(url, NoTls).await.is_ok()
    }

    /// The next notification, in the order of their arrival.
    pub async fn next_notification(&mut self) -> Notification {
        self.notifications(1).await.remove(0)
    }

    /// The next `count` notifications.
    pub async fn notifications(&mut self, count: usize) -> Vec<Notification> {
        let mut received = Vec::with_capacity(count);
        let all = async {
            while received.len() < count {
                match self.notifications.recv().await {
                    Some(notification) => received.push(notification),
                    None => return Err("the connection was closed"),
                }
            }
            Ok(())
        };
        match timeout(PATIENCE, all).await {
            Ok(Ok(())) => return received,
            Ok(Err(reason)) => eprintln!("{reason}"),
            Err(_) => eprintln!("no notification came for {PATIENCE:?}"),
        }
        panic!("expected {count} notifications, received {}: {received:#?}", received.len());
    }

    /// What has arrived so far. A query that was answered before brought along all notifications committed before it.
    pub fn drain(&mut self) -> Vec<Notification> {
        std::iter::from_fn(|| self.notifications.try_recv().ok()).collect()
    }

    /// Runs statements that must succeed. A subscription that waits has taken effect when this returns, unless a transaction is
    /// open or no program runs: [`try_sql`](Self::try_sql) does not wait.
    pub async fn sql(&self, text: &str) {
        self.inner.batch_execute(&patient(text)).await.unwrap_or_else(|error| panic!("{}\n{text}", explain(&error)));
        self.in_effect(text).await;
    }

    async fn in_effect(&self, text: &str) {
        // outside of a transaction block the statement is the transaction
        const WAITS: &str = "select (exists (select from event.subscription where waiting and ended is null) or exists (select from event.asked))
            and now() = statement_timestamp()
            and exists (select from pg_replication_slots where slot_name = event._slot() and active)";
        if !["subscribe_", "_subscribe(", "watch("].iter().any(|call| text.contains(call)) {
            return;
        }
        let all = async {
            loop {
                let answer = self.inner.simple_query(WAITS).await.unwrap_or_default();
                let waits = answer
                    .iter()
                    .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")));
                if !waits {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(PATIENCE, all).await;
    }

    /// Runs statements; the error is what PostgreSQL says.
    pub async fn try_sql(&self, text: &str) -> Result<(), DbError> {
        self.inner.batch_execute(text).await.map_err(|error| match error.as_db_error() {
            Some(error) => error.clone(),
            None => panic!("{error}\n{text}"),
        })
    }

    /// The first column of the first row, as text.
    pub async fn text(&self, query: &str) -> String {
        let rows = self.rows(query).await;
        self.in_effect(query).await;
        let value = rows.into_iter().next().and_then(|row| row.into_iter().next());
        value.unwrap_or_else(|| panic!("no row: {query}")).unwrap_or_else(|| panic!("null: {query}"))
    }

    /// The processor time that this connection's backend has taken so far.
    pub async fn processor_time(&self) -> std::time::Duration {
        super::processor_time(self.text("select pg_backend_pid()").await.parse().unwrap())
    }

    /// Waits until a query gives a value: for what upkeep does, within a second or so.
    pub async fn until(&self, query: &str, expected: &str) {
        let mut last = String::new();
        let all = async {
            loop {
                last = self.text(query).await;
                if last == expected {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            panic!("not \"{expected}\" but \"{last}\" after {PATIENCE:?}: {query}");
        }
    }

    /// The server's major version: 15 of 15.18.
    pub async fn major(&self) -> u32 {
        self.text("select current_setting('server_version_num')::int / 10000").await.parse().unwrap()
    }

    /// Grants on PostgreSQL 14 what every role may do from 15 on: write through our views.
    pub async fn grant_writes(&self) {
        if self.major().await < 15 {
            self.sql(
                "grant delete on event.event to public;
                 do $$ declare kind text; begin
                     for kind in select m.kind from event.mirror m loop
                         execute format('grant update, delete on meta.%I to public', kind);
                     end loop;
                 end $$",
            )
            .await;
        }
    }

    /// All rows, as text.
    pub async fn rows(&self, query: &str) -> Vec<Vec<Option<String>>> {
        let answer = self.inner.simple_query(&patient(query)).await;
        let messages = answer.unwrap_or_else(|error| panic!("{}\n{query}", explain(&error)));
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        });
        rows.collect()
    }
}

/// What PostgreSQL says, in full.
fn explain(error: &tokio_postgres::Error) -> String {
    let Some(error) = error.as_db_error() else { return error.to_string() };
    let further = [("DETAIL", error.detail()), ("HINT", error.hint()), ("CONTEXT", error.where_())];
    let mut text = format!("{}: {} ({})", error.severity(), error.message(), error.code().code());
    for (label, value) in further.into_iter().filter_map(|(label, value)| Some((label, value?))) {
        text.push_str(&format!("\n{label}: {value}"));
    }
    text
}
