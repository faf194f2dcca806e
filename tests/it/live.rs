//! A live session that is attached in the process is told from memory, of the same as NOTIFY would tell, and of nothing before it can
//! be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidewire::app;
use tidewire::config::Limits;
use tidewire::db::Target;
use tidewire::delivery::hub::{Hub, Live, Told};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::fault::{Backend, until};
use crate::support::{Client, Database, Event, PATIENCE, Subscriber};

const LIVE: &str = "session_create(null, false)";

/// The engine in this process, as a program that embeds the library runs it.
struct Engine {
    hub: Hub,
    stop: CancellationToken,
    /// How often it was ready.
    ready: watch::Receiver<usize>,
    serving: JoinHandle<tidewire::error::Result<()>>,
}

impl Engine {
    async fn serve(database: &Database) -> Engine {
        Engine::serve_with(database, Hub::default()).await
    }

    async fn serve_with(database: &Database, hub: Hub) -> Engine {
        let stop = CancellationToken::new();
        let (sender, ready) = watch::channel(0);
        let target: Target = database.url().parse().unwrap();
        let (served, stopped) = (hub.clone(), stop.clone());
        let serving = tokio::spawn(async move {
            let ready = || sender.send_modify(|times| *times += 1);
            Box::pin(app::serve(&target, &Limits::default(), &served, stopped, ready)).await
        });
        let engine = Engine { hub, stop, ready, serving };
        engine.until_ready(1).await;
        engine
    }

    async fn until_ready(&self, times: usize) {
        let mut ready = self.ready.clone();
        timeout(PATIENCE, ready.wait_for(|had| *had >= times)).await.expect("the engine is ready").unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.serving).await.expect("it stops").unwrap().unwrap();
    }

    /// Takes the session over; the connection that made it has to stay.
    fn attach(&self, subscriber: &Subscriber, capacity: usize) -> Live {
        self.hub.attach(subscriber.session.parse().unwrap(), capacity)
    }
}

async fn next(live: &mut Live) -> Told {
    timeout(PATIENCE, live.next()).await.expect("nothing is told").expect("the session ended")
}

async fn next_event(live: &mut Live) -> Event {
    match next(live).await {
        Told::Event { id, payload } => {
            let event = Event::from(&*payload);
            assert_eq!(event.id(), id.to_string());
            event
        }
        gap @ Told::Gap { .. } => panic!("{gap:?}"),
    }
}

/// What it is told up to the event whose text contains `last`.
async fn told_up_to(live: &mut Live, last: &str) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        told.push(next_event(live).await.text);
        if told.last().unwrap().contains(last) {
            return told;
        }
    }
}

async fn live_on(database: &Database, table: &str) -> Subscriber {
    let subscriber = Subscriber::create(database.connect().await, LIVE).await;
    subscriber.table(table).await;
    subscriber
}

/// Rows of all that delivery writes to, and the progress.
async fn written(client: &Client) -> Vec<Vec<Option<String>>> {
    client
        .rows(
            "select (select count(*) from event.journal), (select count(*) from event.inbox),
                    (select count(*) from event.progress), (select max((lsn, number)::text) from event.progress)",
        )
        .await
}

