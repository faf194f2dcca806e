//! What each role keeps, and its limits.

use tokio_postgres::Client;

use super::connect::error;
use crate::config::Limits;
use crate::error::Result;

/// A role, how near it is to one of its limits.
#[derive(Debug, Clone)]
pub struct Near {
    /// Its oid.
    pub role: u32,
    /// Its name; its oid's digits once it was dropped.
    pub name: String,
    /// `sessions`, `subscriptions` or `inbox_size`.
    pub limit: String,
    /// How much of it is used: 1 is all of it.
    pub ratio: f64,
    /// The same in words: `19200 of 20000 sessions`.
    pub shown: String,
    /// SQL that doubles the limit.
    pub remedy: String,
}

/// Writes the limits of roles that have none of their own.
///
/// # Errors
/// Those of the connection.
pub async fn set_defaults(client: &Client, limits: &Limits) -> Result<()> {
    client
        .execute(
            "select event._default_limits($1, $2, pg_size_bytes($3))",
            &[&i64::from(limits.role_sessions), &i64::from(limits.role_subscriptions), &limits.role_inbox_size],
        )
        .await
        .map_err(error)?;
    Ok(())
}

/// Another text when subscriptions were added or removed; nothing where the server does not count.
///
/// # Errors
/// Those of the connection.
pub async fn subscriptions_mark(client: &Client) -> Result<Option<String>> {
    Ok(client.query_one("select event._subscriptions_mark()", &[]).await.map_err(error)?.get(0))
}

/// Counts the subscriptions of each role.
///
/// # Errors
/// Those of the connection.
pub async fn count_subscriptions(client: &Client) -> Result<()> {
    client.execute("select event._count_subscriptions()", &[]).await.map_err(error)?;
    Ok(())
}

/// The roles that use more than `ratio` of one of their limits, the nearest first.
///
/// # Errors
/// Those of the connection.
pub async fn near(client: &Client, ratio: f64) -> Result<Vec<Near>> {
    let sql = "select role::oid, coalesce(name::text, role::oid::text), limit_name, ratio, shown, remedy
               from event._near where ratio >= $1 order by ratio desc, role, limit_name";
    let rows = client.query(sql, &[&ratio]).await.map_err(error)?;
    Ok(rows
        .into_iter()
        .map(|row| Near {
            role: row.get(0),
            name: row.get(1),
            limit: row.get(2),
            ratio: row.get(3),
            shown: row.get(4),
            remedy: row.get(5),
        })
        .collect())
}
