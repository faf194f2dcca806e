//! The server goes and comes back, alone or together with Tidewire.

use tidewire::db::cluster::StopMode;

use crate::support::Database;
use crate::support::fault_ledger::{Ledger, Writers};

#[tokio::test]
async fn the_server_is_restarted_and_killed_under_load() {
    let mut database = Database::installed().await;
    let mut tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 3);
    for how in [Some(StopMode::Fast), Some(StopMode::Immediate), None] {
        ledger.more(30).await;
        match how {
            Some(mode) => database.cluster.stop(mode).await.unwrap(),
            None => database.kill(),
        }
        database.revive().await;
    }
    // pauses have grown by now: a new program begins with short ones
    ledger.more(30).await;
    tidewire.kill().await;
    tidewire = database.up().await;
    ledger.more(30).await;
    writers.stop().await;
    ledger.assert_told_exactly_once().await;
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn the_server_and_tidewire_are_killed_together() {
    let mut database = Database::installed().await;
    let mut tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 3);
    for round in 0..4 {
        ledger.more(30).await;
        if round % 2 == 0 {
            database.kill();
            tidewire.kill().await;
        } else {
            tidewire.kill().await;
            database.kill();
        }
        database.revive().await;
        tidewire = database.up().await;
    }
    ledger.more(30).await;
    writers.stop().await;
    ledger.assert_told_exactly_once().await;
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn tidewire_is_killed_again_and_again_under_load() {
    let database = Database::installed().await;
    let mut tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 3);
    for round in 0..8 {
        if round % 3 != 2 {
            ledger.more(30).await;
        }
        tidewire.kill().await;
        if round % 2 == 0 {
            writers.more(20).await;
        }
        tidewire = database.up().await;
    }
    writers.more(20).await;
    assert_eq!(writers.stop().await, [""; 0], "writers notice nothing");
    ledger.assert_told_exactly_once().await;
    assert!(tidewire.stop().await.success());
}