#[tokio::test]
async fn who_is_attached_is_told_what_notify_would_have_carried_and_no_table_is_written() {
    let database = Database::start().await;
    let engine = Engine::serve(&database).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int, note text)").await;
    let mut attached = live_on(&database, "t").await;
    let mut listening = live_on(&database, "t").await;
    client.sql("select event.sync()").await;
    let mut live = engine.attach(&attached, 1000);

    let before = written(&client).await;
    for statements in [
        "insert into t select g, g, 'n' from generate_series(1, 100) g",
        "begin; update t set v = v + 1, note = 'm' where id <= 20; delete from t where id = 7; insert into t values (7); commit",
        "begin; insert into t values (200); rollback",
        "update t set note = repeat('long', 4000) where id = 3",
        "update t set id = 300 where id = 30; truncate t",
        "insert into t values (-1, 0, 'the last')",
    ] {
        client.sql(statements).await;
    }
    let expected: Vec<String> = listening.events().await.into_iter().map(|event| event.text).collect();
    assert_eq!(told_up_to(&mut live, "the last").await, expected);
    assert!(expected.len() > 140, "{}", expected.len());
    assert_eq!(written(&client).await, before);
    assert!(attached.events().await.is_empty(), "the hub took it over from NOTIFY");

    // who detaches gives it back
    drop(live);
    client.sql("insert into t values (-2, 0, 'behind the last')").await;
    let behind = listening.told().await;
    assert_eq!(attached.told().await, behind);
    assert_eq!(behind.len(), 1);

    // with the session it ends
    let mut live = engine.attach(&attached, 1000);
    attached.sql(&format!("select session_delete('{}')", attached.session)).await;
    assert_eq!(timeout(PATIENCE, live.next()).await.expect("the session's end is told"), None);
    engine.stop().await;
}

