//! What the targets of `make fuzz` hold, held here too: for the seeds, for seeds with random damage, and for what a server
//! has just sent.

mod damaged;
mod recorded;
mod scenarios;
mod seeds;
#[path = "../../../fuzz/src/lib.rs"]
mod targets;
