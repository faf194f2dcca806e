//! Whether events are delivered just now, and why not: what `/live` and `/ready` say.
//!
//! It is a fold over the observations and asks nobody, so it answers at once whatever hangs. What it says to the outside is
//! made here of fixed words and numbers: an error's own text may quote somebody's data.

use std::fmt;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Observation, Outlook};
use crate::error::ErrorKind;

/// Without progress for this long delivery is called stalled, unless set otherwise. A batch takes milliseconds and a full
/// one well under a second; a server that is busy with a checkpoint may take some seconds.
pub const STALL_AFTER: Duration = Duration::from_secs(10);

/// A walsender that decodes a transaction of which we are told nothing is silent and at work: it is given this much more.
const AT_WORK: u32 = 6;

/// The program's tasks wake up at least this often; a process that has not done so for several of these is not alive.
const BEAT_WITHIN: Duration = Duration::from_secs(30);

/// While it is not yet seen that delivery moves, it is looked for this often: the end of a start should not wait for a look.
const PROVE_EVERY: Duration = Duration::from_millis(100);

static BEGUN: Notify = Notify::const_new();

static HEALTH: LazyLock<Mutex<Health>> = LazyLock::new(|| Mutex::new(Health::new(Instant::now())));

/// What the program is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting, installing, reading what there is.
    Starting,
    /// Another program serves the database.
    StandingBy,
    /// The slot is created, which waits for older transactions.
    CreatingSlot,
    /// The stream is open.
    Delivering,
    /// Something failed.
    Retrying(ErrorKind),
    /// The program was told to stop.
    Stopping,
}

/// Why events are not delivered just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unready {
    /// It is doing something else.
    Phase(Phase),
    /// The stream is open, and nothing has been delivered over it yet.
    Unproved,
    /// The server gave up the slot.
    SlotLost,
    /// A batch has been waiting for so long until its changes can be read.
    Invisible(Duration),
    /// A batch has been in writing for so long.
    Unwritten(Duration),
    /// The database has not answered for so long.
    Unanswered(Duration),
    /// There is something to deliver, and nothing has moved for so long.
    Stuck(Duration),
}

impl Unready {
    /// Whether delivery began and ran into something, as against having ended or not begun.
    pub fn is_stall(self) -> bool {
        !matches!(self, Unready::Phase(_) | Unready::Unproved)
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unready::Phase(Phase::Starting) => f.write_str("starting"),
            Unready::Phase(Phase::StandingBy) => f.write_str("standing by: another tidewire serves the database"),
            Unready::Phase(Phase::CreatingSlot) => {
                f.write_str("creating the replication slot, which waits for the transactions that are open")
            }
            Unready::Phase(Phase::Delivering) => f.write_str("delivering"),
            Unready::Phase(Phase::Retrying(kind)) => {
                write!(f, "trying again: {}; the log says more", what_failed(*kind))
            }
            Unready::Phase(Phase::Stopping) => f.write_str("stopping"),
            Unready::Unproved => {
                f.write_str("starting: the stream is open, and nothing has been delivered over it yet")
            }
            Unready::SlotLost => f.write_str("the replication slot was lost"),
            Unready::Invisible(time) => write!(
                f,
                "a batch has waited for {} s until its changes can be read: a commit waits, for a synchronous standby say",
                time.as_secs()
            ),
            Unready::Unwritten(time) => write!(f, "a batch has been in writing for {} s", time.as_secs()),
            Unready::Unanswered(time) => write!(f, "the database has not answered for {} s", time.as_secs()),
            Unready::Stuck(time) => {
                write!(f, "there is something to deliver, and the stream has not moved for {} s", time.as_secs())
            }
        }
    }
}

fn what_failed(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Connection => "the connection to the database failed",
        ErrorKind::Authentication => "the database refused the credentials",
        ErrorKind::Database => "the database answered with an error",
        ErrorKind::Setup => "the database is not set up for it",
        ErrorKind::SlotLost => "the replication slot was lost",
        ErrorKind::Standby => "another tidewire serves the database",
        ErrorKind::Protocol => "the database sent what cannot be read",
        ErrorKind::Unsendable => "the server cannot send a change",
        ErrorKind::InvalidInput | ErrorKind::Io => "something failed",
    }
}

struct Health {
    stall_after: Duration,
    phase: Phase,
    /// A batch was written since the stream is open, or it came to where the log was then. Less would not do: a batch that
    /// fails over and over leaves the stream open in between, and what was done before is acknowledged again.
    is_proved: bool,
    /// Where the log was at the monitor's first look since the stream is open.
    goal: Option<u64>,
    /// When the batch that is being written was handed over.
    batch: Option<Instant>,
    is_waiting_to_be_visible: bool,
    /// Since when the walk waits for an answer of the writer's that has to wait for a commit to be visible.
    waits: Option<Instant>,
    /// When something was last delivered, or all was found delivered.
    delivered: Instant,
    /// Since when the monitor has no answer.
    asked: Option<Instant>,
    /// How long nothing had moved at the monitor's last look, and when that was.
    stuck: Option<(Duration, Instant)>,
    is_walsender_at_work: bool,
    is_slot_lost: bool,
    beat: Instant,
    /// Changes read and batches written: moves when the engine does.
    work: u64,
}

