//! A connection that may be cut at any time: that is no failure of the test.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification};

/// The pause before the next attempt to connect to a server that may be down.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a statement did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The connection is gone; what became of a commit is not known.
    Lost,
    /// PostgreSQL said no, as it may when several write at once.
    Refused,
}

/// A connection.
pub struct Link {
    client: Client,
    notifications: UnboundedReceiver<Notification>,
}

impl Link {
    /// One attempt.
    pub async fn open(url: &str) -> Option<Link> {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
        let (sender, notifications) = unbounded_channel();
        tokio::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(|context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message {
                    let _ = sender.send(notification);
                }
            }
        });
        Some(Link { client, notifications })
    }

    /// Tries until there is a connection, or as long as `wanted` says so.
    pub async fn open_while(url: &str, wanted: impl Fn() -> bool) -> Option<Link> {
        while wanted() {
            if let Some(link) = Link::open(url).await {
                return Some(link);
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    pub async fn run(&self, sql: &str) -> Result<(), Failure> {
        self.client.batch_execute(sql).await.map_err(|error| judge(&error, sql))
    }

    pub async fn rows(
        &self,
        sql: &str,
        parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Failure> {
        self.client.query(sql, parameters).await.map_err(|error| judge(&error, sql))
    }

    /// What has arrived.
    pub fn drain(&mut self) -> Vec<Notification> {
        std::iter::from_fn(|| self.notifications.try_recv().ok()).collect()
    }
}

/// What may be refused: writers that meet, sessions and subscriptions that are gone already, a row twice in one upsert.
fn is_usual(code: &SqlState) -> bool {
    [
        SqlState::UNIQUE_VIOLATION,
        SqlState::FOREIGN_KEY_VIOLATION,
        SqlState::CARDINALITY_VIOLATION,
        SqlState::UNDEFINED_OBJECT,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ]
    .contains(code)
}

fn judge(error: &tokio_postgres::Error, sql: &str) -> Failure {
    match error.as_db_error() {
        // a shutdown, a crash, a start; and what a connection that dies may say
        Some(db) if db.code().code().starts_with("57P") || db.code().code().starts_with("08") => Failure::Lost,
        Some(db) if is_usual(db.code()) => Failure::Refused,
        Some(db) => panic!("{db} ({}) {:?}\n{sql}", db.code().code(), db.where_()),
        None => Failure::Lost,
    }
}
