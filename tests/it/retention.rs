//! What Tidewire keeps does not grow with time, only with what somebody has yet to read.

use crate::support::fault::{until, until_within};
use crate::support::{Client, Database, PATIENCE, Subscriber};

/// Bytes of all that Tidewire keeps: tables, their indexes and long values.
const SIZE: &str = "select sum(pg_total_relation_size(oid)) from pg_class
                    where relnamespace = 'event'::regnamespace and relkind = 'r'";

/// Partitions, by what they are of.
const PARTITIONS: &str = "select string_agg(kind || ' ' || count, ', ' order by kind) from (
    select split_part(c.relname, '_', 1) as kind, count(*) from pg_inherits h join pg_class c on c.oid = h.inhrelid
    where h.inhparent in ('event.journal'::regclass, 'event.inbox'::regclass, 'event.progress'::regclass) group by 1) k";

/// Goes on to the next 256 MB of WAL without writing them.
async fn next_segment(client: &Client) {
    let segment = "select (pg_current_wal_insert_lsn() - '0/0')::bigint >> 28";
    let before = client.text(segment).await;
    until("the next segment", || async {
        client.sql("select pg_switch_wal(); insert into other values (1)").await;
        client.text(segment).await != before
    })
    .await;
}

/// Waits for upkeep, which looks each ten seconds while the database moves on.
async fn until_partitions(client: &Client, expected: &str) {
    until_within(expected, PATIENCE * 2, || async {
        client.sql("insert into other values (1)").await;
        client.text(PARTITIONS).await == expected
    })
    .await;
}

/// Writes and acknowledges, as an hour does, in a stretch of WAL.
async fn traffic(client: &Client, reader: &Subscriber) {
    for _ in 0..10 {
        client.sql("insert into t (v) select 0 from generate_series(1, 100)").await;
        client.sql("update t set v = v + 1 where id % 2 = 0; delete from t").await;
        client.sql("select event.sync()").await;
        let last = reader.text("select coalesce(max(id), '') from event.event").await;
        reader.sql(&format!("select ack('{}', '{last}')", reader.session)).await;
    }
}

/// How many times as much traffic there is.
fn rounds() -> u32 {
    std::env::var("TIDEWIRE_ROUNDS").map_or(3, |rounds| rounds.parse().expect("TIDEWIRE_ROUNDS is a number"))
}

#[tokio::test]
async fn the_inbox_stays_small_though_a_transaction_is_open_for_long() {
    let database = Database::start_with(&[("autovacuum_naptime", "1s")]).await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int generated always as identity primary key, v int)").await;
    client.sql("create table other (id int)").await;
    let reader = Subscriber::open(&database).await;
    reader.table("t").await;
    traffic(&client, &reader).await;

    let holder = database.connect().await;
    holder.sql("begin isolation level repeatable read; select count(*) from t").await;
    let size = async || client.text(SIZE).await.parse::<u64>().unwrap();
    let before = size().await;
    for _ in 0..rounds() {
        next_segment(&client).await;
        traffic(&client, &reader).await;
    }
    // though nothing of it can be vacuumed
    until_partitions(&client, "inbox 1, journal 1, progress 1").await;
    let after = size().await;
    println!("{before} bytes before, {after} bytes after {} times as much", rounds());
    assert!(after < before + before / 2, "{before} bytes before, {after} bytes after {} times as much", rounds());
    assert_eq!(client.text("select count(*) from event.inbox").await, "0");
    holder.sql("commit").await;
}

/// Bytes of the tables that are not partitioned, by name.
const OTHERS: &str = "select c.relname, pg_total_relation_size(c.oid)::text from pg_class c
                      where c.relnamespace = 'event'::regnamespace and c.relkind = 'r' and not c.relispartition order by 1";