impl Health {
    fn new(now: Instant) -> Self {
        Health {
            stall_after: STALL_AFTER,
            phase: Phase::Starting,
            is_proved: false,
            goal: None,
            batch: None,
            is_waiting_to_be_visible: false,
            waits: None,
            delivered: now,
            asked: None,
            stuck: None,
            is_walsender_at_work: false,
            is_slot_lost: false,
            beat: now,
            work: 0,
        }
    }

    fn enter(&mut self, phase: Phase) {
        // a stop may be answered with errors: it stays a stop
        if self.phase == Phase::Stopping {
            return;
        }
        *self = Health {
            stall_after: self.stall_after,
            phase,
            asked: self.asked,
            is_slot_lost: self.is_slot_lost && phase != Phase::Delivering,
            beat: self.beat,
            work: self.work,
            ..Health::new(Instant::now())
        };
    }

    fn unready(&self, now: Instant) -> Option<Unready> {
        if self.phase != Phase::Delivering {
            return Some(Unready::Phase(self.phase));
        }
        if self.is_slot_lost {
            return Some(Unready::SlotLost);
        }
        let is_long = |time: &Duration| *time > self.stall_after;
        if let Some(time) = self.batch.map(|since| now - since).filter(is_long) {
            return Some(if self.is_waiting_to_be_visible {
                Unready::Invisible(time)
            } else {
                Unready::Unwritten(time)
            });
        }
        if let Some(time) = self.waits.map(|since| now - since).filter(is_long) {
            return Some(Unready::Invisible(time));
        }
        // a monitor that finds no connection free says nothing of a delivery that goes on
        if let Some(time) = self.asked.map(|since| now - since).filter(is_long)
            && is_long(&(now - self.delivered))
        {
            return Some(Unready::Unanswered(time));
        }
        let patience = self.stall_after * if self.is_walsender_at_work { AT_WORK } else { 1 };
        if let Some(time) = self.stuck.map(|(time, at)| time + (now - at)).filter(|time| *time > patience) {
            return Some(Unready::Stuck(time));
        }
        (!self.is_proved).then_some(Unready::Unproved)
    }
}

/// What an observation says of the program's health.
pub(super) fn note(observation: &Observation<'_>) {
    let phase = match observation {
        Observation::Delivering { .. } => Phase::Delivering,
        Observation::StandingBy { .. } => Phase::StandingBy,
        Observation::CreatingSlot { .. } => Phase::CreatingSlot,
        Observation::Retrying { error, .. } => Phase::Retrying(error.kind()),
        Observation::Stopping => Phase::Stopping,
        other => return note_of_delivery(other),
    };
    health().enter(phase);
    if phase == Phase::Delivering {
        BEGUN.notify_one();
    }
}

/// Returns when the stream was opened, or soon again while nothing has been delivered over it.
pub async fn wants_a_look() {
    let is_unproved = health().unready(Instant::now()) == Some(Unready::Unproved);
    if is_unproved {
        tokio::time::sleep(PROVE_EVERY).await;
    } else {
        BEGUN.notified().await;
    }
}

fn note_of_delivery(observation: &Observation<'_>) {
    match observation {
        Observation::Read { changes, transactions } => health().work += changes + transactions,
        Observation::BatchHandedOver => {
            let mut health = health();
            health.batch = Some(Instant::now());
            health.is_waiting_to_be_visible = false;
        }
        Observation::WaitingToBeVisible => {
            let mut health = health();
            health.is_waiting_to_be_visible = true;
            if health.batch.is_none() {
                health.waits.get_or_insert_with(Instant::now);
            }
        }
        Observation::Answered => health().waits = None,
        Observation::BatchWritten { .. } => {
            let mut health = health();
            health.batch = None;
            health.work += 1;
            health.is_proved = true;
            health.delivered = Instant::now();
        }
        Observation::Acknowledged => health().delivered = Instant::now(),
        Observation::Asked => {
            health().asked.get_or_insert_with(Instant::now);
        }
        Observation::Sampled { sample, outlook: Outlook { stuck, .. } } => {
            let mut health = health();
            let now = Instant::now();
            health.asked = None;
            health.stuck = stuck.map(|stuck| (stuck, now));
            health.is_walsender_at_work = sample.is_walsender_at_work;
            health.is_slot_lost = sample.is_lost();
            if health.phase == Phase::Delivering {
                let goal = *health.goal.get_or_insert(sample.flushed);
                health.is_proved |= sample.is_delivered() || sample.confirmed >= goal;
            }
        }
        _ => {}
    }
}

fn health() -> MutexGuard<'static, Health> {
    HEALTH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets after how long without progress delivery is called stalled.
pub fn stall_after(time: Duration) {
    health().stall_after = time;
}

/// The program's tasks run.
pub fn beat() {
    health().beat = Instant::now();
}

/// For how long the program's tasks have not run, if that is too long.
pub fn is_dead() -> Option<Duration> {
    Some(health().beat.elapsed()).filter(|time| *time > BEAT_WITHIN)
}

/// What the engine has done, as a number that grows with it.
pub fn work() -> u64 {
    health().work
}

/// What the program is doing.
pub fn phase() -> Phase {
    health().phase
}

/// For how long the present batch has been in writing; nothing without one.
pub fn batch_age() -> Duration {
    health().batch.map_or(Duration::ZERO, |since| since.elapsed())
}

/// Why events are not delivered just now; `None`: they are.
pub fn unready() -> Option<Unready> {
    health().unready(Instant::now())
}
