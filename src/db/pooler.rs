//! Tells a connection pooler from the server.
//!
//! A module of its own, because it has to be known before the connection is used: a lock or a
//! setting that is left in a pooler's connection is another client's.

use std::hash::{BuildHasher, Hasher, RandomState};

use tokio_postgres::error::DbError;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::connect::{Target, error};
use crate::error::{Error, ErrorKind, Result};

/// A setting of no meaning, by which a connection is known again.
const SETTING: &str = "tidewire.connection";

/// What the server is given in the startup message. It has that setting in the connection that was
/// started with it, and in no other. A pooler starts connections of its own: it refuses the setting
/// or leaves it out.
pub(super) struct Mark(String);

impl Mark {
    /// One that no other connection has.
    pub(super) fn new() -> Self {
        Mark(format!("{:016x}", RandomState::new().build_hasher().finish()))
    }

    /// For the startup message.
    pub(super) fn options(&self) -> String {
        format!("-c {SETTING}={}", self.0)
    }

    /// Fails unless it came to the server.
    pub(super) async fn check(&self, client: &Client, target: &Target) -> Result<()> {
        // a pooler need not carry prepared statements
        let sql = format!("select pg_catalog.current_setting('{SETTING}', true)");
        let answer = client.simple_query(&sql).await.map_err(error)?;
        let came = answer.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some(&self.0),
            _ => false,
        });
        if came { Ok(()) } else { Err(answers(target)) }
    }
}

/// Whether that is how a pooler refuses a setting in the startup message: PgBouncer's words, and
/// those of Amazon's proxy. The server takes every setting.
pub(super) fn refuses(db: &DbError) -> bool {
    ["unsupported startup parameter", "support command-line options"].iter().any(|words| db.message().contains(words))
}

/// The error for a pooler.
pub(super) fn answers(target: &Target) -> Error {
    let place = format!("postgresql://{}@HOST:PORT/{}", target.user(), target.database());
    Error::new(ErrorKind::Setup, "a connection pooler answers, not the server itself")
        .detail("Tidewire's locks and its stream belong to a connection of its own. Clients may use a pooler.")
        .hint(format!(
            "tidewire check --database-url '{place}'  # with the address of PostgreSQL itself, as the pooler has it"
        ))
        .context(format!("cannot connect to {}", target.display()))
}
