//! The write-ahead log as a stream of pgoutput messages, and its one permanent slot.
//!
//! The replication client (`pgwire-replication`) is touched in this room alone.

mod login;
mod stream;

pub use stream::{Item, StreamOptions, WalStream};