const WRITERS: usize = 8;
const TURNS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_live_session_is_told_can_be_selected_at_once() {
    let database = Database::start_with(&[("synchronous_commit", "local")]).await;
    let engine = Engine::serve(&database).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int)").await;
    let attached = live_on(&database, "t").await;
    client.sql("select event.sync()").await;
    let mut live = engine.attach(&attached, 10_000);
    let reader = database.connect().await;
    let exists = reader.prepare("select exists (select from t where id = $1)").await.unwrap();

    // a commit that waits for a standby which does not exist is in the log and cannot be seen
    client.sql("alter system set synchronous_standby_names = 'nobody'").await;
    client.sql("select pg_reload_conf()").await;
    let waiting = database.connect().await;
    let waiting = tokio::spawn(async move {
        waiting.sql("set synchronous_commit = on; insert into t values (-1, 0)").await;
    });
    let waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
    until("the commit waits", || async { client.text(waits).await == "1" }).await;
    let asked = "select count(*) from pg_stat_activity where application_name = 'tidewire'
                 and query like '%pg_current_snapshot%' and query_start > clock_timestamp() - interval '1 second'
                 and query_start > (select state_change from pg_stat_activity where wait_event = 'SyncRep')";
    until("it was read", || async { client.text(asked).await != "0" }).await;
    assert!(futures_util::FutureExt::now_or_never(live.next()).is_none(), "told before it can be read");
    client.sql("alter system reset synchronous_standby_names").await;
    client.sql("select pg_reload_conf()").await;
    assert_eq!(next_event(&mut live).await.key(), ["-1"]);
    waiting.await.unwrap();

    let written = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let client = database.connect().await;
        let written = Arc::clone(&written);
        writers.spawn(async move {
            for turn in 0..TURNS {
                client.sql(&format!("insert into t values ({}, {turn})", number * TURNS + turn)).await;
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut last = String::new();
    for _ in 0..WRITERS * TURNS {
        let event = next_event(&mut live).await;
        let id: i32 = event.key()[0].parse().unwrap();
        assert!(
            reader.query_one(&exists, &[&id]).await.unwrap().get::<_, bool>(0),
            "told before it can be read: {event}"
        );
        assert!(*event.id() > *last, "{event} is not behind {last}");
        last = event.id().to_owned();
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(written.load(Ordering::Relaxed), WRITERS * TURNS);
    engine.stop().await;
}

#[tokio::test]
async fn who_does_not_read_is_told_of_one_gap_and_holds_up_nobody() {
    let database = Database::start().await;
    let engine = Engine::serve(&database).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int)").await;
    let attached = live_on(&database, "t").await;
    let mut durable = Subscriber::open(&database).await;
    durable.table("t").await;
    client.sql("select event.sync()").await;
    let mut live = engine.attach(&attached, 10);
    for id in 0..300 {
        client.sql(&format!("insert into t values ({id}, 0)")).await;
    }
    let all = durable.events().await;
    assert_eq!(all.len(), 300);
    for event in &all[..10] {
        assert_eq!(next_event(&mut live).await, *event);
    }
    let gap = next(&mut live).await;
    let Told::Gap { from, to } = gap else { panic!("{gap:?}") };
    assert_eq!([from.to_string(), to.to_string()], [all[10].id(), all[299].id()]);

    client.sql("update t set v = 1 where id < 10").await;
    for event in durable.events().await {
        assert_eq!(next_event(&mut live).await, event);
    }
    assert!(futures_util::FutureExt::now_or_never(live.next()).is_none());
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_engine_begins_anew_a_live_session_is_told_nothing_twice_and_misses_nothing() {
    let database = Database::start().await;
    let engine = Engine::serve(&database).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int)").await;
    let attached = live_on(&database, "t").await;
    let mut durable = Subscriber::open(&database).await;
    durable.table("t").await;
    client.sql("select event.sync()").await;
    let mut live = engine.attach(&attached, 100_000);

    // a batch that was told and cannot be written is delivered once more
    client.sql("begin; lock table event.journal in access exclusive mode").await;
    let writer = database.connect().await;
    writer.sql("insert into t values (-1, 0)").await;
    let mut told = vec![next_event(&mut live).await.text];
    let server = database.connect().await;
    server.sql(&format!("select pg_terminate_backend({})", Backend::Writer.pid(&server).await)).await;
    client.sql("commit").await;
    engine.until_ready(2).await;

    let going = tokio::spawn(async move {
        for id in 0..600 {
            writer.sql(&format!("insert into t values ({id}, 0)")).await;
        }
    });
    let mut times = 2;
    for backend in [Backend::Stream, Backend::Writer, Backend::Writer, Backend::Stream] {
        for _ in 0..50 {
            told.push(next_event(&mut live).await.text);
        }
        server.sql(&format!("select pg_terminate_backend({})", backend.pid(&server).await)).await;
        times += 1;
        engine.until_ready(times).await;
    }
    going.await.unwrap();
    server.sql("insert into t values (1000, 0)").await;
    told.extend(told_up_to(&mut live, r#""id":1000,"#).await);
    durable.events().await;
    let all: Vec<String> = durable.inbox().await.into_iter().map(|event| event.text).collect();
    assert_eq!(all.len(), 602);
    assert_eq!(told, all);
    engine.stop().await;
}

#[tokio::test]
async fn what_another_program_delivered_meanwhile_is_told_as_a_gap() {
    let database = Database::start().await;
    let engine = Engine::serve(&database).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int)").await;
    let mut attached = live_on(&database, "t").await;
    client.sql("insert into t values (1, 0)").await;
    client.sql("select event.sync()").await;
    let hub = engine.hub.clone();
    let mut live = engine.attach(&attached, 10);
    client.sql("insert into t values (2, 0)").await;
    let before = next_event(&mut live).await;
    engine.stop().await;

    // what nobody delivered in the meantime is not lost
    client.sql("insert into t values (3, 0)").await;
    let engine = Engine::serve_with(&database, hub.clone()).await;
    assert_eq!(next_event(&mut live).await.key(), ["3"]);
    client.sql("select event.sync()").await;
    engine.stop().await;

    let tidewire = database.up().await;
    attached.drain();
    client.sql("insert into t values (4, 0)").await;
    let elsewhere = attached.events().await.pop().unwrap();
    tidewire.stop().await;
    let engine = Engine::serve_with(&database, hub).await;
    client.sql("insert into t values (5, 0)").await;
    let gap = next(&mut live).await;
    let Told::Gap { from, to } = gap else { panic!("{gap:?}") };
    assert!(
        before.id() < &*from.to_string() && &*from.to_string() < elsewhere.id() && elsewhere.id() < &*to.to_string()
    );
    assert_eq!(next_event(&mut live).await.key(), ["5"]);
    engine.stop().await;
}
