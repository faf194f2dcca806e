//! Named places in the engine at which a test can have the program killed, as `kill -9` would: `TIDEWIRE_CRASH=before_commit:3`
//! ends it when it comes to that place for the third time. Builds without debug assertions know nothing of it.

use crate::error::Result;

/// Every place, in the order in which a batch comes by.
pub const POINTS: [&str; 18] = [
    "before_load",
    "after_load",
    "before_receive",
    "after_receive",
    "before_route",
    "after_route",
    "before_rotate",
    "after_rotate",
    "before_write",
    "after_write",
    "before_notify",
    "after_notify",
    "before_commit",
    "after_commit",
    "before_acknowledge",
    "after_acknowledge",
    "before_drop_partitions",
    "after_drop_partitions",
];

/// Places that only a start passes which finds no slot to go on with, in their order; the first two when there was one.
pub const ANEW_POINTS: [&str; 6] = [
    "before_note_gap",
    "after_note_gap",
    "before_create_slot",
    "after_create_slot",
    "before_begin_anew",
    "after_begin_anew",
];

/// Where a task that nobody waits for goes round.
pub const TASKS: [&str; 2] = ["upkeep", "monitor"];

/// The variable that names a place and how often it is passed before.
pub const VARIABLE: &str = "TIDEWIRE_CRASH";

/// The same; the task panics there, and the program is left to itself.
pub const PANIC_VARIABLE: &str = "TIDEWIRE_PANIC";

/// The variable that makes the walk slow, once: `TIDEWIRE_SLOW=10000:word` has it compute for ten seconds at the first message with that
/// word in it; `10000:word*` at each.
pub const SLOW_VARIABLE: &str = "TIDEWIRE_SLOW";

/// The variable that makes a stop of the walk fail at each message with a word in it: `TIDEWIRE_FAIL=route:word`, or with
/// `panic:route:word` by a panic; `route.2:word` fails at the second change of the message. The stops are [`STOPS`].
pub const FAIL_VARIABLE: &str = "TIDEWIRE_FAIL";

/// The stops at which the walk can fail.
pub const STOPS: [&str; 4] = ["decode", "diff", "route", "render"];

/// The walk comes to a message.
#[inline]
pub(crate) fn reads(message: &[u8]) {
    #[cfg(debug_assertions)]
    armed::reads(message);
    #[cfg(not(debug_assertions))]
    let _ = message;
}

/// Passes a stop, or fails at it.
#[inline]
pub(crate) fn fail(stop: &'static str) -> Result<()> {
    #[cfg(debug_assertions)]
    armed::fail(stop)?;
    #[cfg(not(debug_assertions))]
    let _ = stop;
    Ok(())
}

/// Passes a message, or computes for as long as it was told to.
#[inline]
pub(crate) fn slow(message: &[u8]) {
    #[cfg(debug_assertions)]
    armed::slow(message);
    #[cfg(not(debug_assertions))]
    let _ = message;
}

/// The variable that says after how many seconds a step of the walk is taken to be without end.
pub const LONGEST_VARIABLE: &str = "TIDEWIRE_LONGEST_STEP";

/// What that variable says.
pub(crate) fn longest_step() -> Option<u32> {
    if cfg!(debug_assertions) { std::env::var(LONGEST_VARIABLE).ok()?.parse().ok() } else { None }
}

/// Passes the place, or dies there.
#[inline]
pub(crate) fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::point(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    use nix::sys::signal::{Signal, raise};

    struct Armed {
        name: String,
        left: AtomicU64,
        is_panic: bool,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    fn armed(variable: &str, is_panic: bool) -> Option<Armed> {
        let text = std::env::var(variable).ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some(Armed { name: name.to_owned(), left: AtomicU64::new(count.parse().ok()?), is_panic })
    }

    static SLOW: OnceLock<Option<(Duration, String)>> = OnceLock::new();
    static WAS_SLOW: AtomicBool = AtomicBool::new(false);

    pub(super) fn slow(message: &[u8]) {
        let slow = SLOW.get_or_init(|| {
            let text = std::env::var(super::SLOW_VARIABLE).ok()?;
            let (milliseconds, word) = text.split_once(':')?;
            Some((Duration::from_millis(milliseconds.parse().ok()?), word.to_owned()))
        });
        if let Some((time, word)) = slow
            && has(message, word.trim_end_matches('*'))
            && (!WAS_SLOW.swap(true, Ordering::Relaxed) || word.ends_with('*'))
        {
            std::thread::sleep(*time);
        }
    }

    struct Fail {
        is_panic: bool,
        stop: String,
        /// How often it is passed before, within a message.
        before: u64,
        word: String,
    }

    static FAIL: OnceLock<Option<Fail>> = OnceLock::new();
    static HAS_WORD: AtomicBool = AtomicBool::new(false);
    static PASSED: AtomicU64 = AtomicU64::new(0);

    fn has(message: &[u8], word: &str) -> bool {
        message.windows(word.len()).any(|part| part == word.as_bytes())
    }

    pub(super) fn reads(message: &[u8]) {
        let fail = FAIL.get_or_init(|| {
            let text = std::env::var(super::FAIL_VARIABLE).ok()?;
            let rest = text.strip_prefix("panic:");
            let (stop, word) = rest.unwrap_or(&text).split_once(':')?;
            let (stop, nth) = stop.split_once('.').unwrap_or((stop, "1"));
            let before = nth.parse::<u64>().ok()?.saturating_sub(1);
            Some(Fail { is_panic: rest.is_some(), stop: stop.to_owned(), before, word: word.to_owned() })
        });
        if let Some(fail) = fail {
            HAS_WORD.store(has(message, &fail.word), Ordering::Relaxed);
            PASSED.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn fail(stop: &'static str) -> crate::error::Result<()> {
        debug_assert!(super::STOPS.contains(&stop), "{stop} is not in the list");
        if let Some(Some(fail)) = FAIL.get()
            && fail.stop == stop
            && HAS_WORD.load(Ordering::Relaxed)
            && PASSED.fetch_add(1, Ordering::Relaxed) >= fail.before
        {
            assert!(!fail.is_panic, "{stop} panics, as it was told to");
            let failed = format!("{stop} fails, as it was told to");
            return Err(crate::error::Error::new(crate::error::ErrorKind::Protocol, failed));
        }
        Ok(())
    }

    pub(super) fn point(name: &'static str) {
        let mut known = super::POINTS.iter().chain(&super::ANEW_POINTS).chain(&super::TASKS);
        debug_assert!(known.any(|known| *known == name), "{name} is not in the list");
        let armed = ARMED.get_or_init(|| armed(super::VARIABLE, false).or_else(|| armed(super::PANIC_VARIABLE, true)));
        if let Some(armed) = armed
            && armed.name == name
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            assert!(!armed.is_panic, "{name} panics, as it was told to");
            let _ = raise(Signal::SIGKILL);
        }
    }
}
