//! The connection and its role.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

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

/// Whose members may replicate on Amazon's RDS and Aurora, where nobody can give the attribute.
const RDS_REPLICATION: &str = "rds_replication";

/// REPLICATION, for the slot and the stream.
pub(super) async fn replication(client: &Client) -> Result<Requirement> {
    let row = client
        .query_one(
            "select rolsuper, rolreplication, rolname::text, quote_ident(rolname), exists (select from pg_roles where rolname = $1)
             from pg_roles where rolname = current_user",
            &[&RDS_REPLICATION],
        )
        .await
        .map_err(error)?;
    let (role, quoted): (&str, &str) = (row.get(2), row.get(3));
    Ok(if row.get(0) {
        Requirement::met(format!("role \"{role}\" is a superuser"))
    } else if row.get(1) || may_use_slots(client).await? {
        Requirement::met(format!("role \"{role}\" may replicate"))
    } else {
        Requirement::failed(
            format!("role \"{role}\" may not replicate"),
            if row.get(4) {
                format!("grant {RDS_REPLICATION} to {quoted};  -- as the service's administrator")
            } else {
                format!("alter role {quoted} replication;  -- as a superuser")
            },
        )
    })
}

/// Whether the server lets a role without the attribute use slots, as that of a service does by membership in a role of its
/// own. The server is asked to drop a slot whose name none can have: it looks at the permission first.
async fn may_use_slots(client: &Client) -> Result<bool> {
    match client.query_one("select pg_drop_replication_slot('No slot?')", &[]).await {
        Ok(_) => Ok(true),
        Err(refused) if refused.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(other) if other.as_db_error().is_some() => Ok(true),
        Err(lost) => Err(error(lost)),
    }
}
