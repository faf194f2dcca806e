//! No event before its change can be read: not by NOTIFY, not in the inbox, not by `event.read`. The WAL is streamed before
//! a commit can be seen, and with synchronous replication long before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::fault::until;
use crate::support::{Client, Database, Event, Subscriber, fault_pgbench};

/// Commits that wait for a standby that does not exist.
const WAITING: &str = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";

/// Commits of those who ask for it (`synchronous_commit = on`) wait for a standby that does not exist.
async fn hold_commits(client: &Client) {
    client.sql("alter system set synchronous_standby_names = 'nobody'").await;
    client.sql("select pg_reload_conf()").await;
}

async fn release_commits(client: &Client) {
    client.sql("alter system reset synchronous_standby_names").await;
    client.sql("select pg_reload_conf()").await;
}

#[tokio::test]
async fn no_event_is_out_before_its_row_can_be_selected() {
    let database = Database::start_with(&[("synchronous_commit", "local")]).await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int)").await;
    let mut durable = Subscriber::open(&database).await;
    durable.table("t").await;
    let mut live = Subscriber::create(database.connect().await, "session_create(null, false)").await;
    live.table("t").await;
    client.sql("select event.sync()").await;

    hold_commits(&client).await;
    let writer = database.connect().await;
    writer.sql("set search_path = public, event; select session_create('w')").await;
    writer.sql("set synchronous_commit = on").await;
    let waiting = tokio::spawn(async move {
        let statements = "begin; insert into t values (1, 1);
            create table later (id int primary key, v int);
            create table leaf (v int, id int not null);
            create table root (id int primary key, v int) partition by range (id);
            select watch('root'); select subscribe_table(meta.relation_id('public', 'root'));
            alter table root attach partition leaf for values from (0) to (10);
            select watch('later'); select subscribe_table(meta.relation_id('public', 'later'));
            insert into later values (2, 2); update later set v = 3;
            insert into root values (4, 4); update root set v = 5;
            alter table root rename to trunk; update trunk set v = 6; commit";
        writer.sql(statements).await;
        writer
    });
    until("the commit waits", || async { client.text(WAITING).await == "1" }).await;
    // tidewire has read it once it asks whether it can be read
    let asked = "select count(*) from pg_stat_activity where application_name = 'tidewire'
                 and query like '%pg_current_snapshot%' and query_start > clock_timestamp() - interval '1 second'
                 and query_start > (select state_change from pg_stat_activity where wait_event = 'SyncRep')";
    let journal = "select count(*) from event.journal";
    until("tidewire has read it", || async {
        assert_eq!(client.text(journal).await, "0", "written before it can be read");
        client.text(asked).await != "0"
    })
    .await;
    assert_eq!(client.text("select count(*) from t").await, "0");
    assert_eq!(client.text(journal).await, "0", "written before it can be read");
    let read = format!("select count(*) from event.read('{}')", durable.session);
    assert_eq!(durable.text(&read).await, "0", "read before it can be read");
    assert!(durable.inbox().await.is_empty());
    live.sql("select 1").await;
    assert!(durable.drain().is_empty() && live.drain().is_empty(), "told before it can be read");

    release_commits(&client).await;
    let writer = waiting.await.unwrap();
    let told = [r#"insert table t 1 {"id":1,"v":1}"#];
    assert_eq!(durable.told().await, told);
    assert_eq!(live.told().await, told);
    assert_eq!(durable.text(&read).await, "1");
    let session = writer.text("select id from event.session where name = 'w'").await;
    let mut writers = Subscriber::attach(writer, &session).await;
    writers.events().await;
    let held: Vec<String> = writers.inbox().await.iter().map(ToString::to_string).collect();
    assert_eq!(
        held,
        [
            r#"insert table later 2 {"id":2,"v":2}"#,
            r#"update table later 2 {"v":3}"#,
            r#"insert table root 4 {"id":4,"v":4}"#,
            r#"update table root 4 {"v":5}"#,
            r#"update table trunk 4 {"v":6}"#,
        ],
        "tables that could not be read yet are described as they became"
    );
}

