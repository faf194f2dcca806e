//! What must hold whatever bytes come in: one function for each target of `make fuzz`. The integration tests include this
//! file, so that the same holds in `make test` for the seeds, for seeds with random damage, and for what a server has
//! just sent.
//!
//! A target panics when something does not hold.

mod decoder;
mod encoder;
mod json;
mod second_opinion;
mod texts;
mod walk;

pub use decoder::pgoutput;
pub use texts::{array, composite, event_id, value};
pub use walk::{framed, messages, tuple};

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. Its seeds are in `corpus/` under its name.
pub const TARGETS: [Target; 6] = [
    ("pgoutput", pgoutput),
    ("tuple", tuple),
    ("array", array),
    ("composite", composite),
    ("value", value),
    ("event_id", event_id),
];
