//! A restart loses nothing and repeats nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidewire::pgoutput::{Datum, Message, decode};

use crate::support::{Client, Database, Event, Subscriber, Table, assert_in_order};

/// Another slot on the same tables, which PostgreSQL keeps for us: what it holds is what was committed, in order.
struct Oracle(Client);

impl Oracle {
    async fn start(database: &Database, table: &str) -> Oracle {
        let client = database.connect().await;
        client.sql(&format!("create publication oracle for table {table}")).await;
        client.sql("select pg_create_logical_replication_slot('oracle', 'pgoutput')").await;
        Oracle(client)
    }

    /// The first column of every row that was inserted.
    async fn inserted(&self) -> Vec<String> {
        let rows = self
            .0
            .query(
                "select data from pg_logical_slot_get_binary_changes('oracle', null, null,
                     'proto_version', '1', 'publication_names', 'oracle')",
                &[],
            )
            .await
            .unwrap();
        let mut inserted = Vec::new();
        for row in &rows {
            if let Message::Insert { new, .. } = decode(row.get(0)).unwrap() {
                let Datum::Text(text) = new[0] else { panic!("no key") };
                inserted.push(String::from_utf8(text.to_vec()).unwrap());
            }
        }
        inserted
    }
}

fn keys(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.key().concat()).collect()
}

#[tokio::test]
async fn restarts_among_writers_leave_each_change_once_in_order() {
    let database = Database::installed().await;
    let mut tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id bigserial primary key, writer int, v text)").await;
    client.sql("select event.watch('t')").await;
    let oracle = Oracle::start(&database, "t").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;

    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (url, stop) = (database.url(), Arc::clone(&stop));
            tokio::spawn(async move {
                let client = Client::connect(&url).await;
                let mut at = 0;
                while !stop.load(Ordering::Relaxed) {
                    at += 1;
                    let rows = if at % 50 == 0 { 400 } else { at % 4 + 1 };
                    // a thousand transactions a second are enough
                    client.sql("begin; select pg_sleep(0.003)").await;
                    let row = format!("{writer}, repeat('x', {at} % 97)");
                    client
                        .sql(&format!("insert into t (writer, v) select {row} from generate_series(1, {rows})"))
                        .await;
                    client.sql(if at % 9 == 4 { "rollback" } else { "commit" }).await;
                }
            })
        })
        .collect();

    for round in 0..5 {
        let count: i64 = client.text("select count(*) from event.inbox").await.parse().unwrap();
        if round % 3 != 2 {
            // well under way
            while client.text("select count(*) from event.inbox").await.parse::<i64>().unwrap() < count + 100 {
                tokio::task::yield_now().await;
            }
        }
        assert!(tidewire.stop().await.success());
        let max: i64 = client.text("select max(id) from t").await.parse().unwrap();
        while client.text("select max(id) from t").await.parse::<i64>().unwrap() < max + 50 {
            tokio::task::yield_now().await;
        }
        tidewire = database.up().await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }

    let told = subscriber.events().await;
    let held = subscriber.inbox().await;
    assert_eq!(keys(&held), oracle.inserted().await, "what was committed, in its order");
    assert_in_order(&held, &subscriber.last_ids().await);
    assert_eq!(told.len(), held.len(), "a clean restart repeats no notification");
    assert_eq!(told, held);
    let count = client.text("select count(*) from t").await;
    assert_eq!(held.len().to_string(), count);
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn what_was_subscribed_to_meanwhile_holds_from_its_place_on() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int)").await;
    let mut before = Subscriber::open(&database).await;
    let first = before.table("t").await;
    let leaving = Subscriber::open(&database).await;
    leaving.table("t").await;
    client.sql("insert into t values (0)").await;
    client.sql("select event.sync()").await;
    before.events().await;
    assert!(tidewire.stop().await.success());

    let insert = |id: u32| format!("insert into t values ({id})");
    client.sql(&insert(1)).await;
    let mut during = Subscriber::open(&database).await;
    let second = during.column("t", "v").await;
    client.sql(&insert(2)).await;
    before.sql(&format!("select unsubscribe('{first}')")).await;
    client.sql(&insert(3)).await;
    leaving.sql(&format!("select session_delete('{}')", leaving.session)).await;
    client.sql(&insert(4)).await;
    during.sql(&format!("select unsubscribe('{second}')")).await;
    // nobody is subscribed: what upkeep does then
    client.sql("select event._let_go('t'::regclass)").await;
    assert_eq!(client.text("select relreplident from pg_class where relname = 't'").await, "d");
    client.sql("select event.watch('t')").await;
    client.sql(&insert(5)).await;
    before.sql("begin").await;
    before.sql(&insert(6)).await;
    before.row("t", "6").await;
    before.sql("update t set v = 6 where id = 6; commit").await;
    client.sql(&insert(7)).await;
    during.table("t").await;
    client.sql(&insert(8)).await;
    let gone = Subscriber::open(&database).await;
    gone.table("t").await;
    client.sql(&insert(9)).await;
    gone.sql(&format!("select session_delete('{}')", gone.session)).await;
    let error = client.try_sql("select event.sync('100 ms')").await.unwrap_err();
    assert!(error.hint().unwrap_or_default().contains("tidewire up"), "{error:?}");

    let tidewire = database.up().await;
    client.sql(&insert(10)).await;
    let inserted = |kind: &str, ids: &[u32]| {
        ids.iter().map(|id| format!("insert {kind} t {id} {{\"id\":{id},\"v\":null}}")).collect::<Vec<_>>()
    };
    let mut expected = inserted("table", &[1, 2]);
    expected.push(r#"update row t 6 {"v":6}"#.to_owned());
    assert_eq!(before.told().await, expected);
    let expected = [inserted("column", &[2, 3, 4]), inserted("table", &[8, 9, 10])].concat();
    assert_eq!(during.told().await, expected);
    assert!(leaving.inbox().await.is_empty() && gone.inbox().await.is_empty());
    assert_eq!(client.text("select count(*) from event.route").await, "2");

    // a session that is not durable is told what its connection was there for
    let mut live = Subscriber::create(database.connect().await, "session_create(durable => false)").await;
    live.table("t").await;

    // and once more, with nothing to do in between
    assert!(tidewire.stop().await.success());
    let tidewire = database.up().await;
    assert!(before.told().await.is_empty());
    assert!(tidewire.stop().await.success());
    client.sql(&insert(11)).await;
    let _tidewire = database.up().await;
    client.sql(&insert(12)).await;
    assert_eq!(during.told().await, inserted("table", &[11, 12]));
    assert_eq!(live.told().await, inserted("table", &[11, 12]));
}

