//! Events of live sessions for who is in the same process: from memory, bounded, without a database transaction.
//!
//! The writer tells the hub of a batch as soon as its changes can be read, before it writes what is left of it to the database.
//! It never waits: of who does not keep up events are left out, and a gap is said where they would have been.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::inbox::{Batch, Notification};
use crate::position::EventId;

/// What waits for a session weighs no more, however many events its consumer asked for; a single event always finds room. Four full
/// batches: who is away for as long as those take to be written misses nothing, and sixty that have stopped reading take a gigabyte.
pub const MAX_BYTES: usize = 16 << 20;

/// What a live session is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something that happened.
    Event {
        /// Its place among all events.
        id: EventId,
        /// The text that NOTIFY would have carried. Sessions that see the same share it.
        payload: Arc<str>,
    },
    /// What the session had in this range is missing: the consumer was too slow, or another program served the database meanwhile, and
    /// told of it with NOTIFY.
    Gap {
        /// The first event that was left out; or the last place up to which this process delivered.
        from: EventId,
        /// The last event that was left out; or the place up to which the other delivered.
        to: EventId,
    },
}

/// The live sessions that are attached in this process. A handle: its clones are the same hub. One hub serves one database.
///
/// The hub takes an attached session over: while it is attached, its events come here and not over NOTIFY. Only a session of
/// `event.session_create(durable => false)` can be told here; who attaches another, or one that does not exist, is told nothing, and a
/// durable session's events go on as they do.
#[derive(Clone, Default)]
pub struct Hub(Arc<Shared>);

/// A live session in this process. It is attached until this is dropped; what it was not asked for by then is forgotten.
pub struct Live {
    session: Uuid,
    line: Arc<Line>,
    hub: Weak<Shared>,
}

#[derive(Default)]
struct Shared(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    of: HashMap<Uuid, Arc<Line>, FxBuildHasher>,
    /// All up to here went through the hub, or concerned nobody.
    reached: EventId,
}

/// From the hub to one consumer.
struct Line {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Told>,
    /// The texts that wait.
    bytes: usize,
    /// So many events may wait.
    capacity: usize,
    /// The newest event that was told or left out: when the log is read again, this far it is known.
    last: EventId,
    /// The first and the last of those that are being left out.
    left_out: Option<(EventId, EventId)>,
    is_closed: bool,
}

impl Hub {
    /// Takes a session over. `capacity` is how many of its events may wait for the consumer.
    ///
    /// If it is attached already it is taken from its former [`Live`], whose [`next`](Live::next) then ends, with what that has not been
    /// given yet: nothing is lost or told twice in between.
    pub fn attach(&self, session: Uuid, capacity: usize) -> Live {
        let mut lines = lock(&self.0.0);
        let former = lines.of.get(&session).map(|line| line.close()).unwrap_or_default();
        let queue = Queue { capacity: capacity.max(1), is_closed: false, ..former };
        let line = Arc::new(Line { queue: Mutex::new(queue), wake: Notify::new() });
        lines.of.insert(session, Arc::clone(&line));
        Live { session, line, hub: Arc::downgrade(&self.0) }
    }

    /// Takes what is for attached sessions out of the batch and hands it to them; what they were told before is not told again. Sessions
    /// that were deleted end. Returns how many events were handed over.
    pub fn deliver(&self, batch: &mut Batch) -> usize {
        let mut lines = lock(&self.0.0);
        lines.reached = lines.reached.max(batch.progress.id);
        if lines.of.is_empty() {
            return 0;
        }
        let mut told = 0;
        batch.notifications.retain(|event| match lines.of.get(&event.session).filter(|_| event.live) {
            Some(line) => {
                told += usize::from(line.tell(event));
                false
            }
            None => true,
        });
        for session in &batch.deleted_sessions {
            if let Some(line) = lines.of.remove(session) {
                line.end();
            }
        }
        told
    }

    /// All up to here is done with.
    pub fn reached(&self, here: EventId) {
        let mut lines = lock(&self.0.0);
        lines.reached = lines.reached.max(here);
    }

    /// The walk goes on from here. If this process had not come so far, another one served the database since: who was attached all the
    /// time is told of the gap.
    pub fn resume(&self, from: EventId) {
        let mut lines = lock(&self.0.0);
        let reached = lines.reached;
        lines.reached = reached.max(from);
        if reached != EventId::default() && reached < from {
            lines.of.values().for_each(|line| line.miss(reached, from));
        }
    }

    /// The database went back: the ids of its next events may be below those that were told.
    pub fn rewind(&self) {
        let mut lines = lock(&self.0.0);
        lines.reached = EventId::default();
        for line in lines.of.values() {
            lock(&line.queue).last = EventId::default();
        }
    }
}

impl Drop for Shared {
    /// Nobody is left who could tell anything.
    fn drop(&mut self) {
        lock(&self.0).of.values().for_each(|line| line.end());
    }
}

