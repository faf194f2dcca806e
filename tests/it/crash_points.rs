//! The program dies at each named place in the engine, as by `kill -9`, and nothing is lost or told twice.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use tidewire::crash::{ANEW_POINTS, POINTS};
use tokio::time::sleep;

use crate::oracle::{Oracle, seed};
use crate::support::fault::{Backend, signal, until, until_within};
use crate::support::fault_ledger::{Ledger, Writers};
use crate::support::{Client, Database, PATIENCE, Subscriber, Tidewire};

const SIGKILL: i32 = 9;

/// Between two transactions of the oracle's writers, which are faster than the engine. Without it each start has a backlog
/// that the one before left: 2,800 transactions instead of 600, 80 s instead of 25 s, and no further place or kind of change.
const PACE: Duration = Duration::from_millis(10);

/// Does one step after the other until the program has died at `at`, which is to say that it came there. What is passed
/// at a start alone is passed again when a connection is lost.
async fn until_dead(tidewire: &mut Tidewire, client: &Client, at: &str, mut step: impl AsyncFnMut()) {
    let begun = Instant::now();
    for n in 1.. {
        if let Some(status) = tidewire.ended() {
            assert_eq!(status.signal(), Some(SIGKILL), "{at}: it ended by itself: {status}\n{}", tidewire.stderr());
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{at}: it never came there\n{}", tidewire.stderr());
        step().await;
        // seldom, since its pauses grow; and before it has been ready the first failure ends it
        if [40, 100, 300].contains(&n)
            && tidewire.stdout().starts_with("ready")
            && let Some(pid) = Backend::Writer.find(client).await
        {
            signal(pid, nix::sys::signal::Signal::SIGTERM);
        }
    }
}

/// Which pass is a later one: the work comes by all the time, a start or a rotation does not.
fn later(point: &str) -> u32 {
    if ["load", "rotate", "drop_partitions"].iter().any(|rare| point.ends_with(rare)) { 2 } else { 7 }
}

#[tokio::test]
async fn nothing_is_lost_or_repeated_when_it_dies_at_any_point() {
    let database = Database::start().await;
    let client = database.connect().await;
    let first = database.up().await;
    let ledger = Ledger::open(&database).await;
    first.kill().await;
    let mut last = String::new();
    for point in POINTS {
        println!("{point}");
        client.sql("truncate ledger").await;
        let writers = Writers::start(&database.url(), 2);
        let mut tidewire = Tidewire::doomed(&database.url(), &format!("{point}:1"));
        until_dead(&mut tidewire, &client, point, async || writers.more(1).await).await;
        writers.more(5).await;
        assert_eq!(writers.stop().await, [""; 0], "{point}: writers notice nothing");
        let tidewire = database.up().await;
        let events = ledger.assert_told_exactly_once().await;
        assert!(events[0].id() > last.as_str(), "{point}: told again");
        last = events.last().unwrap().id().to_owned();
        client.sql(&format!("select event.ack('{}', '{last}')", ledger.session)).await;
        tidewire.kill().await;
    }
}

#[tokio::test]
async fn nothing_is_lost_or_repeated_when_it_dies_again_and_again() {
    let database = Database::start().await;
    let client = database.connect().await;
    let first = database.up().await;
    let ledger = Ledger::open(&database).await;
    first.kill().await;
    let writers = Writers::start(&database.url(), 1);
    for (n, point) in POINTS.into_iter().enumerate() {
        // at a later pass, and now and then once more at once when it comes back
        let again = (n % 3 == 0).then(|| format!("{}:1", POINTS[(n * 7 + 3) % POINTS.len()]));
        for at in [format!("{point}:{}", later(point))].into_iter().chain(again) {
            println!("{at}");
            let mut tidewire = Tidewire::doomed(&database.url(), &at);
            until_dead(&mut tidewire, &client, &at, async || writers.more(1).await).await;
        }
    }
    assert_eq!(writers.stop().await, [""; 0], "writers notice nothing");
    let _tidewire = database.up().await;
    ledger.assert_told_exactly_once().await;
}

/// With generated tables, values, transactions and subscriptions, and clients that read, acknowledge and come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_inbox_is_the_diff_of_what_was_committed_though_it_dies_at_every_point() {
    let database = Database::start().await;
    let client = database.connect().await;
    database.up().await.kill().await;
    let mut oracle = Oracle::start(&database, seed()).await;
    for points in POINTS.chunks(6) {
        let load = oracle.begin();
        for point in points {
            let at = format!("{point}:{}", later(point).min(3));
            let mut tidewire = Tidewire::doomed(&database.url(), &at);
            let step = async || {
                load.write(1).await;
                sleep(PACE).await;
            };
            until_dead(&mut tidewire, &client, &at, step).await;
        }
        let tidewire = database.up().await;
        oracle.end(load).await;
        oracle.check().await;
        tidewire.kill().await;
    }
}

