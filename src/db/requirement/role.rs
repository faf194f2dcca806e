//! The connection and its role.

use tokio_postgres::Client;

use super::Requirement;
use crate::db::Target;
use crate::db::connect::error;
use crate::error::{Error, Result};

/// That the connection could be made.
pub(super) async fn connected(client: &Client, target: &Target) -> Result<Requirement> {
    let row = client.query_one("select current_user::text", &[]).await.map_err(error)?;
    Ok(Requirement::met(format!("connected to {} as role \"{}\"", target.display(), row.get::<_, &str>(0))))
}

/// That it could not.
pub(super) fn refused(failed: &Error) -> Requirement {
    Requirement::failed(one_line(failed.message()), failed.hint_text().unwrap_or_default())
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

/// REPLICATION, for the slot and the stream.
pub(super) async fn replication(client: &Client) -> Result<Requirement> {
    let row = client
        .query_one(
            "select rolsuper, rolreplication, rolname::text, quote_ident(rolname) from pg_roles where rolname = current_user",
            &[],
        )
        .await
        .map_err(error)?;
    let (role, quoted): (&str, &str) = (row.get(2), row.get(3));
    Ok(if row.get(0) {
        Requirement::met(format!("role \"{role}\" is a superuser"))
    } else if row.get(1) {
        Requirement::met(format!("role \"{role}\" may replicate"))
    } else {
        Requirement::failed(
            format!("role \"{role}\" may not replicate"),
            format!("alter role {quoted} replication;  -- as a superuser"),
        )
    })
}
