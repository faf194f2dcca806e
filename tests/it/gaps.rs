//! What cannot be told any more is said, once, to those whom it concerns.

use crate::support::fault::until;
use crate::support::{Client, Database, Event, Outside, Subscriber, Tidewire};

pub const TABLE: &str = "create table t (id int primary key, note text)";

/// Writes, and waits until that is delivered.
pub async fn write(client: &Client, sql: &str) {
    client.sql(sql).await;
    client.sql("select event.sync()").await;
}

/// Writes WAL until the server has given the slot up: what it keeps for one is limited to 1 MB.
async fn lose_the_slot(client: &Client) {
    until("the slot is lost", || async {
        client.sql("select pg_switch_wal()").await;
        client.sql("create table if not exists filler (x text); insert into filler values ('x'); checkpoint").await;
        client.text("select wal_status from pg_replication_slots").await == "lost"
    })
    .await;
}

/// The operations that a session's inbox holds, gaps with their reason.
pub async fn held(subscriber: &Subscriber) -> Vec<String> {
    let events = subscriber.inbox().await;
    let said = events.iter().map(|event| match event.json["operation"].as_str() {
        Some("gap") => format!("gap {}", event.json["reason"].as_str().unwrap()),
        _ => event.to_string(),
    });
    assert!(events.is_sorted_by(|one, other| one.id() < other.id()));
    said.collect()
}

