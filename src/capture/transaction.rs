//! One transaction: its changes are numbered, routed, and put into the batch.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use uuid::Uuid;

use super::Capture;
use super::render::{self, Rendering};
use crate::catalog::Relation;
use crate::crash;
use crate::delivery::notify;
use crate::delivery::visible::{self, Run};
use crate::diff::{self, Change, RowImage};
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{ChangeKind, Entry, Notification, Pointer};
use crate::pgoutput::{self, Begin, Commit, Datum, Message};
use crate::position::{EventId, Lsn, Progress};
use crate::subscription::{Index, Kind, Recipients};

use super::relations::Known;

/// The transaction that is being read.
pub(super) struct Open {
    begin: Begin,
    /// The number of the last change.
    number: u32,
    /// How many messages it has had, descriptions aside.
    messages: i64,
    /// It was done before a restart: nothing is told.
    skip: bool,
    /// The last pointers of what of it is in earlier batches.
    last: HashMap<Uuid, EventId, FxBuildHasher>,
    /// A part of it is in batches that were written before a restart.
    is_resumed: bool,
    /// The session whose row it changed last: what attaching does before it says so.
    pub(super) attached: Option<Uuid>,
}

impl Open {
    /// Where it commits, and which message of it comes next.
    pub(super) fn place(&self) -> (Lsn, i64) {
        (self.begin.final_lsn, self.messages + 1)
    }

    /// Its number.
    pub(super) fn xid(&self) -> u32 {
        self.begin.xid
    }

    /// Its changes and messages so far.
    pub(super) fn counted(&self) -> (u32, i64) {
        (self.number, self.messages)
    }

    /// It has had so many.
    pub(super) fn count(&mut self, (number, messages): (u32, i64)) {
        self.number = number;
        self.messages = messages;
    }
}

/// A change as some sessions see it.
struct View<'r> {
    kind: Kind,
    numbers: Option<&'r [i16]>,
    runs: Option<Arc<[Run]>>,
    payload: Arc<str>,
}

impl Capture {
    pub(super) fn begin(&mut self, begin: Begin) {
        let done = self.done.id;
        let is_begun = begin.final_lsn == done.lsn && self.done.messages > 0;
        self.open = Some(Open {
            begin,
            number: if is_begun { done.number } else { 0 },
            messages: 0,
            skip: begin.final_lsn < done.lsn || done == EventId::end_of(begin.final_lsn),
            last: HashMap::default(),
            is_resumed: is_begun,
            attached: None,
        });
    }

    pub(super) fn commit(&mut self, commit: Commit) {
        let Some(open) = self.open.take() else { return };
        self.read.transactions += 1;
        self.batch.acknowledge = self.batch.acknowledge.max(Some(commit.end_lsn));
        if open.skip {
            return;
        }
        self.mark_last(open.begin, open.last);
        if open.is_resumed {
            self.batch.ends_resumed = Some(open.begin.final_lsn);
        }
        self.batch.progress = Progress::whole(open.begin.final_lsn);
        if self.batch.xids.last() != Some(&open.begin.xid) && self.batch.has_work() {
            self.batch.xids.push(open.begin.xid);
        }
    }

    /// Marks, for each session, its last pointer of the transaction; `before`: those in earlier batches.
    fn mark_last(&mut self, begin: Begin, mut before: HashMap<Uuid, EventId, FxBuildHasher>) {
        let mut seen: SmallVec<[Uuid; 8]> = SmallVec::new();
        let mut seen_many: Option<hashbrown::HashSet<Uuid>> = None;
        for pointer in self.batch.pointers.iter_mut().rev().take_while(|pointer| pointer.id.lsn == begin.final_lsn) {
            let is_new = match &mut seen_many {
                Some(many) => many.insert(pointer.session),
                None if seen.contains(&pointer.session) => false,
                None => {
                    seen.push(pointer.session);
                    if seen.len() > 32 {
                        seen_many = Some(seen.iter().copied().collect());
                    }
                    true
                }
            };
            pointer.last |= is_new;
            if is_new {
                before.remove(&pointer.session);
            }
        }
        self.batch.last_before.extend(before);
    }

