//! The integration tests: one binary, one module a behaviour, each against a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod architecture;
mod check;
mod cluster;
mod demo;
mod escalation;
mod forms;
mod hard_cases;
mod identifiers;
mod operation;
mod order;
mod partitions;
mod privileges;
mod read;
mod refusals;
mod restart;
mod schema_changes;
mod sessions;
mod subscriptions;
mod support;
mod tail;
mod values;
