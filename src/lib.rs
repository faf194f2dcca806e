//! Tidewire tells you when data changes in a PostgreSQL database.
//!
//! Data walks one way through this crate, and each stop is a module:
//!
//! ```text
//! WAL ──> wal ──> pgoutput ──> diff ──> subscription ──> inbox ──> delivery ──> LISTEN/NOTIFY, who is in the process
//!         stream   bytes to     rows to  changes to       durable,  the original's
//!         and slot messages     changes  sessions         in SQL    form
//! ```
//!
//! [`capture`] is the one task that walks the stream through the pure rooms in the middle; [`app`] builds and stops the
//! parts; [`upkeep`] does what may have to wait for somebody's lock; [`lease`] keeps the right to serve; [`catalog`] is what they know of relations, [`json`] how values are written, [`db`] the only SQL. [`monitor`] watches
//! whether it moves, [`observe`] logs and counts, and [`http`] shows that to the outside.

pub mod app;
pub mod capture;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod crash;
pub mod db;
pub mod delivery;
pub mod diff;
pub mod error;
pub mod http;
pub mod inbox;
pub mod json;
pub mod lease;
pub mod monitor;
pub mod observe;
pub mod pgoutput;
pub mod position;
pub mod printable;
pub mod subscription;
pub mod upkeep;
pub mod wal;
