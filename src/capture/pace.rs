//! Pauses that make many small pieces of work one larger one. There are none while it is quiet.
//!
//! Each message of the stream that finds the walk asleep costs two to three times as much to wake it as to walk it, on both sides
//! of the socket, and each commit of a batch is a flush of the log that the writers wait behind. On a machine that is busy these
//! are the writers' processors and the writers' disk.

use std::time::{Duration, Instant};

/// The stream is busy when it has brought so many messages within [`BUSY_WITHIN`]: 7,000 transactions a second, of three messages at
/// least. At half of that nobody waits for anything.
const BUSY_MESSAGES: u32 = 64;
const BUSY_WITHIN: Duration = Duration::from_millis(3);

/// How long a busy stream is left to fill before it is read on. The runtime's clock has no shorter time than that.
const FILL: Duration = Duration::from_millis(1);

/// For each row and notification of a batch the next one is put off by this much. Below forty there is no pause at all; at some ten
/// thousand events a second it is the longest.
const REST_FOR_EACH: Duration = Duration::from_micros(25);

/// The most that a batch is put off for. With a commit of a millisecond there are then at most 170 a second.
const LONGEST_REST: Duration = Duration::from_millis(5);

/// When to read on and when to write on.
pub(super) struct Pace {
    is_busy: bool,
    messages: u32,
    since: Instant,
    read_at: Option<Instant>,
    write_at: Option<Instant>,
}

impl Pace {
    pub(super) fn begin(now: Instant) -> Self {
        Pace { is_busy: false, messages: 0, since: now, read_at: None, write_at: None }
    }

    /// All that had come was walked: so many messages.
    pub(super) fn walked(&mut self, messages: u32, now: Instant) {
        self.messages = self.messages.saturating_add(messages);
        if self.messages < BUSY_MESSAGES && !self.is_busy {
            return;
        }
        let was_quick = now - self.since <= BUSY_WITHIN;
        if self.messages >= BUSY_MESSAGES || !was_quick {
            self.is_busy = was_quick;
            self.messages = 0;
            self.since = now;
        }
        self.read_at = self.is_busy.then(|| now + FILL);
    }

    /// A batch was written, of so many rows and notifications.
    pub(super) fn written(&mut self, rows: usize, now: Instant) {
        let most = LONGEST_REST.as_micros() / REST_FOR_EACH.as_micros();
        let rest = REST_FOR_EACH * u32::try_from(most.min(rows as u128)).unwrap_or_default();
        self.write_at = (rest >= FILL).then(|| now + rest);
    }

    /// When the stream is to be read on; `None`: at once.
    pub(super) fn read_at(&self) -> Option<Instant> {
        self.read_at
    }

    pub(super) fn read_on(&mut self) {
        self.read_at = None;
    }

    /// When the next batch is to be written, if it is not full before; `None`: at once.
    pub(super) fn write_at(&self) -> Option<Instant> {
        self.write_at
    }

    pub(super) fn write_on(&mut self) {
        self.write_at = None;
    }
}

/// At that time; never for `None`.
pub(super) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn what_comes_now_and_then_is_read_and_written_at_once() {
        let mut now = Instant::now();
        let mut pace = Pace::begin(now);
        for _ in 0..100 {
            now += MILLISECOND;
            pace.walked(3, now);
            pace.written(2, now);
            assert_eq!((pace.read_at(), pace.write_at()), (None, None));
        }
        // one large transaction is not yet a busy stream
        pace.walked(100_000, now + Duration::from_secs(1));
        assert_eq!(pace.read_at(), None);
    }

    #[test]
    fn what_comes_all_the_time_is_read_a_millisecond_later_until_it_stops() {
        let mut now = Instant::now();
        let mut pace = Pace::begin(now);
        for _ in 0..30 {
            now += MILLISECOND / 10;
            pace.walked(3, now);
        }
        assert_eq!(pace.read_at(), Some(now + FILL));
        pace.read_on();
        pace.walked(3, now + 10 * MILLISECOND);
        assert_eq!(pace.read_at(), None);
    }

    #[test]
    fn the_larger_a_batch_was_the_longer_the_next_one_may_grow() {
        let now = Instant::now();
        let mut pace = Pace::begin(now);
        for (rows, rest) in [(39, None), (40, Some(1)), (120, Some(3)), (200, Some(5)), (1_000_000, Some(5))] {
            pace.written(rows, now);
            assert_eq!(pace.write_at(), rest.map(|rest| now + rest * MILLISECOND), "{rows}");
        }
    }
}