impl Live {
    /// What the session is told next; waits until there is something. `None`: that was all, because the session was attached anew or
    /// deleted, or the hub is gone.
    ///
    /// Cancel safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            // whoever is told of much at once leaves the others their turn
            tokio::task::consume_budget().await;
            {
                let mut queue = lock(&self.line.queue);
                let told = queue.pop();
                if told.is_some() || queue.is_closed {
                    return told;
                }
            }
            self.line.wake.notified().await;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut lines = lock(&hub.0);
        if lines.of.get(&self.session).is_some_and(|line| Arc::ptr_eq(line, &self.line)) {
            lines.of.remove(&self.session);
        }
    }
}

impl Line {
    /// Whether it was told, now and for the first time.
    fn tell(&self, event: &Notification) -> bool {
        let is_told = lock(&self.queue).push(event);
        if is_told {
            self.wake.notify_one();
        }
        is_told
    }

    fn miss(&self, from: EventId, to: EventId) {
        lock(&self.queue).leave_out(from, to);
        self.wake.notify_one();
    }

    /// Nothing comes any more, and what is there goes elsewhere.
    fn close(&self) -> Queue {
        let left = std::mem::replace(&mut *lock(&self.queue), Queue { is_closed: true, ..Queue::default() });
        self.wake.notify_one();
        left
    }

    /// Nothing comes behind what is there.
    fn end(&self) {
        lock(&self.queue).is_closed = true;
        self.wake.notify_one();
    }
}

impl Queue {
    fn push(&mut self, event: &Notification) -> bool {
        let Notification { id, payload, .. } = event;
        if *id <= self.last {
            return false;
        }
        self.last = *id;
        if !self.has_room(payload.len()) {
            self.leave_out(*id, *id);
            return false;
        }
        let gap = self.gap();
        self.waiting.extend(gap);
        self.bytes += payload.len();
        self.waiting.push_back(Told::Event { id: *id, payload: Arc::clone(payload) });
        true
    }

    fn leave_out(&mut self, from: EventId, to: EventId) {
        self.last = self.last.max(to);
        self.left_out = Some((self.left_out.map_or(from, |(first, _)| first), to));
    }

    /// After a gap there is room again once half of it is free: otherwise each event that is taken would make room for one more, and
    /// what is told were one gap after the other.
    fn has_room(&self, bytes: usize) -> bool {
        let part = if self.left_out.is_some() { 2 } else { 1 };
        let fits = self.waiting.len() < self.capacity.div_ceil(part) && self.bytes + bytes <= MAX_BYTES / part;
        fits || self.waiting.is_empty()
    }

    fn gap(&mut self) -> Option<Told> {
        self.left_out.take().map(|(from, to)| Told::Gap { from, to })
    }

    fn pop(&mut self) -> Option<Told> {
        let told = self.waiting.pop_front().or_else(|| self.gap());
        if let Some(Told::Event { payload, .. }) = &told {
            self.bytes -= payload.len();
        }
        told
    }
}

