//! The one task that walks the WAL: decode, diff, route, batch. It owns the subscription index; nothing here is shared.
//!
//! Batches go to the inbox's writer over a channel. While one is being written the next one grows: what queued up in
//! the meantime is the next batch, so that it is quick when it is quiet and full when it is busy.

mod aside;
mod control;
mod pace;
mod questions;
mod relations;
mod render;
mod transaction;
mod written;

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::crash;
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{Ask, Batch, Committed};
use crate::lease::Steps;
use crate::observe::{Observation, observe};
use crate::pgoutput::Encoding;
use crate::position::{EventId, Lsn, Progress};
use crate::subscription::Index;
use crate::wal::{Item, WalStream};

pub use aside::{Failures, Place};
pub use render::{Rendering, entry};
pub use transaction::recipients;

use pace::{Pace, until};
use questions::Question;
use relations::Relations;
use transaction::Open;
use written::Written;

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
    read: Read,
    altered: mpsc::UnboundedSender<u32>,
    waiting: mpsc::UnboundedSender<u32>,
    delivered: watch::Sender<Delivered>,
    totals: HashMap<Uuid, i64, FxBuildHasher>,
    written: Written,
    pace: Pace,
    /// What is to be asked of the writer before the walk goes on.
    questions: Vec<Question>,
    steps: Arc<Steps>,
    failures: Failures,
    is_stream_over: bool,
    encoding: Option<Arc<Encoding>>,
}

/// Messages that are walked before a look at what else there is to do: some milliseconds' worth.
const MOST_AT_ONCE: u32 = 1024;

/// What was read and is not counted yet: it is told of in lumps, so that counting costs a change nothing.
#[derive(Default)]
struct Read {
    changes: u64,
    transactions: u64,
}

impl Read {
    /// A transaction that nobody is told of may have millions of changes: that it is worked on is seen from these.
    const LUMP: u64 = 4096;

    fn change(&mut self) {
        self.changes += 1;
        if self.changes >= Self::LUMP {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if self.changes + self.transactions > 0 {
            observe(&Observation::Read { changes: self.changes, transactions: self.transactions });
            *self = Read::default();
        }
    }
}

/// Where the walk goes.
pub struct Outlets {
    /// To the inbox's writer.
    pub batches: mpsc::Sender<Batch>,
    /// From it.
    pub committed: mpsc::Receiver<Committed>,
    /// Questions to the writer about the catalog.
    pub asks: mpsc::Sender<Ask>,
    /// Relations that were altered: who may see them may have changed. Unbounded: they are few, and the walk must not
    /// wait.
    pub altered: mpsc::UnboundedSender<u32>,
    /// Relations that are to be prepared, since a subscription waits for that. Unbounded for the same reason.
    pub waiting: mpsc::UnboundedSender<u32>,
    /// The position up to which everything has been delivered.
    pub delivered: watch::Sender<Delivered>,
    /// Where the walk says what it is at.
    pub steps: Arc<Steps>,
    /// What failed before.
    pub failures: Failures,
}

/// How far delivery is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delivered {
    /// Everything that committed before it has been delivered, and the server may forget it.
    pub lsn: Lsn,
    /// The newest progress row.
    pub done: EventId,
}

/// What the walk starts with: all as it stood at the progress row.
#[derive(Debug, Default)]
pub struct Known {
    /// What watched tables are made of.
    pub descriptions: Vec<(u32, String)>,
    /// Who wants what.
    pub subscriptions: Index,
    /// What each session's events have weighed, added up.
    pub totals: Vec<(Uuid, i64)>,
    /// The stream's encoding; `None`: UTF-8.
    pub encoding: Option<Encoding>,
}

impl Capture {
    /// Starts with what was known at `done`.
    pub fn new(stream: WalStream, known: Known, done: Progress, outlets: &Outlets) -> Self {
        let mut relations = Relations::default();
        for (table, description) in &known.descriptions {
            // the stream has described none of them yet
            let _ = relations.describe(*table, Some(description));
        }
        Capture {
            stream,
            relations,
            index: known.subscriptions,
            batch: Batch::after(done),
            open: None,
            done,
            writing: false,
            read: Read::default(),
            altered: outlets.altered.clone(),
            waiting: outlets.waiting.clone(),
            delivered: outlets.delivered.clone(),
            totals: known.totals.into_iter().collect(),
            written: Written::begin(done.id),
            pace: Pace::begin(Instant::now()),
            questions: Vec::new(),
            steps: Arc::clone(&outlets.steps),
            failures: outlets.failures.clone(),
            is_stream_over: false,
            encoding: known.encoding.map(Arc::new),
        }
    }

    /// Walks until it is told to stop; then what was read is written and acknowledged.
    ///
    /// # Errors
    /// Those of the stream and of the connection; a writer that went away is [`ErrorKind::Connection`], and says itself why.
    pub async fn run(mut self, mut outlets: Outlets, stop: CancellationToken) -> Result<()> {
        match self.walk(&mut outlets, &stop).await {
            Ok(()) => {
                observe(&Observation::Stopping);
                self.write_the_rest(&mut outlets).await?;
                self.stream.close().await;
                Ok(())
            }
            Err(failed) => {
                // What was read is not read again: a step that takes longer than the server waits for us would be taken for ever.
                if self.is_stream_over {
                    self.end_piece();
                    self.write_the_rest(&mut outlets).await?;
                }
                Err(failed)
            }
        }
    }

