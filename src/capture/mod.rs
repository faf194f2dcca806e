//! The one task that walks the WAL: decode, diff, route, batch. It owns the subscription index; nothing here is shared.
//!
//! Batches go to the inbox's writer over a channel. While one is being written the next one grows: what queued up in
//! the meantime is the next batch, so that it is quick when it is quiet and full when it is busy.

mod control;
mod relations;
mod render;
mod transaction;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{Batch, Committed};
use crate::observe::{Observation, observe};
use crate::position::{Lsn, Progress};
use crate::subscription::{Index, Subscription};
use crate::wal::{Item, WalStream};

use relations::Relations;
use transaction::Open;

/// The walk from the slot to the batches.
pub struct Capture {
    stream: WalStream,
    relations: Relations,
    index: Index,
    batch: Batch,
    open: Option<Open>,
    /// What is at or below it has been done before.
    done: Progress,
    /// A batch is being written.
    writing: bool,
    altered: mpsc::UnboundedSender<u32>,
    delivered: watch::Sender<Lsn>,
}

/// Where the walk goes.
pub struct Outlets {
    /// To the inbox's writer.
    pub batches: mpsc::Sender<Batch>,
    /// From it.
    pub committed: mpsc::Receiver<Committed>,
    /// Relations that were altered: who may see them may have changed. Unbounded: they are few, and the walk must not
    /// wait.
    pub altered: mpsc::UnboundedSender<u32>,
    /// The position up to which everything has been delivered.
    pub delivered: watch::Sender<Lsn>,
}

impl Capture {
    /// Starts with the watched tables' descriptions and the subscriptions as they stood at `done`.
    pub fn new(
        stream: WalStream,
        descriptions: &[(u32, String)],
        subscriptions: Vec<Subscription>,
        done: Progress,
        outlets: &Outlets,
    ) -> Self {
        let mut index = Index::default();
        for subscription in subscriptions {
            index.add(subscription);
        }
        let mut relations = Relations::default();
        for (table, description) in descriptions {
            relations.describe(*table, Some(description));
        }
        Capture {
            stream,
            relations,
            index,
            batch: Batch::after(done),
            open: None,
            done,
            writing: false,
            altered: outlets.altered.clone(),
            delivered: outlets.delivered.clone(),
        }
    }

    /// Walks until it is told to stop; then what was read is written and acknowledged.
    ///
    /// # Errors
    /// Those of the stream and of the connection; a writer that went away is [`ErrorKind::Connection`], and says itself why.
    pub async fn run(mut self, mut outlets: Outlets, stop: CancellationToken) -> Result<()> {
        loop {
            self.hand_over(&outlets).await?;
            // A transaction that is being read is read to its end, or to the end of a piece: the server sends it at once.
            if stop.is_cancelled() && (self.open.is_none() || !self.batch.has_work()) {
                break;
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                committed = outlets.committed.recv() => self.committed(committed)?,
                item = self.stream.next(), if !(self.writing && self.batch.is_full()) => self.item(item?)?,
            }
        }
        observe(&Observation::Stopping);
        self.hand_over(&outlets).await?;
        while self.writing {
            let committed = outlets.committed.recv().await;
            self.committed(committed)?;
            self.hand_over(&outlets).await?;
        }
        self.stream.close().await;
        Ok(())
    }

    /// Gives the batch to the writer if it is free, at the end of a transaction or when the batch is full.
    async fn hand_over(&mut self, outlets: &Outlets) -> Result<()> {
        if self.writing || (self.open.is_some() && !self.batch.is_full()) {
            return Ok(());
        }
        if self.batch.has_work() {
            let next = Batch::after(self.batch.progress);
            let batch = std::mem::replace(&mut self.batch, next);
            outlets.batches.send(batch).await.map_err(|_| writer_gone())?;
            self.writing = true;
        } else if let Some(lsn) = self.batch.acknowledge.take() {
            self.batch.xids.clear();
            self.acknowledge(lsn);
        }
        Ok(())
    }

    fn committed(&mut self, committed: Option<Committed>) -> Result<()> {
        let committed = committed.ok_or_else(writer_gone)?;
        self.writing = false;
        observe(&Observation::BatchWritten { events: committed.events });
        if let Some(lsn) = committed.acknowledge {
            self.acknowledge(lsn);
        }
        Ok(())
    }

    fn acknowledge(&self, lsn: Lsn) {
        self.stream.acknowledge(lsn);
        self.delivered.send_replace(lsn);
    }

    fn item(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Begin(begin) => self.begin(begin),
            Item::Commit(commit) => self.commit(commit),
            Item::Change(bytes) => self.change(&bytes)?,
            Item::Logical { transactional: true, prefix, content } if prefix == control::PREFIX => {
                self.logical(&content);
                self.note_piece();
            }
            Item::Logical { .. } => {}
            Item::KeepAlive(lsn) => {
                if self.open.is_none() {
                    self.batch.acknowledge = self.batch.acknowledge.max(Some(lsn));
                }
            }
        }
        Ok(())
    }
}

fn writer_gone() -> Error {
    Error::new(ErrorKind::Connection, "the inbox's writer stopped")
}
