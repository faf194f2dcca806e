//! What is written in one database transaction: entries, pointers, notifications, routing changes, progress.

use std::sync::Arc;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use uuid::Uuid;

use super::entry::Entry;
use crate::delivery::notify;
use crate::delivery::visible::Run;
use crate::position::{EventId, Lsn, Progress};
use crate::subscription::{Kind, Subscription};

/// A batch this large is written before another transaction is read. Large enough that the commit's fixed cost is spread over
/// thousands of events.
const FULL_BYTES: usize = 2 << 20;

/// One this large is written before more is read, also in the middle of a transaction, so that memory does not grow with a
/// transaction's size. Twice a full one: what most transactions have is then not cut, which costs a look back at its end.
const CUT_BYTES: usize = 2 * FULL_BYTES;

/// What a session to which somebody attached weighs. It is little memory, and much of the server's time: what it was sent is looked up,
/// by itself. A thousand fill a batch.
const RESEND_BYTES: usize = 2 << 10;

/// An entry of a session's inbox.
#[derive(Debug, Clone)]
pub struct Pointer {
    /// The session.
    pub session: Uuid,
    /// The event.
    pub id: EventId,
    /// The widest matching subscription.
    pub kind: Kind,
    /// The last of its transaction for this session.
    pub last: bool,
    /// Where in the row's JSON the columns stand that the session's owner may see; `None`: all of it may be seen.
    pub visible: Option<Arc<[Run]>>,
    /// What the event weighs in the journal, in bytes, roughly.
    pub bytes: u32,
    /// The weights of the session's events up to this one, added up.
    pub total: i64,
}

/// One NOTIFY, unless a hub takes it.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The channel.
    pub session: Uuid,
    /// The event.
    pub id: EventId,
    /// The session is not durable: this is all that there is of the event for it.
    pub live: bool,
    /// The event as text, under 8000 bytes. Sessions that see the same of it share it: they can be any number.
    pub payload: Arc<str>,
}

/// How the set of subscriptions changed.
#[derive(Debug, Clone)]
pub enum RouteChange {
    /// A subscription was made.
    Add(Subscription),
    /// A subscription was deleted.
    Remove(Uuid),
    /// A subscription ended by itself: its row goes too.
    End(Uuid),
}

/// A connection attached: what its look into the inbox may have missed is sent again.
#[derive(Debug, Clone)]
pub struct Resend {
    /// The session.
    pub session: Uuid,
    /// The last event id that attaching itself has sent again; empty for none.
    pub after: String,
    /// Where it commits.
    pub at: Lsn,
    /// The last event that it may have missed.
    pub through: EventId,
}

/// A change that failed twice: those whom it concerns have a gap in its place.
#[derive(Debug, Clone)]
pub struct SetAside {
    /// Its place.
    pub id: EventId,
    /// Where it failed: a word of `event.failure.stop`.
    pub stop: &'static str,
    /// Why: a word of `event.failure.code`.
    pub code: String,
}

/// How much a batch held at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    entries: usize,
    pointers: usize,
    notifications: usize,
    xids: usize,
    progress: Progress,
    bytes: usize,
}

/// All that is written in one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// Rows of the journal.
    pub entries: Vec<Entry>,
    /// Rows of the inbox.
    pub pointers: Vec<Pointer>,
    /// NOTIFYs, in order.
    pub notifications: Vec<Notification>,
    /// Changes of `event.route`, in order.
    pub routes: Vec<RouteChange>,
    /// What watched tables are made of from here on, in order; `None`: watched no more.
    pub descriptions: Vec<(u32, Option<String>)>,
    /// Sessions that were deleted: what was put into their inboxes since is removed.
    pub deleted_sessions: Vec<Uuid>,
    /// Rows of `event.gap` whose sessions are told.
    pub told_gaps: Vec<Uuid>,
    /// Connections that attached, each session once.
    pub resends: Vec<Resend>,
    /// Where in `resends` a session is.
    resend_of: HashMap<Uuid, usize, FxBuildHasher>,
    /// The transactions whose changes these are; they must be visible before the batch is.
    pub xids: Vec<u32>,
    /// Changes that were set aside.
    pub set_aside: Vec<SetAside>,
    /// The last pointers of a transaction that ends in this batch, for the sessions that have theirs in an earlier one.
    pub last_before: Vec<(Uuid, EventId)>,
    /// A transaction that ends in this batch and of which earlier batches were written before a restart: which pointers are the
    /// last ones in them has to be looked up.
    pub ends_resumed: Option<Lsn>,
    /// All up to here is done once this batch is written.
    pub progress: Progress,
    /// The WAL up to here may be forgotten then.
    pub acknowledge: Option<Lsn>,
    /// Rough size in memory.
    bytes: usize,
}

