//! Values in events equal what `to_jsonb` gives: for every type of the server, whatever the database's settings, for
//! whatever rows one can think of, and for rows named by whatever key. PostgreSQL is the oracle.

mod equal_keys;
mod every_type;
mod folded;
mod generated;
mod keys;
mod odd_texts;
mod random;
mod samples;
mod scalars;
mod server_types;
mod watched_table;

pub use odd_texts::create_database;