/// Rows of a transaction that is written in several pieces.
const LARGE: usize = 12_000;

/// The inbox holds the large transaction whole, and what came before and after it in their places.
async fn assert_whole(database: &Database, subscriber: &Subscriber) {
    let client = database.connect().await;
    client.sql("select event.sync('60 s')").await;
    let held = subscriber.inbox().await;
    assert_eq!(held.len(), LARGE + 3);
    assert_in_order(&held, &subscriber.last_ids().await);
    let large = &held[1..=LARGE];
    assert_ne!(held[0].transaction(), large[0].transaction());
    assert!(large.iter().all(|event| event.transaction() == large[0].transaction()));
    assert!(keys(large).into_iter().eq((1..=LARGE).map(|id| id.to_string())));
    assert_eq!(held[LARGE + 1].to_string(), r#"update table t 1 {"v":"y"}"#);
    let mut told = Table::default();
    held.iter().for_each(|event| told.apply(event));
    assert!(told == Table::read(&client, "t", "array[id]::text[]").await);
}

async fn write_large(client: &Client) {
    client.sql("insert into t values (0, 'first')").await;
    client.sql(&format!("insert into t select g, repeat('x', 800 + g % 50) from generate_series(1, {LARGE}) g")).await;
    client.sql("update t set v = 'y' where id = 1").await;
    client.sql("delete from t where id = 0").await;
}

#[tokio::test]
async fn a_transaction_larger_than_a_batch_arrives_whole() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    // told of its first row alone, in a piece that is long written when the transaction ends
    let mut early = Subscriber::open(&database).await;
    early.field("t", "1", "v").await;
    client.sql("insert into t values (1, 'z')").await;
    client.sql("begin; delete from t; insert into t select g, repeat('x', 800) from generate_series(100001, 105000) g; delete from t; commit").await;
    assert_eq!(early.told().await, ["delete field t 1"]);
    assert_eq!(early.last_ids().await.len(), 1);
    client.sql("delete from event.inbox").await;

    write_large(&client).await;
    assert_whole(&database, &subscriber).await;
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_large_transaction_goes_on_where_it_was() {
    let database = Database::installed().await;
    let mut tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    subscriber.sql("select session_detach()").await;
    write_large(&client).await;
    let mut before = 1;
    for _ in 0..2 {
        let held = || async { client.text("select count(*) from event.inbox").await.parse::<usize>().unwrap() };
        while held().await <= before {
            tokio::task::yield_now().await;
        }
        assert!(tidewire.stop().await.success());
        before = held().await;
        assert!(before < LARGE, "it was stopped in the middle");
        assert_eq!(client.text("select count(*) from event.inbox where last").await, "1", "the end is yet to come");
        tidewire = database.up().await;
    }
    assert_whole(&database, &subscriber).await;
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_lost_slot_is_told_as_a_gap() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1}"#]);
    assert!(tidewire.stop().await.success());
    client.sql("insert into t values (2)").await;
    // the server notices a moment later that nobody holds it any more
    while client.text("select count(*) from pg_replication_slots where active").await != "0" {
        tokio::task::yield_now().await;
    }
    client.sql("select pg_drop_replication_slot(slot) from event.installation").await;
    client.sql("insert into t values (3)").await;
    let during = Subscriber::open(&database).await;
    during.table("t").await;

    let _tidewire = database.up().await;
    client.sql("insert into t values (4)").await;
    let events = subscriber.events().await;
    let [gap, insert] = &events[..] else { panic!("{events:?}") };
    assert_eq!(insert.to_string(), r#"insert table t 4 {"id":4}"#);
    let [from, to] = ["from", "to"].map(|key| gap.json[key].as_str().unwrap());
    let id = gap.id();
    assert_eq!(
        gap.text,
        format!(
            "{{\"operation\" : \"gap\", \"reason\" : \"slot_lost\", \"from\" : \"{from}\", \"to\" : \"{to}\", \
             \"event_id\" : \"{id}\"}}"
        )
    );
    let held = subscriber.inbox().await;
    assert!(held[0].id() <= from && from < to && to < insert.id());
    assert_eq!(held[1..], events);
    assert_in_order(&held, &subscriber.last_ids().await);
    assert_eq!(during.inbox().await.last().unwrap().to_string(), r#"insert table t 4 {"id":4}"#);
}

#[tokio::test]
async fn a_restart_in_a_large_transaction_that_gives_its_table_a_key_loses_nothing() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int not null, v int, note text)").await;
    client.sql("insert into t select n, 0, repeat('x', 500) from generate_series(1, 6000) n").await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("select event.sync()").await;
    // without a key an update is two changes, with one it is one: what was done is not counted by what it is now made into
    client.sql("begin; update t set v = 1; alter table t add primary key (id); update t set v = 2; commit").await;
    let held = || async { client.text("select count(*) from event.inbox").await.parse::<usize>().unwrap() };
    while held().await <= 12_000 {
        tokio::task::yield_now().await;
    }
    tidewire.kill().await;
    let _tidewire = database.up().await;
    client.sql("select event.sync()").await;
    let counted = "select string_agg(change || ' ' || count, ', ' order by change)
                   from (select change, count(*) from event.journal group by change) c";
    assert_eq!(client.text(counted).await, "field_update 6000, row_delete 6000, row_insert 6000");
}

