//! Inboxes: what each durable session has not acknowledged, kept in the database.

mod apart;
mod batch;
mod entry;
mod reader;
mod writer;

pub use apart::Care;
pub use batch::{Batch, Mark, Notification, Pointer, Resend, RouteChange, SetAside};
pub use entry::{ChangeKind, Entry, Key};
pub use reader::{Event, Reader};
pub use writer::{Ask, Committed, run, segment};
