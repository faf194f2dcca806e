//! What a connection that attached may have missed, by when it was written.
//!
//! LISTEN takes effect when its transaction commits. A batch that commits behind that in the log is heard; one that commits
//! before may not be. Where exactly a batch committed is not known to us, but a place before it is: the writer asks for it last
//! of all.

use std::collections::VecDeque;

use crate::position::{EventId, Lsn};

/// So many batches are told apart. There are more than a few only while delivery is far behind.
const MOST: usize = 4096;

/// Batches, the older first: each committed behind a place in the log, and all up to an event was then written.
pub(super) struct Written(VecDeque<(Lsn, EventId)>);

impl Written {
    /// What was done by a program before this one was written at any time.
    pub(super) fn begin(done: EventId) -> Self {
        Written([(Lsn::default(), done)].into())
    }

    pub(super) fn add(&mut self, behind: Lsn, done: EventId) {
        if self.0.len() >= MOST {
            // of two the earlier place and the later event: rather too much is sent again than too little
            let half = self.0.len() / 2;
            let pair = |at: usize| Some((self.0.get(2 * at)?.0, self.0.get(2 * at + 1)?.1));
            let odd = self.0.back().copied().filter(|_| self.0.len() % 2 == 1);
            self.0 = (0..half).filter_map(pair).chain(odd).collect();
        }
        self.0.push_back((behind, done));
    }

    /// The last event that somebody may have missed who listens from a commit at `at` on.
    pub(super) fn through(&self, at: Lsn) -> EventId {
        let before = self.0.partition_point(|(behind, _)| *behind < at);
        before.checked_sub(1).and_then(|last| self.0.get(last)).map_or(EventId::default(), |(_, done)| *done)
    }

    /// Nobody will ask for a place before `at` any more.
    pub(super) fn forget(&mut self, at: Lsn) {
        while self.0.get(1).is_some_and(|(behind, _)| *behind < at) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(lsn: u64) -> EventId {
        EventId { lsn: Lsn(lsn), number: 1 }
    }

    #[test]
    fn what_was_written_before_a_commit_may_have_been_missed() {
        let mut written = Written::begin(event(10));
        written.add(Lsn(100), event(20));
        written.add(Lsn(200), event(30));
        for (at, through) in [(50, 10), (100, 10), (101, 20), (200, 20), (201, 30), (999, 30)] {
            assert_eq!(written.through(Lsn(at)), event(through), "{at}");
        }
        written.forget(Lsn(150));
        for (at, through) in [(150, 20), (201, 30)] {
            assert_eq!(written.through(Lsn(at)), event(through), "{at}");
        }
    }

    #[test]
    fn when_there_are_too_many_rather_too_much_is_said() {
        let mut written = Written::begin(event(0));
        for n in 1..20_000 {
            written.add(Lsn(n * 10), event(n));
        }
        assert!(written.0.len() <= MOST);
        for n in 1..20_000 {
            assert!(written.through(Lsn(n * 10 + 1)) >= event(n));
        }
        assert_eq!(written.through(Lsn(1_000_000)), event(19_999));
    }
}
