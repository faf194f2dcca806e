//! Whatever becomes of Tidewire, those who write into the database do not notice.

use std::collections::HashSet;

use crate::support::fault::{Backend, until};
use crate::support::fault_ledger::Ledger;
use crate::support::fault_pgbench::Pgbench;
use crate::support::{Client, Database, Tidewire};

const CLIENTS: usize = 4;
const EACH: usize = 200;

/// Starts pgbench; nothing where there is none.
async fn pgbench(database: &Database) -> Option<Pgbench> {
    Pgbench::start(database, CLIENTS, EACH).await
}

async fn assert_clean(run: Pgbench) {
    run.end().await.assert_clean(CLIENTS * EACH);
}

/// Waits until pgbench is well under way.
async fn under_way(client: &Client) {
    let count = || async { client.text("select last_value from entry").await.parse::<u64>().unwrap() };
    let before = count().await;
    until("pgbench writes", || async { count().await > before + 200 }).await;
}

/// What the server says, as it goes on.
fn log(database: &Database) -> String {
    String::from_utf8_lossy(&std::fs::read(database.cluster.data_dir().join("tidewire-server.log")).unwrap())
        .into_owned()
}

/// Nobody waited for a lock that Tidewire held, nor the other way round, for as long as it takes the server to say so.
fn assert_no_waits(database: &Database) {
    let log = log(database);
    let of = |line: &str| line.split_once(' ').map(|(pid, _)| pid.to_owned()).unwrap_or_default();
    let ours =
        log.lines().filter(|line| line.contains("connection authorized") && line.contains("application_name=tidewire"));
    let ours: HashSet<String> = ours.map(of).collect();
    assert!(ours.len() >= 3, "the log tells of connections: {log}");
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("holding the lock: ") {
            let (holders, waiting) = rest.split_once(". Wait queue: ").unwrap();
            for pid in holders.split(", ").chain(waiting.trim_end_matches('.').split(", ")) {
                assert!(!ours.contains(pid), "{line}\n{log}");
            }
        }
    }
}

#[tokio::test]
async fn writers_meet_no_error_and_no_wait_with_tidewire_at_work_dead_or_frozen() {
    let settings =
        [("log_lock_waits", "on"), ("deadlock_timeout", "20ms"), ("log_connections", "on"), ("log_line_prefix", "%p ")];
    let database = Database::start_with(&settings).await;
    let client = database.connect().await;
    Ledger::create(&client).await;
    Pgbench::prepare(&client).await;
    // as it is without Tidewire
    let Some(run) = pgbench(&database).await else { return };
    assert_clean(run).await;
    client.sql("truncate ledger; alter sequence entry restart").await;

    let tidewire = database.up().await;
    let ledger = Ledger::subscribe(&database).await;
    client
        .sql("insert into ledger select c * 1000 + r, c, '' from generate_series(0, 15) c, generate_series(1, 100) r")
        .await;
    assert_clean(pgbench(&database).await.unwrap()).await;

    let run = pgbench(&database).await.unwrap();
    under_way(&client).await;
    tidewire.kill().await;
    assert_clean(run).await;
    assert_clean(pgbench(&database).await.unwrap()).await;

    let run = pgbench(&database).await.unwrap();
    under_way(&client).await;
    let tidewire = database.up().await;
    assert_clean(run).await;

    // frozen at several places, if need be with a transaction open
    for _ in 0..2 {
        let run = pgbench(&database).await.unwrap();
        under_way(&client).await;
        tidewire.freeze();
        assert_clean(run).await;
        assert_clean(pgbench(&database).await.unwrap()).await;
        tidewire.thaw();
    }
    ledger.assert_told_exactly_once().await;
    assert_no_waits(&database);
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn writers_meet_no_error_when_the_slot_is_given_up_and_the_session_is_told_of_the_gap() {
    // over TCP: into a Unix socket that a frozen program does not read the server cannot write its
    // last word to the walsender's client, and ends neither the walsender nor the checkpoint
    let database = Database::on_tcp(&[("max_slot_wal_keep_size", "16MB")]).await;
    let client = database.connect().await;
    let mut tidewire = Tidewire::up(&database.tcp_url()).await;
    let ledger = Ledger::open(&database).await;
    Pgbench::prepare(&client).await;
    client.sql("select event.sync()").await;
    for frozen in [true, false] {
        let Some(run) = pgbench(&database).await else { return };
        under_way(&client).await;
        if frozen {
            tidewire.freeze();
        } else {
            tidewire.kill().await;
            until("the slot is free", || async { Backend::Stream.find(&client).await.is_none() }).await;
            tidewire = Tidewire::spawn(&["--version"]);
        }
        let is_lost = "select wal_status = 'lost' from pg_replication_slots";
        until("the slot is lost", || async {
            client.sql("insert into ledger values (nextval('entry'), 99, ''); select pg_switch_wal()").await;
            client.sql("checkpoint").await;
            client.text(is_lost).await == "t"
        })
        .await;
        assert_clean(run).await;
        assert_clean(pgbench(&database).await.unwrap()).await;

        let gaps = ledger.events(&client).await.iter().filter(|event| event.operation() == "gap").count();
        if frozen {
            tidewire.thaw();
        } else {
            tidewire = Tidewire::up(&database.tcp_url()).await;
        }
        assert_clean(pgbench(&database).await.unwrap()).await;
        // by itself, within its first attempts
        until("the gap is told", || async {
            ledger.events(&client).await.iter().filter(|event| event.operation() == "gap").count() == gaps + 1
        })
        .await;
        let entry = client.text("insert into ledger values (nextval('entry'), 100, '') returning id").await;
        client.sql("select event.sync()").await;
        let events = ledger.events(&client).await;
        assert_eq!(events.last().unwrap().key(), [entry]);
        assert!(events.windows(2).all(|pair| pair[0].id() < pair[1].id()), "in order");
    }
    assert!(tidewire.stop().await.success());
}
