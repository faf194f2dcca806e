//! Bytes to messages: the logical replication protocol that the plugin pgoutput speaks, version 1, text format
//! (PostgreSQL manual, section 55.9 "Logical Replication Message Formats").
//!
//! Messages borrow from the bytes they came in: nothing is copied.

mod encoding;
mod message;
mod reader;

pub use encoding::{Encoding, Unknown, Unreadable, convert};
pub use message::{Begin, Commit, Message, RelationBody, RelationColumn, Truncate, TypeBody, decode};
pub use reader::Malformed;
pub use tuple::{Datum, Tuple};

mod tuple;
