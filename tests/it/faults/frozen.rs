//! The program stands still for longer than the server is ready to wait.

use nix::sys::signal::Signal;

use crate::support::fault::{Backend, signal, until};
use crate::support::fault_ledger::{Ledger, Writers};
use crate::support::{Client, Database};

async fn cut(client: &Client, backend: Backend) {
    if let Some(pid) = backend.find(client).await {
        client.sql(&format!("select pg_terminate_backend({pid}, 5000)")).await;
    }
}

#[tokio::test]
async fn a_freeze_longer_than_wal_sender_timeout_loses_and_repeats_nothing() {
    let database = Database::start_with(&[("wal_sender_timeout", "1s")]).await;
    let client = database.connect().await;
    let tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 2);
    // what the server cuts besides the stream while nobody is at home
    for also in [&[][..], &[Backend::Writer], &[Backend::Upkeep], &[Backend::Writer, Backend::Upkeep]] {
        writers.more(20).await;
        tidewire.freeze();
        until("the server ends the stream", || async { Backend::Stream.find(&client).await.is_none() }).await;
        for backend in also {
            cut(&client, *backend).await;
        }
        writers.more(20).await;
        tidewire.thaw();
        // by itself
        ledger.more(50).await;
    }
    assert_eq!(writers.stop().await, [""; 0]);
    ledger.assert_told_exactly_once().await;
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn many_short_freezes_lose_and_repeat_nothing() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 2);
    for _ in 0..30 {
        writers.more(3).await;
        tidewire.freeze();
        writers.more(10).await;
        tidewire.thaw();
    }
    assert_eq!(writers.stop().await, [""; 0]);
    ledger.assert_told_exactly_once().await;
    // a stop that comes while it stands still is obeyed afterwards
    tidewire.freeze();
    signal(tidewire.pid(), Signal::SIGTERM);
    tidewire.thaw();
    let mut tidewire = tidewire;
    assert!(tidewire.wait().await.success());
}