#[tokio::test]
async fn who_comes_and_goes_leaves_little_behind_though_a_transaction_is_open_for_long() {
    let times = rounds() * 100;
    let database = Database::start_with(&[("autovacuum_naptime", "1s")]).await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int default 0); create table other (id int)").await;
    let reader = Subscriber::open(&database).await;
    reader.row("t", "0").await;
    let holder = database.connect().await;
    holder.sql("begin isolation level repeatable read; select count(*) from t").await;
    let sizes = async || {
        let rows = client.rows(OTHERS).await.into_iter();
        rows.map(|row| (row[0].clone().unwrap(), row[1].as_deref().unwrap().parse::<u64>().unwrap()))
            .collect::<Vec<_>>()
    };
    let before = sizes().await;
    for id in 1..=times {
        // a client that comes back, asks for one row more, is told of it, acknowledges and asks no more
        reader.sql(&format!("select session_attach('{}')", reader.session)).await;
        let subscription = reader.row("t", &id.to_string()).await;
        client.sql(&format!("insert into t (id) values ({id})")).await;
        client.sql(&format!("update t set v = 1 where id = {id}")).await;
        client.sql("select event.sync()").await;
        let last = reader.text("select max(id) from event.event").await;
        reader.sql(&format!("select ack('{}', '{last}'); select unsubscribe('{subscription}')", reader.session)).await;
    }
    client.sql("select event.sync()").await;
    let after = sizes().await;
    let mut grown = 0;
    for ((name, before), (_, after)) in before.iter().zip(&after).filter(|(before, after)| before != after) {
        println!("{name:<16} {before:>8} {after:>8}");
        grown += after.saturating_sub(*before);
    }
    // versions of rows that nobody can see any more, which vacuum may not take away yet
    assert!(grown < u64::from(times) * 2000, "{grown} bytes for {times} times: {after:?}");
    let full = sizes().await.iter().map(|(_, size)| size).sum::<u64>();
    holder.sql("commit").await;
    for table in ["session", "subscription", "route", "watched"] {
        client.sql(&format!("vacuum event.{table}")).await;
    }
    for id in times + 1..=times * 2 {
        reader.sql(&format!("select session_attach('{}')", reader.session)).await;
        let subscription = reader.row("t", &id.to_string()).await;
        reader.sql(&format!("select unsubscribe('{subscription}')")).await;
    }
    let again = sizes().await.iter().map(|(_, size)| size).sum::<u64>();
    println!("{full} bytes, then {again}");
    assert!(again < full + full / 4, "the room is used again: {full} bytes, then {again}");
}

#[tokio::test]
async fn partitions_are_dropped_however_many_there_are() {
    let database = Database::installed().await;
    database.up().await.stop().await;
    let client = database.connect().await;
    client.sql("select event._ensure_partition(n) from generate_series(1, 150) n").await;
    client.sql("insert into event.progress (lsn, number) select ('0/0'::pg_lsn + (120::numeric * 268435456)), 0").await;
    // how PostgreSQL goes about it depends on what it knows of its catalog
    client.sql("vacuum analyze pg_class, pg_inherits").await;
    assert_eq!(client.text("select event._drop_partitions(1000)").await, "120");
}

#[tokio::test]
async fn what_a_session_has_yet_to_read_is_kept_and_nothing_else() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int generated always as identity primary key, v int)").await;
    client.sql("create table other (id int)").await;
    let reader = Subscriber::open(&database).await;
    reader.table("t").await;
    let slow = Subscriber::open(&database).await;
    slow.table("t").await;
    traffic(&client, &reader).await;
    let before = slow.inbox().await;
    assert_eq!(before.len(), 2500);
    slow.sql("select unsubscribe(id) from event.subscription where session_id = current_setting('event.current_session')::uuid")
        .await;
    for _ in 0..3 {
        next_segment(&client).await;
        traffic(&client, &reader).await;
    }
    // the first, which the slow one needs, and the last
    until_partitions(&client, "inbox 2, journal 2, progress 2").await;
    assert_eq!(slow.inbox().await, before);
    slow.sql("delete from event.event").await;
    until_partitions(&client, "inbox 1, journal 1, progress 1").await;
}

