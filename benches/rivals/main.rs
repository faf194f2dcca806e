//! `make bench`: Tidewire beside its rivals on this machine, in one run, taking turns; each line prints the rival's
//! figure, ours, and the ratio.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench fails by panicking"
)]

mod capture;
mod rig;
mod writer;

use rig::Rig;

#[tokio::main]
async fn main() {
    // cargo passes --bench
    let quick = std::env::args().any(|argument| argument == "--quick");
    let rig = Rig::start().await;
    println!("{}", rig.machine());
    println!("{} rounds, taking turns; median (least to most)\n", rig::rounds(quick));
    println!("{:<58}{:>22}{:>22}{:>8}", "", "rival", "tidewire", "ratio");
    writer::run(&rig, quick).await;
    capture::run(&rig, quick).await;
}
