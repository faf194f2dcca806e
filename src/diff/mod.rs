//! Rows to changes: what one message says has changed, as row_insert, row_delete and field_update.
//!
//! The rules are those of the relational diff: identity is the primary key, so a changed key is a deleted row and an
//! inserted one; a table without a key has only whole rows; what is the same before and after is no change.

mod change;

pub use change::{Change, RowImage, updated};
