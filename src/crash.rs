//! Named places in the engine at which a test can have the program killed, as `kill -9` would: `TIDEWIRE_CRASH=before_commit:3`
//! ends it when it comes to that place for the third time. Builds without debug assertions know nothing of it.

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

/// The variable that names a place and how often it is passed before.
pub const VARIABLE: &str = "TIDEWIRE_CRASH";

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
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, raise};

    struct Armed {
        name: String,
        left: AtomicU64,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    pub(super) fn point(name: &'static str) {
        debug_assert!(
            super::POINTS.iter().chain(&super::ANEW_POINTS).any(|known| *known == name),
            "{name} is not in the list"
        );
        let armed = ARMED.get_or_init(|| {
            let text = std::env::var(super::VARIABLE).ok()?;
            let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
            Some(Armed { name: name.to_owned(), left: AtomicU64::new(count.parse().ok()?) })
        });
        if let Some(armed) = armed
            && armed.name == name
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            let _ = raise(Signal::SIGKILL);
        }
    }
}