const CLIENTS: usize = 16;
const TRANSACTIONS: usize = 250;

/// What each of pgbench's clients does, one at random: rows of sub-transactions, of prepared transactions, of neither.
const LOADS: [&str; 4] = [
    "insert into t (client) values (:client_id);",
    "begin;
     savepoint a; insert into t (client) values (:client_id); release a;
     savepoint b; insert into t (client) values (:client_id); rollback to b;
     savepoint c; insert into t (client) values (:client_id); savepoint d; insert into t (client) values (:client_id);
     commit;",
    "begin;
     insert into t (client) values (:client_id); savepoint e; insert into t (client) values (:client_id);
     prepare transaction 'of :client_id';
     commit prepared 'of :client_id';",
    "update counter set v = v + 1 where id = :client_id;",
];

#[tokio::test]
async fn what_sixteen_writers_are_told_of_can_be_selected_at_once() {
    let settings = [("synchronous_commit", "local"), ("max_prepared_transactions", "16"), ("max_connections", "40")];
    let database = Database::start_with(&settings).await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table t (id bigint generated always as identity primary key, client int);
             create table counter (id int primary key, v bigint);
             insert into counter select g, 0 from generate_series(0, 15) g",
        )
        .await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    subscriber.table("counter").await;
    let session = subscriber.session.clone();

    let mut writers = load(&database).await;
    let holds = Arc::new(AtomicUsize::new(0));
    let holding = tokio::spawn(hold_now_and_then(database.connect().await, Arc::clone(&holds)));
    let written = CancellationToken::new();
    let inbox = tokio::spawn(read_the_inbox(database.connect().await, session, written.clone()));
    let mut seen = Seen { reader: database.connect().await, rows: 0, updates: 0, turn: 0 };
    loop {
        tokio::select! {
            told = subscriber.next_notification() => {
                let mut events = vec![Event::from(told.payload())];
                events.extend(subscriber.drain().iter().map(|told| Event::from(told.payload())));
                seen.select(&events).await;
            }
            ended = writers.join_next() => match ended {
                Some(ended) => ended.unwrap(),
                None => break,
            },
        }
    }
    holding.abort();
    release_commits(&client).await;
    let rest = subscriber.events().await;
    seen.select(&rest).await;
    written.cancel();
    assert_eq!(inbox.await.unwrap(), seen.rows + seen.updates);
    assert_eq!(seen.rows.to_string(), client.text("select count(*) from t").await, "each row's event was looked at");
    assert_eq!(seen.updates.to_string(), client.text("select sum(v) from counter").await);
    let holds = holds.load(Ordering::Relaxed);
    eprintln!("{} rows, {} updates in {} snapshots; {holds} times held", seen.rows, seen.updates, seen.turn);
    assert!(seen.rows + seen.updates > 4000 && holds > 2);
}

/// Reads, from a connection of its own, what events tell.
struct Seen {
    reader: Client,
    rows: usize,
    updates: usize,
    turn: usize,
}

impl Seen {
    async fn select(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let mut rows: Vec<String> = Vec::new();
        let mut counters: BTreeMap<String, i64> = BTreeMap::new();
        for event in events {
            let key = event.key().remove(0);
            match (event.operation(), event.relation().as_str()) {
                ("insert", "public.t") => rows.push(key),
                ("update", "public.counter") => {
                    self.updates += 1;
                    counters.insert(key, event.payload().unwrap()["v"].as_i64().unwrap());
                }
                _ => panic!("what is {event}?"),
            }
        }
        self.rows += rows.len();
        self.turn += 1;
        let level = ["read committed", "repeatable read", "serializable"][self.turn % 3];
        let mut sql = format!("begin isolation level {level};");
        let _ = write!(sql, "select count(*) from t where id = any ('{{{}}}');", rows.join(","));
        let (ids, values): (Vec<_>, Vec<_>) = counters.iter().map(|(id, v)| (id.clone(), v.to_string())).unzip();
        let _ = write!(
            sql,
            "select count(*) from counter c join unnest('{{{}}}'::int[], '{{{}}}'::bigint[]) as told(id, v)
                 on c.id = told.id and c.v >= told.v; commit",
            ids.join(","),
            values.join(",")
        );
        let found = self.reader.rows(&sql).await;
        let count = |at: usize| found[at][0].clone().unwrap();
        assert_eq!(
            (count(0), count(1)),
            (rows.len().to_string(), ids.len().to_string()),
            "stale at {level}: {events:?}"
        );
    }
}

