//! The database's disk is full.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tidewire::db::cluster::StopMode;

use crate::support::Database;
use crate::support::fault::until;
use crate::support::fault_disk::{Filler, small_disk};
use crate::support::fault_ledger::{Ledger, Writers};

/// What the database itself says to who writes when its disk is full, and when that has brought it down.
const ITS_OWN: [&str; 6] = [
    "No space left on device",
    "connection closed",
    "terminating connection because of crash",
    "the database system is",
    "error communicating with the server",
    "current transaction is aborted",
];

fn assert_its_own(errors: &[String]) {
    for error in errors {
        assert!(ITS_OWN.iter().any(|own| error.contains(own)), "{error}");
    }
}

/// The least that it takes, so that the disk is soon full.
const SMALL: [(&str, &str); 3] = [("max_wal_size", "32MB"), ("min_wal_size", "32MB"), ("log_checkpoints", "off")];

#[tokio::test]
async fn a_full_disk_stops_nobody_for_longer_than_it_is_full() {
    let Some(disk) = small_disk("faults::disk::a_full_disk_stops_nobody_for_longer_than_it_is_full", 160) else {
        return;
    };
    // the WAL lies elsewhere: what fails is a statement, and the server lives
    let elsewhere = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let mut database = Database::start_in(Some(disk.clone()), &SMALL).await;
    move_wal(&mut database, elsewhere.path()).await;
    let tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 3);
    for round in 0..2 {
        ledger.more(100).await;
        let filler = Filler::fill(&disk);
        until("Tidewire's batch fails", || async {
            tidewire.stderr().matches("No space left on device").count() > round
        })
        .await;
        filler.remove();
    }
    ledger.more(100).await;
    assert_its_own(&writers.stop().await);
    ledger.assert_told_exactly_once().await;
    assert!(tidewire.stop().await.success());
}

async fn move_wal(database: &mut Database, to: &Path) {
    database.cluster.stop(StopMode::Fast).await.unwrap();
    let wal = database.cluster.data_dir().join("pg_wal");
    let moved = Command::new("mv").arg(&wal).arg(to).status().unwrap();
    assert!(moved.success());
    std::os::unix::fs::symlink(to.join("pg_wal"), &wal).unwrap();
    database.revive().await;
}

#[tokio::test]
async fn a_server_that_a_full_disk_brings_down_is_served_again_when_it_is_back() {
    let name = "faults::disk::a_server_that_a_full_disk_brings_down_is_served_again_when_it_is_back";
    let Some(disk) = small_disk(name, 200) else { return };
    let mut database = Database::start_in(Some(disk.clone()), &SMALL).await;
    let tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 3);
    {
        let client = database.connect().await;
        ledger.more(100).await;
        let filler = Filler::fill(&disk);
        // the next segment of the WAL cannot be made: the server stops on the spot
        let noise = "select pg_logical_emit_message(true, 'noise', repeat('x', 1000000)) from generate_series(1, 4)";
        until("the server is down", || async { client.simple_query(noise).await.is_err() && client.is_closed() }).await;
        filler.remove();
    }
    // a service manager's part, where the server did not come back by itself
    database.revive().await;
    ledger.more(100).await;
    assert_its_own(&writers.stop().await);
    ledger.assert_told_exactly_once().await;
    assert!(tidewire.stop().await.success());
}