impl Batch {
    /// An empty one that goes on where another ended.
    pub fn after(progress: Progress) -> Self {
        Batch { progress, ..Batch::default() }
    }

    /// Whether there is anything to write.
    pub fn has_work(&self) -> bool {
        self.is_durable() || !self.notifications.is_empty()
    }

    /// Whether it changes a table, or is not to be done once more, and so the progress row too.
    pub fn is_durable(&self) -> bool {
        !self.pointers.is_empty()
            || !self.resends.is_empty()
            || !self.routes.is_empty()
            || !self.deleted_sessions.is_empty()
            || !self.descriptions.is_empty()
            || !self.told_gaps.is_empty()
            || !self.set_aside.is_empty()
            || !self.last_before.is_empty()
            || self.ends_resumed.is_some()
    }

    /// Whether it has events for inboxes and nothing else to write, and not much of that.
    pub fn is_plain(&self) -> bool {
        !self.pointers.is_empty()
            && self.bytes < FULL_BYTES
            && self.resends.is_empty()
            && self.routes.is_empty()
            && self.deleted_sessions.is_empty()
            && self.descriptions.is_empty()
            && self.told_gaps.is_empty()
            && self.set_aside.is_empty()
            && self.last_before.is_empty()
            && self.ends_resumed.is_none()
    }

    /// Whether it has to be written before more is read; `within`: more of the same transaction.
    pub fn is_full(&self, within: bool) -> bool {
        self.bytes >= if within { CUT_BYTES } else { FULL_BYTES }
    }

    /// Somebody attached to a session: what is behind the event `after` is sent again.
    pub fn resend(&mut self, session: Uuid, after: String, at: Lsn) {
        match self.resend_of.get(&session).and_then(|&of| self.resends.get_mut(of)) {
            Some(resend) => {
                resend.after = after.min(std::mem::take(&mut resend.after));
                resend.at = at;
            }
            None => {
                self.weigh(RESEND_BYTES);
                self.resend_of.insert(session, self.resends.len());
                self.resends.push(Resend { session, after, at, through: EventId::default() });
            }
        }
    }

    /// Counts what an addition weighs.
    pub fn weigh(&mut self, bytes: usize) {
        // the fixed part: the structures around the text
        self.bytes += bytes + 200;
    }

    /// What it holds now.
    pub fn mark(&self) -> Mark {
        Mark {
            entries: self.entries.len(),
            pointers: self.pointers.len(),
            notifications: self.notifications.len(),
            xids: self.xids.len(),
            progress: self.progress,
            bytes: self.bytes,
        }
    }

    /// Takes out again the events that came since; gives the pointers back.
    pub fn rewind(&mut self, mark: &Mark) -> Vec<Pointer> {
        self.entries.truncate(mark.entries);
        self.notifications.truncate(mark.notifications);
        self.xids.truncate(mark.xids);
        self.progress = mark.progress;
        self.bytes = mark.bytes;
        self.pointers.split_off(mark.pointers.min(self.pointers.len()))
    }

    /// The events of some of its changes, and nothing else of it. `ids` are in order.
    pub fn part(&self, ids: &[EventId]) -> Batch {
        let has = |id: &EventId| ids.binary_search(id).is_ok();
        Batch {
            entries: self.entries.iter().filter(|entry| has(&entry.id)).cloned().collect(),
            pointers: self.pointers.iter().filter(|pointer| has(&pointer.id)).cloned().collect(),
            notifications: self.notifications.iter().filter(|event| has(&event.id)).cloned().collect(),
            progress: self.progress,
            ..Batch::default()
        }
    }

    /// The changes that it has events of, in order.
    pub fn ids(&self) -> Vec<EventId> {
        let pointed = self.pointers.iter().map(|pointer| pointer.id);
        let mut ids: Vec<EventId> = pointed.chain(self.notifications.iter().map(|event| event.id)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Puts gaps in the place of some of its changes: those whom they concern are told so. `ids` are in order.
    pub fn replace_by_gaps(&mut self, ids: &[EventId], reason: &str) {
        let has = |id: &EventId| ids.binary_search(id).is_ok();
        for entry in self.entries.iter_mut().filter(|entry| has(&entry.id)) {
            let place = entry.id.to_string();
            *entry = Entry::gap(entry.id, entry.committed_at, reason, &place, &place);
        }
        for event in self.notifications.iter_mut().filter(|event| has(&event.id)) {
            let place = event.id.to_string();
            let gap = Entry::gap(event.id, 0, reason, &place, &place);
            event.payload = notify::render(&gap, Kind::Table, None).into();
        }
        for pointer in self.pointers.iter_mut().filter(|pointer| has(&pointer.id)) {
            pointer.kind = Kind::Table;
            pointer.visible = None;
        }
    }
}
