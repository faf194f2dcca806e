//! The task that writes batches, one after the other, each in one transaction.

use crate::db::Client;
use tokio::sync::mpsc;

use super::batch::Batch;
use crate::db::inbox::{InboxStatements, ensure_partition};
use crate::error::Result;
use crate::position::Lsn;

/// The journal has one partition for each GB of WAL (see `event._ensure_partition`).
const SEGMENT_BITS: u32 = 30;

/// A batch is in the database.
#[derive(Debug)]
pub struct Committed {
    /// The WAL up to here may be forgotten.
    pub acknowledge: Option<Lsn>,
    /// How many events it had.
    pub events: usize,
}

/// The segment of the journal that a position falls in.
pub fn segment(lsn: Lsn) -> i64 {
    (lsn.0 >> SEGMENT_BITS) as i64
}

/// Writes batches until there are no more.
///
/// # Errors
/// The first failure; what was in that batch is written again after a restart, since the progress row has not moved.
pub async fn run(client: Client, mut batches: mpsc::Receiver<Batch>, committed: mpsc::Sender<Committed>) -> Result<()> {
    let statements = InboxStatements::prepare(&client).await?;
    let mut prepared_segment = -1;
    while let Some(batch) = batches.recv().await {
        for entry in &batch.entries {
            let needed = segment(entry.id.lsn);
            if needed != prepared_segment {
                ensure_partition(&client, needed).await?;
                prepared_segment = needed;
            }
        }
        statements.write(&client, &batch).await?;
        let done = Committed { acknowledge: batch.acknowledge, events: batch.notifications.len() };
        if committed.send(done).await.is_err() {
            break;
        }
    }
    Ok(())
}