    /// Before a batch is handed over: of the transaction that goes on behind it, each session's last pointer may be in it.
    pub(super) fn keep_last(&mut self) {
        if let Some(open) = &mut self.open {
            let here = self.batch.pointers.iter().rev().take_while(|pointer| pointer.id.lsn == open.begin.final_lsn);
            let mut newest: HashMap<Uuid, EventId, FxBuildHasher> = HashMap::default();
            for pointer in here {
                newest.entry(pointer.session).or_insert(pointer.id);
            }
            open.last.extend(newest);
        }
    }

    /// Where the transaction that is open commits, if it has not been told before.
    pub(super) fn news_at(&self) -> Option<Lsn> {
        self.open.as_ref().filter(|open| !open.skip).map(|open| open.begin.final_lsn)
    }

    /// Whether the transaction may say that somebody attached to the session: it has just changed the session's row, which only
    /// attaching does for who has no rights to the table. Where a restart cut it, what it did before is not known, and it is believed.
    pub(super) fn attached(&mut self, session: Uuid) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.attached.take() == Some(session) || open.is_resumed
    }

    /// Whether it may say so of any.
    pub(super) fn may_have_attached(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.attached.is_some() || open.is_resumed)
    }

    /// The id of the next change; `None` if it was done before a restart.
    pub(super) fn next_id(&mut self) -> Result<Option<EventId>> {
        let Some(open) = &mut self.open else {
            return Err(Error::new(ErrorKind::Protocol, "a change outside a transaction"));
        };
        open.number =
            open.number.checked_add(1).filter(|&number| number < EventId::WHOLE).ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "a transaction has more changes than can be numbered")
            })?;
        let id = EventId { lsn: open.begin.final_lsn, number: open.number };
        if open.skip {
            return Ok(None);
        }
        self.batch.progress = Progress { id, messages: open.messages };
        Ok(Some(id))
    }

    /// Counts the message; whether it is of the part of a transaction that was done before a restart.
    fn is_done_before(&mut self, message: &Message<'_>) -> bool {
        let is_counted = matches!(
            message,
            Message::Insert { .. } | Message::Update { .. } | Message::Delete { .. } | Message::Truncate(_)
        );
        if is_counted {
            self.read.change();
        }
        is_counted && self.counts_as_done()
    }

    /// Counts one more message of the open transaction; whether it was done before a restart.
    pub(super) fn counts_as_done(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.messages += 1;
        open.begin.final_lsn == self.done.id.lsn && open.messages <= self.done.messages
    }

    /// The message that was counted last is counted anew.
    fn uncount(&mut self) {
        if let Some(open) = &mut self.open {
            open.messages -= 1;
        }
    }

    /// A batch that fills up in the middle of a transaction is a piece of it.
    pub(super) fn note_piece(&mut self) {
        if self.batch.is_full(true) {
            self.end_piece();
        }
    }

    /// What the batch has of the open transaction is a piece of it.
    pub(super) fn end_piece(&mut self) {
        if self.batch.has_work()
            && let Some(open) = &self.open
            && self.batch.xids.last() != Some(&open.begin.xid)
        {
            self.batch.xids.push(open.begin.xid);
        }
    }

    pub(super) fn change(&mut self, bytes: &[u8]) -> Result<()> {
        crash::reads(bytes);
        crash::fail("decode")?;
        let message = pgoutput::decode(bytes).map_err(|source| {
            Error::new(ErrorKind::Protocol, "the stream carries what is not pgoutput").source(source)
        })?;
        if self.is_done_before(&message) {
            return Ok(());
        }
        // what was done before a restart is passed over, and costs nothing
        if self.news_at().is_some() {
            crash::slow(bytes);
        }
        if self.relations.has_unknown()
            && let Message::Insert { relation, .. }
            | Message::Update { relation, .. }
            | Message::Delete { relation, .. } = message
        {
            self.note_unknown(relation);
        }
        crash::fail("diff")?;
        if let Message::Insert { relation, .. } | Message::Update { relation, .. } | Message::Delete { relation, .. } =
            message
            && self.relations.is_broken(relation)
        {
            self.uncount();
            return self.set_aside(bytes, "walk", "of_a_relation");
        }
        let mut rendering = Rendering::default();
        match message {
            Message::Relation(body) => self.relation(&body),
            Message::Insert { relation, new } => match self.relations.get(relation) {
                Some(Known::Table(relation)) => {
                    let relation = Arc::clone(relation);
                    self.tell(&relation, &Change::RowInsert { row: &new, replaces: None }, &mut rendering)?;
                }
                Some(Known::Control(_)) => self.control(relation, None, Some(&new))?,
                None => {}
            },
            Message::Update { relation, old, whole, mut new } => match self.relations.get(relation) {
                Some(Known::Table(relation)) => {
                    let relation = Arc::clone(relation);
                    let mut changes: SmallVec<[Change<'_, '_>; 8]> = SmallVec::new();
                    diff::updated(&relation, old.as_ref(), whole, &mut new, |change| changes.push(change));
                    for change in changes {
                        self.tell(&relation, &change, &mut rendering)?;
                    }
                }
                Some(Known::Control(_)) => self.control(relation, old.as_ref(), Some(&new))?,
                None => {}
            },
            Message::Delete { relation, old, .. } => match self.relations.get(relation) {
                Some(Known::Table(relation)) => {
                    let relation = Arc::clone(relation);
                    self.tell(&relation, &Change::RowDelete { row: &old, replaced_by: None }, &mut rendering)?;
                }
                Some(Known::Control(_)) => self.control(relation, Some(&old), None)?,
                None => {}
            },
            Message::Truncate(truncate) => self.truncated(&truncate.relations)?,
            Message::Begin(_) | Message::Commit(_) | Message::Origin | Message::Type(_) | Message::Logical { .. } => {}
        }
        self.note_piece();
        Ok(())
    }

    /// Routes a change, and if somebody is to be told, renders it.
    fn tell(&mut self, relation: &Arc<Relation>, change: &Change<'_, '_>, rendering: &mut Rendering) -> Result<()> {
        let Some(id) = self.next_id()? else { return Ok(()) };
        if !self.index.is_watched(relation.oid) {
            return Ok(());
        }
        crash::fail("route")?;
        crash::point("before_route");
        let recipients = recipients(&mut self.index, relation, change);
        crash::point("after_route");
        if recipients.is_empty() {
            return Ok(());
        }
        crash::fail("render")?;
        let begin = self.begun()?;
        let entry = render::entry(relation, change, id, begin, rendering);
        self.deliver(entry, &recipients);
        Ok(())
    }

    pub(super) fn begun(&self) -> Result<Begin> {
        let open = self.open.as_ref();
        open.map(|open| open.begin).ok_or_else(|| Error::new(ErrorKind::Protocol, "a change outside a transaction"))
    }

    /// Puts the entry, its pointers and its notifications into the batch.
    pub(super) fn deliver(&mut self, entry: Entry, recipients: &Recipients) {
        // sessions with the same view of the change share its text
        let mut views: SmallVec<[View<'_>; 4]> = SmallVec::new();
        let bytes = entry.weight();
        for to in recipients {
            let numbers = to.visible.as_deref();
            let at =
                views.iter().position(|view| view.kind == to.kind && view.numbers == numbers).unwrap_or_else(|| {
                    let same = views.iter().find(|view| numbers.is_some() && view.numbers == numbers);
                    let runs = match same {
                        Some(view) => view.runs.clone(),
                        None => numbers.and_then(|numbers| visible::runs(&entry, numbers)),
                    };
                    let payload = notify::render(&entry, to.kind, runs.as_deref()).into();
                    views.push(View { kind: to.kind, numbers, runs, payload });
                    views.len() - 1
                });
            let View { payload, runs, .. } = &views[at];
            let seen = runs.as_deref().map_or(0, size_of_val);
            self.batch.weigh(payload.len() + seen);
            let payload = Arc::clone(payload);
            let live = !to.durable;
            self.batch.notifications.push(Notification { session: to.session, id: entry.id, live, payload });
            if to.durable {
                let bytes = bytes.saturating_add(seen as u32);
                let total = self.totals.entry(to.session).or_default();
                *total += i64::from(bytes);
                self.batch.pointers.push(Pointer {
                    session: to.session,
                    id: entry.id,
                    kind: to.kind,
                    last: false,
                    visible: runs.clone(),
                    bytes,
                    total: *total,
                });
            }
        }
        if recipients.iter().any(|to| to.durable) {
            self.batch.weigh(bytes as usize);
            self.batch.entries.push(entry);
        }
    }

    /// Partitions left a table with all their rows: to who watches the table that is as if they were emptied.
    pub(super) fn left(&mut self, table: &Arc<Relation>, partitions: Vec<(String, String)>) -> Result<()> {
        for partition in partitions {
            let Some(id) = self.next_id()? else { continue };
            let recipients = self.index.on_truncate(table.oid);
            if !recipients.is_empty() {
                let bare = render::bare(id, self.begun()?, ChangeKind::Truncate, Some(Arc::clone(table)));
                self.deliver(Entry { partition: Some(partition), ..bare }, &recipients);
            }
        }
        Ok(())
    }

    fn truncated(&mut self, relations: &[u32]) -> Result<()> {
        let mut told: SmallVec<[u32; 4]> = SmallVec::new();
        for oid in relations {
            let Some(Known::Table(relation)) = self.relations.get(*oid) else { continue };
            let relation = Arc::clone(relation);
            let mut partition = None;
            if relation.partition.is_some() {
                if told.contains(&relation.oid) {
                    continue;
                }
                let emptied = relations
                    .iter()
                    .filter(|oid| matches!(self.relations.get(**oid), Some(Known::Table(other)) if other.oid == relation.oid))
                    .count();
                if self.relations.partitions(relation.oid) > emptied {
                    partition.clone_from(&relation.partition);
                } else {
                    told.push(relation.oid);
                }
            }
            let Some(id) = self.next_id()? else { continue };
            let recipients = self.index.on_truncate(relation.oid);
            if recipients.is_empty() {
                continue;
            }
            let begin = self.begun()?;
            let entry = Entry { partition, ..render::bare(id, begin, ChangeKind::Truncate, Some(relation)) };
            self.deliver(entry, &recipients);
        }
        Ok(())
    }
}

