//! What a program says to the database that subscribes and reads an inbox, with no more rights than its role has.

use tokio_postgres::Client;
use uuid::Uuid;

use super::connect::error;
use super::ownership::Seal;
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::Event;
use crate::position::EventId;

/// What can be subscribed to: a table, and in it a column, a row, or both: a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub relation: String,
    /// The column; `None`: all.
    pub column: Option<String>,
    /// The row's key, column and value; empty: all rows.
    pub key: Vec<(String, String)>,
}

/// The parts of a name as SQL writes it, quotes and capitals read as PostgreSQL reads them: `public."a.b"`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for what is no name.
pub async fn name_parts(client: &Client, text: &str) -> Result<Vec<String>> {
    let row = client.query_one("select parse_ident($1)", &[&text]).await.map_err(|source| {
        let source = error(source);
        match source.kind() {
            ErrorKind::Database => Error::new(ErrorKind::InvalidInput, source.message().to_owned())
                .hint(
                    "Names are written as in SQL, with double quotes around all but lower-case letters, digits and \
                     underscores; for the shell the whole in single quotes: 'public.\"My Table\"'",
                )
                .source(source),
            _ => source,
        }
    })?;
    Ok(row.get(0))
}

/// Opens a session that goes soon after this connection does, and subscribes it. This connection listens to it.
///
/// # Errors
/// PostgreSQL's own: the relation does not exist, say, or the role may not see it; [`ErrorKind::Setup`] when the schemas are not
/// those that were looked at.
pub async fn open(client: &mut Client, seal: Seal, subject: &Subject) -> Result<Uuid> {
    let transaction = client.transaction().await.map_err(error)?;
    seal.hold(&transaction).await?;
    let session: Uuid = transaction.query_one("select event.session_create()", &[]).await.map_err(error)?.get(0);
    transaction.execute("select event.session_pin($1)", &[&session]).await.map_err(error)?;
    let Subject { schema, relation, column, key } = subject;
    let (names, values): (Vec<&str>, Vec<&str>) =
        key.iter().map(|(name, value)| (name.as_str(), value.as_str())).unzip();
    let subscribed = match (column, key.is_empty()) {
        (None, true) => {
            let sql = "select event.subscribe_table($1, meta.relation_id($2, $3))";
            transaction.execute(sql, &[&session, schema, relation]).await
        }
        (Some(column), true) => {
            let sql = "select event.subscribe_column($1, meta.column_id($2, $3, $4))";
            transaction.execute(sql, &[&session, schema, relation, column]).await
        }
        (None, false) => {
            let sql = "select event.subscribe_row($1, meta.row_id($2, $3, $4::text[], $5::text[]))";
            transaction.execute(sql, &[&session, schema, relation, &names, &values]).await
        }
        (Some(column), false) => {
            let sql = "select event.subscribe_field($1, meta.field_id($2, $3, $4::text[], $5::text[], $6))";
            transaction.execute(sql, &[&session, schema, relation, &names, &values, column]).await
        }
    };
    subscribed.map_err(error)?;
    transaction.commit().await.map_err(error)?;
    Ok(session)
}

/// Deletes a session with its subscriptions and its inbox.
///
/// # Errors
/// Those of `event.session_delete`.
pub async fn close(client: &Client, session: Uuid) -> Result<()> {
    client.execute("select event.session_delete($1)", &[&session]).await.map(drop).map_err(error)
}

/// Whether a program serves this database at the moment.
///
/// # Errors
/// Those of the connection.
pub async fn is_served(client: &Client) -> Result<bool> {
    let sql = "select exists (select from pg_replication_slots where slot_name = event._slot() and active)";
    Ok(client.query_one(sql, &[]).await.map_err(error)?.get(0))
}

/// Whether a subscription of the session has not taken effect yet, since its table is still to be prepared.
///
/// # Errors
/// Those of the connection.
pub async fn waits(client: &Client, session: Uuid) -> Result<bool> {
    let sql =
        "select exists (select from event.subscription s where s.session_id = $1 and s.waiting and s.ended is null)";
    Ok(client.query_one(sql, &[&session]).await.map_err(error)?.get(0))
}

/// Returns when all that was committed so far has been delivered.
///
/// # Errors
/// PostgreSQL's own when that takes longer than 30 seconds.
pub async fn sync(client: &Client) -> Result<()> {
    client.execute("select event.sync()", &[]).await.map(drop).map_err(error)
}

/// A page of the inbox: the events after one, at most so many.
///
/// # Errors
/// Those of `event.read`.
pub async fn read(client: &Client, session: Uuid, after: Option<EventId>, max_events: i32) -> Result<Vec<Event>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let statement = client
        .prepare(
            r#"select id, (extract(epoch from committed_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint,
                      xid, change, relation, "row"::text, field, value::text, old::text, last
               from event.read($1, $2, $3) order by id collate "C""#,
        )
        .await
        .map_err(error)?;
    let rows = client.query(&statement, &[&session, &after, &max_events]).await.map_err(error)?;
    rows.iter()
        .map(|row| {
            Ok(Event {
                id: row.get::<_, &str>(0).parse()?,
                committed_at: row.get(1),
                xid: row.get(2),
                change: row.get(3),
                relation: row.get(4),
                row: row.get(5),
                field: row.get(6),
                value: row.get(7),
                old: row.get(8),
                last: row.get(9),
            })
        })
        .collect()
}

/// Everything up to and including an event is done.
///
/// # Errors
/// Those of `event.ack`.
pub async fn acknowledge(client: &Client, session: Uuid, through: EventId) -> Result<()> {
    client.execute("select event.ack($1, $2)", &[&session, &through.to_string()]).await.map(drop).map_err(error)
}
