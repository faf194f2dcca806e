//! Every thing worth knowing is one variant of [`Observation`]; this is the only place that logs and counts.
//!
//! The log (what is written here, how in [`log`]), the figures ([`meter`]) and whether events are delivered just now ([`health`]) are three
//! views of the same observations. They are the process's own, as its log is: one process serves one database.

pub mod health;
pub mod log;
pub mod meter;

use std::net::SocketAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::db::slot::Loss;
use crate::db::status::{Sample, Stock};
use crate::error::Error;
use crate::json::Malformed;
use crate::position::{EventId, Lsn};

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
    /// Changes are lost; the slot is made anew.
    EventsLost {
        /// Its name.
        slot: &'a str,
        /// Why.
        loss: Loss,
    },
    /// Every session is told that changes are lost to it.
    GapTold {
        /// Why.
        loss: Loss,
        /// How many sessions.
        sessions: u64,
    },
    /// A role has used most of one of its limits.
    RoleNearLimit {
        /// Its name.
        role: &'a str,
        /// How near: `19200 of 20000 sessions`.
        shown: &'a str,
    },
    /// An inbox was over its limits, or those of a role over the role's: it was emptied, and the session is told of the gap.
    InboxEmptied {
        /// `inbox_full` or `inbox_too_old`.
        reason: &'a str,
    },
    /// The notification queue is filling up: sessions are not notified until there is room again.
    NotificationsSkipped {
        /// How many notifications of this batch.
        notifications: usize,
    },
    /// So much was read of the stream since this was last said.
    Read {
        /// Inserted, updated and deleted rows, and truncated tables.
        changes: u64,
        /// Transactions that were read to their end.
        transactions: u64,
    },
    /// The writer has a batch to write.
    BatchHandedOver,
    /// The batch waits until its changes can be read.
    WaitingToBeVisible,
    /// A batch is delivered: what there is of it for the database is there, and its notifications are out.
    BatchWritten {
        /// Events that went out, with NOTIFY or to sessions in the process.
        events: usize,
        /// Rows that it put into inboxes.
        inbox_rows: usize,
    },
    /// All that was read is done, and the server is told so.
    Acknowledged,
    /// The addresses `/live`, `/ready` and `/metrics` can be had at.
    Listening {
        /// The address.
        address: SocketAddr,
    },
    /// The monitor asks the database how it is.
    Asked,
    /// The slot and the log, as the monitor found them.
    Sampled {
        /// What it found.
        sample: &'a Sample,
        /// What follows from it and from those before.
        outlook: &'a Outlook,
    },
    /// Sessions and inboxes, as the monitor found them.
    StockTaken {
        /// What it found.
        stock: &'a Stock,
    },
    /// The monitor could not ask; it tries again.
    MonitorFailed {
        /// Why.
        error: &'a Error,
    },
    /// Events were delivered, and are not any more, though nothing has failed.
    Stalled {
        /// Why.
        why: &'a str,
    },
    /// Events are delivered again.
    Recovered,
    /// The slot is lost before long unless something changes.
    SlotWillBeLost {
        /// Its name.
        slot: &'a str,
        /// When, as it looks now.
        within: Duration,
        /// The log that it keeps, in bytes.
        retained: u64,
        /// How fast that grows, in bytes a second.
        growth: f64,
    },
    /// The slot keeps much of the log and nothing bounds it but the disk.
    SlotKeepsGrowing {
        /// Its name.
        slot: &'a str,
        /// The log that it keeps, in bytes.
        retained: u64,
        /// How fast that grows, in bytes a second.
        growth: f64,
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
    /// A change is too large to be told; those whom it concerns are told of a gap.
    ChangeTooLarge {
        /// The table.
        relation: &'a str,
    },
    /// A relation was in the publication, and of what table it is or was cannot be told.
    Stranger {
        /// Its oid.
        relation: u32,
        /// How many sessions are told of a gap.
        sessions: u64,
    },
    /// Which column of a watched table is which was not certain when it changed.
    ColumnsUncertain {
        /// Its oid.
        table: u32,
        /// How many sessions are told of a gap.
        sessions: u64,
    },
    /// Sessions of other roles kept the program from its own tables, and were ended.
    SquattersEnded {
        /// How many.
        sessions: u64,
    },
    /// The writer answered what the walk had asked.
    Answered,
    /// Somebody took a watched table out of the publication; it is in it again.
    Republished {
        /// The table.
        name: &'a str,
        /// How many sessions are told of a gap.
        sessions: u64,
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
    /// The embedded server died.
    ServerEnded,
    /// The embedded server could not be started again; it is tried again.
    ServerNotStarted {
        /// Why.
        error: &'a Error,
    },
    /// A change was set aside: the sessions that it concerns are told of a gap.
    SetAside {
        /// Its place.
        id: EventId,
        /// Where it failed: a word of `event.failure.stop`.
        stop: &'a str,
        /// Why: a word of `event.failure.code`.
        code: &'a str,
    },
    /// The server could not send a transaction, twice: it is passed over, and every session is told of a gap.
    PassedOver {
        /// Where it commits.
        commits_at: Lsn,
        /// How many sessions.
        sessions: u64,
    },
    /// The walk has been in one step for so long that it will not come back: the process ends.
    WalkHangs {
        /// Where the step's transaction commits.
        lsn: Lsn,
        /// The message's number in it.
        message: i64,
        /// For how long at least.
        seconds: u64,
    },
    /// The program was told to stop.
    Stopping,
    /// The last batch could not be written in time.
    StoppedShort,
}

/// What the samples so far add up to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outlook {
    /// The age of the oldest commit that may not be delivered.
    pub lag: Duration,
    /// For how long nothing has moved although there is something to deliver.
    pub stuck: Option<Duration>,
    /// How fast the log that the slot keeps grows, in bytes a second.
    pub growth: f64,
    /// When the slot is lost if that goes on.
    pub lost_within: Option<Duration>,
}

