//! What the samples of the last minutes add up to: lag, standstill, growth, and when the slot will be lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::db::status::Sample;
use crate::observe::{Observation, Outlook, observe};

/// Growth is that of this time: long enough that a burst is not taken for a trend.
const WINDOW: Duration = Duration::from_secs(300);

/// A healthy slot's restart position moves in steps, a quarter of a minute apart or (`LOG_SNAPSHOT_INTERVAL_MS`) so: what does not
/// move for less is not held back.
const STEP: Duration = Duration::from_secs(30);

/// A loss that is this near is told, and again each time that half of what was left is gone.
const WARN_WITHIN: Duration = Duration::from_secs(3600);

/// Without a limit: this much is told, and again each time that it has doubled.
const MUCH: u64 = 1 << 30;

/// Samples are kept so that the age of what is not delivered can be told; at one in five seconds, for more than an hour.
const SAMPLES: usize = 1024;

struct Moment {
    at: Instant,
    written: u64,
    flushed: u64,
    retained: u64,
}

/// The samples so far.
#[derive(Default)]
pub(super) struct History {
    moments: VecDeque<Moment>,
    /// Where the slot and the engine's own work were when they last moved, and when.
    place: Option<(Place, Instant)>,
    /// Since when there has been something to deliver and nothing has moved.
    stuck_since: Option<Instant>,
    /// Where the log is kept from, and since when.
    restart: Option<(u64, Instant)>,
    told_loss: Option<Duration>,
    told_retained: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    confirmed: u64,
    sent: Option<u64>,
    /// What the engine has read and written, in its own count.
    work: u64,
}

impl History {
    /// Adds a sample. `older`: the age of what is not delivered where it is older than these samples.
    pub(super) fn add(&mut self, sample: &Sample, work: u64, older: Option<Duration>) -> Outlook {
        let now = Instant::now();
        if self.moments.back().is_some_and(|last| sample.written < last.written) {
            // another server, or one that was restored
            *self = History::default();
        }
        let place = Place { confirmed: sample.confirmed, sent: sample.sent, work };
        let has_moved = self.place.is_none_or(|(before, _)| before != place);
        if has_moved {
            self.place = Some((place, now));
        }
        self.stuck_since = match self.stuck_since {
            _ if has_moved || sample.is_delivered() => None,
            None => Some(now),
            since => since,
        };
        if self.restart.is_none_or(|(restart, _)| restart != sample.restart) {
            self.restart = Some((sample.restart, now));
        }
        if self.moments.len() >= SAMPLES {
            self.moments.pop_front();
        }
        let (written, flushed, retained) = (sample.written, sample.flushed, sample.retained());
        self.moments.push_back(Moment { at: now, written, flushed, retained });
        let growth = self.growth(sample, now);
        Outlook {
            lag: self.lag(sample, now, older),
            stuck: self.stuck_since.map(|since| now - since),
            growth,
            lost_within: lost_within(sample, growth),
        }
    }

    fn lag(&self, sample: &Sample, now: Instant, older: Option<Duration>) -> Duration {
        if !sample.exists || sample.is_delivered() {
            return Duration::ZERO;
        }
        // the last moment at which all that there was is delivered by now
        match self.moments.iter().rev().find(|moment| moment.flushed <= sample.confirmed) {
            Some(moment) => now - moment.at,
            None => self.moments.front().map_or(Duration::ZERO, |first| now - first.at).max(older.unwrap_or_default()),
        }
    }

    /// How fast the log that the slot keeps grows, in bytes a second; 0 while that is not known, or when it shrinks.
    fn growth(&self, sample: &Sample, now: Instant) -> f64 {
        let mut recent = self.moments.iter().skip_while(|moment| now - moment.at > WINDOW);
        let (Some(first), Some(last)) = (recent.next(), self.moments.back()) else { return 0.0 };
        let time = last.at - first.at;
        if time.is_zero() {
            return 0.0;
        }
        let is_held = !sample.is_active
            || self.stuck_since.is_some()
            || self.restart.is_some_and(|(_, since)| now - since >= STEP);
        let grown = if is_held {
            last.written.saturating_sub(first.written)
        } else if time >= STEP * 2 {
            last.retained.saturating_sub(first.retained)
        } else {
            0
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let grown = grown as f64;
        grown / time.as_secs_f64()
    }

    /// Tells of a slot that will be lost, or that fills the disk.
    pub(super) fn warn(&mut self, slot: &str, sample: &Sample, outlook: &Outlook) {
        let retained = sample.retained();
        match outlook.lost_within {
            Some(within) if within <= WARN_WITHIN && self.told_loss.is_none_or(|told| within <= told / 2) => {
                observe(&Observation::SlotWillBeLost { slot, within, retained, growth: outlook.growth });
                // the last half a minute is not halved any more
                self.told_loss = Some(within.max(Duration::from_secs(1)));
            }
            None => self.told_loss = None,
            Some(_) => {}
        }
        if retained < MUCH {
            self.told_retained = MUCH / 2;
        } else if sample.safe.is_none() && outlook.growth > 0.0 && retained / 2 >= self.told_retained {
            observe(&Observation::SlotKeepsGrowing { slot, retained, growth: outlook.growth });
            self.told_retained = retained;
        }
    }
}

fn lost_within(sample: &Sample, growth: f64) -> Option<Duration> {
    let safe = sample.safe?;
    if safe <= 0 {
        return Some(Duration::ZERO);
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = safe as f64 / growth;
    Duration::try_from_secs_f64(seconds).ok()
}