    async fn walk(&mut self, outlets: &mut Outlets, stop: &CancellationToken) -> Result<()> {
        loop {
            self.hand_over(outlets).await?;
            // A transaction that is being read is read to its end, or to the end of a piece: the server sends it at once.
            if stop.is_cancelled() && (self.open.is_none() || !self.batch.has_work()) {
                return Ok(());
            }
            crash::point("before_receive");
            self.steps.rest(!self.writing && !self.batch.has_work());
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                committed = outlets.committed.recv() => self.committed(committed)?,
                () = until(self.pace.write_at()), if self.batch.has_work() && !self.writing => self.pace.write_on(),
                () = until(self.pace.read_at()), if self.pace.read_at().is_some() => self.pace.read_on(),
                item = self.stream.next(), if self.pace.read_at().is_none() && !(self.writing && self.is_full()) => {
                    let item = self.sent(item)?;
                    self.item(item)?;
                    self.ask(&outlets.asks).await?;
                    self.all_that_is_here(outlets).await?;
                }
            }
        }
    }

    async fn write_the_rest(&mut self, outlets: &mut Outlets) -> Result<()> {
        self.pace.write_on();
        self.hand_over(outlets).await?;
        while self.writing {
            let committed = outlets.committed.recv().await;
            self.committed(committed)?;
            self.pace.write_on();
            self.hand_over(outlets).await?;
        }
        Ok(())
    }

    /// Goes on, behind a first item, with what has come by now; no further than until a batch is full, or for so long that a stop or
    /// the writer would have to wait.
    async fn all_that_is_here(&mut self, outlets: &Outlets) -> Result<()> {
        let mut walked = 1;
        let mut looked = false;
        while walked < MOST_AT_ONCE && !self.is_full() {
            match self.stream.next_here() {
                Some(item) => {
                    let item = self.sent(item)?;
                    self.item(item)?;
                    self.ask(&outlets.asks).await?;
                    walked += 1;
                    looked = false;
                }
                // the client's task has its turn: it may hold more than fits into its channel
                None if !looked => {
                    tokio::task::yield_now().await;
                    looked = true;
                }
                None => {
                    self.pace.walked(walked, Instant::now());
                    break;
                }
            }
        }
        Ok(())
    }

    /// Gives the batch to the writer if it is free, at the end of a transaction or when the batch is full.
    async fn hand_over(&mut self, outlets: &Outlets) -> Result<()> {
        if self.writing || (self.open.is_some() && !self.is_full() && !self.is_stream_over) {
            return Ok(());
        }
        if self.batch.has_work() {
            if self.pace.write_at().is_some() && !self.is_full() {
                return Ok(());
            }
            self.keep_last();
            let next = Batch::after(self.batch.progress);
            let mut batch = std::mem::replace(&mut self.batch, next);
            // only now that nothing is being written
            for resend in &mut batch.resends {
                resend.through = self.written.through(resend.at);
            }
            self.written.forget(batch.progress.id.lsn);
            self.read.tell();
            observe(&Observation::BatchHandedOver);
            outlets.batches.send(batch).await.map_err(|_| writer_gone())?;
            self.writing = true;
        } else if let Some(lsn) = self.batch.acknowledge.take() {
            self.batch.xids.clear();
            self.acknowledge(lsn);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.batch.is_full(self.open.is_some())
    }

    fn committed(&mut self, committed: Option<Committed>) -> Result<()> {
        let committed = committed.ok_or_else(writer_gone)?;
        self.writing = false;
        self.pace.written(committed.inbox_rows + committed.events, Instant::now());
        if let Some(done) = committed.done {
            self.written.add(committed.behind, done);
            self.delivered.send_modify(|delivered| delivered.done = done);
        }
        observe(&Observation::BatchWritten { events: committed.events, inbox_rows: committed.inbox_rows });
        if let Some(lsn) = committed.acknowledge {
            self.acknowledge(lsn);
        }
        Ok(())
    }

    fn acknowledge(&mut self, lsn: Lsn) {
        crash::point("before_acknowledge");
        self.read.tell();
        observe(&Observation::Acknowledged);
        self.stream.acknowledge(lsn);
        crash::point("after_acknowledge");
        self.delivered.send_modify(|delivered| delivered.lsn = lsn);
    }

    /// Notes at which transaction the server could not go on: it sends the transaction's begin before what it cannot send.
    fn sent(&mut self, item: Result<Item>) -> Result<Item> {
        self.is_stream_over |= item.is_err();
        if let (Err(failed), Some(open)) = (&item, &self.open)
            && failed.kind() == ErrorKind::Unsendable
        {
            self.failures.note_unsendable(open.place().0, open.xid());
        }
        item
    }

    fn item(&mut self, item: Item) -> Result<()> {
        crash::point("after_receive");
        match item {
            Item::Begin(begin) => self.begin(begin),
            Item::Commit(commit) => self.commit(commit),
            Item::Change(bytes) => self.step(&bytes)?,
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
