//! One that stands by takes over.

use crate::support::fault::{Backend, until};
use crate::support::fault_ledger::{Ledger, Writers};
use crate::support::{Client, Database, Tidewire};

async fn stand_by(database: &Database) -> Tidewire {
    let second = Tidewire::spawn(&["up", "--database-url", &database.url()]);
    second.wait_for_log("standing by").await;
    second
}

#[tokio::test]
async fn a_standby_takes_over_from_one_that_dies() {
    let database = Database::start().await;
    let client = database.connect().await;
    let mut first = database.up().await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 3);
    for _ in 0..3 {
        let second = stand_by(&database).await;
        writers.more(20).await;
        let old = Backend::Writer.pid(&client).await;
        first.kill().await;
        until("the first's last batch is in", || async { Backend::Writer.find(&client).await != Some(old) }).await;
        ledger.more(1).await;
        first = second;
    }
    assert_eq!(writers.stop().await, [""; 0], "writers notice nothing");
    ledger.assert_told_exactly_once().await;
    assert!(first.stop().await.success());
}

/// The first's connections: none of them may be there any more once it has been taken over from.
async fn all_of(client: &Client) -> Vec<u32> {
    let mut all = Vec::new();
    for backend in Backend::ALL {
        all.push(backend.pid(client).await);
    }
    all
}

#[tokio::test]
async fn a_standby_takes_over_from_one_that_is_frozen_which_then_writes_nothing() {
    let database = Database::start().await;
    let client = database.connect().await;
    let first = database.up().await;
    let ledger = Ledger::open(&database).await;
    client.sql("insert into ledger values (1, 1, '')").await;
    client.sql("select event.sync()").await;
    let second = stand_by(&database).await;

    // at rest: the server ends the connection of one that it does not hear of
    let [stream, writer, ..] = all_of(&client).await[..] else { panic!() };
    first.freeze();
    client.sql("insert into ledger values (2, 1, '')").await;
    until("the second delivers", || async { ledger.events(&client).await.len() == 2 }).await;
    let now = all_of(&client).await;
    assert!(now[0] != stream && now[1] != writer, "its stream and its writer are gone");

    // it comes back among writers, whom the second tells of
    let writers = Writers::start(&database.url(), 3);
    writers.more(20).await;
    first.thaw();
    first.wait_for_log("standing by").await;
    writers.more(20).await;
    assert_eq!(all_of(&client).await[..2], now[..2], "the second goes on undisturbed");

    // in the middle of work, with a transaction open as the case may be; the server notices at once what otherwise takes it
    // a while
    second.freeze();
    let writer = now[1];
    client.sql(&format!("select pg_terminate_backend({writer}, 5000)")).await;
    ledger.more(20).await;
    let now = all_of(&client).await;
    second.thaw();
    let stood_by = || async { second.stderr().matches("standing by").count() == 2 };
    until("the second stands by again", stood_by).await;
    writers.more(20).await;
    assert_eq!(all_of(&client).await[..2], now[..2], "the first goes on undisturbed");
    assert_eq!(writers.stop().await, [""; 0], "writers notice nothing");
    ledger.assert_told_exactly_once().await;
    assert!(first.stop().await.success() && second.stop().await.success());
}

#[tokio::test]
async fn a_server_that_ends_idle_sessions_does_not_disturb_it() {
    let database = Database::start_with(&[("idle_session_timeout", "300ms")]).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("set idle_session_timeout = 0").await;
    let ledger = Ledger::open(&database).await;
    let before = all_of(&client).await;
    client.sql("select pg_sleep(1.5); insert into ledger values (1, 1, '')").await;
    ledger.assert_told_exactly_once().await;
    assert_eq!(all_of(&client).await, before);
    assert!(!tidewire.stderr().contains("WARN"), "{}", tidewire.stderr());
    assert!(tidewire.stop().await.success());
}