#[tokio::test]
async fn a_slot_that_the_server_gave_up_is_made_anew_and_the_gap_told() {
    let settings = [("max_slot_wal_keep_size", "1MB"), ("wal_sender_timeout", "2s")];
    let database = Database::start_with(&settings).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    // who asked for nothing misses nothing
    let mut idle = Subscriber::open(&database).await;
    // who keeps no inbox is told while it listens
    let mut live = Subscriber::create(database.connect().await, "session_create(durable => false)").await;
    live.table("t").await;
    client.sql("insert into t values (1)").await;
    client.sql("select event.sync()").await;
    tidewire.kill().await;
    let reached = client.text("select event._reached()").await;
    client.sql("insert into t values (2)").await;
    lose_the_slot(&client).await;
    client.sql("insert into t values (3)").await;

    let tidewire = database.up().await;
    tidewire.wait_for_log("are told of a gap: slot_lost").await;
    client.sql("insert into t values (4)").await;
    client.sql("select event.sync()").await;
    let told =
        [r#"insert table t 1 {"id":1,"note":null}"#, "gap slot_lost", r#"insert table t 4 {"id":4,"note":null}"#];
    assert_eq!(held(&subscriber).await, told);
    assert_spans(&subscriber.inbox().await[1..], &reached);

    // given up under a program that runs, and does not see it: it recovers by itself
    client.sql("delete from event.event").await;
    tidewire.freeze();
    let reached = client.text("select event._reached()").await;
    lose_the_slot(&client).await;
    client.sql("insert into t values (5)").await;
    tidewire.thaw();
    // read, and not only being made
    let read = "select coalesce(min(s.wal_status), '') from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid";
    until("the new slot is read", || async { client.text(read).await == "reserved" }).await;
    client.sql("insert into t values (6)").await;
    client.sql("select event.sync()").await;
    assert_eq!(held(&subscriber).await, ["gap slot_lost", r#"insert table t 6 {"id":6,"note":null}"#]);
    assert_spans(&subscriber.inbox().await, &reached);
    assert_eq!(held(&idle).await, [""; 0]);
    assert_eq!(idle.told().await, [""; 0]);
    let inserted = |id: u32| format!(r#"insert table t {id} {{"id":{id},"note":null}}"#);
    let gap = "gap slot_lost".to_owned();
    assert_eq!(live.told().await, [inserted(1), gap.clone(), inserted(4), gap, inserted(6)]);
}

/// The first of these events is a gap from the last place that was delivered to one before the next event.
fn assert_spans(events: &[Event], reached: &str) {
    let [gap, next, ..] = events else { panic!("{events:?}") };
    let [from, to] = ["from", "to"].map(|key| gap.json[key].as_str().unwrap());
    assert_eq!(from, reached);
    assert!(from < to && to < next.id(), "{gap:?} before {next:?}");
}

#[tokio::test]
async fn an_inbox_over_its_size_is_emptied_and_its_session_alone_is_told() {
    let database = Database::start().await;
    let with = ["--inbox-max-size", "20kB"];
    let tidewire = Tidewire::up_with(&database.url(), &with).await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let dead = Subscriber::open(&database).await;
    dead.table("t").await;
    let alive = Subscriber::open(&database).await;
    alive.table("t").await;
    client.sql("insert into t select n, repeat('x', 1000) from generate_series(1, 50) n").await;
    client.sql("select event.sync()").await;
    let first = dead.inbox().await[0].id().to_owned();
    let last = dead.inbox().await[49].id().to_owned();
    alive.sql(&format!("select ack('{}', '{last}')", alive.session)).await;

    tidewire.kill().await;
    // it looks at the start, and then now and then
    let tidewire = Tidewire::up_with(&database.url(), &with).await;
    tidewire.wait_for_log("inbox_full").await;
    write(&client, "insert into t values (100, 'later')").await;
    assert_eq!(held(&dead).await, ["gap inbox_full", r#"insert table t 100 {"id":100,"note":"later"}"#]);
    let gap = &dead.inbox().await[0];
    assert_eq!((gap.json["from"].as_str(), gap.json["to"].as_str()), (Some(first.as_str()), Some(last.as_str())));
    assert_eq!(held(&alive).await, [r#"insert table t 100 {"id":100,"note":"later"}"#]);
    assert_eq!(client.text("select count(*) from event.gap").await, "0", "what was told is put away");

    // it stays dead: the gaps become one
    write(&client, "insert into t select n, repeat('x', 1000) from generate_series(101, 150) n").await;
    let last = dead.inbox().await.last().unwrap().id().to_owned();
    alive.sql(&format!("select ack('{}', '{last}')", alive.session)).await;
    assert!(tidewire.stop().await.success());
    let tidewire = Tidewire::up_with(&database.url(), &with).await;
    tidewire.wait_for_log("inbox_full").await;
    client.sql("select event.sync()").await;
    let events = dead.inbox().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0].json["from"], &events[0].json["to"]), (&first.into(), &last.into()));
    assert!(alive.inbox().await.is_empty());
}

#[tokio::test]
async fn an_inbox_that_grows_over_its_size_is_emptied_by_the_program_that_runs_and_counted() {
    let database = Database::start().await;
    let with = ["--inbox-max-size", "20kB", "--listen", "127.0.0.1:0"];
    let tidewire = Tidewire::up_with(&database.url(), &with).await;
    let outside = Outside::of(&tidewire).await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let mut dead = Subscriber::open(&database).await;
    dead.table("t").await;
    let mut small = Subscriber::open(&database).await;
    small.row("t", "1").await;
    let mut live = Subscriber::create(database.connect().await, "session_create(durable => false)").await;
    live.table("t").await;
    write(&client, "insert into t select n, repeat('x', 1000) from generate_series(1, 50) n").await;
    write(&client, "update t set note = 'small' where id = 1").await;
    let before = dead.inbox().await;
    assert_eq!(before.len(), 51);
    // it looks now and then, while the database is at work
    until("its inbox is emptied", || async {
        write(&client, "create table if not exists noise (id int); insert into noise values (1)").await;
        tidewire.stderr().contains("inbox_full")
    })
    .await;
    write(&client, "insert into t values (100, 'later')").await;
    assert_eq!(held(&dead).await, ["gap inbox_full", r#"insert table t 100 {"id":100,"note":"later"}"#]);
    let gap = &dead.inbox().await[0];
    assert_eq!([&gap.json["from"], &gap.json["to"]], [before[0].id(), before[50].id()]);
    let update = r#"update row t 1 {"note":"small"}"#;
    assert_eq!(held(&small).await, [update]);
    assert_eq!(small.told().await, [update]);
    assert_eq!(dead.told().await.iter().filter(|told| told.starts_with("gap")).count(), 1, "it is notified, too");
    assert!(!live.told().await.iter().any(|told| told.starts_with("gap")));
    let (_, figures) = outside.get("/metrics").await;
    assert!(figures.contains("tidewire_gaps_total{reason=\"inbox_full\"} 1\n"), "{figures}");
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn an_inbox_with_too_old_an_event_is_emptied_and_its_session_alone_is_told() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let dead = Subscriber::open(&database).await;
    dead.table("t").await;
    write(&client, "insert into t values (1)").await;
    client.sql("update event.journal set committed_at = committed_at - interval '2 hours'").await;
    let late = Subscriber::open(&database).await;
    late.table("t").await;
    write(&client, "insert into t values (2)").await;
    tidewire.kill().await;
    let tidewire = Tidewire::up_with(&database.url(), &["--inbox-max-age", "1 hour"]).await;
    tidewire.wait_for_log("inbox_too_old").await;
    client.sql("select event.sync()").await;
    assert_eq!(held(&dead).await, ["gap inbox_too_old"]);
    assert_eq!(held(&late).await, [r#"insert table t 2 {"id":2,"note":null}"#]);
}

#[tokio::test]
async fn limits_that_are_none_are_refused() {
    let database = Database::start().await;
    for (option, value) in [("--inbox-max-size", "lots"), ("--inbox-max-age", "soon"), ("--inbox-max-size", "0")] {
        let output = crate::support::tidewire(&["up", "--database-url", &database.url(), option, value]).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains(&option[2..]) && stderr.contains(value) && stderr.contains("hint: It looks like"),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn a_change_too_large_for_any_inbox_is_told_as_a_gap_and_stops_nothing() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    write(&client, "insert into t values (1, repeat('x', 270000000)); insert into t values (2)").await;
    assert_eq!(held(&subscriber).await, ["gap change_too_large", r#"insert table t 2 {"id":2,"note":null}"#]);
    let gap = &subscriber.inbox().await[0];
    assert_eq!((&gap.json["from"], &gap.json["to"]), (&gap.json["event_id"], &gap.json["event_id"]));
    assert_eq!(subscriber.events().await[0], *gap);
}
