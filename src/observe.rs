//! Every thing worth knowing is one variant of [`Observation`]; this is the only place that logs.

use std::time::Duration;

use uuid::Uuid;

use crate::error::Error;
use crate::json::Malformed;
use crate::position::EventId;

/// Something that happened to the program.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// The stream is open and events are delivered.
    Delivering {
        /// The database, without a password.
        database: &'a str,
        /// Where it goes on.
        from: EventId,
        /// How many subscriptions there are.
        subscriptions: usize,
    },
    /// Another program serves the database.
    StandingBy {
        /// The database, without a password.
        database: &'a str,
    },
    /// Something failed and is tried again.
    Retrying {
        /// What failed.
        error: &'a Error,
        /// The pause before the next attempt.
        after: Duration,
    },
    /// The slot is created; that waits for older transactions.
    CreatingSlot {
        /// Its name.
        slot: &'a str,
    },
    /// The slot was lost: what was committed meanwhile cannot be told.
    SlotLost {
        /// Its name.
        slot: &'a str,
        /// Sessions that are told of the gap.
        sessions: u64,
    },
    /// A batch is in the database and its notifications are out.
    BatchWritten {
        /// Events in it.
        events: usize,
    },
    /// A value could not be read as its type; its text is told as a string.
    ValueAsText {
        /// The table.
        relation: &'a str,
        /// The column.
        column: &'a str,
        /// Why.
        why: &'a Malformed,
    },
    /// A row of `event.subscription` is not of the form; nobody is told by it.
    SubscriptionUnreadable {
        /// Its id.
        id: Uuid,
    },
    /// A row of `event.watched` is not of the form; the table's rows have no names.
    DescriptionUnreadable {
        /// The table's oid.
        table: u32,
        /// Why.
        why: &'a serde_json::Error,
    },
    /// Upkeep failed; it is tried again later.
    UpkeepFailed {
        /// Why.
        error: &'a Error,
    },
    /// The program was told to stop.
    Stopping,
    /// The last batch could not be written in time.
    StoppedShort,
}

/// Logs it.
pub fn observe(observation: &Observation<'_>) {
    match observation {
        Observation::Delivering { database, from, subscriptions } => {
            tracing::info!(%from, subscriptions, "delivering from {database}");
        }
        Observation::StandingBy { database } => {
            tracing::info!("another tidewire serves {database}; standing by to take over");
        }
        Observation::Retrying { error, after } => {
            let pause = after.as_millis();
            tracing::warn!("{}; trying again in {pause} ms", one_line(error));
        }
        Observation::CreatingSlot { slot } => {
            tracing::info!("creating replication slot \"{slot}\"; this waits for transactions that are open now");
        }
        Observation::SlotLost { slot, sessions } => {
            tracing::error!("replication slot \"{slot}\" was lost: {sessions} sessions are told of a gap");
        }
        Observation::BatchWritten { events } => tracing::debug!(events, "batch written"),
        Observation::ValueAsText { relation, column, why } => {
            tracing::warn!("value of {relation}.{column} is told as text: {why}");
        }
        Observation::SubscriptionUnreadable { id } => {
            tracing::warn!("subscription {id} cannot be read and is ignored");
        }
        Observation::DescriptionUnreadable { table, why } => {
            tracing::error!("the description of table {table} cannot be read: {why}");
        }
        Observation::UpkeepFailed { error } => tracing::warn!("upkeep failed: {}", one_line(error)),
        Observation::StoppedShort => {
            tracing::warn!("the last batch could not be written in time; it is written again at the next start");
        }
        Observation::Stopping => tracing::info!("stopping: writing what was read, acknowledging"),
    }
}

fn one_line(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{} (hint: {hint})", error.message()),
        None => error.message().to_owned(),
    }
}