#[tokio::test]
async fn nothing_is_lost_or_repeated_when_it_dies_within_a_large_transaction() {
    let database = Database::start().await;
    let client = database.connect().await;
    let first = database.up().await;
    let ledger = Ledger::open(&database).await;
    client.sql("select event.sync()").await;
    first.kill().await;
    // three pieces of a batch's size, and what is before and behind them
    client.sql("insert into ledger values (1, 0, 'before')").await;
    client.sql("begin; insert into ledger select g, 1, repeat('x', 300) from generate_series(2, 9000) g").await;
    client.sql("update ledger set v = 'y' where id % 100 = 0; delete from ledger where id % 1000 = 1; commit").await;
    client.sql("insert into ledger values (20000, 0, 'behind')").await;
    for at in ["before_commit:1", "after_write:2", "before_commit:2", "after_commit:1", "after_route:200"] {
        let mut tidewire = Tidewire::doomed(&database.url(), at);
        let status = tidewire.wait().await;
        assert_eq!(status.signal(), Some(SIGKILL), "{at}");
    }
    let _tidewire = database.up().await;
    let events = ledger.assert_told_exactly_once().await;
    assert_eq!(events.len(), 1 + 8_999 + 90 + 9 + 1);
}

/// What each session has to be told, by what was done, in order.
#[derive(Default)]
struct Model {
    /// The newest row.
    id: u32,
    /// Subscriptions in force, and whose they are.
    subscribed: BTreeMap<String, String>,
    told: BTreeMap<String, Vec<String>>,
}

impl Model {
    async fn insert(&mut self, client: &Client) {
        self.id += 1;
        client.sql(&format!("insert into t values ({})", self.id)).await;
        for session in self.subscribed.values() {
            self.told.entry(session.clone()).or_default().push(self.id.to_string());
        }
    }
}

/// One transaction in which a session comes, changes before and after it, and one in which an older session goes.
async fn come_and_go(client: &Client, model: &mut Model) {
    client.sql("begin").await;
    model.insert(client).await;
    let session = client.text("select event.session_create()").await;
    let subscribe = format!("select event.subscribe_table('{session}', meta.relation_id('public', 't'))");
    model.subscribed.insert(client.text(&subscribe).await, session);
    model.insert(client).await;
    client.sql("commit").await;
    model.insert(client).await;
    if model.subscribed.len() > 3 {
        client.sql("begin").await;
        model.insert(client).await;
        let (subscription, _) = model.subscribed.pop_first().unwrap();
        client.sql(&format!("select event.unsubscribe('{subscription}')")).await;
        model.insert(client).await;
        client.sql("commit").await;
    }
}

#[tokio::test]
async fn subscriptions_come_and_go_at_their_place_wherever_it_dies() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let first = database.up().await;
    client.sql("select event.watch('t')").await;
    first.stop().await;
    let mut model = Model::default();
    for point in POINTS.into_iter().filter(|point| !point.ends_with("drop_partitions")) {
        let mut tidewire = Tidewire::doomed(&database.url(), &format!("{point}:{}", later(point).min(3)));
        until_dead(&mut tidewire, &client, point, async || come_and_go(&client, &mut model).await).await;
        come_and_go(&client, &mut model).await;
    }
    let _tidewire = database.up().await;
    client.sql("select event.sync()").await;
    for (session, expected) in &model.told {
        let query = format!("select id, \"row\" ->> 'id' from event.read('{session}', '', 100000) order by 1");
        let told: Vec<_> = client.rows(&query).await.into_iter().map(|row| row[1].clone().unwrap()).collect();
        assert_eq!(&told, expected);
    }
}

/// More WAL than a partition of the journal is for.
async fn fill_a_partition(client: &Client) {
    for _ in 0..17 {
        // a segment that holds nothing yet is not switched
        client.sql("select pg_logical_emit_message(false, 'noise', 'x')").await;
        client.sql("select pg_switch_wal()").await;
    }
}

