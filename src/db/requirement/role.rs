//! The connection and its role.

use tokio_postgres::Client;

use super::Requirement;
use crate::db::Target;
use crate::db::connect::error;
use crate::error::{Error, ErrorKind, Result};

/// That the connection could be made.
pub(super) async fn connected(client: &Client, target: &Target) -> Result<Requirement> {
    let row = client.query_one("select current_user::text", &[]).await.map_err(error)?;
    Ok(Requirement::met(format!("connected to {} as role \"{}\"", target.display(), row.get::<_, &str>(0))))
}

/// That it could not.
pub(super) fn refused(target: &Target, failed: &Error) -> Requirement {
    let shown = target.display();
    let remedy = match failed.kind() {
        ErrorKind::Authentication if failed.message().contains("pg_hba.conf") => format!(
            "select pg_reload_conf();  -- as a superuser, with a line for database \"{}\" added to the file that show hba_file names",
            target.database()
        ),
        ErrorKind::Authentication => format!("psql '{shown}' -c 'select 1'  # asks for the password; then put it into PGPASSWORD"),
        ErrorKind::Setup => format!("createdb --maintenance-db='{}' '{}'", target.display_database("postgres"), target.database()),
        _ => format!("pg_isready -d '{shown}'  # is the server running, and the URL right?"),
    };
    Requirement::failed(one_line(failed.message()), remedy)
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
