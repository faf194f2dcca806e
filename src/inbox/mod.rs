//! Inboxes: what each durable session has not acknowledged, kept in the database.

mod batch;
mod entry;
mod reader;
mod writer;

pub use batch::{Batch, Notification, Pointer, Resend, RouteChange};
pub use entry::{ChangeKind, Entry, Key};
pub use reader::{Event, Reader};
pub use writer::{Ask, Committed, run, segment};