/// Nothing that panics is done under these locks, and none is held for longer than a batch takes to be looked through.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::position::Lsn;

    const SESSION: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn id(number: u32) -> EventId {
        EventId { lsn: Lsn(7), number }
    }

    /// Delivers events of the session with these numbers, each its number as a text of at least `bytes`.
    fn deliver_of(hub: &Hub, bytes: usize, numbers: impl IntoIterator<Item = u32>) -> usize {
        let mut batch = Batch::default();
        batch.notifications.extend(numbers.into_iter().map(|number| Notification {
            session: SESSION,
            id: id(number),
            live: true,
            payload: format!("{}{number}", "0".repeat(bytes - 1)).into(),
        }));
        let told = hub.deliver(&mut batch);
        assert!(batch.notifications.is_empty(), "what is left out does not go another way");
        told
    }

    fn deliver(hub: &Hub, numbers: impl IntoIterator<Item = u32>) -> usize {
        deliver_of(hub, 1, numbers)
    }

    /// What is there, in one line: events by their number, gaps as `[from-to]`, and `.` for the end.
    fn told(live: &mut Live) -> String {
        let mut all = Vec::new();
        while let Some(told) = live.next().now_or_never() {
            match told {
                Some(Told::Event { id, payload }) => {
                    assert_eq!(payload.parse::<u32>().unwrap(), id.number);
                    all.push(id.number.to_string());
                }
                Some(Told::Gap { from, to }) => all.push(format!("[{}-{}]", from.number, to.number)),
                None => {
                    all.push(".".to_owned());
                    break;
                }
            }
        }
        all.join(" ")
    }

    #[test]
    fn who_is_attached_is_told_here_and_others_elsewhere() {
        let hub = Hub::default();
        let mut live = hub.attach(SESSION, 8);
        let of = |session, live| Notification { session, id: id(1), live, payload: "1".into() };
        let mut batch = Batch::default();
        batch.notifications = vec![of(OTHER, true), of(SESSION, true), of(SESSION, false)];
        assert_eq!(hub.deliver(&mut batch), 1);
        let left: Vec<_> = batch.notifications.iter().map(|event| (event.session, event.live)).collect();
        assert_eq!(left, [(OTHER, true), (SESSION, false)]);
        assert_eq!(told(&mut live), "1");
        drop(live);
        let mut batch = Batch::default();
        batch.notifications = vec![of(SESSION, true)];
        assert_eq!((hub.deliver(&mut batch), batch.notifications.len()), (0, 1));
    }

    #[test]
    fn what_does_not_fit_is_one_gap_at_its_place() {
        let hub = Hub::default();
        let mut live = hub.attach(SESSION, 4);
        assert_eq!(deliver(&hub, 1..=9), 4);
        assert_eq!(deliver(&hub, 10..=11), 0);
        for expected in [1, 2] {
            assert_eq!(
                live.next().now_or_never().flatten(),
                Some(Told::Event { id: id(expected), payload: expected.to_string().into() })
            );
            assert_eq!(deliver(&hub, [11 + expected]), 0, "not half of it is free");
        }
        live.next().now_or_never().flatten().unwrap();
        assert_eq!(deliver(&hub, [20]), 1);
        assert_eq!(told(&mut live), "4 [5-13] 20");
        // and when nothing comes behind it
        deliver(&hub, 21..=30);
        assert_eq!(told(&mut live), "21 22 23 24 [25-30]");
        assert_eq!(told(&mut live), "");
        // one event is always taken
        let mut live = hub.attach(SESSION, 0);
        deliver(&hub, 31..=33);
        assert_eq!(told(&mut live), "31 [32-33]");
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_too() {
        let hub = Hub::default();
        let mut live = hub.attach(SESSION, usize::MAX);
        assert_eq!(deliver_of(&hub, MAX_BYTES / 4, 1..=6), 4);
        assert_eq!(told(&mut live), "1 2 3 4 [5-6]");
        assert_eq!(deliver_of(&hub, 2 * MAX_BYTES, 7..=8), 1);
        assert_eq!(told(&mut live), "7 [8-8]");
    }

    #[test]
    fn what_was_told_is_not_told_again_unless_the_database_went_back() {
        let hub = Hub::default();
        let mut live = hub.attach(SESSION, 3);
        assert_eq!(deliver(&hub, 1..=5), 3);
        assert_eq!(told(&mut live), "1 2 3 [4-5]");
        assert_eq!(deliver(&hub, 1..=6), 1);
        assert_eq!(told(&mut live), "6");
        hub.rewind();
        assert_eq!(deliver(&hub, 2..=3), 2);
        assert_eq!(told(&mut live), "2 3");
    }

    #[test]
    fn who_attaches_anew_goes_on_where_the_former_stood() {
        let hub = Hub::default();
        let mut former = hub.attach(SESSION, 3);
        deliver(&hub, 1..=5);
        former.next().now_or_never().flatten().unwrap();
        let mut live = hub.attach(SESSION, 8);
        assert_eq!(told(&mut former), ".");
        drop(former);
        deliver(&hub, 4..=6);
        assert_eq!(told(&mut live), "2 3 [4-5] 6", "the former one's end does not detach this one");
    }

    #[test]
    fn what_another_program_delivered_meanwhile_is_a_gap() {
        let hub = Hub::default();
        let mut live = hub.attach(SESSION, 8);
        hub.resume(id(3));
        deliver(&hub, 4..=5);
        hub.reached(id(6));
        hub.resume(id(6));
        assert_eq!(told(&mut live), "4 5", "nobody else was there");
        hub.resume(id(9));
        hub.resume(id(9));
        deliver(&hub, 8..=10);
        assert_eq!(told(&mut live), "[6-9] 10");
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_a_call_that_is_given_up_loses_nothing() {
        let hub = Hub::default();
        let mut live = hub.attach(SESSION, 8);
        for number in 1..=100 {
            assert!(live.next().now_or_never().is_none());
            let mut waiting = Box::pin(live.next());
            assert!((&mut waiting).now_or_never().is_none());
            deliver(&hub, [number]);
            if number % 2 == 0 {
                drop(waiting);
                assert_eq!(told(&mut live), number.to_string());
            } else {
                assert_eq!(waiting.await, Some(Told::Event { id: id(number), payload: number.to_string().into() }));
            }
        }
        let waiting = tokio::spawn(async move { live.next().await });
        tokio::task::yield_now().await;
        let _taken = hub.attach(SESSION, 8);
        assert_eq!(waiting.await.unwrap(), None);
    }

    #[test]
    fn it_ends_with_the_session_and_with_the_hub() {
        let hub = Hub::default();
        let [mut one, mut other] = [SESSION, OTHER].map(|session| hub.attach(session, 8));
        deliver(&hub, [1]);
        let mut batch = Batch::default();
        batch.deleted_sessions.push(SESSION);
        hub.deliver(&mut batch);
        assert_eq!((told(&mut one).as_str(), told(&mut other).as_str()), ("1 .", ""));
        drop(hub);
        assert_eq!(told(&mut other), ".");
    }
}