#[tokio::test]
async fn nothing_is_lost_or_repeated_when_it_dies_while_a_partition_is_made_or_dropped() {
    let database = Database::start().await;
    let client = database.connect().await;
    let mut tidewire = database.up().await;
    let ledger = Ledger::open(&database).await;
    let partitions = "select count(*) from pg_inherits where inhparent = 'event.journal'::regclass";
    let mut id = 0;
    let mut last = String::new();
    for (point, is_dropped) in [
        ("before_rotate:2", false),
        ("after_rotate:2", false),
        ("before_drop_partitions:1", true),
        ("after_drop_partitions:1", true),
    ] {
        tidewire.kill().await;
        if is_dropped {
            client.sql(&format!("select event.ack('{}', '{last}')", ledger.session)).await;
            client.sql("truncate ledger").await;
        }
        let before: u32 = client.text(partitions).await.parse().unwrap();
        let mut doomed = Tidewire::doomed(&database.url(), point);
        let insert = async |id: &mut i32| {
            *id += 1;
            client.sql(&format!("insert into ledger values ({id}, 0, '{point}')")).await;
        };
        if !is_dropped {
            // its first batch looks for the partition, and the next one that needs another makes it
            insert(&mut id).await;
            client.sql("select event.sync()").await;
            fill_a_partition(&client).await;
        }
        insert(&mut id).await;
        assert_eq!(doomed.wait().await.signal(), Some(SIGKILL), "{point}");
        tidewire = database.up().await;
        last = ledger.assert_told_exactly_once().await.pop().unwrap().id().to_owned();
        let after = || async { client.text(partitions).await.parse::<u32>().unwrap() };
        if is_dropped {
            // who reads one just then keeps it, and it is looked again ten seconds later if the log moves on
            until_within("those that nobody needs are gone", PATIENCE * 2, || async {
                client.sql("select pg_logical_emit_message(false, 'noise', 'x')").await;
                after().await == 1
            })
            .await;
        } else {
            assert!(after().await > before, "{point}: there is another");
        }
    }
}

#[tokio::test]
async fn a_lost_slot_is_one_gap_wherever_it_dies_while_it_is_made_anew() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    // the first start has no slot either; whatever is left of it the next one goes on from
    for point in &ANEW_POINTS[2..] {
        let mut tidewire = Tidewire::doomed(&database.url(), &format!("{point}:1"));
        assert_eq!(tidewire.wait().await.signal(), Some(SIGKILL), "{point}");
    }
    let mut tidewire = database.up().await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let mut id = 0;
    let insert = async |id: &mut u32| {
        *id += 1;
        client.sql(&format!("insert into t values ({id})")).await;
    };
    for point in ANEW_POINTS {
        insert(&mut id).await;
        client.sql("select event.sync()").await;
        let told = client.text("select max(id) from event.inbox").await;
        let reached = client.text("select event._reached()").await;
        assert!(tidewire.stop().await.success());
        until("nobody holds the slot", || async {
            client.try_sql("select pg_drop_replication_slot(slot) from event.installation").await.is_ok()
        })
        .await;
        insert(&mut id).await;
        // again and again at the same place: each attempt finds what the one before it left
        for _ in 0..2 {
            let mut tidewire = Tidewire::doomed(&database.url(), &format!("{point}:1"));
            assert_eq!(tidewire.wait().await.signal(), Some(SIGKILL), "{point}");
            if point.ends_with("begin_anew") {
                // there is a slot now, and nothing to be done again
                break;
            }
            if point.ends_with("create_slot") {
                until("nobody holds the slot", || async {
                    client.try_sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots").await.is_ok()
                })
                .await;
            }
        }
        tidewire = database.up().await;
        insert(&mut id).await;
        client.sql("select event.sync()").await;
        let inbox: Vec<_> = subscriber.inbox().await.into_iter().filter(|event| event.id() > told.as_str()).collect();
        let shown: Vec<String> = inbox.iter().map(ToString::to_string).collect();
        let expected = ["gap slot_lost".to_owned(), format!(r#"insert table t {id} {{"id":{id}}}"#)];
        assert_eq!(shown, expected, "{point}");
        assert_eq!(inbox[0].json["from"], *reached, "{point}: from where it was");
    }
    assert!(tidewire.stop().await.success());
}
