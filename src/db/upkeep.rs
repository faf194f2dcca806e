//! The statements of upkeep.

use tokio_postgres::Client;

use super::connect::error;
use crate::config::Limits;
use crate::crash;
use crate::error::{Error, ErrorKind, Result};

/// Who may still see the altered tables, what was dropped, who was not notified. False when somebody has yet to be told so.
///
/// # Errors
/// Those of the connection.
pub async fn look_after(client: &Client, altered: &[u32]) -> Result<bool> {
    // rows of a subscriber's open transaction are left for the next time
    client.batch_execute("set lock_timeout = '200ms'; set client_min_messages = warning").await.map_err(error)?;
    for relation in altered {
        client.execute("select event._recheck($1)", &[relation]).await.map_err(error)?;
    }
    client.execute("select event._sweep()", &[]).await.map_err(error)?;
    Ok(client.query_one("select event._tell_skipped()", &[]).await.map_err(error)?.get(0))
}

/// Empties the inboxes that are over their limits, drops the partitions before `segment` that nobody needs. Returns a reason
/// for each inbox that was emptied.
///
/// # Errors
/// Those of the connection.
pub async fn retain(client: &Client, segment: i64, limits: &Limits) -> Result<Vec<String>> {
    let sql = "select event._cap_inboxes(pg_size_bytes($1), $2::text::interval)";
    let emptied = client.query(sql, &[&limits.inbox_size, &limits.inbox_age]).await.map_err(error)?;
    crash::point("before_drop_partitions");
    client.execute("select event._drop_partitions($1)", &[&segment]).await.map_err(error)?;
    crash::point("after_drop_partitions");
    Ok(emptied.into_iter().map(|row| row.get(0)).collect())
}

/// Whether the limits can be read; PostgreSQL reads them.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for what is no size or no interval.
pub async fn check_limits(client: &Client, limits: &Limits) -> Result<()> {
    let checks = [
        ("inbox-max-size", &limits.inbox_size, "select pg_size_bytes($1) > 0", "It looks like 500MB or 2GB."),
        (
            "inbox-max-age",
            &limits.inbox_age,
            "select $1::text::interval > '0'",
            "It looks like '7 days' or '12 hours'.",
        ),
    ];
    for (name, value, sql, hint) in checks {
        let wrong = |why: String| Error::new(ErrorKind::InvalidInput, format!("{name}: {why}")).hint(hint);
        match client.query_one(sql, &[value]).await.map_err(error) {
            Ok(row) if row.get(0) => {}
            Ok(_) => return Err(wrong(format!("\"{value}\" is not more than nothing"))),
            Err(failed) if failed.kind() == ErrorKind::Database => return Err(wrong(failed.message().to_owned())),
            Err(failed) => return Err(failed),
        }
    }
    Ok(())
}
