//! The integration tests: one binary, one module a behaviour, each against a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod architecture;
mod begun;
mod bounded;
mod check;
mod cluster;
mod crash_points;
mod demo;
mod escalation;
mod failover;
mod faults;
mod forms;
mod fuzzed;
mod gaps;
mod hard_cases;
mod hung;
mod identifiers;
mod instructions;
mod joined;
mod live;
mod meanwhile;
mod meta;
mod operation;
mod oracle;
mod order;
mod outside;
mod panics;
mod partitions;
mod privileges;
mod quiet;
mod read;
mod refusals;
mod restart;
mod restored;
mod retention;
mod schema_changes;
mod sessions;
mod status;
mod subscriptions;
mod support;
mod tail;
mod torture;
mod values;
mod visible;
mod wide;
