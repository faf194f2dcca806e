//! The integration tests: one binary, one module a behaviour, each against a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cluster;
mod support;
