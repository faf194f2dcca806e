//! What the demo's client does: subscribe, change three rows, and take what comes.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::db::ownership::{self, Use};
use crate::db::reader::{self, Subject};
use crate::db::{self, Client, Connection, Notification, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{Event, Reader};

/// The column that names a row.
pub(super) const KEY: &str = "id";

/// What is there before.
const SETUP: &str = "
    create table person (id serial primary key, name text, score integer);
    insert into person (name, score)
    values ('Joe Smith', 15), ('Don Jones', 12), ('Sandy Hill', 16), ('Nancy Makowsky', 9)";

/// What the demo is about.
pub(super) const STATEMENTS: [&str; 3] = [
    "insert into person (name, score) values ('Don Pablo', 14);",
    "update person set name='Sandy Jones', score=score+3 where id=3;",
    "delete from person where id=4;",
];

/// Notifications are out before `event.sync` returns; this is how long they may be on the way from the server's socket
/// to us.
const ARRIVAL: Duration = Duration::from_secs(5);

/// A row of the table: its columns in order.
pub(super) type Row = Map<String, Value>;

/// What the client saw.
pub(super) struct Walk {
    /// The version of the server.
    pub(super) server: String,
    /// The session.
    pub(super) session: Uuid,
    /// The table's rows before the statements.
    pub(super) before: Vec<Row>,
    /// The same after them.
    pub(super) after: Vec<Row>,
    /// The events of its inbox.
    pub(super) events: Vec<Event>,
    /// The notifications that arrived, in their order.
    pub(super) notifications: Vec<Notification>,
}

pub(super) async fn walk(target: &Target, is_ready: oneshot::Receiver<()>) -> Result<Walk> {
    is_ready.await.map_err(|gone| Error::new(ErrorKind::Connection, "the engine stopped").source(gone))?;
    let writer = target.connect().await?.client;
    writer.batch_execute(SETUP).await.map_err(db::error)?;
    let Connection { mut client, mut notifications } = target.connect().await?;
    let server = client.query_one("show server_version", &[]).await.map_err(db::error)?.get::<_, &str>(0).to_owned();
    let subject = Subject { schema: "public".to_owned(), relation: "person".to_owned(), ..Subject::default() };
    let seal = ownership::look(&client, target.trust(), Use::Subscribe).await?;
    let seal = seal.ok_or_else(|| Error::new(ErrorKind::Setup, "Tidewire is not installed"))?;
    let session = reader::open(&mut client, seal, &subject).await?;
    // the subscription takes effect once the table is prepared
    reader::sync(&client).await?;
    let before = rows(&writer).await?;
    for statement in STATEMENTS {
        writer.batch_execute(statement).await.map_err(db::error)?;
    }
    reader::sync(&client).await?;
    let after = rows(&writer).await?;

    let mut inbox = Reader::new(&client, session);
    let events = inbox.next_page().await?;
    inbox.acknowledge().await?;
    let mut arrived = Vec::new();
    while arrived.len() < events.len() {
        match tokio::time::timeout(ARRIVAL, notifications.recv()).await {
            Ok(Some(notification)) => arrived.push(notification),
            _ => {
                let message = format!("{} notifications arrived for {} events", arrived.len(), events.len());
                return Err(Error::new(ErrorKind::Protocol, message));
            }
        }
    }
    reader::close(&client, session).await?;
    Ok(Walk { server, session, before, after, events, notifications: arrived })
}

/// The table as it is.
async fn rows(client: &Client) -> Result<Vec<Row>> {
    let sql = "select row_to_json(p)::text from (select * from person order by id) p";
    let rows = client.query(sql, &[]).await.map_err(db::error)?;
    rows.iter().map(|row| object(row.get(0))).collect()
}

/// Reads a row from JSON.
pub(super) fn object(json: &str) -> Result<Row> {
    serde_json::from_str(json).map_err(|source| {
        Error::new(ErrorKind::Protocol, format!("\"{json}\" is not a row in JSON: {source}")).source(source)
    })
}
