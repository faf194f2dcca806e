//! The only place that speaks SQL: connections, the installed schemas, look-ups in the catalog, the inbox's
//! statements, and a private server.

pub mod cluster;
mod connect;
mod encoding;
pub mod environment;
pub mod inbox;
pub mod install;
mod installation;
mod login;
pub mod ownership;
mod parameters;
mod passfile;
mod pooler;
pub mod quota;
pub mod reader;
pub mod requirement;
pub mod server;
pub mod slot;
pub mod status;
pub mod upkeep;

pub use connect::{Connection, Target, code_of_its_own, error};
pub use encoding::{encoding, make_readable};
pub use tokio_postgres::{Client, Notification};