/// Who is told of a change.
pub fn recipients(index: &mut Index, relation: &Relation, change: &Change<'_, '_>) -> Recipients {
    let oid = relation.oid;
    let differs = |one: &RowImage<'_>, other: &RowImage<'_>, attnum: i16| {
        let at = relation.columns.iter().position(|column| column.attnum == attnum);
        at.is_none_or(|at| one.get(at) != other.get(at))
    };
    match change {
        Change::RowInsert { row, replaces } => {
            let changed = replaces.map(|old| move |attnum| differs(old, row, attnum));
            index.on_insert(oid, changed.as_ref().map(|changed| changed as &dyn Fn(i16) -> bool))
        }
        Change::RowDelete { row, replaced_by } => {
            let changed = replaced_by.map(|new| move |attnum| differs(row, new, attnum));
            let changed = changed.as_ref().map(|changed| changed as &dyn Fn(i16) -> bool);
            index.on_delete(oid, sought_key(relation, row), changed)
        }
        Change::FieldUpdate { row, column, .. } => {
            let (attnum, is_certain) =
                relation.columns.get(*column).map_or((0, false), |column| (column.attnum, column.is_certain));
            index.on_update(oid, sought_key(relation, row), attnum, is_certain)
        }
    }
}

/// The key's values; none when the row has no name.
pub(super) fn key_of<'a>(relation: &Relation, row: &RowImage<'a>) -> impl ExactSizeIterator<Item = &'a [u8]> {
    relation.key.iter().map(|&at| match row.get(at) {
        Some(Datum::Text(text)) => *text,
        _ => b"".as_slice(),
    })
}

/// The key's values as subscriptions have them.
fn sought_key<'a>(relation: &Relation, row: &RowImage<'a>) -> impl ExactSizeIterator<Item = Cow<'a, [u8]>> {
    let form = |at: usize| relation.key_forms.get(at).copied().unwrap_or_default();
    key_of(relation, row).enumerate().map(move |(at, value)| form(at).canonical(value))
}
