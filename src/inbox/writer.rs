//! The task that delivers batches, one after the other: when its changes can be read, to the hub; what is left of it goes into the
//! database, in one transaction.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::db::Client;

use super::apart::{self, Care};
use super::batch::Batch;
use crate::catalog::Uncertain;
use crate::crash;
use crate::db::inbox::{InboxStatements, Outcome, ensure_partition, note_uncertain, note_unknown};
use crate::delivery::hub::Hub;
use crate::error::Result;
use crate::position::{EventId, Lsn};

/// Journal, inbox and progress have a partition for each 256 MB of WAL (see `event._ensure_partition`): small enough that the
/// dead rows of one are soon dropped with it, large enough that a session which is days behind needs no thousands of them.
const SEGMENT_BITS: u32 = 28;

/// How often the writer looks at rest whether its connection is there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After so many of these looks the server hears of the writer. A quarter of what it waits for (`server::fence`).
const RENEW_AFTER: u32 = 30;

/// What the walk asks about a relation.
#[derive(Debug)]
pub enum Ask {
    /// What a watched table is made of now.
    Description {
        /// Its oid.
        table: u32,
        /// A transaction that has to be seen.
        xid: u32,
        /// Where it goes, with the oldest transaction (the lower 32 bits of its id) that may not be seen there; `None`: there is no such table.
        answer: oneshot::Sender<(Option<String>, u32)>,
    },
    /// Which watched table it is a partition of.
    Root {
        /// Its oid.
        partition: u32,
        /// The transaction in which it was met: it may have made it.
        xid: u32,
        /// Where the table's oid goes; `None`: it is of none, or of none any more.
        answer: oneshot::Sender<Option<u32>>,
    },
    /// It is of none any more, and has changes: whom it may concern is to be told of a gap.
    Lost {
        /// Its oid.
        partition: u32,
        /// Where the changes are.
        place: EventId,
        /// Where the number of those that are told goes, once that is certain.
        answer: oneshot::Sender<u64>,
    },
    /// Which of its columns are which is not known for certain, and it has changes: whom it concerns is to be told of a gap.
    Uncertain {
        /// The watched table's oid.
        table: u32,
        /// The columns.
        columns: Uncertain,
        /// Where the changes are.
        place: EventId,
        /// Where the number of those that are told goes, once that is certain.
        answer: oneshot::Sender<u64>,
    },
}

/// A batch is delivered, and what there is of it for the database is there.
#[derive(Debug)]
pub struct Committed {
    /// The WAL up to here may be forgotten.
    pub acknowledge: Option<Lsn>,
    /// All up to here is done; `None` when the batch changed no table.
    pub done: Option<EventId>,
    /// A place in the log before its commit.
    pub behind: Lsn,
    /// How many events went out, with NOTIFY or to the hub.
    pub events: usize,
    /// How many rows it put into inboxes.
    pub inbox_rows: usize,
}

/// The segment of the journal that a position falls in.
pub fn segment(lsn: Lsn) -> i64 {
    (lsn.0 >> SEGMENT_BITS) as i64
}

/// Writes batches until there are no more.
///
/// # Errors
/// The first failure; what was in that batch is written again after a restart, since the progress row has not moved.
pub async fn run(
    mut client: Client,
    hub: Hub,
    care: Care,
    mut batches: mpsc::Receiver<Batch>,
    mut asks: mpsc::Receiver<Ask>,
    committed: mpsc::Sender<Committed>,
) -> Result<()> {
    let statements = InboxStatements::prepare(&client).await?;
    let mut prepared_segment = -1;
    let mut looks = 0;
    loop {
        let received = tokio::select! {
            Some(ask) = asks.recv() => {
                match ask {
                    Ask::Description { table, xid, answer } => {
                        let _ = answer.send(statements.description_of(&client, table, xid).await?);
                    }
                    Ask::Root { partition, xid, answer } => {
                        let _ = answer.send(statements.root_of(&client, partition, xid).await?);
                    }
                    Ask::Lost { partition, place, answer } => {
                        let _ = answer.send(note_unknown(&mut client, partition, place).await?);
                    }
                    Ask::Uncertain { table, columns, place, answer } => {
                        let _ = answer.send(note_uncertain(&mut client, table, &columns, place).await?);
                    }
                }
                continue;
            }
            received = timeout(LOOK_EVERY, batches.recv()) => received,
        };
        let mut batch = match received {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(_) => {
                looks += 1;
                if client.is_closed() || looks == RENEW_AFTER {
                    statements.renew(&client).await?;
                    looks = 0;
                }
                continue;
            }
        };
        looks = 0;
        let visible_at = statements.visible(&client, &batch).await?;
        let told = hub.deliver(&mut batch);
        let Outcome { events, behind } = if batch.has_work() {
            prepare_partitions(&mut client, &batch, &mut prepared_segment).await?;
            apart::write(&statements, &client, &mut batch, &care).await?
        } else {
            Outcome { events: 0, behind: None }
        };
        let done = Committed {
            acknowledge: batch.acknowledge,
            done: batch.is_durable().then_some(batch.progress.id),
            behind: behind.unwrap_or(visible_at),
            events: told + events,
            inbox_rows: batch.pointers.len(),
        };
        if committed.send(done).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Sees to it that there is a place in the tables for all of the batch.
async fn prepare_partitions(client: &mut Client, batch: &Batch, prepared: &mut i64) -> Result<()> {
    let places = batch.entries.iter().map(|entry| entry.id.lsn).chain([batch.progress.id.lsn]);
    for needed in places.map(segment) {
        if needed != *prepared {
            crash::point("before_rotate");
            ensure_partition(client, needed).await?;
            crash::point("after_rotate");
            *prepared = needed;
        }
    }
    Ok(())
}