#[tokio::test]
async fn what_is_left_of_a_deleted_sessions_inbox_keeps_nothing() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    // somebody's rule for tables is not for ours, or delivery would stop
    client
        .sql(
            "create function no_tables() returns event_trigger language plpgsql as $$ begin
                 if pg_catalog.current_setting('application_name') = 'tidewire' then raise exception 'no tables today'; end if;
             end $$;
             create event trigger no_tables on ddl_command_start when tag in ('CREATE TABLE') execute function no_tables()",
        )
        .await;
    client.sql("create table t (id int generated always as identity primary key, v int)").await;
    client.sql("create table other (id int)").await;
    let reader = Subscriber::open(&database).await;
    reader.table("t").await;
    let leaving = Subscriber::open(&database).await;
    leaving.table("t").await;
    client.sql("select event.sync()").await;
    let deleting = database.connect().await;
    deleting.sql(&format!("begin; select event.session_delete('{}')", leaving.session)).await;
    traffic(&client, &reader).await;
    // held while the engine removes what came since
    let holder = database.connect().await;
    holder.sql("begin; select from event.inbox for update").await;
    deleting.sql("commit").await;
    client.sql("select event.sync()").await;
    holder.sql("rollback").await;
    assert_ne!(client.text("select count(*) from event.inbox").await, "0");
    for _ in 0..2 {
        next_segment(&client).await;
        traffic(&client, &reader).await;
    }
    until_partitions(&client, "inbox 1, journal 1, progress 1").await;
}

#[tokio::test]
async fn the_progress_row_survives_a_quiet_time() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int generated always as identity primary key, v int)").await;
    client.sql("create table other (id int)").await;
    let reader = Subscriber::open(&database).await;
    reader.table("t").await;
    client.sql("insert into t (v) values (1)").await;
    client.sql("select event.sync()").await;
    let progress = client.text("select event._progress()::text").await;
    // many segments later, with nothing to tell, it starts again: as if nothing had been
    for _ in 0..3 {
        next_segment(&client).await;
    }
    client.sql("select event.sync()").await;
    assert_eq!(client.text("select event._drop_partitions(99999)").await, "0");
    assert!(tidewire.stop().await.success());
    let _tidewire = database.up().await;
    assert_eq!(client.text("select event._progress()::text").await, progress);
    client.sql("insert into t (v) values (2)").await;
    client.sql("select event.sync()").await;
    let told: Vec<_> = reader.inbox().await.iter().map(ToString::to_string).collect();
    assert_eq!(told, [r#"insert table t 1 {"id":1,"v":1}"#, r#"insert table t 2 {"id":2,"v":2}"#]);
}

/// How many events every inbox holds.
const HELD: &str = "select string_agg(distinct count::text, ' ') from (
    select count(*) from event.inbox group by session_id) c";

#[tokio::test]
async fn a_listener_that_does_not_read_costs_it_and_others_notifications_and_no_event() {
    let settings = [("max_notify_queue_pages", "64")];
    let database = Database::start().await;
    if database.connect().await.text("show server_version_num").await.parse::<u32>().unwrap() < 170_000 {
        eprintln!("not tried: before 17 the notification queue has 8 GB, always");
        return;
    }
    drop(database);
    let database = Database::start_with(&settings).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, note text)").await;
    let mut reader = Subscriber::open(&database).await;
    reader.table("t").await;
    let mut stuck = Subscriber::open(&database).await;
    stuck.table("t").await;
    // in an open transaction a connection is not given its notifications
    stuck.sql("begin").await;
    for batch in 0..20 {
        let rows = format!("generate_series({batch}00, {batch}99)");
        client.sql(&format!("insert into t select n, repeat('x', 500) from {rows} n")).await;
        client.sql("select event.sync()").await;
    }
    tidewire.wait_for_log("the notification queue is filling up").await;
    assert_eq!(client.text(HELD).await, "2000", "the inboxes are complete");
    stuck.sql("rollback").await;
    // it is told as soon as there is room
    for session in [&mut stuck, &mut reader] {
        let gap = loop {
            let told = session.next_notification().await;
            if told.payload().contains("\"gap\"") {
                break crate::support::Event::from(told.payload());
            }
        };
        assert_eq!(gap.json["reason"], "notifications_skipped");
        let [from, to] = ["from", "to"].map(|key| gap.json[key].as_str().unwrap());
        assert!(from <= to);
    }
    client.sql("insert into t values (-1)").await;
    for session in [&mut stuck, &mut reader] {
        assert_eq!(session.told().await, [r#"insert table t -1 {"id":-1,"note":null}"#]);
    }
    assert_eq!(client.text("select count(*) from event.unnotified").await, "0");
}
