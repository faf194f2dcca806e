//! One message of the stream, from its bytes to the batch; what fails twice at the same place is set aside.
//!
//! It is a module of its own because the walk goes on whatever a message does to it (I18): an error, a panic, a step without end.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::Capture;
use super::relations::Known;
use super::transaction::Open;
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{Entry, Mark, SetAside};
use crate::observe::{Observation, observe};
use crate::pgoutput::{Unknown, Unreadable, convert};
use crate::position::Lsn;
use crate::subscription::{Kind, Recipient, Recipients};

/// A message's place: where its transaction commits, its number in it, and the first byte of it. A message that describes a relation
/// has the number of the change behind it.
pub type Place = (Lsn, i64, u8);

/// So many failures are set aside at the second time.
const TWICE: u32 = 2;

/// So many places are remembered. Each cost a new start, and one that did not fail again is of no use.
const MOST: usize = 1000;

/// What failed, and how often. It outlives the attempts.
#[derive(Debug, Clone, Default)]
pub struct Failures(Arc<Mutex<HashMap<Place, u32>>>);

impl Failures {
    /// What is to be set aside at once.
    pub fn add(&self, place: Place) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place, TWICE);
    }

    /// The server could not send the rest of the transaction that commits there; its number stands in the place of a message's.
    pub(super) fn note_unsendable(&self, commits_at: Lsn, xid: u32) {
        self.note((commits_at, xid.into(), b'B'));
    }

    /// A transaction that the server failed to send twice: where it commits, and its number. It is forgotten here.
    pub fn take_unsendable(&self) -> Option<(Lsn, u32)> {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = *failures.iter().find(|((_, _, kind), times)| *kind == b'B' && **times >= TWICE)?.0;
        failures.remove(&place);
        Some((place.0, place.1 as u32))
    }

    /// It failed once more; whether that was at least the second time.
    fn note(&self, place: Place) -> bool {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST {
            failures.clear();
        }
        let times = failures.entry(place).or_default();
        *times += 1;
        *times >= TWICE
    }

    fn is_known(&self, place: Place) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !failures.is_empty() && failures.get(&place).is_some_and(|times| *times >= TWICE)
    }
}

