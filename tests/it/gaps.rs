//! What cannot be told any more is said, once, to those whom it concerns.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidewire::db::cluster::{Binaries, StopMode};

use crate::support::fault::until;
use crate::support::{Client, Database, Event, Subscriber, Tidewire};

const TABLE: &str = "create table t (id int primary key, note text)";

/// Writes, and waits until that is delivered.
async fn write(client: &Client, sql: &str) {
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
async fn held(subscriber: &Subscriber) -> Vec<String> {
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
async fn an_inbox_with_too_old_an_event_is_emptied_and_its_session_alone_is_told() {
    let database = Database::start().await;
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

/// Copies a stopped server's data folder, with its owners.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// The data folder as it was, beside it.
fn backup_of(database: &Database) -> PathBuf {
    database.cluster.data_dir().with_extension("backup")
}

#[tokio::test]
async fn a_database_restored_under_a_running_program_is_told_as_a_gap() {
    let mut database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let session = subscriber.session.clone();
    write(&client, "insert into t values (1)").await;
    drop((client, subscriber));
    database.cluster.stop(StopMode::Fast).await.unwrap();
    let (data, backup) = (database.cluster.data_dir().to_owned(), backup_of(&database));
    copy(&data, &backup);
    database.cluster.restart(StopMode::Fast).await.unwrap();
    let client = database.connect().await;
    write(&client, "insert into t values (2); insert into t values (3)").await;
    let ahead = client.text("select max(id) from event.inbox").await;
    drop(client);

    database.cluster.stop(StopMode::Fast).await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&backup, &data).unwrap();
    database.cluster.restart(StopMode::Fast).await.unwrap();
    tidewire.wait_for_log("are told of a gap: database_restored").await;
    let client = database.connect().await;
    write(&client, "insert into t values (4)").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let expected = [
        r#"insert table t 1 {"id":1,"note":null}"#,
        "gap database_restored",
        r#"insert table t 4 {"id":4,"note":null}"#,
    ];
    assert_eq!(held(&subscriber).await, expected);
    let gap = &subscriber.inbox().await[1];
    assert!(gap.json["to"].as_str().unwrap() >= ahead.as_str(), "{}", gap.text);
    // whoever remembers a place that this database has not been at is told so, and does not wait for it in silence
    let error = subscriber.try_sql("select event.read(null, '00000FFF00000000-00000001')").await.unwrap_err();
    assert!(error.message().contains("has not been delivered yet"), "{error}");
}

#[tokio::test]
async fn another_timeline_is_told_as_a_gap() {
    let mut database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let session = subscriber.session.clone();
    write(&client, "insert into t values (1)").await;
    drop((client, subscriber));
    assert!(tidewire.stop().await.success());
    database.cluster.stop(StopMode::Fast).await.unwrap();
    // recovery that ends where there is no more WAL, as one to a point in time does
    let data = database.cluster.data_dir();
    let conf = data.join("postgresql.auto.conf");
    let settings = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, format!("{settings}\nrestore_command = 'false'\n")).unwrap();
    copy(&conf, &data.join("recovery.signal"));
    database.cluster.restart(StopMode::Fast).await.unwrap();
    let client = database.connect().await;
    until("recovery ends", || async { client.text("select pg_is_in_recovery()").await == "f" }).await;
    assert_eq!(client.text("select left(pg_walfile_name(pg_current_wal_lsn()), 8)").await, "00000002");

    let tidewire = database.up().await;
    write(&client, "insert into t values (2)").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let mut expected = vec![
        r#"insert table t 1 {"id":1,"note":null}"#,
        "gap database_restored",
        r#"insert table t 2 {"id":2,"note":null}"#,
    ];
    assert_eq!(held(&subscriber).await, expected);
    // once
    assert!(tidewire.stop().await.success());
    let _tidewire = database.up().await;
    write(&subscriber, "insert into t values (3)").await;
    expected.push(r#"insert table t 3 {"id":3,"note":null}"#);
    assert_eq!(held(&subscriber).await, expected);
}

#[tokio::test]
async fn a_copied_database_begins_anew_and_says_so() {
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let session = subscriber.session.clone();
    write(&client, "insert into t values (1)").await;
    drop(subscriber);
    assert!(tidewire.stop().await.success());
    let url = database.url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let other = Client::connect(&format!("{server}/template1")).await;
    drop(client);
    let copied = || async { other.try_sql("create database copy template postgres").await.is_ok() };
    until("nobody is connected to what is copied", copied).await;
    let url = format!("{server}/copy");
    let _tidewire = Tidewire::up(&url).await;
    let client = Client::connect(&url).await;
    write(&client, "insert into t values (2)").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let expected = [
        r#"insert table t 1 {"id":1,"note":null}"#,
        "gap database_restored",
        r#"insert table t 2 {"id":2,"note":null}"#,
    ];
    assert_eq!(held(&subscriber).await, expected);
}

#[tokio::test]
async fn a_dump_that_is_loaded_elsewhere_tells_nobody_of_another_ones_table() {
    let origin = Database::start().await;
    let binaries = Binaries::find().await.unwrap();
    let [dump, psql] = ["pg_dump", "psql"].map(|name| binaries.program(name));
    if !dump.exists() || !psql.exists() {
        eprintln!("not tried: these server programs come without pg_dump and psql");
        return;
    }
    let tidewire = origin.up().await;
    let client = origin.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&origin).await;
    subscriber.table("t").await;
    // its WAL is ahead of any that the new server will have
    client.sql("insert into t values (1)").await;
    for _ in 0..8 {
        write(&client, "select pg_switch_wal(); insert into t select count(*) + 1 from t").await;
    }
    assert!(tidewire.stop().await.success());
    let dumped = Command::new(dump).arg("-d").arg(origin.url()).output().unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    let statements = String::from_utf8(dumped.stdout).unwrap();

    let copy = Database::start().await;
    let client = copy.connect().await;
    // other tables come to stand where the oids point
    for number in 0..50 {
        client.sql(&format!("create table secret_{number} (id int primary key, note text)")).await;
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), statements).unwrap();
    let loaded =
        Command::new(psql).args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &copy.url(), "-f"]).arg(path.path()).output();
    let loaded = loaded.unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));

    let _tidewire = copy.up().await;
    for number in 0..50 {
        client.sql(&format!("insert into secret_{number} values (1, 'secret')")).await;
    }
    write(&client, "insert into t values (100)").await;
    let subscriber = Subscriber::attach(client, &subscriber.session).await;
    let told: Vec<_> = held(&subscriber).await.into_iter().filter(|event| !event.starts_with("insert")).collect();
    assert!(told.iter().any(|event| event == "gap database_restored"), "{told:?}");
    assert!(told.iter().any(|event| event.contains("subscription_ended")), "{told:?}");
    assert!(!subscriber.inbox().await.iter().any(|event| event.text.contains("secret")));
    subscriber.table("t").await;
    write(&subscriber, "insert into t values (101)").await;
    assert_eq!(held(&subscriber).await.last().unwrap(), r#"insert table t 101 {"id":101,"note":null}"#);
}

#[tokio::test]
async fn a_change_too_large_for_any_inbox_is_told_as_a_gap_and_stops_nothing() {
    let database = Database::start().await;
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
