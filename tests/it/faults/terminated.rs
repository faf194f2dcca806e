//! Single backends are ended by an administrator or die.

use nix::sys::signal::Signal;

use crate::support::Database;
use crate::support::fault::{Backend, signal, until};
use crate::support::fault_ledger::{Ledger, Writers};

#[tokio::test]
async fn each_connection_of_tidewires_is_terminated_under_load() {
    let database = Database::start().await;
    let client = database.connect().await;
    let tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 3);
    for backend in Backend::ALL.into_iter().chain([Backend::Upkeep, Backend::Writer]) {
        ledger.more(30).await;
        let pid = backend.pid(&client).await;
        let ended = client.text(&format!("select pg_terminate_backend({pid}, 10000)")).await;
        assert_eq!(ended, "t", "{backend:?}");
    }
    writers.more(20).await;
    assert_eq!(writers.stop().await, [""; 0], "writers notice nothing");
    ledger.assert_told_exactly_once().await;
    assert!(tidewire.stop().await.success());
}

/// One backend's death by `kill -9` makes the server end all connections and recover.
#[tokio::test]
async fn the_server_recovers_from_a_backend_that_was_killed() {
    let database = Database::start_with(&[("restart_after_crash", "on")]).await;
    let tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 3);
    for backend in [Some(Backend::Writer), Some(Backend::Stream), None] {
        let client = database.connect().await;
        ledger.more(30).await;
        let pid = match backend {
            Some(backend) => backend.pid(&client).await,
            // a writer's
            None => client
                .text("select pid from pg_stat_activity where query like 'select pg_sleep%'")
                .await
                .parse()
                .unwrap(),
        };
        signal(pid, Signal::SIGKILL);
        // this connection ends as well
        until("the server recovers", || async { client.simple_query("select 1").await.is_err() }).await;
        until("and is back", || async {
            tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.is_ok()
        })
        .await;
    }
    writers.more(20).await;
    let errors = writers.stop().await;
    // cut off each time, and nothing else
    assert!((3..=9 * 3).contains(&errors.len()), "{errors:#?}");
    ledger.assert_told_exactly_once().await;
    assert!(tidewire.stop().await.success());
}