/// A word for how a step failed, and the error.
type Failed = (&'static str, Error);

/// What can be undone of a step.
struct Before {
    batch: Mark,
    open: Option<(u32, i64)>,
    questions: usize,
}

impl Capture {
    /// One message. Nothing in it waits: what takes long is computing.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<()> {
        let place = self.place(bytes);
        if self.failures.is_known(place) {
            return self.set_aside(bytes, "walk", "before");
        }
        self.steps.rest(false);
        self.steps.enter(place);
        let walked = match self.converted(bytes) {
            Ok(None) => self.attempt(bytes, place),
            Ok(Some(bytes)) => self.attempt(&bytes, place),
            Err(_) => self.set_aside(bytes, "walk", "not_utf8"),
        };
        self.steps.leave();
        walked
    }

    /// The message in UTF-8; `None`: it is. Rows of our own tables are read whatever is in them: what counts there is ASCII.
    fn converted(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        let Some(encoding) = &self.encoding else { return Ok(None) };
        let unknown = if self.is_control(bytes) { Unknown::Replace } else { Unknown::Refuse };
        match convert(bytes, encoding, unknown) {
            Ok(Cow::Borrowed(_)) => Ok(None),
            Ok(Cow::Owned(bytes)) => Ok(Some(bytes)),
            // which is said, and counted, when it is read
            Err(Unreadable::Malformed(_)) => Ok(None),
            Err(unreadable) => Err(unreadable),
        }
    }

    fn is_control(&self, bytes: &[u8]) -> bool {
        matches!(relation_of(bytes).and_then(|oid| self.relations.get(oid)), Some(Known::Control(_)))
    }

    fn place(&self, bytes: &[u8]) -> Place {
        let (lsn, message) = self.open.as_ref().map_or((Lsn::default(), 0), Open::place);
        (lsn, message, bytes.first().copied().unwrap_or_default())
    }

    fn attempt(&mut self, bytes: &[u8], place: Place) -> Result<()> {
        let before = self.before();
        let Err((_, error)) = self.once(bytes) else { return Ok(()) };
        if !self.can_be_undone(bytes) {
            // what was known of relations and subscriptions may be half of what it was: a new start has it whole
            self.failures.note(place);
            return Err(error);
        }
        self.undo(&before);
        let Err((code, error)) = self.once(bytes) else { return Ok(()) };
        if error.kind() != ErrorKind::Protocol {
            return Err(error);
        }
        self.undo(&before);
        self.set_aside(bytes, "walk", code)
    }

    fn once(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        match catch_unwind(AssertUnwindSafe(|| self.change(bytes))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(("malformed", error)),
            Err(_) => Err(("panic", Error::new(ErrorKind::Protocol, "the walk panicked at a message"))),
        }
    }

    fn before(&self) -> Before {
        Before {
            batch: self.batch.mark(),
            open: self.open.as_ref().map(Open::counted),
            questions: self.questions.len(),
        }
    }

    /// Whether all that the message may have changed is counted in [`Before`]: it is of a user's table.
    fn can_be_undone(&self, bytes: &[u8]) -> bool {
        match bytes.first() {
            Some(b'I' | b'U' | b'D') => !self.is_control(bytes),
            Some(b'T') => true,
            _ => false,
        }
    }

    fn undo(&mut self, before: &Before) {
        for pointer in self.batch.rewind(&before.batch) {
            if let Some(total) = self.totals.get_mut(&pointer.session) {
                *total -= i64::from(pointer.bytes);
            }
        }
        if let (Some(open), Some(counted)) = (&mut self.open, before.open) {
            open.count(counted);
        }
        self.questions.truncate(before.questions);
    }

    /// The message is a gap for those whom it concerns. It counts as one change: it has one id, in every session and after every restart.
    pub(super) fn set_aside(&mut self, bytes: &[u8], stop: &'static str, code: &str) -> Result<()> {
        let kind = bytes.first().copied().unwrap_or_default();
        let relation = relation_of(bytes);
        if kind == b'R' {
            // what it is made of is not known: each of its changes is a gap
            self.relations.break_off(relation.unwrap_or_default());
        }
        if !matches!(kind, b'I' | b'U' | b'D' | b'T') || self.counts_as_done() {
            return Ok(());
        }
        let Some(id) = self.next_id()? else { return Ok(()) };
        let concerned = match relation.map(|oid| (self.relations.get(oid), oid)) {
            Some((Some(Known::Table(relation)), _)) => self.index.on_truncate(relation.oid),
            Some((None, oid)) => self.index.on_truncate(self.relations.table(oid)),
            // it is of our own tables, or nobody knows of which
            Some((Some(Known::Control(_)), _)) | None => self.index.everybody(),
        };
        if concerned.is_empty() {
            return Ok(());
        }
        observe(&Observation::SetAside { id, stop, code });
        self.batch.set_aside.push(SetAside { id, stop, code: code.to_owned() });
        let reason = if code == "not_utf8" { "not_utf8" } else { "change_failed" };
        let place = id.to_string();
        let entry = Entry::gap(id, self.begun()?.committed_at, reason, &place, &place);
        let whole = |to: Recipient| Recipient { kind: Kind::Table, visible: None, ..to };
        let to: Recipients = concerned.into_iter().map(whole).collect();
        self.deliver(entry, &to);
        self.note_piece();
        Ok(())
    }
}

/// The relation that a message is of; of an emptied table's the first.
fn relation_of(bytes: &[u8]) -> Option<u32> {
    let at = match bytes.first()? {
        b'I' | b'U' | b'D' | b'R' => 1,
        b'T' => 6,
        _ => return None,
    };
    let oid = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(oid.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_relation_even_if_it_cannot_be_read() {
        assert_eq!(relation_of(b"I\0\0\x40\x01garbage"), Some(0x4001));
        assert_eq!(relation_of(b"T\0\0\0\x01\0\0\0\x40\x02"), Some(0x4002));
        for bytes in [&b""[..], b"I", b"I\0\0", b"T\0\0\0\x01\0\0", b"Z\0\0\0\0"] {
            assert_eq!(relation_of(bytes), None);
        }
    }

    #[test]
    fn the_second_failure_at_a_place_is_known() {
        let failures = Failures::default();
        let place = (Lsn(7), 1, b'I');
        assert!(!failures.note(place) && !failures.is_known(place));
        assert!(failures.note(place) && failures.is_known(place));
        assert!(!failures.is_known((Lsn(7), 2, b'I')));
        failures.add((Lsn(8), 1, b'R'));
        assert!(failures.is_known((Lsn(8), 1, b'R')));
    }
}
