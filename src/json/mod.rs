//! PostgreSQL text values -> JSON bytes, as `to_jsonb` gives them.
//!
//! Pure. What comes in is a type's text output (`typoutput`) from a session pinned to `client_encoding=UTF8`,
//! `datestyle=ISO`, `intervalstyle=postgres`, `timezone=UTC`, `bytea_output=hex`, `extra_float_digits=1`; what goes out
//! is compact JSON. Each rule follows `jsonb_categorize_type` and `datum_to_jsonb` in PostgreSQL's
//! `src/backend/utils/adt/jsonb.c`. Two things differ from the text of `to_jsonb`, and neither changes a value:
//! there is no white space outside strings, and object keys and `json` texts keep the order and spelling they were
//! written in, where jsonb sorts keys and rewrites numbers. A json value that few readers could read is a string (`compact`).
//!
//! The caller says how long the output may become. Writing stops there: the JSON of 100 kB of text can be gigabytes.
//!
//! ```text
//! shape, builtin      which way a type takes
//! value               the dispatch, and the nested ways: arrays, vectors, composites
//! escape number datetime compact hstore      the flat ways
//! array composite quoted      readers of array_out's and record_out's syntax
//! ```

mod array;
mod builtin;
mod compact;
mod composite;
mod datetime;
mod escape;
mod hstore;
mod malformed;
mod number;
#[cfg(test)]
mod properties;
mod quoted;
mod shape;
mod value;

pub use array::parse_text_array;
pub use escape::write_string;
pub use malformed::{Malformed, Unwritten};
pub use shape::{Attribute, Shape};
pub use value::write_value;
