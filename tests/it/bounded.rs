//! Memory does not grow with a transaction, with sessions that nobody looks at, or with a client that does not read.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::support::fault::{until, until_within};
use crate::support::{Client, Database, Subscriber};

/// How many rows one transaction writes.
fn rows() -> usize {
    std::env::var("TIDEWIRE_ROWS").map_or(300_000, |rows| rows.parse().expect("TIDEWIRE_ROWS is a number"))
}

/// What a busy machine writes of them in a second, at least.
const ROWS_A_SECOND: usize = 3000;

/// A batch that is written, one that grows, and the messages that were read ahead. All events at once are some 250 MB.
const PEAK: usize = 80;

#[tokio::test]
async fn a_large_transaction_takes_no_more_memory_than_a_small_one_and_a_kill_within_it_goes_on_within_it() {
    let rows = rows();
    // a few gigabytes are not for the memory
    let database = if rows > 1_000_000 { Database::start_in(None, &[]).await } else { Database::start().await };
    let patience = Duration::from_secs((rows / ROWS_A_SECOND) as u64);
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table large (id int primary key, v text); create table small (id int primary key)").await;
    let large = Subscriber::open(&database).await;
    large.table("large").await;
    large.sql("select session_detach()").await;
    let mut small = Subscriber::open(&database).await;
    small.table("small").await;

    client.sql("insert into small values (1)").await;
    client.sql(&format!("insert into large select g, repeat('x', 20) || g from generate_series(1, {rows}) g")).await;
    client.sql("insert into small values (2)").await;
    let progress = async || {
        let row = client.rows("select number, messages from event._progress()").await.remove(0);
        let [number, messages] = [&row[0], &row[1]].map(|value| value.as_deref().unwrap().parse::<usize>().unwrap());
        // zero messages: at the end of a transaction
        if messages == 0 { 0 } else { number }
    };
    until_within("a good part is written", patience, || async { progress().await > rows / 5 }).await;
    let first = tidewire.megabytes("VmHWM");
    tidewire.kill().await;
    let done = progress().await;
    assert!((rows / 5..rows).contains(&done), "killed in the middle, after {done}");
    // the rows of the journal carry the transactions that wrote them
    let written = format!(
        "select max(xmin::text::bigint) from event.journal where relation_name = 'large' and right(id, 8) <= upper(lpad(to_hex({done}), 8, '0'))"
    );
    let before = client.text(&written).await;

    let tidewire = database.up().await;
    let lowest = Cell::new(rows);
    until_within("the rest is written", patience, || async {
        let now = progress().await;
        if now > 0 {
            lowest.set(lowest.get().min(now));
        }
        client.text(&format!("select count(*) from event.inbox where session_id = '{}'", small.session)).await == "2"
    })
    .await;
    let lowest = lowest.get();
    assert!(lowest >= done, "it began anew: {lowest} after {done}");
    assert_eq!(client.text(&written).await, before, "what was written is as it was");
    assert_eq!(small.told().await, [r#"insert table small 1 {"id":1}"#, r#"insert table small 2 {"id":2}"#]);

    let large = format!("from event.inbox where session_id = '{}'", large.session);
    let all = client.text(&format!("select concat_ws(' ', count(*), count(distinct left(id, 16)), count(*) filter (where last), min(right(id, 8)), max(right(id, 8))) {large}")).await;
    assert_eq!(all, format!("{rows} 1 1 00000001 {rows:08X}"));
    let places = client.text(&format!("select concat_ws(' ', min(id), max(id)) {large}")).await;
    let small = small.inbox().await;
    assert!(small[0].id() < &places[..25] && &places[26..] < small[1].id(), "in their places");
    let differing = "select count(*) from large t full join (
                         select (key_values)[1]::int as id, value::jsonb from event.journal where relation_name = 'large') e
                         using (id) where to_jsonb(t) is distinct from e.value";
    assert_eq!(client.text(differing).await, "0");
    let second = tidewire.megabytes("VmHWM");
    println!("peak memory {first} MB, {second} MB");
    assert!(first < PEAK && second < PEAK, "peak memory {first} MB, {second} MB");
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn ten_thousand_idle_sessions_cost_little() {
    const SESSIONS: usize = 10_000;
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int)").await;
    client.sql(&format!("insert into t select g, 0 from generate_series(0, {SESSIONS}) g")).await;
    let first = Subscriber::open(&database).await;
    first.row("t", "0").await;
    first.sql("select session_detach()").await;
    client.sql("select event.sync()").await;
    let before = tidewire.megabytes("VmRSS");
    // as the functions make them, which would take a while
    client
        .sql(&format!(
            "begin;
             insert into event.session (name, owner, durable, pinned)
             select g, s.owner, true, false from event.session s, generate_series(1, {SESSIONS}) g;
             insert into event.subscription (session_id, kind, relation, key_attnums, key, durable)
             select s.id, b.kind, b.relation, b.key_attnums, array[s.name], true
             from event.subscription b join event.session s on s.name is not null;
             commit"
        ))
        .await;
    client.sql("select event.sync()").await;
    assert_eq!(client.text("select count(*) from event.route").await, (SESSIONS + 1).to_string());
    let learnt = tidewire.megabytes("VmRSS");
    let begun = Instant::now();
    client.sql("update t set v = 1 where id = 77").await;
    client.sql("select event.sync()").await;
    let one = begun.elapsed();
    assert!(tidewire.stop().await.success());

    let begun = Instant::now();
    let tidewire = database.up().await;
    let ready = begun.elapsed();
    client.sql("update t set v = 2 where id = 78").await;
    client.sql("select event.sync()").await;
    let whose =
        "select string_agg(s.name, ' ' order by i.id) from event.inbox i join event.session s on s.id = i.session_id";
    assert_eq!(client.text(whose).await, "77 78");
    let begun = Instant::now();
    client.sql("truncate t").await;
    client.sql("select event.sync()").await;
    let all = begun.elapsed();
    assert_eq!(client.text("select count(*) from event.inbox").await, (SESSIONS + 3).to_string());
    let peak = tidewire.megabytes("VmHWM");
    println!(
        "{SESSIONS} sessions: {before} MB before, {learnt} MB with them, ready after {ready:?}; an event for one of them {one:?}, \
         for all of them {all:?}; peak {peak} MB"
    );
    assert!(peak < 60 && learnt < 60, "{before} MB before, {learnt} MB with them, peak {peak} MB");
    assert!(tidewire.stop().await.success());
}

/// A client that connects, asks, and never reads an answer.
async fn never_reads(database: &Database, query: &str) -> UnixStream {
    let socket = database.cluster.socket_dir().join(format!(".s.PGSQL.{}", database.cluster.port()));
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let startup = b"\0\x03\0\0user\0postgres\0database\0postgres\0application_name\0never reads\0\0";
    let query = [query.as_bytes(), b"\0"].concat();
    for (kind, body) in [(&b""[..], &startup[..]), (b"Q", &query)] {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        stream.write_all(&[kind, &length, body].concat()).await.unwrap();
    }
    stream
}

#[tokio::test]
async fn a_client_that_never_reads_and_one_that_stays_in_a_transaction_hold_up_nobody() {
    const ROWS: usize = 2000;
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let deaf = never_reads(&database, &format!("select event.session_attach('{}')", subscriber.session)).await;
    let busy = Subscriber::attach(database.connect().await, &subscriber.session).await;
    busy.sql("begin; select 1").await;
    let state = async |client: &Client, of: &str| {
        let query = "select coalesce(min(wait_event), '') from pg_stat_activity where application_name = 'never reads'";
        client.text(query).await == of
    };
    until("it listens", || state(&client, "ClientRead")).await;
    client.sql("insert into t values (0)").await;
    client.sql("select event.sync()").await;
    assert_eq!(subscriber.told().await.len(), 1);
    // each in a transaction of its own: that many are notified of, one after the other
    let write = async |from: usize, to: usize| {
        let insert = "insert into t values (n, repeat('x', 7000)); commit";
        client.sql(&format!("do $$ begin for n in {from}..{to} loop {insert}; end loop; end $$")).await;
    };
    write(1, ROWS / 2).await;
    assert_eq!(subscriber.told().await.len(), ROWS / 2);
    until("its connection is full", || state(&client, "ClientWrite")).await;
    // with the batches and the messages read ahead that there are in any case
    let before = tidewire.megabytes("VmHWM");
    write(ROWS / 2 + 1, ROWS * 4).await;
    assert_eq!(subscriber.told().await.len(), ROWS * 3 + ROWS / 2, "the other is told of all");
    assert_ne!(client.text("select pg_notification_queue_usage()").await, "0", "it is waited for");
    let after = tidewire.megabytes("VmHWM");
    println!("peak memory {before} MB before, {after} MB after");
    // what is told meanwhile is 50 MB, and twice that with the journal's entries; full batches, which it may not have had before, take some 30
    assert!(after < before + 45, "{before} MB before, {after} MB after");

    drop(deaf);
    busy.sql("commit").await;
    until("the queue is empty", || async { client.text("select pg_notification_queue_usage()").await == "0" }).await;
    assert!(tidewire.stop().await.success());
}
