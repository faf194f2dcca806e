//! The stream's login: another client's than that of the statements, and on a connection of another
//! kind.

use super::Requirement;
use crate::db::Target;
use crate::db::installation::PUBLICATION;
use crate::wal::WalStream;

/// That the stream can log in; nothing where no walsender is free, which another requirement says.
pub(super) async fn login(target: &Target, slot: &str) -> Option<Requirement> {
    match WalStream::try_login(&target.stream_options(slot, PUBLICATION, "UTF8")).await {
        Ok(()) => Some(Requirement::met("the stream can log in")),
        // too_many_connections
        Err(failed) if failed.message().contains("SQLSTATE 53300") => None,
        Err(failed) => {
            Some(Requirement::failed(format!("the stream cannot log in: {}", failed.message()), remedy(target)))
        }
    }
}

/// What shows by other means how such a login is answered.
pub fn remedy(target: &Target) -> String {
    let shown = target.display();
    let mark = if shown.contains('?') { '&' } else { '?' };
    format!(
        "psql '{shown}{mark}replication=database' -c IDENTIFY_SYSTEM  # must work: does pg_hba.conf or something in between forbid it?"
    )
}
