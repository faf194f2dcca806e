//! How an event reaches a session's owner.

pub mod change;
pub mod hub;
pub mod notify;
pub mod visible;
