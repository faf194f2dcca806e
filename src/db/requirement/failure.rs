//! Changes that were set aside.

use tokio_postgres::Client;

use super::Requirement;
use crate::db::error;
use crate::error::Result;

/// Whether changes failed twice and were set aside.
pub(super) async fn set_aside(client: &Client) -> Result<Requirement> {
    let sql = "select count(*), max(id), max(to_char(at, 'YYYY-MM-DD HH24:MI')) from event.failure";
    let row = client.query_one(sql, &[]).await.map_err(error)?;
    Ok(match (row.get::<_, i64>(0), row.get::<_, Option<&str>>(1), row.get::<_, Option<&str>>(2)) {
        (count, Some(last), Some(at)) => Requirement::warning(format!(
            "{count} changes were set aside, and sessions have a gap in their place; the last is {last}, at {at}"
        ))
        .remedy("select * from event.failure order by id;  -- where each failed, and why\ndelete from event.failure;"),
        _ => Requirement::met("no change was set aside"),
    })
}