#[tokio::test]
async fn a_gap_is_told_though_the_slot_was_made_and_nothing_more() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("select event.sync()").await;
    assert!(tidewire.stop().await.success());
    while client.text("select count(*) from pg_replication_slots where active").await != "0" {
        tokio::task::yield_now().await;
    }
    client.sql("select pg_drop_replication_slot(slot) from event.installation").await;
    client.sql("insert into t values (1)").await;
    // as far as an attempt gets that is killed right after it made the slot
    client.sql("update event.installation set gap_from = '0000000000000001-00000001', gap_reason = 'slot_lost'").await;
    client.sql("select pg_create_logical_replication_slot(slot, 'pgoutput') from event.installation").await;
    client.sql("insert into t values (2)").await;

    let tidewire = database.up().await;
    client.sql("insert into t values (3)").await;
    let events = subscriber.events().await;
    let [gap, insert] = &events[..] else { panic!("{events:?}") };
    assert_eq!(gap.json["from"], "0000000000000001-00000001");
    assert_eq!(insert.to_string(), r#"insert table t 3 {"id":3}"#);
    assert!(tidewire.stop().await.success());
    let _tidewire = database.up().await;
    client.sql("insert into t values (4)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 4 {"id":4}"#], "it is told once");
}

#[tokio::test]
async fn what_was_told_survives_the_servers_death_whatever_commits_wait_for() {
    // an asynchronous commit is on disk up to three times this long later
    let mut database = Database::start_with(&[("wal_writer_delay", "10s")]).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key); alter database postgres set synchronous_commit = off").await;
    let tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql("set synchronous_commit = on").await;
    subscriber.table("t").await;
    subscriber.sql("insert into t values (1)").await;
    subscriber.next_notification().await;
    database.kill();
    tidewire.kill().await;
    database.revive().await;
    assert_eq!(database.connect().await.text("select count(*) from event.inbox").await, "1");
}

#[tokio::test]
async fn a_subscription_made_while_nothing_runs_takes_effect_at_the_start() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let late = subscriber.try_sql("select event.sync('100 ms')").await.unwrap_err();
    assert!(late.hint().unwrap_or_default().contains("tidewire up"), "{late:?}");
    client.sql("insert into t values (1)").await;
    for _ in 0..2 {
        let tidewire = database.up().await;
        subscriber.sql("select event.sync()").await;
        client.sql("insert into t select max(id) + 1 from t").await;
        subscriber.sql("select event.sync()").await;
        assert!(tidewire.stop().await.success());
    }
    let _tidewire = database.up().await;
    assert_eq!(subscriber.told().await, [r#"insert table t 2 {"id":2}"#, r#"insert table t 3 {"id":3}"#]);
}
