//! The oracle at work.

use super::{Oracle, Report, SEED, seed};
use crate::support::Database;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_inbox_is_the_diff_of_what_was_committed() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let mut oracle = Oracle::start(&database, seed()).await.with_live().await;
    let mut all = Report::default();
    for _ in 0..3 {
        oracle.run(60).await;
        all.add(oracle.check().await);
    }
    eprintln!("{all}");
    all.assert_telling();
}

/// The same tables and sessions every time, so that what passes today and not tomorrow is not the seed's doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_inbox_is_the_diff_of_what_was_committed_by_seeds_that_stay() {
    for seed in [1, 2] {
        let database = Database::installed().await;
        let _tidewire = database.up().await;
        let mut oracle = Oracle::start(&database, seed).await.with_live().await;
        oracle.run(120).await;
        let report = oracle.check().await;
        eprintln!("{SEED}={seed}: {report}");
        report.assert_telling();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_inbox_is_the_diff_of_what_was_committed_though_the_program_is_killed() {
    let database = Database::installed().await;
    let mut tidewire = database.up().await;
    let mut oracle = Oracle::start(&database, seed()).await;
    for _ in 0..2 {
        let load = oracle.begin();
        load.write(30).await;
        tidewire.kill().await;
        load.write(10).await;
        tidewire = database.up().await;
        load.write(20).await;
        oracle.end(load).await;
        eprintln!("{}", oracle.check().await);
    }
}