/// Starts [`LOADS`] on [`CLIENTS`] connections: with pgbench, or by hand where there is none.
async fn load(database: &Database) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    let Some(pgbench) = fault_pgbench::program().await else {
        for number in 0..CLIENTS {
            let client = database.connect().await;
            writers.spawn(async move {
                client.sql("set synchronous_commit = on").await;
                for turn in 0..TRANSACTIONS {
                    let load = LOADS[(turn + number) % LOADS.len()].replace(":client_id", &number.to_string());
                    // a prepared transaction's statements may not be one
                    for statement in load.split_inclusive(';') {
                        client.sql(statement).await;
                    }
                }
            });
        }
        return writers;
    };
    let scripts = TempDir::new().unwrap();
    let mut command = Command::new(pgbench);
    command.args(["-n", "-U", "postgres", "-p", &database.cluster.port().to_string(), "-h"]);
    command.arg(database.cluster.socket_dir());
    command.args(["-c", &CLIENTS.to_string(), "-t", &TRANSACTIONS.to_string()]);
    command.env("PGOPTIONS", "-c synchronous_commit=on");
    for (number, load) in LOADS.iter().enumerate() {
        let path = scripts.path().join(number.to_string());
        // pgbench takes each line, or what ends with a semicolon, for a statement
        std::fs::write(&path, load.replace("; ", ";\n")).unwrap();
        command.arg("-f").arg(path);
    }
    let running = command.arg("postgres").kill_on_drop(true);
    let output = running.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    writers.spawn(async move {
        let output = output.wait_with_output().await.unwrap();
        drop(scripts);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    writers
}

/// Makes commits wait, until all that they wrote has been streamed, over and over; who is told of the commits ends it, also when
/// that does not come about.
async fn hold_now_and_then(client: Client, holds: Arc<AtomicUsize>) {
    let sent = "select bool_and(sent_lsn >= pg_current_wal_flush_lsn()) from pg_stat_replication";
    loop {
        hold_commits(&client).await;
        while client.text(WAITING).await == "0" || client.text(sent).await != "t" {
            tokio::task::yield_now().await;
        }
        release_commits(&client).await;
        holds.fetch_add(1, Ordering::Relaxed);
        until("commits go on", || async { client.text(WAITING).await == "0" }).await;
        // as much again without waiting
        let further = client.text("select pg_current_wal_insert_lsn() + 50000").await;
        while client.text(&format!("select pg_current_wal_insert_lsn() > '{further}'")).await != "t" {
            tokio::task::yield_now().await;
        }
    }
}

/// Reads the inbox while it fills: what `event.read` gives in a snapshot can be selected in that snapshot. Ends with the
/// first page that is empty after `written`; returns how many events it read.
async fn read_the_inbox(client: Client, session: String, written: CancellationToken) -> usize {
    let mut after = String::new();
    let mut read = 0;
    loop {
        let is_last = written.is_cancelled();
        let page = client
            .rows(&format!(
                "with page as materialized (
                     select r.id, r.relation, (r.row ->> 'id')::bigint as key from event.read('{session}', '{after}') r)
                 select max(id), count(*), count(*) filter (where relation = 'public.t' and not exists (
                     select from public.t where t.id = page.key)) from page"
            ))
            .await;
        assert_eq!(page[0][2].as_deref(), Some("0"), "stale behind {after}");
        match &page[0][0] {
            Some(last) => after.clone_from(last),
            None if is_last => return read,
            None => {}
        }
        read += page[0][1].as_deref().unwrap().parse::<usize>().unwrap();
    }
}