/// Logs it, counts it, and notes what it says of the program's health.
pub fn observe(observation: &Observation<'_>) {
    health::note(observation);
    meter::count(observation);
    write(observation);
}

fn write(observation: &Observation<'_>) {
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
        Observation::EventsLost { slot, loss: Loss::Slot } => {
            tracing::error!("replication slot \"{slot}\" was lost, and changes with it: it is made anew");
        }
        Observation::EventsLost { slot, loss: Loss::Restored } => {
            tracing::error!("the database was restored or copied: replication slot \"{slot}\" is made anew");
        }
        Observation::GapTold { loss, sessions } => {
            tracing::error!("{sessions} sessions are told of a gap: {}", loss.as_str());
        }
        Observation::InboxEmptied { reason } => {
            tracing::warn!(
                "the inbox of a session was over its limits ({reason}), or its role's inboxes together: it was emptied, and the \
                 session is told"
            );
        }
        Observation::RoleNearLimit { role, shown } => {
            tracing::warn!("role \"{role}\" is near a limit: {shown}; event.limit_role raises it");
        }
        Observation::NotificationsSkipped { notifications } => {
            tracing::warn!(
                "the notification queue is filling up: {notifications} notifications are left out; some connection listens \
                 but does not read (inboxes are complete)"
            );
        }
        Observation::BatchWritten { events, .. } => tracing::debug!(events, "batch written"),
        Observation::Listening { address } => tracing::info!("listening on http://{address}"),
        Observation::MonitorFailed { error } => {
            tracing::warn!("the monitor cannot ask the database: {}", one_line(error));
        }
        Observation::Stalled { why } => tracing::error!("delivery is stalled: {why}"),
        Observation::Recovered => tracing::info!("delivery goes on"),
        Observation::SlotWillBeLost { slot, within, retained, growth } => tracing::warn!(
            "replication slot \"{slot}\" will be lost in {}: it keeps {retained} bytes of WAL, {growth:.0} more each second",
            rough(*within)
        ),
        Observation::SlotKeepsGrowing { slot, retained, growth } => tracing::warn!(
            "replication slot \"{slot}\" keeps {retained} bytes of WAL, {growth:.0} more each second, and nothing bounds it \
             but the disk (max_slot_wal_keep_size is -1)"
        ),
        Observation::Read { .. }
        | Observation::BatchHandedOver
        | Observation::WaitingToBeVisible
        | Observation::Answered
        | Observation::Acknowledged
        | Observation::Asked
        | Observation::Sampled { .. }
        | Observation::StockTaken { .. } => {}
        Observation::ValueAsText { relation, column, why } => {
            tracing::warn!("value of {relation}.{column} is told as text: {why}");
        }
        Observation::ChangeTooLarge { relation } => {
            tracing::error!("a change of {relation} is too large to be told: its subscribers are told of a gap");
        }
        Observation::Stranger { relation, sessions } => {
            tracing::warn!(
                "relation {relation} was in our publication and is of no watched table: its changes are told to nobody, and \
                 {sessions} sessions of a gap"
            );
        }
        Observation::ColumnsUncertain { table, sessions } => {
            tracing::warn!(
                "table {table} was altered, and which of its columns is which is not certain for some changes: {sessions} sessions \
                 are told of a gap"
            );
        }
        Observation::Republished { name, sessions } => {
            tracing::warn!(
                "table {name} was taken out of our publication and is in it again: {sessions} sessions are told of a gap"
            );
        }
        Observation::SquattersEnded { sessions } => {
            tracing::warn!(
                "{sessions} sessions of other roles held locks on Tidewire's relations that keep everybody else waiting; ended them"
            );
        }
        Observation::SubscriptionUnreadable { id } => {
            tracing::warn!("subscription {id} cannot be read and is ignored");
        }
        Observation::DescriptionUnreadable { table, why } => {
            tracing::error!("the description of table {table} cannot be read: {why}");
        }
        Observation::UpkeepFailed { error } => tracing::warn!("upkeep failed: {}", one_line(error)),
        Observation::ServerEnded => tracing::error!("the embedded PostgreSQL has ended; starting it again"),
        Observation::ServerNotStarted { error } => {
            tracing::error!("the embedded PostgreSQL cannot be started again: {}", one_line(error));
        }
        Observation::SetAside { id, stop, code } => {
            tracing::warn!("change {id} is set aside ({stop}: {code}): its subscribers are told of a gap");
        }
        Observation::PassedOver { commits_at, sessions } => tracing::error!(
            "the server cannot send the transaction that commits at {commits_at}: it is passed over, and {sessions} sessions are told of a gap"
        ),
        Observation::WalkHangs { lsn, message, seconds } => tracing::error!(
            "the walk has been at message {message} of the transaction that commits at {lsn} for {seconds} s: the process ends, so that \
             another one may go on"
        ),
        Observation::StoppedShort => {
            tracing::warn!("the last batch could not be written in time; it is written again at the next start");
        }
        Observation::Stopping => tracing::info!("stopping: writing what was read, acknowledging"),
    }
}

/// A duration to the unit that matters.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn one_line(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{} (hint: {hint})", error.message()),
        None => error.message().to_owned(),
    }
}
